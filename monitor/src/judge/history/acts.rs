//! Acts that are remembered: accesses that exercised a duty of a separation or an approval.
//!
//! Of acts that are alike (who, where, what, on which object) within a short time only the first and the last
//! are kept, and of old ones only the last: whether there was one before a later act, within a window no shorter
//! than that time, has the same answer. So whoever repeats one act cannot crowd the others out. Beyond the bound
//! the oldest acts of whoever has most go.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher};
use std::mem::size_of;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap};

use crate::access::Access;

/// Longest time within which alike acts are one, in µs.
const SPAN_US: i64 = 30_000_000;
/// What an act costs beside itself: its places in the indexes.
const OVERHEAD: usize = 384;

/// A duty that was exercised, with what the granting operation captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deed {
    pub(super) duty: Arc<str>,
    /// Names and decoded values.
    pub(super) captures: Box<[(Arc<str>, Box<str>)]>,
}

/// The values that name an object; none where a rule is about no object.
pub(super) type Object<'d> = Vec<&'d str>;

/// What an access has to do with a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// It exercised duties of a separation.
    Separated,
    /// It exercised a duty that needs approval.
    Needs,
    /// It is an approval.
    Gives,
}

/// An act under one rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) kind: Kind,
    pub(super) rule: u32,
    /// Of a separation's duties, those exercised.
    pub(super) mask: u128,
    /// Hash of the object.
    pub(super) object: u64,
}

impl Mark {
    pub(super) fn is_separated(&self) -> bool {
        self.kind == Kind::Separated
    }

    pub(super) fn needs_approval(&self) -> bool {
        self.kind == Kind::Needs
    }
}

/// One access that is remembered.
#[derive(Debug)]
pub(super) struct Act {
    pub(super) access: Access,
    pub(super) deeds: Box<[Deed]>,
    /// Hash of the lineage it is put down to.
    pub(super) lineage: Option<u64>,
}

impl Act {
    pub(super) fn time_us(&self) -> i64 {
        self.access.time_us
    }

    pub(super) fn owner(&self) -> Option<&Arc<str>> {
        self.access.owner.as_ref()
    }

    pub(super) fn same_owner(&self, other: &Self) -> bool {
        self.owner().is_some() && self.owner() == other.owner()
    }

    /// Heap and indexes, in bytes; roughly.
    pub(super) fn cost(&self) -> usize {
        let captures = self.deeds.iter().flat_map(|deed| &deed.captures);
        let texts = captures.map(|(_, value)| value.len() + 40).sum::<usize>();
        let deeds = self.deeds.len() * size_of::<Deed>();
        size_of::<Self>() + self.access.path.len() + texts + deeds + OVERHEAD
    }
}

/// When, and which of that moment.
pub(super) type Stamp = (i64, u64);

#[derive(Debug)]
struct Held {
    act: Arc<Act>,
    marks: Arc<[Mark]>,
    alike: u64,
}

/// Alike acts, oldest first. The run that the last one belongs to began at `first_us`.
#[derive(Debug)]
struct Alike {
    stamps: VecDeque<Stamp>,
    first_us: i64,
}

#[derive(Debug, Default)]
pub(super) struct Acts {
    held: BTreeMap<Stamp, Held>,
    /// From a subject, a duty and an object to acts, oldest first.
    index: HashMap<u64, VecDeque<Stamp>>,
    alike: HashMap<u64, Alike>,
    owners: HashMap<Arc<str>, usize>,
    hasher: DefaultHashBuilder,
    /// Reused.
    scratch: Vec<u64>,
    bytes: usize,
    next: u64,
    /// Acts that had to go before their time.
    pub(super) forgotten: u64,
}

/// Whose acts to look for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    Owner(&'a str),
    Lineage(u64),
}

impl Acts {
    pub(super) fn hash(&self, value: impl Hash) -> u64 {
        self.hasher.hash_one(value)
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Act>> {
        self.held.values().map(|held| &held.act)
    }

    /// Where acts of a separation's duty are listed.
    fn separated(&self, subject: Subject<'_>, mark: &Mark, duty: u128) -> u64 {
        let (tag, subject) = match subject {
            Subject::Owner(owner) => (0_u8, self.hash(owner)),
            Subject::Lineage(lineage) => (1, lineage),
        };
        self.hash((tag, mark.rule, duty, mark.object, subject))
    }

    fn given(&self, mark: &Mark) -> u64 {
        self.hash((2_u8, mark.rule, mark.object))
    }

    fn keys(&self, act: &Act, marks: &[Mark], mut each: impl FnMut(u64)) {
        for mark in marks {
            match mark.kind {
                Kind::Needs => {}
                Kind::Gives => each(self.given(mark)),
                Kind::Separated => {
                    let mut left = mark.mask;
                    while left != 0 {
                        let duty = left & left.wrapping_neg();
                        left &= !duty;
                        if let Some(owner) = act.owner() {
                            each(self.separated(Subject::Owner(owner), mark, duty));
                        }
                        if let Some(lineage) = act.lineage {
                            each(self.separated(Subject::Lineage(lineage), mark, duty));
                        }
                    }
                }
            }
        }
    }

    /// What makes acts alike.
    fn likeness(&self, act: &Act, marks: &[Mark]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        act.access.identity.hash(&mut hasher);
        act.access.owner.hash(&mut hasher);
        let print = act.access.credential.as_ref();
        print
            .map(|credential| (credential.fingerprint, credential.kind))
            .hash(&mut hasher);
        act.lineage.hash(&mut hasher);
        for mark in marks {
            (mark.kind, mark.rule, mark.mask, mark.object).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Remembers an act, unless what is remembered already says the same. `shortest_us` is the shortest window
    /// of the rules, and nothing that is still to be judged is older than `settled_us`.
    pub(super) fn add(
        &mut self,
        act: &Arc<Act>,
        marks: &Arc<[Mark]>,
        shortest_us: i64,
        settled_us: i64,
    ) {
        let time = act.time_us();
        self.next += 1;
        let stamp = (time, self.next);
        let alike = self.likeness(act, marks);
        let mut gone: Vec<Stamp> = Vec::new();
        match self.alike.get_mut(&alike) {
            None => {
                let stamps = VecDeque::from([stamp]);
                let first_us = time;
                self.alike.insert(alike, Alike { stamps, first_us });
            }
            Some(run) => {
                let last = run.stamps.back().copied().unwrap_or((i64::MIN, 0));
                if time <= last.0 {
                    if time >= run.first_us {
                        return;
                    }
                    let at = run.stamps.partition_point(|other| *other < stamp);
                    run.stamps.insert(at, stamp);
                } else {
                    if time.saturating_sub(run.first_us) <= shortest_us.min(SPAN_US) {
                        if last.0 > run.first_us {
                            gone.extend(run.stamps.pop_back());
                        }
                    } else {
                        run.first_us = time;
                    }
                    run.stamps.push_back(stamp);
                }
                // Of those that are older than whatever is still judged, the last one says it all.
                while run.stamps.get(1).is_some_and(|next| next.0 < settled_us) {
                    gone.extend(run.stamps.pop_front());
                }
            }
        }
        for stamp in gone {
            self.drop_act(stamp);
        }
        self.insert(stamp, act, marks, alike);
    }

    fn insert(&mut self, stamp: Stamp, act: &Arc<Act>, marks: &Arc<[Mark]>, alike: u64) {
        let mut keys = std::mem::take(&mut self.scratch);
        self.keys(act, marks, |key| keys.push(key));
        for key in keys.drain(..) {
            let list = self.index.entry(key).or_default();
            let at = list.partition_point(|other| *other < stamp);
            list.insert(at, stamp);
        }
        self.scratch = keys;
        if let Some(owner) = act.owner() {
            match self.owners.get_mut(owner) {
                Some(count) => *count += 1,
                None => drop(self.owners.insert(Arc::clone(owner), 1)),
            }
        }
        self.bytes += act.cost();
        self.held.insert(
            stamp,
            Held {
                act: Arc::clone(act),
                marks: Arc::clone(marks),
                alike,
            },
        );
    }

    /// Takes an act out of everything but the list of its like.
    fn drop_act(&mut self, stamp: Stamp) -> Option<Held> {
        let held = self.held.remove(&stamp)?;
        let mut keys = std::mem::take(&mut self.scratch);
        self.keys(&held.act, &held.marks, |key| keys.push(key));
        for key in keys.drain(..) {
            let Some(list) = self.index.get_mut(&key) else {
                continue;
            };
            if let Ok(at) = list.binary_search(&stamp) {
                list.remove(at);
            }
            if list.is_empty() {
                self.index.remove(&key);
            }
        }
        self.scratch = keys;
        if let Some(owner) = held.act.owner()
            && let Some(count) = self.owners.get_mut(owner)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.owners.remove(owner);
            }
        }
        self.bytes = self.bytes.saturating_sub(held.act.cost());
        Some(held)
    }

    fn remove(&mut self, stamp: Stamp) -> Option<Held> {
        let held = self.drop_act(stamp)?;
        if let Some(run) = self.alike.get_mut(&held.alike) {
            if let Ok(at) = run.stamps.binary_search(&stamp) {
                run.stamps.remove(at);
            }
            if run.stamps.is_empty() {
                self.alike.remove(&held.alike);
            }
        }
        Some(held)
    }

    /// Forgets what is older.
    pub(super) fn expire(&mut self, before_us: i64) {
        while let Some((stamp, _)) = self.held.first_key_value()
            && stamp.0 < before_us
        {
            let stamp = *stamp;
            self.remove(stamp);
        }
    }

    /// Makes room, when there are more than `bytes`: for a sixteenth of them, so that it is rare. The oldest acts
    /// of those owners go who have more than their share. Returns when the newest approval that had to go was
    /// given.
    pub(super) fn keep_within(&mut self, bytes: usize) -> Option<i64> {
        if self.bytes <= bytes {
            return None;
        }
        let target = bytes - bytes / 16;
        let keep = self.held.len().saturating_mul(target) / self.bytes.max(1);
        let share = self.share(keep);
        let mut left = self.owners.clone();
        let mut doomed = Vec::with_capacity(self.held.len().saturating_sub(keep));
        for (stamp, held) in &self.held {
            let count = held.act.owner().and_then(|owner| left.get_mut(owner));
            let Some(count) = count.filter(|count| **count > share) else {
                continue;
            };
            *count -= 1;
            doomed.push(*stamp);
        }
        let mut approval = None;
        for stamp in doomed {
            approval = approval.max(self.forget(stamp));
        }
        // Acts of those within their share are larger than the others' were.
        while self.bytes > bytes
            && let Some((stamp, _)) = self.held.first_key_value()
        {
            let stamp = *stamp;
            approval = approval.max(self.forget(stamp));
        }
        approval
    }

    /// How many acts each owner may have, so that all together have at most `keep`: who has less leaves the rest
    /// to the others.
    fn share(&self, keep: usize) -> usize {
        let mut counts: Vec<usize> = self.owners.values().copied().collect();
        counts.sort_unstable();
        let mut room = keep;
        for (at, count) in counts.iter().enumerate() {
            let share = room / (counts.len() - at);
            if *count > share {
                return share;
            }
            room -= count;
        }
        usize::MAX
    }

    fn forget(&mut self, stamp: Stamp) -> Option<i64> {
        let held = self.remove(stamp)?;
        self.forgotten = self.forgotten.saturating_add(1);
        let gives = held.marks.iter().any(|mark| mark.kind == Kind::Gives);
        gives.then_some(stamp.0)
    }

    /// Gives every act its meaning under other rules.
    pub(super) fn reindex(&mut self, marks: impl Fn(&Self, &Act) -> Arc<[Mark]>) {
        let held = std::mem::take(&mut self.held);
        self.index.clear();
        self.alike.clear();
        self.owners.clear();
        self.bytes = 0;
        for (stamp, held) in held {
            let marks = marks(self, &held.act);
            let alike = self.likeness(&held.act, &marks);
            let run = self.alike.entry(alike).or_insert_with(|| Alike {
                stamps: VecDeque::new(),
                first_us: stamp.0,
            });
            run.first_us = stamp.0;
            run.stamps.push_back(stamp);
            self.insert(stamp, &held.act, &marks, alike);
        }
    }

    fn listed(&self, key: u64, from_us: i64, to_us: i64) -> impl DoubleEndedIterator<Item = &Held> {
        let list = self.index.get(&key);
        let range = list.map(|list| {
            let from = list.partition_point(|stamp| stamp.0 < from_us);
            let to = list.partition_point(|stamp| stamp.0 <= to_us);
            list.range(from..to.max(from))
        });
        let stamps = range.into_iter().flatten();
        stamps.filter_map(|stamp| self.held.get(stamp))
    }

    /// The newest act between two moments by which `subject` did another of the separated duties than `mark`
    /// says, to the same object.
    pub(super) fn counterpart(
        &self,
        subject: Subject<'_>,
        mark: &Mark,
        all: u128,
        (from_us, to_us): (i64, i64),
        fits: impl Fn(&Act) -> bool,
    ) -> Option<&Arc<Act>> {
        let differs = |held: &&Held| {
            let same = |other: &Mark| {
                other.kind == Kind::Separated
                    && (other.rule, other.object) == (mark.rule, mark.object)
            };
            let other = held.marks.iter().find(|other| same(other));
            other.is_some_and(|other| other.mask != mark.mask) && fits(&held.act)
        };
        let mut best: Option<&Held> = None;
        // Acts with the same duty matter only when this one exercised several: they may have exercised fewer.
        let own = if mark.mask.is_power_of_two() {
            mark.mask
        } else {
            0
        };
        let mut left = all & !own;
        while left != 0 {
            let duty = left & left.wrapping_neg();
            left &= !duty;
            let key = self.separated(subject, mark, duty);
            let found = self.listed(key, from_us, to_us).rev().find(differs);
            if let Some(held) = found
                && best.is_none_or(|best| best.act.time_us() < held.act.time_us())
            {
                best = Some(held);
            }
        }
        best.map(|held| &held.act)
    }

    /// Approvals of an object between two moments, oldest first. `mark` may be of either side.
    pub(super) fn approvals(
        &self,
        mark: &Mark,
        (from_us, to_us): (i64, i64),
    ) -> impl DoubleEndedIterator<Item = &Arc<Act>> {
        self.listed(self.given(mark), from_us, to_us)
            .map(|held| &held.act)
    }
}
