//! One direction's bytes in TLS records, with their numbers.

use crate::wire::tls::{Chunk, HEADER, MAX_RECORD};
use crate::wire::{Dir, Piece};

/// Content types (RFC 8446 §5.1, RFC 6520).
const TYPES: std::ops::RangeInclusive<u8> = 20..=24;

/// What a record's header says.
#[derive(Clone, Copy, Debug)]
struct Head {
    outer: u8,
    length: u16,
}

/// Takes a direction apart into records. Holds one at most.
#[derive(Debug, Default)]
pub(super) struct Records {
    next: Option<u32>,
    number: u32,
    /// Of a header that has not come whole.
    begun: Vec<u8>,
    head: Option<Head>,
    /// Of the record at hand, up to where bytes are missing.
    body: Vec<u8>,
    /// Bytes of its body that went by, those that are missing among them.
    passed: u32,
    time: u64,
    lost: bool,
}

impl Records {
    /// Where records begin is not known any more: bytes with a header among them are missing, or these are no records.
    pub(super) fn lost(&self) -> bool {
        self.lost
    }

    /// Takes bytes that lie in order, and hands on each record that is whole, or as much of it as there is.
    pub(super) fn take(&mut self, piece: &Piece<'_>, mut each: impl FnMut(Chunk<'_>)) {
        let next = *self.next.get_or_insert(piece.off);
        self.skip(piece.dir, piece.off.wrapping_sub(next), &mut each);
        self.bytes(piece, &mut each);
        self.skip(piece.dir, piece.hole, &mut each);
        let length = u32::try_from(piece.data.len()).unwrap_or(u32::MAX);
        let end = piece.off.wrapping_add(length).wrapping_add(piece.hole);
        self.next = Some(end);
    }

    fn bytes(&mut self, piece: &Piece<'_>, each: &mut impl FnMut(Chunk<'_>)) {
        let mut data = piece.data;
        while !self.lost {
            let Some(head) = self.head else {
                if data.is_empty() {
                    return;
                }
                if self.begun.is_empty() {
                    self.time = piece.time;
                }
                let wanted = (HEADER as usize).saturating_sub(self.begun.len());
                let (front, back) = data.split_at(wanted.min(data.len()));
                self.begun.extend_from_slice(front);
                data = back;
                self.begin();
                continue;
            };
            let wanted = u32::from(head.length).saturating_sub(self.passed);
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
            let (front, back) = data.split_at(wanted.min(data.len()));
            if front.len() < wanted {
                self.hold(front);
                return;
            }
            if self.passed == 0 {
                self.hand_on(piece.dir, head, Some(front), each);
            } else {
                self.hold(front);
                self.hand_on(piece.dir, head, None, each);
            }
            data = back;
        }
    }

    /// A header is there, if it is.
    fn begin(&mut self) {
        let [outer, major, _, high, low] = *self.begun.as_slice() else {
            return;
        };
        let length = u16::from_be_bytes([high, low]);
        self.begun.clear();
        if !TYPES.contains(&outer) || major != 3 || length > MAX_RECORD {
            return self.lose();
        }
        self.head = Some(Head { outer, length });
        self.passed = 0;
    }

    fn hold(&mut self, front: &[u8]) {
        let missing = self.body.len() < usize::try_from(self.passed).unwrap_or(usize::MAX);
        if !missing {
            self.body.extend_from_slice(front);
        }
        let length = u32::try_from(front.len()).unwrap_or(u32::MAX);
        self.passed = self.passed.saturating_add(length);
    }

    /// Passes over missing bytes.
    fn skip(&mut self, dir: Dir, bytes: u32, each: &mut impl FnMut(Chunk<'_>)) {
        if bytes == 0 || self.lost {
            return;
        }
        let Some(head) = self.head else {
            return self.lose();
        };
        let left = u32::from(head.length).saturating_sub(self.passed);
        self.passed = self.passed.saturating_add(bytes.min(left));
        if bytes >= left {
            self.hand_on(dir, head, None, each);
        }
        if bytes > left {
            self.lose();
        }
    }

    /// Hands a record on: `whole`, or what is held of it.
    fn hand_on(
        &mut self,
        dir: Dir,
        head: Head,
        whole: Option<&[u8]>,
        each: &mut impl FnMut(Chunk<'_>),
    ) {
        each(Chunk {
            dir,
            record: self.number,
            at: HEADER,
            length: head.length,
            outer: head.outer,
            data: whole.unwrap_or(&self.body),
            time: self.time,
            passed: None,
        });
        self.number = self.number.wrapping_add(1);
        self.head = None;
        self.passed = 0;
        self.body.clear();
    }

    fn lose(&mut self) {
        *self = Self {
            next: self.next,
            lost: true,
            ..Self::default()
        };
    }

    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        self.begun.capacity() + self.body.capacity()
    }
}
