//! Acts about which something may still be concluded: those of the last minute.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::acts::{Act, Mark, Stamp};

/// An act that waits until its grace is over.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) act: Arc<Act>,
    pub(super) marks: Box<[Mark]>,
    /// Separations that were told of it.
    pub(super) told: Vec<u32>,
}

/// All of them, by time.
#[derive(Debug, Default)]
pub(super) struct WaitingActs {
    all: BTreeMap<Stamp, Waiting>,
    bytes: usize,
    next: u64,
    /// Those that had to go before their time.
    pub(super) unjudged: u64,
}

impl WaitingActs {
    /// Adds one. Beyond `limit` bytes the oldest go, and nothing is concluded of them.
    pub(super) fn add(&mut self, waiting: Waiting, limit: usize) {
        self.next += 1;
        self.bytes += waiting.act.cost();
        self.all.insert((waiting.act.time_us(), self.next), waiting);
        while self.bytes > limit && self.pop().is_some() {
            self.unjudged = self.unjudged.saturating_add(1);
        }
    }

    fn pop(&mut self) -> Option<Waiting> {
        let (_, waiting) = self.all.pop_first()?;
        self.bytes = self.bytes.saturating_sub(waiting.act.cost());
        Some(waiting)
    }

    /// The oldest one that is not younger than `until_us`.
    pub(super) fn next_due(&mut self, until_us: i64) -> Option<Waiting> {
        let (stamp, _) = self.all.first_key_value()?;
        if stamp.0 > until_us {
            return None;
        }
        self.pop()
    }

    pub(super) fn between(
        &mut self,
        from_us: i64,
        to_us: i64,
    ) -> impl Iterator<Item = &mut Waiting> {
        let to = (to_us.max(from_us), u64::MAX);
        self.all.range_mut((from_us, 0)..=to).map(|(_, own)| own)
    }

    pub(super) fn holds(&self, act: &Arc<Act>) -> bool {
        let time = act.time_us();
        let mut same = self.all.range((time, 0)..=(time, u64::MAX));
        same.any(|(_, waiting)| Arc::ptr_eq(&waiting.act, act))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Waiting> {
        self.all.values()
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Waiting> {
        self.all.values_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
