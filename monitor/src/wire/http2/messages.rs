//! Blocks of fields become requests, responses, and pairs of them.

use arrayvec::ArrayVec;
use httparse::Header;

use super::Http2;
use super::frame::{Frame, PUSH_PROMISE};
use super::side::{Open, fragment};
use crate::wire::hpack::{Error, Fields, MAX_FIELDS};
use crate::wire::startline::{MAX_METHOD, is_token};
use crate::wire::{Anomaly, Dir, Exchanges, RequestHead, Unanswered, Version};

/// Fields as they are handed on: those of a block, and `:authority` as Host.
type Headers<'f> = ArrayVec<Header<'f>, { MAX_FIELDS + 1 }>;

/// What a block says, taken apart.
#[derive(Default)]
struct Block<'f> {
    method: Option<&'f [u8]>,
    path: Option<&'f [u8]>,
    authority: Option<&'f [u8]>,
    protocol: Option<&'f [u8]>,
    secure: bool,
    status: Option<u16>,
    grpc_status: Option<u32>,
    /// Its content is gRPC's.
    grpc: bool,
    /// Some field begins with a colon.
    pseudo: bool,
    /// Something in it HTTP/2 does not allow.
    malformed: bool,
    headers: Headers<'f>,
}

impl<'f> Block<'f> {
    fn new(fields: &'f Fields) -> Self {
        let mut block = Self::default();
        for (name, value) in fields.iter() {
            block.pseudo |= name.first() == Some(&b':');
            match name {
                b":method" => block.method = Some(value),
                b":path" => block.path = Some(value),
                b":protocol" => block.protocol = Some(value),
                b":scheme" => block.secure = value == b"https",
                b":status" => block.status = status(value),
                b":authority" => {
                    block.authority = Some(value);
                    block.header("host", value);
                }
                _ => match str::from_utf8(name) {
                    // RFC 9113 §8.2.1. A name is no token if it begins with a colon, too.
                    Ok(text) if !name.is_empty() && name.iter().all(|byte| is_token(*byte)) => {
                        block.plain(text, value);
                    }
                    _ => block.malformed = true,
                },
            }
        }
        block
    }

    fn plain(&mut self, name: &'f str, value: &'f [u8]) {
        match name {
            "content-type" => self.grpc |= value.starts_with(b"application/grpc"),
            "grpc-status" => {
                self.grpc_status = str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse().ok());
            }
            _ => {}
        }
        self.header(name, value);
    }

    fn header(&mut self, name: &'f str, value: &'f [u8]) {
        // There is room: one more than there are fields.
        let _ = self.headers.try_push(Header { name, value });
    }

    /// The method, if it is one.
    fn method(&self) -> Option<&'f str> {
        let method = self.method?;
        let sound = !method.is_empty()
            && method.len() <= MAX_METHOD
            && method.iter().all(|byte| is_token(*byte));
        str::from_utf8(method).ok().filter(|_| sound)
    }

    /// The target: the path, or the authority of an ordinary CONNECT (RFC 9113 §8.5, RFC 8441 §4).
    fn target(&self) -> Option<&'f [u8]> {
        let connect = self.method == Some(b"CONNECT") && self.protocol.is_none();
        let target = match self.path {
            None if connect => self.authority,
            path => path,
        };
        target.filter(|target| !target.is_empty())
    }
}

/// Three digits (RFC 9110 §15).
fn status(value: &[u8]) -> Option<u16> {
    match value {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
        }
        _ => None,
    }
}

impl<P> Http2<P> {
    /// A block is complete and lies in one frame's payload.
    pub(super) fn fields<X: Exchanges<Pending = P>>(
        &mut self,
        dir: Dir,
        mut open: Open,
        frame: &Frame,
        payload: &[u8],
        sink: &mut X,
    ) {
        let range = fragment(frame, payload).unwrap_or_else(|| {
            sink.anomaly(Anomaly::BadFrame);
            open.cut = true;
            0..0
        });
        let fields = payload.get(range).unwrap_or_default();
        self.decode(dir, open, fields, sink);
    }

    /// What was gathered of a block is all that there will be.
    pub(super) fn give_block<X: Exchanges<Pending = P>>(&mut self, dir: Dir, sink: &mut X) {
        let side = self.side(dir);
        let Some(open) = side.open.take() else { return };
        let held = side.take_held();
        self.decode(dir, open, held.as_slice(), sink);
    }

    fn decode<X: Exchanges<Pending = P>>(
        &mut self,
        dir: Dir,
        open: Open,
        block: &[u8],
        sink: &mut X,
    ) {
        let mut fields = std::mem::take(&mut self.fields);
        let side = self.side(dir);
        let decoded = side.decoder.decode(block, &mut fields);
        if open.cut {
            side.decoder.lose();
        }
        let broken = decoded.is_err_and(|error| !(open.cut && error == Error::Truncated));
        if broken {
            sink.anomaly(Anomaly::BadFields);
        }
        if fields.overfull() {
            sink.anomaly(Anomaly::HeadTooLong);
        }
        if fields.unknown_fields() > 0 {
            sink.anomaly(Anomaly::UnknownFields);
        }
        let part = open.cut || broken || fields.overfull();
        match (dir, open.kind) {
            (_, PUSH_PROMISE) => sink.anomaly(Anomaly::Push),
            (Dir::ToServer, _) => self.request(open, &fields, part, sink),
            // What was pushed answers nobody.
            (Dir::ToClient, _) if open.stream.is_multiple_of(2) => {}
            (Dir::ToClient, _) => self.response(open, &fields, part, sink),
        }
        fields.clear();
        self.fields = fields;
    }

    /// A block of the client. `part`: some of it is missing.
    fn request<X: Exchanges<Pending = P>>(
        &mut self,
        open: Open,
        fields: &Fields,
        part: bool,
        sink: &mut X,
    ) {
        let block = Block::new(fields);
        let unknown = fields.unknown_fields();
        if open.stream <= self.streams.highest || !(block.pseudo || unknown > 0 || part) {
            // Trailers.
            return;
        }
        let (method, target) = (block.method(), block.target());
        // Nothing that is missing could be what is not there.
        let known = unknown == 0 && !part;
        if block.malformed || (known && (method.is_none() || target.is_none())) {
            sink.anomaly(Anomaly::BadRequest);
        }
        let pending = sink.request(&RequestHead {
            method: method.unwrap_or_default(),
            target: target.unwrap_or_default(),
            unknown_method: method.is_none(),
            unknown_target: target.is_none(),
            version: Version::Http2,
            headers: &block.headers,
            unknown_fields: unknown,
            secure: block.secure,
            off: open.off,
            time: open.time,
            resynchronised: open.resynchronised,
            truncated: part,
        });
        self.streams.asked(open.stream, sink);
        let Some(stream) = self.streams.open(open.stream, sink) else {
            return;
        };
        stream.pending = Some(pending);
        stream.grpc |= block.grpc;
        stream.connect = method == Some("CONNECT");
        if stream.done || stream.answered() {
            // What became of it was met before it.
            self.streams
                .finish(open.stream, &[], Unanswered::Closed, sink);
        }
    }

    /// A block of the server.
    fn response<X: Exchanges<Pending = P>>(
        &mut self,
        open: Open,
        fields: &Fields,
        part: bool,
        sink: &mut X,
    ) {
        let block = Block::new(fields);
        if block.malformed {
            sink.anomaly(Anomaly::BadResponse);
        }
        let known = open.stream <= self.streams.highest;
        if known && self.streams.get_mut(open.stream).is_none() {
            // Trailers of an answer that was reported, or what nobody asked for.
            if block.status.is_some() {
                sink.anomaly(Anomaly::Orphan);
            }
            return;
        }
        let Some(stream) = self.streams.open(open.stream, sink) else {
            return;
        };
        if stream.status.is_none() {
            match block.status {
                Some(status @ 200..) => {
                    stream.status = Some(status);
                    stream.time = open.time;
                    stream.grpc |= block.grpc;
                }
                Some(_) if !open.end_stream => return,
                None if fields.unknown_fields() == 0 && !part => sink.anomaly(Anomaly::BadResponse),
                _ => {}
            }
        }
        if block.grpc_status.is_some() {
            stream.grpc_status = block.grpc_status;
        }
        let answered = stream.pending.is_some() && stream.answered();
        if open.end_stream || answered {
            self.streams
                .finish(open.stream, &block.headers, Unanswered::Lost, sink);
        }
    }

    /// A stream was reset.
    pub(super) fn reset<X: Exchanges<Pending = P>>(&mut self, dir: Dir, id: u32, sink: &mut X) {
        // A server can refuse a request that has not been met here yet.
        if id > self.streams.highest && dir == Dir::ToClient && id % 2 == 1 {
            if let Some(stream) = self.streams.open(id, sink) {
                stream.done = true;
            }
        } else {
            self.streams.finish(id, &[], Unanswered::Closed, sink);
        }
    }
}
