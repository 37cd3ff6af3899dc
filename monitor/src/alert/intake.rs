//! Updates between the hot thread and the store: what the store cannot take yet waits here, folded
//! and bounded.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::judge::FindingKind;
use crate::store::Batch;

use super::{AlertUpdate, FoldKey};

/// Alerts that can wait; the rest is counted in its kind's overflow.
const KEYS: usize = 4096;
/// With more waiting than this, evidence is cut to the first and the newest.
const FRUGAL: usize = 512;
/// Updates in one transaction.
const BATCH: usize = 512;

/// Updates that are not durable yet.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// Given to the store, without an answer that it is there.
    unsure: Option<Arc<Batch>>,
    waiting: HashMap<FoldKey, AlertUpdate>,
    overflow: BTreeMap<FindingKind, AlertUpdate>,
}

impl Intake {
    /// Updates that wait.
    pub(super) fn len(&self) -> usize {
        let unsure = self.unsure.as_ref().map_or(0, |batch| batch.updates.len());
        unsure + self.waiting.len() + self.overflow.len()
    }

    pub(super) fn add(&mut self, mut update: AlertUpdate) {
        if let Some(waiting) = self.waiting.get_mut(&update.key) {
            waiting.absorb(update);
            return;
        }
        if self.waiting.len() >= FRUGAL && update.evidence.len() > 2 {
            let last = update.evidence.len() - 1;
            update.evidence.swap(1, last);
            update.evidence.truncate(2);
        }
        if self.waiting.len() >= KEYS {
            // Identities that policy names are few; what it does not name can be invented.
            let unnamed = update.owner.is_some().then(|| {
                self.waiting
                    .values()
                    .find(|other| other.owner.is_none())
                    .map(|other| &other.key)
            });
            match unnamed
                .flatten()
                .cloned()
                .and_then(|key| self.waiting.remove(&key))
            {
                Some(other) => self.add_overflow(other),
                None => {
                    self.add_overflow(update);
                    return;
                }
            }
        }
        self.waiting.insert(update.key.clone(), update);
    }

    fn add_overflow(&mut self, update: AlertUpdate) {
        let update = update.into_overflow();
        match self.overflow.get_mut(&update.key.kind) {
            Some(sum) => sum.absorb(update),
            None => {
                self.overflow.insert(update.key.kind, update);
            }
        }
    }

    /// What the store should be given next: the same until [`Self::stored`] is called.
    pub(super) fn batch(&mut self) -> Option<Arc<Batch>> {
        if self.unsure.is_none() {
            let mut updates = std::mem::take(&mut self.overflow)
                .into_values()
                .collect::<Vec<_>>();
            let room = BATCH.saturating_sub(updates.len());
            let keys = self.waiting.keys().take(room).cloned().collect::<Vec<_>>();
            updates.extend(keys.iter().filter_map(|key| self.waiting.remove(key)));
            if updates.is_empty() {
                return None;
            }
            // New alerts get ids in the order in which they were first seen.
            updates.sort_by_key(|update| update.first_us);
            self.unsure = Some(Arc::new(Batch::new(updates)));
        }
        self.unsure.clone()
    }

    /// The batch is durable.
    pub(super) fn stored(&mut self) {
        self.unsure = None;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may fail by panic")]
mod tests {
    use super::*;
    use crate::alert::testing::update;

    fn total(intake: &mut Intake) -> u64 {
        let mut sum = 0;
        while let Some(batch) = intake.batch() {
            sum += batch.updates.iter().map(|update| update.count).sum::<u64>();
            intake.stored();
        }
        sum
    }

    #[test]
    fn folds_and_keeps_a_batch_until_it_is_stored() {
        let mut intake = Intake::default();
        intake.add(update("a", 1, 1));
        let first = intake.batch().unwrap();
        intake.add(update("a", 2, 2));
        intake.add(update("a", 3, 3));
        assert_eq!(intake.batch().unwrap().id, first.id);
        assert_eq!(intake.len(), 2);
        intake.stored();
        let second = intake.batch().unwrap();
        assert_ne!(second.id, first.id);
        assert_eq!(second.updates.len(), 1);
        assert_eq!(second.updates.first().unwrap().count, 5);
    }

    #[test]
    fn is_bounded_and_loses_no_count() {
        let mut intake = Intake::default();
        for i in 0..10_000 {
            let mut update = update(&format!("bw1:{i}"), 1, i);
            update.owner = None;
            intake.add(update);
        }
        intake.add(update("named", 1, 0));
        assert!(intake.len() <= KEYS + 1);
        assert!(
            intake
                .waiting
                .values()
                .any(|u| u.key.identity.as_deref() == Some("named"))
        );
        assert_eq!(total(&mut intake), 10_001);
    }
}
