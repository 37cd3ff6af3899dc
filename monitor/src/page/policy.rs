//! What the page is told of the policy: who holds which duty, and what is separated.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::policy::identity::DutyId;
use crate::policy::{Distinct, Policy};

/// Identities told of at most.
const MOST: usize = 2000;

/// The policy in force, as far as the page shows it.
#[derive(Debug, Serialize)]
pub(super) struct PolicyRecord {
    generation: u64,
    duties: Vec<DutyView>,
    environments: Vec<String>,
    owners: Vec<OwnerView>,
    separations: Vec<SeparationView>,
    approvals: Vec<ApprovalView>,
    /// Identities beyond those told of.
    more: usize,
}

#[derive(Debug, Serialize)]
struct DutyView {
    name: String,
    privileged: bool,
    second_factor: bool,
    place: String,
}

#[derive(Debug, Serialize)]
struct OwnerView {
    owner: String,
    identities: Vec<IdentityView>,
}

#[derive(Debug, Serialize)]
struct IdentityView {
    identity: String,
    duties: Vec<String>,
    /// Null: wherever.
    environments: Option<Vec<String>>,
    canary: bool,
    place: String,
}

#[derive(Debug, Serialize)]
struct SeparationView {
    duties: Vec<String>,
    /// Null: they must not be held together at all.
    on: Option<String>,
    within_s: Option<u64>,
    place: String,
}

#[derive(Debug, Serialize)]
struct ApprovalView {
    duty: String,
    by: String,
    distinct: &'static str,
    within_s: u64,
    place: String,
}

impl PolicyRecord {
    pub(super) fn new(policy: &Policy) -> Self {
        let name = |id: &DutyId| {
            policy
                .duty(*id)
                .map_or_else(String::new, |duty| duty.name.to_string())
        };
        let mut owners: BTreeMap<String, Vec<IdentityView>> = BTreeMap::new();
        for identity in policy.identities().take(MOST) {
            let environments = identity.environments.as_ref().map(|all| {
                all.iter()
                    .filter_map(|id| policy.environments().name(*id))
                    .map(ToString::to_string)
                    .collect()
            });
            let view = IdentityView {
                identity: identity.name.to_string(),
                duties: identity.duties.iter().map(name).collect(),
                environments,
                canary: identity.is_canary(),
                place: identity.place.to_string(),
            };
            owners
                .entry(identity.owner.to_string())
                .or_default()
                .push(view);
        }
        Self {
            generation: policy.generation,
            duties: policy
                .duties()
                .map(|duty| DutyView {
                    name: duty.name.to_string(),
                    privileged: duty.privileged,
                    second_factor: duty.second_factor,
                    place: duty.place.to_string(),
                })
                .collect(),
            environments: policy
                .environments()
                .names()
                .map(ToString::to_string)
                .collect(),
            owners: owners
                .into_iter()
                .map(|(owner, identities)| OwnerView { owner, identities })
                .collect(),
            separations: policy
                .separations()
                .iter()
                .map(|rule| SeparationView {
                    duties: rule.duties.iter().map(name).collect(),
                    on: rule.on.as_deref().map(str::to_owned),
                    within_s: rule.within.map(|within| within.as_secs()),
                    place: rule.place.to_string(),
                })
                .collect(),
            approvals: policy
                .approvals()
                .iter()
                .map(|rule| ApprovalView {
                    duty: name(&rule.duty),
                    by: name(&rule.by),
                    distinct: match rule.distinct {
                        Distinct::Owner => "owner",
                        Distinct::Identity => "identity",
                    },
                    within_s: rule.within.as_secs(),
                    place: rule.place.to_string(),
                })
                .collect(),
            more: policy.identities().len().saturating_sub(MOST),
        }
    }
}
