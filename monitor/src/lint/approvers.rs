//! SOD007: nobody can approve, or only those who ask.

use super::{Level, Lint, LintFinding, and, codes};
use crate::policy::{Approval, Distinct, Identity};

pub(super) fn find(lint: &mut Lint<'_>) {
    let mut found = Vec::new();
    for approval in lint.policy.approvals() {
        let holders = |duty| -> Vec<&Identity> {
            let all = lint.policy.identities();
            all.filter(|i| i.duties.contains(&duty))
                .map(|i| &**i)
                .collect()
        };
        let (asking, approving) = (holders(approval.duty), holders(approval.by));
        let (duty, by) = (lint.duty_name(approval.duty), lint.duty_name(approval.by));
        let (message, change) = if approving.is_empty() {
            (
                format!("nobody can approve {duty}: nobody holds {by}"),
                format!("give {by} to an owner who does not hold {duty}"),
            )
        } else {
            let mut alone: Vec<&str> = asking
                .iter()
                .filter(|one| !approving.iter().any(|other| is_other(approval, one, other)))
                .map(|one| who(approval, one))
                .collect();
            alone.dedup();
            let Some(one) = alone.first() else { continue };
            (
                format!(
                    "nobody but {} can approve {duty} of {}",
                    and(&alone),
                    and(&alone)
                ),
                format!("give {by} to somebody else than {one}"),
            )
        };
        found.push(LintFinding {
            code: codes::APPROVERS,
            level: Level::High,
            subject: duty.to_owned(),
            message,
            clause: format!("approve.duty = \"{duty}\", by = \"{by}\""),
            place: Some(approval.place.clone()),
            witness: None,
            change,
            accepted: None,
        });
    }
    found.into_iter().for_each(|finding| lint.push(finding));
}

fn who<'i>(approval: &Approval, identity: &'i Identity) -> &'i str {
    match approval.distinct {
        Distinct::Owner => &identity.owner,
        Distinct::Identity => &identity.name,
    }
}

fn is_other(approval: &Approval, one: &Identity, other: &Identity) -> bool {
    who(approval, one) != who(approval, other)
}
