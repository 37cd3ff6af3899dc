//! The join: what is live, by fingerprint.

use std::collections::HashMap;
use std::str::FromStr;

use super::LiveUse;
use crate::access::Fingerprint;
use crate::census::IdentityRecord;

/// Credentials that the daemon saw in use.
#[derive(Debug, Default)]
pub struct LiveIndex(HashMap<Fingerprint, LiveUse>);

impl LiveIndex {
    /// Of the daemon's list of identities. It keeps eight fingerprints of each identity.
    #[must_use]
    pub fn new(records: &[IdentityRecord]) -> Self {
        let mut index = HashMap::new();
        for record in records {
            for text in &record.fingerprints.items {
                let Ok(fingerprint) = Fingerprint::from_str(text) else {
                    continue;
                };
                index.entry(fingerprint).or_insert_with(|| LiveUse {
                    identity: record.identity.clone(),
                    owner: record.owner.clone(),
                    environments: record.environments.items.clone(),
                    workloads: record.workloads.items.clone(),
                    last_seen: record.last_seen.clone(),
                });
            }
        }
        Self(index)
    }

    /// Who uses it.
    #[must_use]
    pub fn get(&self, fingerprint: Fingerprint) -> Option<&LiveUse> {
        self.0.get(&fingerprint)
    }

    /// How many credentials.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
