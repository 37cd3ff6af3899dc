//! Bytes that are missing, early, doubled.

use super::recorder::{OK, Talk, get};
use crate::wire::Dir::{ToClient, ToServer};
use crate::wire::{Anomaly, Piece};

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
fn a_long_chunked_body_is_not_waited_for() {
    // As above, with both ends tapped: nobody has settled, and nothing is kept.
    let mut talk = Talk::new();
    talk.settles = false;
    for _ in 0..3 {
        talk.up("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\nabc");
        talk.miss(ToServer, 20_000);
        talk.down("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n01234");
        talk.miss(ToClient, 100_000);
    }
    assert_eq!((talk.peak, talk.connection.waiting()), (0, false));
    let causes = [Anomaly::Gap, Anomaly::Resynchronised];
    talk.expect(&["POST / 200", "~POST / 200", "~POST / 200"], &causes);
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
fn an_interim_response_that_was_missed() {
    let mut talk = Talk::new();
    talk.up("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    talk.miss(ToClient, 25).up("body").down(OK);
    talk.expect(&["POST / 200"], &[Anomaly::Gap, Anomaly::Resynchronised]);
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
fn what_ends_a_connection_unseen_is_told_of() {
    let post = "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
    let mut talk = Talk::new();
    // As many bytes again, but nothing of them was captured: they may be requests.
    talk.up(post).reached(ToServer, 500);
    assert_eq!(talk.said.causes(), [Anomaly::Unseen]);

    // A body may be as long as it says.
    let mut talk = Talk::new();
    talk.up("POST /a HTTP/1.1\r\nContent-Length: 300\r\n\r\nabc")
        .reached(ToServer, 297);
    talk.down(OK).reached(ToClient, 0);
    talk.expect(&["POST /a 200"], &[]);

    // And one without end ends with the connection.
    let mut talk = Talk::new();
    talk.up(get("/")).down("HTTP/1.1 200 OK\r\n\r\nabc");
    talk.reached(ToClient, 1 << 20);
    talk.expect(&["GET / 200"], &[]);
}
