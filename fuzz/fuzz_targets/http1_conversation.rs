//! Pieces of a connection, cut, doubled, delayed and lost in any way: no panic, bounded memory, and
//! one outcome for every request.
#![no_main]

use bailiwick::wire::{
    Anomaly, Connection, Dir, Exchanges, Piece, RequestHead, ResponseHead, Unanswered, Version,
};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

/// What a piece is made of.
#[derive(Arbitrary, Debug)]
enum Part {
    Request { method: u8, path: u8 },
    Response { status: u8 },
    Field(u8),
    Chunk { size: u8, bytes: u8 },
    LastChunk,
    EmptyLine,
    Fill { byte: u8, length: u16 },
    Bytes(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Place {
    /// Where the direction stands.
    Next,
    /// So far behind or ahead of it.
    Near(i16),
    /// Anywhere.
    At(u32),
}

#[derive(Arbitrary, Debug)]
enum Step {
    Piece {
        to_server: bool,
        place: Place,
        parts: Vec<Part>,
        hole: u32,
        start: bool,
        cut: u8,
    },
    Settle,
    End(bool),
    LostRecords,
    Shrink,
}

const METHODS: [&str; 6] = ["GET", "POST", "HEAD", "CONNECT", "PRI", "g\u{e4}"];
const STATUSES: [u16; 10] = [100, 101, 103, 200, 204, 206, 304, 404, 500, 99];
const FIELDS: [&str; 12] = [
    "Content-Length: 5",
    "Content-Length: 0",
    "Content-Length: 4294967297",
    "Content-Length: x",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip",
    "Authorization: Bearer abc",
    " folded",
    "Expect: 100-continue",
    "Host : a.example",
    "no field",
    "X: \u{0}",
];

fn write(part: &Part, bytes: &mut Vec<u8>) {
    match part {
        Part::Request { method, path } => {
            let method = METHODS[usize::from(*method) % METHODS.len()];
            bytes.extend(format!("{method} /{path} HTTP/1.{}\r\n", path % 3).bytes());
        }
        Part::Response { status } => {
            let status = STATUSES[usize::from(*status) % STATUSES.len()];
            bytes.extend(format!("HTTP/1.1 {status} X\r\n").bytes());
        }
        Part::Field(field) => {
            bytes.extend(FIELDS[usize::from(*field) % FIELDS.len()].bytes());
            bytes.extend(b"\r\n");
        }
        Part::Chunk { size, bytes: have } => {
            bytes.extend(format!("{size:x}\r\n").bytes());
            bytes.extend(std::iter::repeat_n(b'x', usize::from(*have)));
            bytes.extend(b"\r\n");
        }
        Part::LastChunk => bytes.extend(b"0\r\n\r\n"),
        Part::EmptyLine => bytes.extend(b"\r\n"),
        Part::Fill { byte, length } => {
            bytes.extend(std::iter::repeat_n(*byte, usize::from(*length)));
        }
        Part::Bytes(more) => bytes.extend(more),
    }
}

/// Counts outcomes: each request has exactly one.
#[derive(Default)]
struct Outcomes {
    seen: Vec<bool>,
}

impl Outcomes {
    fn settle(&mut self, pending: usize) {
        assert!(
            !std::mem::replace(&mut self.seen[pending], true),
            "two outcomes"
        );
    }
}

impl Exchanges for Outcomes {
    type Pending = usize;

    fn request(&mut self, head: &RequestHead<'_>) -> usize {
        // Any bytes can begin with HTTP/2's preface, too.
        assert!(
            head.version == Version::Http2
                || !head.method.is_empty() && !head.target.is_empty() && head.headers.len() <= 128
        );
        self.seen.push(false);
        self.seen.len() - 1
    }

    fn response(&mut self, pending: usize, head: &ResponseHead<'_>) {
        assert!(head.status == 101 || (200..1000).contains(&head.status));
        self.settle(pending);
    }

    fn unanswered(&mut self, pending: usize, _: Unanswered) {
        self.settle(pending);
    }

    fn anomaly(&mut self, _: Anomaly) {}
}

fuzz_target!(|input: (Option<(u32, u32)>, Vec<Step>)| {
    let (bases, steps) = input;
    let mut connection = Connection::new(bases);
    let mut outcomes = Outcomes::default();
    let mut next = bases.map_or([0; 2], |(up, down)| [up, down]);
    for step in &steps {
        match step {
            Step::Piece {
                to_server,
                place,
                parts,
                hole,
                start,
                cut,
            } => {
                let dir = if *to_server {
                    Dir::ToServer
                } else {
                    Dir::ToClient
                };
                let next = &mut next[usize::from(!to_server)];
                let off = match place {
                    Place::Next => *next,
                    Place::Near(by) => next.wrapping_add_signed(i32::from(*by)),
                    Place::At(off) => *off,
                };
                let mut bytes = Vec::new();
                for part in parts {
                    write(part, &mut bytes);
                }
                bytes.truncate(bytes.len().saturating_sub(usize::from(*cut % 16)));
                let piece = Piece {
                    dir,
                    off,
                    data: &bytes,
                    hole: *hole,
                    time: 1,
                    start: *start,
                };
                connection.feed(piece, &mut outcomes);
                if !matches!(place, Place::At(_)) {
                    *next = off.wrapping_add(bytes.len() as u32).wrapping_add(*hole);
                }
            }
            Step::Settle => {
                connection.settle(&mut outcomes);
                assert!(!connection.waiting());
            }
            Step::End(to_server) => {
                let dir = if *to_server {
                    Dir::ToServer
                } else {
                    Dir::ToClient
                };
                connection.end(dir, &mut outcomes);
            }
            Step::LostRecords => connection.lost_records(),
            Step::Shrink => connection.shrink(),
        }
        assert!(
            connection.memory() <= 64 * 1024,
            "{} bytes held",
            connection.memory()
        );
    }
    connection.close(&mut outcomes);
    assert_eq!(connection.memory(), 0);
    assert!(outcomes.seen.iter().all(|seen| *seen), "no outcome");
});
