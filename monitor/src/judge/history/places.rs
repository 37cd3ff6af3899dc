//! The places of workloads, worked out once for each.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use super::place::Place;
use crate::access::Workload;

/// Workloads remembered.
const SLOTS: usize = 256;

/// What is known of a workload.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Held, so that its address cannot come to mean another one.
    workload: Arc<Workload>,
    /// Hash of the lineage that acts are put down to.
    pub(super) lineage: Option<u64>,
    /// Where a credential that it uses is live.
    pub(super) of_use: Option<Arc<Place>>,
}

/// By address, one slot each.
#[derive(Debug)]
pub(super) struct Places {
    slots: Box<[Option<Known>]>,
    hasher: DefaultHashBuilder,
}

impl Places {
    pub(super) fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| None).collect(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    pub(super) fn get(&mut self, workload: &Arc<Workload>) -> Known {
        let address = Arc::as_ptr(workload).addr() >> 4;
        let at = (address ^ (address >> 8)) % SLOTS;
        if let Some(Some(known)) = self.slots.get(at)
            && Arc::ptr_eq(&known.workload, workload)
        {
            return known.clone();
        }
        let lineage = Place::lineage(workload);
        let known = Known {
            workload: Arc::clone(workload),
            lineage: lineage.map(|lineage| self.hasher.hash_one(lineage)),
            of_use: Place::of_use(workload).map(Arc::new),
        };
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Some(known.clone());
        }
        known
    }
}
