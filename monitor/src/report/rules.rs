//! Separations and approvals: who holds what.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use super::build::{Inputs, listed};
use super::identities::used;
use super::model::{ApprovalRow, Held, Holder, SeparationRow};
use crate::census::{IdentityRecord, Listed};
use crate::lint::collusion::{Collusion, fewest};
use crate::policy::{Approval, Distinct, DutyId, Identity, Policy, Separation};

/// Most owners shown of one rule.
const MOST_OWNERS: usize = 100;

type Census<'a> = HashMap<&'a str, &'a IdentityRecord>;

fn name(policy: &Policy, id: DutyId) -> String {
    policy
        .duty(id)
        .map_or_else(|| "?".to_owned(), |duty| duty.name.to_string())
}

pub(super) fn separations(
    policy: &Policy,
    census: &Census<'_>,
    since_us: i64,
) -> Vec<SeparationRow> {
    policy
        .separations()
        .iter()
        .map(|separation| row(policy, separation, census, since_us))
        .collect()
}

fn row(
    policy: &Policy,
    separation: &Separation,
    census: &Census<'_>,
    since_us: i64,
) -> SeparationRow {
    let mut owners: BTreeMap<&str, Vec<(usize, &Identity)>> = BTreeMap::new();
    for identity in policy.identities() {
        for (at, duty) in separation.duties.iter().enumerate() {
            if identity.duties.contains(duty) {
                owners
                    .entry(&identity.owner)
                    .or_default()
                    .push((at, identity));
            }
        }
    }
    let masks: Vec<(&str, u128)> = owners
        .iter()
        .map(|(owner, held)| {
            let mask = held.iter().fold(0, |mask, (at, _)| mask | bit(*at));
            (*owner, mask)
        })
        .collect();
    let all = masks.iter().fold(0, |all, (_, mask)| all | mask);
    let sets: Vec<u128> = masks.iter().map(|(_, mask)| *mask).collect();
    let (chosen, exact) = match fewest(separation.duties.len(), &sets) {
        Collusion::Exactly(owners) => (Some(owners), true),
        Collusion::Between(_, owners) => (Some(owners), false),
        Collusion::Impossible(_) | Collusion::TooLarge => (None, true),
    };
    let holders: Vec<Holder> = owners
        .iter()
        .zip(&masks)
        .filter(|(_, (_, mask))| mask.count_ones() > 1)
        .map(|((owner, held), _)| Holder {
            owner: (*owner).to_owned(),
            holds: held
                .iter()
                .filter_map(|(at, identity)| {
                    let duty = policy.duty(*separation.duties.get(*at)?)?;
                    Some(Held {
                        duty: duty.name.to_string(),
                        identity: identity.name.to_string(),
                        used: used(census, identity, duty, since_us),
                    })
                })
                .collect(),
        })
        .collect();
    SeparationRow {
        duties: separation
            .duties
            .iter()
            .map(|duty| name(policy, *duty))
            .collect(),
        place: separation.place.to_string(),
        on: separation.on.as_deref().map(str::to_owned),
        exact,
        collusion: chosen.as_ref().map(|chosen| chosen.len() as u64),
        colluders: chosen
            .iter()
            .flatten()
            .filter_map(|at| Some(masks.get(*at)?.0.to_owned()))
            .collect(),
        unheld: separation
            .duties
            .iter()
            .enumerate()
            .filter(|(at, _)| all & bit(*at) == 0)
            .map(|(_, duty)| name(policy, *duty))
            .collect(),
        holders: listed(holders, MOST_OWNERS),
    }
}

/// Duties beyond the 128th share a bit: more of them than a separation has in practice.
fn bit(at: usize) -> u128 {
    1 << at.min(127)
}

pub(super) fn approvals(
    policy: &Policy,
    census: &Census<'_>,
    inputs: &Inputs<'_>,
) -> Vec<ApprovalRow> {
    policy
        .approvals()
        .iter()
        .map(|approval| approval_row(policy, approval, census, inputs))
        .collect()
}

fn approval_row(
    policy: &Policy,
    approval: &Approval,
    census: &Census<'_>,
    inputs: &Inputs<'_>,
) -> ApprovalRow {
    let subject = |identity: &Identity| match approval.distinct {
        Distinct::Owner => identity.owner.to_string(),
        Distinct::Identity => identity.name.to_string(),
    };
    let holders = |duty: DutyId| {
        policy
            .identities()
            .filter(move |identity| identity.duties.contains(&duty))
    };
    let requesters: BTreeSet<String> = holders(approval.duty).map(|who| subject(who)).collect();
    let approvers: BTreeSet<String> = holders(approval.by).map(|who| subject(who)).collect();
    let approved_by: BTreeSet<String> = policy
        .duty(approval.by)
        .into_iter()
        .flat_map(|duty| {
            holders(approval.by)
                .filter(move |identity| used(census, identity, duty, inputs.since_us))
        })
        .map(|who| subject(who))
        .collect();
    // With two approvers each has another; with one, all but that one have.
    let possible = approvers.len() > 1
        || approvers
            .first()
            .is_some_and(|only| !requesters.contains(only));
    let names = |all: BTreeSet<String>| -> Listed<String> {
        listed(all.into_iter().collect(), MOST_OWNERS)
    };
    ApprovalRow {
        duty: name(policy, approval.duty),
        by: name(policy, approval.by),
        distinct: match approval.distinct {
            Distinct::Owner => "owner",
            Distinct::Identity => "identity",
        }
        .to_owned(),
        place: approval.place.to_string(),
        possible,
        requesters: names(requesters),
        approvers: names(approvers),
        approved_by: names(approved_by),
        recorded: inputs.approvals.counts(policy, approval, inputs.since_us),
    }
}
