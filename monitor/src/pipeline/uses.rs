//! Which workload was seen using a credential, for those who look at what lies beside its code.
//!
//! Each use costs the hot thread a look into a small table; what it does not hold is told. A use told twice costs the
//! listener a look-up, so the table may forget.

use std::sync::Arc;

use crate::access::{Access, Workload};

/// Places of the table.
const PLACES: usize = 1024;
/// Uses told in one pass; those beyond are told with their next use.
const MOST: usize = 64;
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// A process that used a credential, told about once a day.
#[derive(Clone, Debug)]
pub struct CredentialUse {
    /// The process; often gone by now.
    pub pid: u32,
    /// Its parent; 0 when not known.
    pub parent: u32,
    /// What it is.
    pub workload: Arc<Workload>,
}

/// The table, and what is to be told.
#[derive(Debug)]
pub(super) struct Uses {
    told: Box<[u64]>,
    fresh: Vec<(u32, Arc<Workload>)>,
    /// Whether anybody listens.
    pub(super) on: bool,
}

impl Default for Uses {
    fn default() -> Self {
        Self {
            told: vec![0; PLACES].into(),
            fresh: Vec::with_capacity(MOST),
            on: false,
        }
    }
}

impl Uses {
    /// Takes note of an access by a process of this host.
    pub(super) fn note(&mut self, access: &Access) {
        if !self.on || access.credential.is_none() || access.refused() {
            return;
        }
        let Some(client) = &access.client else {
            return;
        };
        let day = access.time_us / DAY_US;
        // Mixed well enough for a table that may forget (Fibonacci hashing).
        let key = (u64::from(client.pid) << 32
            ^ Arc::as_ptr(&client.workload).addr() as u64
            ^ day.cast_unsigned().rotate_left(48))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            | 1;
        let place = usize::try_from(key >> 54).unwrap_or(0) % PLACES;
        let Some(told) = self.told.get_mut(place) else {
            return;
        };
        if *told != key && self.fresh.len() < MOST {
            *told = key;
            self.fresh.push((client.pid, Arc::clone(&client.workload)));
        }
    }

    /// What is to be told.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (u32, Arc<Workload>)> {
        self.fresh.drain(..)
    }
}
