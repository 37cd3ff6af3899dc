//! Compares secrets that were met at rest with the credentials in use.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::access::credential::{Canon, CredentialTable};
use crate::access::{Fingerprint, FingerprintKey};
use crate::scan::finding::Candidate;
use crate::serve::matching::{Allowance, TooMany};

/// Holds the host's key: what it prints of itself is its name.
pub(super) struct Comparer {
    canon: Mutex<Canon>,
    allowance: Mutex<Allowance>,
    started: Instant,
}

impl std::fmt::Debug for Comparer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Comparer")
    }
}

impl Comparer {
    pub(super) fn new(table: &CredentialTable, key: FingerprintKey) -> Self {
        Self {
            canon: Mutex::new(Canon::new(table, key)),
            allowance: Mutex::new(Allowance::default()),
            started: Instant::now(),
        }
    }

    /// Goes by another table from now on.
    pub(super) fn replace(&self, table: &CredentialTable, key: FingerprintKey) {
        *self.canon.lock().unwrap_or_else(PoisonError::into_inner) = Canon::new(table, key);
    }

    /// Fingerprints of a client's secrets, as far as its allowance goes.
    pub(super) fn of_client(
        &self,
        candidates: &[Candidate],
    ) -> Result<Vec<Option<Fingerprint>>, TooMany> {
        let count = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
        self.allowance
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(count, self.started.elapsed().as_secs())?;
        Ok(candidates
            .iter()
            .map(|candidate| self.fingerprint(candidate))
            .collect())
    }

    /// Of one secret.
    pub(super) fn fingerprint(&self, candidate: &Candidate) -> Option<Fingerprint> {
        candidate.fingerprint(&mut self.canon.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
