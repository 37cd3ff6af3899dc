//! Heads become requests, responses, and pairs of them.

use std::mem;

use super::body::Body;
use super::connection::{Connection, Speaks};
use super::half::State;
use super::head;
use super::pairing::{Answered, InFlight, Kind};
use super::{Anomaly, Exchanges, RequestHead, ResponseHead, Unanswered, Version};

impl<P> Connection<P> {
    /// The connection leaves HTTP/1.
    pub(super) fn leave<X: Exchanges<Pending = P>>(&mut self, sink: &mut X) {
        sink.anomaly(Anomaly::LeftHttp);
        self.queue.give_up(Unanswered::Lost, sink);
        self.release(Speaks::Gone);
    }

    /// A message of HTTP/1 was recognised.
    pub(super) fn recognise<X: Exchanges<Pending = P>>(&mut self, sink: &mut X) {
        self.speaks = Speaks::Http;
        self.spoken = Some(Version::Http11);
        if mem::take(&mut self.midway) {
            sink.anomaly(Anomaly::JoinedMidway);
        }
    }

    /// A request's head is there, or (`!whole`) what there is of it.
    pub(super) fn request<X: Exchanges<Pending = P>>(
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
            version: match head.minor {
                0 => Version::Http10,
                _ => Version::Http11,
            },
            headers: head.headers,
            unknown_fields: 0,
            unknown_method: false,
            unknown_target: false,
            secure: self.secure,
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
    pub(super) fn response<X: Exchanges<Pending = P>>(
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
        let request = match request {
            Some(request) if head.status == 101 && whole && speaks_http2(&head) => {
                return self.upgrade_to_http2(request.pending, sink);
            }
            other => other,
        };
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
                    grpc_status: None,
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

/// Whether a 101 goes over to HTTP/2 in clear text (RFC 7540 §3.2).
fn speaks_http2(head: &head::Response<'_>) -> bool {
    head.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("upgrade") && header.value.eq_ignore_ascii_case(b"h2c")
    })
}
