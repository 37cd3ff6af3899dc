//! Real handshakes, read with the secrets that their peers logged.

use rustls::crypto::ring::{self, cipher_suite};
use rustls::{ProtocolVersion, SupportedCipherSuite};

use super::peers::{CONVERSATION, Pair};
use super::tape::{Event, Known, Play, Step, steps};
use crate::wire::Dir;
use crate::wire::tls::{Cipher, Label, State, Version, Via, Why};

/// When secrets come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    /// As the peers derive them.
    Then,
    /// Before everything.
    First,
    /// Behind everything.
    Last,
}

fn arrange(
    events: Vec<Event>,
    when: When,
    randoms: bool,
    keep: impl Fn(Label) -> bool,
) -> Vec<Event> {
    let (mut secrets, mut bytes, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
    for mut event in events {
        if let Event::Secret(known) = &mut event {
            if !keep(known.label) {
                continue;
            }
            if !randoms {
                known.random = None;
            }
        }
        mixed.push(event.clone());
        match event {
            Event::Secret(_) => secrets.push(event),
            Event::Bytes(..) => bytes.push(event),
        }
    }
    match when {
        When::Then => mixed,
        When::First => [secrets, bytes].concat(),
        When::Last => [bytes, secrets].concat(),
    }
}

fn version(suite: &SupportedCipherSuite) -> Version {
    match suite.version().version {
        ProtocolVersion::TLSv1_3 => Version::Tls13,
        _ => Version::Tls12,
    }
}

#[test]
fn every_suite_at_every_time() {
    for suite in ring::ALL_CIPHER_SUITES {
        // TLS 1.2 has a certificate of one kind only.
        if format!("{suite:?}").contains("RSA") {
            continue;
        }
        let mut talk = Pair::new(&[*suite]).connect();
        talk.converse();
        for when in [When::Then, When::First, When::Last] {
            for randoms in [true, false] {
                for handshake in [true, false] {
                    let keep = |label| {
                        handshake
                            || !matches!(label, Label::ClientHandshake | Label::ServerHandshake)
                    };
                    let events = arrange(talk.events.clone(), when, randoms, keep);
                    // Of what waits, only so much is kept.
                    let cap = if when == When::Last { 64 } else { 600 };
                    let mut play = Play::new().steps(&steps(&events, cap));
                    let context = format!("{suite:?} {when:?} {randoms} {handshake}");
                    assert_eq!(play.lines(), CONVERSATION, "{context}");
                    assert_eq!(play.out.said.anomalies, [], "{context}");
                    let State::Reading {
                        version: spoken,
                        via,
                        ..
                    } = play.session.state()
                    else {
                        panic!("{context}: {:?}", play.session);
                    };
                    assert_eq!(spoken, version(suite));
                    assert_eq!(
                        via,
                        if randoms { Via::Random } else { Via::Trial },
                        "{context}"
                    );
                    assert_eq!(play.session.sni(), Some("api.example"));
                    if handshake || spoken == Version::Tls12 {
                        let alpn = play.session.alpn();
                        assert_eq!(alpn, Some(&b"http/1.1"[..]), "{context}");
                    }
                    assert!(play.session.memory() < 1_000, "{}", play.session.memory());
                    let stats = play.ring.stats();
                    assert_eq!(
                        (stats.pending, stats.waiting),
                        (0, 0),
                        "{context} {stats:?}"
                    );
                    assert!(stats.trials < 60, "{context} {stats:?}");
                    assert_eq!(play.session.counts().bad_tags, 0);
                }
            }
        }
    }
}

fn tls13() -> Pair {
    Pair::new(&[cipher_suite::TLS13_AES_128_GCM_SHA256])
}

fn tls12() -> Pair {
    Pair::new(&[cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256])
}

#[test]
fn resumption() {
    for pair in [tls13(), tls12()] {
        pair.connect().converse();
        for randoms in [true, false] {
            let mut talk = pair.connect();
            talk.converse();
            let kind = talk.client.handshake_kind();
            assert_eq!(kind, Some(rustls::HandshakeKind::Resumed));
            let events = arrange(talk.events, When::Then, randoms, |_| true);
            let mut play = Play::new().steps(&steps(&events, 100));
            assert_eq!(play.lines(), CONVERSATION);
            assert_eq!(play.out.said.anomalies, []);
        }
    }
}

#[test]
fn early_data() {
    for accepted in [true, false] {
        for randoms in [true, false] {
            for when in [When::Then, When::Last] {
                let mut pair = tls13();
                pair.client.enable_early_data = true;
                pair.server.max_early_data_size = 16_384;
                pair.connect().converse();
                if !accepted {
                    pair.server.max_early_data_size = 0;
                }
                let mut talk = pair.connect();
                let request = b"GET /early HTTP/1.1\r\nHost: api.example\r\n\r\n";
                let mut early = talk.client.early_data().expect("offered");
                std::io::Write::write_all(&mut early, request).unwrap();
                talk.run();
                assert_eq!(talk.client.is_early_data_accepted(), accepted);
                if !accepted {
                    // It says it again.
                    std::io::Write::write_all(&mut talk.client.writer(), request).unwrap();
                    talk.run();
                }
                talk.answer(201, 20);
                talk.ask("/late", 3);
                talk.answer(202, 0);
                for handshake in [true, false] {
                    let keep = |label| {
                        handshake
                            || !matches!(label, Label::ClientHandshake | Label::ServerHandshake)
                    };
                    let events = arrange(talk.events.clone(), when, randoms, keep);
                    let mut play = Play::new().steps(&steps(&events, 100));
                    let context = format!("{accepted} {randoms} {when:?} {handshake}");
                    assert_eq!(
                        play.lines(),
                        ["GET /early 201", "POST /late 202"],
                        "{context}"
                    );
                    assert_eq!(play.out.said.anomalies, [], "{context}");
                }
            }
        }
    }
}

#[test]
fn keys_are_updated() {
    let mut talk = tls13().connect();
    talk.converse();
    talk.client.refresh_traffic_keys().unwrap();
    talk.run();
    talk.ask("/d", 0);
    talk.answer(200, 5_000);
    talk.server.refresh_traffic_keys().unwrap();
    talk.run();
    talk.ask("/e", 2_000);
    talk.answer(201, 0);
    let want: Vec<&str> = CONVERSATION
        .into_iter()
        .chain(["POST /d 200", "POST /e 201"])
        .collect();
    let mut play = Play::new().steps(&steps(&talk.events, 100));
    assert_eq!(play.lines(), want);

    // An update that is lost is found again at the next record that is whole. Its own bytes might have
    // been an answer, so that the requests in flight stay without one.
    talk.ask("/f", 0);
    talk.answer(202, 0);
    let steps = steps(&talk.events, 100);
    let updates =
        |step: &&Step| matches!(step, Step::Chunk(cut) if cut.outer == 23 && cut.length == 22);
    assert!(steps.iter().filter(updates).count() >= 2);
    let mut play = Play::new();
    play.settles = true;
    for step in steps.iter().filter(|step| !updates(step)) {
        play.step(step);
    }
    let lines = play.lines();
    assert_eq!(lines[..3], want[..3]);
    assert_eq!(lines[3..], ["POST /d Lost", "POST /e Lost", "POST /f 202"]);
    assert!(play.out.losses >= 2, "{}", play.out.losses);
    assert_eq!(play.session.counts().bad_tags, 0);
}

#[test]
fn a_retried_hello() {
    let mut pair = tls13();
    let provider = rustls::crypto::CryptoProvider {
        kx_groups: vec![ring::kx_group::SECP384R1],
        ..(**pair.server.crypto_provider()).clone()
    };
    let made = rcgen::generate_simple_self_signed(["api.example".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let log = std::sync::Arc::clone(&pair.client.key_log);
    pair.server = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = std::sync::Arc::clone(pair.client.crypto_provider());
    pair.client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    pair.client.key_log = log;
    for randoms in [true, false] {
        let mut talk = pair.connect();
        talk.converse();
        let kind = talk.client.handshake_kind();
        assert_eq!(kind, Some(rustls::HandshakeKind::FullWithHelloRetryRequest));
        let events = arrange(talk.events, When::Then, randoms, |_| true);
        let mut play = Play::new().steps(&steps(&events, 100));
        assert_eq!(play.lines(), CONVERSATION);
        // No protocol was agreed upon.
        assert_eq!(play.session.alpn(), None);
        pair.client.resumption = rustls::client::Resumption::disabled();
    }
}

#[test]
fn both_ends_bring_the_same() {
    let mut talk = tls13().connect();
    talk.converse();
    for randoms in [true, false] {
        let events = arrange(talk.events.clone(), When::Then, randoms, |_| true);
        let mut play = Play::new();
        play.session.tap(8, 80, &mut play.ring);
        for step in steps(&events, 200) {
            play.step(&step);
            if let Step::Secret(known) = &step {
                let mut copy = known.new_secret(play.clock);
                copy.tgid = 8;
                play.secret(copy);
            } else {
                play.step(&step);
            }
        }
        assert_eq!(play.lines(), CONVERSATION);
        assert_eq!(play.out.said.anomalies, []);
        let stats = play.ring.stats();
        assert_eq!((stats.pending, stats.waiting), (0, 0));
        assert!(stats.duplicates >= 2, "{stats:?}");
    }
}

#[test]
fn records_are_lost() {
    let mut talk = tls13().connect();
    talk.converse();
    let steps = steps(&talk.events, 300);
    // Each of the records of application data, once.
    let data = |step: &Step| matches!(step, Step::Chunk(cut) if cut.outer == 23);
    let count = steps.iter().filter(|step| data(step)).count();
    for lost in 0..count {
        let mut play = Play::new();
        play.settles = true;
        let mut n = 0;
        for step in &steps {
            n += usize::from(data(step));
            if !(data(step) && n == lost + 1) {
                play.step(step);
            }
        }
        let lines = play.lines();
        // One exchange at most is missing or unanswered; none is wrong.
        let good = lines
            .iter()
            .filter(|line| CONVERSATION.contains(&line.as_str()))
            .count();
        assert!(good >= 2, "{lost}: {lines:?}");
        for line in &lines {
            let path = line.rsplit_once(' ').unwrap().0;
            let whole = CONVERSATION
                .iter()
                .find(|want| want.starts_with(path))
                .unwrap();
            assert!(
                line == whole || line.ends_with("Lost") || line.ends_with("Closed"),
                "{line}"
            );
        }
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let mut talk = tls13().connect();
    talk.converse();
    let all = steps(&talk.events, 4_000);
    let chunks = || all.iter().filter(|step| matches!(step, Step::Chunk(_)));

    // No keys: in its handshake until the backlog is full, then given up in time.
    let mut play = Play::new();
    chunks().for_each(|step| play.step(step));
    assert_eq!(play.session.state(), State::Handshake);
    play.session
        .expire(play.clock + 31_000_000_000, &mut play.ring);
    assert_eq!(play.session.state(), State::Opaque(Why::NoKeys));
    assert_eq!(
        (play.session.memory() < 200, play.ring.stats().waiting),
        (true, 0)
    );
    assert_eq!(play.session.sni(), Some("api.example"));
    assert!(play.session.ja4().unwrap().starts_with("t13d"));

    // Without its beginning.
    let mut play = Play::new();
    for step in chunks().skip(5) {
        if let Step::Chunk(cut) = step {
            let mut cut = cut.clone();
            cut.record = 0;
            play.chunk(&cut);
            break;
        }
    }
    assert_eq!(play.session.state(), State::Opaque(Why::JoinedLate));

    // Other keys.
    let mut other = tls13().connect();
    other.converse();
    let mut play = Play::new();
    for event in &other.events {
        if let Event::Secret(known) = event {
            let known = Known {
                random: None,
                ..known.clone()
            };
            play.secret(known.new_secret(1));
        }
    }
    chunks().for_each(|step| play.step(step));
    assert_eq!(play.out.pieces, [vec![], vec![]]);
    assert!(play.ring.stats().pending >= 4);
    assert!(play.session.counts().trials <= 256);

    // The server's hello does not come.
    let mut play = Play::new();
    play.settles = true;
    let hello = |cut: &super::tape::Cut| cut.dir == Dir::ToClient && cut.record == 0;
    for step in &all {
        if !matches!(step, Step::Chunk(cut) if hello(cut)) {
            play.step(step);
        }
    }
    assert_eq!(play.session.state(), State::Opaque(Why::NoHello));
}

#[test]
fn the_clients_hello_is_not_needed() {
    let mut talk = tls13().connect();
    talk.converse();
    let events = arrange(talk.events, When::Then, false, |_| true);
    let mut play = Play::new();
    play.settles = true;
    for step in steps(&events, 300) {
        if !matches!(&step, Step::Chunk(cut) if cut.dir == Dir::ToServer && cut.record == 0) {
            play.step(&step);
        }
    }
    assert_eq!(play.lines(), CONVERSATION);
    let reading = State::Reading {
        version: Version::Tls13,
        cipher: Cipher::Aes128Gcm,
        via: Via::Trial,
    };
    assert_eq!(play.session.state(), reading);
}

/// Of bulk only every record's number and place are kept: the next heads are read all the same, and what
/// was left out counts as the body that it was.
#[test]
fn bulk_is_left_out_on_purpose() {
    for pair in [tls13(), tls12()] {
        let mut talk = pair.connect();
        talk.run();
        for (path, asked, status, answered) in [
            ("/up", 60_000, 201, 10),
            ("/down", 0, 200, 60_000),
            ("/more", 50_000, 500, 60_000),
            ("/last", 0, 404, 0),
        ] {
            talk.ask_at_once(path, asked);
            talk.answer_at_once(status, answered);
        }
        let (mut budget, mut last) = ([0_usize; 2], None);
        let mut passed = [None::<u32>; 2];
        let mut left_out = 0;
        let mut play = Play::new();
        for step in steps(&talk.events, 16_384) {
            let Step::Chunk(mut cut) = step else {
                play.step(&step);
                continue;
            };
            let n = usize::from(cut.dir == Dir::ToClient);
            if last != Some(cut.dir) {
                (last, budget[n]) = (Some(cut.dir), 16_384);
            }
            let long = cut.length > 2_048 && cut.outer == 23;
            if long && budget[n] == 0 {
                let bytes = u32::from(cut.length) + 5;
                passed[n] = Some(passed[n].unwrap_or(0) + bytes);
                left_out += 1;
                continue;
            }
            if long {
                cut.data.truncate(5 + budget[n]);
                budget[n] -= budget[n].min(usize::from(cut.length));
            }
            cut.passed = passed[n].take();
            play.chunk(&cut);
        }
        assert!(left_out > 8, "{left_out} records left out");
        assert_eq!(
            play.lines(),
            [
                "POST /up 201",
                "POST /down 200",
                "POST /more 500",
                "POST /last 404"
            ]
        );
        assert_eq!(play.out.said.anomalies, []);
        assert_eq!(play.session.counts().lost, 0);
    }
}

/// Without the handshake's secrets, and with first records that are not captured whole.
#[test]
fn the_first_record_is_long() {
    let mut pair = tls13();
    pair.server.send_tls13_tickets = 0;
    let keep = |label| !matches!(label, Label::ClientHandshake | Label::ServerHandshake);
    let mut talk = pair.connect();
    talk.run();
    talk.ask_at_once("/long", 9_000);
    talk.answer_at_once(200, 9_000);
    talk.ask_at_once("/short", 0);
    talk.answer_at_once(201, 0);
    for randoms in [true, false] {
        for when in [When::Then, When::Last] {
            let events = arrange(talk.events.clone(), when, randoms, keep);
            let mut play = Play::new().steps(&steps(&events, 200));
            let context = format!("{randoms} {when:?}");
            assert_eq!(
                play.lines(),
                ["POST /long 200", "POST /short 201"],
                "{context}"
            );
            assert_eq!(play.out.said.anomalies, [], "{context}");
        }
    }

    // Bytes that say nothing of where they belong: what follows, with its tag, says it.
    let mut talk = pair.connect();
    talk.run();
    std::io::Write::write_all(&mut talk.client.writer(), &[0xee; 5_000]).unwrap();
    talk.run();
    let events = arrange(talk.events.clone(), When::Then, false, keep);
    let play = Play::new().steps(&steps(&events, 200));
    assert_eq!(play.out.pieces, [vec![], vec![]]);
    assert_eq!(play.session.state(), State::Handshake);
    std::io::Write::write_all(&mut talk.client.writer(), b"short").unwrap();
    talk.run();
    for randoms in [true, false] {
        let events = arrange(talk.events.clone(), When::Then, randoms, keep);
        let play = Play::new().steps(&steps(&events, 200));
        let told: Vec<(u32, usize, u32, bool)> = play.out.pieces[0]
            .iter()
            .map(|(off, data, hole, start)| (*off, data.len(), *hole, *start))
            .collect();
        assert_eq!(
            told,
            [
                (0, 200, 0, true),
                (200, 0, 4_800, false),
                (5_000, 5, 0, false)
            ]
        );
    }
}

#[test]
fn a_turn_of_direction_begins_a_message() {
    // In TLS 1.2 a record begins with 8 bytes of its nonce.
    for (pair, body) in [(tls13(), 100), (tls12(), 92)] {
        let mut talk = pair.connect();
        talk.run();
        talk.ask("/a", 2_000);
        talk.answer(200, 20);
        talk.ask("/b", 0);
        for when in [When::Then, When::Last] {
            let events = arrange(talk.events.clone(), when, true, |_| true);
            let mut play = Play::new().steps(&steps(&events, 100));
            assert_eq!(play.lines(), ["POST /a 200", "POST /b Closed"]);
            let starts = |n: usize| -> Vec<(usize, bool)> {
                let pieces = play.out.pieces[n].iter();
                pieces.map(|piece| (piece.1.len(), piece.3)).collect()
            };
            let head = starts(0)[0].0;
            let later = starts(0)[3].0;
            assert_eq!(
                starts(0),
                [(head, true), (body, false), (0, false), (later, true)]
            );
            let answer = starts(1)[0].0;
            assert_eq!(starts(1), [(answer, true), (20, false)]);
            assert_eq!(play.out.pieces[0][2].2 as usize, 2_000 - body);
        }
    }
}
