//! Whether a workload works for everybody.

use std::sync::Arc;

/// Owners of one lineage that are told apart. From three on it is a service that works for everybody.
const CROWD: usize = 3;

/// Owners for whom a lineage acted: first and last time.
#[derive(Debug, Default)]
pub(super) struct Crowd(Vec<(Arc<str>, i64, i64)>);

impl Crowd {
    pub(super) fn note(&mut self, owner: &Arc<str>, time_us: i64, since_us: i64) {
        if let Some((_, first, last)) = self.0.iter_mut().find(|(own, ..)| own == owner) {
            *first = (*first).min(time_us);
            *last = (*last).max(time_us);
            return;
        }
        self.0.retain(|(.., last)| *last >= since_us);
        if self.0.len() <= 2 * CROWD {
            self.0.push((Arc::clone(owner), time_us, time_us));
        }
    }

    pub(super) fn is_crowd(&self, from_us: i64, to_us: i64) -> bool {
        let there = |(_, first, last): &&(Arc<str>, i64, i64)| *first <= to_us && *last >= from_us;
        self.0.iter().filter(there).count() >= CROWD
    }

    /// Forgets who acted last before that; whether anybody is left.
    pub(super) fn expire(&mut self, before_us: i64) -> bool {
        self.0.retain(|(.., last)| *last >= before_us);
        !self.0.is_empty()
    }
}
