//! How approvals went, by day: acts that needed one, and those of them that somebody else had approved in time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rules::ApprovalRule;

/// Days of rules remembered; the oldest go.
const MOST: usize = 4096;
/// A day, in µs.
const DAY_US: i64 = 86_400_000_000;

/// Day since 1970 (UTC), the duty that needs approval, and the duty that gives it.
pub(super) type Key = (i64, Arc<str>, Arc<str>);

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(BTreeMap<Key, (u64, u64)>);

impl Tally {
    /// An act under a rule was judged.
    pub(super) fn note(&mut self, rule: &ApprovalRule, time_us: i64, approved: bool) {
        let day = time_us.div_euclid(DAY_US);
        self.add(
            (day, Arc::clone(&rule.duty), Arc::clone(&rule.by)),
            (1, u64::from(approved)),
        );
    }

    pub(super) fn add(&mut self, key: Key, (acts, approved): (u64, u64)) {
        let count = self.0.entry(key).or_default();
        count.0 = count.0.saturating_add(acts);
        count.1 = count.1.saturating_add(approved);
        while self.0.len() > MOST {
            self.0.pop_first();
        }
    }

    /// Acts and approved ones of whole days since then; `None` when there was none.
    pub(super) fn since(&self, duty: &str, by: &str, since_us: i64) -> Option<(u64, u64)> {
        let day = since_us.div_euclid(DAY_US);
        let days = self
            .0
            .iter()
            .filter(|((own, needs, gives), _)| *own >= day && **needs == *duty && **gives == *by);
        let (acts, approved) = days.fold((0_u64, 0_u64), |sum, (_, count)| {
            (sum.0.saturating_add(count.0), sum.1.saturating_add(count.1))
        });
        (acts > 0).then_some((acts, approved))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &(u64, u64))> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_add_up_and_the_oldest_go() {
        let mut tally = Tally::default();
        let key = |day| (day, Arc::from("deploy"), Arc::from("approve"));
        tally.add(key(1), (2, 1));
        tally.add(key(2), (3, 3));
        assert_eq!(tally.since("deploy", "approve", DAY_US), Some((5, 4)));
        assert_eq!(
            tally.since("deploy", "approve", 2 * DAY_US + 1),
            Some((3, 3))
        );
        assert_eq!(tally.since("deploy", "other", 0), None);
        for day in 3..=4200 {
            tally.add(key(day), (1, 0));
        }
        assert_eq!(tally.0.len(), MOST);
        assert_eq!(tally.since("deploy", "approve", 0), Some((4096, 0)));
    }
}
