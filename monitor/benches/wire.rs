//! Nanoseconds per request and response through `Connection::feed`.
//!
//! `cargo bench --bench wire`. Best of several rounds: what else the machine does only adds.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bailiwick::wire::{Anomaly, Connection, Dir, Exchanges, Piece};
use bailiwick::wire::{RequestHead, ResponseHead, Unanswered};

const PAIRS: u32 = 20_000;
const ROUNDS: u32 = 50;

/// Looks at what it is told, as little as can be.
#[derive(Default)]
struct Sink {
    answered: u64,
    other: u64,
}

impl Exchanges for Sink {
    type Pending = u64;

    fn request(&mut self, head: &RequestHead<'_>) -> u64 {
        black_box(head.headers.len() as u64)
    }

    fn response(&mut self, pending: u64, head: &ResponseHead<'_>) {
        black_box((pending, head.status));
        self.answered += 1;
    }

    fn unanswered(&mut self, _: u64, _: Unanswered) {
        self.other += 1;
    }

    fn anomaly(&mut self, _: Anomaly) {
        self.other += 1;
    }
}

const REQUEST: &str = "GET /v1/projects/1747/pipelines?per_page=20&status=success HTTP/1.1\r\n\
    Host: gitlab.example:8080\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: application/json\r\n\
    Accept-Language: en-GB,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Authorization: Bearer 0123456789abcdef0123456789abcdef0123456789\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: no-cache\r\n\r\n";

const RESPONSE: &str = "HTTP/1.1 200 OK\r\n\
    Server: nginx/1.29.3\r\n\
    Date: Mon, 23 Nov 2026 18:57:18 GMT\r\n\
    Content-Type: application/json; charset=utf-8\r\n\
    Content-Length: 120\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0, private, must-revalidate\r\n\
    ETag: W/\"4f53cda18c2baa0c0354bb5f9a3ecbe5\"\r\n\
    X-Request-Id: 01JDCM8Q6Z3V5W8B7K2N4P6R8T\r\n\
    Strict-Transport-Security: max-age=31536000\r\n\r\n";

/// Feeds `PAIRS` pairs, each cut into pieces of `step` bytes, seen by `taps` ends.
fn round(step: usize, taps: usize) -> Duration {
    let response = format!("{RESPONSE}{}", "x".repeat(120));
    let mut connection = Connection::new(Some((0, 0)));
    let mut sink = Sink::default();
    let mut offs = [0_u32; 2];
    let begun = Instant::now();
    for time in 1..=u64::from(PAIRS) {
        let sides = [
            (Dir::ToServer, REQUEST.as_bytes()),
            (Dir::ToClient, response.as_bytes()),
        ];
        for ((dir, bytes), base) in sides.into_iter().zip(&mut offs) {
            for _ in 0..taps {
                let mut off = *base;
                for data in bytes.chunks(step) {
                    let start = off == *base;
                    connection.feed(
                        Piece {
                            dir,
                            off,
                            data,
                            hole: 0,
                            time,
                            start,
                        },
                        &mut sink,
                    );
                    connection.settle(&mut sink);
                    off = off.wrapping_add(data.len() as u32);
                }
            }
            *base = base.wrapping_add(bytes.len() as u32);
        }
    }
    let took = begun.elapsed();
    assert_eq!((sink.answered, sink.other), (u64::from(PAIRS), 0));
    took
}

/// A HEADERS frame that ends its stream.
fn headers(stream: u32, block: &[u8], frame: &mut Vec<u8>) {
    frame.clear();
    frame.extend(&(block.len() as u32).to_be_bytes()[1..]);
    frame.extend([1, 5]);
    frame.extend(stream.to_be_bytes());
    frame.extend(block);
}

/// The fields of a head of HTTP/1 as blocks of HTTP/2: one that inserts them, one that refers to them.
fn blocks(head: &str, first: &[u8]) -> [Vec<u8>; 2] {
    let fields: Vec<_> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| *name != "Connection")
        .collect();
    let mut inserting = first.to_vec();
    let mut referring = first.to_vec();
    for (at, (name, value)) in fields.iter().enumerate() {
        inserting.push(0x40);
        for text in [name.to_ascii_lowercase().as_str(), value] {
            inserting.push(u8::try_from(text.len()).unwrap_or(126));
            inserting.extend(text.as_bytes());
        }
        // The newest is 62.
        referring.push(0x80 | u8::try_from(62 + fields.len() - 1 - at).unwrap_or(62));
    }
    [inserting, referring]
}

/// The same messages in HTTP/2: all fields but the path stand in the tables.
fn round_http2() -> Duration {
    let path = b"/v1/projects/1747/pipelines?per_page=20&status=success";
    let asked = [&[0x82, 0x86, 0x04, path.len() as u8], &path[..]].concat();
    let (asked, answered) = (blocks(REQUEST, &asked), blocks(RESPONSE, &[0x88]));
    let mut connection = Connection::new(Some((0, 0)));
    let mut sink = Sink::default();
    let mut offs = [0_u32; 2];
    let mut frame = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut feed = |dir, data: &[u8], time, base: &mut u32| {
        connection.feed(
            Piece {
                dir,
                off: *base,
                data,
                hole: 0,
                time,
                start: true,
            },
            &mut sink,
        );
        connection.settle(&mut sink);
        *base = base.wrapping_add(data.len() as u32);
    };
    feed(Dir::ToServer, &frame, 1, &mut offs[0]);
    let begun = Instant::now();
    for pair in 0..PAIRS {
        let block = usize::from(pair > 0);
        for (dir, blocks) in [(Dir::ToServer, &asked), (Dir::ToClient, &answered)] {
            headers(pair * 2 + 1, &blocks[block], &mut frame);
            feed(dir, &frame, u64::from(pair), &mut offs[dir as usize]);
        }
    }
    let took = begun.elapsed();
    assert_eq!((sink.answered, sink.other), (u64::from(PAIRS), 0));
    took
}

fn main() {
    println!(
        "request {} B, response head {} B",
        REQUEST.len(),
        RESPONSE.len()
    );
    for (name, step, taps) in [
        ("whole heads, one end tapped", usize::MAX, 1),
        ("whole heads, both ends tapped", usize::MAX, 2),
        ("pieces of 100 bytes", 100, 1),
        ("byte by byte", 1, 1),
    ] {
        let best = (0..ROUNDS)
            .map(|_| round(step, taps))
            .min()
            .unwrap_or_default();
        println!(
            "{name}: {:.0} ns per pair",
            best.as_nanos() as f64 / f64::from(PAIRS)
        );
    }
    let best = (0..ROUNDS).map(|_| round_http2()).min().unwrap_or_default();
    println!(
        "HTTP/2: {:.0} ns per pair",
        best.as_nanos() as f64 / f64::from(PAIRS)
    );
}
