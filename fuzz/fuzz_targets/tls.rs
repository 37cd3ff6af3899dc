#![no_main]
//! Chunks of TLS records and secrets: of a real connection (RFC 8448 §4) in any order, damaged, and any
//! bytes. Bounds are kept, and of a record that is whole nothing wrong comes out.

use bailiwick::wire::tls::{
    Chunk, ClientHello, Keyring, Label, MAX_TRIALS, NewSecret, Plain, Secret, ServerHello, Session,
    ja4,
};
use bailiwick::wire::{Dir, Piece};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

const TRACE: &str = include_str!("../../monitor/src/wire/tls/tests/recorded/rfc8448-0rtt.txt");

#[derive(Arbitrary, Debug)]
enum Deed {
    /// A line of the trace: a secret, or a record cut to this range, with a byte changed.
    Line(u8, u16, u16, Option<(u16, u8)>, bool),
    Chunk(bool, u8, u16, u16, u8, Vec<u8>, u8),
    Secret(u8, bool, u8, Vec<u8>, u8),
    Settle,
    Expire(u8),
    Hello(Vec<u8>),
}

struct Out(usize);

impl Plain for Out {
    fn piece(&mut self, piece: Piece<'_>) {
        self.0 += piece.data.len();
    }

    fn lost_records(&mut self) {}
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

fn label(number: u8) -> Label {
    [
        Label::Master12,
        Label::ClientHandshake,
        Label::ServerHandshake,
        Label::ClientTraffic,
        Label::ServerTraffic,
        Label::ClientEarly,
        Label::Exporter,
    ][usize::from(number) % 7]
}

fn named(name: &str) -> Label {
    match name {
        "CLIENT_EARLY_TRAFFIC_SECRET" => Label::ClientEarly,
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET" => Label::ClientHandshake,
        "SERVER_HANDSHAKE_TRAFFIC_SECRET" => Label::ServerHandshake,
        "CLIENT_TRAFFIC_SECRET_0" => Label::ClientTraffic,
        _ => Label::ServerTraffic,
    }
}

fuzz_target!(|deeds: Vec<Deed>| {
    let lines: Vec<Vec<&str>> = TRACE
        .lines()
        .skip(1)
        .map(|line| line.split(' ').collect())
        .collect();
    let mut ring = Keyring::new();
    let mut session = Session::new(1);
    session.tap(7, 70, &mut ring);
    let mut out = Out(0);
    let mut clock = 0;
    let add = |ring: &mut Keyring, session: &mut Session, out: &mut Out, new: NewSecret| {
        if !ring.add(new).is_empty() {
            session.offer(ring, out);
        }
    };
    for deed in deeds {
        clock += 1_000_000;
        match deed {
            Deed::Line(n, from, len, change, random) => {
                let at = usize::from(n) % lines.len();
                if let ["k", name, client, secret] = lines[at].as_slice() {
                    let new = NewSecret {
                        label: named(name),
                        client_random: random.then(|| unhex(client).try_into().expect("32 bytes")),
                        server_random: None,
                        value: Secret::new(&unhex(secret)).expect("32 bytes"),
                        tgid: 7,
                        socket_hint: 0,
                        time: clock,
                    };
                    add(&mut ring, &mut session, &mut out, new);
                    continue;
                }
                let side = lines[at][0];
                let number = lines[..at].iter().filter(|line| line[0] == side).count();
                let mut data = unhex(lines[at][1]);
                let length = u16::from_be_bytes([data[3], data[4]]);
                if let Some((at, with)) = change {
                    let at = usize::from(at) % data.len();
                    data[at] ^= with;
                }
                let from = usize::from(from) % data.len();
                let to = (from + usize::from(len)).min(data.len());
                let chunk = Chunk {
                    dir: if side == "c" {
                        Dir::ToServer
                    } else {
                        Dir::ToClient
                    },
                    record: number as u32,
                    at: from as u32,
                    length,
                    outer: unhex(&lines[at][1][..2])[0],
                    data: &data[from..to],
                    time: clock,
                    passed: None,
                };
                session.chunk(&chunk, &mut ring, &mut out);
            }
            Deed::Chunk(up, record, at, length, outer, data, times) => {
                let data = data.repeat(usize::from(times));
                let chunk = Chunk {
                    dir: if up { Dir::ToServer } else { Dir::ToClient },
                    record: record.into(),
                    at: at.into(),
                    length,
                    outer: 19 + outer % 6,
                    data: &data,
                    time: clock,
                    passed: None,
                };
                session.chunk(&chunk, &mut ring, &mut out);
            }
            Deed::Secret(kind, random, tgid, value, hint) => {
                let Some(value) = Secret::new(&value) else {
                    assert!(value.len() > 64);
                    continue;
                };
                let new = NewSecret {
                    label: label(kind),
                    client_random: random.then_some([hint; 32]),
                    server_random: None,
                    value,
                    tgid: tgid.into(),
                    socket_hint: hint.into(),
                    time: clock,
                };
                add(&mut ring, &mut session, &mut out, new);
            }
            Deed::Settle => {
                session.settle(&mut ring, &mut out);
                assert!(!session.waiting());
            }
            Deed::Expire(seconds) => {
                clock += u64::from(seconds) * 1_000_000_000;
                ring.expire(clock);
                session.expire(clock, &mut ring);
            }
            Deed::Hello(bytes) => {
                if let Some(hello) = ClientHello::parse(&bytes) {
                    assert_eq!(ja4(&hello).len(), 36);
                }
                let _ = ServerHello::parse(&bytes);
            }
        }
        assert!(session.memory() <= 192 * 1024);
        assert!(session.counts().trials <= MAX_TRIALS);
    }
    session.close(&mut ring, &mut out);
    assert_eq!(ring.stats().waiting, 0);
    assert!(session.memory() < 1024);
});
