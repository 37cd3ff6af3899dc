//! Acts about which something may still be concluded: those of the last minute.

use std::collections::BTreeMap;
use std::mem::size_of;
use std::sync::Arc;

use super::acts::{Act, Mark, Stamp};

/// What an act costs that waits, beside itself.
const OVERHEAD: usize = 160;

/// An act that waits until its grace is over.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) act: Arc<Act>,
    pub(super) marks: Arc<[Mark]>,
    /// Separations that were told of it.
    pub(super) told: Vec<u32>,
}

impl Waiting {
    fn cost(&self) -> usize {
        size_of::<Act>() + self.act.access.path.len() + OVERHEAD
    }

    fn lacks_approval(&self) -> bool {
        self.marks.iter().any(|mark| mark.needs_approval())
    }
}

/// All of them, by time. Those that lack an approval are apart: there are few, and they go last.
#[derive(Debug, Default)]
pub(super) struct WaitingActs {
    lacking: BTreeMap<Stamp, Waiting>,
    others: BTreeMap<Stamp, Waiting>,
    bytes: usize,
    next: u64,
    /// Those that had to go before their time.
    pub(super) unjudged: u64,
}

impl WaitingActs {
    /// Adds one. Beyond `limit` bytes the oldest go, and nothing is concluded of them.
    pub(super) fn add(&mut self, waiting: Waiting, limit: usize) {
        self.next += 1;
        self.bytes += waiting.cost();
        let all = if waiting.lacks_approval() {
            &mut self.lacking
        } else {
            &mut self.others
        };
        all.insert((waiting.act.time_us(), self.next), waiting);
        while self.bytes > limit {
            let oldest = self.others.pop_first();
            let Some((_, gone)) = oldest.or_else(|| self.lacking.pop_first()) else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(gone.cost());
            self.unjudged = self.unjudged.saturating_add(1);
        }
    }

    /// The oldest one that is not younger than `until_us`.
    pub(super) fn next_due(&mut self, until_us: i64) -> Option<Waiting> {
        let first = |all: &BTreeMap<Stamp, Waiting>| all.first_key_value().map(|(stamp, _)| *stamp);
        let (lacking, other) = (first(&self.lacking), first(&self.others));
        let lacking_first = match (lacking, other) {
            (Some(lacking), Some(other)) => lacking < other,
            (lacking, _) => lacking.is_some(),
        };
        let (stamp, all) = if lacking_first {
            (lacking?, &mut self.lacking)
        } else {
            (other?, &mut self.others)
        };
        if stamp.0 > until_us {
            return None;
        }
        let (_, waiting) = all.pop_first()?;
        self.bytes = self.bytes.saturating_sub(waiting.cost());
        Some(waiting)
    }

    /// Time of the oldest one, in µs since 1970.
    pub(super) fn first_us(&self) -> Option<i64> {
        let first =
            |all: &BTreeMap<Stamp, Waiting>| all.first_key_value().map(|(stamp, _)| stamp.0);
        first(&self.lacking)
            .into_iter()
            .chain(first(&self.others))
            .min()
    }

    pub(super) fn between(
        &mut self,
        from_us: i64,
        to_us: i64,
    ) -> impl Iterator<Item = &mut Waiting> {
        let range = (from_us, 0)..=(to_us.max(from_us), u64::MAX);
        let lacking = self.lacking.range_mut(range.clone());
        lacking
            .chain(self.others.range_mut(range))
            .map(|(_, own)| own)
    }

    pub(super) fn holds(&self, act: &Arc<Act>) -> bool {
        let time = act.time_us();
        let range = (time, 0)..=(time, u64::MAX);
        let mut same = self
            .lacking
            .range(range.clone())
            .chain(self.others.range(range));
        same.any(|(_, waiting)| Arc::ptr_eq(&waiting.act, act))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Waiting> {
        self.lacking.values().chain(self.others.values())
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Waiting> {
        self.lacking.values_mut().chain(self.others.values_mut())
    }

    pub(super) fn len(&self) -> usize {
        self.lacking.len() + self.others.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
