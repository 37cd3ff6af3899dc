//! Bytes of connections become HTTP messages: HTTP/1, and HTTP/2 with its header compression.
//!
//! Pure: no I/O, no clock, no panic on any input, every buffer bounded. One [`Connection`] per TCP
//! or unix stream connection takes [`Piece`]s from the taps of one or both of its ends and tells an
//! [`Exchanges`] what was asked and answered.
//!
//! Bytes may be missing by design (bodies stay in the kernel) or by accident. Where their number
//! says enough they are skipped by arithmetic; where it does not, the direction is lost until the
//! next message is recognised, and a response is given to a request only when the order of both is
//! beyond doubt.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod body;
mod buffer;
mod connection;
mod exchange;
mod framing;
mod half;
mod handover;
mod head;
pub mod hpack;
mod http2;
mod pairing;
mod reading;
mod startline;
mod stream;
#[cfg(test)]
mod tests;
pub mod tls;

use std::fmt;

pub use connection::Connection;

/// Which way bytes travel, as HTTP sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dir {
    /// Requests.
    ToServer,
    /// Responses.
    ToClient,
}

impl Dir {
    /// The other one.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// A run of bytes of one direction of one connection, as one end saw it.
#[derive(Clone, Copy)]
pub struct Piece<'a> {
    /// Direction.
    pub dir: Dir,
    /// Position of the first byte in its direction; wraps at 2³² (TCP sequence numbers).
    pub off: u32,
    /// Captured bytes.
    pub data: &'a [u8],
    /// Bytes that follow `data` in the stream but were not captured.
    pub hole: u32,
    /// Nanoseconds (CLOCK_MONOTONIC) of the call; 0 when the piece does not begin a message.
    pub time: u64,
    /// The direction turned before this piece: a message may begin here.
    pub start: bool,
}

/// Version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, and whatever else calls itself HTTP/1.
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// `http/1.0`, `http/1.1` or `h2`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::Http2 => "h2",
        }
    }
}

/// Which way a message that begins with these bytes travels: by its first line, or by its frames of HTTP/2, if a block
/// of fields among them says so. For connections of which it is not known who is the client.
#[must_use]
pub fn direction(bytes: &[u8]) -> Option<Dir> {
    let framed = match bytes.first() {
        // The length of a frame is almost always below 64 KiB.
        Some(0) => http2::direction(bytes),
        _ => None,
    };
    if framed.is_some() {
        return framed;
    }
    if bytes.starts_with(b"HTTP/") {
        return Some(Dir::ToClient);
    }
    let method = |c: &u8| c.is_ascii_uppercase() || *c == b'-';
    let request = bytes.get(..3)?.iter().all(method);
    request.then_some(Dir::ToServer)
}

/// A request head. Borrowed from the connection's buffer: valid for one call.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    /// Method as sent.
    pub method: &'a str,
    /// Request target as sent: origin, absolute, authority or asterisk form (RFC 9112 §3.2). Of HTTP/2 the
    /// `:path`; the `:authority` of a CONNECT without one.
    pub target: &'a [u8],
    /// Version of HTTP.
    pub version: Version,
    /// Fields in order; folded values (RFC 9112 §5.2) are joined by spaces. HTTP/2's `:authority` is
    /// here as `host`, its cookies are as they were sent, in several fields.
    pub headers: &'a [httparse::Header<'a>],
    /// HTTP/2: fields whose name, or name and value, could not be known: they refer to what was sent
    /// before the connection was followed, or while bytes were lost. `headers` are without them.
    pub unknown_fields: u16,
    /// HTTP/2: the method is among them, or missing; then it is empty here.
    pub unknown_method: bool,
    /// HTTP/2: the target is among them, or missing; then it is empty here.
    pub unknown_target: bool,
    /// The request's scheme is https: it was read inside TLS, or says so itself.
    pub secure: bool,
    /// Position of the head's first byte.
    pub off: u32,
    /// Nanoseconds at which its first byte was seen.
    pub time: u64,
    /// The first message after a gap or after joining a connection that was already open.
    pub resynchronised: bool,
    /// The head did not fit and only its beginning was parsed (fields may be missing).
    pub truncated: bool,
}

/// A response head.
#[derive(Clone, Copy)]
pub struct ResponseHead<'a> {
    /// Status code. Never 1xx except 101.
    pub status: u16,
    /// Fields in order. Of gRPC those of the trailers, if the outcome stood there; none if the response
    /// was met before its request.
    pub headers: &'a [httparse::Header<'a>],
    /// Nanoseconds at which its first byte was seen.
    pub time: u64,
    /// Outcome of a gRPC call (`grpc-status`); none when it is no such call or was not seen.
    pub grpc_status: Option<u32>,
}

// The contents of pieces and heads may be secret: they are never formatted.

impl fmt::Debug for Piece<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Piece")
            .field("dir", &self.dir)
            .field("off", &self.off)
            .field("data", &self.data.len())
            .field("hole", &self.hole)
            .field("time", &self.time)
            .field("start", &self.start)
            .finish()
    }
}

impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("version", &self.version)
            .field("method", &self.method)
            .field("headers", &self.headers.len())
            .field("unknown_fields", &self.unknown_fields)
            .field("off", &self.off)
            .field("time", &self.time)
            .field("resynchronised", &self.resynchronised)
            .field("truncated", &self.truncated)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ResponseHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("status", &self.status)
            .field("headers", &self.headers.len())
            .field("time", &self.time)
            .field("grpc_status", &self.grpc_status)
            .finish_non_exhaustive()
    }
}

/// Why a request has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The connection closed before one came, or the HTTP/2 stream was reset or refused.
    Closed,
    /// Bytes were lost, or could not be parsed; the pairing was given up.
    Lost,
    /// Too many requests in flight on one connection.
    Overflow,
}

/// Receives what a connection says. `P` is what the receiver wants kept between request and response.
pub trait Exchanges {
    /// Kept per request in flight.
    type Pending;
    /// A request's head is complete. The return value comes back with its response.
    fn request(&mut self, head: &RequestHead<'_>) -> Self::Pending;
    /// The final response head of a request: in HTTP/1 of the oldest in flight, in HTTP/2 of the one on the
    /// same stream.
    fn response(&mut self, pending: Self::Pending, head: &ResponseHead<'_>);
    /// A request that got none.
    fn unanswered(&mut self, pending: Self::Pending, why: Unanswered);
    /// Something was not understood: counted by cause, never silent.
    fn anomaly(&mut self, cause: Anomaly);
}

/// What went wrong with a connection's bytes. One counter each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Anomaly {
    /// Bytes inside a head (or before framing was known) were not captured.
    Gap,
    /// A head was longer than the bound.
    HeadTooLong,
    /// A request head that HTTP does not allow.
    BadRequest,
    /// A response head that HTTP does not allow.
    BadResponse,
    /// Chunked framing broken.
    BadChunk,
    /// Conflicting or unparsable Content-Length / Transfer-Encoding (RFC 9112 §6.3).
    BadFraming,
    /// A response without a request in flight.
    Orphan,
    /// The connection was already open when first seen.
    JoinedMidway,
    /// More requests in flight than the bound.
    Pipeline,
    /// Bytes skipped until a message was recognised again.
    Resynchronised,
    /// A connection ended with bytes that were not captured although a message may begin there.
    Unseen,
    /// The connection, or an HTTP/2 stream, left HTTP (CONNECT, Upgrade) — not an error.
    LeftHttp,
    /// A frame that HTTP/2 does not allow, or not there.
    BadFrame,
    /// A block of fields that cannot be decoded (RFC 7541).
    BadFields,
    /// A block with fields that refer to what was not seen — one a block.
    UnknownFields,
    /// A response that nobody asked for was promised (RFC 9113 §8.4) — not an error, and not followed.
    Push,
}
