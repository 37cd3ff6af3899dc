//! Segments that are missing, come twice, too late or not from the beginning.

use super::made::{ACK, FIN, MORNING, MS, RST, SYN};
use super::*;

#[test]
fn segments_out_of_order_are_put_in_order() {
    let mut talk = Talk::new("10.0.0.1:40000", "10.0.0.2:80").open();
    for part in GET.as_bytes().chunks(20) {
        talk.seg(0, ACK, part);
    }
    let mut segs = talk.send(1, OK).close().segs;
    segs[3..8].reverse();
    let (made, summary) = short(&segs);
    assert_eq!(made, ["GET /orders/1 200"]);
    assert_eq!((summary.lost_bytes, summary.repeated_bytes), (0, 0));
}

#[test]
fn an_answer_captured_before_its_request_comes_after_it() {
    let mut segs = two().segs;
    segs.swap(3, 4);
    let (made, summary) = short(&segs);
    assert_eq!(made, BOTH);
    assert_eq!(summary.anomalies, Default::default());
}

#[test]
fn what_is_sent_again_counts_once() {
    let talk = two();
    let mut segs = talk.segs.clone();
    // Each at once, and all of them after the end.
    segs = segs
        .iter()
        .flat_map(|seg| [seg.clone(), seg.clone()])
        .collect();
    segs.extend(talk.segs.iter().filter(|seg| seg.flags & SYN == 0).cloned());
    let (made, summary) = short(&segs);
    assert_eq!(made, BOTH);
    let bytes = GET.len() + POST.len() + OK.len() + CREATED.len();
    assert_eq!(summary.repeated_bytes, 2 * bytes as u64);
    assert_eq!((summary.connections, summary.midway), (1, 0));
}

#[test]
fn the_first_copy_of_an_overlap_wins() {
    // A copy that lies across what was handed on; one that comes while the first waits; and one that is the first.
    for case in ["handed on", "waits", "first"] {
        let mut talk = Talk::new("10.0.0.1:40000", "10.0.0.2:80").open();
        for part in [&GET[..30], &GET[30..60], &GET[60..]] {
            talk.seg(0, ACK, part.as_bytes());
        }
        let mut segs = talk.send(1, OK).close().segs;
        let mut other = segs[4].clone();
        other.data = vec![b'x'; 60];
        match case {
            "handed on" => segs.insert(6, other),
            "waits" => {
                let begin = segs.remove(3);
                segs.splice(5..5, [other, begin]);
            }
            _ => {
                other.data.truncate(30);
                segs.insert(3, other);
            }
        }
        let (made, summary) = read(&made::ethernet(&segs));
        assert_eq!((made.len(), made[0].status), (1, Some(200)), "{case}");
        assert_eq!(made[0].credential.is_some(), case != "first", "{case}");
        let again = if case == "first" { 30 } else { 60 };
        assert_eq!(summary.repeated_bytes, again, "{case}");
    }
}

#[test]
fn numbers_wrap() {
    for before in [0, 1, 2, 50, GET.len() as u32, 200] {
        let isn = 0_u32.wrapping_sub(before);
        let talk = Talk::new("10.0.0.1:40000", "10.0.0.2:80").at(isn, isn);
        let segs = talk
            .open()
            .send(0, GET)
            .send(1, OK)
            .send(0, POST)
            .send(1, CREATED)
            .close()
            .segs;
        let mut swapped = segs.clone();
        swapped.swap(3, 5);
        for segs in [segs, swapped] {
            let (made, summary) = short(&segs);
            assert_eq!(made, BOTH, "{before}");
            assert_eq!(summary.lost_bytes, 0);
        }
    }
}

#[test]
fn a_lost_segment_costs_its_own_exchange_only() {
    // Of a body nothing is lost that is needed; of a head the access is.
    let long = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n{}",
        "b".repeat(4000)
    );
    let talk = Talk::new("10.0.0.1:40000", "10.0.0.2:80")
        .open()
        .send(0, GET)
        .send(1, &long)
        .send(0, POST)
        .send(1, CREATED)
        .close();
    let mut body = talk.segs.clone();
    assert_eq!(body[5].data.len(), 1400);
    body.remove(5);
    let (made, summary) = short(&body);
    assert_eq!(
        (made, summary.lost_bytes),
        (BOTH.map(str::to_owned).to_vec(), 1400)
    );
    let mut head = talk.segs.clone();
    let lost = head.remove(3).data.len() as u64;
    let (made, summary) = short(&head);
    assert_eq!(made, ["POST /orders 201"]);
    assert_eq!(summary.lost_bytes, lost);
    let mut answer = talk.segs;
    answer.remove(4);
    let (made, _) = short(&answer);
    assert_eq!(made, ["GET /orders/1 -", "POST /orders 201"]);
}

#[test]
fn a_gap_is_a_fact_soon_after_it_was_acknowledged_and_waited_for_else() {
    for acknowledged in [true, false] {
        let mut talk = Talk::new("10.0.0.1:40000", "10.0.0.2:80").open();
        talk.seg(0, ACK, b"POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\n");
        let lost = talk.segs.len();
        talk.seg(0, ACK, b"lost");
        talk.seg(0, ACK, b"there");
        if acknowledged {
            talk.seg(1, ACK, b"");
        }
        let mut segs = talk.segs;
        let missing = segs.remove(lost);
        let mut capture = capture(Bounds::default());
        read_into(&mut capture, &made::ethernet(&segs));
        let later = |after: u64, capture: &mut Capture| {
            let mut other = Talk::new("10.9.9.9:1", "10.9.9.8:2");
            other.now = MORNING + after;
            read_into(capture, &made::ethernet(&other.ack(0).segs));
            capture.summary(true).lost_bytes
        };
        assert_eq!(later(500 * MS, &mut capture), 0);
        assert_eq!(
            later(2_000 * MS, &mut capture),
            if acknowledged { 4 } else { 0 }
        );
        if !acknowledged {
            assert_eq!(later(50_000 * MS, &mut capture), 0);
            read_into(&mut capture, &made::ethernet(&[missing]));
            assert_eq!(later(90_000 * MS, &mut capture), 0);
        }
    }
}

#[test]
fn a_connection_may_be_joined_in_the_middle() {
    let segs = two().segs;
    for skip in [1, 2, 3] {
        let (made, summary) = short(&segs[skip..]);
        assert_eq!(made, BOTH, "{skip}");
        assert_eq!(summary.midway, u64::from(skip > 1), "{skip}");
    }
    // Between question and answer; between two pairs.
    assert_eq!(short(&segs[4..]).0, ["POST /orders 201"]);
    assert_eq!(short(&segs[5..]).0, ["POST /orders 201"]);
    // And never in order.
    let mut segs = segs[3..].to_vec();
    segs.reverse();
    assert_eq!(short(&segs).0, BOTH);
}

#[test]
fn one_direction_alone_gives_requests_without_answers() {
    let segs: Vec<Seg> = two()
        .segs
        .into_iter()
        .filter(|seg| seg.to.port() == 80)
        .collect();
    let (made, summary) = short(&segs);
    assert_eq!(made, ["GET /orders/1 -", "POST /orders -"]);
    assert_eq!(summary.unanswered, 2);
}

#[test]
fn a_reset_ends_a_connection() {
    let mut talk = Talk::new("10.0.0.1:40000", "10.0.0.2:80")
        .open()
        .send(0, GET);
    talk.seg(1, RST, b"");
    let mut capture = capture(Bounds::default());
    let made = read_into(&mut capture, &made::ethernet(&talk.segs));
    assert!(made.is_empty());
    // Others' packets go on.
    let mut other = Talk::new("10.0.0.3:40000", "10.0.0.2:80").open();
    other.now += 2_000 * MS;
    let made = read_into(&mut capture, &made::ethernet(&other.ack(0).segs));
    assert_eq!(made.len(), 1);
    assert_eq!((made[0].status, &*made[0].method), (None, "GET"));
}

#[test]
fn a_reset_out_of_nowhere_hides_nothing() {
    let mut segs = two().segs;
    let mut reset = segs[3].clone();
    (reset.flags, reset.data) = (RST, Vec::new());
    segs.insert(4, reset);
    assert_eq!(short(&segs).0, BOTH);
}

#[test]
fn ports_are_used_again() {
    let first = two();
    let mut second = Talk::new("10.0.0.1:40000", "10.0.0.2:80").at(90_000, 7);
    second.now = first.now;
    let second = second.open().send(0, POST).send(1, CREATED).close();
    let mut segs = [first.segs.clone(), second.segs.clone()].concat();
    let (made, summary) = short(&segs);
    assert_eq!(
        made,
        ["GET /orders/1 200", "POST /orders 201", "POST /orders 201"]
    );
    assert_eq!(summary.connections, 2);
    // Also when the first one never ended.
    segs.retain(|seg| seg.flags & FIN == 0 || seg.seq > 80_000 || seg.ack > 80_000);
    assert_eq!(short(&segs).0, made);
}

#[test]
fn a_server_that_speaks_first_and_a_body_until_the_end() {
    let answer = "HTTP/1.0 200 OK\r\n\r\nuntil the end";
    let mut talk = Talk::new("10.0.0.1:40000", "10.0.0.2:80")
        .open()
        .send(0, GET)
        .send(1, answer);
    talk.seg(1, ACK | FIN, b"");
    talk.seg(0, ACK | FIN, b"");
    let (made, summary) = short(&talk.segs);
    assert_eq!(made, ["GET /orders/1 200"]);
    assert_eq!(summary.anomalies, Default::default());
    let talk = Talk::new("10.0.0.1:40000", "10.0.0.2:25")
        .open()
        .send(1, "220 mail.example ESMTP\r\n")
        .send(0, "EHLO me\r\n")
        .close();
    assert!(short(&talk.segs).0.is_empty());
}

#[test]
fn ends_of_which_neither_is_known_to_be_the_client_are_counted() {
    let talk = Talk::new("10.0.0.1:40000", "10.0.0.2:9")
        .send(0, "\x01\x02\x03")
        .send(1, "\x04\x05")
        .send(0, "\x06");
    let (made, summary) = short(&talk.segs);
    assert!(made.is_empty());
    assert_eq!((summary.undecided, summary.midway), (3, 1));
}
