//! What a check is, and what it is told beside the access.

use std::sync::Arc;

use super::history::Verdict;
use super::proofs::History;
use super::{FindingKind, FindingSet, Severity, Words};
use crate::access::Access;
use crate::policy::path::Ambiguity;
use crate::policy::{DutyId, EnvironmentId, Identity, Policy};

/// One check. It holds nothing and remembers nothing: everything it needs is handed to it.
pub trait Check: Sync {
    /// What it can find.
    fn kind(&self) -> FindingKind;

    /// Looks at one access: how bad it is, if it breaks what the check is about. Allocates nothing.
    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity>;

    /// The words for an access of which [`breaks`](Self::breaks) found something; `None` for any other.
    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words>;
}

/// Where the access went, resolved.
#[derive(Clone, Copy, Debug, Default)]
pub struct Destination<'a> {
    /// Name of the environment; `None` when neither the policy nor the host's configuration says.
    pub name: Option<&'a Arc<str>>,
    /// The same in the policy; `None` also for a host's own environment that the policy does not list.
    pub id: Option<EnvironmentId>,
    /// What the request claimed, when that was another environment.
    pub claimed: Option<EnvironmentId>,
}

/// What checks know beside the access.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The identity, when the policy names it.
    pub identity: Option<&'a Identity>,
    /// Where the access went.
    pub destination: Destination<'a>,
    /// Whether one of the identity's duties grants the operation.
    pub granted: bool,
    /// Why the path could not be matched, if so.
    pub ambiguity: Option<Ambiguity>,
    /// The duty that was exercised and wants a second factor.
    pub wants_second_factor: Option<DutyId>,
    /// Whether it was within the identity's hours; `None` when it has none, or the time is no date.
    pub within_hours: Option<bool>,
    /// Which environment the client's workload belongs to, where the policy says.
    pub workload_environment: Option<EnvironmentId>,
    /// What is remembered of proofs, keys and tokens.
    pub history: &'a History,
    /// What is remembered of earlier accesses, as far as it is known at once.
    pub(super) past: &'a Verdict,
    /// Seconds that a proof may be old, or ahead.
    pub proof_window_s: u32,
    /// Checks that are off.
    pub(super) disabled: FindingSet,
    /// Severity by kind, in order of the discriminants.
    pub(super) severities: &'a [Severity; FindingKind::ALL.len()],
}

impl<'a> Context<'a> {
    /// How bad a finding of this kind is before anything speaks for or against it.
    #[must_use]
    pub fn severity(&self, kind: FindingKind) -> Severity {
        self.severities
            .get(kind as usize)
            .copied()
            .unwrap_or(Severity::High)
    }

    /// As [`severity`](Self::severity), one step lower when the server refused: then nobody verified the
    /// credential, and nothing was done with it.
    #[must_use]
    pub fn severity_if_refused(&self, kind: FindingKind, access: &Access) -> Severity {
        let severity = self.severity(kind);
        if access.refused() {
            severity.lowered()
        } else {
            severity
        }
    }

    /// The identity, when it has duties: a canary breaks one clause, not all of them.
    #[must_use]
    pub fn dutiful(&self) -> Option<&'a Identity> {
        self.identity.filter(|identity| !identity.is_canary())
    }
}
