//! Bytes in order become heads and bodies.

use super::body::Step;
use super::connection::{Connection, Speaks};
use super::half::{At, State, outlook};
use super::head::{self, MAX_HEAD, Strict};
use super::startline::{self, Outlook, Preamble};
use super::{Anomaly, Dir, Exchanges, Piece};

impl<P> Connection<P> {
    /// Whether a lost direction can go on with this piece.
    pub(super) fn resumes(&self, piece: &Piece<'_>) -> bool {
        match piece.dir {
            Dir::ToServer if piece.start => startline::request_outlook(piece.data) != Outlook::No,
            Dir::ToServer => startline::is_request(piece.data),
            // Bytes of a body may look like a response; at the turn of a direction they are one.
            Dir::ToClient if piece.start => !matches!(
                startline::response_outlook(piece.data),
                Outlook::No | Outlook::Unusable
            ),
            Dir::ToClient => false,
        }
    }

    /// Reads bytes that continue a direction.
    pub(super) fn read<X: Exchanges<Pending = P>>(
        &mut self,
        dir: Dir,
        data: &[u8],
        at: At,
        sink: &mut X,
    ) {
        let (mut rest, mut at, mut begins) = (data, at, true);
        while !rest.is_empty() && self.active() {
            if let Some(http2) = &mut self.http2 {
                if std::mem::take(&mut self.midway) {
                    sink.anomaly(Anomaly::JoinedMidway);
                }
                let time = if at.time == 0 { self.clock } else { at.time };
                return http2.read(dir, rest, At { time, ..at }, sink);
            }
            let half = self.half(dir);
            let used = match half.state {
                State::Start => self.begin_head(dir, rest, at, sink),
                State::Head => self.continue_head(dir, rest, sink),
                State::Body(mut body) => {
                    if half.optional && half.untouched && begins && startline::is_request(rest) {
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
                        if startline::response_outlook(rest) != Outlook::Open {
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
            match startline::preamble(data) {
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
                self.refuse(dir, unfit, 0, sink);
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
            match startline::preamble(half.head.as_slice()) {
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
                    self.refuse(dir, unfit, before, sink);
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
            self.refuse(dir, Outlook::Unusable, 0, sink);
        }
    }

    /// The rest of a head will not be had: what there is of it counts. The direction is lost.
    pub(super) fn cut_head<X: Exchanges<Pending = P>>(&mut self, dir: Dir, sink: &mut X) {
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
    pub(super) fn abandon_head<X: Exchanges<Pending = P>>(&mut self, dir: Dir, sink: &mut X) {
        let half = self.half(dir);
        if half.state == State::Head {
            let line = half.line;
            half.lose();
            if line || self.speaks == Speaks::Http {
                sink.anomaly(bad(dir));
            }
        }
    }

    /// A message begins with bytes that no message begins with; so many of them came in earlier pieces.
    fn refuse<X: Exchanges<Pending = P>>(
        &mut self,
        dir: Dir,
        why: Outlook,
        before: usize,
        sink: &mut X,
    ) {
        if why == Outlook::Http2 && dir == Dir::ToServer {
            return self.preface(before, sink);
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
}

fn bad(dir: Dir) -> Anomaly {
    match dir {
        Dir::ToServer => Anomaly::BadRequest,
        Dir::ToClient => Anomaly::BadResponse,
    }
}
