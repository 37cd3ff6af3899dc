//! One identity of the census.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use super::record::{IdentityRecord, Listed, OperationCount};
use super::seen::{Item, Operation, Seen, Top, User};
use super::usage::Usage;
use crate::access::{Access, CredentialKind, Fingerprint};
use crate::judge::FindingKind;
use crate::slots::{NONE, Named};

/// Values kept of each kind for one identity.
const MAX_FINGERPRINTS: usize = 8;
const MAX_HINTS: usize = 4;
const MAX_WORKLOADS: usize = 8;
const MAX_ENVIRONMENTS: usize = 8;
const MAX_HOSTS: usize = 8;
const MAX_OPERATIONS: usize = 5;
/// Of an identity that the policy names: what it may do is compared with what it does.
const MAX_OPERATIONS_NAMED: usize = 16;

/// Two lists by last use: identities with accepted accesses, and those that were only ever refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Accepted,
    Refused,
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

/// How often each kind of finding was met.
pub(super) type Counts = [u32; FindingKind::ALL.len()];

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    pub(super) hash: u64,
    pub(super) group: Group,
    pub(super) newer: u32,
    pub(super) older: u32,
    pub(super) bytes: usize,
    pub(super) owner: Option<Arc<str>>,
    pub(super) first_us: i64,
    pub(super) last_us: i64,
    pub(super) refused_us: i64,
    pub(super) accesses: u64,
    pub(super) refused: u64,
    /// Numbers by kind, from the first finding on: most identities have none.
    pub(super) findings: Option<Box<Counts>>,
    pub(super) kinds: u16,
    pub(super) fingerprints: Seen<Fingerprint>,
    pub(super) hints: Seen<Arc<str>>,
    pub(super) workloads: Seen<User>,
    pub(super) environments: Seen<Arc<str>>,
    pub(super) hosts: Seen<Arc<str>>,
    pub(super) operations: Top,
    /// Of an identity that the policy names.
    pub(super) usage: Option<Box<Usage>>,
}

impl Named for Entry {
    fn name(&self) -> &str {
        &self.name
    }

    fn hash(&self) -> u64 {
        self.hash
    }
}

impl Entry {
    pub(super) fn new(name: Arc<str>, hash: u64, group: Group) -> Self {
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
            findings: None,
            kinds: 0,
            fingerprints: Seen::default(),
            hints: Seen::default(),
            workloads: Seen::default(),
            environments: Seen::default(),
            hosts: Seen::default(),
            operations: Top::default(),
            usage: None,
        }
    }

    /// Takes the facts of an access that was not refused; returns by how many bytes this grew.
    pub(super) fn learn(&mut self, access: &Access, hasher: &DefaultHashBuilder) -> isize {
        if self.accesses == 0 {
            self.first_us = access.time_us;
        }
        self.accesses = self.accesses.saturating_add(1);
        self.last_us = self.last_us.max(access.time_us);
        let mut grown = 0_usize;
        for kind in access.findings.iter() {
            grown += self.found(kind);
        }
        let same_owner = match (&self.owner, &access.owner) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if !same_owner {
            self.owner.clone_from(&access.owner);
        }
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
            let most = most_operations(self.owner.is_some());
            grown += self.operations.note(&operation, most, hasher);
        }
        if access.owner.is_some() {
            let usage = self.usage.get_or_insert_with(|| {
                grown += size_of::<Usage>().cast_signed();
                Box::default()
            });
            grown += usage.learn(access);
        }
        grown
    }

    /// Counts a finding; returns by how many bytes this grew.
    pub(super) fn found(&mut self, kind: FindingKind) -> usize {
        let grown = if self.findings.is_none() {
            size_of::<Counts>()
        } else {
            0
        };
        if let Some(count) = self.findings.get_or_insert_default().get_mut(kind as usize) {
            *count = count.saturating_add(1);
        }
        grown
    }

    /// Bytes held.
    pub(super) fn weigh(&self) -> usize {
        // The slot, the box, and the table's index with its control byte at the usual load.
        let own = size_of::<Self>() + size_of::<usize>() + 8;
        own + self.findings.as_ref().map_or(0, |_| size_of::<Counts>())
            + self.name.heap()
            + self.fingerprints.heap()
            + self.hints.heap()
            + self.workloads.heap()
            + self.environments.heap()
            + self.hosts.heap()
            + self.operations.heap()
            + self.usage.as_ref().map_or(0, |usage| usage.heap())
    }

    pub(super) fn record(&self) -> IdentityRecord {
        let strings = |seen: &Seen<Arc<str>>| Listed {
            items: seen.items.iter().map(|item| item.to_string()).collect(),
            more: seen.more(),
        };
        let findings = FindingKind::ALL
            .into_iter()
            .filter_map(|kind| {
                let count = self
                    .findings
                    .as_ref()?
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
            usage: self.usage.as_ref().map(|usage| usage.record()),
            baseline: None,
        }
    }

    pub(super) fn restore(record: &IdentityRecord, hash: u64) -> Self {
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
            if let Some(count) = record.findings.get(kind.name())
                && let Some(slot) = entry
                    .findings
                    .get_or_insert_default()
                    .get_mut(kind as usize)
            {
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
        let most = most_operations(record.owner.is_some());
        entry.operations = Top::restore(operations, most, record.operations.more);
        let usage = record.usage.as_ref().and_then(Usage::restore);
        entry.usage = usage.map(Box::new);
        entry
    }
}

fn most_operations(named: bool) -> usize {
    if named {
        MAX_OPERATIONS_NAMED
    } else {
        MAX_OPERATIONS
    }
}

/// RFC 3339 in UTC with microseconds; a time beyond the calendar is its nearest end.
pub(super) fn rfc3339(us: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(us).unwrap_or(if us < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    });
    format!("{time:.6}")
}

/// Undoes [`rfc3339`]; 0 for what is no time.
pub(super) fn micros(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>()
        .map_or(0, jiff::Timestamp::as_microsecond)
}
