//! Heads of all kinds, good and bad.

use super::recorder::{OK, Outcome, Talk, get};
use crate::wire::Anomaly;
use crate::wire::Dir::{ToClient, ToServer};

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
