//! What connections do.

use super::recorder::{OK, Talk, get};
use crate::wire::Dir::{ToClient, ToServer};
use crate::wire::{Anomaly, Connection, Piece, Version};

#[test]
fn a_request_and_its_response() {
    let mut talk = Talk::new();
    talk.up(get("/a?b=c"))
        .down("HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabc");
    talk.expect(&["GET /a?b=c 201"], &[]);
    assert_eq!(
        talk.said.header(0, "authorization"),
        Some(&b"Bearer abc"[..])
    );
    let exchange = &talk.said.exchanges[0];
    assert_eq!(
        (exchange.off, exchange.time, exchange.version),
        (1000, 10, Version::Http11)
    );
    assert_eq!(talk.peak, 0, "the fast path keeps nothing");
}

#[test]
fn keep_alive() {
    let mut talk = Talk::new();
    for _ in 0..1000 {
        talk.up(get("/"))
            .down("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    }
    talk.expect(&["GET / 200"; 1000], &[]);
    assert_eq!(talk.peak, 0);
}

#[test]
fn pipelined_in_one_piece() {
    let mut talk = Talk::new();
    talk.up([get("/1"), get("/2"), get("/3")].concat());
    talk.expect(&["GET /1 ?", "GET /2 ?", "GET /3 ?"], &[]);
    talk.down("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 404 No\r\nContent-Le");
    talk.down("ngth: 1\r\n\r\nxHTTP/1.1 204 None\r\n\r\n");
    talk.expect(&["GET /1 200", "GET /2 404", "GET /3 204"], &[]);
}

#[test]
fn pipelining_over_the_bound() {
    let mut talk = Talk::new();
    for _ in 0..300 {
        talk.up(get("/"));
    }
    assert_eq!(talk.said.anomalies.get(&Anomaly::Pipeline), Some(&44));
    for _ in 0..300 {
        talk.down(OK);
    }
    // Those over the bound are told so; the others get their own answers, and so does the next.
    talk.up(get("/next")).down("HTTP/1.1 203 Ok\r\n\r\n");
    let lines = talk.said.lines();
    assert!(lines[..256].iter().all(|line| line == "GET / 200"));
    assert!(lines[256..300].iter().all(|line| line == "GET / Overflow"));
    assert_eq!(lines[300], "GET /next 203");
    assert!(talk.peak <= 64 * 1024);
}

#[test]
fn two_hundred_requests_byte_by_byte() {
    let mut talk = Talk::new();
    for n in 0..200 {
        talk.bytewise(
            ToServer,
            format!("POST /{n} HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"),
        );
        talk.bytewise(
            ToClient,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n0\r\nT: v\r\n\r\n",
        );
    }
    let lines: Vec<_> = (0..200).map(|n| format!("POST /{n} 200")).collect();
    talk.expect(&lines.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    assert_eq!(talk.connection.memory(), 0);
}

#[test]
fn chunked_with_extensions_and_trailers() {
    let mut talk = Talk::new();
    talk.up("POST /up HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    talk.up("A;name=value;q=\"a\"\r\n0123456789\r\n1 \r\nx\r\n0;last\r\nDigest: x\r\nB: y\r\n\r\n");
    talk.down("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
    talk.up(get("/next")).down(OK);
    talk.expect(&["POST /up 200", "GET /next 200"], &[]);
}

#[test]
fn a_broken_chunk() {
    let mut talk = Talk::new();
    talk.up(get("/"))
        .down("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    talk.up(get("/2")).down(OK);
    talk.expect(
        &["GET / 200", "GET /2 200"],
        &[Anomaly::BadChunk, Anomaly::Resynchronised],
    );
}

#[test]
fn a_chunk_size_that_overflows() {
    let mut talk = Talk::new();
    talk.up("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n");
    talk.expect(&["POST / ?"], &[Anomaly::BadChunk]);
}

#[test]
fn a_body_is_not_taken_for_a_message() {
    let mut talk = Talk::new();
    let body = get("/inner");
    talk.up(format!(
        "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    talk.raw(ToServer, body.as_bytes(), 0, true);
    talk.down(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{OK}",
        OK.len()
    ));
    talk.expect(&["POST / 200"], &[]);
}

#[test]
fn a_new_request_ends_an_open_response() {
    let mut talk = Talk::new();
    talk.up(get("/1"))
        .down("HTTP/1.1 200 OK\r\n\r\nof unknown length");
    talk.up(get("/2"))
        .down("HTTP/1.1 201 Ok\r\nContent-Length: 0\r\n\r\n");
    talk.expect(&["GET /1 200", "GET /2 201"], &[Anomaly::Resynchronised]);
}

#[test]
fn close_delimited() {
    let mut talk = Talk::new();
    talk.up("GET / HTTP/1.0\r\n\r\n")
        .down("HTTP/1.0 200 OK\r\n\r\n")
        .down(OK)
        .down("more");
    talk.end(ToClient).end(ToServer).close();
    talk.expect(&["GET / 200"], &[]);
    assert_eq!(talk.said.exchanges[0].version, Version::Http10);
}

#[test]
fn connection_close() {
    let mut talk = Talk::new();
    talk.up(get("/1"))
        .down("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx");
    talk.end(ToClient).up(get("/2")).close();
    talk.expect(&["GET /1 200", "GET /2 Closed"], &[]);
}

#[test]
fn half_closed() {
    let mut talk = Talk::new();
    talk.up([get("/1"), get("/2")].concat())
        .end(ToServer)
        .down(OK)
        .end(ToServer);
    talk.down("HTTP/1.1 200 OK\r\n\r\nto the end")
        .end(ToClient)
        .close();
    talk.expect(&["GET /1 200", "GET /2 200"], &[]);
}

#[test]
fn an_idle_connection_is_small() {
    assert!(
        size_of::<Connection<u64>>() <= 512,
        "{}",
        size_of::<Connection<u64>>()
    );
    let mut talk = Talk::new();
    talk.up((0..100).map(|n| get(&n.to_string())).collect::<String>())
        .down(OK.repeat(100));
    talk.connection.shrink();
    assert_eq!(talk.connection.memory(), 0);
}

#[test]
fn closed_without_an_answer() {
    let mut talk = Talk::new();
    talk.up([get("/1"), get("/2")].concat()).down(OK).close();
    talk.expect(&["GET /1 200", "GET /2 Closed"], &[]);
    talk.up(get("/3")).close();
    talk.expect(&["GET /1 200", "GET /2 Closed"], &[]);
}

#[test]
fn responses_without_bodies() {
    for (request, status) in [("HEAD", 200), ("GET", 204), ("GET", 304), ("HEAD", 404)] {
        let mut talk = Talk::new();
        talk.up(format!("{request} / HTTP/1.1\r\n\r\n"));
        talk.down(format!(
            "HTTP/1.1 {status} X\r\nContent-Length: 1000\r\n\r\n"
        ));
        talk.up(get("/2")).down(OK);
        talk.expect(&[&format!("{request} / {status}"), "GET /2 200"], &[]);
    }
}

#[test]
fn interim_responses() {
    let mut talk = Talk::new();
    talk.up("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    talk.down("HTTP/1.1 100 Continue\r\n\r\n").up("body");
    talk.down("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
        .down(OK);
    talk.expect(&["POST / 200"], &[]);
}

#[test]
fn a_body_that_was_refused() {
    let mut talk = Talk::new();
    talk.up("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 400\r\n\r\n");
    talk.down("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
        .up(get("/2"))
        .down(OK);
    talk.expect(&["POST / 401", "GET /2 200"], &[]);
}

#[test]
fn an_early_response() {
    let mut talk = Talk::new();
    talk.up("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabcd");
    talk.down("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    talk.up("efghij").up(get("/2")).down(OK);
    talk.expect(&["POST / 413", "GET /2 200"], &[]);
}

#[test]
fn connect_leaves_http() {
    let mut talk = Talk::new();
    talk.up("CONNECT db.example:443 HTTP/1.1\r\nHost: db.example:443\r\n\r\n");
    talk.down("HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno");
    talk.up("CONNECT db.example:443 HTTP/1.1\r\nProxy-Authorization: Basic x\r\n\r\n");
    talk.down("HTTP/1.1 200 Established\r\n\r\n")
        .up(get("/inside"))
        .down(OK);
    let line = "CONNECT db.example:443";
    talk.expect(
        &[&format!("{line} 407"), &format!("{line} 200")],
        &[Anomaly::LeftHttp],
    );
    assert_eq!(talk.connection.memory(), 0);
}

#[test]
fn a_tunnel_begun_early() {
    let mut talk = Talk::new();
    talk.up("CONNECT a.example:443 HTTP/1.1\r\n\r\n")
        .up(b"\x16\x03\x01\x02\x00")
        .down("HTTP/1.1 200 Ok\r\n\r\n");
    talk.expect(&["CONNECT a.example:443 200"], &[Anomaly::LeftHttp]);
}

#[test]
fn upgrade_leaves_http() {
    let mut talk = Talk::new();
    talk.up("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    talk.down("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x01\x02");
    talk.up(get("/inside")).down(OK).close();
    talk.expect(&["GET /ws 101"], &[Anomaly::LeftHttp]);
}

#[test]
fn a_bad_request_after_a_good_one() {
    let mut talk = Talk::new();
    talk.up(get("/1"))
        .down(OK)
        .up("\u{0}garbage")
        .down("HTTP/1.1 400 Bad\r\n\r\n");
    talk.expect(&["GET /1 200"], &[Anomaly::BadRequest, Anomaly::Orphan]);
}

#[test]
fn http1_behind_the_http2_preface() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut talk = Talk::new();
    talk.up(preface).up(get("/")).down(OK);
    talk.expect(&[], &[Anomaly::BadFrame]);
    let mut talk = Talk::new();
    talk.up(get("/1")).bytewise(ToServer, preface).up(get("/"));
    talk.expect(&["GET /1 Lost"], &[Anomaly::BadFrame]);
}

#[test]
fn what_is_not_http_costs_nothing() {
    let smtp = [
        "220 mail.example ESMTP\r\n",
        "EHLO a.example\r\n",
        "250 ok\r\n",
        "QUIT\r\n",
    ];
    let redis = ["PING\r\n", "+PONG\r\n", "GET foo\r\n", "$-1\r\n"];
    for lines in [smtp, redis] {
        let mut talk = Talk::new();
        for (n, line) in lines.iter().enumerate() {
            let up = (n % 2 == 1) == (lines == smtp);
            if up {
                talk.up(line)
            } else {
                talk.down(line)
            };
            assert_eq!(talk.connection.memory(), 0, "{line:?}");
        }
        talk.close().expect(&[], &[]);
    }
    let mut talk = Talk::new();
    talk.up(b"\x16\x03\x01\x02\0\x01\0\x01\xfc")
        .down(b"\x16\x03\x03\0\x7a");
    for _ in 0..100 {
        talk.miss(ToServer, 100_000)
            .up([0x17; 500])
            .down([0x17; 500]);
    }
    talk.expect(&[], &[]);
    assert_eq!(talk.peak, 0);
    // Until a request appears.
    talk.up(get("/1")).down(OK).up(get("/2")).down(OK);
    talk.expect(&["~GET /1 200", "GET /2 200"], &[Anomaly::Resynchronised]);
}

#[test]
fn secrets_are_not_formatted() {
    let mut connection: Connection<usize> = Connection::new(Some((0, 0)));
    let data = b"GET /hunter2 HTTP/1.1\r\nAuthorization: Bearer hunter2";
    let piece = Piece {
        dir: ToServer,
        off: 0,
        data,
        hole: 0,
        time: 0,
        start: true,
    };
    connection.feed(piece, &mut super::recorder::Recorder::default());
    assert!(connection.memory() > 0);
    assert!(!format!("{connection:?}{piece:?}").contains("hunter2"));
}
