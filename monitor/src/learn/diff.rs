//! What was seen against a policy that is there.

use std::collections::BTreeSet;

use serde::Serialize;

use super::evidence::{Evidence, Subject};
use super::names::Token;
use crate::access::record::rfc3339;
use crate::access::{Claims, Credential, CredentialKind};
use crate::policy::{Identity, Operation, Policy};

/// Of one identity: `{"type":"learn-diff","v":1,…}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Always `learn-diff`.
    pub r#type: &'static str,
    /// Version of this form: 1.
    pub v: u32,
    /// Name by policy, else as it was seen.
    pub identity: String,
    /// Whether the policy names it.
    pub named: bool,
    /// Requests seen.
    pub requests: u64,
    /// RFC 3339; null when it was not seen, or no time is known.
    pub first_seen: Option<String>,
    /// Granted, never used.
    pub unused: Vec<Unused>,
    /// Used, not granted.
    pub not_granted: Vec<NotGranted>,
}

/// A grant without use.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unused {
    /// Duty.
    pub duty: String,
    /// Operation as the policy writes it.
    pub operation: String,
}

/// Use without a grant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NotGranted {
    /// Operation as a policy would write it.
    pub operation: String,
    /// Requests.
    pub count: u64,
    /// RFC 3339.
    pub last: Option<String>,
}

/// Compares, one record for every identity that differs, in the policy's order; then what it does not name.
#[must_use]
pub fn difference(evidence: &Evidence, policy: &Policy) -> Vec<Difference> {
    let found: Vec<(&String, &Subject, Option<&str>)> = evidence
        .subjects
        .iter()
        .filter(|(_, subject)| !subject.uses.is_empty())
        .map(|(key, subject)| (key, subject, named(key, subject, policy)))
        .collect();
    let mut out = Vec::new();
    for identity in policy.identities() {
        let own: Vec<&Subject> = found
            .iter()
            .filter(|(_, _, name)| *name == Some(&*identity.name))
            .map(|(_, subject, _)| *subject)
            .collect();
        out.push(of_identity(identity, &own, policy));
    }
    for (key, subject, _) in found.iter().filter(|(_, _, name)| name.is_none()) {
        out.push(made(key, false, &[subject], Vec::new(), &[]));
    }
    out.retain(|one| !one.unused.is_empty() || !one.not_granted.is_empty());
    out
}

/// The identity of the policy that a subject is: as the daemon named it, else by its credentials.
fn named<'p>(key: &str, subject: &Subject, policy: &'p Policy) -> Option<&'p str> {
    if subject.owner.is_some()
        && let Some(identity) = policy.identities().find(|identity| *identity.name == *key)
    {
        return Some(&identity.name);
    }
    let token = Token::parse(key);
    let claims = Claims {
        issuer: token
            .as_ref()
            .and_then(|t| t.issuer.as_deref())
            .map(Into::into),
        subject: claim(token.as_ref(), "sub"),
        client: claim(token.as_ref(), "client"),
        ..Claims::default()
    };
    let kind = subject.kinds.first().copied();
    subject.fingerprints.iter().find_map(|print| {
        let credential = Credential {
            kind: kind.unwrap_or(CredentialKind::Bearer),
            fingerprint: print.parse().ok()?,
            hint: None,
            claims: claims.clone(),
            default_identity: key.into(),
        };
        policy.identify(&credential).map(|identity| &*identity.name)
    })
}

fn claim(token: Option<&Token>, name: &str) -> Option<Box<str>> {
    token
        .filter(|token| token.claim == name)
        .map(|token| token.value.as_str().into())
}

fn of_identity(identity: &Identity, own: &[&Subject], policy: &Policy) -> Difference {
    let duties: Vec<_> = identity
        .duties
        .iter()
        .filter_map(|id| policy.duty(*id))
        .collect();
    let operations: Vec<&Operation> = duties
        .iter()
        .flat_map(|duty| duty.operations.iter())
        .collect();
    let used = |operation: &Operation| {
        own.iter()
            .flat_map(|subject| subject.uses.values())
            .flat_map(|used| &used.examples)
            .any(|example| example.asked().granted_by([operation]))
    };
    let unused = duties
        .iter()
        .flat_map(|duty| {
            duty.operations
                .iter()
                .map(move |operation| (duty, operation))
        })
        .filter(|(_, operation)| !used(operation))
        .map(|(duty, operation)| Unused {
            duty: duty.name.to_string(),
            operation: operation.text().to_string(),
        })
        .collect();
    made(&identity.name, true, own, unused, &operations)
}

fn made(
    name: &str,
    named: bool,
    own: &[&Subject],
    unused: Vec<Unused>,
    granted: &[&Operation],
) -> Difference {
    let mut not_granted = Vec::new();
    let mut told = BTreeSet::new();
    for (route, used) in own.iter().flat_map(|subject| &subject.uses) {
        let all = used
            .examples
            .iter()
            .all(|example| example.asked().granted_by(granted.iter().copied()));
        if !all && told.insert(route) {
            not_granted.push(NotGranted {
                operation: route.text(),
                count: used.count,
                last: used.span.0.map(|(_, last)| rfc3339(last)),
            });
        }
    }
    let first = own
        .iter()
        .filter_map(|subject| subject.span.0)
        .map(|(first, _)| first)
        .min();
    Difference {
        r#type: "learn-diff",
        v: 1,
        identity: name.to_owned(),
        named,
        requests: own
            .iter()
            .fold(0, |sum, one| sum.saturating_add(one.requests)),
        first_seen: first.map(rfc3339),
        unused,
        not_granted,
    }
}
