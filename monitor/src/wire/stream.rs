//! One direction's bytes in order: duplicates dropped, early pieces kept, gaps known.
//!
//! Positions are 32 bits wide and wrap. A position up to [`LOOK_BACK`] behind the next one expected
//! is old; any other lies ahead.

use super::buffer::Buffer;

/// Distance within which a piece counts as old. A reader can lag its peer by a socket buffer at
/// most; forwards, bodies that nobody captures can be far longer.
const LOOK_BACK: u32 = 256 << 20;
/// Most early pieces kept per direction.
const MAX_SEGMENTS: usize = 128;
/// Longest early piece kept; the rest counts as not captured.
const MAX_SEGMENT: usize = 16 * 1024;

/// Where a piece lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing of it is new.
    Old,
    /// It begins, less so many bytes that are known already, at the next position.
    Here(usize),
    /// So many bytes are missing in front of it.
    Ahead(u32),
}

/// An early piece.
pub(super) struct Segment {
    pub(super) off: u32,
    pub(super) start: bool,
    pub(super) time: u64,
    data: Buffer,
}

impl Segment {
    pub(super) fn data(&self) -> &[u8] {
        self.data.as_slice()
    }
}

/// Order of one direction.
#[derive(Default)]
pub(super) struct Stream {
    /// Position of the next byte; none while it is not known where the direction stands.
    next: Option<u32>,
    /// Bytes known to exist from `next` on. Not 0: some are waited for.
    known: u32,
    /// Early pieces by position; all lie ahead of `next`.
    early: Vec<Segment>,
}

impl Stream {
    pub(super) fn new(next: Option<u32>) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    /// Where `len` captured and `hole` missing bytes at `off` lie. The first piece of a direction
    /// whose position is not known fixes it.
    pub(super) fn place(&mut self, off: u32, len: usize, hole: u32) -> Place {
        let next = *self.next.get_or_insert(off);
        let back = next.wrapping_sub(off);
        if back == 0 {
            return Place::Here(0);
        }
        if back > LOOK_BACK {
            return Place::Ahead(off.wrapping_sub(next));
        }
        let cut = usize::try_from(back).unwrap_or(usize::MAX);
        if extent(len, hole) <= back {
            Place::Old
        } else {
            Place::Here(cut.min(len))
        }
    }

    /// The next position.
    pub(super) fn next(&self) -> u32 {
        self.next.unwrap_or_default()
    }

    /// Takes note that the direction reaches to the end of a piece.
    pub(super) fn reaches(&mut self, off: u32, len: usize, hole: u32) {
        let ahead = off.wrapping_sub(self.next());
        let total = extent(len, hole);
        // An old piece whose end lies ahead comes out right here, too: both terms wrap.
        let end = ahead.wrapping_add(total);
        let reach = if ahead > u32::MAX - LOOK_BACK {
            end
        } else {
            ahead.saturating_add(total)
        };
        self.known = self.known.max(reach);
    }

    /// Moves on.
    pub(super) fn advance(&mut self, bytes: u32) {
        self.next = self.next.map(|next| next.wrapping_add(bytes));
        self.known = self.known.saturating_sub(bytes);
        if self.known == 0 && !self.early.is_empty() {
            // All of them lie behind by now.
            self.early = Vec::new();
        }
    }

    /// Moves to `off`, whatever lies between, and forgets what was waited for.
    pub(super) fn jump(&mut self, off: u32) {
        self.next = Some(off);
        self.known = 0;
        self.early = Vec::new();
    }

    /// Forgets the position: the next piece fixes it.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Bytes are missing that something is known to lie behind.
    pub(super) fn waiting(&self) -> bool {
        self.known > 0
    }

    /// Bytes missing in front of the first early piece, or up to where the direction is known to
    /// reach.
    pub(super) fn missing(&self) -> u32 {
        match self.early.first() {
            Some(first) => first.off.wrapping_sub(self.next()).min(self.known),
            None => self.known,
        }
    }

    /// Keeps an early piece. `false`: no room within `limit` bytes of heap.
    pub(super) fn keep(
        &mut self,
        data: &[u8],
        (off, time, start): (u32, u64, bool),
        limit: usize,
    ) -> bool {
        let next = self.next();
        let data = data.get(..MAX_SEGMENT).unwrap_or(data);
        let ahead = off.wrapping_sub(next);
        let at = self
            .early
            .partition_point(|other| other.off.wrapping_sub(next) < ahead);
        // The other end's copy.
        if let Some(same) = self.early.get_mut(at)
            && same.off == off
            && same.data.len() >= data.len()
        {
            if start && !same.start {
                (same.start, same.time) = (true, time);
            }
            return true;
        }
        let held = self.memory();
        // What continues the piece before it needs no entry of its own.
        if !start
            && let Some(before) = at
                .checked_sub(1)
                .and_then(|before| self.early.get_mut(before))
            && before.off.wrapping_add(extent(before.data.len(), 0)) == off
        {
            let need = before.data.len() + data.len();
            let grown = Buffer::sized(need).max(before.data.capacity());
            if need <= MAX_SEGMENT && held - before.data.capacity() + grown <= limit {
                before.data.push(data, MAX_SEGMENT);
                return true;
            }
        }
        let entries = match self.early.len() == self.early.capacity() {
            true => self.early.capacity().max(2),
            false => 0,
        };
        let need = Buffer::sized(data.len()) + entries * size_of::<Segment>();
        if self.early.len() >= MAX_SEGMENTS || held.saturating_add(need) > limit {
            return false;
        }
        if entries > 0 {
            self.early.reserve_exact(entries);
        }
        let mut kept = Buffer::default();
        kept.push(data, MAX_SEGMENT);
        self.early.insert(
            at,
            Segment {
                off,
                start,
                time,
                data: kept,
            },
        );
        true
    }

    /// Takes the first early piece if none of the bytes in front of it is missing.
    pub(super) fn take_ready(&mut self) -> Option<Segment> {
        let first = self.early.first()?;
        let ahead = first.off.wrapping_sub(self.next());
        if ahead != 0 && ahead <= u32::MAX - LOOK_BACK {
            return None;
        }
        let segment = self.early.remove(0);
        if self.early.is_empty() {
            self.early = Vec::new();
        }
        Some(segment)
    }

    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        let data: usize = self
            .early
            .iter()
            .map(|segment| segment.data.capacity())
            .sum();
        data + self.early.capacity() * size_of::<Segment>()
    }
}

/// Bytes that a piece spans.
fn extent(len: usize, hole: u32) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX).saturating_add(hole)
}
