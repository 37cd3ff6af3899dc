//! Whether the policy still says what was broken.

use super::model::Normal;
use crate::alert::Alert;
use crate::judge::FindingKind;
use crate::policy::{Identity, Place, Policy};

/// `policy` of [`Normal`].
const IN_FORCE: &str = "in-force";
const MOVED: &str = "moved";
const GONE: &str = "gone";
const NONE: &str = "none";

/// What would have been normal, and where the policy has it now.
pub(super) fn normal(alert: &Alert, policy: &Policy) -> Normal {
    let (state, place) = state(alert, policy);
    Normal {
        words: alert.normal.clone(),
        clause: alert.clause.clone(),
        policy: state.to_owned(),
        place: place.map(|place| place.to_string()),
    }
}

fn state<'p>(alert: &Alert, policy: &'p Policy) -> (&'static str, Option<&'p Place>) {
    let Some((file, line)) = written(&alert.clause) else {
        return (NONE, None);
    };
    let same = |place: &&Place| *place.file == *file && place.line == line;
    if let Some(place) = places(policy).find(same) {
        return (IN_FORCE, Some(place));
    }
    let identity = alert
        .identity
        .as_deref()
        .and_then(|name| policy.identities().find(|own| *own.name == *name));
    match identity {
        Some(identity) => (MOVED, Some(own_place(alert.kind, identity))),
        None => (GONE, None),
    }
}

/// File and line at the end of a clause: ` (FILE:LINE)`.
fn written(clause: &str) -> Option<(&str, u32)> {
    let (_, place) = clause.strip_suffix(')')?.rsplit_once(" (")?;
    let (file, line) = place.rsplit_once(':')?;
    Some((file, line.parse().ok()?))
}

/// Everything of a policy that a check may name.
fn places(policy: &Policy) -> impl Iterator<Item = &Place> {
    let identities = policy.identities().flat_map(|identity| {
        let clauses = &identity.places;
        [&clauses.duties, &clauses.environments, &clauses.workloads]
            .into_iter()
            .flatten()
            .chain([&identity.place])
    });
    identities
        .chain(policy.duties().map(|duty| &duty.place))
        .chain(policy.separations().iter().map(|one| &one.place))
        .chain(policy.approvals().iter().map(|one| &one.place))
}

fn own_place(kind: FindingKind, identity: &Identity) -> &Place {
    let clauses = &identity.places;
    let clause = match kind {
        FindingKind::Duty => &clauses.duties,
        FindingKind::Environment => &clauses.environments,
        FindingKind::Workload => &clauses.workloads,
        _ => &None,
    };
    clause.as_ref().unwrap_or(&identity.place)
}
