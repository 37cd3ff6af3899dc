//! From HTTP/1 to HTTP/2: by the preface, by an upgrade, or because the bytes are frames.

use super::connection::{Connection, Speaks};
use super::half::State;
use super::http2::{self, Http2};
use super::{Dir, Exchanges, Piece, Unanswered, Version};

impl<P> Connection<P> {
    /// From here on bytes are frames.
    pub(super) fn begin_http2(&mut self, http2: Http2<P>) {
        for half in [&mut self.up, &mut self.down] {
            half.lose();
            // Not asked any more; nothing in it makes a difference to the order of bytes.
            half.state = State::Start;
        }
        self.speaks = Speaks::Http2;
        self.spoken = Some(Version::Http2);
        self.http2 = Some(Box::new(http2));
    }

    /// The client's preface (RFC 9113 §3.4) begins here, or began so many bytes before.
    pub(super) fn preface<X: Exchanges<Pending = P>>(&mut self, before: usize, sink: &mut X) {
        // Requests of HTTP/1 in flight get no answer any more.
        self.queue.give_up(Unanswered::Lost, sink);
        self.queue.shrink();
        self.midway = false;
        let untouched = self.down.state == State::Start && self.down.synced;
        self.begin_http2(Http2::new(before, untouched));
    }

    /// A 101 said that HTTP/2 comes next; the request is its stream 1.
    pub(super) fn upgrade_to_http2<X: Exchanges<Pending = P>>(&mut self, request: P, sink: &mut X) {
        self.queue.give_up(Unanswered::Lost, sink);
        self.queue.shrink();
        let between = self.up.state == State::Start;
        self.begin_http2(Http2::upgraded(request, between, sink));
    }

    /// The first bytes begin with 0. They can be a server's preface, sent before the client's was met,
    /// or, when the connection was joined midway, frames.
    pub(super) fn recognise_http2(&mut self, piece: &Piece<'_>) {
        if self.midway {
            if http2::recognise(piece.data, piece.hole, piece.dir) {
                self.begin_http2(Http2::midway());
            }
        } else if piece.dir == Dir::ToClient
            && self.up.state == State::Start
            && self.down.state == State::Start
            && self.queue.is_empty()
            && http2::is_server_preface(piece.data)
        {
            self.begin_http2(Http2::new(0, true));
        }
    }
}
