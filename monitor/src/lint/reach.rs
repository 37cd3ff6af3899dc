//! SOD002: an owner can do separated duties through another duty.

use super::{Level, Lint, LintFinding, and, codes, list};

pub(super) fn find(lint: &mut Lint<'_>) {
    let mut found = Vec::new();
    for separation in lint.policy.separations() {
        for owner in lint.holders.owners() {
            let mut direct = Vec::new();
            let mut through = Vec::new();
            for duty in &separation.duties {
                if owner.holds(*duty).is_some() {
                    direct.push(*duty);
                    continue;
                }
                let way = owner.identities.iter().find_map(|identity| {
                    let (other, shared) =
                        lint.overlaps.through(identity, *duty, &separation.duties)?;
                    Some((identity, other, shared))
                });
                if let Some(way) = way {
                    through.push((*duty, way));
                }
            }
            let Some((duty, (identity, other, shared))) = through.first() else {
                continue;
            };
            if direct.len() + through.len() < 2 {
                continue;
            }
            let all: Vec<_> = direct
                .iter()
                .copied()
                .chain(through.iter().map(|(duty, _)| *duty))
                .collect();
            let names = lint.duty_names(&all);
            let (name, by) = (lint.duty_name(*duty), lint.duty_name(*other));
            found.push(LintFinding {
                code: codes::REACH,
                level: Level::High,
                subject: owner.name.to_string(),
                message: format!(
                    "{} can do {}, which are separated: {by} of {} is also {name}",
                    owner.name,
                    and(&names),
                    identity.name
                ),
                clause: format!(
                    "separate.duties = {}",
                    list(&lint.duty_names(&separation.duties))
                ),
                place: Some(separation.place.clone()),
                witness: Some(format!(
                    "{} by {} ({})",
                    shared.witness, identity.name, identity.place
                )),
                change: format!(
                    "narrow `{}` of {by}, or add {by} to the separation",
                    shared.first
                ),
                accepted: None,
            });
        }
    }
    found.into_iter().for_each(|finding| lint.push(finding));
}
