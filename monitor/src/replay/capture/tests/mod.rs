use super::*;
use crate::access::FingerprintKey;
use crate::access::credential::CredentialTable;
use made::{Seg, Talk};

mod bounds;
mod encrypted;
mod files;
mod made;
mod order;
mod permuted;

const GET: &str = "GET /orders/1 HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer one-secret-of-a-client\r\n\r\n";
const POST: &str = "POST /orders HTTP/1.1\r\nHost: api.example\r\nX-Api-Key: another-secret-of-it\r\nContent-Length: 5\r\n\r\nhello";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere";
const CREATED: &str = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";

fn capture(bounds: Bounds) -> Capture {
    let key = FingerprintKey::new([7; 32]);
    Capture::new(Recogniser::new(CredentialTable::builtin(), key), bounds)
}

/// What an access says, but for its time.
fn said(access: &Access) -> String {
    let print = access.credential.as_ref().map(|held| held.fingerprint);
    format!(
        "{} {}{} {} {}{}",
        access.method,
        access.host,
        access.path,
        access
            .status
            .map_or("-".to_owned(), |status| status.to_string()),
        print.map_or("-".to_owned(), |print| print.to_string()),
        access.tls.as_ref().map_or(String::new(), |tls| format!(
            " {}",
            tls.version.as_deref().unwrap_or("?")
        )),
    )
}

/// Reads a file. Whatever is wrong with it is counted.
fn read_into(capture: &mut Capture, file: &[u8]) -> Vec<Access> {
    let mut made = Vec::new();
    let read = Packets::new(file).and_then(|mut packets| {
        while let Some(item) = packets.next_item()? {
            capture.item(&item);
            made.extend(capture.take());
        }
        Ok(())
    });
    if let Err(fault) = read {
        capture.damaged(&fault);
    }
    made
}

fn read(file: &[u8]) -> (Vec<Access>, CaptureSummary) {
    let mut capture = capture(Bounds::default());
    let mut made = read_into(&mut capture, file);
    made.extend(capture.end());
    assert_eq!((capture.connections(), capture.memory()), (0, 0));
    (made, capture.summary(true))
}

/// Method, path and status of what segments come to.
fn short(segs: &[Seg]) -> (Vec<String>, CaptureSummary) {
    let (made, summary) = read(&made::ethernet(segs));
    let short = made.iter().map(|access| {
        let status = access
            .status
            .map_or("-".to_owned(), |code| code.to_string());
        format!("{} {} {status}", access.method, access.path)
    });
    (short.collect(), summary)
}

/// Two requests on one connection.
fn two() -> Talk {
    Talk::new("10.0.0.1:40000", "10.0.0.2:80")
        .open()
        .send(0, GET)
        .send(1, OK)
        .send(0, POST)
        .send(1, CREATED)
        .close()
}

const BOTH: [&str; 2] = ["GET /orders/1 200", "POST /orders 201"];

#[test]
fn a_conversation_is_two_accesses() {
    let (made, summary) = read(&made::ethernet(&two().segs));
    let first = &made[0];
    assert_eq!(first.time_us, (made::MORNING / 1000) as i64 + 4000);
    assert_eq!(first.duration_us, Some(1000));
    assert_eq!(
        first.peer,
        crate::access::Peer::Inet("10.0.0.2:80".parse().unwrap())
    );
    assert!(!first.local && first.client.is_none() && first.tls.is_none());
    assert_eq!(first.protocol, "http/1.1");
    assert_eq!(
        said(first),
        format!(
            "GET api.example/orders/1 200 {}",
            FingerprintKey::new([7; 32]).fingerprint(b"one-secret-of-a-client")
        )
    );
    assert_eq!(
        summary,
        CaptureSummary {
            packets: 10,
            segments: 10,
            connections: 1,
            host_key: true,
            ..CaptureSummary::default()
        }
    );
}

#[test]
fn where_a_credential_stood_and_when_it_expired_are_judged() {
    // {"iss":"https://idp.example","sub":"alice","exp":1700000000}
    let token = "eyJhbGciOiJIUzI1NiJ9.\
        eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3ViIjoiYWxpY2UiLCJleHAiOjE3MDAwMDAwMDB9.c2lnbmF0dXJl";
    let talk = Talk::new("10.0.0.1:40000", "10.0.0.2:80")
        .open()
        .send(
            0,
            "GET /a?api_key=one-secret-of-a-client HTTP/1.1\r\nHost: api.example\r\n\r\n",
        )
        .send(1, OK)
        .send(
            0,
            format!(
                "GET /b HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {token}\r\n\r\n"
            ),
        )
        .send(1, OK)
        .close();
    let mut replay = super::super::Replay::new(&super::super::tests::rules(None));
    for mut access in read(&made::ethernet(&talk.segs)).0 {
        replay.take(&mut access);
    }
    let findings = replay.end().summary.findings;
    assert_eq!(
        (findings["credential-in-url"], findings["expired-token"]),
        (1, 1),
        "{findings:?}"
    );
}
