//! HTTP/2 (RFC 9113): frames become requests and responses.
//!
//! The order of bytes is [`Connection`](super::Connection)'s affair, as it is for HTTP/1. Here frames
//! are walked: what carries data is skipped by arithmetic, whether its bytes were captured or not; what
//! carries fields is gathered and decoded. Where a frame's header was not captured the direction is lost
//! until a frame is recognised again, and what the table of its header compression held is unknown.

mod frame;
mod messages;
mod side;
mod streams;

use frame::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADER, HEADERS, PREFACE,
    PUSH_PROMISE, RST_STREAM,
};
pub(super) use frame::{direction, is_server_preface, recognise};
use side::{MAX_BLOCK, Open, Side, State, fragment, preface_goes_on, skipping};
use streams::Streams;

use super::half::At;
use super::hpack::{Decoder, Fields};
use super::{Anomaly, Dir, Exchanges, Unanswered};

/// Most that is kept of the table of requests, in bytes as RFC 7541 §4.1 counts them. Nearly every server
/// leaves it at 4,096.
const TABLE_UP: usize = 12 * 1024;
/// The same for responses, of which little but the status is needed.
const TABLE_DOWN: usize = 8 * 1024;

/// A connection that speaks HTTP/2. At most 48 KiB of heap beside what `P`s take themselves.
pub(super) struct Http2<P> {
    up: Side,
    down: Side,
    streams: Streams<P>,
    fields: Fields,
}

impl<P> Http2<P> {
    /// From the beginning; the client's preface was read up to byte `seen` of it. `down`: where the
    /// other direction stands is known, too: at its beginning.
    pub(super) fn new(seen: usize, down: bool) -> Self {
        let down = if down { State::Header(0) } else { State::Lost };
        Self {
            up: Side::new(State::Preface(seen), Decoder::new(TABLE_UP)),
            // No request, so no fields of a response were missed.
            down: Side::new(down, Decoder::new(TABLE_DOWN)),
            streams: Streams::new(),
            fields: Fields::default(),
        }
    }

    /// A connection that was joined when it was open.
    pub(super) fn midway() -> Self {
        Self {
            up: Side::new(State::Lost, Decoder::midway(TABLE_UP)),
            down: Side::new(State::Lost, Decoder::midway(TABLE_DOWN)),
            streams: Streams::new(),
            fields: Fields::default(),
        }
    }

    /// Behind a 101 (RFC 7540 §3.2): the request that was answered with it is stream 1. `up`: the
    /// client's preface comes next.
    pub(super) fn upgraded<X: Exchanges<Pending = P>>(pending: P, up: bool, sink: &mut X) -> Self {
        let mut new = Self::new(0, true);
        if !up {
            new.up.state = State::Lost;
        }
        new.streams.asked(1, sink);
        if let Some(stream) = new.streams.open(1, sink) {
            stream.pending = Some(pending);
        }
        new
    }

    fn side(&mut self, dir: Dir) -> &mut Side {
        match dir {
            Dir::ToServer => &mut self.up,
            Dir::ToClient => &mut self.down,
        }
    }

    /// Whether it is not known where the direction stands.
    pub(super) fn lost(&self, dir: Dir) -> bool {
        let side = match dir {
            Dir::ToServer => &self.up,
            Dir::ToClient => &self.down,
        };
        side.state == State::Lost
    }

    /// Skips up to `gap` missing bytes that are not needed; returns how many.
    pub(super) fn skip(&mut self, dir: Dir, gap: u32) -> u32 {
        self.side(dir).skip(gap)
    }

    /// So many bytes that are needed are missing for good.
    pub(super) fn gap<X: Exchanges<Pending = P>>(&mut self, dir: Dir, bytes: u32, sink: &mut X) {
        let side = self.side(dir);
        match side.state {
            State::Lost | State::Ended => return,
            State::Block(frame, left) if bytes <= left => {
                sink.anomaly(Anomaly::Gap);
                // The frame's end is known; its fields are not.
                self.close_fragment(dir, frame, true, sink);
                self.side(dir).state = skipping(left - bytes);
                return;
            }
            _ => sink.anomaly(Anomaly::Gap),
        }
        self.lose(dir, sink);
    }

    /// Loses the thread.
    fn lose<X: Exchanges<Pending = P>>(&mut self, dir: Dir, sink: &mut X) {
        if let State::Block(frame, _) = self.side(dir).state {
            self.close_fragment(dir, frame, true, sink);
        }
        self.give_up_block(dir, sink);
        let side = self.side(dir);
        side.take_held();
        side.decoder.lose();
        side.state = State::Lost;
        side.resync = false;
    }

    /// The direction will bring no more.
    pub(super) fn end<X: Exchanges<Pending = P>>(&mut self, dir: Dir, sink: &mut X) {
        let lost = self.lost(dir);
        let side = self.side(dir);
        side.take_held();
        side.decoder.lose();
        side.state = State::Ended;
        if side.open.take().is_some() {
            // Nobody acts upon what is not complete.
            sink.anomaly(Anomaly::BadFrame);
        }
        if dir == Dir::ToClient {
            let why = if lost {
                Unanswered::Lost
            } else {
                Unanswered::Closed
            };
            self.streams.give_up(why, sink);
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.streams.in_flight()
    }

    pub(super) fn shrink(&mut self) {
        self.streams.shrink();
        self.fields = Fields::default();
    }

    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>()
            + self.up.memory()
            + self.down.memory()
            + self.streams.memory()
            + self.fields.memory()
    }

    /// Reads bytes that continue a direction.
    pub(super) fn read<X: Exchanges<Pending = P>>(
        &mut self,
        dir: Dir,
        data: &[u8],
        at: At,
        sink: &mut X,
    ) {
        let mut rest = data;
        while !rest.is_empty() {
            let here = At {
                off: at.off.wrapping_add(length(data.len() - rest.len())),
                ..at
            };
            let used = match self.side(dir).state {
                State::Preface(seen) => self.preface(dir, seen, rest, sink),
                State::Header(have) => self.header(dir, have, rest, here, sink),
                State::Block(frame, left) => self.block(dir, frame, left, rest, sink),
                State::Small(frame, have) => self.small(dir, frame, have, rest, sink),
                State::Skip(left) => {
                    let used = length(rest.len()).min(left);
                    self.side(dir).skip(used);
                    bytes(used)
                }
                State::Lost if rest.len() == data.len() => match self.resume(dir, rest, sink) {
                    Some(skipped) => skipped,
                    None => return,
                },
                State::Lost | State::Ended => return,
            };
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    /// Looks for a frame in the bytes of a lost direction; returns how many bytes lie in front of it.
    fn resume<X: Exchanges<Pending = P>>(
        &mut self,
        dir: Dir,
        data: &[u8],
        sink: &mut X,
    ) -> Option<usize> {
        let side = self.side(dir);
        if dir == Dir::ToServer && data.starts_with(PREFACE) {
            side.decoder = Decoder::new(TABLE_UP);
            (side.state, side.synced) = (State::Preface(0), true);
            return Some(0);
        }
        let skipped = frame::boundary(data, dir)?;
        (side.state, side.resync) = (State::Header(0), true);
        if std::mem::replace(&mut side.synced, true) {
            sink.anomaly(Anomaly::Resynchronised);
        }
        Some(skipped)
    }

    fn preface<X: Exchanges<Pending = P>>(
        &mut self,
        dir: Dir,
        seen: usize,
        data: &[u8],
        sink: &mut X,
    ) -> usize {
        if !preface_goes_on(seen, data) {
            sink.anomaly(Anomaly::BadRequest);
            self.lose(dir, sink);
            return data.len();
        }
        let used = PREFACE.len().saturating_sub(seen).min(data.len());
        self.side(dir).state = match seen + used {
            whole if whole >= PREFACE.len() => State::Header(0),
            part => State::Preface(part),
        };
        used
    }

    fn header<X: Exchanges<Pending = P>>(
        &mut self,
        dir: Dir,
        have: usize,
        data: &[u8],
        at: At,
        sink: &mut X,
    ) -> usize {
        let side = self.side(dir);
        if have == 0 {
            side.at = at;
        }
        let (used, frame) = match data.first_chunk::<HEADER>() {
            Some(header) if have == 0 => (HEADER, Frame::parse(header)),
            _ => {
                let (used, have) = side.gather(have, HEADER, data);
                if have < HEADER {
                    side.state = State::Header(have);
                    return used;
                }
                (used, Frame::parse(&side.small))
            }
        };
        if !frame.sound(dir) {
            sink.anomaly(Anomaly::BadFrame);
            self.lose(dir, sink);
            return data.len();
        }
        self.frame(dir, frame, sink);
        used
    }

    /// A frame begins.
    fn frame<X: Exchanges<Pending = P>>(&mut self, dir: Dir, frame: Frame, sink: &mut X) {
        let open = self.side(dir).open;
        let continues = frame.kind == CONTINUATION;
        if continues != open.is_some() || open.is_some_and(|open| open.stream != frame.stream) {
            // Nothing may stand between the frames of a block (RFC 9113 §6.10). Behind bytes that
            // were skipped, the block's beginning may be among them.
            if !(continues && self.side(dir).resync) {
                sink.anomaly(Anomaly::BadFrame);
            }
            self.give_up_block(dir, sink);
            self.side(dir).decoder.lose();
            if continues {
                self.side(dir).state = skipping(frame.len);
                return;
            }
        }
        let side = self.side(dir);
        side.state = match frame.kind {
            HEADERS | PUSH_PROMISE => {
                side.open = Some(Open {
                    stream: frame.stream,
                    kind: frame.kind,
                    end_stream: frame.kind == HEADERS && frame.has(END_STREAM),
                    cut: false,
                    off: side.at.off,
                    time: side.at.time,
                    resynchronised: std::mem::take(&mut side.resync),
                });
                State::Block(frame, frame.len)
            }
            CONTINUATION => State::Block(frame, frame.len),
            RST_STREAM | GOAWAY => State::Small(frame, 0),
            _ => skipping(frame.len),
        };
        if frame.kind == DATA && frame.has(END_STREAM) && dir == Dir::ToClient {
            self.streams
                .finish(frame.stream, &[], Unanswered::Lost, sink);
        }
        if frame.len == 0 && matches!(self.side(dir).state, State::Block(..)) {
            self.block(dir, frame, 0, &[], sink);
        }
    }

    /// The payload of a frame with fields goes on; returns how many bytes were of it.
    fn block<X: Exchanges<Pending = P>>(
        &mut self,
        dir: Dir,
        frame: Frame,
        left: u32,
        data: &[u8],
        sink: &mut X,
    ) -> usize {
        let taken = data.get(..bytes(left)).unwrap_or(data);
        let left = left.saturating_sub(length(taken.len()));
        let cut = self.side(dir).open.is_none_or(|open| open.cut);
        let alone = !cut && self.side(dir).held.len() == 0 && frame.has(END_HEADERS);
        if alone && left == 0 && taken.len() <= MAX_BLOCK {
            // As nearly always: all of it is here.
            let side = self.side(dir);
            side.state = State::Header(0);
            if let Some(open) = side.open.take() {
                self.fields(dir, open, &frame, taken, sink);
            }
            return taken.len();
        }
        let limit = MAX_BLOCK.saturating_sub(self.side(dir.opposite()).held.capacity());
        let side = self.side(dir);
        // Nothing is appended behind what is missing.
        if !cut
            && side.held.push(taken, limit) < taken.len()
            && let Some(open) = &mut side.open
        {
            open.cut = true;
            sink.anomaly(Anomaly::HeadTooLong);
        }
        side.state = State::Block(frame, left);
        if left == 0 {
            self.close_fragment(dir, frame, false, sink);
            self.side(dir).state = State::Header(0);
        }
        taken.len()
    }

    /// A frame's share of the open block is complete, or (`cut`) the rest of it will not be had.
    fn close_fragment<X: Exchanges<Pending = P>>(
        &mut self,
        dir: Dir,
        frame: Frame,
        cut: bool,
        sink: &mut X,
    ) {
        let side = self.side(dir);
        let Some(open) = &mut side.open else { return };
        open.cut |= cut;
        let whole = side.whole;
        let payload = side.held.as_slice().get(whole..).unwrap_or_default();
        let fields = fragment(&frame, payload).unwrap_or_else(|| {
            sink.anomaly(Anomaly::BadFrame);
            open.cut = true;
            0..0
        });
        side.held.keep_part(whole, fields);
        side.whole = side.held.len();
        if frame.has(END_HEADERS) {
            self.give_block(dir, sink);
        }
    }

    /// The open block will not be completed: what is there of it counts.
    fn give_up_block<X: Exchanges<Pending = P>>(&mut self, dir: Dir, sink: &mut X) {
        if let Some(open) = &mut self.side(dir).open {
            open.cut = true;
        }
        self.give_block(dir, sink);
    }

    /// The first bytes of a small payload.
    fn small<X: Exchanges<Pending = P>>(
        &mut self,
        dir: Dir,
        frame: Frame,
        have: usize,
        data: &[u8],
        sink: &mut X,
    ) -> usize {
        let wanted = if frame.kind == GOAWAY { 8 } else { 4 };
        let side = self.side(dir);
        let (used, have) = side.gather(have, wanted, data);
        if have < wanted {
            side.state = State::Small(frame, have);
            return used;
        }
        side.state = skipping(frame.len.saturating_sub(length(wanted)));
        let last = side
            .small
            .first_chunk::<4>()
            .map_or(0, |bytes| u32::from_be_bytes(*bytes));
        match (frame.kind, dir) {
            (RST_STREAM, _) => self.reset(dir, frame.stream, sink),
            (GOAWAY, Dir::ToClient) => self.streams.refused(last & 0x7fff_ffff, sink),
            _ => {}
        }
        used
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn bytes(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
