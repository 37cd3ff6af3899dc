//! SOD009: a privileged duty asks for no second factor.

use super::{Level, Lint, LintFinding, codes};

pub(super) fn find(lint: &mut Lint<'_>) {
    let duties = lint.policy.duties();
    for duty in duties.filter(|duty| duty.privileged && !duty.second_factor) {
        lint.push(LintFinding {
            code: codes::SECOND_FACTOR,
            level: Level::High,
            subject: duty.name.to_string(),
            message: format!("{} is privileged and asks for no second factor", duty.name),
            clause: format!("duties.{}.privileged = true", duty.name),
            place: Some(
                duty.second_factor_place
                    .as_ref()
                    .unwrap_or(&duty.place)
                    .clone(),
            ),
            witness: None,
            change: format!("add second-factor = true to {}", duty.name),
            accepted: None,
        });
    }
}
