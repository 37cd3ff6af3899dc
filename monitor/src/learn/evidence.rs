//! What was seen, by identity.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::route::{Asked, Route};
use crate::access::record::{AccessRecord, EndpointRecord};
use crate::access::{CredentialKind, Peer, Role};
use crate::census::IdentityRecord;

/// Most identities.
const MAX_IDENTITIES: usize = 4096;
/// Most operations of one identity, and of all.
const MAX_OPERATIONS: usize = 2048;
const MAX_OPERATIONS_IN_ALL: usize = 65_536;
/// Most credentials, workloads, destinations and days of one identity.
const MAX_LISTED: usize = 512;
/// Paths kept of one operation, to compare with another policy.
const MAX_EXAMPLES: usize = 4;

const DAY_US: i64 = 86_400_000_000;

/// Why a request is in no duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// It had no credential.
    Anonymous,
    /// The server refused it (401, 403): nobody verified the credential.
    Refused,
    /// Its path is not known, or servers may read it differently.
    Path,
    /// It named no host, or its method or host cannot be written in a policy.
    Operation,
    /// A bound was reached.
    Bound,
}

impl LeftOut {
    /// In words, to follow a count of requests.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Anonymous => "without a credential",
            Self::Refused => "that the server refused (401, 403): nobody verified the credential",
            Self::Path => "whose path is not known, or which servers may read differently",
            Self::Operation => "without a host, or with a method or host that no policy can name",
            Self::Bound => "beyond what is kept: too many identities or operations",
        }
    }

    /// Name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Refused => "refused",
            Self::Path => "path",
            Self::Operation => "operation",
            Self::Bound => "bound",
        }
    }
}

/// First and last, in microseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span(pub(super) Option<(i64, i64)>);

impl Span {
    pub(super) fn add(&mut self, time: i64) {
        let (first, last) = self.0.unwrap_or((time, time));
        self.0 = Some((first.min(time), last.max(time)));
    }

    pub(super) fn join(&mut self, other: Self) {
        if let Some((first, last)) = other.0 {
            self.add(first);
            self.add(last);
        }
    }
}

/// One operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Use {
    pub(super) count: u64,
    pub(super) span: Span,
    /// Requests as they were, for a comparison.
    pub(super) examples: Vec<Example>,
}

/// A request as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Example {
    pub(super) method: String,
    pub(super) host: String,
    pub(super) peer: Peer,
    pub(super) path: Option<String>,
    pub(super) route: String,
}

impl Example {
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            method: &self.method,
            host: &self.host,
            peer: &self.peer,
            path: self.path.as_deref(),
            route: &self.route,
        }
    }
}

/// One identity.
#[derive(Clone, Debug, Default)]
pub(super) struct Subject {
    /// By policy.
    pub(super) owner: Option<String>,
    pub(super) kinds: BTreeSet<CredentialKind>,
    pub(super) fingerprints: BTreeSet<String>,
    pub(super) hints: BTreeSet<String>,
    pub(super) uses: BTreeMap<Route, Use>,
    /// Client workloads as a policy names them.
    pub(super) workloads: BTreeMap<String, u64>,
    pub(super) users: BTreeSet<String>,
    /// Requests of clients that are not known here.
    pub(super) elsewhere: u64,
    /// Hosts asked for, and where the connection went.
    pub(super) places: BTreeSet<(String, String)>,
    /// Environments as the daemon found them.
    pub(super) environments: BTreeSet<String>,
    pub(super) findings: BTreeMap<String, u64>,
    pub(super) requests: u64,
    pub(super) span: Span,
    pub(super) days: BTreeSet<i64>,
    /// A list was cut.
    pub(super) cut: bool,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub(super) subjects: BTreeMap<String, Subject>,
    /// Environments by host, as the daemon found them.
    pub(super) hosts: BTreeMap<String, BTreeMap<String, u64>>,
    pub(super) left_out: BTreeMap<LeftOut, u64>,
    pub(super) requests: u64,
    pub(super) span: Span,
    operations: usize,
}

impl Evidence {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests looked at.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Requests that no duty will grant, by cause.
    #[must_use]
    pub fn left_out(&self) -> &BTreeMap<LeftOut, u64> {
        &self.left_out
    }

    /// Identities known.
    #[must_use]
    pub fn identities(&self) -> usize {
        self.subjects.len()
    }

    fn leave_out(&mut self, why: LeftOut, count: u64) {
        let counter = self.left_out.entry(why).or_default();
        *counter = counter.saturating_add(count);
    }

    fn subject(&mut self, name: &str) -> Option<&mut Subject> {
        if !self.subjects.contains_key(name) {
            if self.subjects.len() >= MAX_IDENTITIES {
                return None;
            }
            self.subjects.insert(name.to_owned(), Subject::default());
        }
        self.subjects.get_mut(name)
    }

    /// Takes note of one access.
    pub fn add(&mut self, record: &AccessRecord) {
        self.requests = self.requests.saturating_add(1);
        let (Some(name), Some(credential)) = (&record.identity, &record.credential) else {
            return self.leave_out(LeftOut::Anonymous, 1);
        };
        let response = record.response.as_ref();
        let refused = response.is_some_and(|response| {
            matches!(response.status, 401 | 403) || matches!(response.grpc_status, Some(7 | 16))
        });
        if refused {
            return self.leave_out(LeftOut::Refused, 1);
        }
        let request = &record.request;
        let example = Example {
            method: request.method.clone(),
            host: request.host.clone(),
            peer: peer(record.peer.as_deref()),
            path: Some(request.path.clone()),
            route: request.route.clone(),
        };
        let route = match Route::of(&example.asked()) {
            Ok(route) => route,
            Err(why) => return self.leave_out(why, 1),
        };
        let room = self.operations < MAX_OPERATIONS_IN_ALL;
        let Some(subject) = self.subject(name) else {
            return self.leave_out(LeftOut::Bound, 1);
        };
        let new = !subject.uses.contains_key(&route);
        if new && (!room || subject.uses.len() >= MAX_OPERATIONS) {
            return self.leave_out(LeftOut::Bound, 1);
        }
        let time = micros(&record.time);
        let used = subject.uses.entry(route).or_default();
        used.count = used.count.saturating_add(1);
        if let Some(time) = time {
            used.span.add(time);
        }
        if used.examples.len() < MAX_EXAMPLES && !used.examples.contains(&example) {
            used.examples.push(example);
        }
        subject.requests = subject.requests.saturating_add(1);
        subject.kinds.insert(credential.kind);
        subject.owner = subject
            .owner
            .take()
            .or_else(|| fit(record.owner.as_deref()).map(str::to_owned));
        subject.see_credential(&credential.fingerprint, credential.hint.as_deref());
        subject.see_client(record.client.as_ref());
        let went = match (record.role, &record.peer) {
            // Of a server alone the other end is the client.
            (Role::Server, Some(peer)) if !peer.starts_with("unix:") => String::new(),
            (_, peer) => peer.clone().unwrap_or_default(),
        };
        if subject.places.len() < MAX_LISTED {
            subject.places.insert((request.host.clone(), went));
        } else {
            subject.cut = true;
        }
        for kind in &record.findings {
            if subject.findings.len() < 64 {
                let count = subject.findings.entry(kind.clone()).or_default();
                *count = count.saturating_add(1);
            }
        }
        let environment = fit(record.environment.as_deref());
        if let Some(environment) = environment
            && subject.environments.len() < 64
        {
            subject.environments.insert(environment.to_owned());
        }
        if let Some(time) = time {
            subject.span.add(time);
            if subject.days.len() < MAX_LISTED {
                subject.days.insert(time.div_euclid(DAY_US));
            }
            self.span.add(time);
        }
        if let Some(environment) = environment {
            self.see_host(&request.host, environment);
        }
        self.operations = self.operations.saturating_add(usize::from(new));
    }

    fn see_host(&mut self, host: &str, environment: &str) {
        if self.hosts.len() >= MAX_OPERATIONS && !self.hosts.contains_key(host) {
            return;
        }
        let found = self.hosts.entry(host.to_owned()).or_default();
        if found.len() < 64 || found.contains_key(environment) {
            let count = found.entry(environment.to_owned()).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Takes note of what a daemon remembers of an identity, after its accesses were added: operations that they
    /// do not show, and counts.
    pub fn add_identity(&mut self, record: &IdentityRecord) {
        if record.accesses == 0 {
            return;
        }
        let mut left: Vec<(LeftOut, u64)> = Vec::new();
        let mut room = MAX_OPERATIONS_IN_ALL.saturating_sub(self.operations);
        let Some(subject) = self.subject(&record.identity) else {
            return self.leave_out(LeftOut::Bound, record.accesses);
        };
        let more = record.accesses.saturating_sub(subject.requests);
        subject.requests = subject.requests.max(record.accesses);
        subject.owner = subject
            .owner
            .take()
            .or_else(|| fit(record.owner.as_deref()).map(str::to_owned));
        subject.kinds.extend(record.kinds.iter().copied());
        for print in &record.fingerprints.items {
            subject.see_credential(print, None);
        }
        for hint in record.hints.items.iter().take(MAX_LISTED) {
            subject.hints.insert(hint.clone());
        }
        let mut span = Span::default();
        for time in [&record.first_seen, &record.last_seen]
            .into_iter()
            .flatten()
        {
            if let Some(time) = micros(time) {
                span.add(time);
            }
        }
        subject.span.join(span);
        for workload in &record.workloads.items {
            match workload.strip_prefix("peer:") {
                Some(_) => subject.elsewhere = subject.elsewhere.saturating_add(1),
                None => subject.see_workload(workload.clone()),
            }
        }
        subject.cut |= record.workloads.more > 0 || record.hosts.more > 0;
        for operation in &record.operations.items {
            let example = Example {
                method: operation.method.clone(),
                host: operation.host.clone(),
                peer: Peer::Unknown,
                path: None,
                route: operation.route.clone(),
            };
            let route = match Route::of(&example.asked()) {
                Ok(route) => route,
                Err(why) => {
                    left.push((why, operation.count));
                    continue;
                }
            };
            // An access tells the socket or a part of the path that is not known here.
            let known = subject.uses.iter_mut().find(|(own, used)| {
                own.covers(&route)
                    || used.examples.iter().any(|seen| {
                        seen.host == operation.host
                            && seen.method == operation.method
                            && seen.route == operation.route
                    })
            });
            if let Some((_, used)) = known {
                used.count = used.count.max(operation.count);
                continue;
            }
            if room == 0 || subject.uses.len() >= MAX_OPERATIONS {
                left.push((LeftOut::Bound, operation.count));
                continue;
            }
            room -= 1;
            subject
                .places
                .insert((operation.host.clone(), String::new()));
            subject.uses.insert(
                route,
                Use {
                    count: operation.count,
                    span,
                    examples: vec![example],
                },
            );
        }
        // The daemon keeps the most frequent operations only; hosts without one would have no environment.
        let environments = &record.environments.items;
        for environment in environments
            .iter()
            .take(64)
            .filter_map(|name| fit(Some(name)))
        {
            subject.environments.insert(environment.to_owned());
        }
        self.operations = MAX_OPERATIONS_IN_ALL.saturating_sub(room);
        self.span.join(span);
        self.requests = self.requests.saturating_add(more);
        for (why, count) in left {
            self.leave_out(why, count);
        }
    }
}

impl Subject {
    fn see_credential(&mut self, fingerprint: &str, hint: Option<&str>) {
        if self.fingerprints.len() < MAX_LISTED {
            self.fingerprints.insert(fingerprint.to_owned());
        } else if !self.fingerprints.contains(fingerprint) {
            self.cut = true;
        }
        if let Some(hint) = hint
            && self.hints.len() < MAX_LISTED
        {
            self.hints.insert(hint.to_owned());
        }
    }

    fn see_client(&mut self, client: Option<&EndpointRecord>) {
        match client {
            Some(client) if !client.exe.is_empty() => {
                if self.users.len() < MAX_LISTED {
                    self.users.insert(client.user.clone());
                }
                self.see_workload(workload(client));
            }
            _ => self.elsewhere = self.elsewhere.saturating_add(1),
        }
    }

    fn see_workload(&mut self, name: String) {
        if self.workloads.len() < MAX_LISTED || self.workloads.contains_key(&name) {
            let count = self.workloads.entry(name).or_default();
            *count = count.saturating_add(1);
        } else {
            self.cut = true;
        }
    }

    /// Takes what is known of another name of the same identity.
    pub(super) fn join(&mut self, other: Self) {
        self.owner = self.owner.take().or(other.owner);
        self.kinds.extend(other.kinds);
        self.fingerprints.extend(other.fingerprints);
        self.hints.extend(other.hints);
        for (route, used) in other.uses {
            let own = self.uses.entry(route).or_default();
            own.count = own.count.saturating_add(used.count);
            own.span.join(used.span);
            own.examples.extend(used.examples);
            own.examples.truncate(MAX_EXAMPLES);
        }
        for (name, count) in other.workloads {
            let own = self.workloads.entry(name).or_default();
            *own = own.saturating_add(count);
        }
        self.users.extend(other.users);
        self.elsewhere = self.elsewhere.saturating_add(other.elsewhere);
        self.places.extend(other.places);
        self.environments.extend(other.environments);
        for (kind, count) in other.findings {
            let own = self.findings.entry(kind).or_default();
            *own = own.saturating_add(count);
        }
        self.requests = self.requests.saturating_add(other.requests);
        self.span.join(other.span);
        self.days.extend(other.days);
        self.cut |= other.cut;
    }
}

/// A service by its unit; a program of a person's session by its file, and so one in a container, whose id is
/// another tomorrow.
fn workload(client: &EndpointRecord) -> String {
    match &client.unit {
        Some(unit)
            if unit.ends_with(".service")
                && !unit.starts_with("user@")
                && client.container.is_none() =>
        {
            format!("unit:{unit}")
        }
        _ => format!("exe:{}", client.exe),
    }
}

fn peer(text: Option<&str>) -> Peer {
    match text {
        None => Peer::Unknown,
        Some(text) => match text.strip_prefix("unix:") {
            Some(path) => Peer::Unix(Arc::from(path)),
            None => text.parse().map_or(Peer::Unknown, Peer::Inet),
        },
    }
}

fn micros(text: &str) -> Option<i64> {
    text.parse::<Timestamp>()
        .ok()
        .map(|time| time.as_microsecond())
}

/// A name from a policy; whoever made the record up may have written one that no policy can hold.
fn fit(name: Option<&str>) -> Option<&str> {
    name.filter(|name| crate::policy::unfit_name(name).is_none())
}
