//! Four eyes: whether an act was approved before it, and if not, what there was instead.

use std::sync::Arc;

use super::acts::{Act, Acts, Mark};
use super::rules::ApprovalRule;
use crate::policy::Distinct;

/// What became of an approval.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// There was one in time, by another.
    Given,
    /// There was none.
    Missing,
    /// Only one by the same hand.
    SameHand(Arc<Act>),
    /// Only one that no longer counted.
    Expired(Arc<Act>),
    /// It came after the act.
    Late(Arc<Act>),
}

impl Outcome {
    /// The approval that did not count.
    pub(super) fn act(&self) -> Option<&Arc<Act>> {
        match self {
            Self::Given | Self::Missing => None,
            Self::SameHand(act) | Self::Expired(act) | Self::Late(act) => Some(act),
        }
    }
}

fn distinct(rule: &ApprovalRule, act: &Act, approval: &Act) -> bool {
    match rule.distinct {
        Distinct::Owner => !approval.same_owner(act),
        Distinct::Identity => approval.access.identity != act.access.identity,
    }
}

/// Looks for the approval of an act.
pub(super) fn of(acts: &Acts, rule: &ApprovalRule, mark: &Mark, act: &Act) -> Outcome {
    let time = act.time_us();
    let since = time.saturating_sub(rule.within_us);
    let counts = |approval: &&Arc<Act>| distinct(rule, act, approval);
    if acts
        .approvals(mark, (since, time))
        .rev()
        .any(|own| counts(&own))
    {
        return Outcome::Given;
    }
    let mut own = acts.approvals(mark, (since, time)).rev();
    if let Some(own) = own.next() {
        return Outcome::SameHand(Arc::clone(own));
    }
    let after = time.saturating_add(1);
    if let Some(late) = acts.approvals(mark, (after, i64::MAX)).find(counts) {
        return Outcome::Late(Arc::clone(late));
    }
    let before = since.saturating_sub(1);
    if let Some(old) = acts.approvals(mark, (i64::MIN, before)).rev().find(counts) {
        return Outcome::Expired(Arc::clone(old));
    }
    Outcome::Missing
}
