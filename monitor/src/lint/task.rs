//! SOD004: how many owners a separated task takes.

use super::collusion::{Collusion, fewest};
use super::{Holders, Level, Lint, LintFinding, Overlaps, and, codes, commas, list};
use crate::policy::{Approval, Distinct, DutyId, Place, Policy};

/// A task whose parts are for different owners.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its parts.
    pub duties: Vec<DutyId>,
    /// The clause that separates them.
    pub clause: String,
    /// Where that stands.
    pub place: Place,
    /// Whether only the running monitor keeps them apart: owners may hold all parts, but not for one object.
    pub dynamic: bool,
    /// How many owners it takes.
    pub collusion: Collusion,
    /// The names of such owners.
    pub owners: Vec<String>,
}

/// All separations and approvals as tasks. An owner can do a part by a duty that is the part, or that shares a
/// request with it.
#[must_use]
pub fn tasks(policy: &Policy) -> Vec<Task> {
    with(policy, &Holders::of(policy), &mut Overlaps::new(policy))
}

fn with(policy: &Policy, holders: &Holders<'_>, overlaps: &mut Overlaps<'_>) -> Vec<Task> {
    let name = |id: &DutyId| policy.duty(*id).map_or("?", |duty| &*duty.name);
    let mut tasks = Vec::new();
    for separation in policy.separations() {
        let duties = separation.duties.to_vec();
        let names: Vec<&str> = duties.iter().map(name).collect();
        let on = separation.on.as_ref();
        let on = on.map_or_else(String::new, |on| format!(", on = \"{on}\""));
        let holds = reach(holders, overlaps, &duties);
        let collusion = fewest(duties.len(), &holds);
        tasks.push(Task {
            owners: owners(holders, &collusion),
            duties,
            clause: format!("separate.duties = {}{on}", list(&names)),
            place: separation.place.clone(),
            dynamic: separation.on.is_some(),
            collusion,
        });
    }
    for approval in policy.approvals() {
        let duties = vec![approval.duty, approval.by];
        let holds = reach(holders, overlaps, &duties);
        let mut collusion = fewest(2, &holds);
        // The monitor sees to it that an approval of an own act does not count.
        if let Collusion::Exactly(alone) = &collusion
            && let [one] = alone.as_slice()
            && !alone_is_enough(holders.owners().get(*one), approval)
        {
            let other = holds
                .iter()
                .enumerate()
                .find(|(at, set)| at != one && **set != 0);
            collusion = match other {
                Some((other, _)) => Collusion::Exactly(vec![*one.min(&other), *one.max(&other)]),
                None => Collusion::Impossible(vec![1]),
            };
        }
        tasks.push(Task {
            owners: owners(holders, &collusion),
            clause: format!(
                "approve.duty = \"{}\", by = \"{}\"",
                name(&approval.duty),
                name(&approval.by)
            ),
            duties,
            place: approval.place.clone(),
            dynamic: true,
            collusion,
        });
    }
    tasks
}

/// Whether an owner approves own acts by a second identity, where identities need only differ.
fn alone_is_enough(owner: Option<&super::Owner<'_>>, approval: &Approval) -> bool {
    let Some(owner) = owner.filter(|_| approval.distinct == Distinct::Identity) else {
        return false;
    };
    let with = |duty| {
        let identities = owner.identities.iter();
        identities.filter(move |identity| identity.duties.contains(&duty))
    };
    with(approval.duty).any(|asks| with(approval.by).any(|approves| asks.name != approves.name))
}

/// Per owner, which of the duties it can do.
fn reach(holders: &Holders<'_>, overlaps: &mut Overlaps<'_>, duties: &[DutyId]) -> Vec<u128> {
    let able = |owner: &super::Owner<'_>, duty: DutyId, overlaps: &mut Overlaps<'_>| {
        owner.holds(duty).is_some()
            || owner
                .identities
                .iter()
                .any(|identity| overlaps.through(identity, duty, &[]).is_some())
    };
    holders
        .owners()
        .iter()
        .map(|owner| {
            (0_u32..128)
                .zip(duties)
                .filter(|(_, duty)| able(owner, **duty, overlaps))
                .fold(0, |set, (at, _)| set | 1_u128 << at)
        })
        .collect()
}

fn owners(holders: &Holders<'_>, collusion: &Collusion) -> Vec<String> {
    let (Collusion::Exactly(who) | Collusion::Between(_, who)) = collusion else {
        return Vec::new();
    };
    who.iter()
        .filter_map(|at| Some(holders.owners().get(*at)?.name.to_string()))
        .collect()
}

pub(super) fn find(lint: &mut Lint<'_>) {
    let tasks = with(lint.policy, &lint.holders, &mut lint.overlaps);
    for task in tasks {
        let names = lint.duty_names(&task.duties);
        let all = and(&names);
        let (level, message) = match &task.collusion {
            Collusion::Exactly(owners) if owners.len() < 2 => {
                let level = if task.dynamic {
                    Level::Medium
                } else {
                    Level::High
                };
                let who = and(&task.owners);
                (level, format!("{who} alone can do {all}"))
            }
            Collusion::Exactly(owners) => (
                Level::Info,
                format!("it takes {} owners to do {all}", owners.len()),
            ),
            Collusion::Between(least, owners) => (
                Level::Info,
                format!(
                    "it takes {least} to {} owners to do {all}: too many to search them all",
                    owners.len()
                ),
            ),
            Collusion::Impossible(missing) => {
                let missing: Vec<&str> = missing
                    .iter()
                    .filter_map(|at| names.get(*at).copied())
                    .collect();
                (
                    Level::Info,
                    format!(
                        "no owners can do {all}: nobody is there for {}",
                        and(&missing)
                    ),
                )
            }
            Collusion::TooLarge => (
                Level::Info,
                format!("{} duties are too many to be searched", names.len()),
            ),
        };
        lint.push(LintFinding {
            code: codes::COLLUSION,
            level,
            subject: commas(&names),
            message,
            clause: task.clause,
            place: Some(task.place),
            witness: (!task.owners.is_empty()).then(|| and(&task.owners)),
            change: if level == Level::Info {
                String::new()
            } else {
                "give the parts to different owners".to_owned()
            },
            accepted: None,
        });
    }
}
