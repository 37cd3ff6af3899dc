//! SOD003: duties that are separated share a request. Also the comparison of duties that others use.

use hashbrown::HashMap;

use super::{Level, Lint, LintFinding, codes, commas, list};
use crate::policy::{DutyId, Identity, Place, Policy, Witness};

/// Most pairs of operations that one lint compares.
const MOST_PAIRS: usize = 2_000_000;

/// Which duties share a request, remembered.
#[derive(Debug)]
pub struct Overlaps<'p> {
    policy: &'p Policy,
    known: HashMap<(DutyId, DutyId), Option<Shared>>,
    left: usize,
    gave_up: bool,
}

/// A request that two duties share, with the operations that grant it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The request.
    pub witness: Witness,
    /// Operation of the first duty.
    pub first: std::sync::Arc<str>,
    /// Operation of the second duty.
    pub second: std::sync::Arc<str>,
}

impl<'p> Overlaps<'p> {
    /// Nothing compared yet.
    #[must_use]
    pub fn new(policy: &'p Policy) -> Self {
        Self {
            policy,
            known: HashMap::new(),
            left: MOST_PAIRS,
            gave_up: false,
        }
    }

    /// A request that both duties grant.
    pub fn shared(&mut self, first: DutyId, second: DutyId) -> Option<&Shared> {
        if !self.known.contains_key(&(first, second)) {
            let found = self.compare(first, second);
            self.known.insert((first, second), found);
        }
        self.known.get(&(first, second))?.as_ref()
    }

    /// Whether there were more pairs than are compared.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.gave_up
    }

    fn compare(&mut self, first: DutyId, second: DutyId) -> Option<Shared> {
        let (a, b) = (self.policy.duty(first)?, self.policy.duty(second)?);
        for one in &a.operations {
            for other in &b.operations {
                let Some(left) = self.left.checked_sub(1) else {
                    self.gave_up = true;
                    return None;
                };
                self.left = left;
                if let Some(witness) = one.intersection(other) {
                    return Some(Shared {
                        witness,
                        first: one.text().clone(),
                        second: other.text().clone(),
                    });
                }
            }
        }
        None
    }

    /// A duty of the identity, none of `but`, by which it can do a request of `duty`, in an environment that
    /// it is for.
    pub(super) fn through(
        &mut self,
        identity: &Identity,
        duty: DutyId,
        but: &[DutyId],
    ) -> Option<(DutyId, Shared)> {
        let environments = self.policy.environments();
        let others = identity.duties.iter().filter(|own| !but.contains(own));
        for own in others {
            let Some(shared) = self.shared(*own, duty) else {
                continue;
            };
            let place = match &shared.witness.socket {
                Some(socket) => {
                    environments.actual(&crate::access::Peer::Unix(socket.as_str().into()))
                }
                None => environments.claimed(&shared.witness.host),
            };
            if place.is_none_or(|place| identity.allows(place)) {
                return Some((*own, shared.clone()));
            }
        }
        None
    }
}

pub(super) fn find(lint: &mut Lint<'_>) {
    let separations = lint.policy.separations().iter().flat_map(|separation| {
        let key = match &separation.on {
            Some(on) => format!(", on = \"{on}\""),
            None => String::new(),
        };
        let duties = &separation.duties;
        duties.iter().enumerate().flat_map(move |(at, first)| {
            let key = key.clone();
            duties
                .iter()
                .skip(at + 1)
                .map(move |second| (*first, *second, "separate", key.clone(), &separation.place))
        })
    });
    let approvals = lint.policy.approvals().iter().map(|approval| {
        let (duty, by) = (approval.duty, approval.by);
        (duty, by, "approve", String::new(), &approval.place)
    });
    for (first, second, kind, more, place) in separations.chain(approvals) {
        let Some(shared) = lint.overlaps.shared(first, second).cloned() else {
            continue;
        };
        let finding = finding(lint, (first, second), kind, &more, place, &shared);
        lint.push(finding);
    }
}

fn finding(
    lint: &Lint<'_>,
    (first, second): (DutyId, DutyId),
    kind: &str,
    more: &str,
    place: &Place,
    shared: &Shared,
) -> LintFinding {
    let names = lint.duty_names(&[first, second]);
    let (a, b) = (lint.duty_name(first), lint.duty_name(second));
    let (clause, message) = if kind == "approve" {
        (
            format!("approve.duty = \"{a}\", by = \"{b}\""),
            format!("one request is both {a} and its approval {b}"),
        )
    } else {
        (
            format!("separate.duties = {}{more}", list(&names)),
            format!("one request is both {a} and {b}, which are separated"),
        )
    };
    LintFinding {
        code: codes::OVERLAP,
        level: Level::High,
        subject: commas(&names),
        message,
        clause,
        place: Some(place.clone()),
        witness: Some(shared.witness.to_string()),
        change: format!(
            "narrow `{}` of {a} or `{}` of {b}",
            shared.first, shared.second
        ),
        accepted: None,
    }
}
