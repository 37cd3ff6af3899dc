//! What each identity of the policy may do, and what it did.

use std::cmp::Reverse;

use hashbrown::HashMap;

use super::build::{listed, micros};
use super::model::{Grant, IdentityRow, OperationRow};
use crate::access::Peer;
use crate::census::{IdentityRecord, OperationCount};
use crate::policy::path::Reading;
use crate::policy::{Duty, Identity, Operation, Policy, Request};

/// Most patterns shown of one identity.
const MOST_OPERATIONS: usize = 32;
/// What a route of MCP begins with.
const MCP: &str = "MCP ";

/// Every identity, the one with most unused reach first.
pub(super) fn rows(
    policy: &Policy,
    census: &HashMap<&str, &IdentityRecord>,
    since_us: i64,
) -> Vec<IdentityRow> {
    let mut rows: Vec<IdentityRow> = policy
        .identities()
        .map(|identity| {
            row(
                policy,
                identity,
                census.get(&*identity.name).copied(),
                since_us,
            )
        })
        .collect();
    rows.sort_by(|a, b| {
        let unused = |row: &IdentityRow| row.operations_granted.saturating_sub(row.operations_used);
        (Reverse(unused(a)), &a.identity).cmp(&(Reverse(unused(b)), &b.identity))
    });
    rows
}

fn row(
    policy: &Policy,
    identity: &Identity,
    seen: Option<&IdentityRecord>,
    since_us: i64,
) -> IdentityRow {
    let duties: Vec<&Duty> = identity
        .duties
        .iter()
        .filter_map(|id| policy.duty(*id))
        .collect();
    let done = seen.map_or(&[][..], |record| &record.operations.items);
    let mut used = Used::default();
    let mut operations: Vec<OperationRow> = Vec::new();
    for operation in duties.iter().flat_map(|duty| &duty.operations) {
        // Two duties may share a pattern.
        if !operations
            .iter()
            .any(|row| *row.operation == **operation.text())
        {
            operations.push(OperationRow {
                operation: operation.text().to_string(),
                used: used.falls_under(operation, done),
            });
        }
    }
    let operations_used = operations.iter().filter(|row| row.used).count() as u64;
    IdentityRow {
        identity: identity.name.to_string(),
        owner: identity.owner.to_string(),
        place: identity.place.to_string(),
        duties: duties
            .iter()
            .map(|duty| grant(duty, seen, since_us))
            .collect(),
        credentials: seen.map_or(0, |record| {
            let prints = &record.fingerprints;
            (prints.items.len() as u64).saturating_add(u64::from(prints.more))
        }),
        accesses: seen.map_or(0, |record| record.accesses),
        last_used: seen.and_then(|record| record.last_seen.clone()),
        operations_granted: operations.len() as u64,
        operations_used,
        operations: listed(operations, MOST_OPERATIONS),
        environments_granted: environments(policy, identity),
        environments_used: seen
            .map(|record| environments_used(record, since_us))
            .unwrap_or_default(),
    }
}

fn grant(duty: &Duty, seen: Option<&IdentityRecord>, since_us: i64) -> Grant {
    let usage = seen.and_then(|record| record.usage.as_ref());
    let usage = usage.and_then(|usage| usage.duties.iter().find(|used| *used.duty == *duty.name));
    Grant {
        duty: duty.name.to_string(),
        used: usage.is_some_and(|usage| micros(&usage.last_used) >= since_us),
        count: usage.map_or(0, |usage| usage.count),
        days: usage.map_or(0, |usage| usage.days),
        last_used: usage.map(|usage| usage.last_used.clone()),
    }
}

/// Whether a duty of an identity was used since then.
pub(super) fn used(
    census: &HashMap<&str, &IdentityRecord>,
    identity: &Identity,
    duty: &Duty,
    since_us: i64,
) -> bool {
    grant(duty, census.get(&*identity.name).copied(), since_us).used
}

/// Names of the environments an identity is for; `None` where the policy does not say.
pub(super) fn environments(policy: &Policy, identity: &Identity) -> Option<Vec<String>> {
    let ids = identity.environments.as_ref()?;
    let names = ids
        .iter()
        .filter_map(|id| policy.environments().name(*id))
        .map(|name| name.to_string());
    Some(names.collect())
}

/// Environments an identity went to since then.
pub(super) fn environments_used(record: &IdentityRecord, since_us: i64) -> Vec<String> {
    let places = record.usage.iter().flat_map(|usage| &usage.environments);
    places
        .filter(|place| micros(&place.last_used) >= since_us)
        .map(|place| place.environment.clone())
        .collect()
}

/// Compares operations that were done with patterns.
#[derive(Default)]
struct Used {
    path: Reading,
}

impl Used {
    /// A route is compared as if it were a path: `{id}` is one segment of it, as any id was.
    fn falls_under(&mut self, pattern: &Operation, done: &[OperationCount]) -> bool {
        done.iter().any(|operation| {
            let mcp = operation.route.strip_prefix(MCP);
            match mcp {
                Some(text) => self.path.read_operation(text),
                None => self.path.read(&operation.route),
            }
            let peer = Peer::Unknown;
            let request = Request::new(&operation.method, &operation.host, &peer, &self.path);
            match mcp {
                Some(_) => pattern.matches(&request.as_mcp(&self.path)),
                None => pattern.matches(&request),
            }
        })
    }
}
