//! SOD011: nobody holds a duty.

use hashbrown::HashSet;

use super::{Level, Lint, LintFinding, codes};
use crate::policy::DutyId;

pub(super) fn find(lint: &mut Lint<'_>) {
    let held: HashSet<DutyId> = lint
        .policy
        .identities()
        .flat_map(|identity| identity.duties.iter().copied())
        .collect();
    for (at, duty) in lint.policy.duties().enumerate() {
        if u32::try_from(at).is_ok_and(|at| held.contains(&DutyId(at))) {
            continue;
        }
        lint.push(LintFinding {
            code: codes::UNHELD,
            level: Level::Low,
            subject: duty.name.to_string(),
            message: format!("nobody holds {}", duty.name),
            clause: format!("duties.{}", duty.name),
            place: Some(duty.place.clone()),
            witness: None,
            change: format!("give {} to an identity, or remove it", duty.name),
            accepted: None,
        });
    }
}
