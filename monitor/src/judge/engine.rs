//! Fills in what the policy knows of an access, and runs the checks over it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bound_token_as_bearer::BoundTokenAsBearer;
use super::cache::{Clocks, DutyLists, Hosts, Identities, Workloads};
use super::canary::Canary;
use super::check::{Check, Context, Destination};
use super::cleartext::Cleartext;
use super::credential_in_url::CredentialInUrl;
use super::duty::Duty;
use super::environment::Environment;
use super::expired_token::ExpiredToken;
use super::history::{HistoryLimits, Past, Verdict, was_done};
use super::hours::Hours;
use super::key_shared::KeyShared;
use super::proof_mismatch::ProofMismatch;
use super::proof_missing::ProofMissing;
use super::proof_replayed::ProofReplayed;
use super::proofs::{History, ProofMemory, Proofs, Sighted};
use super::read_writes::ReadWrites;
use super::second_factor::SecondFactor;
use super::separation::Separation;
use super::workload::WorkloadBinding;
use super::workload_environment::WorkloadEnvironment;
use super::{Finding, FindingKind, FindingSet, Severity, Words};
use crate::access::dpop::Proof;
use crate::access::share::{share, share_some};
use crate::access::{Access, Role, Workload};
use crate::coverage::Turned;
use crate::policy::path::{Ambiguity, Reading};
use crate::policy::{DutyId, EnvironmentId, Found, Identity, IdentityId, Policy, Request};

/// All checks, in the order of their findings.
const CHECKS: [&dyn Check; 17] = [
    &Duty,
    &Environment,
    &WorkloadBinding,
    &Canary,
    &Cleartext,
    &CredentialInUrl,
    &ExpiredToken,
    &BoundTokenAsBearer,
    &ProofMissing,
    &ProofMismatch,
    &ProofReplayed,
    &KeyShared,
    &SecondFactor,
    &ReadWrites,
    &Hours,
    &WorkloadEnvironment,
    &Separation,
];

/// What the configuration says about judging.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What this host is.
    pub environment: Option<Arc<str>>,
    /// Severities other than the default ones. Where a check lowers its severity (refused by the server,
    /// a path that is the secret), it lowers this one.
    pub severities: BTreeMap<FindingKind, Severity>,
    /// Checks that are off.
    pub disabled: FindingSet,
    /// Seconds that a DPoP proof may be old, or ahead; how long it is remembered.
    pub proof_window_s: u32,
    /// Seconds within which one key proved by two workloads is a finding.
    pub key_window_s: u32,
    /// Bounds of what is remembered of earlier accesses.
    pub history: HistoryLimits,
    /// Whether a credential's default identity may be one of the policy's by name. Only for recorded accesses,
    /// which say whose they were but no longer why.
    pub recorded: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            environment: None,
            severities: BTreeMap::new(),
            disabled: FindingSet::default(),
            proof_window_s: 300,
            key_window_s: 3600,
            history: HistoryLimits::default(),
            recorded: false,
        }
    }
}

impl FindingKind {
    /// Severity where the configuration says nothing.
    #[must_use]
    pub fn default_severity(self) -> Severity {
        match self {
            Self::Canary => Severity::Critical,
            Self::Duty | Self::Environment | Self::Workload => Severity::High,
            Self::Cleartext | Self::ExpiredToken => Severity::High,
            Self::CredentialInUrl | Self::ProofMissing | Self::CoverageLost => Severity::Medium,
            Self::BoundTokenAsBearer
            | Self::ProofMismatch
            | Self::ProofReplayed
            | Self::KeyShared => Severity::High,
            Self::SecondFactor | Self::ReadWrites | Self::WorkloadEnvironment => Severity::High,
            Self::Hours | Self::Unusual => Severity::Medium,
            Self::Contained => Severity::High,
            Self::Separation | Self::Approval | Self::CredentialShared => Severity::High,
            Self::StoredCredential => Severity::High,
        }
    }
}

/// How the route of an MCP request begins.
const MCP: &str = "MCP ";

/// Judges accesses, one after the other.
#[derive(Debug)]
pub struct Judge {
    policy: Arc<Policy>,
    settings: Settings,
    pub(super) severities: [Severity; FindingKind::ALL.len()],
    identities: Identities,
    hosts: Hosts,
    duty_lists: DutyLists,
    workloads: Workloads,
    clocks: Clocks,
    proofs: Proofs,
    pub(super) past: Past,
    path: Reading,
    mcp: Reading,
    none: Arc<[Arc<str>]>,
    pub(super) last: Last,
}

/// What was found out about the access judged last.
#[derive(Debug, Default)]
pub(super) struct Last {
    id: Option<IdentityId>,
    found: Found,
    granted: bool,
    ambiguity: Option<Ambiguity>,
    history: History,
    wants_second_factor: Option<DutyId>,
    within_hours: Option<bool>,
    workload_environment: Option<EnvironmentId>,
    pub(super) past: Verdict,
}

impl Last {
    fn context<'a>(
        &'a self,
        policy: &'a Policy,
        settings: &Settings,
        severities: &'a [Severity; FindingKind::ALL.len()],
        destination: Destination<'a>,
    ) -> Context<'a> {
        Context {
            policy,
            identity: self
                .id
                .and_then(|id| policy.identity(id))
                .map(|identity| &**identity),
            destination,
            granted: self.granted,
            ambiguity: self.ambiguity,
            wants_second_factor: self.wants_second_factor,
            within_hours: self.within_hours,
            workload_environment: self.workload_environment,
            history: &self.history,
            past: &self.past,
            proof_window_s: settings.proof_window_s,
            disabled: settings.disabled,
            severities,
        }
    }
}

impl Judge {
    /// A judge. Its caches take 3 MiB; what it remembers of DPoP grows with its use, to 16 MiB at most, and what
    /// it remembers of accesses to what `settings` allow.
    #[must_use]
    pub fn new(policy: Arc<Policy>, settings: Settings) -> Self {
        let severity = |kind: FindingKind| {
            settings
                .severities
                .get(&kind)
                .copied()
                .unwrap_or_else(|| kind.default_severity())
        };
        Self {
            severities: FindingKind::ALL.map(severity),
            past: Past::new(settings.history, &policy, settings.disabled),
            policy,
            proofs: Proofs::new(settings.proof_window_s, settings.key_window_s),
            settings,
            identities: Identities::new(),
            hosts: Hosts::new(),
            duty_lists: DutyLists::default(),
            workloads: Workloads::new(),
            clocks: Clocks::default(),
            path: Reading::new(),
            mcp: Reading::new(),
            none: Arc::from([]),
            last: Last::default(),
        }
    }

    /// Judges by another policy from now on.
    pub fn replace(&mut self, policy: Arc<Policy>) {
        self.past.replace(&policy);
        self.policy = policy;
        self.identities.clear();
        self.hosts.clear();
        self.duty_lists.clear();
        self.workloads.clear();
        self.clocks.clear();
    }

    /// Takes over what another judge remembers, which this one stands in for.
    pub fn inherit(&mut self, other: &mut Self) {
        self.proofs.inherit(&mut other.proofs);
        self.past.inherit(&mut other.past);
    }

    /// A request with a DPoP proof began. To be told in the order of the requests' first bytes: a proxy
    /// passes a request on before it answers it, so the order of answers is the wrong one.
    pub fn sighted(&mut self, proof: &mut Proof, sighted: &Sighted<'_>) {
        self.proofs.begin(proof, sighted);
    }

    /// Puts it into words that a workload turned dark, unless that is not asked for.
    #[must_use]
    pub fn coverage_lost(&self, workload: &Workload, turned: &Turned) -> Option<(Finding, Words)> {
        let kind = FindingKind::CoverageLost;
        let severity = self.severities.get(kind as usize).copied()?;
        (!self.settings.disabled.contains(kind)).then(|| {
            (
                Finding { kind, severity },
                super::coverage_lost::words(workload, turned),
            )
        })
    }

    /// How bad it is what the baseline finds unusual; `None` when nobody wants to hear of it.
    #[must_use]
    pub fn unusual(&self) -> Option<Finding> {
        let kind = FindingKind::Unusual;
        let severity = self.severities.get(kind as usize).copied()?;
        (!self.settings.disabled.contains(kind)).then_some(Finding { kind, severity })
    }

    /// What is remembered of proofs.
    #[must_use]
    pub fn proof_memory(&self) -> ProofMemory {
        self.proofs.memory()
    }

    /// The policy judged by.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Fills identity, owner, environment, duties and findings of an access, whatever stood there before,
    /// and pushes what the checks found. An access without a credential gets its
    /// environment only.
    pub fn judge(&mut self, access: &mut Access, out: &mut Vec<Finding>) {
        let Self {
            policy,
            settings,
            severities,
            identities,
            hosts,
            duty_lists,
            workloads,
            clocks,
            proofs,
            past,
            path,
            mcp,
            none,
            last,
        } = self;
        let policy: &Policy = policy;

        let id = match &access.credential {
            Some(credential) => identities.get(credential, |c| {
                let named = || policy.named(&c.default_identity);
                let id = policy.identify_id(c);
                id.or_else(|| settings.recorded.then(named).flatten())
            }),
            None => None,
        };
        let identity = id.and_then(|id| policy.identity(id));
        let default = access.credential.as_ref().map(|c| &c.default_identity);
        share_some(
            &mut access.identity,
            identity.map(|identity| &identity.name).or(default),
        );
        share_some(&mut access.owner, identity.map(|identity| &identity.owner));

        let found = Found {
            claimed: hosts.get(&access.host, |host| policy.environments().claimed(host)),
            actual: policy.actual_environment(access),
        };
        let destination = resolve(policy, settings.environment.as_ref(), found, access);
        share_some(&mut access.environment, destination.name);

        access.findings = FindingSet::default();
        let mut granted = 0;
        let mut ambiguity = None;
        let mut is_mcp = false;
        if let Some(identity) = identity.filter(|identity| !identity.is_canary()) {
            path.read(&access.path);
            ambiguity = path.ambiguity();
            let operation = access.route.strip_prefix(MCP);
            if let Some(operation) = operation {
                mcp.read_operation(operation);
                is_mcp = true;
            }
            granted = grants(policy, identity, access, path, operation.map(|_| &*mcp));
        }
        let duties = match (id, identity) {
            (Some(id), Some(identity)) if granted != 0 => {
                granted_list(policy, id, identity, granted, duty_lists)
            }
            _ => None,
        };
        share(&mut access.duties, duties.unwrap_or(none));
        let history = proofs.end(access);
        if access.credential.is_none() {
            return;
        }

        past.used(access, identity.map(|identity| &**identity));
        let mut verdict = Verdict::default();
        if granted != 0
            && let (Some(id), Some(identity)) = (id, identity)
            && let bits @ 1.. = past.watched(id.0) & granted
            && was_done(access)
        {
            let readings = (&*path, is_mcp.then_some(&*mcp));
            verdict = past.exercised(policy, identity, bits, access, readings);
        }

        *last = Last {
            id,
            found,
            granted: granted != 0,
            ambiguity,
            history,
            wants_second_factor: identity
                .and_then(|identity| wants_second_factor(policy, identity, granted)),
            within_hours: match (id, identity.and_then(|identity| identity.hours.as_ref())) {
                (Some(id), Some(hours)) => clocks.within(id, hours, access.time_us),
                _ => None,
            },
            workload_environment: match (&access.client, policy.workload_environments()) {
                (Some(client), all) if !all.is_empty() => workloads
                    .get(&client.workload, |workload| {
                        policy.workload_environment(workload)
                    }),
                _ => None,
            },
            past: verdict,
        };
        let context = last.context(policy, settings, severities, destination);
        for check in CHECKS {
            let kind = check.kind();
            if settings.disabled.contains(kind) {
                continue;
            }
            if let Some(severity) = check.breaks(&context, access) {
                access.findings.insert(kind);
                out.push(Finding { kind, severity });
            }
        }
    }

    /// The words of what was found about the access that was judged last; `None` for what was not found.
    #[must_use]
    pub fn words(&self, kind: FindingKind, access: &Access) -> Option<Words> {
        let Self {
            policy,
            settings,
            severities,
            last,
            ..
        } = self;
        let check = CHECKS.iter().find(|check| check.kind() == kind)?;
        let destination = resolve(policy, settings.environment.as_ref(), last.found, access);
        let context = last.context(policy, settings, severities, destination);
        check.words(&context, access)
    }
}

/// Names the destination. The address outranks the claim. This host's own environment stands in for the
/// address where a client elsewhere came here; a client on this host may be on its way through a local
/// door (a forwarded port, a proxy), so there it only fills a gap. `*` comes last.
fn resolve<'a>(
    policy: &'a Policy,
    own: Option<&'a Arc<str>>,
    found: Found,
    access: &Access,
) -> Destination<'a> {
    let environments = policy.environments();
    let named = |id| Destination {
        name: environments.name(id),
        id: Some(id),
        claimed: None,
    };
    let here = |own: &'a Arc<str>| Destination {
        name: Some(own),
        id: environments.find(own),
        claimed: None,
    };
    if let Some(actual) = found.actual {
        return Destination {
            claimed: found.conflict(),
            ..named(actual)
        };
    }
    let own = own.filter(|_| access.role != Role::Client);
    match (found.claimed, own) {
        (Some(claimed), Some(own)) if access.role == Role::Server => {
            let here = here(own);
            Destination {
                claimed: (here.id != Some(claimed)).then_some(claimed),
                ..here
            }
        }
        (Some(claimed), _) => named(claimed),
        (None, Some(own)) => here(own),
        (None, None) => environments
            .elsewhere(&access.host)
            .map(named)
            .unwrap_or_default(),
    }
}

/// Which of the identity's duties grant the operation, as bits.
fn grants(
    policy: &Policy,
    identity: &Identity,
    access: &Access,
    path: &Reading,
    mcp: Option<&Reading>,
) -> u128 {
    let request = Request::new(&access.method, &access.host, &access.peer, path);
    let mcp = mcp.map(|operation| request.as_mcp(operation));
    let mut bits = 0;
    for (at, id) in identity.duties.iter().enumerate() {
        let Some(duty) = policy.duty(*id) else {
            continue;
        };
        if duty.operations.iter().any(|operation| {
            operation.matches(&request)
                || mcp
                    .as_ref()
                    .is_some_and(|request| operation.matches(request))
        }) {
            bits |= u32::try_from(at)
                .ok()
                .and_then(|at| 1_u128.checked_shl(at))
                .unwrap_or(0);
        }
    }
    bits
}

/// The first of the granting duties that wants a second factor. That another one grants the operation without
/// does not help: else an overlap would be a way around.
fn wants_second_factor(policy: &Policy, identity: &Identity, granted: u128) -> Option<DutyId> {
    let mut left = granted;
    while left != 0 {
        let id = identity
            .duties
            .get(usize::try_from(left.trailing_zeros()).ok()?)?;
        if policy.duty(*id).is_some_and(|duty| duty.second_factor) {
            return Some(*id);
        }
        left &= left - 1;
    }
    None
}

/// The names of the granting duties, shared between accesses.
fn granted_list<'a>(
    policy: &'a Policy,
    id: IdentityId,
    identity: &Identity,
    granted: u128,
    lists: &'a mut DutyLists,
) -> Option<&'a Arc<[Arc<str>]>> {
    let bit = |at: usize| {
        u32::try_from(at)
            .ok()
            .and_then(|at| 1_u128.checked_shl(at))
            .unwrap_or(0)
    };
    if granted.is_power_of_two() {
        let at = usize::try_from(granted.trailing_zeros()).ok()?;
        let duty = policy.duty(*identity.duties.get(at)?)?;
        return Some(&duty.alone);
    }
    let names = || {
        let chosen = identity
            .duties
            .iter()
            .enumerate()
            .filter(|(at, _)| granted & bit(*at) != 0);
        chosen
            .filter_map(|(_, id)| policy.duty(*id))
            .map(|duty| Arc::clone(&duty.name))
            .collect()
    };
    Some(lists.get(id, granted, names))
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
