//! What the judge remembers of earlier accesses: who exercised which separated duties, who approved what, and
//! where each credential is live.
//!
//! Only accesses that exercised a duty of a `[[separate]]` or an `[[approve]]` are remembered: one of the
//! identity's duties granted them, and the server did not refuse (a status below 400, gRPC's 0, or no answer
//! that was seen). What an access cannot tell at once is told later, about that same access:
//!
//! - One owner did both: at once, whichever of the two arrives last; the alert is about the later one.
//! - An approval is missing: when the grace is over, since it may be on its way.
//! - One lineage did both for two owners: then, too. Whether the workload only passes on what others sent, or
//!   works for everybody, is known by then.
//!
//! Whatever is concluded depends on the accesses' own times, so it does not matter in which order they arrive,
//! as long as none is later than the grace. Rules and duties are remembered by name: they hold over a reload.

mod acts;
mod approval;
mod crowd;
mod deeds;
mod gaps;
mod later;
mod place;
mod places;
mod rules;
mod saved;
mod shared;
mod tally;
#[cfg(test)]
mod tests;
mod waiting;
mod words;

use std::collections::VecDeque;
use std::sync::Arc;

pub use later::Later;
pub use saved::{Remembered, Restored, Unreadable};

use acts::{Act, Acts, Mark, Subject};
use approval::Outcome;
use crowd::Crowd;
use deeds::deeds;
pub(super) use deeds::was_done;
use gaps::Gaps;
pub(super) use later::Separated;
use later::Why;
use places::Places;
use rules::{Rules, SeparationRule};
use shared::Credentials;
use tally::Tally;
use waiting::{Waiting, WaitingActs};

use super::FindingKind;
use crate::access::{Access, Workload};
use crate::policy::path::Reading;
use crate::policy::{Identity, Policy};

/// Least time between two clean-ups, in µs.
const TIDY_EVERY_US: i64 = 1_000_000;
/// What is concluded at a time at most; the rest follows with the next pass.
const MOST_AT_ONCE: usize = 1024;
/// Part of the memory that is for acts that wait.
const WAITING_SHARE: usize = 2;
/// Lineages whose owners are remembered.
const MOST_LINEAGES: usize = 8192;

/// Bounds of what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Seconds by which an access may be late.
    pub grace_s: u32,
    /// Heap for acts, in bytes; half of it for those about which something may still be concluded.
    pub bytes: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            grace_s: 60,
            bytes: 8 << 20,
        }
    }
}

/// What is held, and what the bounds cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryMemory {
    /// Acts remembered.
    pub acts: usize,
    /// Heap they take, with those that wait, in bytes; roughly.
    pub bytes: usize,
    /// The bound.
    pub max_bytes: usize,
    /// Acts about which something may still be concluded.
    pub waiting: usize,
    /// Acts that had to go before their time.
    pub forgotten: u64,
    /// Acts of which nothing was concluded for want of room.
    pub unjudged: u64,
    /// Credentials that had to go while they were in use.
    pub credentials_forgotten: u64,
}

/// What is known at once of the access judged last.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) separated: Option<Separated>,
}

/// What is remembered.
#[derive(Debug)]
pub(super) struct Past {
    limits: HistoryLimits,
    rules: Rules,
    acts: Acts,
    waiting: WaitingActs,
    crowds: hashbrown::HashMap<u64, Crowd>,
    /// Their lineages, the ones that came first in front: whose crowd goes must not depend on a hash.
    crowd_order: VecDeque<u64>,
    credentials: Credentials,
    places: Places,
    gaps: Gaps,
    tally: Tally,
    /// Until the first moment is heard of: since when nobody has watched.
    unwatched_since: Option<i64>,
    later: Vec<Later>,
    /// The newest moment heard of.
    now_us: i64,
    tidied_us: i64,
    /// Whether somebody wants to know: checks may be off.
    separation: bool,
    approval: bool,
    sharing: bool,
}

impl Past {
    pub(super) fn new(limits: HistoryLimits, policy: &Policy, off: super::FindingSet) -> Self {
        Self {
            limits,
            rules: Rules::new(policy),
            acts: Acts::default(),
            waiting: WaitingActs::default(),
            crowds: hashbrown::HashMap::new(),
            crowd_order: VecDeque::new(),
            credentials: Credentials::new(),
            places: Places::new(),
            gaps: Gaps::default(),
            tally: Tally::default(),
            unwatched_since: Some(i64::MIN),
            later: Vec::new(),
            now_us: i64::MIN,
            tidied_us: i64::MIN,
            separation: !off.contains(FindingKind::Separation),
            approval: !off.contains(FindingKind::Approval),
            sharing: !off.contains(FindingKind::CredentialShared),
        }
    }

    fn grace_us(&self) -> i64 {
        i64::from(self.limits.grace_s).saturating_mul(1_000_000)
    }

    /// Takes over what another one remembers, under one's own rules.
    pub(super) fn inherit(&mut self, other: &mut Self) {
        std::mem::swap(self, other);
        std::mem::swap(&mut self.rules, &mut other.rules);
        self.limits = other.limits;
        (self.separation, self.approval, self.sharing) =
            (other.separation, other.approval, other.sharing);
        self.reindex();
    }

    /// Judges by another policy from now on.
    pub(super) fn replace(&mut self, policy: &Policy) {
        self.rules = Rules::new(policy);
        self.reindex();
    }

    fn reindex(&mut self) {
        let rules = &self.rules;
        let marks = |acts: &Acts, act: &Act| rules.marks(&act.deeds, |object| acts.hash(object));
        self.acts.reindex(marks);
        let acts = &self.acts;
        for waiting in self.waiting.all_mut() {
            waiting.marks = marks(acts, &waiting.act);
            waiting.told.clear();
        }
        self.told_before();
    }

    /// Marks what is waiting as told, where it must have been.
    fn told_before(&mut self) {
        let (acts, rules) = (&self.acts, &self.rules);
        for waiting in self.waiting.all_mut() {
            for mark in &*waiting.marks {
                if let Some(rule) = rules.separation_of(mark).filter(|_| mark.is_separated())
                    && by_owner(acts, rule, mark, &waiting.act).is_some()
                {
                    waiting.told.push(mark.rule);
                }
            }
        }
    }

    /// Which of an identity's duties need memory, as bits in their order.
    pub(super) fn watched(&self, identity: u32) -> u128 {
        self.rules.watched(identity)
    }

    /// Notes where a credential was used. Touches nothing but its entry while there is one place.
    pub(super) fn used(&mut self, access: &Access, identity: Option<&Identity>) {
        if !self.sharing {
            return;
        }
        let places = &mut self.places;
        let bound = identity.and_then(|identity| identity.workloads.as_deref());
        let allowed = |one: &Workload, other: &Workload| {
            bound.is_some_and(|bound| {
                let is = |workload: &Workload| bound.iter().any(|own| own.matches(workload));
                is(one) && is(other)
            })
        };
        let keep = || {
            Arc::new(Act {
                access: access.clone(),
                deeds: Box::default(),
                lineage: None,
            })
        };
        let place = |workload: &Arc<Workload>| places.get(workload).of_use;
        if let Some(found) = self.credentials.note(access, place, keep, allowed) {
            self.later.push(Later {
                act: Arc::clone(&found.act),
                why: Why::Shared(found),
            });
        }
    }

    /// Notes that an access exercised duties that need memory: those of `identity` in `bits`.
    pub(super) fn exercised(
        &mut self,
        policy: &Policy,
        identity: &Identity,
        bits: u128,
        access: &Access,
        (path, mcp): (&Reading, Option<&Reading>),
    ) -> Verdict {
        let deeds = deeds(policy, identity, bits, access, (path, mcp));
        let lineage = access
            .client
            .as_ref()
            .and_then(|client| self.places.get(&client.workload).lineage);
        let act = Arc::new(Act {
            access: access.clone(),
            deeds,
            lineage,
        });
        self.note(act)
    }

    fn note(&mut self, act: Arc<Act>) -> Verdict {
        let acts = &self.acts;
        let marks = self.rules.marks(&act.deeds, |object| acts.hash(object));
        let mut verdict = Verdict::default();
        let mut told = Vec::new();
        let mut waits = false;
        for mark in &*marks {
            if mark.is_separated() && self.separation {
                waits = true;
                if let Some(found) = self.separated(&act, mark) {
                    told.push(mark.rule);
                    if verdict.separated.is_none() {
                        verdict.separated = Some(found);
                    } else {
                        let act = Arc::clone(&act);
                        let why = Why::Separated(found);
                        self.later.push(Later { act, why });
                    }
                }
                self.tell_later_ones(&act, mark);
            }
            // Nothing can take an approval back: only what lacks one waits.
            if mark.needs_approval()
                && self.approval
                && let Some(rule) = self.rules.approval_of(mark)
            {
                match approval::of(&self.acts, rule, mark, &act) {
                    Outcome::Given => self.tally.note(rule, act.time_us(), true),
                    _ => waits = true,
                }
            }
        }
        let time = act.time_us();
        self.begin(time.saturating_sub(1));
        self.now_us = self.now_us.max(time);
        self.remember(&act, &marks);
        if waits {
            let limit = self.limits.bytes / WAITING_SHARE;
            self.waiting.add(Waiting { act, marks, told }, limit);
        }
        verdict
    }

    fn remember(&mut self, act: &Arc<Act>, marks: &Arc<[Mark]>) {
        if marks.is_empty() {
            return;
        }
        let settled = self
            .now_us
            .saturating_sub(self.grace_us().saturating_mul(2))
            .saturating_sub(5 * TIDY_EVERY_US);
        self.acts.add(act, marks, self.rules.shortest_us, settled);
        if let (Some(lineage), Some(owner)) = (act.lineage, act.owner()) {
            let since = self.now_us.saturating_sub(self.rules.longest_us);
            if !self.crowds.contains_key(&lineage) {
                while self.crowds.len() >= MOST_LINEAGES
                    && let Some(first) = self.crowd_order.pop_front()
                {
                    let gone = u64::from(self.crowds.remove(&first).is_some());
                    self.acts.forgotten = self.acts.forgotten.saturating_add(gone);
                }
                self.crowd_order.push_back(lineage);
            }
            let crowd = self.crowds.entry(lineage).or_default();
            crowd.note(owner, act.time_us(), since);
        }
        let room = self.limits.bytes - self.limits.bytes / WAITING_SHARE;
        if let Some(time) = self.acts.keep_within(room) {
            self.gaps.note(time, time);
        }
    }

    /// What the owner of an act did before it that is separated from it; or after it, if that is no longer
    /// waiting.
    fn separated(&self, act: &Arc<Act>, mark: &Mark) -> Option<Separated> {
        let rule = self.rules.separation_of(mark)?;
        let found = |other: &Arc<Act>| Separated {
            rule: Arc::clone(rule),
            other: Arc::clone(other),
            lineage: false,
        };
        if let Some(other) = by_owner(&self.acts, rule, mark, act) {
            return Some(found(other));
        }
        if act.time_us() >= self.now_us.saturating_sub(self.grace_us()) {
            return None;
        }
        let span = (act.time_us(), act.time_us().saturating_add(rule.within_us));
        let owner = Subject::Owner(act.owner()?);
        let later = self
            .acts
            .counterpart(owner, mark, rule.all(), span, |_| true);
        later.filter(|later| !self.waiting.holds(later)).map(found)
    }

    /// An act came late: tells of those after it that it makes a violation of.
    fn tell_later_ones(&mut self, act: &Arc<Act>, mark: &Mark) {
        let Some(rule) = self.rules.separation_of(mark) else {
            return;
        };
        let until = act.time_us().saturating_add(rule.within_us);
        for later in self.waiting.between(act.time_us(), until) {
            let completes = !later.told.contains(&mark.rule)
                && later.act.same_owner(act)
                && later.marks.iter().any(|own| {
                    own.is_separated()
                        && (own.rule, own.object) == (mark.rule, mark.object)
                        && own.mask != mark.mask
                });
            if completes {
                later.told.push(mark.rule);
                self.later.push(Later {
                    act: Arc::clone(&later.act),
                    why: Why::Separated(Separated {
                        rule: Arc::clone(rule),
                        other: Arc::clone(act),
                        lineage: false,
                    }),
                });
            }
        }
    }

    /// What was before the first moment heard of, nobody watched.
    fn begin(&mut self, now_us: i64) {
        if let Some(since) = self.unwatched_since.take() {
            self.gaps.note(since, now_us);
        }
    }

    /// It is `now_us`: concludes what can be, and forgets what is over.
    pub(super) fn look_back(&mut self, now_us: i64) {
        self.begin(now_us);
        self.now_us = self.now_us.max(now_us);
        let due = now_us.saturating_sub(self.grace_us());
        for _ in 0..MOST_AT_ONCE {
            let Some(waiting) = self.waiting.next_due(due) else {
                break;
            };
            self.conclude(&waiting);
        }
        if now_us.saturating_sub(self.tidied_us) >= TIDY_EVERY_US {
            self.tidied_us = now_us;
            self.tidy();
        }
    }

    fn tidy(&mut self) {
        let keep = self.rules.longest_us.saturating_add(self.grace_us());
        let before = self.now_us.saturating_sub(
            keep.saturating_mul(2)
                .min(keep.saturating_add(86_400_000_000)),
        );
        self.acts.expire(before);
        self.gaps.expire(before);
        self.crowds.retain(|_, crowd| crowd.expire(before));
        let crowds = &self.crowds;
        self.crowd_order
            .retain(|lineage| crowds.contains_key(lineage));
    }

    /// The grace of an act is over.
    fn conclude(&mut self, waiting: &Waiting) {
        let act = &waiting.act;
        for mark in &*waiting.marks {
            if mark.needs_approval() && self.approval {
                self.conclude_approval(act, mark);
            } else if mark.is_separated() && self.separation && !waiting.told.contains(&mark.rule) {
                self.conclude_lineage(act, mark);
            }
        }
    }

    fn conclude_approval(&mut self, act: &Arc<Act>, mark: &Mark) {
        let Some(rule) = self.rules.approval_of(mark) else {
            return;
        };
        let outcome = approval::of(&self.acts, rule, mark, act);
        let given = matches!(outcome, Outcome::Given);
        self.tally.note(rule, act.time_us(), given);
        if given {
            return;
        }
        let since = act.time_us().saturating_sub(rule.within_us);
        self.later.push(Later {
            act: Arc::clone(act),
            why: Why::Approval {
                rule: Arc::clone(rule),
                outcome,
                gap: self.gaps.within(since, act.time_us()),
            },
        });
    }

    fn conclude_lineage(&mut self, act: &Arc<Act>, mark: &Mark) {
        let rule = self.rules.separation_of(mark).cloned();
        let (Some(rule), Some(lineage)) = (rule, act.lineage) else {
            return;
        };
        let span = (act.time_us().saturating_sub(rule.within_us), act.time_us());
        let foreign = |other: &Act| !other.same_owner(act);
        let subject = Subject::Lineage(lineage);
        let Some(other) = self
            .acts
            .counterpart(subject, mark, rule.all(), span, foreign)
        else {
            return;
        };
        let other = Arc::clone(other);
        let crowd = self.crowds.get(&lineage);
        if crowd.is_some_and(|crowd| crowd.is_crowd(span.0, span.1))
            || self.passed_on(act)
            || self.passed_on(&other)
        {
            return;
        }
        self.later.push(Later {
            act: Arc::clone(act),
            why: Why::Separated(Separated {
                rule,
                other,
                lineage: true,
            }),
        });
    }

    /// Whether the workload had the credential from a request that it served.
    fn passed_on(&mut self, act: &Act) -> bool {
        let (Some(credential), Some(client)) = (&act.access.credential, &act.access.client) else {
            return false;
        };
        let place = self.places.get(&client.workload).of_use;
        place.is_some_and(|place| {
            self.credentials
                .relays(credential.fingerprint, &client.workload, &place)
        })
    }

    /// When the next act's grace is over, in µs since 1970; `None` while none waits.
    pub(super) fn due_us(&self) -> Option<i64> {
        let first = self.waiting.first_us()?;
        Some(first.saturating_add(self.grace_us()))
    }

    /// Records were lost: absence means nothing around this moment.
    pub(super) fn lost(&mut self, now_us: i64) {
        self.gaps.note(now_us.saturating_sub(TIDY_EVERY_US), now_us);
    }

    /// What was concluded since it was asked last.
    pub(super) fn take_later(&mut self) -> Vec<Later> {
        std::mem::take(&mut self.later)
    }

    pub(super) fn has_later(&self) -> bool {
        !self.later.is_empty()
    }

    pub(super) fn memory(&self) -> HistoryMemory {
        HistoryMemory {
            acts: self.acts.len(),
            bytes: self.acts.bytes() + self.waiting.bytes(),
            max_bytes: self.limits.bytes,
            waiting: self.waiting.len(),
            forgotten: self.acts.forgotten,
            unjudged: self.waiting.unjudged,
            credentials_forgotten: self.credentials.forgotten,
        }
    }
}

/// What the owner of an act did before it that is separated from it.
fn by_owner<'a>(
    acts: &'a Acts,
    rule: &SeparationRule,
    mark: &Mark,
    act: &Act,
) -> Option<&'a Arc<Act>> {
    let span = (act.time_us().saturating_sub(rule.within_us), act.time_us());
    acts.counterpart(Subject::Owner(act.owner()?), mark, rule.all(), span, |_| {
        true
    })
}
