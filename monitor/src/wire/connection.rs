//! One connection: its two directions, and which response answers which request.

use std::fmt;
use std::mem;

use super::body::{Body, Step};
use super::half::{At, Half, State, outlook};
use super::head::{self, MAX_HEAD, Outlook, Preamble, Strict};
use super::pairing::{Answered, InFlight, Kind, Queue};
use super::stream::Place;
use super::{Anomaly, Dir, Exchanges, Piece, RequestHead, ResponseHead, Unanswered};

/// Most heap for early pieces of both directions, in bytes.
const MAX_EARLY: usize = 17 * 1024;
/// Length of `HTTP/1.1 100 Continue` and its empty line, which no other message has.
const CONTINUE: u32 = 25;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    /// No message yet.
    Unknown,
    /// HTTP/1.
    Http,
    /// Something else, until a request appears.
    Other,
    /// Nothing that will be looked at any more.
    Gone,
}

/// Bytes of one connection, as its ends on this host see them, become HTTP exchanges.
///
/// Holds at most 64 KiB of heap, and none between messages. What is not HTTP costs nothing.
pub struct Connection<P> {
    speaks: Speaks,
    /// It was open when it was first seen, and no message has been recognised yet.
    midway: bool,
    /// Latest time of a piece.
    clock: u64,
    up: Half,
    down: Half,
    queue: Queue<P>,
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
        }
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
            Speaks::Unknown | Speaks::Http => {}
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
        if piece.start && self.half(dir.opposite()).stream.waiting() {
            // Who answers has read what was sent: nothing of it is still under way.
            self.settle_dir(dir.opposite(), sink);
        }
        if let Place::Ahead(gap) = place {
            let lost = self.half(dir).state == State::Lost;
            if lost && (self.speaks != Speaks::Http || self.resumes(&piece)) {
                self.half(dir).stream.jump(piece.off);
                place = Place::Here(0);
            } else {
                let half = self.half(dir);
                let skipped = half.skip(gap);
                half.stream.advance(skipped);
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

    /// The connection is gone: every request in flight is unanswered.
    pub fn close<X: Exchanges<Pending = P>>(&mut self, sink: &mut X) {
        self.settle(sink);
        self.end(Dir::ToServer, sink);
        self.end(Dir::ToClient, sink);
        self.release(Speaks::Gone);
    }

    /// Bytes of heap held now; what the receiver's `P` hold is not known here. At most 64 KiB.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.up.memory() + self.down.memory() + self.queue.memory()
    }

    /// Frees what is not needed while idle.
    pub fn shrink(&mut self) {
        self.queue.shrink();
    }

    fn half(&mut self, dir: Dir) -> &mut Half {
        match dir {
            Dir::ToServer => &mut self.up,
            Dir::ToClient => &mut self.down,
        }
    }

    fn active(&self) -> bool {
        matches!(self.speaks, Speaks::Unknown | Speaks::Http)
    }

    /// Frees what the directions hold and forgets where they stand.
    fn release(&mut self, speaks: Speaks) {
        self.speaks = speaks;
        for half in [&mut self.up, &mut self.down] {
            half.stream.forget();
            half.lose();
        }
        self.queue.shrink();
    }

    /// Whether a lost direction can go on with this piece.
    fn resumes(&self, piece: &Piece<'_>) -> bool {
        match piece.dir {
            Dir::ToServer if piece.start => head::request_outlook(piece.data) != Outlook::No,
            Dir::ToServer => head::is_request(piece.data),
            // Bytes of a body may look like a response; at the turn of a direction they are one.
            Dir::ToClient if piece.start => !matches!(
                head::response_outlook(piece.data),
                Outlook::No | Outlook::Unusable
            ),
            Dir::ToClient => false,
        }
    }

    /// Keeps a piece that cannot be used yet.
    fn early<X: Exchanges<Pending = P>>(&mut self, piece: &Piece<'_>, sink: &mut X) {
        let limit = MAX_EARLY.saturating_sub(self.half(piece.dir.opposite()).stream.memory());
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
                let half = self.half(piece.dir);
                let skipped = half.skip(gap);
                half.stream.advance(gap);
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
            let http = self.speaks == Speaks::Http;
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
                _ => half.skip(missing),
            };
            if skipped == 0 {
                return;
            }
            half.stream.advance(skipped);
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

    /// Reads bytes that continue a direction.
    fn read<X: Exchanges<Pending = P>>(&mut self, dir: Dir, data: &[u8], at: At, sink: &mut X) {
        let (mut rest, mut at, mut begins) = (data, at, true);
        while !rest.is_empty() && self.active() {
            let half = self.half(dir);
            let used = match half.state {
                State::Start => self.begin_head(dir, rest, at, sink),
                State::Head => self.continue_head(dir, rest, sink),
                State::Body(mut body) => {
                    if half.optional && half.untouched && begins && head::is_request(rest) {
                        half.state = State::Start;
                        continue;
                    }
                    half.untouched = false;
                    match body.advance(rest) {
                        Step::More => {
                            half.state = State::Body(body);
                            return;
                        }
                        Step::Done(used) => {
                            half.state = State::Start;
                            used
                        }
                        Step::Broken => {
                            half.lose();
                            return sink.anomaly(Anomaly::BadChunk);
                        }
                    }
                }
                State::Preamble(left) => {
                    let used = rest.len().min(usize::from(left));
                    half.skip(u32::try_from(used).unwrap_or(u32::MAX));
                    used
                }
                State::Lost => {
                    let piece = Piece {
                        dir,
                        off: at.off,
                        data: rest,
                        hole: 0,
                        time: at.time,
                        start: at.start,
                    };
                    if !begins || !self.resumes(&piece) {
                        return;
                    }
                    if dir == Dir::ToClient && self.queue.is_empty() {
                        if head::response_outlook(rest) != Outlook::Open {
                            self.recognise(sink);
                            sink.anomaly(Anomaly::Orphan);
                        }
                        return;
                    }
                    let half = self.half(dir);
                    (half.state, half.resync) = (State::Start, true);
                    continue;
                }
                State::Ended => return,
            };
            rest = rest.get(used..).unwrap_or_default();
            let used = u32::try_from(used).unwrap_or(u32::MAX);
            at = At {
                off: at.off.wrapping_add(used),
                start: false,
                ..at
            };
            begins = false;
        }
    }

    /// Reads the beginning of a message; returns how many bytes it took.
    fn begin_head<X: Exchanges<Pending = P>>(
        &mut self,
        dir: Dir,
        data: &[u8],
        at: At,
        sink: &mut X,
    ) -> usize {
        let clock = self.clock;
        let half = self.half(dir);
        half.at = At {
            time: if at.time == 0 { clock } else { at.time },
            ..at
        };
        if half.first {
            match head::preamble(data) {
                Preamble::None => half.first = false,
                Preamble::Open => {
                    half.gather(false);
                    return self.continue_head(dir, data, sink);
                }
                Preamble::Proxy(here, behind) => {
                    half.pass_preamble(behind);
                    return here;
                }
            }
        }
        // RFC 9112 §2.2: empty lines in front of a message are ignored.
        let blank = data
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        if blank > 0 {
            return blank;
        }
        let window = data.get(..MAX_HEAD).unwrap_or(data);
        let parsed = match dir {
            Dir::ToServer => head::request(window, |request| self.request(request, true, sink)),
            Dir::ToClient => head::response(window, |response| self.response(response, true, sink)),
        };
        if let Strict::Complete(used, ()) = parsed {
            return used;
        }
        let line = match outlook(dir, data) {
            Outlook::Open | Outlook::Begun => false,
            Outlook::Line => true,
            unfit => {
                self.refuse(dir, unfit, sink);
                return 0;
            }
        };
        self.half(dir).gather(line);
        self.continue_head(dir, data, sink)
    }

    /// Gathers more of a head; returns how many bytes it took.
    fn continue_head<X: Exchanges<Pending = P>>(
        &mut self,
        dir: Dir,
        data: &[u8],
        sink: &mut X,
    ) -> usize {
        let half = self.half(dir);
        let before = half.head.len();
        let taken = half.head.push(data, MAX_HEAD);
        if half.first {
            match head::preamble(half.head.as_slice()) {
                Preamble::Open => return taken,
                Preamble::Proxy(here, behind) => {
                    half.take_head();
                    half.pass_preamble(behind);
                    return here.saturating_sub(before);
                }
                Preamble::None => {
                    // A message after all: from its beginning.
                    half.first = false;
                    half.state = State::Start;
                    let (bytes, at) = (half.take_head(), half.at);
                    self.read(dir, bytes.as_slice(), at, sink);
                    return taken;
                }
            }
        }
        // A start line is judged when it begins and when it is complete.
        let new = data.get(..taken).unwrap_or(data);
        if !half.line && (before < 2 * 32 || memchr::memchr(b'\n', new).is_some()) {
            match outlook(dir, half.head.as_slice()) {
                Outlook::Open | Outlook::Begun => {}
                Outlook::Line => half.line = true,
                unfit => {
                    self.refuse(dir, unfit, sink);
                    return 0;
                }
            }
        }
        match head::end(half.head.as_slice(), half.scanned) {
            Ok(end) => {
                let bytes = half.take_head();
                let bytes = bytes.as_slice().get(..end).unwrap_or_default();
                self.finish_head(dir, bytes, sink);
                end.saturating_sub(before)
            }
            Err(scanned) if half.head.len() < MAX_HEAD => {
                half.scanned = scanned;
                taken
            }
            Err(_) => {
                sink.anomaly(Anomaly::HeadTooLong);
                self.cut_head(dir, sink);
                taken
            }
        }
    }

    /// A gathered head is complete.
    fn finish_head<X: Exchanges<Pending = P>>(&mut self, dir: Dir, bytes: &[u8], sink: &mut X) {
        let strict = match dir {
            Dir::ToServer => head::request(bytes, |request| self.request(request, true, sink)),
            Dir::ToClient => head::response(bytes, |response| self.response(response, true, sink)),
        };
        if let Strict::Complete(..) = strict {
            return;
        }
        let salvaged = match dir {
            Dir::ToServer => {
                head::salvage_request(bytes, true, |request| self.request(request, true, sink))
            }
            Dir::ToClient => {
                head::salvage_response(bytes, |response| self.response(response, true, sink))
            }
        };
        if salvaged.is_none() {
            self.refuse(dir, Outlook::Unusable, sink);
        }
    }

    /// The rest of a head will not be had: what there is of it counts. The direction is lost.
    fn cut_head<X: Exchanges<Pending = P>>(&mut self, dir: Dir, sink: &mut X) {
        let half = self.half(dir);
        let line = half.line;
        let bytes = half.take_head();
        if line {
            let bytes = bytes.as_slice();
            match dir {
                Dir::ToServer => {
                    head::salvage_request(bytes, false, |request| {
                        self.request(request, false, sink);
                    });
                }
                Dir::ToClient => {
                    head::salvage_response(bytes, |response| self.response(response, false, sink));
                }
            }
        }
        self.half(dir).lose();
    }

    /// A head that was begun will not be completed: nobody acts upon it.
    fn abandon_head<X: Exchanges<Pending = P>>(&mut self, dir: Dir, sink: &mut X) {
        let half = self.half(dir);
        if half.state == State::Head {
            let line = half.line;
            half.lose();
            if line || self.speaks == Speaks::Http {
                sink.anomaly(bad(dir));
            }
        }
    }

    /// A message begins with bytes that no message begins with.
    fn refuse<X: Exchanges<Pending = P>>(&mut self, dir: Dir, why: Outlook, sink: &mut X) {
        if why == Outlook::Http2 && dir == Dir::ToServer {
            return self.leave(sink);
        }
        let http = self.speaks == Speaks::Http;
        let asked = dir == Dir::ToClient && self.up.state == State::Head;
        if !http && !asked && !self.midway && why == Outlook::No {
            return self.release(Speaks::Other);
        }
        let half = self.half(dir);
        let guessed = half.resync;
        half.lose();
        // Behind CONNECT the client may have begun to tunnel.
        let tunnel = dir == Dir::ToServer && self.queue.may_leave();
        if why == Outlook::Unusable || (http && !guessed && !tunnel) {
            sink.anomaly(bad(dir));
        }
    }

    /// The connection leaves HTTP/1.
    fn leave<X: Exchanges<Pending = P>>(&mut self, sink: &mut X) {
        sink.anomaly(Anomaly::LeftHttp);
        self.queue.give_up(Unanswered::Lost, sink);
        self.release(Speaks::Gone);
    }

    /// A message of HTTP/1 was recognised.
    fn recognise<X: Exchanges<Pending = P>>(&mut self, sink: &mut X) {
        self.speaks = Speaks::Http;
        if mem::take(&mut self.midway) {
            sink.anomaly(Anomaly::JoinedMidway);
        }
    }

    /// A request's head is there, or (`!whole`) what there is of it.
    fn request<X: Exchanges<Pending = P>>(
        &mut self,
        head: head::Request<'_>,
        whole: bool,
        sink: &mut X,
    ) {
        self.recognise(sink);
        let resynchronised = mem::take(&mut self.up.resync);
        if resynchronised && mem::replace(&mut self.up.synced, true) {
            sink.anomaly(Anomaly::Resynchronised);
        }
        if head.malformed {
            sink.anomaly(Anomaly::BadRequest);
        }
        if head.overfull {
            sink.anomaly(Anomaly::HeadTooLong);
        }
        let (extent, faulty) = head.framing.of_request(head.minor);
        if faulty {
            sink.anomaly(Anomaly::BadFraming);
        }
        let at = self.up.at;
        let pending = sink.request(&RequestHead {
            method: head.method,
            target: head.target,
            minor: head.minor,
            headers: head.headers,
            off: at.off,
            time: at.time,
            resynchronised,
            truncated: head.cut,
        });
        let mut new = InFlight::new(pending, Kind::of(head.method));
        new.turned = at.start;
        new.resynchronised = resynchronised;
        new.expects_continue = head.framing.expects_continue;
        self.queue.push(new, sink);
        if at.start && self.down.state == State::Body(Body::UntilClose) {
            // A client does not begin anew within a response.
            self.down.lose();
        }
        self.up
            .follow(if whole { extent.into() } else { State::Lost });
    }

    /// A response's head is there, or (`!whole`) what there is of it.
    fn response<X: Exchanges<Pending = P>>(
        &mut self,
        head: head::Response<'_>,
        whole: bool,
        sink: &mut X,
    ) {
        self.recognise(sink);
        if mem::take(&mut self.down.resync) {
            if mem::replace(&mut self.down.synced, true) {
                sink.anomaly(Anomaly::Resynchronised);
            }
            let given_up = self.queue.keep_last_turn(sink);
            let missed = mem::take(&mut self.down.missed);
            if self.queue.oldest().is_some_and(|oldest| {
                oldest.lossy || (missed && given_up == 0 && !oldest.resynchronised)
            }) {
                // The oldest one's response was missed, and the request for this one too.
                self.queue.give_up(Unanswered::Lost, sink);
            }
        }
        if head.malformed {
            sink.anomaly(Anomaly::BadResponse);
        }
        if head.overfull {
            sink.anomaly(Anomaly::HeadTooLong);
        }
        if self.queue.is_empty() {
            self.down.lose();
            return sink.anomaly(Anomaly::Orphan);
        }
        if head.status != 101 && (100..200).contains(&head.status) {
            return self
                .down
                .follow(if whole { State::Start } else { State::Lost });
        }
        let (kind, request) = match self.queue.answered(sink) {
            Answered::Request(request) => (request.kind, Some(request)),
            Answered::Overflown(kind) => (kind, None),
            Answered::None => {
                self.down.lose();
                return sink.anomaly(Anomaly::Orphan);
            }
        };
        let (extent, faulty) =
            head.framing
                .of_response(head.status, head.minor, kind == Kind::Head);
        if faulty {
            sink.anomaly(Anomaly::BadFraming);
        }
        let sure = whole && (request.is_some() || kind == Kind::Other);
        let leaves =
            head.status == 101 || (kind == Kind::Connect && (200..300).contains(&head.status));
        if let Some(request) = request {
            if request.expects_continue && head.status >= 300 && self.queue.is_empty() {
                self.up.optional = true;
            }
            let time = self.down.at.time;
            let status = head.status;
            sink.response(
                request.pending,
                &ResponseHead {
                    status,
                    headers: head.headers,
                    time,
                },
            );
        }
        if leaves && sure {
            return self.leave(sink);
        }
        self.down
            .follow(if sure { extent.into() } else { State::Lost });
    }
}

fn bad(dir: Dir) -> Anomaly {
    match dir {
        Dir::ToServer => Anomaly::BadRequest,
        Dir::ToClient => Anomaly::BadResponse,
    }
}

/// Whether a piece of a connection that spoke something else is a request. Must stay cheap.
fn reopens(piece: &Piece<'_>) -> bool {
    let upper = piece.data.first().is_some_and(u8::is_ascii_uppercase);
    if !(piece.start && upper && piece.dir == Dir::ToServer) {
        return false;
    }
    match head::request_outlook(piece.data) {
        Outlook::Begun => head::begins_target(piece.data),
        Outlook::Line => true,
        _ => false,
    }
}
