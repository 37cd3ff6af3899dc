//! Checks: each looks at one access and may conclude something. One file a check.
//!
//! Pure: no I/O, no clock, no panic on any input.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod bound_token_as_bearer;
mod cache;
mod canary;
mod check;
mod cleartext;
mod counts;
mod coverage_lost;
mod credential_in_url;
mod duty;
mod engine;
mod environment;
mod expired_token;
pub mod history;
mod hours;
mod key_shared;
mod lookback;
mod proof_mismatch;
mod proof_missing;
mod proof_replayed;
mod proofs;
mod read_writes;
mod second_factor;
mod separation;
pub mod stored_credential;
#[cfg(test)]
pub(crate) mod testing;
pub mod words;
mod workload;
mod workload_environment;

use serde::{Deserialize, Serialize};

pub use check::{Check, Context, Destination};
pub use counts::FindingCounts;
pub use engine::{Judge, Settings};
pub use history::{HistoryLimits, HistoryMemory, Later, Remembered, Restored, Unreadable};
pub use proofs::{ProofMemory, Sighted};

/// What a check can conclude. The name in JSON and configuration is the kebab-case one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum FindingKind {
    /// The operation is in no duty of the identity.
    Duty,
    /// The request went to an environment the identity is not for.
    Environment,
    /// The credential was used by a workload it is not bound to.
    Workload,
    /// A canary credential was used.
    Canary,
    /// A credential crossed the network in clear text.
    Cleartext,
    /// A credential stood in a URL.
    CredentialInUrl,
    /// The server accepted an expired token.
    ExpiredToken,
    /// A token that is bound to a key was sent without showing the key.
    BoundTokenAsBearer,
    /// A token was sent as DPoP-bound, but no proof with it.
    ProofMissing,
    /// A DPoP proof does not fit its request, its token or itself.
    ProofMismatch,
    /// A DPoP proof was used twice.
    ProofReplayed,
    /// Two workloads hold one key.
    KeyShared,
    /// A workload that could be read cannot be any more.
    CoverageLost,
    /// A duty that wants a second factor was exercised without one.
    SecondFactor,
    /// An identity that only reads sent a request that changes something.
    ReadWrites,
    /// The credential was used outside its identity's hours.
    Hours,
    /// A credential of one environment was used by a workload of another.
    WorkloadEnvironment,
    /// Something was done about a violation, or would have been.
    Contained,
    /// One subject exercised duties that are separated.
    Separation,
    /// A duty was exercised without the approval it needs.
    Approval,
    /// One credential is at work in two places at a time.
    CredentialShared,
    /// A credential in use is stored beside a workload's code, or is in its environment.
    StoredCredential,
    /// Nothing that policy says; but never or hardly ever done before by the identity (`baseline/`).
    Unusual,
}

impl FindingKind {
    /// All kinds, in order of their discriminants. The store keeps these: a new kind goes to the end.
    pub const ALL: [Self; 23] = [
        Self::Duty,
        Self::Environment,
        Self::Workload,
        Self::Canary,
        Self::Cleartext,
        Self::CredentialInUrl,
        Self::ExpiredToken,
        Self::BoundTokenAsBearer,
        Self::ProofMissing,
        Self::ProofMismatch,
        Self::ProofReplayed,
        Self::KeyShared,
        Self::CoverageLost,
        Self::SecondFactor,
        Self::ReadWrites,
        Self::Hours,
        Self::WorkloadEnvironment,
        Self::Contained,
        Self::Separation,
        Self::Approval,
        Self::CredentialShared,
        Self::StoredCredential,
        Self::Unusual,
    ];

    /// Name in JSON, configuration and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Duty => "duty",
            Self::Environment => "environment",
            Self::Workload => "workload",
            Self::Canary => "canary",
            Self::Cleartext => "cleartext",
            Self::CredentialInUrl => "credential-in-url",
            Self::ExpiredToken => "expired-token",
            Self::BoundTokenAsBearer => "bound-token-as-bearer",
            Self::ProofMissing => "proof-missing",
            Self::ProofMismatch => "proof-mismatch",
            Self::ProofReplayed => "proof-replayed",
            Self::KeyShared => "key-shared",
            Self::CoverageLost => "coverage-lost",
            Self::SecondFactor => "second-factor",
            Self::ReadWrites => "read-writes",
            Self::Hours => "hours",
            Self::WorkloadEnvironment => "workload-environment",
            Self::Contained => "contained",
            Self::Separation => "separation",
            Self::Approval => "approval",
            Self::CredentialShared => "credential-shared",
            Self::StoredCredential => "stored-credential",
            Self::Unusual => "unusual",
        }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Look today.
    Medium,
    /// Look now.
    High,
    /// Wake someone.
    Critical,
}

impl Severity {
    /// One step down; low stays low.
    #[must_use]
    pub fn lowered(self) -> Self {
        match self {
            Self::Critical => Self::High,
            Self::High => Self::Medium,
            Self::Medium | Self::Low => Self::Low,
        }
    }
}

/// A set of finding kinds, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FindingSet(u32);

const _: () = assert!(FindingKind::ALL.len() <= u32::BITS as usize);

impl FindingSet {
    /// Adds one.
    pub fn insert(&mut self, kind: FindingKind) {
        self.0 |= 1 << kind as u32;
    }

    /// Whether it is in.
    #[must_use]
    pub fn contains(self, kind: FindingKind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds in order.
    pub fn iter(self) -> impl Iterator<Item = FindingKind> {
        FindingKind::ALL
            .into_iter()
            .filter(move |kind| self.contains(*kind))
    }
}

/// One conclusion about one access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub kind: FindingKind,
    /// How bad.
    pub severity: Severity,
}

/// What an alert says of a finding. Made for the first of its kind, not for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The clause that was broken, in policy words, e.g. `identities.ci-bot.environments = ["dev"]`.
    pub clause: String,
    /// One line: what happened.
    pub title: String,
    /// What would have been normal.
    pub normal: String,
    /// What to do.
    pub action: String,
    /// MITRE ATT&CK technique ids.
    pub techniques: &'static [&'static str],
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod checks;

#[cfg(test)]
#[path = "rules_tests.rs"]
mod rules;
