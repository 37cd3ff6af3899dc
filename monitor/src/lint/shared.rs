//! SOD006: separated identities share a workload, a user or a container.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Level, Lint, LintFinding, codes, commas, list, same};
use crate::policy::{DutyId, Identity};

pub(super) fn find(lint: &mut Lint<'_>) {
    let mut found = Vec::new();
    let mut told = BTreeSet::new();
    for separation in lint.policy.separations() {
        let held = |identity: &Identity| -> Vec<DutyId> {
            let duties = separation.duties.iter();
            duties
                .filter(|d| identity.duties.contains(d))
                .copied()
                .collect()
        };
        let holders: Vec<(&Arc<Identity>, Vec<DutyId>)> = lint
            .policy
            .identities()
            .map(|identity| (identity, held(identity)))
            .filter(|(identity, held)| !held.is_empty() && identity.workloads.is_some())
            .collect();
        for (at, (one, first)) in holders.iter().enumerate() {
            for (other, second) in holders.iter().skip(at + 1) {
                // The same duty is no separation, and one owner is SOD001's.
                let separated = first.iter().any(|a| second.iter().any(|b| a != b));
                let one_owner = separation.on.is_none() && same(&one.owner, &other.owner);
                if !separated || one_owner || !told.insert((&*one.name, &*other.name)) {
                    continue;
                }
                let Some(workload) = common(one, other) else {
                    continue;
                };
                let place = other.places.workloads.as_ref().unwrap_or(&other.place);
                found.push(LintFinding {
                    code: codes::SHARED,
                    level: Level::High,
                    subject: commas(&[&one.name, &other.name]),
                    message: format!(
                        "{} and {} are separated, and both are used by {workload}",
                        one.name, other.name
                    ),
                    clause: format!(
                        "separate.duties = {}",
                        list(&lint.duty_names(&separation.duties))
                    ),
                    place: Some(separation.place.clone()),
                    witness: Some(format!("{workload} ({place})")),
                    change: format!(
                        "run {} and {} apart, and name each its own workloads",
                        one.name, other.name
                    ),
                    accepted: None,
                });
            }
        }
    }
    found.into_iter().for_each(|finding| lint.push(finding));
}

/// A workload that both are bound to.
fn common(one: &Identity, other: &Identity) -> Option<String> {
    let (a, b) = (one.workloads.as_ref()?, other.workloads.as_ref()?);
    a.iter()
        .find_map(|a| b.iter().find_map(|b| a.intersection(b)))
}
