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

mod record;
mod seen;

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

pub use record::{IdentityRecord, Listed, OperationCount};

use crate::access::{Access, CredentialKind, Fingerprint};
use crate::judge::FindingKind;
use seen::{Item, Operation, Seen, Top, User};

/// Values kept of each kind for one identity.
const MAX_FINGERPRINTS: usize = 8;
const MAX_HINTS: usize = 4;
const MAX_WORKLOADS: usize = 8;
const MAX_ENVIRONMENTS: usize = 8;
const MAX_HOSTS: usize = 8;
const MAX_OPERATIONS: usize = 5;

/// Marks the end of a list.
const NONE: u32 = u32::MAX;

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
}

/// Two lists by last use: identities with accepted accesses, and those that were only ever refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Accepted,
    Refused,
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

#[derive(Clone, Debug)]
struct Entry {
    name: Arc<str>,
    hash: u64,
    group: Group,
    newer: u32,
    older: u32,
    bytes: usize,
    owner: Option<Arc<str>>,
    first_us: i64,
    last_us: i64,
    refused_us: i64,
    accesses: u64,
    refused: u64,
    findings: [u32; FindingKind::ALL.len()],
    kinds: u16,
    fingerprints: Seen<Fingerprint>,
    hints: Seen<Arc<str>>,
    workloads: Seen<User>,
    environments: Seen<Arc<str>>,
    hosts: Seen<Arc<str>>,
    operations: Top,
}

/// The census.
#[derive(Debug)]
pub struct Census {
    limits: Limits,
    hasher: DefaultHashBuilder,
    table: HashTable<u32>,
    /// `None`: free, and in `free`.
    entries: Vec<Option<Box<Entry>>>,
    free: Vec<u32>,
    accepted: List,
    refused: List,
    bytes: usize,
    forgotten: u64,
    anonymous: u64,
}

const KINDS: [CredentialKind; 8] = [
    CredentialKind::Bearer,
    CredentialKind::Jwt,
    CredentialKind::Basic,
    CredentialKind::Digest,
    CredentialKind::ApiKey,
    CredentialKind::Sigv4,
    CredentialKind::Dpop,
    CredentialKind::Cookie,
];

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
            table: HashTable::new(),
            entries: Vec::new(),
            free: Vec::new(),
            accepted: EMPTY,
            refused: EMPTY,
            bytes: 0,
            forgotten: 0,
            anonymous: 0,
        }
    }

    /// Takes note of one access.
    pub fn observe(&mut self, access: &Access) {
        let Some(name) = &access.identity else {
            self.anonymous = self.anonymous.saturating_add(1);
            return;
        };
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
        let Some(entry) = self.entries.get_mut(at as usize).and_then(Option::as_mut) else {
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
            if let Some(entry) = self.entry_mut(at) {
                entry.group = Group::Accepted;
            }
            self.link(at);
        } else {
            self.touch(at);
        }
        self.shrink(at);
    }

    /// Numbers for `status`.
    #[must_use]
    pub fn stats(&self) -> CensusStats {
        CensusStats {
            identities: self.table.len(),
            bytes: self.bytes,
            forgotten: self.forgotten,
            anonymous: self.anonymous,
        }
    }

    /// Everything, in no particular order.
    #[must_use]
    pub fn snapshot(&self) -> Vec<IdentityRecord> {
        self.entries
            .iter()
            .flatten()
            .map(|entry| entry.record())
            .collect()
    }

    /// A part of [`Self::snapshot`], for a thread that must not stop long: looks at `max` places from `from`
    /// (first 0) and returns with them where to go on; `None` at the end. What moves in between may be
    /// missed or come twice.
    #[must_use]
    pub fn snapshot_part(&self, from: usize, max: usize) -> (Vec<IdentityRecord>, Option<usize>) {
        let records = self
            .entries
            .iter()
            .skip(from)
            .take(max)
            .flatten()
            .map(|entry| entry.record())
            .collect();
        let next = from.saturating_add(max.max(1));
        (records, (next < self.entries.len()).then_some(next))
    }

    /// Takes back what was saved; an identity already known is left as it is. Returns how many records
    /// were taken. What does not parse in a record is left out of it.
    pub fn restore(&mut self, records: &[IdentityRecord]) -> usize {
        let mut order: Vec<&IdentityRecord> = records.iter().collect();
        order.sort_by_cached_key(|record| record.last_seen.as_deref().map_or(i64::MIN, micros));
        let mut taken: usize = 0;
        for record in order {
            let hash = self.hasher.hash_one(record.identity.as_str());
            if self.find(&record.identity, hash).is_none() {
                let entry = Entry::restore(record, hash);
                let at = self.insert(entry);
                self.shrink(at);
                taken = taken.saturating_add(1);
            }
        }
        taken
    }

    fn entry_mut(&mut self, at: u32) -> Option<&mut Entry> {
        self.entries
            .get_mut(at as usize)
            .and_then(Option::as_deref_mut)
    }

    fn find(&self, name: &str, hash: u64) -> Option<u32> {
        let same = |at: &u32| {
            self.entries
                .get(*at as usize)
                .and_then(Option::as_deref)
                .is_some_and(|entry| entry.hash == hash && *entry.name == *name)
        };
        self.table.find(hash, same).copied()
    }

    fn find_or_add(&mut self, name: &Arc<str>, group: Group) -> u32 {
        // Accesses come in runs of one identity.
        let newest = self.accepted.newest;
        if let Some(Some(entry)) = self.entries.get(newest as usize)
            && Arc::ptr_eq(&entry.name, name)
        {
            return newest;
        }
        let hash = self.hasher.hash_one(&**name);
        if let Some(at) = self.find(name, hash) {
            return at;
        }
        self.insert(Entry::new(name.clone(), hash, group))
    }

    fn insert(&mut self, mut entry: Entry) -> u32 {
        entry.bytes = entry.weigh();
        self.bytes = self.bytes.saturating_add(entry.bytes);
        let hash = entry.hash;
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.entries.push(None);
                u32::try_from(self.entries.len().saturating_sub(1)).unwrap_or(NONE)
            }
        };
        if let Some(slot) = self.entries.get_mut(at as usize) {
            *slot = Some(Box::new(entry));
        }
        let entries = &self.entries;
        self.table.insert_unique(hash, at, |at| {
            entries
                .get(*at as usize)
                .and_then(Option::as_deref)
                .map_or(0, |entry| entry.hash)
        });
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
        let Some(entry) = self.entries.get_mut(at as usize).and_then(Option::take) else {
            return;
        };
        if let Ok(found) = self.table.find_entry(entry.hash, |other| *other == at) {
            found.remove();
        }
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        self.free.push(at);
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
        let Some(group) = self.entry_mut(at).map(|entry| entry.group) else {
            return;
        };
        let list = self.list(group);
        let before = list.newest;
        list.newest = at;
        list.len = list.len.saturating_add(1);
        if before == NONE {
            list.oldest = at;
        } else if let Some(entry) = self.entry_mut(before) {
            entry.newer = at;
        }
        if let Some(entry) = self.entry_mut(at) {
            entry.newer = NONE;
            entry.older = before;
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some((group, newer, older)) = self
            .entry_mut(at)
            .map(|entry| (entry.group, entry.newer, entry.older))
        else {
            return;
        };
        match self.entry_mut(newer) {
            Some(entry) => entry.older = older,
            None => self.list(group).newest = older,
        }
        match self.entry_mut(older) {
            Some(entry) => entry.newer = newer,
            None => self.list(group).oldest = newer,
        }
        let list = self.list(group);
        list.len = list.len.saturating_sub(1);
    }
}

impl Entry {
    fn new(name: Arc<str>, hash: u64, group: Group) -> Self {
        Self {
            name,
            hash,
            group,
            newer: NONE,
            older: NONE,
            bytes: 0,
            owner: None,
            first_us: 0,
            last_us: 0,
            refused_us: 0,
            accesses: 0,
            refused: 0,
            findings: [0; FindingKind::ALL.len()],
            kinds: 0,
            fingerprints: Seen::default(),
            hints: Seen::default(),
            workloads: Seen::default(),
            environments: Seen::default(),
            hosts: Seen::default(),
            operations: Top::default(),
        }
    }

    /// Takes the facts of an access that was not refused; returns by how many bytes this grew.
    fn learn(&mut self, access: &Access, hasher: &DefaultHashBuilder) -> isize {
        if self.accesses == 0 {
            self.first_us = access.time_us;
        }
        self.accesses = self.accesses.saturating_add(1);
        self.last_us = self.last_us.max(access.time_us);
        if !access.findings.is_empty() {
            for kind in access.findings.iter() {
                if let Some(count) = self.findings.get_mut(kind as usize) {
                    *count = count.saturating_add(1);
                }
            }
        }
        let same_owner = match (&self.owner, &access.owner) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if !same_owner {
            self.owner.clone_from(&access.owner);
        }
        let mut grown = 0_usize;
        if let Some(credential) = &access.credential {
            self.kinds |= 1 << credential.kind as u16;
            grown += self
                .fingerprints
                .note(&credential.fingerprint, MAX_FINGERPRINTS, hasher);
            if let Some(hint) = &credential.hint
                && !self.hints.items.iter().any(|known| **known == **hint)
            {
                // A new prefix of an identity is rare, and the bound makes it rarer.
                if self.hints.items.len() < MAX_HINTS {
                    grown += self.hints.note(&Arc::from(&**hint), MAX_HINTS, hasher);
                }
            }
        }
        if !self.workloads.items.iter().any(|user| user.is_of(access))
            && let Some(user) = User::of(access)
        {
            grown += self.workloads.note(&user, MAX_WORKLOADS, hasher);
        }
        if let Some(environment) = &access.environment {
            grown += self
                .environments
                .note(environment, MAX_ENVIRONMENTS, hasher);
        }
        grown += self.hosts.note(&access.host, MAX_HOSTS, hasher);
        let mut grown = grown.cast_signed();
        if !self.operations.count(access) {
            let operation = Operation {
                method: access.method.clone(),
                host: access.host.clone(),
                route: access.route.clone(),
            };
            grown += self.operations.note(&operation, MAX_OPERATIONS, hasher);
        }
        grown
    }

    /// Bytes held.
    fn weigh(&self) -> usize {
        // The slot, the box, and the table's index with its control byte at the usual load.
        let own = size_of::<Self>() + size_of::<usize>() + 8;
        own + self.name.heap()
            + self.fingerprints.heap()
            + self.hints.heap()
            + self.workloads.heap()
            + self.environments.heap()
            + self.hosts.heap()
            + self.operations.heap()
    }

    fn record(&self) -> IdentityRecord {
        let strings = |seen: &Seen<Arc<str>>| Listed {
            items: seen.items.iter().map(|item| item.to_string()).collect(),
            more: seen.more(),
        };
        let findings = FindingKind::ALL
            .into_iter()
            .filter_map(|kind| {
                let count = self
                    .findings
                    .get(kind as usize)
                    .copied()
                    .filter(|count| *count > 0)?;
                Some((kind.name().to_owned(), u64::from(count)))
            })
            .collect::<BTreeMap<_, _>>();
        let mut operations: Vec<OperationCount> = self
            .operations
            .items
            .iter()
            .map(|(operation, count)| OperationCount {
                method: operation.method.to_string(),
                host: operation.host.to_string(),
                route: operation.route.to_string(),
                count: *count,
            })
            .collect();
        operations.sort_by_key(|operation| std::cmp::Reverse(operation.count));
        IdentityRecord {
            r#type: "identity".to_owned(),
            v: 1,
            identity: self.name.to_string(),
            owner: self.owner.as_ref().map(|owner| owner.to_string()),
            kinds: KINDS
                .into_iter()
                .filter(|kind| self.kinds & (1 << *kind as u16) != 0)
                .collect(),
            fingerprints: Listed {
                items: self
                    .fingerprints
                    .items
                    .iter()
                    .map(Fingerprint::to_string)
                    .collect(),
                more: self.fingerprints.more(),
            },
            hints: strings(&self.hints),
            first_seen: (self.accesses > 0).then(|| rfc3339(self.first_us)),
            last_seen: (self.accesses > 0).then(|| rfc3339(self.last_us)),
            last_refused: (self.refused > 0).then(|| rfc3339(self.refused_us)),
            accesses: self.accesses,
            refused: self.refused,
            findings,
            workloads: Listed {
                items: self.workloads.items.iter().map(User::label).collect(),
                more: self.workloads.more(),
            },
            environments: strings(&self.environments),
            hosts: strings(&self.hosts),
            operations: Listed {
                items: operations,
                more: self.operations.more(),
            },
        }
    }

    fn restore(record: &IdentityRecord, hash: u64) -> Self {
        let strings = |listed: &Listed<String>, bound| {
            Seen::restore(
                listed.items.iter().map(|item| Arc::from(item.as_str())),
                bound,
                listed.more,
            )
        };
        let group = if record.accesses > 0 {
            Group::Accepted
        } else {
            Group::Refused
        };
        let mut entry = Self::new(record.identity.as_str().into(), hash, group);
        entry.owner = record.owner.as_deref().map(Arc::from);
        let time = |text: &Option<String>| text.as_deref().map_or(0, micros);
        entry.first_us = time(&record.first_seen);
        entry.last_us = time(&record.last_seen);
        entry.refused_us = time(&record.last_refused);
        entry.accesses = record.accesses;
        entry.refused = record.refused;
        for kind in FindingKind::ALL {
            if let (Some(slot), Some(count)) = (
                entry.findings.get_mut(kind as usize),
                record.findings.get(kind.name()),
            ) {
                *slot = u32::try_from(*count).unwrap_or(u32::MAX);
            }
        }
        entry.kinds = record
            .kinds
            .iter()
            .fold(0, |set, kind| set | 1 << *kind as u16);
        let prints = record
            .fingerprints
            .items
            .iter()
            .filter_map(|text| text.parse().ok());
        entry.fingerprints = Seen::restore(prints, MAX_FINGERPRINTS, record.fingerprints.more);
        entry.hints = strings(&record.hints, MAX_HINTS);
        let users = record
            .workloads
            .items
            .iter()
            .filter_map(|label| User::parse(label));
        entry.workloads = Seen::restore(users, MAX_WORKLOADS, record.workloads.more);
        entry.environments = strings(&record.environments, MAX_ENVIRONMENTS);
        entry.hosts = strings(&record.hosts, MAX_HOSTS);
        let operations = record.operations.items.iter().map(|item| {
            let operation = Operation {
                method: item.method.as_str().into(),
                host: item.host.as_str().into(),
                route: item.route.as_str().into(),
            };
            (operation, item.count)
        });
        entry.operations = Top::restore(operations, MAX_OPERATIONS, record.operations.more);
        entry
    }
}

/// RFC 3339 in UTC with microseconds; a time beyond the calendar is its nearest end.
fn rfc3339(us: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(us).unwrap_or(if us < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    });
    format!("{time:.6}")
}

/// Undoes [`rfc3339`]; 0 for what is no time.
fn micros(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>()
        .map_or(0, jiff::Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests;
