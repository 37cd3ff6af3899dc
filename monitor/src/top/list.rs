//! A list of records, the newest first, with a filter and a selection that stays on its record.

use std::collections::VecDeque;

use crate::filter::{Fields, Filter, FilterError, Subject};

/// One record.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    /// Tells it from all others, also after it changed.
    key: u64,
    /// When it came or changed last, counted.
    stamp: u64,
    /// It.
    pub record: T,
}

/// Records, bounded.
#[derive(Clone, Debug)]
pub struct List<T> {
    entries: VecDeque<Entry<T>>,
    most: usize,
    subject: Subject,
    next: u64,
    filter: Filter,
    /// As it was typed; empty without one.
    text: String,
    /// None: follows the newest.
    selected: Option<u64>,
    /// Where on the screen the selection stands, so that it does not move when others come.
    row: usize,
    /// The newest when following ended.
    left_at: u64,
}

impl<T: Fields> List<T> {
    /// An empty one of at most so many.
    #[must_use]
    pub fn new(subject: Subject, most: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            most,
            subject,
            next: 1,
            filter: Filter::default(),
            text: String::new(),
            selected: None,
            row: 0,
            left_at: 0,
        }
    }

    /// Adds a record; the oldest makes room.
    pub fn push(&mut self, record: T) {
        let key = self.next;
        self.put(key, record);
    }

    /// Adds a record, or moves the one that `same` to the front as it is now.
    pub fn upsert(&mut self, record: T, same: impl Fn(&T) -> bool) {
        let known = self.entries.iter().position(|entry| same(&entry.record));
        let old = known.and_then(|at| self.entries.remove(at));
        let key = old.map_or(self.next, |old| old.key);
        self.put(key, record);
    }

    fn put(&mut self, key: u64, record: T) {
        let stamp = self.next;
        self.next += 1;
        self.entries.push_front(Entry { key, stamp, record });
        self.entries.truncate(self.most);
    }

    /// Puts these in place of all, given the newest first; those that are the `same` keep the selection.
    pub fn replace(&mut self, records: Vec<T>, same: impl Fn(&T, &T) -> bool) {
        let mut old = std::mem::take(&mut self.entries);
        for record in records.into_iter().take(self.most) {
            let known = old.iter().position(|entry| same(&entry.record, &record));
            // The order seldom changes: it is mostly the first.
            let known = known.and_then(|at| old.remove(at));
            let (key, stamp) = known.map_or((self.next, self.next), |old| (old.key, old.stamp));
            self.next += 1;
            self.entries.push_back(Entry { key, stamp, record });
        }
    }

    /// Changes the record that `same` holds for, where it stands.
    pub fn change(&mut self, record: T, same: impl Fn(&T) -> bool) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| same(&entry.record)) {
            entry.record = record;
        }
    }

    /// Records kept, whether they pass the filter or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All kept.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|entry| &entry.record)
    }

    /// Those that pass the filter.
    pub fn shown(&self) -> impl Iterator<Item = &Entry<T>> {
        self.entries
            .iter()
            .filter(|entry| self.filter.matches(&entry.record))
    }

    /// Sets the filter; a blank one lets everything through.
    ///
    /// # Errors
    /// It is no filter. The one before stays.
    pub fn set_filter(&mut self, text: &str) -> Result<(), FilterError> {
        self.filter = match text.trim() {
            "" => Filter::default(),
            _ => Filter::parse_for(self.subject, text)?,
        };
        text.trim().clone_into(&mut self.text);
        self.follow();
        Ok(())
    }

    /// The filter as it was typed; empty without one.
    #[must_use]
    pub fn filter_text(&self) -> &str {
        &self.text
    }

    /// Whether the newest is selected, whichever it is.
    #[must_use]
    pub fn is_following(&self) -> bool {
        self.selected.is_none()
    }

    /// Selects the newest, and whatever is newest later.
    pub fn follow(&mut self) {
        (self.selected, self.row) = (None, 0);
    }

    /// Stays at the selected record.
    pub fn stay(&mut self) {
        if self.selected.is_none() {
            let newest = self.shown().next().map(|entry| entry.key);
            self.selected = newest;
            self.left_at = self.next;
        }
    }

    /// How many came since following ended.
    #[must_use]
    pub fn fresh(&self) -> usize {
        match self.selected {
            None => 0,
            Some(_) => self
                .shown()
                .filter(|entry| entry.stamp >= self.left_at)
                .count(),
        }
    }

    /// Place of the selection among those shown.
    fn at(&self) -> usize {
        let selected = self.selected;
        selected
            .and_then(|key| self.shown().position(|entry| entry.key == key))
            .unwrap_or(0)
    }

    /// The selected record.
    #[must_use]
    pub fn selected(&self) -> Option<&T> {
        self.shown().nth(self.at()).map(|entry| &entry.record)
    }

    /// Moves the selection by so many places (down: more) on a page of `height` rows.
    pub fn step(&mut self, by: isize, height: usize) {
        let count = self.shown().count();
        if count == 0 {
            return;
        }
        self.stay();
        let at = self.at();
        let to = at.saturating_add_signed(by).min(count - 1);
        let chosen = self.shown().nth(to).map(|entry| entry.key);
        self.selected = chosen;
        let row = self.row.saturating_add_signed(by);
        self.row = row.min(height.saturating_sub(1)).min(to);
    }

    /// What a page of `height` rows shows: the records, and which row is selected.
    #[must_use]
    pub fn page(&self, height: usize) -> (Vec<&T>, usize) {
        let at = self.at();
        let row = self.row.min(height.saturating_sub(1)).min(at);
        let records = self
            .shown()
            .skip(at - row)
            .take(height)
            .map(|entry| &entry.record);
        (records.collect(), row)
    }
}
