//! Which identities were seen, and what they usually do.
//!
//! Pure and bounded in number and bytes; what was not used longest goes first. The step for a known
//! identity allocates nothing. An access that the server refused (401, 403) says nothing of how an
//! identity behaves, since nobody verified its credential: it only raises a counter. Identities that were
//! only ever refused live in a small part of the room of their own, so that a spray of invented
//! credentials cannot push the real ones out.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod entry;
mod record;
mod save;
mod seen;
mod usage;

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

pub use record::{
    DutyUseRecord, IdentityRecord, Listed, OperationCount, PlaceUseRecord, UsageRecord,
};
pub use save::to_json;

use crate::access::Access;
use crate::judge::FindingKind;
use crate::slots::{NONE, Slots};
use entry::{Entry, Group, micros};

/// Bounds of a [`Census`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Identities.
    pub identities: u32,
    /// Bytes in all, roughly; strings shared between identities count for each.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            identities: 16_384,
            bytes: 20 * 1024 * 1024,
        }
    }
}

/// Counters of a [`Census`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CensusStats {
    /// Identities known.
    pub identities: usize,
    /// Bytes held, roughly.
    pub bytes: usize,
    /// Identities forgotten because a bound was reached.
    pub forgotten: u64,
    /// Accesses without a credential.
    pub anonymous: u64,
    /// Accesses of identities that the policy names.
    pub named: u64,
}

#[derive(Clone, Copy, Debug)]
struct List {
    newest: u32,
    oldest: u32,
    len: u32,
}

const EMPTY: List = List {
    newest: NONE,
    oldest: NONE,
    len: 0,
};

/// The census.
#[derive(Debug)]
pub struct Census {
    limits: Limits,
    hasher: DefaultHashBuilder,
    entries: Slots<Entry>,
    accepted: List,
    refused: List,
    bytes: usize,
    forgotten: u64,
    anonymous: u64,
    named: u64,
}

impl Census {
    /// An empty one.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let limits = Limits {
            identities: limits.identities.clamp(1, NONE - 1),
            ..limits
        };
        Self {
            limits,
            hasher: DefaultHashBuilder::default(),
            entries: Slots::new(),
            accepted: EMPTY,
            refused: EMPTY,
            bytes: 0,
            forgotten: 0,
            anonymous: 0,
            named: 0,
        }
    }

    /// Takes note of one access.
    pub fn observe(&mut self, access: &Access) {
        let Some(name) = &access.identity else {
            self.anonymous = self.anonymous.saturating_add(1);
            return;
        };
        if access.owner.is_some() {
            self.named = self.named.saturating_add(1);
        }
        let refused = access.refused();
        let at = self.find_or_add(
            name,
            if refused {
                Group::Refused
            } else {
                Group::Accepted
            },
        );
        let hasher = &self.hasher;
        let Some(entry) = self.entries.get_mut(at) else {
            return;
        };
        if refused {
            entry.refused = entry.refused.saturating_add(1);
            entry.refused_us = access.time_us;
        } else {
            let grown = entry.learn(access, hasher);
            entry.bytes = entry.bytes.saturating_add_signed(grown);
            self.bytes = self.bytes.saturating_add_signed(grown);
        }
        let promoted = !refused && entry.group == Group::Refused;
        if promoted {
            self.unlink(at);
            if let Some(entry) = self.entries.get_mut(at) {
                entry.group = Group::Accepted;
            }
            self.link(at);
        } else {
            self.touch(at);
        }
        self.shrink(at);
    }

    /// Takes note of what was found about an access after it was observed.
    pub fn found(&mut self, access: &Access, kind: FindingKind) {
        let Some(name) = access.identity.as_deref().filter(|_| !access.refused()) else {
            return;
        };
        let at = self.entries.find(name, self.hasher.hash_one(name));
        if let Some(entry) = at.and_then(|at| self.entries.get_mut(at)) {
            let grown = entry.found(kind);
            entry.bytes = entry.bytes.saturating_add(grown);
            self.bytes = self.bytes.saturating_add(grown);
        }
    }

    /// Numbers for `status`.
    #[must_use]
    pub fn stats(&self) -> CensusStats {
        CensusStats {
            identities: self.entries.len(),
            bytes: self.bytes,
            forgotten: self.forgotten,
            anonymous: self.anonymous,
            named: self.named,
        }
    }

    /// Everything, in no particular order.
    #[must_use]
    pub fn snapshot(&self) -> Vec<IdentityRecord> {
        self.entries.iter().map(Entry::record).collect()
    }

    /// A part of [`Self::snapshot`], for a thread that must not stop long: looks at `max` places from `from`
    /// (first 0) and returns with them where to go on; `None` at the end. What moves in between may be
    /// missed or come twice.
    #[must_use]
    pub fn snapshot_part(&self, from: usize, max: usize) -> (Vec<IdentityRecord>, Option<usize>) {
        let part = self.entries.part(from, max);
        let records = part.map(Entry::record).collect();
        let next = from.saturating_add(max.max(1));
        (records, (next < self.entries.places()).then_some(next))
    }

    /// Takes back what was saved; an identity already known is left as it is. Returns how many records
    /// were taken. What does not parse in a record is left out of it.
    pub fn restore(&mut self, records: &[IdentityRecord]) -> usize {
        let mut order: Vec<&IdentityRecord> = records.iter().collect();
        order.sort_by_cached_key(|record| record.last_seen.as_deref().map_or(i64::MIN, micros));
        let mut taken: usize = 0;
        for record in order {
            let hash = self.hasher.hash_one(record.identity.as_str());
            if self.entries.find(&record.identity, hash).is_none() {
                let entry = Entry::restore(record, hash);
                let at = self.insert(entry);
                self.shrink(at);
                taken = taken.saturating_add(1);
            }
        }
        taken
    }

    fn find_or_add(&mut self, name: &Arc<str>, group: Group) -> u32 {
        // Accesses come in runs of one identity.
        let newest = self.accepted.newest;
        if let Some(entry) = self.entries.get(newest)
            && Arc::ptr_eq(&entry.name, name)
        {
            return newest;
        }
        let hash = self.hasher.hash_one(&**name);
        if let Some(at) = self.entries.find(name, hash) {
            return at;
        }
        self.insert(Entry::new(name.clone(), hash, group))
    }

    fn insert(&mut self, mut entry: Entry) -> u32 {
        entry.bytes = entry.weigh();
        self.bytes = self.bytes.saturating_add(entry.bytes);
        let at = self.entries.insert(entry);
        self.link(at);
        at
    }

    /// Forgets until the bounds hold again; never the entry `keep`.
    fn shrink(&mut self, keep: u32) {
        let strangers = (self.limits.identities / 8).max(1);
        loop {
            let over = self.accepted.len.saturating_add(self.refused.len) > self.limits.identities
                || self.bytes > self.limits.bytes;
            let victim = if self.refused.len > strangers || (over && self.refused.len > 1) {
                self.refused.oldest
            } else if over {
                self.accepted.oldest
            } else {
                return;
            };
            if victim == keep || victim == NONE {
                return;
            }
            self.forget(victim);
        }
    }

    fn forget(&mut self, at: u32) {
        self.unlink(at);
        let Some(entry) = self.entries.remove(at) else {
            return;
        };
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        self.forgotten = self.forgotten.saturating_add(1);
    }

    fn list(&mut self, group: Group) -> &mut List {
        match group {
            Group::Accepted => &mut self.accepted,
            Group::Refused => &mut self.refused,
        }
    }

    fn touch(&mut self, at: u32) {
        if self.accepted.newest == at || self.refused.newest == at {
            return;
        }
        self.unlink(at);
        self.link(at);
    }

    fn link(&mut self, at: u32) {
        let Some(group) = self.entries.get_mut(at).map(|entry| entry.group) else {
            return;
        };
        let list = self.list(group);
        let before = list.newest;
        list.newest = at;
        list.len = list.len.saturating_add(1);
        if before == NONE {
            list.oldest = at;
        } else if let Some(entry) = self.entries.get_mut(before) {
            entry.newer = at;
        }
        if let Some(entry) = self.entries.get_mut(at) {
            entry.newer = NONE;
            entry.older = before;
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some((group, newer, older)) = self
            .entries
            .get_mut(at)
            .map(|entry| (entry.group, entry.newer, entry.older))
        else {
            return;
        };
        match self.entries.get_mut(newer) {
            Some(entry) => entry.older = older,
            None => self.list(group).newest = older,
        }
        match self.entries.get_mut(older) {
            Some(entry) => entry.newer = newer,
            None => self.list(group).oldest = newer,
        }
        let list = self.list(group);
        list.len = list.len.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod usage_tests;
