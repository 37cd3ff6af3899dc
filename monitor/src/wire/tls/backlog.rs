//! Records that wait for their keys, both directions', in the order of their arrival.

use std::collections::VecDeque;

use super::record::Part;
use super::{Dir, MAX_BACKLOG, MAX_BACKLOG_RECORDS};

/// A record, as far as it has come. Still encrypted.
pub(super) struct Held {
    pub(super) dir: Dir,
    pub(super) record: u32,
    /// Its number, records of ChangeCipherSpec not counted.
    pub(super) number: u32,
    pub(super) outer: u8,
    pub(super) length: u16,
    pub(super) time: u64,
    /// The other direction spoke before.
    pub(super) turned: bool,
    pub(super) lost: u32,
    pub(super) passed: Option<u32>,
    /// The beginning of its body.
    pub(super) data: Vec<u8>,
    /// It is early data that the server took.
    pub(super) early: bool,
    /// Secrets up to these have been tried on it: traffic, handshake, early.
    pub(super) tried: [u64; 3],
    /// Its own keys have been tried on it.
    pub(super) checked: bool,
}

impl Held {
    pub(super) fn whole(&self) -> bool {
        self.data.len() == usize::from(self.length)
    }
}

/// Held records.
#[derive(Default)]
pub(super) struct Backlog {
    held: VecDeque<Held>,
    bytes: usize,
    last: Option<Dir>,
}

impl Backlog {
    /// Adds to the record that `part` belongs to, or adds that. `false`: no room; the oldest are kept,
    /// the keys begin with one of them.
    pub(super) fn push(&mut self, dir: Dir, number: u32, part: &Part<'_>) -> bool {
        let fits = self.bytes.saturating_add(part.data.len()) <= MAX_BACKLOG;
        if !part.first {
            let mut same = self.held.iter_mut().rev();
            let Some(held) = same.find(|held| held.dir == dir && held.record == part.record) else {
                return false;
            };
            if !fits || held.data.len() != part.pos {
                return false;
            }
            held.data.extend_from_slice(part.data);
            (held.checked, held.tried) = (false, [0; 3]);
        } else if fits && self.held.len() < MAX_BACKLOG_RECORDS {
            let turned = self.last != Some(dir);
            self.last = Some(dir);
            self.held.push_back(Held {
                dir,
                record: part.record,
                number,
                outer: part.outer,
                length: part.length,
                time: part.time,
                turned,
                lost: part.lost,
                passed: part.passed,
                data: part.data.to_vec(),
                early: false,
                tried: [0; 3],
                checked: false,
            });
        } else {
            return false;
        }
        self.bytes = self.bytes.saturating_add(part.data.len());
        true
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        self.held.iter_mut()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes those, oldest first, that `wanted` says.
    pub(super) fn take(&mut self, mut wanted: impl FnMut(&Held) -> bool) -> Vec<Held> {
        let mut taken = Vec::new();
        let mut left = VecDeque::with_capacity(self.held.len());
        for held in std::mem::take(&mut self.held) {
            if wanted(&held) {
                self.bytes = self.bytes.saturating_sub(held.data.len());
                taken.push(held);
            } else {
                left.push_back(held);
            }
        }
        if !left.is_empty() {
            self.held = left;
        }
        taken
    }

    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        self.held.capacity() * size_of::<Held>()
            + self
                .held
                .iter()
                .map(|held| held.data.capacity())
                .sum::<usize>()
    }
}
