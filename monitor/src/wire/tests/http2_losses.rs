//! HTTP/2 with bytes missing, doubled, or out of order.

use proptest::prelude::*;

use super::http2_talk::*;
use super::recorder::{Outcome, Talk};
use crate::wire::Dir::{ToClient, ToServer};
use crate::wire::{Anomaly, Connection, Dir, Piece};

#[test]
fn joined_midway() {
    let mut h2 = H2::midway();
    let mut before = H2::new();
    // These went by before anyone looked.
    before.get(1, "/secret");
    before.status(1, END_STREAM, "418");
    (h2.up, h2.down) = (before.up, before.down);
    // Everything by index: what is in the static table is known, the rest is not.
    let request = h2.get(3, "/secret");
    h2.talk.up(request);
    let answer = h2.status(3, END_STREAM, "418");
    h2.talk.down(answer);
    let causes = [Anomaly::JoinedMidway, Anomaly::UnknownFields];
    h2.talk.expect(&["~GET  Lost"], &causes);
    let exchange = &h2.talk.said.exchanges[0];
    assert_eq!((exchange.unknown_fields, exchange.headers.len()), (3, 0));
    // What is new is known, and known again by index.
    for stream in [5, 7] {
        let request = h2.get(stream, "/new");
        h2.talk.up(request);
        let answer = h2.status(stream, END_STREAM, "429");
        h2.talk.down(answer);
    }
    assert_eq!(h2.talk.said.lines()[1..], ["GET /new 429", "GET /new 429"]);
    assert_eq!(h2.talk.said.header(2, "authorization"), None);
    assert_eq!(h2.talk.said.exchanges[2].unknown_fields, 2);
    assert_eq!(h2.talk.said.causes(), causes);
}

#[test]
fn a_response_of_unknown_status() {
    let mut h2 = H2::new();
    let request = [h2.get(1, "/a"), h2.get(3, "/b"), h2.get(5, "/c")];
    h2.talk.up(request.concat());
    let missed = h2.status(1, 0, "418");
    h2.talk.miss(ToClient, missed.len() as u32);
    let answers = [
        h2.status(3, 0, "418"),
        frame(DATA, END_STREAM, 3, b"x"),
        h2.status(5, 0, "200"),
    ];
    h2.talk.raw(ToClient, &answers.concat(), 0, false);
    h2.talk.expect(
        &["GET /a ?", "GET /b Lost", "GET /c 200"],
        &[
            Anomaly::Gap,
            Anomaly::Resynchronised,
            Anomaly::UnknownFields,
        ],
    );
    h2.talk.end(ToClient);
    assert_eq!(h2.talk.said.lines()[0], "GET /a Closed");
}

#[test]
fn a_frame_header_is_missing() {
    let mut h2 = H2::new();
    let one = h2.get(1, "/1");
    h2.talk.up(one);
    let missed = h2.get(3, "/missed");
    h2.talk.miss(ToServer, missed.len() as u32);
    let next = [h2.get(5, "/missed"), h2.get(7, "/5")].concat();
    h2.talk.up(next);
    h2.talk.expect(
        &["GET /1 ?", "~GET  ?", "GET /5 ?"],
        &[
            Anomaly::Gap,
            Anomaly::Resynchronised,
            Anomaly::UnknownFields,
        ],
    );
    assert!(h2.talk.said.exchanges[1].unknown_fields >= 3);
}

#[test]
fn a_block_is_missing_in_part() {
    let mut h2 = H2::new();
    h2.choice = 0b0110;
    let request = h2.headers(
        ToServer,
        1,
        END_STREAM,
        &[
            (":method", "GET"),
            (":path", "/a"),
            ("x-long", &"x".repeat(500)),
            ("x-last", "1"),
        ],
    );
    // The first 200 bytes were captured, and that there are more is known.
    let (captured, rest) = request.split_at(200);
    h2.talk.piece(ToServer, captured, rest.len() as u32);
    h2.talk.settle();
    h2.talk.expect(&["…GET /a ?"], &[Anomaly::Gap]);
    // The frame's end was known: nothing is skipped.
    let next = h2.get(3, "/b");
    h2.talk.up(next);
    h2.talk.expect(&["…GET /a ?", "GET /b ?"], &[Anomaly::Gap]);
    // Part of a block, then nothing more.
    let request = h2.get(5, "/c");
    h2.talk.up(&request[..20]).end(ToServer);
    assert_eq!(h2.talk.said.lines().len(), 2);
}

#[test]
fn what_is_missing_within_a_block_is_not_jumped_over() {
    let mut h2 = H2::new();
    h2.choice = 0;
    let fields = [
        (":method", "GET"),
        (":path", "/one"),
        ("x-one", "1"),
        ("x-two", "2"),
    ];
    let block = h2.block(ToServer, &fields);
    // The second of three frames' payload is missing, and the third begins with a field.
    let third = h2.block(ToServer, &[("x-three", "3")]);
    h2.talk.up(frame(HEADERS, 0, 1, &block));
    h2.talk
        .up(header(30, CONTINUATION, 0, 1))
        .miss(ToServer, 30);
    h2.talk.up(frame(CONTINUATION, END_HEADERS, 1, &third));
    h2.talk.expect(&["…GET /one ?"], &[Anomaly::Gap]);
    assert_eq!(h2.talk.said.header(0, "x-two"), Some(&b"2"[..]));
    assert_eq!(h2.talk.said.header(0, "x-three"), None);
}

#[test]
fn joined_within_data() {
    let mut h2 = H2::midway();
    // Looks like nothing; then a call that begins with a frame.
    h2.talk.up(vec![b'x'; 3000]);
    let request = [frame(DATA, END_STREAM, 1, b"end"), h2.get(3, "/a")].concat();
    h2.talk.up(request);
    let answer = [
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]),
        h2.status(3, END_STREAM, "200"),
    ];
    h2.talk.down(answer.concat());
    h2.talk.expect(&["~GET /a 200"], &[Anomaly::JoinedMidway]);
    // The rest of a frame and another in one call: the direction is found within it.
    let mut h2 = H2::over(Connection::inside_tls(None, true));
    let request = [
        b"end of data".to_vec(),
        h2.get(3, "/a"),
        frame(PING, 0, 0, &[0; 8]),
    ]
    .concat();
    h2.talk.up(request);
    h2.talk.expect(&["~GET /a ?"], &[Anomaly::JoinedMidway]);
}

#[test]
fn what_is_no_http2_is_not_taken_for_it() {
    for bytes in [
        &b"\0\0\0\x2d\0\x12\0\x03\0\0\0\x01\0\x07rdkafka"[..],
        b"\0\x1d\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x07example",
        &[0; 400],
    ] {
        for connection in [Connection::new(None), Connection::new(Some((1000, 2000)))] {
            let mut talk = Talk::of(connection);
            for _ in 0..3 {
                talk.up(bytes).down(bytes);
            }
            assert!(!talk.connection.multiplexes());
            talk.expect(&[], &[]);
        }
    }
    // A protocol with a preface of its own does not hide a later one.
    let mut h2 = H2::over(Connection::new(Some((1000, 2000))));
    h2.talk.up(b"\x16\x03\x01hello").down(b"\x16\x03\x03hello");
    let request = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &h2.get(1, "/a")].concat();
    h2.talk.up(request);
    h2.talk.expect(&["GET /a ?"], &[]);
}

/// The frames of a conversation, and its exchanges.
fn conversation() -> (Vec<u8>, Vec<u8>, Vec<String>) {
    let mut h2 = H2::over(Connection::new(None));
    let settings = frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0]);
    let (mut up, mut down) = ([PREFACE, &settings].concat(), settings);
    let mut truth = Vec::new();
    for at in 0..12_u32 {
        let (stream, path) = (at * 2 + 1, format!("/path/{}", at % 5));
        let status = ["200", "201", "404", "500", "418"][at as usize % 5];
        if at % 3 == 2 {
            up.extend(h2.call(stream, &path));
            up.extend(frame(DATA, END_STREAM, stream, &[0; 20]));
            down.extend(h2.headers(ToClient, stream, 0, &[(":status", "200"), ("x-at", &path)]));
            down.extend(frame(DATA, 0, stream, &vec![b'd'; at as usize * 40]));
            let grpc = (at % 17).to_string();
            down.extend(h2.headers(ToClient, stream, END_STREAM, &[("grpc-status", &grpc)]));
            truth.push(format!("POST {path} 200/{grpc}"));
        } else {
            up.extend(h2.get(stream, &path));
            let fields = [(":status", status), ("x-at", &path)];
            down.extend(h2.headers(ToClient, stream, 0, &fields));
            down.extend(frame(DATA, END_STREAM, stream, b"body"));
            truth.push(format!("GET {path} {status}"));
        }
    }
    (up, down, truth)
}

/// Cuts bytes at the given places.
fn pieces(dir: Dir, bytes: &[u8], cuts: &[usize]) -> Vec<(Dir, u32, Vec<u8>)> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % bytes.len()).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| (dir, pair[0] as u32, bytes[pair[0]..pair[1]].to_vec()))
        .collect()
}

fn feed(talk: &mut Talk, piece: &(Dir, u32, Vec<u8>), start: bool) {
    let (dir, off, data) = piece;
    talk.put(Piece {
        dir: *dir,
        off: *off,
        data,
        hole: 0,
        time: 7,
        start,
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// However it is cut, and in whatever order of the directions, all is known.
    #[test]
    fn splits(
        cuts in prop::collection::vec(any::<usize>(), 0..40),
        order in prop::collection::vec(any::<bool>(), 100),
        doubled in any::<bool>(),
    ) {
        let (up, down, truth) = conversation();
        let mut ups = pieces(ToServer, &up, &cuts).into_iter().peekable();
        let mut downs = pieces(ToClient, &down, &cuts).into_iter().peekable();
        let mut talk = Talk::of(Connection::inside_tls(Some((0, 0)), true));
        talk.settles = false;
        let mut order = order.into_iter().cycle();
        while ups.peek().is_some() || downs.peek().is_some() {
            let first = order.next().unwrap();
            let next = if first { ups.next().or_else(|| downs.next()) } else { downs.next().or_else(|| ups.next()) };
            let piece = next.unwrap();
            feed(&mut talk, &piece, first);
            if doubled {
                feed(&mut talk, &piece, false);
            }
        }
        prop_assert_eq!(talk.said.lines(), truth);
        prop_assert!(talk.said.causes().is_empty());
    }

    /// Out of order and with losses: what is said is true, or says that it is not known.
    #[test]
    fn losses(
        cuts in prop::collection::vec(any::<usize>(), 0..40),
        fate in prop::collection::vec(0..10_u8, 100),
        midway in any::<bool>(),
        settles in any::<bool>(),
    ) {
        let (up, down, truth) = conversation();
        let mut all = pieces(ToServer, &up, &cuts);
        all.extend(pieces(ToClient, &down, &cuts));
        let bases = (!midway).then_some((0, 0));
        let mut talk = Talk::of(Connection::inside_tls(bases, true));
        talk.settles = settles;
        let mut late = Vec::new();
        for (piece, fate) in all.iter().zip(fate.into_iter().cycle()) {
            match fate {
                0 => {}
                1 | 2 => late.push(piece),
                _ => feed(&mut talk, piece, fate == 3),
            }
            prop_assert!(talk.connection.memory() <= 64 * 1024);
        }
        for piece in late {
            feed(&mut talk, piece, false);
        }
        talk.close();
        prop_assert_eq!(talk.connection.memory(), 0);
        for exchange in &talk.said.exchanges {
            let known = |whole: &&String| {
                let mut words = whole.split(' ');
                let (method, path) = (words.next().unwrap(), words.next().unwrap());
                let outcome = words.next().unwrap();
                (exchange.method.is_empty() || exchange.method == method)
                    && (exchange.target.is_empty() || exchange.target == path.as_bytes())
                    && match &exchange.outcome {
                        None => false,
                        Some(Outcome::Unanswered(_)) => true,
                        Some(Outcome::Status(status, _)) => outcome.starts_with(&status.to_string()),
                        Some(Outcome::Grpc(status, grpc)) => outcome == format!("{status}/{grpc}"),
                    }
            };
            prop_assert!(truth.iter().any(|line| known(&line)), "{:?}", exchange);
        }
    }
}
