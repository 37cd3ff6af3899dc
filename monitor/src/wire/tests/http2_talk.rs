//! A conversation in HTTP/2: frames written, and what the connection made of them.

use super::recorder::Talk;
use crate::wire::hpack::tests::Encoder;
use crate::wire::{Connection, Dir};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITY: u8 = 0x20;

/// A frame's header for so many bytes of payload.
pub(super) fn header(len: usize, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let mut bytes = u32::try_from(len).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [
        header(payload.len(), kind, flags, stream).as_slice(),
        payload,
    ]
    .concat()
}

pub(super) type Field<'a> = (&'a str, &'a str);

/// Both ends' encoders.
pub(super) struct H2 {
    pub(super) talk: Talk,
    pub(super) up: Encoder,
    pub(super) down: Encoder,
    /// How fields are written: by [`Encoder::field`].
    pub(super) choice: u8,
}

impl H2 {
    pub(super) fn over(connection: Connection<usize>) -> Self {
        Self {
            talk: Talk::of(connection),
            up: Encoder::default(),
            down: Encoder::default(),
            // By index where possible, inserting, in the Huffman code.
            choice: 0b1111,
        }
    }

    /// Behind the prefaces.
    pub(super) fn new() -> Self {
        let mut new = Self::over(Connection::new(Some((1000, 2000))));
        let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
        new.talk.up([PREFACE, &settings].concat()).down(&settings);
        new
    }

    pub(super) fn midway() -> Self {
        Self::over(Connection::new(None))
    }

    pub(super) fn block(&mut self, dir: Dir, fields: &[Field<'_>]) -> Vec<u8> {
        let encoder = match dir {
            Dir::ToServer => &mut self.up,
            Dir::ToClient => &mut self.down,
        };
        let mut block = Vec::new();
        for (name, value) in fields {
            encoder.field(name.as_bytes(), value.as_bytes(), self.choice, &mut block);
        }
        block
    }

    /// The HEADERS frame of a request.
    pub(super) fn get(&mut self, stream: u32, path: &str) -> Vec<u8> {
        let fields = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "api.example"),
            ("authorization", "Bearer abc"),
        ];
        self.headers(Dir::ToServer, stream, END_STREAM, &fields)
    }

    /// The HEADERS frame of a gRPC call.
    pub(super) fn call(&mut self, stream: u32, path: &str) -> Vec<u8> {
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "rpc.example"),
            ("content-type", "application/grpc+proto"),
            ("te", "trailers"),
        ];
        self.headers(Dir::ToServer, stream, 0, &fields)
    }

    pub(super) fn headers(
        &mut self,
        dir: Dir,
        stream: u32,
        flags: u8,
        fields: &[Field<'_>],
    ) -> Vec<u8> {
        let block = self.block(dir, fields);
        frame(HEADERS, flags | END_HEADERS, stream, &block)
    }

    pub(super) fn status(&mut self, stream: u32, flags: u8, status: &str) -> Vec<u8> {
        self.headers(Dir::ToClient, stream, flags, &[(":status", status)])
    }
}
