//! One test per thing that connections do.

use super::recorder::{Outcome, Talk};
use crate::wire::Dir::{ToClient, ToServer};
use crate::wire::{Anomaly, Connection, Piece};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer abc\r\n\r\n")
}

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
    assert_eq!((exchange.off, exchange.time, exchange.minor), (1000, 10, 1));
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
fn bodies_over_holes_and_gaps() {
    let mut talk = Talk::new();
    talk.piece(
        ToServer,
        b"PUT / HTTP/1.1\r\nContent-Length: 5000\r\n\r\nab",
        998,
    );
    talk.miss(ToServer, 3000).piece(ToServer, b"last", 996);
    talk.piece(
        ToClient,
        b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n",
        0,
    );
    // The kernel sends up nothing of the rest of a body.
    talk.miss(ToClient, 70_000).up(get("/2")).down(OK);
    talk.expect(&["PUT / 200", "GET /2 200"], &[]);
    assert_eq!(talk.peak, 0);
}

#[test]
fn bodies_longer_than_offsets_can_tell() {
    for length in [3_u64 << 30, 5 << 30, (1 << 32) + 7, 1 << 31] {
        let mut talk = Talk::at(u32::MAX - 5, u32::MAX - 50);
        talk.up(get("/big")).down(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
        ));
        talk.miss(ToClient, length as u32).up(get("/2")).down(OK);
        talk.expect(&["GET /big 200", "GET /2 200"], &[]);
    }
}

#[test]
fn chunks_over_holes() {
    let mut talk = Talk::new();
    talk.up(get("/")).piece(
        ToClient,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n",
        0x1000,
    );
    talk.down("\r\n800\r\nabc")
        .miss(ToClient, 0x800 - 3 + 2)
        .down("400\r\n");
    // In front of the chunk's LF.
    talk.miss(ToClient, 0x400 + 1).down("\n0\r\n\r\n");
    talk.up(get("/2")).down(OK);
    talk.expect(&["GET / 200", "GET /2 200"], &[]);
}

#[test]
fn a_gap_over_chunk_headers() {
    let mut talk = Talk::new();
    talk.up(get("/"))
        .down("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n01234");
    talk.miss(ToClient, 100_000);
    talk.up(get("/2"))
        .down("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    talk.up(get("/3")).down(OK);
    let causes = [Anomaly::Gap, Anomaly::Resynchronised];
    talk.expect(&["GET / 200", "GET /2 404", "GET /3 200"], &causes);
}

#[test]
fn a_body_is_not_taken_for_a_response_after_a_gap() {
    let mut talk = Talk::new();
    talk.up([get("/1"), get("/2")].concat());
    talk.down("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n01234")
        .miss(ToClient, 50_000);
    // Not where the direction turned: a forgery within the body.
    talk.down("HTTP/1.1 666 Forged\r\nContent-Length: 0\r\n\r\n");
    talk.expect(&["GET /1 200", "GET /2 ?"], &[Anomaly::Gap]);
    // Where it turned, but with nothing in flight.
    let mut talk = Talk::new();
    talk.up(get("/1"));
    talk.down("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n01234")
        .miss(ToClient, 50_000);
    talk.raw(
        ToClient,
        b"HTTP/1.1 666 Forged\r\nContent-Length: 9000\r\n\r\n",
        0,
        true,
    );
    talk.up(get("/2")).down(OK);
    let causes = [Anomaly::Gap, Anomaly::Orphan, Anomaly::Resynchronised];
    talk.expect(&["GET /1 200", "GET /2 200"], &causes);
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
    assert_eq!(talk.said.exchanges[0].minor, 0);
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
fn an_interim_response_that_was_missed() {
    let mut talk = Talk::new();
    talk.up("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    talk.miss(ToClient, 25).up("body").down(OK);
    talk.expect(&["POST / 200"], &[Anomaly::Gap, Anomaly::Resynchronised]);
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
fn framing_conflicts_still_count() {
    // (request's fields, body as the rules have it)
    for (fields, body) in [
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "0\r\n\r\n",
        ),
        ("Transfer-Encoding: chunked, chunked", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked;q=1", "0\r\n\r\n"),
        ("Transfer-Encoding: identity\r\nContent-Length: 3", "abc"),
    ] {
        let mut talk = Talk::new();
        talk.up(format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n{body}"))
            .down(OK);
        talk.up(get("/2")).down(OK);
        talk.expect(&["POST / 200", "GET /2 200"], &[Anomaly::BadFraming]);
    }
    // Where the body ends cannot be told: until the next request is seen.
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length:",
        "Content-Length: 99999999999999999999999",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, gzip",
    ] {
        let mut talk = Talk::new();
        talk.up(format!("POST / HTTP/1.1\r\n{fields}\r\n\r\nabcdef"))
            .down(OK);
        talk.up(get("/2")).down(OK);
        let causes = [Anomaly::BadFraming, Anomaly::Resynchronised];
        talk.expect(&["POST / 200", "~GET /2 200"], &causes);
    }
}

#[test]
fn chunked_in_http_1_0_is_faulty() {
    let mut talk = Talk::new();
    talk.up("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
        .down(OK);
    talk.expect(&["POST / 200"], &[Anomaly::BadFraming]);
}

#[test]
fn equal_lengths_are_one() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "content-length:\t5 ",
    ] {
        let mut talk = Talk::new();
        talk.up(format!(
            "POST / HTTP/1.1\r\n{fields}\r\n\r\nabcde{}",
            get("/2")
        ))
        .down(OK)
        .down(OK);
        talk.expect(&["POST / 200", "GET /2 200"], &[]);
    }
}

#[test]
fn empty_lines_in_front() {
    let mut talk = Talk::new();
    talk.up(format!("\r\n\r\n{}", get("/1")))
        .down(format!("\r\n{OK}"));
    talk.up("\r\n")
        .bytewise(ToServer, format!("\n\r\n{}", get("/2")))
        .down(OK);
    talk.expect(&["GET /1 200", "GET /2 200"], &[]);
    assert_eq!(talk.said.exchanges[0].off, 1004);
}

#[test]
fn bare_line_feeds() {
    let mut talk = Talk::new();
    talk.up("GET /1 HTTP/1.1\nA: b\n\n")
        .down("HTTP/1.1 200 OK\nContent-Length: 1\n\nx");
    talk.bytewise(ToServer, "GET /2 HTTP/1.1\nA: b\r\n\n")
        .bytewise(ToClient, "HTTP/1.1 204\nA: b\n\r\n");
    talk.expect(&["GET /1 200", "GET /2 204"], &[]);
    assert_eq!(talk.said.header(1, "a"), Some(&b"b"[..]));
}

#[test]
fn targets_of_all_forms() {
    let targets = ["/a", "*", "http://api.example:8080/a?b", "/\u{e4}?\u{2603}"];
    for target in targets {
        let mut talk = Talk::new();
        talk.up(format!("OPTIONS {target} HTTP/1.1\r\n\r\n"))
            .down(OK);
        talk.expect(&[&format!("OPTIONS {target} 200")], &[]);
    }
    let mut talk = Talk::new();
    talk.up(b"GET /\xff\xfe HTTP/1.1\r\nA: b\r\n\r\n").down(OK);
    assert_eq!(talk.said.exchanges[0].target, b"/\xff\xfe");
    assert_eq!(talk.said.header(0, "a"), Some(&b"b"[..]));
}

#[test]
fn folded_fields() {
    let mut talk = Talk::new();
    let request =
        "GET / HTTP/1.1\r\nAuthorization: Bearer\r\n   abc \r\n\tdef\r\nA:\r\n b\r\nB: c\r\n\r\n";
    talk.up(request)
        .down("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 3\r\n\r\nabc");
    talk.bytewise(ToServer, request).down(OK);
    talk.expect(&["GET / 200", "GET / 200"], &[]);
    for exchange in 0..2 {
        assert_eq!(
            talk.said.header(exchange, "authorization"),
            Some(&b"Bearer abc def"[..])
        );
        assert_eq!(talk.said.header(exchange, "a"), Some(&b"b"[..]));
        assert_eq!(talk.said.header(exchange, "b"), Some(&b"c"[..]));
        assert_eq!(talk.said.exchanges[exchange].headers.len(), 3);
    }
    let Some(Outcome::Status(200, headers)) = &talk.said.exchanges[0].outcome else {
        panic!()
    };
    assert_eq!(headers[0].1, b"a b");
}

#[test]
fn repeated_fields_stay_apart() {
    let mut talk = Talk::new();
    talk.up("GET / HTTP/1.1\r\nCookie: a=1\r\ncookie: b=2\r\n\r\n");
    assert_eq!(talk.said.exchanges[0].headers.len(), 2);
}

#[test]
fn more_fields_than_are_handed_on() {
    for (count, truncated) in [(65, false), (128, false), (129, true), (500, true)] {
        let fields: String = (0..count - 1).map(|n| format!("X-{n}: {n}\r\n")).collect();
        // The last one matters for framing even if it is not handed on.
        let mut talk = Talk::new();
        talk.up(format!(
            "POST / HTTP/1.1\r\n{fields}Content-Length: 2\r\n\r\nab{}",
            get("/2")
        ));
        let exchange = &talk.said.exchanges[0];
        assert_eq!(
            (exchange.truncated, exchange.headers.len()),
            (truncated, count.min(128))
        );
        assert_eq!(talk.said.exchanges.len(), 2);
        assert_eq!(
            talk.said.anomalies.contains_key(&Anomaly::HeadTooLong),
            truncated
        );
    }
}

#[test]
fn a_head_of_the_longest_length() {
    for (length, truncated) in [(16 * 1024, false), (16 * 1024 + 1, true), (40_000, true)] {
        let begin = "GET / HTTP/1.1\r\nAuthorization: Bearer abc\r\nLong: ";
        let head = format!("{begin}{}\r\n\r\n", "x".repeat(length - begin.len() - 4));
        for step in [1, 1000, 8000, 100_000] {
            let mut talk = Talk::new();
            for piece in head.as_bytes().chunks(step) {
                talk.up(piece);
            }
            talk.down(OK).up(get("/2")).down(OK);
            let first = if truncated {
                "…GET / 200"
            } else {
                "GET / 200"
            };
            let second = if truncated {
                "~GET /2 200"
            } else {
                "GET /2 200"
            };
            let causes = [Anomaly::HeadTooLong, Anomaly::Resynchronised];
            talk.expect(&[first, second], if truncated { &causes } else { &[] });
            assert_eq!(
                talk.said.header(0, "authorization"),
                Some(&b"Bearer abc"[..])
            );
            assert_eq!(talk.said.header(0, "long").is_none(), length == 40_000);
            assert!(talk.peak <= 16 * 1024);
            assert_eq!(talk.connection.memory(), 0);
        }
    }
}

#[test]
fn a_head_with_a_hole() {
    let mut talk = Talk::new();
    talk.piece(
        ToServer,
        b"GET / HTTP/1.1\r\nHost: a.example\r\nAuthorization: Bea",
        400,
    );
    talk.down(OK).up(get("/2")).down(OK);
    talk.expect(
        &["…GET / 200", "~GET /2 200"],
        &[Anomaly::Gap, Anomaly::Resynchronised],
    );
    assert_eq!(talk.said.header(0, "host"), Some(&b"a.example"[..]));
    assert_eq!(talk.said.header(0, "authorization"), None);
    // Without a request line there is nothing to tell.
    let mut talk = Talk::new();
    talk.piece(ToServer, b"GET /some/where", 400);
    talk.down(OK).up(get("/2")).down(OK);
    let causes = [Anomaly::Gap, Anomaly::Orphan, Anomaly::Resynchronised];
    talk.expect(&["~GET /2 200"], &causes);
}

#[test]
fn a_response_head_with_a_hole() {
    let mut talk = Talk::new();
    talk.up(get("/1")).piece(
        ToClient,
        b"HTTP/1.1 403 Forbidden\r\nServer: x\r\nContent-",
        90,
    );
    talk.up(get("/2")).down(OK);
    talk.expect(
        &["GET /1 403", "GET /2 200"],
        &[Anomaly::Gap, Anomaly::Resynchronised],
    );
}

#[test]
fn a_hole_is_filled_by_the_other_end() {
    let mut talk = Talk::new();
    talk.settles = false;
    let head = get("/1");
    let (begin, rest) = head.as_bytes().split_at(40);
    talk.piece(ToServer, begin, rest.len() as u32);
    assert!(talk.connection.waiting());
    talk.put(Piece {
        dir: ToServer,
        off: 1000,
        data: head.as_bytes(),
        hole: 0,
        time: 30,
        start: true,
    });
    assert!(!talk.connection.waiting());
    talk.down(OK).settle();
    talk.expect(&["GET /1 200"], &[]);
}

#[test]
fn an_answer_proves_that_the_rest_is_lost() {
    // Both ends are tapped, nobody has settled; the response must not overtake the request.
    let mut talk = Talk::new();
    talk.settles = false;
    talk.piece(ToServer, b"GET /1 HTTP/1.1\r\nHost: a.example\r\nAuth", 400);
    talk.down(OK);
    talk.expect(&["…GET /1 200"], &[Anomaly::Gap]);
}

#[test]
fn fields_that_http_does_not_allow() {
    // Some server accepts them: the access counts, and so does what can be read of it.
    for (field, name) in [
        ("Authorization : Bearer abc", true),
        (" Authorization: Bearer abc", true),
        ("no colon\r\nAuthorization: Bearer abc", true),
        ("(): x\r\nAuthorization: Bearer abc", true),
        ("X: a\rb\r\nAuthorization: Bearer abc", true),
        ("X: a\0b\r\nAuthorization: Bearer abc", true),
        (": empty", false),
    ] {
        let mut talk = Talk::new();
        talk.up(format!(
            "POST / HTTP/1.1\r\n{field}\r\nContent-Length: 2\r\n\r\nab"
        ))
        .down(OK);
        talk.up(get("/2")).down(OK);
        assert_eq!(talk.said.causes(), [Anomaly::BadRequest], "{field:?}");
        let lines = talk.said.lines();
        assert!(
            lines[0].ends_with("POST / 200") && lines[1] == "GET /2 200",
            "{field:?} {lines:?}"
        );
        assert_eq!(
            talk.said.header(0, "authorization").is_some(),
            name,
            "{field:?}"
        );
    }
}

#[test]
fn request_lines_that_http_does_not_allow() {
    for line in [
        "GET  /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/1.1 ",
    ] {
        let mut talk = Talk::new();
        talk.up(format!("{line}\r\nA: b\r\n\r\n")).down(OK);
        talk.expect(&["GET / 200"], &[Anomaly::BadRequest]);
    }
    for line in [
        &b"G\xffT / HTTP/1.1"[..],
        b"(GET) / HTTP/1.1",
        b"GET HTTP/1.1",
    ] {
        let mut talk = Talk::new();
        talk.up([line, b"\r\nA: b\r\n\r\n"].concat());
        talk.expect(&[], &[Anomaly::BadRequest]);
        talk.down("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")
            .up(get("/2"))
            .down(OK);
        let causes = [
            Anomaly::BadRequest,
            Anomaly::Orphan,
            Anomaly::Resynchronised,
        ];
        talk.expect(&["~GET /2 200"], &causes);
    }
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
fn a_bad_response() {
    for bytes in [
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "<html>",
        "HTTP/1.1 099 X\r\n\r\n",
    ] {
        let mut talk = Talk::new();
        talk.up(get("/1")).down(bytes).up(get("/2")).down(OK);
        let causes = [Anomaly::BadResponse, Anomaly::Resynchronised];
        talk.expect(&["GET /1 Lost", "GET /2 200"], &causes);
    }
    let mut talk = Talk::new();
    talk.up(get("/1")).down("<html>").close();
    talk.expect(&["GET /1 Lost"], &[Anomaly::BadResponse]);
}

#[test]
fn http2_preface() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut talk = Talk::new();
    talk.up(format!("{preface}\0\0\0\x04"))
        .down(b"\0\0\0\x04")
        .up(get("/"))
        .down(OK);
    talk.expect(&[], &[Anomaly::LeftHttp]);
    let mut talk = Talk::new();
    talk.bytewise(ToServer, preface).up(get("/"));
    talk.expect(&[], &[Anomaly::LeftHttp]);
}

#[test]
fn proxy_protocol() {
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\x1f\x90\0\x50";
    for prefix in [
        &b"PROXY TCP4 127.0.0.1 127.0.0.1 5000 80\r\n"[..],
        b"PROXY UNKNOWN\r\n",
        v2,
    ] {
        let bytes = [prefix, get("/").as_bytes()].concat();
        for step in [1, 7, 13, 17, 1000] {
            let mut talk = Talk::new();
            for piece in bytes.chunks(step) {
                talk.up(piece);
            }
            talk.down(OK);
            talk.expect(&["GET / 200"], &[]);
            assert_eq!(talk.said.exchanges[0].off, 1000 + prefix.len() as u32);
        }
    }
    // Bytes that only begin like it.
    for bytes in [
        "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "PROXY / HTTP/1.1\r\n\r\n",
        "PROP / HTTP/1.1\r\n\r\n",
    ] {
        for step in [1, 3, 1000] {
            let mut talk = Talk::new();
            for piece in bytes.as_bytes().chunks(step) {
                talk.up(piece);
            }
            talk.down(OK);
            let method = bytes.trim_start().split(' ').next().unwrap();
            talk.expect(&[&format!("{method} / 200")], &[]);
        }
    }
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
fn joined_midway() {
    let mut talk = Talk::midway();
    talk.raw(ToServer, b"rest of a body", 0, false);
    talk.expect(&[], &[]);
    talk.down(OK);
    talk.up(get("/1")).down(OK).up(get("/2")).down(OK);
    talk.expect(
        &["~GET /1 200", "GET /2 200"],
        &[Anomaly::JoinedMidway, Anomaly::Orphan],
    );
    assert_eq!(talk.said.anomalies[&Anomaly::JoinedMidway], 1);
}

#[test]
fn joined_midway_at_a_request() {
    let mut talk = Talk::midway();
    talk.raw(ToServer, get("/1").as_bytes(), 0, false);
    talk.down(OK).close();
    talk.expect(&["~GET /1 200"], &[Anomaly::JoinedMidway]);
}

#[test]
fn a_request_that_was_missed() {
    let mut talk = Talk::new();
    talk.up(get("/1"))
        .down(OK)
        .miss(ToServer, 300)
        .down("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    talk.up(get("/3")).down(OK);
    let causes = [Anomaly::Gap, Anomaly::Orphan, Anomaly::Resynchronised];
    talk.expect(&["GET /1 200", "~GET /3 200"], &causes);
}

#[test]
fn a_response_that_was_missed() {
    let mut talk = Talk::new();
    talk.up(get("/1"))
        .miss(ToClient, 300)
        .up(get("/2"))
        .down("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    talk.up(get("/3")).down(OK);
    let causes = [Anomaly::Gap, Anomaly::Resynchronised];
    talk.expect(&["GET /1 Lost", "GET /2 404", "GET /3 200"], &causes);
}

#[test]
fn a_response_and_the_next_request_that_were_missed() {
    // The 404 is not the answer to /1, whatever the counts say.
    let mut talk = Talk::new();
    talk.up(get("/1")).miss(ToClient, 300).miss(ToServer, 120);
    talk.down("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
        .up(get("/3"))
        .down(OK);
    let causes = [Anomaly::Gap, Anomaly::Orphan, Anomaly::Resynchronised];
    talk.expect(&["GET /1 Lost", "~GET /3 200"], &causes);
}

#[test]
fn an_exchange_that_was_missed() {
    let mut talk = Talk::new();
    talk.up(get("/1"))
        .down(OK)
        .miss(ToServer, 120)
        .miss(ToClient, 300);
    talk.up(get("/3"))
        .down("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    let causes = [Anomaly::Gap, Anomaly::Resynchronised];
    talk.expect(&["GET /1 200", "~GET /3 404"], &causes);
}

#[test]
fn a_pipelined_request_that_was_missed() {
    // Which of two responses is whose cannot be told after the first.
    let mut talk = Talk::new();
    talk.up(get("/1")).miss(ToServer, 120).up(get("/3"));
    talk.down("HTTP/1.1 201 1\r\nContent-Length: 0\r\n\r\n");
    talk.down(
        "HTTP/1.1 202 2\r\nContent-Length: 0\r\n\r\nHTTP/1.1 203 3\r\nContent-Length: 0\r\n\r\n",
    );
    let causes = [Anomaly::Gap, Anomaly::Orphan, Anomaly::Resynchronised];
    talk.expect(&["GET /1 201", "~GET /3 Lost"], &causes);
}

#[test]
fn offsets_wrap() {
    let mut talk = Talk::at(u32::MAX - 20, u32::MAX - 3);
    for _ in 0..3 {
        talk.bytewise(ToServer, get("/")).bytewise(ToClient, OK);
    }
    talk.expect(&["GET / 200"; 3], &[]);
}

#[test]
fn both_ends_tapped() {
    let mut talk = Talk::new();
    talk.settles = false;
    let (up, down) = (
        get("/1"),
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    );
    for round in 0..50_u32 {
        let (u, d) = (
            1000 + round * up.len() as u32,
            2000 + round * down.len() as u32,
        );
        let piece = |dir, off: u32, data| Piece {
            dir,
            off,
            data,
            hole: 0,
            time: 1,
            start: true,
        };
        // The client sends in two writes, the server reads in three; it answers; copies cross.
        let (a, b) = up.as_bytes().split_at(20);
        talk.put(piece(ToServer, u, a));
        talk.put(piece(ToServer, u, &up.as_bytes()[..7]));
        talk.put(Piece {
            start: false,
            ..piece(ToServer, u + 30, &up.as_bytes()[30..])
        });
        talk.put(Piece {
            start: false,
            ..piece(ToServer, u + 20, b)
        });
        talk.put(piece(ToClient, d, down.as_bytes()));
        talk.put(Piece {
            start: false,
            ..piece(ToServer, u + 7, &up.as_bytes()[7..30])
        });
        talk.put(piece(ToClient, d, down.as_bytes()));
        assert_eq!(talk.connection.memory(), 0);
    }
    talk.expect(&["GET /1 200"; 50], &[]);
}

#[test]
fn no_room_for_early_pieces() {
    let mut talk = Talk::new();
    talk.settles = false;
    talk.up(&get("/1")[..30]);
    talk.miss(ToServer, 100);
    for _ in 0..300 {
        talk.raw(ToServer, &[b'x'; 1000], 0, true);
        talk.miss(ToServer, 10);
    }
    assert!(talk.peak <= 64 * 1024);
    talk.settle().down(OK).up(get("/2")).down(OK).settle();
    let causes = [Anomaly::Gap, Anomaly::Resynchronised];
    talk.expect(&["…GET /1 200", "~GET /2 200"], &causes);
}

#[test]
fn an_unfinished_head_is_no_access() {
    let mut talk = Talk::new();
    talk.up("GET / HTTP/1.1\r\nHost: a").close();
    talk.expect(&[], &[Anomaly::BadRequest]);
    let mut talk = Talk::new();
    talk.up(get("/"))
        .down("HTTP/1.1 200 OK\r\nContent")
        .end(ToClient);
    talk.expect(&["GET / Closed"], &[Anomaly::BadResponse]);
}

#[test]
fn heads_end_where_they_end() {
    // Everything behind the first empty line is a body or the next head.
    let mut talk = Talk::new();
    talk.up(format!(
        "POST / HTTP/1.1\r\nContent-Length: 16\r\n\r\nX: y\r\n\r\nX: y\r\n\r\n{}",
        get("/2")
    ));
    talk.expect(&["POST / ?", "GET /2 ?"], &[]);
    assert_eq!(talk.said.exchanges[0].headers.len(), 1);
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
