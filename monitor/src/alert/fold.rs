//! Folding of findings on the hot thread.
//!
//! A [`Folder`] gathers what was found between two drains, one entry for each alert that grows.
//! Its table is bounded. When it is full, the entry seen longest ago of the class with most
//! entries makes room; what it counted goes on in one overflow entry of its kind, so the sum of
//! all drained counts is always the number of findings observed. Classes are a kind of finding
//! and whether policy names the identity: nobody crowds out a canary, or the findings of a named
//! identity, by inventing credentials.
//!
//! Within one set of rules, kind, identity and workload say which clause was broken; so the words of a
//! finding are asked for only when an entry begins or gets worse.
//!
//! Pure: no I/O, no clock, no lock, no panic. A finding of a known key allocates nothing beyond
//! its share of evidence.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::access::workload::Label;
use crate::access::{Access, Workload};
use crate::judge::{Finding, FindingKind, Words};

use super::evidence::FIRST_EVIDENCE;
use super::subject::Subject;
use super::{AlertUpdate, FoldKey, MAX_EVIDENCE};

/// Default bound of the table.
pub const DEFAULT_KEYS: usize = 4096;
/// Newest accesses kept beside the first.
const NEWEST: usize = MAX_EVIDENCE - FIRST_EVIDENCE;
/// Accesses kept as evidence between two drains beyond the first one of each entry; bounds memory
/// when every entry has a lot to show.
const SPARE_EVIDENCE: usize = 4096;
/// A kind, and whether policy names the identity.
const CLASSES: usize = FindingKind::ALL.len() * 2;
/// No entry.
const NONE: u32 = u32::MAX;

/// Gathers findings until they are drained. See the module.
#[derive(Debug)]
pub struct Folder {
    hasher: DefaultHashBuilder,
    index: HashTable<u32>,
    entries: Vec<Entry>,
    capacity: usize,
    spare_evidence: usize,
    classes: [Class; CLASSES],
    overflow: [Option<AlertUpdate>; FindingKind::ALL.len()],
    has_overflow: bool,
    crowded_out: u64,
    /// Grows with each new set of rules.
    rules: u32,
}

/// Entries of one class, linked from the one seen longest ago to the one seen last.
#[derive(Clone, Copy, Debug)]
struct Class {
    oldest: u32,
    newest: u32,
    len: usize,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    rules: u32,
    clause: u32,
    class: usize,
    older: u32,
    newer: u32,
    /// `evidence` holds the first accesses.
    update: AlertUpdate,
    /// Ring of the newest; `next_newest` is the oldest of them once it is full.
    newest: Vec<Access>,
    next_newest: usize,
}

impl Default for Folder {
    fn default() -> Self {
        Self::new(DEFAULT_KEYS)
    }
}

impl Folder {
    /// A folder with room for `keys` alerts between two drains (at least one).
    #[must_use]
    pub fn new(keys: usize) -> Self {
        let capacity = keys.clamp(1, NONE as usize - 1);
        Self {
            hasher: DefaultHashBuilder::default(),
            index: HashTable::new(),
            entries: Vec::new(),
            capacity,
            spare_evidence: SPARE_EVIDENCE,
            classes: [Class {
                oldest: NONE,
                newest: NONE,
                len: 0,
            }; CLASSES],
            overflow: std::array::from_fn(|_| None),
            has_overflow: false,
            crowded_out: 0,
            rules: 0,
        }
    }

    /// Other rules hold from now on, with other clauses.
    pub fn replace_rules(&mut self) {
        self.rules = self.rules.wrapping_add(1);
    }

    /// Alerts that wait for a drain.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.entries.len() + usize::from(self.has_overflow)
    }

    /// Whether it is time to drain before the next entry has to make room: the table is over half
    /// full.
    #[must_use]
    pub fn pressed(&self) -> bool {
        self.entries.len() > self.capacity / 2
    }

    /// Entries that were counted under their kind's overflow for want of room, since the start.
    #[must_use]
    pub fn crowded_out(&self) -> u64 {
        self.crowded_out
    }

    /// Takes a finding in. `words` says what it is, if it is one.
    pub fn observe(
        &mut self,
        finding: Finding,
        access: &Access,
        words: impl FnOnce() -> Option<Words>,
    ) {
        self.observe_beside(finding, access, (None, 0), words);
    }

    /// As [`observe`](Self::observe), for a finding to which another access belongs: it is evidence, too, before
    /// the access itself. The number tells clauses of one kind apart, which identity and workload do not.
    pub fn observe_beside(
        &mut self,
        finding: Finding,
        access: &Access,
        (beside, clause): (Option<&Access>, u32),
        words: impl FnOnce() -> Option<Words>,
    ) {
        let subject = Subject::Access {
            access,
            beside,
            clause,
        };
        self.take(finding, subject, words);
    }

    /// Takes a finding in that is about a workload and no access of it: its alert has no evidence but its
    /// words. `operation` says what the workload did, `time_us` when (microseconds since 1970).
    pub fn observe_workload(
        &mut self,
        finding: Finding,
        words: Words,
        workload: &Workload,
        operation: &str,
        time_us: i64,
    ) {
        let subject = Subject::Workload {
            workload,
            operation,
            time_us,
        };
        self.take(finding, subject, || Some(words));
    }

    fn take(
        &mut self,
        finding: Finding,
        subject: Subject<'_>,
        words: impl FnOnce() -> Option<Words>,
    ) {
        let label = subject.label();
        let identity = subject.identity().map(|name| &**name);
        let clause = subject.clause();
        let hash = self.hash(finding.kind, identity, label, clause);
        let found = self.index.find(hash, |slot| {
            self.entries.get(*slot as usize).is_some_and(|entry| {
                let key = &entry.update.key;
                entry.rules == self.rules
                    && entry.clause == clause
                    && key.kind == finding.kind
                    && key.identity.as_deref() == identity
                    && match (&key.workload, label) {
                        (Some(text), Some(label)) => label.is(text),
                        (None, None) => true,
                        _ => false,
                    }
            })
        });
        if let Some(slot) = found.copied() {
            self.unlink(slot);
            self.link(slot);
            self.grow(slot, finding, subject, words);
        } else if let Some(words) = words() {
            self.insert(hash, label, finding, subject, words);
        }
    }

    /// Hands every alert's growth over and forgets it. Costs nothing when nothing is pending.
    pub fn drain(&mut self, mut f: impl FnMut(AlertUpdate)) {
        if !self.entries.is_empty() {
            self.index.clear();
            self.classes = [Class {
                oldest: NONE,
                newest: NONE,
                len: 0,
            }; CLASSES];
            self.spare_evidence = SPARE_EVIDENCE;
            for entry in self.entries.drain(..) {
                f(entry.into_update());
            }
        }
        if self.has_overflow {
            self.has_overflow = false;
            for slot in &mut self.overflow {
                if let Some(update) = slot.take() {
                    f(update);
                }
            }
        }
    }

    fn hash(
        &self,
        kind: FindingKind,
        identity: Option<&str>,
        label: Option<Label<'_>>,
        clause: u32,
    ) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        (kind as u8).hash(&mut hasher);
        identity.hash(&mut hasher);
        label
            .map(|label| (label.kind, label.name))
            .hash(&mut hasher);
        (self.rules, clause).hash(&mut hasher);
        hasher.finish()
    }

    fn grow(
        &mut self,
        slot: u32,
        finding: Finding,
        subject: Subject<'_>,
        words: impl FnOnce() -> Option<Words>,
    ) {
        let Some(entry) = self.entries.get_mut(slot as usize) else {
            return;
        };
        let update = &mut entry.update;
        update.count = update.count.saturating_add(1);
        update.first_us = update.first_us.min(subject.time_us());
        update.last_us = update.last_us.max(subject.time_us());
        if finding.severity > update.severity
            && let Some(words) = words()
        {
            update.severity = finding.severity;
            update.title = words.title;
            update.normal = words.normal;
            update.action = words.action;
            update.techniques = words.techniques;
            update.operation = subject.operation();
            update.environment = subject.environment().cloned();
        }
        for access in subject.beside().into_iter().chain(subject.access()) {
            entry.show(&mut self.spare_evidence, access);
        }
    }

    fn insert(
        &mut self,
        hash: u64,
        label: Option<Label<'_>>,
        finding: Finding,
        subject: Subject<'_>,
        words: Words,
    ) {
        let entry = Entry {
            hash,
            rules: self.rules,
            clause: subject.clause(),
            class: class_of(finding.kind, subject.owner().is_some()),
            older: NONE,
            newer: NONE,
            update: AlertUpdate {
                key: FoldKey {
                    kind: finding.kind,
                    identity: subject.identity().cloned(),
                    workload: label.map(|label| label.to_string().into()),
                    clause: words.clause.into(),
                },
                count: 1,
                first_us: subject.time_us(),
                last_us: subject.time_us(),
                severity: finding.severity,
                title: words.title,
                normal: words.normal,
                action: words.action,
                techniques: words.techniques,
                owner: subject.owner().cloned(),
                operation: subject.operation(),
                environment: subject.environment().cloned(),
                evidence: subject
                    .beside()
                    .into_iter()
                    .chain(subject.access())
                    .cloned()
                    .collect(),
            },
            newest: Vec::new(),
            next_newest: 0,
        };
        let slot = if self.entries.len() < self.capacity {
            self.entries.push(entry);
            // Below the capacity, which is below u32::MAX.
            u32::try_from(self.entries.len() - 1).unwrap_or(NONE)
        } else {
            match self.replace_oldest(entry) {
                Some(slot) => slot,
                None => return,
            }
        };
        let Self { index, entries, .. } = self;
        index.insert_unique(hash, slot, |slot| {
            entries.get(*slot as usize).map_or(0, |entry| entry.hash)
        });
        self.link(slot);
    }

    /// Puts `entry` in the place of the one that makes room.
    fn replace_oldest(&mut self, entry: Entry) -> Option<u32> {
        let busiest = |named: bool| {
            self.classes
                .iter()
                .enumerate()
                .filter(|(class, list)| class % 2 == usize::from(named) && list.len > 0)
                .max_by_key(|(_, list)| list.len)
                .map(|(_, list)| list.oldest)
        };
        // Identities that policy names are few; what policy does not name can be invented.
        let slot = busiest(false).or_else(|| busiest(true))?;
        self.unlink(slot);
        let place = self.entries.get_mut(slot as usize)?;
        let old = std::mem::replace(place, entry);
        if let Ok(found) = self
            .index
            .find_entry(old.hash, |candidate| *candidate == slot)
        {
            found.remove();
        }
        self.crowded_out = self.crowded_out.saturating_add(1);
        let old = old.into_update().into_overflow();
        if let Some(place) = self.overflow.get_mut(old.key.kind as usize) {
            match place {
                Some(sum) => sum.absorb(old),
                None => *place = Some(old),
            }
            self.has_overflow = true;
        }
        Some(slot)
    }

    fn unlink(&mut self, slot: u32) {
        let Some(entry) = self.entries.get_mut(slot as usize) else {
            return;
        };
        let (class, older, newer) = (entry.class, entry.older, entry.newer);
        entry.older = NONE;
        entry.newer = NONE;
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => {
                if let Some(list) = self.classes.get_mut(class) {
                    list.oldest = newer;
                }
            }
        }
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => {
                if let Some(list) = self.classes.get_mut(class) {
                    list.newest = older;
                }
            }
        }
        if let Some(list) = self.classes.get_mut(class) {
            list.len = list.len.saturating_sub(1);
        }
    }

    fn link(&mut self, slot: u32) {
        let Some(class) = self.entries.get(slot as usize).map(|entry| entry.class) else {
            return;
        };
        let Some(list) = self.classes.get_mut(class) else {
            return;
        };
        let older = std::mem::replace(&mut list.newest, slot);
        list.len += 1;
        if older == NONE {
            list.oldest = slot;
        } else if let Some(entry) = self.entries.get_mut(older as usize) {
            entry.newer = slot;
        }
        if let Some(entry) = self.entries.get_mut(slot as usize) {
            entry.older = older;
            entry.newer = NONE;
        }
    }
}

impl Entry {
    /// Keeps an access as evidence, as far as there is room.
    fn show(&mut self, spare: &mut usize, access: &Access) {
        if let Some(oldest) = self.newest.get_mut(self.next_newest) {
            oldest.overwrite(access);
            self.next_newest = (self.next_newest + 1) % self.newest.len().max(1);
        } else if *spare > 0 && self.update.evidence.len() < FIRST_EVIDENCE {
            *spare -= 1;
            self.update.evidence.push(access.clone());
        } else if *spare > 0 && self.newest.len() < NEWEST {
            *spare -= 1;
            self.newest.push(access.clone());
            // Past the end while there is room; the oldest once there is none.
            self.next_newest = self.newest.len() % NEWEST;
        } else if let Some(oldest) = self.newest.first_mut() {
            // Nothing to spare for more: the ring stays as short as it is.
            oldest.overwrite(access);
            self.next_newest = 1 % self.newest.len();
        } else if self.update.evidence.len() > 1
            && let Some(last) = self.update.evidence.last_mut()
        {
            last.overwrite(access);
        }
    }

    fn into_update(mut self) -> AlertUpdate {
        let turn = self.next_newest % self.newest.len().max(1);
        self.newest.rotate_left(turn);
        self.update.evidence.append(&mut self.newest);
        self.update
    }
}

fn class_of(kind: FindingKind, named: bool) -> usize {
    kind as usize * 2 + usize::from(named)
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
