//! What is counted of connections.

use monitor_ebpf::{TlsData, data_flag, uncovered};

use super::*;
use crate::coverage::{Count, CoverageRecord};
use crate::source::{Shed, SourceCounters, Uncovered};

/// The end of a socket, or its progress, with its totals.
fn totals(sock: u64, seq: u32, flags: u8, bytes: [u64; 2]) -> Made {
    Made::Close(Close {
        header: Header {
            kind: kind::CLOSE,
            flags,
            ..Header::default()
        },
        sock,
        seq,
        bytes,
        calls: [1, 1],
        ..Close::default()
    })
}

fn records(pipeline: &mut Pipeline<Script>) -> Vec<CoverageRecord> {
    pipeline.state.cover_open();
    pipeline.state.coverage.snapshot()
}

fn of<'a>(records: &'a [CoverageRecord], workload: &str) -> &'a CoverageRecord {
    let mut found = records
        .iter()
        .filter(|record| record.workload.as_deref() == Some(workload));
    found.next().unwrap()
}

fn kinds(record: &CoverageRecord) -> Vec<(&str, u64, u64)> {
    record
        .kinds
        .iter()
        .map(|kind| (kind.kind.as_str(), kind.connections, kind.bytes))
        .collect()
}

/// What comes before `events` in all of these: two processes and their sockets.
fn between(events: Vec<Made>) -> Vec<Vec<Made>> {
    let mut all = vec![
        exec(100, b"client\0bin\0"),
        exec(200, b"server\0bin\0"),
        open(CLIENT, 100),
        open(SERVER, 200),
    ];
    all.extend(events);
    vec![all]
}

const GONE: u8 = close_flag::GONE;

#[test]
fn each_end_counts_for_its_own_workload() {
    let mut pipeline = finished(
        between(vec![
            data(CLIENT, 0, TX, 0, REQUEST, 1_000),
            data(SERVER, 0, TX, 0, RESPONSE, 500_000),
            totals(CLIENT, 1, GONE, [100, 5_000]),
            totals(SERVER, 1, GONE, [5_000, 100]),
        ]),
        Limits::default(),
    );
    let records = records(&mut pipeline);
    for workload in ["exe:/bin/client", "exe:/bin/server"] {
        assert_eq!(
            kinds(of(&records, workload)),
            [("http/1.1", 1, 5_100)],
            "{workload}"
        );
    }
}

#[test]
fn long_connections_count_as_they_go() {
    let mut pipeline = finished(
        between(vec![
            data(CLIENT, 0, TX, 0, b"*1\r\n$4\r\nPING\r\n", 1_000),
            data(SERVER, 0, TX, 0, b"+PONG\r\n", 500_000),
            totals(CLIENT, 1, close_flag::PROGRESS, [1 << 20, 3]),
            totals(CLIENT, 1, close_flag::PROGRESS, [2 << 20, 5]),
            // Told of before, in the ring that is emptied first.
            data(CLIENT, 1, TX, 14, &[b'x'; 100], 0),
        ]),
        Limits::default(),
    );
    let records = records(&mut pipeline);
    let expected = [("protocol:redis", 1, (2 << 20) + 5)];
    assert_eq!(kinds(of(&records, "exe:/bin/client")), expected);
    // What its records held, as long as nothing else is known.
    let expected = [("protocol:redis", 1, 7)];
    assert_eq!(kinds(of(&records, "exe:/bin/server")), expected);
}

#[test]
fn what_never_came_up_is_dark() {
    for (seq, expected) in [(0, "uncovered"), (7, "lost")] {
        let mut pipeline = finished(
            between(vec![totals(CLIENT, seq, GONE, [10, 20])]),
            Limits::default(),
        );
        let records = records(&mut pipeline);
        let client = of(&records, "exe:/bin/client");
        assert_eq!(kinds(client), [(expected, 1, 30)]);
        assert_eq!(client.dark.connections, 1);
        assert_eq!(client.examples[0].address.as_deref(), Some("10.0.0.2:80"));
    }
}

#[test]
fn a_connection_without_bytes_is_none() {
    let mut pipeline = finished(
        between(vec![totals(CLIENT, 0, GONE, [0, 0])]),
        Limits::default(),
    );
    assert!(records(&mut pipeline).is_empty());
}

#[test]
fn what_had_to_make_room_was_counted() {
    let limits = Limits {
        connections: 0,
        ..Limits::default()
    };
    let mut pipeline = finished(
        between(vec![
            data(CLIENT, 0, TX, 0, REQUEST, 1_000),
            // It is not counted again.
            totals(CLIENT, 1, GONE, [REQUEST.len() as u64, 0]),
        ]),
        limits,
    );
    assert!(pipeline.state.losses.evicted > 0);
    let records = records(&mut pipeline);
    let expected = [("http/1.1", 1, REQUEST.len() as u64)];
    assert_eq!(kinds(of(&records, "exe:/bin/client")), expected);
}

/// A handshake message (RFC 8446 §4).
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (body.len() as u32).to_be_bytes();
    [&[kind], &length[..], body].concat()
}

fn extension(number: u16, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [&number.to_be_bytes(), &length, body].concat()
}

/// TLS 1.3, one suite, a server's name.
fn client_hello(sni: &str) -> Vec<u8> {
    let length = sni.len() as u16;
    let names = [
        &(length + 3).to_be_bytes(),
        &[0][..],
        &length.to_be_bytes(),
        sni.as_bytes(),
    ];
    let extensions = [extension(0, &names.concat()), extension(43, &[2, 3, 4])].concat();
    let body = [
        &[3, 3],
        &[1; 32][..],
        &[0, 0, 2, 0x13, 0x01, 1, 0],
        &(extensions.len() as u16).to_be_bytes(),
        &extensions,
    ];
    message(1, &body.concat())
}

fn server_hello() -> Vec<u8> {
    let extensions = extension(43, &[3, 4]);
    let body = [
        &[3, 3],
        &[2; 32][..],
        &[0, 0x13, 0x01, 0],
        &(extensions.len() as u16).to_be_bytes(),
        &extensions,
    ];
    message(2, &body.concat())
}

/// Part of a TLS record; `u32::MAX` for one whose number cannot be known.
fn sealed(sock: u64, seq: u32, dir: u8, record: u32, outer: u8, bytes: &[u8]) -> Made {
    let Made::Data(mut inner, bytes) = data(sock, seq, dir, 5, bytes, 1_000) else {
        unreachable!("made of data");
    };
    inner.header.kind = kind::TLS;
    if record == u32::MAX {
        inner.header.flags |= data_flag::LATE;
    }
    Made::Tls(
        TlsData {
            data: inner,
            record: if record == u32::MAX { 0 } else { record },
            at: 0,
            length: bytes.len() as u16,
            outer,
            pad: [0; 7],
        },
        bytes,
    )
}

#[test]
fn tls_without_keys_is_opaque_and_says_where_it_leads() {
    let hello = client_hello("dark.example");
    let mut pipeline = finished(
        between(vec![
            sealed(CLIENT, 0, TX, 0, 22, &hello),
            totals(CLIENT, 1, GONE, [700, 0]),
        ]),
        Limits::default(),
    );
    let unfinished = records(&mut pipeline);
    assert_eq!(
        kinds(of(&unfinished, "exe:/bin/client")),
        [("opaque-tls:unfinished", 1, 700)]
    );

    let server = server_hello();
    let mut pipeline = finished(
        between(vec![
            sealed(CLIENT, 0, TX, 0, 22, &hello),
            sealed(CLIENT, 1, RX, 0, 22, &server),
            sealed(CLIENT, 2, RX, 1, 23, &[7; 600]),
            sealed(CLIENT, 3, TX, 1, 23, &[9; 80]),
            totals(CLIENT, 4, GONE, [700, 1_300]),
        ]),
        Limits::default(),
    );
    let dark = records(&mut pipeline);
    let client = of(&dark, "exe:/bin/client");
    assert_eq!(kinds(client), [("opaque-tls:no-keys", 1, 2_000)]);
    assert_eq!(client.examples[0].sni.as_deref(), Some("dark.example"));
}

#[test]
fn tls_that_was_there_before_is_late() {
    let mut pipeline = finished(
        between(vec![
            sealed(CLIENT, 0, TX, u32::MAX, 23, &[]),
            totals(CLIENT, 1, GONE, [90, 10]),
        ]),
        Limits::default(),
    );
    let records = records(&mut pipeline);
    let expected = [("opaque-tls:joined-late", 1, 100)];
    assert_eq!(kinds(of(&records, "exe:/bin/client")), expected);
}

#[test]
fn what_a_process_lost_goes_to_its_workload_once() {
    let mut pipeline = finished(vec![vec![exec(100, b"client\0bin\0")]], Limits::default());
    let counters = |quic: u64, shed: u64| SourceCounters {
        uncovered: vec![Uncovered {
            pid: 100,
            cause: uncovered::NAMES[uncovered::QUIC],
            bytes: quic,
        }],
        shed: vec![Shed {
            pid: 100,
            short: shed,
            counted: 1,
        }],
        ..SourceCounters::default()
    };
    for counters in [counters(50, 2), counters(50, 2), counters(70, 5)] {
        pipeline.state.cover_processes(&counters);
    }
    // The counter had made room, and begins anew.
    pipeline.state.cover_processes(&SourceCounters::default());
    pipeline.state.cover_processes(&counters(4, 0));
    // The next time.
    pipeline.state.cover_processes(&counters(4, 0));
    let records = records(&mut pipeline);
    let client = of(&records, "exe:/bin/client");
    assert_eq!(client.uncovered[0].cause, "quic");
    assert_eq!((client.uncovered[0].bytes, client.shed), (74, 7));
    assert_eq!(client.read, Count::default());
}
