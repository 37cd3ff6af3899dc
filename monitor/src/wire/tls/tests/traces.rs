//! Recorded connections: those of RFC 8448, and some of OpenSSL 3.0.19 to itself.

use super::peers::{CONVERSATION, label};
use super::tape::{Event, Known, Play, Step, steps};
use crate::wire::Dir;
use crate::wire::tls::{Cipher, Label, State, Version, Via};

pub(super) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Lines of `k LABEL RANDOM SECRET`, `c BYTES`, `s BYTES`.
fn load(text: &str) -> Vec<Event> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["k", name, random, secret] => Event::Secret(Known {
                    label: label(name),
                    random: Some(unhex(random).try_into().unwrap()),
                    value: unhex(secret),
                }),
                ["c", bytes] => Event::Bytes(Dir::ToServer, unhex(bytes)),
                ["s", bytes] => Event::Bytes(Dir::ToClient, unhex(bytes)),
                _ => panic!("{line}"),
            }
        })
        .collect()
}

/// All ways in which the secrets can come: first or last, with randoms or without.
fn plays(text: &str, cap: usize) -> Vec<Play> {
    let mut plays = Vec::new();
    for (last, randoms) in [(false, true), (false, false), (true, true), (true, false)] {
        let (secrets, chunks): (Vec<Step>, Vec<Step>) = steps(&load(text), cap)
            .into_iter()
            .map(|step| match step {
                Step::Secret(known) if !randoms => Step::Secret(Known {
                    random: None,
                    ..known
                }),
                step => step,
            })
            .partition(|step| matches!(step, Step::Secret(_)));
        let (first, second) = if last {
            (chunks, secrets)
        } else {
            (secrets, chunks)
        };
        plays.push(Play::new().steps(&first).steps(&second));
    }
    plays
}

#[test]
fn rfc8448_simple_1rtt() {
    let payload: Vec<u8> = (0..50).collect();
    for play in plays(include_str!("recorded/rfc8448-1rtt.txt"), 100) {
        for dir in [Dir::ToServer, Dir::ToClient] {
            assert_eq!(play.out.bytes(dir).as_ref(), Some(&payload));
        }
        assert_eq!(play.session.sni(), Some("server"));
        assert_eq!(play.session.version(), Some(Version::Tls13));
        let counts = play.session.counts();
        assert_eq!((counts.read, counts.bad_tags, counts.lost), (2, 0, 0));
    }
}

#[test]
fn rfc8448_resumed_0rtt() {
    let payload: Vec<u8> = (0..50).collect();
    let early = [b"ABCDEF", payload.as_slice()].concat();
    for play in plays(include_str!("recorded/rfc8448-0rtt.txt"), 100) {
        assert_eq!(play.out.bytes(Dir::ToServer).as_ref(), Some(&early));
        assert_eq!(play.out.bytes(Dir::ToClient).as_ref(), Some(&payload));
        let counts = play.session.counts();
        assert_eq!((counts.read, counts.bad_tags, counts.lost), (3, 0, 0));
        let stats = play.ring.stats();
        assert_eq!((stats.pending, stats.waiting), (0, 0), "{stats:?}");
    }
}

#[test]
fn openssl_aead() {
    for (text, version, cap) in [
        (
            include_str!("recorded/openssl-13.txt"),
            Version::Tls13,
            4_000,
        ),
        (include_str!("recorded/openssl-13.txt"), Version::Tls13, 64),
        (
            include_str!("recorded/openssl-gcm.txt"),
            Version::Tls12,
            4_000,
        ),
        (include_str!("recorded/openssl-gcm.txt"), Version::Tls12, 64),
    ] {
        for mut play in plays(text, cap) {
            assert_eq!(play.lines(), CONVERSATION);
            assert_eq!(play.out.said.anomalies, []);
            assert_eq!(play.session.sni(), Some("api.example"));
            assert_eq!(play.session.alpn(), Some(&b"http/1.1"[..]));
            let State::Reading { cipher, .. } = play.session.state() else {
                panic!("{:?}", play.session);
            };
            assert_eq!(cipher, Cipher::Aes256Gcm);
            assert_eq!(play.session.version(), Some(version));
        }
    }
}

/// A library that moves its secrets about hides what each is for: each is then tried as everything.
#[test]
fn secrets_without_labels() {
    let (secrets, chunks): (Vec<Step>, Vec<Step>) =
        steps(&load(include_str!("recorded/openssl-13.txt")), 4_000)
            .into_iter()
            .partition(|step| matches!(step, Step::Secret(_)));
    let labels = [
        Label::ClientTraffic,
        Label::ServerTraffic,
        Label::ClientHandshake,
        Label::ServerHandshake,
    ];
    let secrets: Vec<Step> = secrets
        .iter()
        .flat_map(|step| {
            let Step::Secret(known) = step else {
                panic!("a chunk")
            };
            labels.map(|label| {
                Step::Secret(Known {
                    label,
                    random: None,
                    value: known.value.clone(),
                })
            })
        })
        .collect();
    for (first, second) in [(&secrets, &chunks), (&chunks, &secrets)] {
        let mut play = Play::new().steps(first).steps(second);
        assert_eq!(play.lines(), CONVERSATION);
        assert_eq!(play.session.alpn(), Some(&b"http/1.1"[..]));
        assert_eq!(play.session.counts().bad_tags, 0);
    }
}

/// As probes tell of secrets: with labels, but not whose they are. Each of the four is found at its first trial,
/// since the handshake's walk tells which record each traffic key begins with.
#[test]
fn labelled_secrets_are_tried_once() {
    let (secrets, chunks): (Vec<Step>, Vec<Step>) =
        steps(&load(include_str!("recorded/openssl-13.txt")), 4_000)
            .into_iter()
            .partition(|step| matches!(step, Step::Secret(_)));
    let secrets: Vec<Step> = secrets
        .iter()
        .map(|step| {
            let Step::Secret(known) = step else {
                panic!("a chunk")
            };
            Step::Secret(Known {
                label: known.label,
                random: None,
                value: known.value.clone(),
            })
        })
        .collect();
    let mut play = Play::new().steps(&secrets).steps(&chunks);
    assert_eq!(play.lines(), CONVERSATION);
    assert_eq!(play.session.counts().trials, 4);
}

#[test]
fn openssl_cbc() {
    for (text, cipher) in [
        (include_str!("recorded/cbc-sha1.txt"), Cipher::Aes128Cbc),
        (include_str!("recorded/cbc-sha256.txt"), Cipher::Aes128Cbc),
        (
            include_str!("recorded/cbc-sha384-etm.txt"),
            Cipher::Aes256Cbc,
        ),
    ] {
        for cap in [4_000, 200] {
            let mut plays = plays(text, cap).into_iter();
            for _ in 0..2 {
                // Whether it may be had by its random alone; there is no tag to try it with.
                let mut play = plays.next().unwrap();
                assert_eq!(play.lines(), CONVERSATION);
                let reading = State::Reading {
                    version: Version::Tls12,
                    cipher,
                    via: Via::Random,
                };
                assert_eq!(play.session.state(), reading);
                if cap == 4_000 {
                    assert_eq!(play.out.said.anomalies, []);
                }
                let blind = plays.next().unwrap();
                assert_eq!(blind.session.state(), State::Handshake);
                assert_eq!(blind.out.pieces, [vec![], vec![]]);
            }
        }
    }
}
