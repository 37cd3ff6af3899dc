//! However a conversation is cut up, doubled and delayed, it says the same.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::recorder::{Exchange, Recorder};
use crate::wire::Dir::{ToClient, ToServer};
use crate::wire::{Connection, Dir, Piece};

/// A message's bytes and where its body lies in them.
#[derive(Clone, Debug)]
struct Message {
    bytes: Vec<u8>,
    /// Bytes that may be missing without harm.
    body: std::ops::Range<usize>,
}

fn fields() -> impl Strategy<Value = String> {
    let field = ("[A-Za-z][A-Za-z0-9-]{0,12}", "([!-~]([ -~]{0,30}[!-~])?)?");
    vec(field, 0..6).prop_map(|fields| {
        let line = |(name, value): (String, String)| format!("X-{name}: {value}\r\n");
        fields.into_iter().map(line).collect()
    })
}

/// Field lines that frame the body, and the body.
fn body() -> impl Strategy<Value = (String, Vec<u8>, std::ops::Range<usize>)> {
    let content = || vec(any::<u8>(), 1..200);
    prop_oneof![
        Just(("Content-Length: 0\r\n".to_owned(), Vec::new(), 0..0)),
        content().prop_map(|content| {
            let range = 0..content.len();
            (
                format!("Content-Length: {}\r\n", content.len()),
                content,
                range,
            )
        }),
        (vec(content(), 0..4), any::<bool>(), any::<Index>()).prop_map(|(chunks, extras, pick)| {
            let mut bytes = Vec::new();
            let mut ranges = Vec::new();
            for chunk in chunks {
                bytes.extend(format!("{:x}", chunk.len()).bytes());
                bytes.extend_from_slice(if extras { b";a=\"b\"\r\n" } else { b"\r\n" });
                ranges.push(bytes.len()..bytes.len() + chunk.len());
                bytes.extend(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(if extras {
                b"0\r\nT: x\r\n\r\n"
            } else {
                b"0\r\n\r\n"
            });
            let range = if ranges.is_empty() {
                0..0
            } else {
                pick.get(&ranges).clone()
            };
            ("Transfer-Encoding: chunked\r\n".to_owned(), bytes, range)
        }),
    ]
}

fn message(
    line: String,
    fields: &str,
    framing: &str,
    body: &[u8],
    inner: &std::ops::Range<usize>,
) -> Message {
    let head = format!("{line}\r\n{fields}{framing}\r\n");
    let range = head.len() + inner.start..head.len() + inner.end;
    Message {
        bytes: [head.as_bytes(), body].concat(),
        body: range,
    }
}

fn request() -> impl Strategy<Value = Message> {
    let method = prop_oneof![Just("GET"), Just("POST"), Just("DELETE")];
    (method, "/[!-~]{0,40}", fields(), body()).prop_map(
        |(method, target, fields, (framing, body, range))| {
            message(
                format!("{method} {target} HTTP/1.1"),
                &fields,
                &framing,
                &body,
                &range,
            )
        },
    )
}

fn response() -> impl Strategy<Value = Message> {
    (200_u16..600, fields(), body(), any::<bool>()).prop_map(
        |(status, fields, (framing, body, range), interim)| {
            let bodiless = matches!(status, 204 | 304);
            let (body, range) = if bodiless {
                (&[][..], 0..0)
            } else {
                (&body[..], range)
            };
            let mut message = message(
                format!("HTTP/1.1 {status} X"),
                &fields,
                &framing,
                body,
                &range,
            );
            if interim {
                let lead = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
                message.bytes.splice(0..0, lead.iter().copied());
                message.body = message.body.start + lead.len()..message.body.end + lead.len();
            }
            message
        },
    )
}

/// Batches of pipelined requests and their responses.
fn conversation() -> impl Strategy<Value = Vec<Vec<(Message, Message)>>> {
    vec(vec((request(), response()), 1..4), 1..4)
}

/// A piece, owned.
#[derive(Clone, Debug)]
struct Cut {
    dir: Dir,
    off: u32,
    data: Vec<u8>,
    hole: u32,
    start: bool,
}

/// How one tap cuts a direction's run of bytes: lengths of the pieces, in turn.
fn cut(dir: Dir, off: u32, bytes: &[u8], lengths: &[usize]) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let mut at = 0;
    for length in lengths.iter().cycle() {
        if at == bytes.len() {
            break;
        }
        let data = bytes[at..bytes.len().min(at + length)].to_vec();
        let start = at == 0;
        let next = at + data.len();
        cuts.push(Cut {
            dir,
            off: off.wrapping_add(at as u32),
            data,
            hole: 0,
            start,
        });
        at = next;
    }
    cuts
}

/// Two taps' pieces in an order that keeps each tap's own.
fn interleave(mut a: Vec<Cut>, mut b: Vec<Cut>, order: &[bool]) -> Vec<Cut> {
    a.reverse();
    b.reverse();
    let mut mixed = Vec::new();
    for first in order.iter().copied().cycle() {
        match if first {
            a.pop().or_else(|| b.pop())
        } else {
            b.pop().or_else(|| a.pop())
        } {
            Some(cut) => mixed.push(cut),
            None => break,
        }
    }
    mixed
}

fn feed(connection: &mut Connection<usize>, said: &mut Recorder, cut: &Cut, time: u64) {
    let Cut {
        dir,
        off,
        hole,
        start,
        ..
    } = *cut;
    let time = if start { time } else { 0 };
    connection.feed(
        Piece {
            dir,
            off,
            data: &cut.data,
            hole,
            time,
            start,
        },
        said,
    );
    assert!(connection.memory() <= 64 * 1024);
}

/// What is said when each message comes in one piece.
fn plain(conversation: &[Vec<(Message, Message)>], bases: (u32, u32)) -> Vec<Exchange> {
    let (mut up, mut down) = bases;
    let mut connection = Connection::new(Some(bases));
    let mut said = Recorder::default();
    for (turn, batch) in conversation.iter().enumerate() {
        for dir in [ToServer, ToClient] {
            for (n, (request, response)) in batch.iter().enumerate() {
                let (message, off) = match dir {
                    ToServer => (request, &mut up),
                    ToClient => (response, &mut down),
                };
                let data = message.bytes.clone();
                let cut = Cut {
                    dir,
                    off: *off,
                    data,
                    hole: 0,
                    start: n == 0,
                };
                *off = off.wrapping_add(cut.data.len() as u32);
                feed(&mut connection, &mut said, &cut, turn as u64 + 1);
            }
        }
    }
    connection.close(&mut said);
    assert_eq!(said.causes(), [], "{said:?}", said = said.lines());
    assert!(
        said.lines().iter().all(|line| !line.ends_with(['?', 'd'])),
        "{:?}",
        said.lines()
    );
    said.exchanges
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_cuts_any_taps(
        conversation in conversation(),
        bases in any::<(u32, u32)>(),
        lengths in [vec(1_usize..80, 1..8), vec(1_usize..400, 1..8)],
        order in vec(any::<bool>(), 1..40),
        settles in any::<bool>(),
    ) {
        let expected = plain(&conversation, bases);
        let (mut up, mut down) = bases;
        let mut connection = Connection::new(Some(bases));
        let mut said = Recorder::default();
        for (turn, batch) in conversation.iter().enumerate() {
            for dir in [ToServer, ToClient] {
                let off = if dir == ToServer { &mut up } else { &mut down };
                let bytes: Vec<u8> = batch
                    .iter()
                    .flat_map(|(request, response)| match dir {
                        ToServer => request.bytes.clone(),
                        ToClient => response.bytes.clone(),
                    })
                    .collect();
                let taps = lengths.each_ref().map(|lengths| cut(dir, *off, &bytes, lengths));
                *off = off.wrapping_add(bytes.len() as u32);
                let [a, b] = taps;
                for cut in interleave(a, b, &order) {
                    feed(&mut connection, &mut said, &cut, turn as u64 + 1);
                    if settles {
                        connection.settle(&mut said);
                    }
                }
                prop_assert!(!connection.waiting());
            }
        }
        prop_assert_eq!(connection.memory(), connection.memory().min(14 * 1024));
        connection.close(&mut said);
        prop_assert_eq!(&said.exchanges, &expected);
        prop_assert_eq!(said.causes(), vec![]);
    }

    /// One of two taps loses any of its pieces; the other has them all.
    #[test]
    fn one_tap_fills_what_the_other_lacks(
        conversation in conversation(),
        bases in any::<(u32, u32)>(),
        lengths in [vec(30_usize..90, 1..8), vec(1_usize..400, 1..8)],
        order in vec(any::<bool>(), 1..40),
        lost in vec(any::<bool>(), 1..40),
    ) {
        let expected = plain(&conversation, bases);
        let (mut up, mut down) = bases;
        let mut connection = Connection::new(Some(bases));
        let mut said = Recorder::default();
        for (turn, batch) in conversation.iter().enumerate() {
            for dir in [ToServer, ToClient] {
                let off = if dir == ToServer { &mut up } else { &mut down };
                let bytes: Vec<u8> = batch
                    .iter()
                    .flat_map(|(request, response)| match dir {
                        ToServer => request.bytes.clone(),
                        ToClient => response.bytes.clone(),
                    })
                    .collect();
                let mut a = cut(dir, *off, &bytes, &lengths[0]);
                let b = cut(dir, *off, &bytes, &lengths[1]);
                *off = off.wrapping_add(bytes.len() as u32);
                let mut lost = lost.iter().copied().cycle();
                a.retain(|_| !lost.next().unwrap());
                for cut in interleave(a, b, &order) {
                    feed(&mut connection, &mut said, &cut, turn as u64 + 1);
                }
            }
        }
        connection.close(&mut said);
        // When a message's first piece comes late, so does its time; all else is the same.
        let strip = |exchanges: &[Exchange]| -> Vec<Exchange> {
            exchanges.iter().cloned().map(|exchange| Exchange { time: 0, ..exchange }).collect()
        };
        prop_assert_eq!(strip(&said.exchanges), strip(&expected));
        prop_assert_eq!(said.causes(), vec![]);
    }

    /// Parts of bodies are missing, as holes or without a word.
    #[test]
    fn holes_in_bodies(
        conversation in conversation(),
        bases in any::<(u32, u32)>(),
        holes in vec((any::<Index>(), any::<Index>(), any::<bool>()), 1..20),
    ) {
        let expected = plain(&conversation, bases);
        let (mut up, mut down) = bases;
        let mut connection = Connection::new(Some(bases));
        let mut said = Recorder::default();
        let mut holes = holes.iter().cycle();
        for (turn, batch) in conversation.iter().enumerate() {
            for dir in [ToServer, ToClient] {
                for (n, (request, response)) in batch.iter().enumerate() {
                    let (message, off) = match dir {
                        ToServer => (request, &mut up),
                        ToClient => (response, &mut down),
                    };
                    let body = &message.body;
                    let (a, b, told) = holes.next().unwrap();
                    let (a, b) = (a.index(body.len() + 1), b.index(body.len() + 1));
                    let gap = body.start + a.min(b)..body.start + a.max(b);
                    let pieces = [(0, &message.bytes[..gap.start]), (gap.end, &message.bytes[gap.end..])];
                    for (m, (at, data)) in pieces.into_iter().enumerate() {
                        let hole = if m == 0 && *told { gap.len() as u32 } else { 0 };
                        let start = n == 0 && m == 0;
                        let off = off.wrapping_add(at as u32);
                        let cut = Cut { dir, off, data: data.to_vec(), hole, start };
                        feed(&mut connection, &mut said, &cut, turn as u64 + 1);
                        prop_assert_eq!(connection.memory(), connection.memory().min(14 * 1024));
                    }
                    *off = off.wrapping_add(message.bytes.len() as u32);
                }
            }
        }
        connection.close(&mut said);
        prop_assert_eq!(&said.exchanges, &expected);
        prop_assert_eq!(said.causes(), vec![]);
    }

    /// Whatever comes: no panic, bounded memory, each request has one outcome.
    #[test]
    fn any_bytes_at_any_offsets(
        bases in any::<Option<(u32, u32)>>(),
        pieces in vec(any_piece(), 0..200),
    ) {
        let mut connection = Connection::new(bases);
        let mut said = Recorder::default();
        for (piece, after) in &pieces {
            let mut piece = piece.clone();
            if let Some((up, down)) = bases {
                piece.off = piece.off.wrapping_add(if piece.dir == ToServer { up } else { down });
            }
            feed(&mut connection, &mut said, &piece, 7);
            match after {
                0..=3 => connection.settle(&mut said),
                4 => connection.shrink(),
                5 => connection.end(piece.dir, &mut said),
                _ => {}
            }
        }
        connection.close(&mut said);
        prop_assert_eq!(connection.memory(), 0);
        prop_assert!(!connection.waiting());
        prop_assert!(said.lines().iter().all(|line| !line.ends_with('?')));
    }

    /// A response is never given to another request, whatever whole pieces are lost: each names its
    /// request.
    #[test]
    fn losses_do_not_mispair(
        bases in any::<(u32, u32)>(),
        lost in vec((any::<bool>(), any::<bool>(), 0_u8..4), 1..60),
        framing in 0..3,
    ) {
        let (mut up, mut down) = bases;
        let mut connection = Connection::new(Some(bases));
        let mut said = Recorder::default();
        let mut losses = false;
        for (n, (lose_up, lose_down, rarely)) in lost.iter().enumerate() {
            let request = format!("GET /{n} HTTP/1.1\r\nHost: a.example\r\n\r\n");
            let body = match framing {
                0 => "Content-Length: 0\r\n\r\n",
                1 => "Content-Length: 4\r\n\r\nbody",
                // The kernel sends up no more of it.
                _ => "Transfer-Encoding: chunked\r\n\r\n10\r\nbegin",
            };
            let response = format!("HTTP/1.1 {} X\r\n{body}", 200 + n);
            for (dir, data, lose) in [(ToServer, request, *lose_up), (ToClient, response, *lose_down)] {
                let off = if dir == ToServer { &mut up } else { &mut down };
                if lose && *rarely == 0 {
                    losses = true;
                } else {
                    if std::mem::take(&mut losses) {
                        connection.lost_records();
                    }
                    let data = data.clone().into_bytes();
                    let cut = Cut { dir, off: *off, data, hole: 0, start: true };
                    feed(&mut connection, &mut said, &cut, n as u64 + 1);
                    connection.settle(&mut said);
                }
                *off = off.wrapping_add(data.len() as u32);
                if dir == ToClient && framing == 2 {
                    *off = off.wrapping_add(5_000);
                }
            }
        }
        connection.close(&mut said);
        for line in said.lines() {
            let line = line.trim_start_matches('~');
            let (request, outcome) = line.strip_prefix("GET /").unwrap().split_once(' ').unwrap();
            if let Ok(status) = outcome.parse::<usize>() {
                prop_assert_eq!(status, 200 + request.parse::<usize>().unwrap(), "{:?}", said.lines());
            }
        }
        // Nor is caution excessive: behind a whole exchange, a whole exchange is paired.
        let whole = |n: usize| {
            lost.get(n).is_some_and(|(up, down, rarely)| !(*up || *down) || *rarely > 0)
        };
        for n in (0..lost.len()).filter(|n| whole(*n) && (*n == 0 || whole(n - 1))) {
            let line = format!("GET /{n} {}", 200 + n);
            prop_assert!(said.lines().iter().any(|said| said.ends_with(&line)), "{line}: {:?}", said.lines());
        }
    }
}

/// Bytes that lead somewhere, at offsets that often fit.
fn any_piece() -> impl Strategy<Value = (Cut, u8)> {
    let words: [&[u8]; 20] = [
        b"GET / HTTP/1.1\r\n",
        b"POST /a HTTP/1.1\r\nContent-Length: 7\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 101 X\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"5\r\nabcde\r\n",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"A: b\r\n c\r\n",
        b"PROXY TCP4 ",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"PRI * HTTP/2.0\r\n",
        b"HTTP/1.1 100 C\r\n\r\n",
        b"Content-Length: 18446744073709551615\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        b"\0",
        b"HEAD / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
    ];
    let chunk = prop_oneof![
        8 => proptest::sample::select(words.to_vec()).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..50),
        1 => (1_usize..20_000, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
    ];
    let off = prop_oneof![4 => 0_u32..300, 2 => 0_u32..40_000, 1 => any::<u32>()];
    let hole = prop_oneof![4 => Just(0_u32), 2 => 0_u32..300, 1 => any::<u32>()];
    let dir = prop_oneof![Just(ToServer), Just(ToClient)];
    (dir, off, vec(chunk, 0..6), hole, any::<bool>(), 0_u8..30).prop_map(
        |(dir, off, chunks, hole, start, after)| {
            (
                Cut {
                    dir,
                    off,
                    data: chunks.concat(),
                    hole,
                    start,
                },
                after,
            )
        },
    )
}
