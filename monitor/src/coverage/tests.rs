use std::sync::Arc;

use super::protocol::Protocol;
use super::turned::{DAY, ENOUGH, WINDOW};
use super::*;

const KEYS: Kind = Kind::Tls(Means::Keys, Inside::Http2);
const BLIND: Kind = Kind::Opaque(Opaque::NoKeys);
const SECOND: i64 = 1_000_000;

fn workload(exe: &str) -> Workload {
    Workload {
        exe: Arc::from(exe),
        ..Workload::default()
    }
}

fn about<'a>(workload: &'a Workload, sni: Option<&'a str>, time_us: i64) -> About<'a> {
    About {
        workload,
        destination: Destination {
            sni,
            server: Some(SocketAddr::from(([203, 0, 113, 7], 443))),
            peer: &Peer::Unknown,
        },
        time_us,
    }
}

#[test]
fn counts_by_kind_and_group() {
    let mut coverage = Coverage::default();
    let app = workload("/usr/bin/app");
    coverage.note(&about(&app, Some("api.example"), 1), KEYS, 1, 1000);
    coverage.note(&about(&app, None, 2), KEYS, 0, 24);
    coverage.note(
        &about(&app, None, 3),
        Kind::Protocol(Protocol::Redis),
        1,
        70,
    );
    coverage.note(&about(&app, Some("dark.example"), 4), BLIND, 2, 9);
    coverage.uncovered(&app, uncovered::QUIC, 500, 5);
    coverage.shed(&app, 6, 6);
    let [record] = &coverage.snapshot()[..] else {
        unreachable!("one workload");
    };
    assert_eq!(record.workload.as_deref(), Some("exe:/usr/bin/app"));
    let count = |connections, bytes| Count { connections, bytes };
    assert_eq!(
        (record.read, record.other, record.dark),
        (count(1, 1024), count(1, 70), count(2, 9))
    );
    let kinds: Vec<_> = record.kinds.iter().map(|kind| kind.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["opaque-tls:no-keys", "tls-keys:h2", "protocol:redis"]
    );
    let [example] = &record.examples[..] else {
        unreachable!("one example");
    };
    assert_eq!(example.sni.as_deref(), Some("dark.example"));
    assert_eq!(example.address.as_deref(), Some("203.0.113.7:443"));
    assert_eq!((example.connections, record.shed), (2, 6));
    assert_eq!(record.uncovered[0].cause, "quic");
    let stats = coverage.stats();
    assert_eq!((stats.workloads, stats.dark_workloads), (1, 1));
    assert_eq!(stats.read, count(1, 1024));
}

#[test]
fn names_are_told_apart() {
    let mut names = std::collections::BTreeSet::new();
    let mut kinds = vec![
        Kind::Http1,
        Kind::Http2,
        Kind::JoinedLate,
        Kind::Lost,
        Kind::Uncovered,
    ];
    for why in [
        Opaque::NoKeys,
        Opaque::JoinedLate,
        Opaque::NoHello,
        Opaque::Cipher,
        Opaque::Version,
        Opaque::Renegotiated,
        Opaque::Broken,
        Opaque::Unfinished,
    ] {
        kinds.push(Kind::Opaque(why));
    }
    for protocol in Protocol::ALL {
        kinds.push(Kind::Protocol(*protocol));
        // HTTP/2 itself has a kind of its own, of the same name.
        if *protocol != Protocol::Http2 {
            kinds.push(Kind::Tls(Means::Keys, Inside::Other(*protocol)));
            kinds.push(Kind::Tls(Means::Probes, Inside::Other(*protocol)));
        }
    }
    for means in [Means::Keys, Means::Probes] {
        kinds.push(Kind::Tls(means, Inside::Http1));
        kinds.push(Kind::Tls(means, Inside::Http2));
    }
    for kind in &kinds {
        assert!(names.insert(kind.to_string()), "{kind}");
    }
}

#[test]
fn a_connection_better_known_moves() {
    let mut coverage = Coverage::default();
    let app = workload("/a");
    let at = about(&app, None, 1);
    coverage.note(&at, BLIND, 1, 10);
    coverage.recount(&at, BLIND, KEYS);
    coverage.recount(&at, BLIND, KEYS);
    let stats = coverage.stats();
    assert_eq!((stats.read.connections, stats.dark.connections), (1, 0));
    assert_eq!(stats.dark.bytes, 10, "bytes stay as they were understood");
}

#[test]
fn what_makes_room_is_still_counted() {
    let mut coverage = Coverage::new(2);
    let all: Vec<Workload> = (0..10).map(|i| workload(&format!("/{i}"))).collect();
    for app in &all {
        coverage.note(&about(app, None, 1), KEYS, 1, 5);
        // Used again and again: it stays.
        coverage.note(&about(&all[0], None, 1), KEYS, 0, 1);
    }
    // Its connection was counted before it made room.
    coverage.recount(&about(&all[1], None, 1), KEYS, BLIND);
    let stats = coverage.stats();
    assert_eq!(stats.read.connections + stats.dark.connections, 10);
    assert_eq!(stats.read.bytes, 60);
    let records = coverage.snapshot();
    assert_eq!(records.len(), 3);
    assert!(
        records
            .iter()
            .any(|record| record.workload.as_deref() == Some("exe:/0"))
    );
    assert_eq!(records[2].workload, None);
    assert_eq!(stats.forgotten, 9, "one came back to be recounted");
}

#[test]
fn examples_are_bounded_and_the_newest_stay() {
    let mut coverage = Coverage::default();
    let app = workload("/a");
    for i in 0..100 {
        let sni = format!("{i}.example");
        coverage.note(&about(&app, Some(&sni), i), BLIND, 1, 1);
    }
    let record = coverage.snapshot().remove(0);
    assert_eq!(record.examples.len(), MOST_EXAMPLES);
    assert_eq!(record.examples[0].sni.as_deref(), Some("99.example"));
    assert_eq!(record.dark.connections, 100);
}

#[test]
fn the_same_destination_turns_dark() {
    let mut coverage = Coverage::default();
    let app = workload("/a");
    let mut note =
        |sni, at: i64, kind| coverage.note(&about(&app, Some(sni), at * SECOND), kind, 1, 1);
    // Another destination was never readable: that alone says nothing.
    for at in 0..10 {
        assert_eq!(note("api.example", at, KEYS), None);
        assert_eq!(note("pinned.example", at, BLIND), None);
    }
    for at in 0..2 {
        assert_eq!(note("api.example", 20 + at, BLIND), None);
    }
    let turned = note("api.example", 30, BLIND).unwrap();
    assert!(turned.same_destination);
    assert_eq!(&*turned.destination, "api.example");
    assert_eq!((turned.dark, turned.read), (ENOUGH as u64, 10));
    assert_eq!(turned.since_read_us, 21 * SECOND);
    // It goes on to be said, until it can be read again.
    assert!(note("api.example", 31, BLIND).is_some());
    assert_eq!(note("api.example", 32, KEYS), None);
    assert_eq!(note("api.example", 33, BLIND), None);
}

#[test]
fn all_of_a_workload_turns_dark() {
    let mut coverage = Coverage::default();
    let app = workload("/a");
    let mut note =
        |sni, at: i64, kind| coverage.note(&about(&app, Some(sni), at * SECOND), kind, 1, 1);
    assert_eq!(note("api.example", 1, KEYS), None);
    assert_eq!(note("a.example", 2, BLIND), None);
    assert_eq!(note("b.example", 3, BLIND), None);
    let turned = note("c.example", 4, BLIND).unwrap();
    assert!(!turned.same_destination);
}

#[test]
fn nothing_turns_dark_that_was_not_readable_or_slowly_or_after_a_day() {
    let mut coverage = Coverage::default();
    let (never, slow, late) = (workload("/never"), workload("/slow"), workload("/late"));
    let mut note = |app: &Workload, at: i64, kind| {
        coverage
            .note(&about(app, Some("api.example"), at), kind, 1, 1)
            .is_some()
    };
    for at in 0..20 {
        assert!(!note(&never, at, BLIND));
    }
    assert!(!note(&slow, 0, KEYS));
    for at in 1..20 {
        assert!(!note(&slow, at * WINDOW, BLIND), "{at}");
    }
    assert!(!note(&late, 0, KEYS));
    for at in 1..20 {
        assert!(!note(&late, DAY + at, BLIND));
    }
    // What ended within its handshake, or was there before, is no sign.
    let other = workload("/other");
    assert!(!note(&other, 0, KEYS));
    for at in 1..20 {
        assert!(!note(&other, at, Kind::Opaque(Opaque::Unfinished)));
        assert!(!note(&other, at, Kind::Opaque(Opaque::JoinedLate)));
    }
}
