//! Recorded connections of OpenSSL (three exchanges each) as captures, with their secrets from a key log or the file.

use super::made::{ACK, Blocks, Talk};
use super::*;

const TLS13: &str = include_str!("../../../wire/tls/tests/recorded/openssl-13.txt");
const TLS12: &str = include_str!("../../../wire/tls/tests/recorded/openssl-gcm.txt");
const EARLY: &str = include_str!("../../../wire/tls/tests/recorded/rfc8448-0rtt.txt");

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Key log and packets, of at most so many bytes.
fn recorded(text: &str, most: usize) -> (String, Talk) {
    let mut log = String::new();
    let mut talk = Talk::new("10.0.0.1:40000", "10.0.0.2:443").open();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.split_once(' ').unwrap() {
            ("k", secret) => log.extend([secret, "\n"]),
            (side, bytes) => {
                let end = usize::from(side == "s");
                for part in unhex(bytes).chunks(most) {
                    talk.seg(end, ACK, part);
                }
            }
        }
    }
    (log, talk.close())
}

/// What a capture with this key log says.
fn with_log(log: &str, file: &[u8]) -> (Vec<String>, CaptureSummary) {
    let mut capture = capture(Bounds::default());
    // A log comes in pieces, and need not end with a line's end.
    for part in log.trim_end().as_bytes().chunks(7) {
        capture.key_log(part);
    }
    capture.key_log(&[]);
    let mut made = read_into(&mut capture, file);
    made.extend(capture.end());
    let summary = capture.summary(true);
    (made.iter().map(said).collect(), summary)
}

#[test]
fn a_key_log_opens_tls() {
    for (text, version) in [(TLS13, "1.3"), (TLS12, "1.2")] {
        for most in [1400, 100, 7, 1] {
            let (log, talk) = recorded(text, most);
            let (said, summary) = with_log(&log, &made::ethernet(&talk.segs));
            assert_eq!(said.len(), 3, "{version} {most} {summary:?}");
            assert!(
                said.iter()
                    .all(|said| said.contains("api.example/") && said.ends_with(version)),
                "{said:?}"
            );
            assert!(!said.iter().any(|said| said.contains(" - - ")), "{said:?}");
            assert_eq!(
                (summary.tls, summary.tls_lost, summary.unanswered),
                (1, 0, 0)
            );
            assert_eq!(summary.unread_tls, Default::default());
            assert_eq!(summary.anomalies, Default::default());
        }
    }
}

#[test]
fn what_the_handshake_said_stands_in_each_access() {
    let (log, talk) = recorded(TLS13, 1400);
    let mut capture = capture(Bounds::default());
    capture.key_log(log.as_bytes());
    let made = read_into(&mut capture, &made::ethernet(&talk.segs));
    assert_eq!(made.len(), 3);
    for access in made {
        let tls = access.tls.unwrap();
        assert_eq!(tls.sni.as_deref(), Some("api.example"));
        assert_eq!(tls.alpn.as_deref(), Some("http/1.1"));
        assert_eq!(tls.via, "keys");
        assert!(tls.ja4.is_some());
    }
}

#[test]
fn secrets_may_lie_in_the_capture_before_or_behind_the_packets() {
    let (log, talk) = recorded(TLS13, 1400);
    let (wanted, _) = with_log(&log, &made::ethernet(&talk.segs));
    for place in [0, 5, 9, talk.segs.len() - 4] {
        let mut blocks = Blocks::section(false);
        blocks.interface(1, 0, &[]);
        for (at, seg) in talk.segs.iter().enumerate() {
            if at == place {
                blocks.secrets(&log);
            }
            blocks.packet(0, seg.time / 1000, &seg.ethernet());
        }
        let (said, summary) = with_log("", &blocks.file);
        assert_eq!(said, wanted, "{place}");
        assert_eq!(summary.secrets, 4);
    }
}

#[test]
fn without_secrets_tls_is_counted_as_not_read() {
    let (log, talk) = recorded(TLS13, 1400);
    let file = made::ethernet(&talk.segs);
    let (said, summary) = with_log("", &file);
    assert!(said.is_empty());
    assert_eq!((summary.tls, summary.unread_tls["no-keys"]), (1, 1));
    // Another connection's secrets, and what is no key log.
    let other = log.replace("0a3f721b", "0a3f721c");
    let (said, summary) = with_log(&format!("{other}CLIENT_RANDOM what is it\n"), &file);
    assert!(said.is_empty());
    assert_eq!(summary.unread_tls["no-keys"], 1);
    assert_eq!((summary.secrets, summary.secrets_malformed), (4, 1));
}

#[test]
fn tls_that_was_open_before_the_capture_is_counted() {
    let (log, talk) = recorded(TLS13, 1400);
    let (said, summary) = with_log(&log, &made::ethernet(&talk.segs[4..]));
    assert!(said.is_empty());
    assert_eq!((summary.tls, summary.midway), (1, 1));
    assert_eq!(summary.unread_tls["joined-late"], 1);
    // Without its SYN, but with its hello, nothing is missing.
    let (said, summary) = with_log(&log, &made::ethernet(&talk.segs[2..]));
    assert_eq!((said.len(), summary.midway), (3, 1));
}

#[test]
fn reordered_and_repeated_segments_of_tls() {
    for text in [TLS13, TLS12] {
        let (log, talk) = recorded(text, 60);
        let (wanted, _) = with_log(&log, &made::ethernet(&talk.segs));
        let mut segs: Vec<Seg> = Vec::new();
        for few in talk.segs.chunks(6) {
            segs.extend(few.iter().rev().cloned());
            segs.push(few[0].clone());
        }
        let (said, summary) = with_log(&log, &made::ethernet(&segs));
        assert_eq!(said, wanted);
        assert!(summary.repeated_bytes > 0 && summary.lost_bytes == 0);
    }
}

#[test]
fn a_loss_within_one_record_costs_nothing_that_is_needed() {
    let (log, talk) = recorded(TLS13, 300);
    let (wanted, _) = with_log(&log, &made::ethernet(&talk.segs));
    // The long answer's second packet: the record's header lies in the first.
    let long = talk.segs.windows(3).position(|three| {
        three
            .iter()
            .all(|seg| seg.from.port() == 443 && seg.data.len() == 300)
    });
    let at = long.unwrap() + 1;
    let mut segs = talk.segs.clone();
    assert_eq!(segs.remove(at).data.len(), 300);
    let (said, summary) = with_log(&log, &made::ethernet(&segs));
    assert_eq!(said, wanted);
    assert_eq!((summary.lost_bytes, summary.tls_lost), (300, 0));
    // With its header, what follows cannot be told apart: it is counted, and requests are there all the same.
    let mut segs = talk.segs;
    segs.remove(at - 1);
    let (said, summary) = with_log(&log, &made::ethernet(&segs));
    assert_eq!(summary.tls_lost, 1);
    assert_eq!(said.len(), 3);
    assert!(summary.unanswered > 0);
}

#[test]
fn the_same_connection_captured_twice_is_read_twice() {
    // As before and behind a translation of addresses.
    let (log, talk) = recorded(TLS13, 1400);
    let mut file = talk.segs.clone();
    for seg in &talk.segs {
        let mut again = seg.clone();
        for end in [&mut again.from, &mut again.to] {
            if end.port() == 40000 {
                *end = "192.0.2.9:5000".parse().unwrap();
            }
        }
        file.push(again);
    }
    file.sort_by_key(|seg| seg.time);
    let (said, summary) = with_log(&log, &made::ethernet(&file));
    assert_eq!((said.len(), summary.tls), (6, 2));
}

#[test]
fn tls_inside_a_tunnel() {
    let (log, inner) = recorded(TLS13, 1400);
    let mut talk = Talk::new("10.0.0.1:40000", "10.0.0.2:3128")
        .open()
        .send(
            0,
            "CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n",
        )
        .send(1, "HTTP/1.1 200 Connection established\r\n\r\n");
    for seg in &inner.segs {
        if !seg.data.is_empty() {
            talk.seg(usize::from(seg.from.port() == 443), ACK, &seg.data);
        }
    }
    let (said, summary) = with_log(&log, &made::ethernet(&talk.close().segs));
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said[0].starts_with("CONNECT") && said[3].ends_with("1.3"));
    assert_eq!(summary.tls, 1);
}

#[test]
fn early_data_is_read() {
    // RFC 8448 §4 sends no HTTP; that its records are walked shows in what is not counted.
    let (log, talk) = recorded(EARLY, 1400);
    let (_, summary) = with_log(&log, &made::ethernet(&talk.segs));
    assert_eq!((summary.tls, summary.tls_lost), (1, 0));
    assert_eq!(summary.unread_tls, Default::default());
}
