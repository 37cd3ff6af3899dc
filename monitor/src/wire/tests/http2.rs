//! What HTTP/2 connections do.

use super::http2_talk::*;
use super::recorder::{Outcome, Talk};
use crate::wire::Dir::{ToClient, ToServer};
use crate::wire::{Anomaly, Connection, Piece, Unanswered, Version};

#[test]
fn requests_and_responses_by_stream() {
    let mut h2 = H2::new();
    let one = h2.get(1, "/one");
    let two = h2.get(3, "/two?x=1");
    h2.talk.up([one, two].concat());
    let answers = [
        h2.status(3, 0, "201"),
        frame(DATA, END_STREAM, 3, b"body"),
        h2.status(1, END_STREAM, "404"),
    ];
    h2.talk.down(answers.concat());
    let three = h2.get(5, "/one");
    h2.talk.up(three);
    h2.talk
        .expect(&["GET /one 404", "GET /two?x=1 201", "GET /one ?"], &[]);
    let exchange = &h2.talk.said.exchanges[1];
    assert_eq!(
        (exchange.version, exchange.unknown_fields),
        (Version::Http2, 0)
    );
    assert!(exchange.time > 0 && exchange.off > 1000 && !exchange.secure);
    for (name, value) in [("host", "api.example"), ("authorization", "Bearer abc")] {
        assert_eq!(h2.talk.said.header(1, name), Some(value.as_bytes()));
    }
    assert!(
        exchange
            .headers
            .iter()
            .all(|(name, _)| !name.starts_with(':'))
    );
    assert!(h2.talk.connection.multiplexes());
    assert_eq!(h2.talk.connection.in_flight(), 1);
    h2.talk.close();
    assert_eq!(h2.talk.said.lines()[2], "GET /one Closed");
    assert_eq!(h2.talk.connection.memory(), 0);
}

#[test]
fn byte_by_byte() {
    let mut h2 = H2::over(Connection::new(Some((1000, 2000))));
    let settings = frame(SETTINGS, 0, 0, &[0; 6]);
    let up = [
        PREFACE.to_vec(),
        settings.clone(),
        h2.get(1, "/a"),
        h2.call(3, "/s/M"),
    ]
    .concat();
    let trailers = [("grpc-status", "0")];
    let down = [
        settings,
        h2.status(1, END_STREAM, "200"),
        h2.status(3, 0, "200"),
        frame(DATA, 0, 3, b"12345"),
        frame(PING, 0, 0, &[0; 8]),
        h2.headers(ToClient, 3, END_STREAM, &trailers),
    ]
    .concat();
    // One byte of the server's preface is not enough to know it by.
    h2.talk.bytewise(ToServer, up);
    h2.talk.bytewise(ToClient, down);
    h2.talk.expect(&["GET /a 200", "POST /s/M 200/0"], &[]);
}

#[test]
fn the_server_may_speak_first() {
    let mut h2 = H2::over(Connection::new(Some((1000, 2000))));
    h2.talk.down(frame(SETTINGS, 0, 0, &[0; 12]));
    h2.talk.up(PREFACE);
    let request = [frame(SETTINGS, 0, 0, &[]), h2.get(1, "/a")].concat();
    h2.talk.up(request);
    let answer = h2.status(1, END_STREAM, "200");
    h2.talk.down(answer);
    h2.talk.expect(&["GET /a 200"], &[]);
}

#[test]
fn grpc_ends_with_its_status() {
    let mut h2 = H2::new();
    let calls: Vec<_> = [1, 3, 5, 7, 9]
        .map(|id| h2.call(id, "/pkg.Svc/Do"))
        .concat();
    h2.talk.up(calls);
    let headers = [(":status", "200"), ("content-type", "application/grpc")];
    let failed = [
        headers[0],
        headers[1],
        ("grpc-status", "7"),
        ("grpc-message", "no"),
    ];
    let answers = [
        h2.headers(ToClient, 1, 0, &headers),
        h2.headers(ToClient, 5, 0, &headers),
        // Trailers only.
        h2.headers(ToClient, 3, END_STREAM, &failed),
        frame(DATA, 0, 1, b"message"),
        h2.headers(ToClient, 1, END_STREAM, &[("grpc-status", "16")]),
        // Reset within the response, ended without trailers, reset before any.
        frame(RST_STREAM, 0, 5, &[0, 0, 0, 8]),
        h2.headers(ToClient, 7, 0, &headers),
        frame(DATA, END_STREAM, 7, b""),
        frame(RST_STREAM, 0, 9, &[0, 0, 0, 7]),
    ];
    let first = answers[0].clone();
    h2.talk.down(first);
    h2.talk.expect(&["POST /pkg.Svc/Do ?"; 5], &[]);
    h2.talk.down(answers[1..].concat());
    let outcomes = ["200/16", "200/7", "200", "200", "Closed"];
    assert_eq!(
        h2.talk.said.lines(),
        outcomes.map(|outcome| format!("POST /pkg.Svc/Do {outcome}"))
    );
    assert!(h2.talk.said.causes().is_empty());
}

#[test]
fn interim_responses_and_trailers_are_no_answers() {
    let mut h2 = H2::new();
    let request = h2.headers(
        ToServer,
        1,
        0,
        &[(":method", "PUT"), (":path", "/p"), (":scheme", "https")],
    );
    let trailers = h2.headers(ToServer, 1, END_STREAM, &[("x-checksum", "1")]);
    h2.talk
        .up([request, frame(DATA, 0, 1, b"body"), trailers].concat());
    let answers = [
        h2.status(1, 0, "100"),
        h2.status(1, 0, "103"),
        h2.status(1, 0, "500"),
        frame(DATA, 0, 1, b"error"),
        h2.headers(ToClient, 1, END_STREAM, &[("x-checksum", "2")]),
    ];
    h2.talk.down(answers.concat());
    h2.talk.expect(&["PUT /p 500"], &[]);
    assert!(h2.talk.said.exchanges[0].secure);
}

#[test]
fn continued_and_padded_blocks() {
    let mut h2 = H2::new();
    let block = h2.block(
        ToServer,
        &[
            (":method", "GET"),
            (":path", "/long"),
            (":authority", "a.example"),
            ("x", &"y".repeat(300)),
        ],
    );
    let mut padded = vec![3, 0x80, 0, 0, 0, 255];
    padded.extend(&block[..10]);
    padded.extend([0; 3]);
    let frames = [
        frame(HEADERS, PADDED | PRIORITY | END_STREAM, 1, &padded),
        frame(CONTINUATION, 0, 1, &block[10..20]),
        frame(CONTINUATION, 0, 1, &[]),
        frame(CONTINUATION, END_HEADERS, 1, &block[20..]),
    ];
    h2.talk.up(frames.concat());
    let block = h2.block(ToServer, &[(":method", "GET"), (":path", "/next")]);
    let padded = [&[200][..], &block, &[0; 200]].concat();
    h2.talk.up(frame(
        HEADERS,
        PADDED | END_STREAM | END_HEADERS,
        3,
        &padded,
    ));
    let block = h2.block(ToServer, &[(":method", "GET"), (":path", "/next")]);
    let padded = [&[2][..], &block, &[0; 2]].concat();
    h2.talk.bytewise(
        ToServer,
        frame(HEADERS, PADDED | END_STREAM | END_HEADERS, 5, &padded),
    );
    h2.talk
        .expect(&["GET /long ?", "GET /next ?", "GET /next ?"], &[]);
    // More padding than payload; nothing of it can be read.
    h2.talk
        .up(frame(HEADERS, PADDED | END_HEADERS, 7, &[9, 0x82]));
    let lines = h2.talk.said.lines();
    assert_eq!(lines[3], "…  ?");
    assert_eq!(h2.talk.said.causes(), [Anomaly::BadFrame]);
}

#[test]
fn nothing_stands_within_a_block() {
    let mut h2 = H2::new();
    let block = h2.block(ToServer, &[(":method", "GET"), (":path", "/a")]);
    let next = h2.get(3, "/b");
    let frames = [frame(HEADERS, END_STREAM, 1, &block), next];
    h2.talk.up(frames.concat());
    // What was there counts; what the table holds now is not known, but `/b` was not in it.
    h2.talk
        .expect(&["…GET /a ?", "GET /b ?"], &[Anomaly::BadFrame]);
    h2.talk.up(frame(CONTINUATION, END_HEADERS, 3, &[0x82]));
    assert_eq!(h2.talk.said.anomalies[&Anomaly::BadFrame], 2);
    let mut other = H2::new();
    other.talk.up(frame(DATA, 0, 0, b"x"));
    let request = other.get(1, "/c");
    other.talk.up(request);
    assert_eq!(other.talk.said.lines(), ["~GET /c ?"]);
    assert_eq!(
        other.talk.said.causes(),
        [Anomaly::Resynchronised, Anomaly::BadFrame]
    );
}

#[test]
fn data_is_not_captured() {
    let mut h2 = H2::new();
    for (stream, missing) in [(1, 16_000), (3, 1), (5, 0)] {
        let request = h2.headers(
            ToServer,
            stream,
            0,
            &[(":method", "PUT"), (":path", "/big")],
        );
        h2.talk.up(request);
        // The frame's header and some bytes are; the rest is a hole, told of or not.
        let mut begun = header(16_100, DATA, 0, stream);
        begun.extend(vec![b'x'; 16_100 - missing as usize]);
        h2.talk.piece(ToServer, &begun, missing);
        let mut begun = header(16_100, DATA, END_STREAM, stream);
        begun.extend(vec![b'x'; 16_100 - missing as usize]);
        h2.talk.up(begun).miss(ToServer, missing);
        let answer = [
            h2.status(stream, END_STREAM, "204"),
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]),
        ];
        h2.talk.down(answer.concat());
    }
    h2.talk.expect(&["PUT /big 204"; 3], &[]);
    h2.talk.connection.shrink();
    assert!(
        h2.talk.connection.memory() < 2048,
        "{}",
        h2.talk.connection.memory()
    );
}

#[test]
fn refused_and_reset() {
    let mut h2 = H2::new();
    let requests = [
        h2.get(1, "/1"),
        h2.get(3, "/2"),
        h2.get(5, "/3"),
        h2.get(7, "/4"),
    ];
    h2.talk.up(requests.concat());
    h2.talk.up(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]));
    let goaway = [&3_u32.to_be_bytes()[..], &[0; 4], b"why"].concat();
    h2.talk.bytewise(ToClient, frame(GOAWAY, 0, 0, &goaway));
    h2.talk.expect(
        &[
            "GET /1 Closed",
            "GET /2 ?",
            "GET /3 Closed",
            "GET /4 Closed",
        ],
        &[],
    );
    let late = [
        h2.status(3, END_STREAM, "200"),
        h2.status(1, END_STREAM, "200"),
    ];
    h2.talk.down(late.concat());
    assert_eq!(h2.talk.said.lines()[1], "GET /2 200");
    assert_eq!(h2.talk.said.causes(), [Anomaly::Orphan]);
    h2.talk.close();
    assert_eq!(h2.talk.connection.memory(), 0);
}

#[test]
fn pushed_responses_keep_the_table() {
    let mut h2 = H2::new();
    let request = h2.get(1, "/page");
    h2.talk.up(request);
    let promised = h2.block(
        ToClient,
        &[(":method", "GET"), (":path", "/style"), ("x-new", "1")],
    );
    let promised = [&2_u32.to_be_bytes()[..], &promised].concat();
    let frames = [
        frame(PUSH_PROMISE, END_HEADERS, 1, &promised),
        h2.headers(
            ToClient,
            2,
            END_STREAM,
            &[(":status", "200"), ("x-new", "1")],
        ),
        h2.headers(
            ToClient,
            1,
            END_STREAM,
            &[(":status", "202"), ("x-new", "1")],
        ),
    ];
    h2.talk.down(frames.concat());
    h2.talk.expect(&["GET /page 202"], &[Anomaly::Push]);
    let Some(Outcome::Status(_, headers)) = &h2.talk.said.exchanges[0].outcome else {
        panic!("no answer");
    };
    assert_eq!(headers, &[("x-new".to_owned(), b"1".to_vec())]);
}

#[test]
fn tunnels() {
    let mut h2 = H2::new();
    let connect = [(":method", "CONNECT"), (":authority", "far.example:443")];
    // RFC 8441 §4.
    let socket = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/chat"),
        (":authority", "chat.example"),
    ];
    let frames = [
        h2.headers(ToServer, 1, 0, &connect),
        h2.headers(ToServer, 3, 0, &socket),
        h2.headers(ToServer, 5, 0, &connect),
    ];
    h2.talk.up(frames.concat());
    let answers = [
        h2.status(1, 0, "200"),
        h2.status(3, 0, "200"),
        h2.status(5, END_STREAM, "407"),
    ];
    h2.talk.down(answers.concat());
    h2.talk.expect(
        &[
            "CONNECT far.example:443 200",
            "CONNECT /chat 200",
            "CONNECT far.example:443 407",
        ],
        &[Anomaly::LeftHttp],
    );
    assert_eq!(h2.talk.said.anomalies[&Anomaly::LeftHttp], 2);
    let next = h2.get(7, "/a");
    h2.talk.up(frame(DATA, 0, 1, b"tunnelled")).up(next);
    assert_eq!(h2.talk.said.lines()[3], "GET /a ?");
}

/// RFC 7540 §3.2.
#[test]
fn upgraded_from_http1() {
    let asked = "GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                 Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n";
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let mut h2 = H2::over(Connection::new(Some((1000, 2000))));
    let settings = frame(SETTINGS, 0, 0, &[0; 6]);
    h2.talk
        .up(asked)
        .down([switch.as_bytes(), &settings].concat());
    h2.talk.expect(&["GET /up ?"], &[]);
    h2.talk.up([PREFACE, &settings].concat());
    let answer = h2.status(1, END_STREAM, "203");
    h2.talk.down(answer);
    let next = h2.get(3, "/next");
    h2.talk.up(next);
    h2.talk.expect(&["GET /up 203", "GET /next ?"], &[]);
    assert_eq!(h2.talk.said.exchanges[0].version, Version::Http11);
    // Another protocol is the end of HTTP.
    let mut other = Talk::new();
    other.up(asked).down(switch.replace("h2c", "websocket"));
    other.expect(&["GET /up 101"], &[Anomaly::LeftHttp]);
    assert!(other.connection.left_http());
}

#[test]
fn an_answer_met_before_its_request() {
    let mut h2 = H2::new();
    let requests = [
        h2.get(1, "/1"),
        h2.call(3, "/s/M"),
        h2.get(5, "/3"),
        h2.get(7, "/4"),
    ];
    let answers = [
        h2.status(1, END_STREAM, "200"),
        h2.status(3, 0, "200"),
        h2.headers(ToClient, 3, END_STREAM, &[("grpc-status", "5")]),
        frame(RST_STREAM, 0, 5, &[0; 4]),
    ];
    h2.talk.down(answers.concat());
    assert_eq!(h2.talk.connection.in_flight(), 0);
    h2.talk.up(requests.concat());
    h2.talk.expect(
        &["GET /1 200", "POST /s/M 200/5", "GET /3 Closed", "GET /4 ?"],
        &[],
    );
    // One that never comes.
    let mut h2 = H2::new();
    let answers = [h2.status(1, END_STREAM, "200"), h2.status(3, 0, "200")];
    h2.talk.down(answers.concat());
    let request = h2.get(5, "/5");
    h2.talk.up(request);
    h2.talk.expect(&["GET /5 ?"], &[Anomaly::Orphan]);
    assert_eq!(h2.talk.said.anomalies[&Anomaly::Orphan], 2);
}

#[test]
fn many_streams() {
    let mut h2 = H2::new();
    for at in 0..300 {
        let request = h2.get(at * 2 + 1, "/many");
        h2.talk.up(request);
    }
    assert_eq!(h2.talk.connection.in_flight(), 256);
    let overflow = Outcome::Unanswered(Unanswered::Overflow);
    let given_up =
        |exchange: &&super::recorder::Exchange| exchange.outcome == Some(overflow.clone());
    assert_eq!(h2.talk.said.exchanges.iter().filter(given_up).count(), 44);
    assert_eq!(h2.talk.said.anomalies[&Anomaly::Pipeline], 44);
    h2.talk.end(ToClient);
    assert_eq!(h2.talk.connection.in_flight(), 0);
}

#[test]
fn what_http2_does_not_allow() {
    let mut h2 = H2::new();
    let frames = [
        h2.headers(ToServer, 1, 0, &[(":path", "/no-method")]),
        h2.headers(ToServer, 3, 0, &[(":method", "GET")]),
        h2.headers(ToServer, 5, 0, &[(":method", "G T"), (":path", "/")]),
        h2.headers(
            ToServer,
            7,
            0,
            &[(":method", "GET"), (":path", "/"), ("a b", "c")],
        ),
    ];
    h2.talk.up(frames.concat());
    h2.talk.expect(
        &[" /no-method ?", "GET  ?", " / ?", "GET / ?"],
        &[Anomaly::BadRequest],
    );
    assert_eq!(h2.talk.said.anomalies[&Anomaly::BadRequest], 4);
    h2.talk.down(frame(HEADERS, END_HEADERS, 1, &[0x80]));
    assert_eq!(
        h2.talk.said.causes(),
        [Anomaly::BadRequest, Anomaly::BadFields]
    );
    // A preface that is none.
    let mut other = H2::over(Connection::new(Some((1000, 2000))));
    other.talk.up("PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n");
    assert_eq!(other.talk.said.causes(), [Anomaly::BadRequest]);
}

#[test]
fn a_block_beyond_the_bound() {
    let mut h2 = H2::new();
    let long = "v".repeat(30_000);
    h2.choice = 0b0100;
    let fields = [
        (":method", "GET"),
        (":path", "/a"),
        ("x-long", &*long),
        ("x-last", "1"),
        ("x-end", "1"),
    ];
    let block = h2.block(ToServer, &fields);
    let (first, rest) = block.split_at(15_000);
    let frames = [
        frame(HEADERS, END_STREAM, 1, first),
        frame(CONTINUATION, END_HEADERS, 1, rest),
    ];
    h2.talk.up(frames.concat());
    let next = h2.headers(
        ToServer,
        3,
        0,
        &[(":method", "GET"), (":path", "/b"), ("x-last", "1")],
    );
    h2.talk.up(next);
    h2.talk
        .expect(&["…GET /a ?", "GET /b ?"], &[Anomaly::HeadTooLong]);
    h2.choice = 0b1111;
    let last = h2.headers(
        ToServer,
        5,
        0,
        &[
            (":method", "GET"),
            (":path", "/b"),
            ("x-last", "1"),
            ("x-end", "1"),
        ],
    );
    h2.talk.up(last);
    h2.talk.expect(
        &["…GET /a ?", "GET /b ?", "GET /b ?"],
        &[Anomaly::HeadTooLong, Anomaly::UnknownFields],
    );
    // Inserted in the part that was cut, and behind it.
    assert_eq!(h2.talk.said.header(2, "x-end"), None);
    assert_eq!(h2.talk.said.header(2, "x-last"), Some(&b"1"[..]));
    assert!(h2.talk.peak < 64 * 1024);
}

#[test]
fn inside_tls() {
    let mut h2 = H2::over(Connection::inside_tls(Some((0, 0)), true));
    let request = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &h2.get(1, "/a")].concat();
    h2.talk.connection.feed(
        Piece {
            dir: ToServer,
            off: 0,
            data: &request,
            hole: 0,
            time: 5,
            start: true,
        },
        &mut h2.talk.said,
    );
    h2.talk.expect(&["GET /a ?"], &[]);
    let mut one = Talk::of(Connection::inside_tls(Some((1000, 2000)), false));
    one.up(super::recorder::get("/b"));
    assert!(one.said.exchanges[0].secure);
    // ALPN is not known, and the preface decides.
    let mut h2 = H2::over(Connection::inside_tls(Some((1000, 2000)), false));
    let request = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &h2.get(1, "/a")].concat();
    h2.talk.up(request);
    h2.talk.expect(&["GET /a ?"], &[]);
}
