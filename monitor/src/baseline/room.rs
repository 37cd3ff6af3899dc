//! Where the profiles are: bounded in bytes, what was not used longest goes first. Profiles of one day live in
//! a small part of the room of their own as soon as it is full, so that a spray of invented credentials cannot
//! push out what was learnt over weeks.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use super::profile::{Entry, Profile};
use crate::slots::{NONE, Named, Slots};

impl Named for Entry {
    fn name(&self) -> &str {
        &self.name
    }

    fn hash(&self) -> u64 {
        self.hash
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct List {
    newest: Option<u32>,
    oldest: Option<u32>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Room {
    most_bytes: usize,
    hasher: DefaultHashBuilder,
    entries: Slots<Entry>,
    /// Those of one day, those of more.
    lists: [List; 2],
    /// Used last.
    latest: u32,
    pub(super) forgotten: u64,
}

impl Room {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            hasher: DefaultHashBuilder::default(),
            entries: Slots::new(),
            lists: [List::default(); 2],
            latest: NONE,
            forgotten: 0,
        }
    }

    pub(super) fn set_bytes(&mut self, most: usize) {
        self.most_bytes = most;
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.lists.iter().map(|list| list.bytes).sum()
    }

    pub(super) fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut()
    }

    pub(super) fn get(&self, at: u32) -> Option<&Entry> {
        self.entries.get(at)
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut Entry> {
        self.entries.get_mut(at)
    }

    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.entries.find(name, self.hasher.hash_one(name))
    }

    /// The identity's place if it has one: used now.
    pub(super) fn known(&mut self, name: &Arc<str>) -> Option<u32> {
        // Accesses come in runs of one identity.
        if let Some(entry) = self.get(self.latest)
            && Arc::ptr_eq(&entry.name, name)
        {
            return Some(self.latest);
        }
        let at = self.find(name)?;
        self.unlink(at);
        self.link(at);
        self.latest = at;
        Some(at)
    }

    /// A place for an identity that has none: used now.
    pub(super) fn add(&mut self, name: &Arc<str>, profile: Profile, group: u64, part: u8) -> u32 {
        self.latest = self.insert(Arc::clone(name), profile, group, part);
        self.latest
    }

    pub(super) fn insert(&mut self, name: Arc<str>, profile: Profile, group: u64, part: u8) -> u32 {
        let hash = self.hasher.hash_one(&*name);
        let entry = Entry {
            name,
            hash,
            part,
            group,
            settled: profile.days > 1,
            profile,
            window: None,
            span: super::rate::Span::default(),
            ticket: 0,
            dirty: false,
            mature: false,
            newer: NONE,
            older: NONE,
            bytes: 0,
        };
        let at = self.entries.insert(entry);
        self.link(at);
        self.weigh(at);
        at
    }

    /// Weighs an entry again after it changed, and moves it to the list it belongs to.
    pub(super) fn weigh(&mut self, at: u32) {
        let Some(entry) = self.get(at) else { return };
        let settled = entry.profile.days > 1;
        if settled != entry.settled {
            self.unlink(at);
            if let Some(entry) = self.get_mut(at) {
                entry.settled = settled;
            }
            self.link(at);
        }
        let Some(entry) = self.get_mut(at) else {
            return;
        };
        let bytes = entry.weigh();
        let before = std::mem::replace(&mut entry.bytes, bytes);
        if let Some(list) = self.lists.get_mut(usize::from(settled)) {
            list.bytes = list.bytes.saturating_sub(before).saturating_add(bytes);
        }
    }

    /// Takes out what must go so that the bound holds; never the one used last. To be called until it says
    /// `None`.
    pub(super) fn shrink(&mut self) -> Option<Box<Entry>> {
        let [young, settled] = &self.lists;
        let all = young.bytes.saturating_add(settled.bytes);
        if all <= self.most_bytes {
            return None;
        }
        let share = self.most_bytes / 8;
        let victim = if young.bytes > share || settled.oldest.is_none() {
            young.oldest
        } else {
            settled.oldest
        };
        let victim = victim.filter(|at| *at != self.latest)?;
        self.forget(victim)
    }

    fn forget(&mut self, at: u32) -> Option<Box<Entry>> {
        self.unlink(at);
        let entry = self.entries.remove(at)?;
        self.forgotten = self.forgotten.saturating_add(1);
        Some(entry)
    }

    fn link(&mut self, at: u32) {
        let Some((settled, bytes)) = self.get(at).map(|entry| (entry.settled, entry.bytes)) else {
            return;
        };
        let Some(list) = self.lists.get_mut(usize::from(settled)) else {
            return;
        };
        list.bytes = list.bytes.saturating_add(bytes);
        let before = list.newest.replace(at);
        if before.is_none() {
            list.oldest = Some(at);
        }
        if let Some(entry) = before.and_then(|before| self.get_mut(before)) {
            entry.newer = at;
        }
        if let Some(entry) = self.get_mut(at) {
            entry.newer = NONE;
            entry.older = before.unwrap_or(NONE);
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some(entry) = self.get(at) else { return };
        let (settled, newer, older, bytes) = (entry.settled, entry.newer, entry.older, entry.bytes);
        match self.get_mut(newer) {
            Some(entry) => entry.older = older,
            None => {
                if let Some(list) = self.lists.get_mut(usize::from(settled)) {
                    list.newest = (older != NONE).then_some(older);
                }
            }
        }
        match self.get_mut(older) {
            Some(entry) => entry.newer = newer,
            None => {
                if let Some(list) = self.lists.get_mut(usize::from(settled)) {
                    list.oldest = (newer != NONE).then_some(newer);
                }
            }
        }
        if let Some(list) = self.lists.get_mut(usize::from(settled)) {
            list.bytes = list.bytes.saturating_sub(bytes);
        }
    }
}
