//! What is known of one direction of an HTTP/2 connection.

use std::ops::Range;

use super::frame::{
    CONTINUATION, Frame, HEADER, HEADERS, PADDED, PREFACE, PRIORITISED, PUSH_PROMISE,
};
use crate::wire::buffer::Buffer;
use crate::wire::half::At;
use crate::wire::hpack::Decoder;

/// Longest block of fields that is decoded whole, in bytes; both directions share the memory for it.
pub(super) const MAX_BLOCK: usize = 16 * 1024;

/// Where a direction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// So many bytes into the client's preface.
    Preface(usize),
    /// At a frame's header, or so many bytes into it.
    Header(usize),
    /// In the payload of a frame with fields, of which so many bytes are left.
    Block(Frame, u32),
    /// In the first bytes, so many of them read, of a payload of which they are all that matters.
    Small(Frame, usize),
    /// In a payload that is not needed, of which so many bytes are left.
    Skip(u32),
    /// It is not known where the next frame begins.
    Lost,
    /// No more will come.
    Ended,
}

/// A block of fields whose end has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) stream: u32,
    pub(super) kind: u8,
    pub(super) end_stream: bool,
    /// Some of it is missing, or was too much.
    pub(super) cut: bool,
    /// Where and when it began.
    pub(super) off: u32,
    pub(super) time: u64,
    /// First after bytes that were skipped.
    pub(super) resynchronised: bool,
}

/// One direction.
pub(super) struct Side {
    pub(super) state: State,
    pub(super) decoder: Decoder,
    /// Bytes of a frame's header, or of a small payload, that came in several pieces.
    pub(super) small: [u8; HEADER],
    /// What is there of the open block: fragments, and behind `whole` bytes of them the payload that is
    /// being gathered.
    pub(super) held: Buffer,
    pub(super) whole: usize,
    pub(super) open: Option<Open>,
    /// Where and when the frame began.
    pub(super) at: At,
    /// The next block is the first after bytes that were skipped.
    pub(super) resync: bool,
    /// A frame has been recognised, or the direction's beginning was seen.
    pub(super) synced: bool,
}

impl Side {
    pub(super) fn new(state: State, decoder: Decoder) -> Self {
        Self {
            state,
            decoder,
            small: [0; HEADER],
            held: Buffer::default(),
            whole: 0,
            open: None,
            at: At::default(),
            resync: false,
            synced: state != State::Lost,
        }
    }

    /// Skips up to `gap` missing bytes that are not needed; returns how many.
    pub(super) fn skip(&mut self, gap: u32) -> u32 {
        match self.state {
            State::Skip(left) => {
                let skipped = left.min(gap);
                self.state = skipping(left - skipped);
                skipped
            }
            State::Lost | State::Ended => gap,
            State::Preface(_) | State::Header(_) | State::Block(..) | State::Small(..) => 0,
        }
    }

    /// Takes what was gathered of a block.
    pub(super) fn take_held(&mut self) -> Buffer {
        self.whole = 0;
        std::mem::take(&mut self.held)
    }

    /// Reads on in a frame's header or a small payload of `wanted` bytes, `have` of which are there.
    /// Returns how many bytes were used, and the bytes if all are there.
    pub(super) fn gather(&mut self, have: usize, wanted: usize, data: &[u8]) -> (usize, usize) {
        let taken = wanted.saturating_sub(have).min(data.len());
        let places = self.small.iter_mut().skip(have);
        for (place, byte) in places.zip(data.iter().take(taken)) {
            *place = *byte;
        }
        (taken, have + taken)
    }

    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        self.held.capacity() + self.decoder.memory()
    }
}

/// The state behind which so many bytes of a payload are left.
pub(super) fn skipping(left: u32) -> State {
    match left {
        0 => State::Header(0),
        left => State::Skip(left),
    }
}

/// Which part of a payload is fields (RFC 9113 §6.2, §6.6, §6.10). `payload` is what is there of it.
/// None: there is more padding than payload.
pub(super) fn fragment(frame: &Frame, payload: &[u8]) -> Option<Range<usize>> {
    let len = usize::try_from(frame.len).unwrap_or(usize::MAX);
    let (mut begin, mut end) = (0, len);
    if frame.kind != CONTINUATION && frame.has(PADDED) {
        begin += 1;
        end = end.checked_sub(payload.first().copied().unwrap_or_default().into())?;
    }
    if frame.kind == HEADERS && frame.has(PRIORITISED) {
        begin += 5;
    }
    if frame.kind == PUSH_PROMISE {
        begin += 4;
    }
    if begin > end {
        return None;
    }
    let end = end.min(payload.len());
    Some(begin.min(end)..end)
}

/// Whether `data` goes on with the client's preface, so many bytes of which were there.
pub(super) fn preface_goes_on(seen: usize, data: &[u8]) -> bool {
    let rest = PREFACE.get(seen..).unwrap_or_default();
    rest.iter().zip(data).all(|(a, b)| a == b)
}
