//! Folding of findings on the hot thread.
//!
//! A [`Folder`] gathers what was found between two drains, one entry for each alert that grows.
//! Its table is bounded. When it is full, the entry seen longest ago of the class with most
//! entries makes room; what it counted goes on in one overflow entry of its kind, so the sum of
//! all drained counts is always the number of findings observed. Classes are a kind of finding
//! and whether policy names the identity: nobody crowds out a canary, or the findings of a named
//! identity, by inventing credentials.
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
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::access::workload::Label;
use crate::access::{Access, Workload};
use crate::judge::{Finding, FindingKind};

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
        }
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

    /// Takes a finding in.
    pub fn observe(&mut self, finding: &Finding, access: &Access) {
        self.take(finding, Subject::Access(access));
    }

    /// Takes a finding in that is about a workload and no access of it: its alert has no evidence but its
    /// words. `operation` says what the workload did, `time_us` when (microseconds since 1970).
    pub fn observe_workload(
        &mut self,
        finding: &Finding,
        workload: &Workload,
        operation: &str,
        time_us: i64,
    ) {
        let subject = Subject::Workload {
            workload,
            operation,
            time_us,
        };
        self.take(finding, subject);
    }

    fn take(&mut self, finding: &Finding, subject: Subject<'_>) {
        let label = subject.label();
        let identity = subject.identity().map(|name| &**name);
        let hash = self.hash(finding.kind, identity, label, &finding.clause);
        let found = self.index.find(hash, |slot| {
            self.entries.get(*slot as usize).is_some_and(|entry| {
                let key = &entry.update.key;
                key.kind == finding.kind
                    && key.identity.as_deref() == identity
                    && match (&key.workload, label) {
                        (Some(text), Some(label)) => label.is(text),
                        (None, None) => true,
                        _ => false,
                    }
                    && *key.clause == *finding.clause
            })
        });
        if let Some(slot) = found.copied() {
            self.unlink(slot);
            self.link(slot);
            self.grow(slot, finding, subject);
        } else {
            self.insert(hash, label, finding, subject);
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
        clause: &str,
    ) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        (kind as u8).hash(&mut hasher);
        identity.hash(&mut hasher);
        label
            .map(|label| (label.kind, label.name))
            .hash(&mut hasher);
        clause.hash(&mut hasher);
        hasher.finish()
    }

    fn grow(&mut self, slot: u32, finding: &Finding, subject: Subject<'_>) {
        let Some(entry) = self.entries.get_mut(slot as usize) else {
            return;
        };
        let update = &mut entry.update;
        update.count = update.count.saturating_add(1);
        update.first_us = update.first_us.min(subject.time_us());
        update.last_us = update.last_us.max(subject.time_us());
        if finding.severity > update.severity {
            update.severity = finding.severity;
            update.title.clone_from(&finding.title);
            update.normal.clone_from(&finding.normal);
            update.action.clone_from(&finding.action);
            update.techniques = finding.techniques;
            update.operation = subject.operation();
            update.environment = subject.environment().cloned();
        }
        let Some(access) = subject.access() else {
            return;
        };
        if let Some(oldest) = entry.newest.get_mut(entry.next_newest) {
            assign(oldest, access);
            entry.next_newest = (entry.next_newest + 1) % entry.newest.len().max(1);
        } else if self.spare_evidence > 0 && update.evidence.len() < FIRST_EVIDENCE {
            self.spare_evidence -= 1;
            update.evidence.push(access.clone());
        } else if self.spare_evidence > 0 && entry.newest.len() < NEWEST {
            self.spare_evidence -= 1;
            entry.newest.push(access.clone());
            // Past the end while there is room; the oldest once there is none.
            entry.next_newest = entry.newest.len() % NEWEST;
        } else if let Some(oldest) = entry.newest.first_mut() {
            // Nothing to spare for more: the ring stays as short as it is.
            assign(oldest, access);
            entry.next_newest = 1 % entry.newest.len();
        } else if update.evidence.len() > 1
            && let Some(last) = update.evidence.last_mut()
        {
            assign(last, access);
        }
    }

    fn insert(
        &mut self,
        hash: u64,
        label: Option<Label<'_>>,
        finding: &Finding,
        subject: Subject<'_>,
    ) {
        let entry = Entry {
            hash,
            class: class_of(finding.kind, subject.owner().is_some()),
            older: NONE,
            newer: NONE,
            update: AlertUpdate {
                key: FoldKey {
                    kind: finding.kind,
                    identity: subject.identity().cloned(),
                    workload: label.map(|label| label.to_string().into()),
                    clause: Arc::from(finding.clause.as_str()),
                },
                count: 1,
                first_us: subject.time_us(),
                last_us: subject.time_us(),
                severity: finding.severity,
                title: finding.title.clone(),
                normal: finding.normal.clone(),
                action: finding.action.clone(),
                techniques: finding.techniques,
                owner: subject.owner().cloned(),
                operation: subject.operation(),
                environment: subject.environment().cloned(),
                evidence: subject.access().cloned().into_iter().collect(),
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

/// `clone_from` that keeps the path's buffer.
fn assign(to: &mut Access, from: &Access) {
    let mut path = std::mem::take(&mut to.path);
    path.clone_from(&from.path);
    *to = Access {
        time_us: from.time_us,
        role: from.role,
        credential: from.credential.clone(),
        location: from.location,
        proof: from.proof.clone(),
        identity: from.identity.clone(),
        owner: from.owner.clone(),
        client: from.client.clone(),
        server: from.server.clone(),
        peer: from.peer.clone(),
        local: from.local,
        protocol: from.protocol,
        method: Arc::clone(&from.method),
        host: Arc::clone(&from.host),
        path,
        route: Arc::clone(&from.route),
        status: from.status,
        grpc_status: from.grpc_status,
        duration_us: from.duration_us,
        environment: from.environment.clone(),
        duties: Arc::clone(&from.duties),
        findings: from.findings,
        tls: from.tls.clone(),
        resynchronised: from.resynchronised,
        unknown_fields: from.unknown_fields,
    };
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail by panic"
)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::alert::testing::{access, finding};
    use crate::judge::Severity;

    fn drained(folder: &mut Folder) -> Vec<AlertUpdate> {
        let mut out = Vec::new();
        folder.drain(|update| out.push(update));
        out
    }

    #[test]
    fn folds_one_key() {
        let mut folder = Folder::default();
        for i in 0..100 {
            let mut access = access(Some("ci-bot"), i);
            access.path = format!("/{i}");
            folder.observe(&finding(FindingKind::Duty, "c"), &access);
        }
        assert_eq!(folder.pending(), 1);
        let out = drained(&mut folder);
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].count, 100);
        assert_eq!((out[0].first_us, out[0].last_us), (0, 99));
        assert_eq!(out[0].key.workload.as_deref(), Some("unit:ci.service"));
        assert_eq!(out[0].operation, "GET api.example/{id}");
        let paths = out[0]
            .evidence
            .iter()
            .map(|a| a.path.as_str())
            .collect::<Vec<_>>();
        assert_eq!(
            paths,
            [
                "/0", "/1", "/2", "/3", "/4", "/95", "/96", "/97", "/98", "/99"
            ]
        );
        assert_eq!(folder.pending(), 0);
        assert!(drained(&mut folder).is_empty());
    }

    #[test]
    fn a_workload_as_such_has_an_alert_without_evidence() {
        let mut folder = Folder::default();
        let workload = access(Some("a"), 0).client.unwrap().workload;
        for time in [7, 3, 9] {
            let finding = finding(FindingKind::CoverageLost, "c");
            folder.observe_workload(&finding, &workload, "opaque-tls:no-keys", time);
        }
        let out = drained(&mut folder);
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].key.workload.as_deref(), Some("unit:ci.service"));
        assert_eq!((out[0].key.identity.as_deref(), out[0].count), (None, 3));
        assert_eq!((out[0].first_us, out[0].last_us), (3, 9));
        assert_eq!(out[0].operation, "opaque-tls:no-keys");
        assert!(out[0].evidence.is_empty());
    }

    #[test]
    fn evidence_stays_in_order_while_the_ring_fills() {
        for n in 1..=12_i64 {
            let mut folder = Folder::default();
            for i in 0..n {
                folder.observe(&finding(FindingKind::Duty, "c"), &access(Some("a"), i));
            }
            let times = drained(&mut folder)[0]
                .evidence
                .iter()
                .map(|a| a.time_us)
                .collect::<Vec<_>>();
            let mut expected = (0..n).collect::<Vec<_>>();
            crate::alert::evidence::merge(&mut expected, []);
            assert_eq!(times, expected, "after {n}");
        }
    }

    #[test]
    fn worst_severity_brings_its_words() {
        let mut folder = Folder::default();
        let mut f = finding(FindingKind::Cleartext, "c");
        f.severity = Severity::Low;
        folder.observe(&f, &access(Some("a"), 1));
        f.severity = Severity::High;
        f.title = "worse".to_owned();
        folder.observe(&f, &access(Some("a"), 2));
        f.severity = Severity::Low;
        f.title = "milder".to_owned();
        folder.observe(&f, &access(Some("a"), 3));
        let out = drained(&mut folder);
        assert_eq!(
            (out[0].severity, out[0].title.as_str()),
            (Severity::High, "worse")
        );
    }

    #[test]
    fn a_canary_survives_a_flood() {
        let mut folder = Folder::new(64);
        folder.observe(
            &finding(FindingKind::Canary, "trap"),
            &access(Some("trap"), 0),
        );
        for i in 0..10_000 {
            let mut access = access(Some(&format!("bw1:{i}")), i);
            access.owner = None;
            folder.observe(&finding(FindingKind::Cleartext, "clear"), &access);
        }
        assert!(folder.pressed());
        let out = drained(&mut folder);
        assert_eq!(out.len(), 65, "the table and one overflow entry");
        let canary = out
            .iter()
            .find(|u| u.key.kind == FindingKind::Canary)
            .unwrap();
        assert_eq!(canary.key.identity.as_deref(), Some("trap"));
        let overflow = out.iter().find(|u| &*u.key.clause == "overflow").unwrap();
        assert_eq!(overflow.count, 10_000 - 63);
        assert_eq!(overflow.evidence.len(), MAX_EVIDENCE);
        assert_eq!(folder.crowded_out(), 10_000 - 63);
    }

    #[test]
    fn a_named_identity_survives_a_flood_of_its_own_kind() {
        let mut folder = Folder::new(8);
        folder.observe(
            &finding(FindingKind::Cleartext, "clear"),
            &access(Some("ci-bot"), 0),
        );
        for i in 0..100 {
            let mut access = access(Some(&format!("bw1:{i}")), i);
            access.owner = None;
            folder.observe(&finding(FindingKind::Cleartext, "clear"), &access);
        }
        let out = drained(&mut folder);
        assert!(
            out.iter()
                .any(|u| u.key.identity.as_deref() == Some("ci-bot"))
        );
    }

    #[test]
    fn evidence_is_bounded_in_sum() {
        let mut folder = Folder::new(4096);
        for round in 0..20 {
            for i in 0..4096 {
                folder.observe(
                    &finding(FindingKind::Duty, "c"),
                    &access(Some(&i.to_string()), round),
                );
            }
        }
        let out = drained(&mut folder);
        let kept: usize = out.iter().map(|u| u.evidence.len()).sum();
        assert_eq!(kept, 4096 + SPARE_EVIDENCE);
        assert_eq!(out.iter().map(|u| u.count).sum::<u64>(), 20 * 4096);
        let two = out.iter().find(|u| u.evidence.len() == 2).unwrap();
        assert_eq!(two.evidence[1].time_us, 19, "the newest replaces the last");
    }

    proptest! {
        #[test]
        fn sums_are_kept_and_the_table_is_bounded(
            steps in prop::collection::vec((0..FindingKind::ALL.len(), 0_u16..40, any::<bool>(), 0_u8..20), 0..600),
            keys in 1_usize..20,
        ) {
            let mut folder = Folder::new(keys);
            let mut seen = BTreeMap::<FindingKind, u64>::new();
            let mut told = BTreeMap::<FindingKind, u64>::new();
            let mut tell = |folder: &mut Folder| {
                let mut n = 0;
                folder.drain(|update| {
                    n += 1;
                    assert!(update.evidence.len() <= MAX_EVIDENCE);
                    assert!(!update.evidence.is_empty());
                    assert!(update.first_us <= update.last_us);
                    let mut times = update.evidence.iter().map(|a| a.time_us);
                    if &*update.key.clause != "overflow" {
                        assert_eq!(times.next(), Some(update.first_us));
                    }
                    *told.entry(update.key.kind).or_default() += update.count;
                });
                assert!(n <= keys + FindingKind::ALL.len());
            };
            for (at, (kind, identity, named, drain)) in steps.into_iter().enumerate() {
                let kind = FindingKind::ALL[kind];
                let mut access = access(Some(&identity.to_string()), at as i64);
                if !named { access.owner = None; }
                folder.observe(&finding(kind, "c"), &access);
                *seen.entry(kind).or_default() += 1;
                prop_assert!(folder.entries.len() <= keys);
                prop_assert_eq!(folder.index.len(), folder.entries.len());
                let linked: usize = folder.classes.iter().map(|class| class.len).sum();
                prop_assert_eq!(linked, folder.entries.len());
                if drain == 0 { tell(&mut folder); }
            }
            tell(&mut folder);
            prop_assert_eq!(seen, told);
        }
    }
}
