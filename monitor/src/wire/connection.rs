//! One connection: its two directions, and which response answers which request.

use std::fmt;

use super::body::Body;
use super::half::{At, Half, State};
use super::http2::Http2;
use super::pairing::Queue;
use super::startline::{self, Outlook};
use super::stream::Place;
use super::{Anomaly, Dir, Exchanges, Piece, Unanswered, Version};

/// Most heap for early pieces of both directions, in bytes.
const MAX_EARLY: usize = 17 * 1024;
/// The same for HTTP/2, which needs memory elsewhere.
const MAX_EARLY_HTTP2: usize = 8 * 1024;
/// Length of `HTTP/1.1 100 Continue` and its empty line, which no other message has.
const CONTINUE: u32 = 25;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// No message yet.
    Unknown,
    /// HTTP/1.
    Http,
    /// HTTP/2.
    Http2,
    /// Something else, until a request appears.
    Other,
    /// Nothing that will be looked at any more.
    Gone,
}

/// Bytes of one connection, as its ends on this host see them, become HTTP exchanges.
///
/// Holds at most 64 KiB of heap, and none between messages. What is not HTTP costs nothing.
pub struct Connection<P> {
    pub(super) speaks: Speaks,
    /// It was open when it was first seen, and no message has been recognised yet.
    pub(super) midway: bool,
    /// Latest time of a piece.
    pub(super) clock: u64,
    pub(super) up: Half,
    pub(super) down: Half,
    pub(super) queue: Queue<P>,
    /// It runs inside TLS.
    pub(super) secure: bool,
    pub(super) http2: Option<Box<Http2<P>>>,
    /// The last HTTP it was seen to speak.
    pub(super) spoken: Option<Version>,
}

impl<P> fmt::Debug for Connection<P> {
    /// Without contents: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("speaks", &self.speaks)
            .field("to_server", &self.up.state)
            .field("to_client", &self.down.state)
            .field("memory", &self.memory())
            .finish_non_exhaustive()
    }
}

impl<P> Connection<P> {
    /// A connection. `bases`: first offsets (to server, to client) if its beginning was seen; none
    /// if it was joined midway.
    #[must_use]
    pub fn new(bases: Option<(u32, u32)>) -> Self {
        Self {
            speaks: Speaks::Unknown,
            midway: bases.is_none(),
            clock: 0,
            up: Half::new(Dir::ToServer, bases.map(|(up, _)| up)),
            down: Half::new(Dir::ToClient, bases.map(|(_, down)| down)),
            queue: Queue::new(),
            secure: false,
            http2: None,
            spoken: None,
        }
    }

    /// As [`Self::new`], for what runs inside TLS; offsets count the bytes of the plaintext, and wrap
    /// likewise. `http2`: ALPN agreed on `h2`, so that nothing else need be looked for. Without it the
    /// preface decides, or for a connection that was joined midway whether its bytes are like frames.
    #[must_use]
    pub fn inside_tls(bases: Option<(u32, u32)>, http2: bool) -> Self {
        let mut new = Self::new(bases);
        new.secure = true;
        if http2 {
            new.speak_http2();
        }
        new
    }

    /// It is known by other means that the connection speaks HTTP/2 from where it stands: from its
    /// beginning, or, when that was not seen, in the middle. To be called before anything is fed.
    pub fn speak_http2(&mut self) {
        let bases = !self.midway;
        self.begin_http2(if bases {
            Http2::new(0, true)
        } else {
            Http2::midway()
        });
    }

    /// Takes bytes from either end's tap. Both ends can be on this host, and then the same range
    /// arrives twice, in any order: the second copy is dropped, and fills what the first lacked.
    /// Offsets wrap at 2³².
    pub fn feed<X: Exchanges<Pending = P>>(&mut self, piece: Piece<'_>, sink: &mut X) {
        match self.speaks {
            Speaks::Gone => return,
            Speaks::Other => {
                if !reopens(&piece) {
                    return;
                }
                self.speaks = Speaks::Unknown;
            }
            // No message of HTTP/1 begins so.
            Speaks::Unknown if piece.data.first() == Some(&0) => self.recognise_http2(&piece),
            Speaks::Unknown | Speaks::Http | Speaks::Http2 => {}
        }
        let dir = piece.dir;
        let half = self.half(dir);
        if piece.start
            && let State::Body(Body::Fixed(left)) = half.state
            && left >= 1 << 31
            && piece.off == half.stream.next().wrapping_add(left as u32)
        {
            // A body so long that offsets cannot tell ahead from behind.
            half.state = State::Start;
            half.stream.jump(piece.off);
        }
        let mut place = half.stream.place(piece.off, piece.data.len(), piece.hole);
        if place == Place::Old {
            return;
        }
        if piece.start && self.speaks != Speaks::Http2 && self.half(dir.opposite()).stream.waiting()
        {
            // Who answers has read what was sent: nothing of it is still under way.
            self.settle_dir(dir.opposite(), sink);
        }
        if let Place::Ahead(gap) = place {
            let state = self.half(dir).state;
            // Nothing is captured of a long chunked body's end. It is not waited for: the client would
            // not have asked again, nor begun another request.
            let over = matches!(state, State::Body(Body::Chunked(_)))
                && piece.start
                && (dir == Dir::ToServer || self.queue.oldest().is_some_and(|next| next.turned))
                && self.resumes(&piece);
            if over {
                self.gap(dir, gap, sink);
            }
            let lost = match &self.http2 {
                Some(http2) => http2.lost(dir),
                None => state == State::Lost,
            };
            if over || (lost && (self.speaks != Speaks::Http || self.resumes(&piece))) {
                self.half(dir).stream.jump(piece.off);
                place = Place::Here(0);
            } else {
                let skipped = self.skip(dir, gap);
                self.half(dir).stream.advance(skipped);
                if skipped < gap {
                    return self.early(&piece, sink);
                }
            }
        }
        if self.active() {
            if piece.time > self.clock {
                self.clock = piece.time;
            }
            let half = self.half(dir);
            half.stream.reaches(piece.off, piece.data.len(), piece.hole);
            let at = At {
                off: piece.off,
                time: piece.time,
                start: piece.start,
            };
            let cut = if let Place::Here(cut) = place { cut } else { 0 };
            self.arrive(dir, piece.data, cut, at, sink);
            self.catch_up(dir, sink);
        }
    }

    /// Stops waiting for missing bytes in front of early pieces: the gap becomes a fact. To be called
    /// when nothing can still be under way: right after [`Self::feed`] if only one end is tapped, else
    /// a few milliseconds later. Costs next to nothing when nothing waits.
    pub fn settle<X: Exchanges<Pending = P>>(&mut self, sink: &mut X) {
        if self.waiting() {
            self.settle_dir(Dir::ToServer, sink);
            self.settle_dir(Dir::ToClient, sink);
        }
    }

    /// Takes note that records of this connection were lost (the kernel numbers them), in whichever
    /// direction, with nothing to fill them. To be called before the next piece is fed.
    ///
    /// Offsets show that bytes are missing, but not always whether whole messages are among them.
    /// With this, a response that is recognised behind missing bytes is not given to a request that
    /// was sent before the loss; without it, it is if nothing speaks against it.
    pub fn lost_records(&mut self) {
        self.queue.doubt();
    }

    /// Whether [`Self::settle`] has something to do.
    #[must_use]
    pub fn waiting(&self) -> bool {
        self.up.stream.waiting() || self.down.stream.waiting()
    }

    /// The direction will bring no more (end of file was read, FIN): ends close-delimited bodies;
    /// without responses to come, requests in flight stay unanswered.
    pub fn end<X: Exchanges<Pending = P>>(&mut self, dir: Dir, sink: &mut X) {
        self.settle_dir(dir, sink);
        if matches!(self.speaks, Speaks::Other | Speaks::Gone) {
            return;
        }
        if let Some(http2) = &mut self.http2 {
            http2.end(dir, sink);
            let stream = &mut self.half(dir).stream;
            return stream.jump(stream.next());
        }
        let lost = self.half(dir).state == State::Lost;
        self.abandon_head(dir, sink);
        let half = self.half(dir);
        half.state = State::Ended;
        half.stream.jump(half.stream.next());
        if dir == Dir::ToClient {
            self.queue.give_up(
                if lost {
                    Unanswered::Lost
                } else {
                    Unanswered::Closed
                },
                sink,
            );
            self.queue.shrink();
        }
    }

    /// The direction is known to have carried bytes up to `off`. Where a message may begin among those
    /// that did not come, and they end the direction, nothing else would tell that it was not seen.
    pub fn reached<X: Exchanges<Pending = P>>(&mut self, dir: Dir, off: u32, sink: &mut X) {
        if self.speaks != Speaks::Http || self.http2.is_some() {
            return;
        }
        let half = self.half(dir);
        let gap = off.wrapping_sub(half.stream.next());
        if gap == 0 || gap >= 1 << 31 || half.stream.waiting() {
            return;
        }
        let skipped = half.skip(gap);
        half.stream.advance(skipped);
        if skipped < gap && matches!(half.state, State::Start | State::Head) {
            sink.anomaly(Anomaly::Unseen);
        }
    }

    /// The connection is gone: every request in flight is unanswered.
    pub fn close<X: Exchanges<Pending = P>>(&mut self, sink: &mut X) {
        self.settle(sink);
        self.end(Dir::ToServer, sink);
        self.end(Dir::ToClient, sink);
        self.release(Speaks::Gone);
    }

    /// Whether it left HTTP (Upgrade, CONNECT) or is closed: nothing more will be reported.
    #[must_use]
    pub fn left_http(&self) -> bool {
        self.speaks == Speaks::Gone
    }

    /// Which HTTP it has spoken, if any: [`Version::Http11`] for every HTTP/1.
    #[must_use]
    pub fn spoken(&self) -> Option<Version> {
        self.spoken
    }

    /// Requests that wait for their response.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        match &self.http2 {
            Some(http2) => http2.in_flight(),
            None => self.queue.len(),
        }
    }

    /// Requests need not wait for each other's responses: HTTP/2.
    #[must_use]
    pub fn multiplexes(&self) -> bool {
        self.speaks == Speaks::Http2
    }

    /// Bytes of heap held now; what the receiver's `P` hold is not known here. At most 64 KiB, with HTTP/2
    /// and the size of the up to 256 `P` themselves.
    #[must_use]
    pub fn memory(&self) -> usize {
        let http2 = self.http2.as_ref().map_or(0, |http2| http2.memory());
        self.up.memory() + self.down.memory() + self.queue.memory() + http2
    }

    /// Frees what is not needed while idle.
    pub fn shrink(&mut self) {
        self.queue.shrink();
        if let Some(http2) = &mut self.http2 {
            http2.shrink();
        }
    }

    pub(super) fn half(&mut self, dir: Dir) -> &mut Half {
        match dir {
            Dir::ToServer => &mut self.up,
            Dir::ToClient => &mut self.down,
        }
    }

    /// Skips up to `gap` missing bytes that are not needed; returns how many.
    fn skip(&mut self, dir: Dir, gap: u32) -> u32 {
        match &mut self.http2 {
            Some(http2) => http2.skip(dir, gap),
            None => self.half(dir).skip(gap),
        }
    }

    pub(super) fn active(&self) -> bool {
        !matches!(self.speaks, Speaks::Other | Speaks::Gone)
    }

    /// Frees what the directions hold and forgets where they stand.
    pub(super) fn release(&mut self, speaks: Speaks) {
        self.speaks = speaks;
        self.http2 = None;
        for half in [&mut self.up, &mut self.down] {
            half.stream.forget();
            half.lose();
        }
        self.queue.shrink();
    }

    /// Keeps a piece that cannot be used yet.
    fn early<X: Exchanges<Pending = P>>(&mut self, piece: &Piece<'_>, sink: &mut X) {
        let most = match self.speaks {
            Speaks::Http2 => MAX_EARLY_HTTP2,
            _ => MAX_EARLY,
        };
        let limit = most.saturating_sub(self.half(piece.dir.opposite()).stream.memory());
        let stream = &mut self.half(piece.dir).stream;
        let at = (piece.off, piece.time, piece.start);
        if piece.data.is_empty() || stream.keep(piece.data, at, limit) {
            return stream.reaches(piece.off, piece.data.len(), piece.hole);
        }
        // No room: then what is missing is missing.
        self.settle(sink);
        if !self.active() {
            return;
        }
        let stream = &mut self.half(piece.dir).stream;
        let place = stream.place(piece.off, piece.data.len(), piece.hole);
        stream.reaches(piece.off, piece.data.len(), piece.hole);
        let cut = match place {
            Place::Old => return,
            Place::Here(cut) => cut,
            Place::Ahead(gap) => {
                let skipped = self.skip(piece.dir, gap);
                self.half(piece.dir).stream.advance(gap);
                if skipped < gap {
                    self.gap(piece.dir, gap - skipped, sink);
                }
                0
            }
        };
        let at = At {
            off: piece.off,
            time: piece.time,
            start: piece.start,
        };
        self.arrive(piece.dir, piece.data, cut, at, sink);
        self.catch_up(piece.dir, sink);
    }

    /// Takes bytes that lie, less `cut`, at the direction's next position.
    fn arrive<X: Exchanges<Pending = P>>(
        &mut self,
        dir: Dir,
        data: &[u8],
        cut: usize,
        at: At,
        sink: &mut X,
    ) {
        let data = data.get(cut..).unwrap_or_default();
        let next = self.half(dir).stream.next();
        self.read(
            dir,
            data,
            At {
                off: next,
                start: at.start && cut == 0,
                ..at
            },
            sink,
        );
        let read = u32::try_from(data.len()).unwrap_or(u32::MAX);
        self.half(dir).stream.advance(read);
    }

    /// Goes on with early pieces, and over missing bytes that are not needed, as far as possible.
    #[inline]
    fn catch_up<X: Exchanges<Pending = P>>(&mut self, dir: Dir, sink: &mut X) {
        while self.active() && self.half(dir).stream.waiting() {
            let http = self.speaks != Speaks::Unknown;
            let half = self.half(dir);
            if let Some(segment) = half.stream.take_ready() {
                let at = At {
                    off: segment.off,
                    time: segment.time,
                    start: segment.start,
                };
                match half.stream.place(segment.off, segment.data().len(), 0) {
                    Place::Here(cut) => self.arrive(dir, segment.data(), cut, at, sink),
                    Place::Old | Place::Ahead(_) => {}
                }
                continue;
            }
            let missing = half.stream.missing();
            let skipped = match half.state {
                // What was never HTTP is not waited for.
                State::Lost if !http => missing,
                _ => self.skip(dir, missing),
            };
            if skipped == 0 {
                return;
            }
            self.half(dir).stream.advance(skipped);
        }
    }

    fn settle_dir<X: Exchanges<Pending = P>>(&mut self, dir: Dir, sink: &mut X) {
        while self.active() && self.half(dir).stream.waiting() {
            let stream = &mut self.half(dir).stream;
            let missing = stream.missing();
            if missing == 0 {
                // Cannot be: what is not missing has been taken.
                return stream.jump(stream.next());
            }
            stream.advance(missing);
            self.gap(dir, missing, sink);
            self.catch_up(dir, sink);
        }
    }

    /// Bytes that are needed are missing for good.
    fn gap<X: Exchanges<Pending = P>>(&mut self, dir: Dir, bytes: u32, sink: &mut X) {
        if let Some(http2) = &mut self.http2 {
            return http2.gap(dir, bytes, sink);
        }
        let half = self.half(dir);
        match half.state {
            State::Lost | State::Ended => return,
            State::Head => {
                sink.anomaly(Anomaly::Gap);
                return self.cut_head(dir, sink);
            }
            State::Start | State::Body(_) | State::Preamble(_) => sink.anomaly(Anomaly::Gap),
        }
        let between = half.state == State::Start;
        half.lose();
        self.down.missed |=
            dir == Dir::ToClient && between && bytes != CONTINUE && !self.queue.is_empty();
    }
}

/// Whether a piece of a connection that spoke something else is a request. Must stay cheap.
fn reopens(piece: &Piece<'_>) -> bool {
    let upper = piece.data.first().is_some_and(u8::is_ascii_uppercase);
    if !(piece.start && upper && piece.dir == Dir::ToServer) {
        return false;
    }
    match startline::request_outlook(piece.data) {
        Outlook::Begun => startline::begins_target(piece.data),
        Outlook::Line | Outlook::Http2 => true,
        _ => false,
    }
}
