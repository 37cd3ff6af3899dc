//! The order of one direction's records: duplicates dropped, early chunks kept, losses known.

use super::{Chunk, HEADER, SHORT};

/// Most chunks kept that came early.
const MAX_AHEAD: usize = 32;
/// Most bytes of them.
const MAX_AHEAD_BYTES: usize = 20 * 1024;

/// A run of a record's body, in order.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) record: u32,
    pub(super) length: u16,
    pub(super) outer: u8,
    /// It is the first of its record.
    pub(super) first: bool,
    /// Position in the body.
    pub(super) pos: usize,
    pub(super) data: &'a [u8],
    pub(super) time: u64,
    /// Whole records missing in front of it.
    pub(super) lost: u32,
    /// Their bytes in the stream, if they were left out on purpose.
    pub(super) passed: Option<u32>,
}

/// An early chunk: its body bytes.
struct Ahead {
    record: u32,
    length: u16,
    outer: u8,
    pos: usize,
    data: Vec<u8>,
    time: u64,
    passed: Option<u32>,
}

/// Order of one direction.
#[derive(Default)]
pub(super) struct Intake {
    /// The record that is coming in, or comes next.
    record: u32,
    /// Something of it has come.
    begun: bool,
    /// Bytes of its body that have.
    got: usize,
    length: u16,
    /// By record and position.
    ahead: Vec<Ahead>,
}

/// Where a chunk lies.
pub(super) enum Place<'a> {
    /// Nothing of it is new.
    Old,
    /// Next in order.
    Now(Part<'a>),
    /// Something is missing in front of it.
    Ahead,
}

impl Intake {
    /// Where a chunk lies. One that lies here counts as taken.
    pub(super) fn place<'a>(&mut self, chunk: &Chunk<'a>) -> Place<'a> {
        let (pos, data) = body(chunk);
        self.seat(
            chunk.record,
            chunk.length,
            chunk.outer,
            (pos, data),
            (chunk.time, chunk.passed),
            false,
        )
    }

    fn seat<'a>(
        &mut self,
        record: u32,
        length: u16,
        outer: u8,
        (pos, data): (usize, &'a [u8]),
        (time, passed): (u64, Option<u32>),
        force: bool,
    ) -> Place<'a> {
        let data = data
            .get(..usize::from(length).saturating_sub(pos))
            .unwrap_or(data);
        let ahead = record.wrapping_sub(self.record);
        if ahead > u32::MAX / 2 {
            return Place::Old;
        }
        if ahead == 0 && self.begun {
            let Some(new) = data.get(self.got.saturating_sub(pos)..) else {
                return Place::Old;
            };
            if new.is_empty() {
                return Place::Old;
            }
            if pos > self.got {
                // The rest of a record behind a piece that was lost is of no use.
                return if force { Place::Old } else { Place::Ahead };
            }
            let pos = self.got;
            self.got += new.len();
            return Place::Now(Part {
                record,
                length,
                outer,
                first: false,
                pos,
                data: new,
                time,
                lost: 0,
                passed: None,
            });
        }
        // A short record is captured whole: what is not there yet is under way.
        let short = self.begun && self.length <= SHORT && self.got < usize::from(self.length);
        let lost = ahead.saturating_sub(u32::from(self.begun));
        let missing = lost > 0 && passed.is_none();
        if !force && (missing || pos > 0 || short) {
            return Place::Ahead;
        }
        // Without its beginning a record only counts.
        let data = if pos > 0 { &[] } else { data };
        (self.record, self.begun, self.length) = (record, true, length);
        self.got = data.len();
        Place::Now(Part {
            record,
            length,
            outer,
            first: true,
            pos: 0,
            data,
            time,
            lost,
            passed,
        })
    }

    /// Keeps an early chunk. `false`: no room.
    pub(super) fn keep(&mut self, chunk: &Chunk<'_>) -> bool {
        let (pos, data) = body(chunk);
        let held: usize = self.ahead.iter().map(|early| early.data.len()).sum();
        if self.ahead.len() >= MAX_AHEAD || held + data.len() > MAX_AHEAD_BYTES {
            return false;
        }
        let order = |early: &Ahead| (early.record.wrapping_sub(self.record), early.pos);
        let key = (chunk.record.wrapping_sub(self.record), pos);
        let at = self.ahead.partition_point(|early| order(early) <= key);
        self.ahead.insert(
            at,
            Ahead {
                record: chunk.record,
                length: chunk.length,
                outer: chunk.outer,
                pos,
                data: data.to_vec(),
                time: chunk.time,
                passed: chunk.passed,
            },
        );
        true
    }

    /// Takes the first early chunk if its turn has come, or, with `force`, whatever is missing.
    pub(super) fn ready(&mut self, force: bool, read: impl FnOnce(Part<'_>)) -> bool {
        let Some(early) = self.ahead.first_mut() else {
            return false;
        };
        let (record, length, outer, pos) = (early.record, early.length, early.outer, early.pos);
        let when = (early.time, early.passed);
        let data = std::mem::take(&mut early.data);
        match self.seat(record, length, outer, (pos, &data), when, force) {
            Place::Ahead => {
                if let Some(early) = self.ahead.first_mut() {
                    early.data = data;
                }
                return false;
            }
            Place::Old => {
                self.ahead.remove(0);
            }
            Place::Now(part) => {
                self.ahead.remove(0);
                read(part);
            }
        }
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
        true
    }

    /// Early chunks wait for something.
    pub(super) fn waiting(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        self.ahead.capacity() * size_of::<Ahead>()
            + self
                .ahead
                .iter()
                .map(|early| early.data.capacity())
                .sum::<usize>()
    }
}

/// Position in the body, and what of the body a chunk has.
fn body<'a>(chunk: &Chunk<'a>) -> (usize, &'a [u8]) {
    let header = HEADER.saturating_sub(chunk.at) as usize;
    let pos = chunk.at.saturating_sub(HEADER) as usize;
    (pos, chunk.data.get(header..).unwrap_or_default())
}
