//! What of a policy needs memory: its separations and approvals, by duty.

use std::sync::Arc;

use hashbrown::HashMap;

use super::acts::{Deed, Kind, Mark, Object};
use crate::policy::{Approval, Distinct, DutyId, Operation, Place, Policy, Separation};

/// How long an act counts for a separation that says nothing of it: 30 days, in microseconds.
pub(super) const DEFAULT_WINDOW_US: i64 = 30 * 86_400 * 1_000_000;

/// A `[[separate]]`.
#[derive(Debug)]
pub(super) struct SeparationRule {
    /// Its number in the policy.
    pub(super) number: u32,
    pub(super) duties: Box<[Arc<str>]>,
    /// The capture that tells objects apart.
    pub(super) on: Option<Arc<str>>,
    pub(super) within_us: i64,
    pub(super) place: Place,
}

impl SeparationRule {
    /// All its duties, as bits in their order.
    pub(super) fn all(&self) -> u128 {
        let bits = 0..self.duties.len();
        bits.fold(0, |all, at| all | bit(at))
    }
}

/// An `[[approve]]`.
#[derive(Debug)]
pub(super) struct ApprovalRule {
    pub(super) number: u32,
    pub(super) duty: Arc<str>,
    pub(super) by: Arc<str>,
    /// Captures that all operations of both duties have: they name the object. None: any approval counts.
    pub(super) on: Box<[Arc<str>]>,
    pub(super) distinct: Distinct,
    pub(super) within_us: i64,
    pub(super) place: Place,
}

/// Both, in the form that judging wants.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) separations: Vec<Arc<SeparationRule>>,
    pub(super) approvals: Vec<Arc<ApprovalRule>>,
    /// What each duty with a rule has to do with which.
    parts: HashMap<Arc<str>, Vec<(Kind, u32, u128)>>,
    /// By identity: which of its duties have a rule, as bits in their order.
    watched: Vec<u128>,
    /// The longest window, in µs; 0 without rules.
    pub(super) longest_us: i64,
    /// The shortest one.
    pub(super) shortest_us: i64,
}

fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// One bit; none beyond what fits.
pub(super) fn bit(at: usize) -> u128 {
    u32::try_from(at)
        .ok()
        .and_then(|at| 1_u128.checked_shl(at))
        .unwrap_or(0)
}

impl Rules {
    pub(super) fn new(policy: &Policy) -> Self {
        let mut rules = Self {
            shortest_us: i64::MAX,
            ..Self::default()
        };
        for separation in policy.separations() {
            rules.separation(policy, separation);
        }
        for approval in policy.approvals() {
            rules.approval(policy, approval);
        }
        rules.watched = policy
            .identities()
            .map(|identity| {
                let watched = |id: &DutyId| {
                    policy
                        .duty(*id)
                        .is_some_and(|duty| rules.parts.contains_key(&duty.name))
                };
                let bits = identity.duties.iter().enumerate();
                bits.filter(|(_, id)| watched(id))
                    .fold(0, |bits, (at, _)| bits | bit(at))
            })
            .collect();
        rules
    }

    fn window(&mut self, within_us: i64) {
        self.longest_us = self.longest_us.max(within_us);
        self.shortest_us = self.shortest_us.min(within_us);
    }

    fn separation(&mut self, policy: &Policy, separation: &Separation) {
        let number = u32::try_from(self.separations.len()).unwrap_or(u32::MAX);
        let within_us = separation.within.map_or(DEFAULT_WINDOW_US, micros);
        let names = separation.duties.iter().filter_map(|id| policy.duty(*id));
        let duties: Box<[Arc<str>]> = names.map(|duty| Arc::clone(&duty.name)).collect();
        for (at, duty) in duties.iter().enumerate().filter(|(at, _)| bit(*at) != 0) {
            let parts = self.parts.entry(Arc::clone(duty)).or_default();
            parts.push((Kind::Separated, number, bit(at)));
        }
        self.window(within_us);
        self.separations.push(Arc::new(SeparationRule {
            number,
            duties,
            on: separation.on.clone(),
            within_us,
            place: separation.place.clone(),
        }));
    }

    fn approval(&mut self, policy: &Policy, approval: &Approval) {
        let (Some(duty), Some(by)) = (policy.duty(approval.duty), policy.duty(approval.by)) else {
            return;
        };
        let number = u32::try_from(self.approvals.len()).unwrap_or(u32::MAX);
        let within_us = micros(approval.within);
        let operations = || duty.operations.iter().chain(&by.operations);
        let everywhere = |name: &Arc<str>| {
            operations().all(|operation: &Operation| operation.captures().any(|own| own == name))
        };
        let first = duty.operations.iter().next();
        let captures = first.into_iter().flat_map(Operation::captures);
        let mut on: Vec<Arc<str>> = captures.filter(|name| everywhere(name)).cloned().collect();
        on.sort_unstable();
        for (name, kind) in [(&duty.name, Kind::Needs), (&by.name, Kind::Gives)] {
            let parts = self.parts.entry(Arc::clone(name)).or_default();
            parts.push((kind, number, 0));
        }
        self.window(within_us);
        self.approvals.push(Arc::new(ApprovalRule {
            number,
            duty: Arc::clone(&duty.name),
            by: Arc::clone(&by.name),
            on: on.into(),
            distinct: approval.distinct,
            within_us,
            place: approval.place.clone(),
        }));
    }

    /// Which duties of an identity have a rule, as bits in their order.
    pub(super) fn watched(&self, identity: u32) -> u128 {
        usize::try_from(identity)
            .ok()
            .and_then(|at| self.watched.get(at))
            .copied()
            .unwrap_or(0)
    }

    pub(super) fn separation_of(&self, mark: &Mark) -> Option<&Arc<SeparationRule>> {
        self.separations.get(usize::try_from(mark.rule).ok()?)
    }

    pub(super) fn approval_of(&self, mark: &Mark) -> Option<&Arc<ApprovalRule>> {
        self.approvals.get(usize::try_from(mark.rule).ok()?)
    }

    /// What deeds mean under these rules. Empty for what no rule is about.
    pub(super) fn marks(&self, deeds: &[Deed], hash: impl Fn(&Object<'_>) -> u64) -> Arc<[Mark]> {
        let mut marks: Vec<Mark> = Vec::new();
        for deed in deeds {
            for (kind, rule, mask) in self.parts.get(&deed.duty).into_iter().flatten() {
                let Some(object) = self.object(*kind, *rule, deed) else {
                    continue;
                };
                let object = hash(&object);
                let known = marks
                    .iter_mut()
                    .find(|mark| mark.kind == *kind && mark.rule == *rule && mark.object == object);
                match known {
                    Some(mark) => mark.mask |= mask,
                    None => marks.push(Mark {
                        kind: *kind,
                        rule: *rule,
                        mask: *mask,
                        object,
                    }),
                }
            }
        }
        marks.into()
    }

    /// The object of a deed, as a rule tells objects apart; `None` when it is not known.
    fn object<'d>(&self, kind: Kind, rule: u32, deed: &'d Deed) -> Option<Object<'d>> {
        let at = usize::try_from(rule).ok()?;
        let value = |name: &Arc<str>| {
            let mut captures = deed.captures.iter();
            captures
                .find(|(own, _)| own == name)
                .map(|(_, value)| &**value)
        };
        let names: &[Arc<str>] = match kind {
            Kind::Separated => self.separations.get(at)?.on.as_slice(),
            Kind::Needs | Kind::Gives => &self.approvals.get(at)?.on,
        };
        names.iter().map(value).collect()
    }
}
