//! SOD001: an owner holds duties that are separated.

use super::{Level, Lint, LintFinding, and, codes, list};

pub(super) fn find(lint: &mut Lint<'_>) {
    let mut found = Vec::new();
    for separation in lint.policy.separations().iter().filter(|s| s.on.is_none()) {
        for owner in lint.holders.owners() {
            let held: Vec<_> = separation
                .duties
                .iter()
                .filter_map(|duty| Some((*duty, owner.holds(*duty)?)))
                .collect();
            if held.len() < 2 {
                continue;
            }
            let names: Vec<&str> = held.iter().map(|(duty, _)| lint.duty_name(*duty)).collect();
            let by: Vec<String> = held
                .iter()
                .map(|(duty, identity)| {
                    let place = identity.places.duties.as_ref().unwrap_or(&identity.place);
                    format!("{} by {} ({place})", lint.duty_name(*duty), identity.name)
                })
                .collect();
            found.push(LintFinding {
                code: codes::COMBINED,
                level: Level::High,
                subject: owner.name.to_string(),
                message: format!("{} holds {}, which are separated", owner.name, and(&names)),
                clause: format!(
                    "separate.duties = {}",
                    list(&lint.duty_names(&separation.duties))
                ),
                place: Some(separation.place.clone()),
                witness: Some(and(&by)),
                change: format!(
                    "take {} from {}, or give one of them to another owner",
                    names.last().unwrap_or(&"one"),
                    owner.name
                ),
                accepted: None,
            });
        }
    }
    found.into_iter().for_each(|finding| lint.push(finding));
}
