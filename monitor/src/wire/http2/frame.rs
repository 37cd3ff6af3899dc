//! Frame headers (RFC 9113 §4.1 and §6), and bytes that may be some.

use crate::wire::Dir;
use crate::wire::hpack::{Decoder, Fields};

/// Length of a frame's header.
pub(super) const HEADER: usize = 9;
/// What a client says first (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longest payload unless the receiver allows more (RFC 9113 §6.5.2).
const USUAL: u32 = 16_384;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITISED: u8 = 0x20;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Bytes of payload.
    pub(super) len: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    reserved: bool,
}

impl Frame {
    pub(super) fn parse(bytes: &[u8; HEADER]) -> Self {
        let [a, b, c, kind, flags, d, e, f, g] = *bytes;
        let word = u32::from_be_bytes([d, e, f, g]);
        Self {
            len: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: word & 0x7fff_ffff,
            reserved: word >> 31 != 0,
        }
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether a sound peer may send it. The receiver of another closes the connection.
    pub(super) fn sound(&self, dir: Dir) -> bool {
        let client = self.stream % 2 == 1;
        match self.kind {
            DATA | HEADERS | CONTINUATION => self.stream != 0 && (client || dir == Dir::ToClient),
            PRIORITY => self.stream != 0 && self.len == 5,
            RST_STREAM => self.stream != 0 && self.len == 4,
            SETTINGS if self.has(ACK) => self.stream == 0 && self.len == 0,
            SETTINGS => self.stream == 0 && self.len.is_multiple_of(6),
            PUSH_PROMISE => client && self.len >= 4 && dir == Dir::ToClient,
            PING => self.stream == 0 && self.len == 8,
            GOAWAY => self.stream == 0 && self.len >= 8,
            WINDOW_UPDATE => self.len == 4,
            // RFC 9113 §5.5. Extensions have small ones; a long one is text or the like.
            _ => self.len <= USUAL,
        }
    }

    /// Whether it is what most frames are like: bytes of another kind hardly ever are.
    fn plausible(&self, dir: Dir) -> bool {
        let flags = match self.kind {
            DATA => END_STREAM | PADDED,
            HEADERS => END_STREAM | END_HEADERS | PADDED | PRIORITISED,
            SETTINGS | PING => ACK,
            PUSH_PROMISE => END_HEADERS | PADDED,
            CONTINUATION => END_HEADERS,
            PRIORITY | RST_STREAM | GOAWAY | WINDOW_UPDATE => 0,
            _ => return false,
        };
        self.flags & !flags == 0
            && !self.reserved
            && self.len <= USUAL
            && (self.kind != HEADERS || self.len > 0)
            && self.sound(dir)
    }
}

/// What a run of frames from the beginning of some bytes is like.
struct Run {
    /// Headers seen whole, all of them plausible.
    frames: usize,
    /// The last of them.
    last: Frame,
    /// Bytes that they span, perhaps beyond those at hand.
    span: usize,
}

fn run(bytes: &[u8], dir: Dir) -> Option<Run> {
    let mut found: Option<Run> = None;
    // More do not make it more certain.
    for _ in 0..8 {
        let before = found.as_ref().map_or(0, |run| run.span);
        let rest = bytes.get(before..).unwrap_or_default();
        let Some(header) = rest.first_chunk::<HEADER>() else {
            break;
        };
        let frame = Frame::parse(header);
        if !frame.plausible(dir) {
            return None;
        }
        found = Some(Run {
            frames: found.map_or(1, |run| run.frames + 1),
            last: frame,
            span: before + HEADER + usize::try_from(frame.len).unwrap_or(usize::MAX),
        });
    }
    found
}

/// Where, in bytes of a connection that is known to speak HTTP/2, a frame begins. A call's bytes most
/// often begin with one; elsewhere two in a row are asked for, or one that ends with the bytes.
pub(super) fn boundary(bytes: &[u8], dir: Dir) -> Option<usize> {
    // Not in the middle of a block of fields, which could not be read.
    let begins = |run: &Run, at: usize| {
        let first = bytes.get(at..).and_then(<[u8]>::first_chunk::<HEADER>);
        let whole = first.is_some_and(|first| Frame::parse(first).kind != CONTINUATION);
        whole && (at == 0 || run.frames > 1 || at + run.span == bytes.len())
    };
    (0..bytes.len()).find(|at| {
        bytes
            .get(*at..)
            // A length of up to 16 KiB begins with 0.
            .filter(|rest| rest.first() == Some(&0))
            .and_then(|rest| run(rest, dir))
            .is_some_and(|run| begins(&run, *at))
    })
}

/// Whether the first bytes that were seen of a connection are frames of HTTP/2. Two in a row are, or a
/// single one that spans just these bytes and the `hole` behind them and whose content is as it should be.
pub(in crate::wire) fn recognise(bytes: &[u8], hole: u32, dir: Dir) -> bool {
    let Some(run) = run(bytes, dir) else {
        return false;
    };
    if run.frames > 1 {
        return true;
    }
    let hole = usize::try_from(hole).unwrap_or(usize::MAX);
    let payload = bytes.get(HEADER..).unwrap_or_default();
    run.span == bytes.len().saturating_add(hole)
        && match run.last.kind {
            SETTINGS | PING | WINDOW_UPDATE | RST_STREAM => true,
            HEADERS => {
                let plain = run.last.flags & !END_STREAM == END_HEADERS;
                let mut fields = Fields::default();
                plain && hole == 0 && Decoder::midway(0).decode(payload, &mut fields).is_ok()
            }
            _ => false,
        }
}

/// Which way the frames at the beginning of some bytes travel, if a block of fields among them says so: it
/// is a request's or a response's.
pub(in crate::wire) fn direction(bytes: &[u8]) -> Option<Dir> {
    let mut rest = bytes;
    for _ in 0..8 {
        let frame = Frame::parse(rest.first_chunk::<HEADER>()?);
        // What a server sends may be sent by a client, but for promises and streams of its own.
        if !frame.plausible(Dir::ToClient) {
            return None;
        }
        let end = HEADER.saturating_add(usize::try_from(frame.len).ok()?);
        if frame.kind == HEADERS && frame.has(END_HEADERS) {
            let payload = rest.get(HEADER..end)?;
            let fields = payload.get(super::side::fragment(&frame, payload)?)?;
            let mut decoded = Fields::default();
            Decoder::midway(0).decode(fields, &mut decoded).ok()?;
            return decoded.iter().find_map(|(name, _)| match name {
                b":method" | b":scheme" | b":path" | b":authority" => Some(Dir::ToServer),
                b":status" => Some(Dir::ToClient),
                _ => None,
            });
        }
        rest = rest.get(end..)?;
    }
    None
}

/// Whether a server's first bytes are its preface: a SETTINGS frame (RFC 9113 §3.4).
pub(in crate::wire) fn is_server_preface(bytes: &[u8]) -> bool {
    let frame = bytes.first_chunk::<HEADER>().map(Frame::parse);
    frame.is_some_and(|frame| {
        frame.kind == SETTINGS && frame.flags == 0 && frame.plausible(Dir::ToClient)
    })
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn header(len: u32, kind: u8, flags: u8, stream: u32) -> [u8; HEADER] {
        let len = len.to_be_bytes();
        let id = stream.to_be_bytes();
        [
            len[1], len[2], len[3], kind, flags, id[0], id[1], id[2], id[3],
        ]
    }

    #[test]
    fn plausible_or_not() {
        use Dir::{ToClient, ToServer};
        for (len, kind, flags, stream, dir, sound, plausible) in [
            (5, DATA, 1, 1, ToServer, true, true),
            (5, DATA, 1, 0, ToServer, false, false),
            (5, DATA, 1, 2, ToServer, false, false),
            (5, DATA, 1, 2, ToClient, true, true),
            (5, DATA, 4, 1, ToServer, true, false),
            (16_385, DATA, 0, 1, ToServer, true, false),
            (30, HEADERS, 0x2d, 7, ToServer, true, true),
            (0, HEADERS, 4, 7, ToServer, true, false),
            (5, PRIORITY, 0, 3, ToServer, true, true),
            (4, PRIORITY, 0, 3, ToServer, false, false),
            (4, RST_STREAM, 0, 3, ToClient, true, true),
            (12, SETTINGS, 0, 0, ToClient, true, true),
            (13, SETTINGS, 0, 0, ToClient, false, false),
            (6, SETTINGS, ACK, 0, ToClient, false, false),
            (9, PUSH_PROMISE, 4, 1, ToClient, true, true),
            (9, PUSH_PROMISE, 4, 1, ToServer, false, false),
            (8, PING, 0, 0, ToServer, true, true),
            (8, GOAWAY, 0, 0, ToServer, true, true),
            (7, GOAWAY, 0, 0, ToServer, false, false),
            (4, WINDOW_UPDATE, 0, 0, ToServer, true, true),
            (4, 10, 0, 0, ToServer, true, false),
            (16_385, 10, 0, 0, ToServer, false, false),
            (8, PING, 0, 1 << 31, ToServer, true, false),
        ] {
            let frame = Frame::parse(&header(len, kind, flags, stream));
            let what = format!("{frame:?}");
            assert_eq!((frame.len, frame.kind, frame.flags), (len, kind, flags));
            assert_eq!(frame.sound(dir), sound, "{what}");
            assert_eq!(frame.plausible(dir), plausible, "{what}");
        }
    }

    #[test]
    fn boundaries() {
        let mut bytes = header(3, DATA, 0, 1).to_vec();
        bytes.extend(b"abc");
        let one = bytes.clone();
        bytes.extend(header(2, DATA, 1, 1));
        assert_eq!(boundary(&bytes, Dir::ToServer), Some(0));
        assert_eq!(boundary(&one, Dir::ToServer), Some(0));
        // Behind the end of a frame's payload.
        let behind = |with: &[u8]| [b"xy\0z".as_slice(), with].concat();
        assert_eq!(boundary(&behind(&bytes), Dir::ToServer), Some(4));
        assert_eq!(boundary(&behind(&one), Dir::ToServer), Some(4));
        assert_eq!(boundary(&behind(&one[..11]), Dir::ToServer), None);
        assert_eq!(boundary(&[0; 1000], Dir::ToServer), None);
        assert_eq!(boundary(b"GET / HTTP/1.1\r\n", Dir::ToServer), None);
        assert_eq!(
            boundary(&header(3, CONTINUATION, 4, 1), Dir::ToServer),
            None
        );
        assert!(recognise(&bytes, 0, Dir::ToServer));
        assert!(!recognise(&one, 0, Dir::ToServer));
    }

    #[test]
    fn directions() {
        let block = |fields: &[u8]| {
            let len = u32::try_from(fields.len()).unwrap_or_default();
            [&header(len, HEADERS, 4, 9)[..], fields].concat()
        };
        let behind = |with: Vec<u8>| [&header(0, SETTINGS, ACK, 0)[..], &with].concat();
        for (bytes, want) in [
            (block(&[0x82]), Some(Dir::ToServer)),
            (block(&[0xc0, 0xbe, 0x84]), Some(Dir::ToServer)),
            (behind(block(&[0x86])), Some(Dir::ToServer)),
            (block(&[0x88]), Some(Dir::ToClient)),
            (block(&[0xbe]), None),
            (block(&[0x80]), None),
            (behind(Vec::new()), None),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), None),
        ] {
            assert_eq!(direction(&bytes), want, "{bytes:?}");
        }
    }

    #[test]
    fn recognised_without_a_preface() {
        let mut head = header(3, HEADERS, 5, 9).to_vec();
        head.extend([0x82, 0x87, 0xbe]);
        assert!(recognise(&head, 0, Dir::ToServer));
        assert!(!recognise(&head[..11], 1, Dir::ToServer));
        head[9] = 0x80;
        assert!(!recognise(&head, 0, Dir::ToServer));
        assert!(recognise(&header(12, SETTINGS, 0, 0), 12, Dir::ToClient));
        assert!(!recognise(&header(12, SETTINGS, 0, 0), 13, Dir::ToClient));
        assert!(is_server_preface(&header(12, SETTINGS, 0, 0)));
        assert!(!is_server_preface(&header(0, SETTINGS, ACK, 0)));
        // Other protocols' first bytes: Kafka, MySQL, MongoDB, DNS.
        for other in [
            &b"\0\0\0\x2d\0\x12\0\x03\0\0\0\x01\0\x07rdkafka"[..],
            b"\x4a\0\0\0\x0a8.0.36\0",
            b"\x3a\0\0\0\x01\0\0\0\0\0\0\0\xd4\x07\0\0",
            b"\0\x1d\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x07example",
        ] {
            assert!(!recognise(other, 0, Dir::ToServer), "{other:?}");
            assert!(!is_server_preface(other));
        }
    }
}
