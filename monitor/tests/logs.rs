//! Alerts to logs over real sockets: each message is read by a reader that refuses whatever the format's rules forbid.

#[path = "receiver/log.rs"]
mod log;

use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use bailiwick::alert::config::HookUrl;
use bailiwick::alert::formats::{Format, Sender, body, test_alert};
use bailiwick::alert::secret::{SecretEnv, SecretSource};
use bailiwick::alert::{Alert, AlertService, Endpoint, ServiceOptions, SystemClock, WebhookConfig};
use bailiwick::judge::{FindingKind, Severity};
use bailiwick::store::{Store, StoreOptions};

use log::{Syslog, journal, octet_counted, rfc5424};

const HOSTILE: &str =
    "a\"b]c\\d\n<0>1 - - - - - x\u{1b}[31m\0\u{202e}ü\u{1f512} BAILIWICK_KIND=x\n_PID=1\n";
/// A signed note has several lines.
const NOTE: &str = "web1/bailiwick/0a\n7\nroot=\n\n\u{2014} web1/bailiwick/0a c2ln\n";

fn alert(hostile: bool) -> Alert {
    let mut alert = test_alert("al_01KB29W7J0B5MZ8Q4T2XWV6N3R", 1_795_514_400_000_000);
    alert.r#type = "alert".to_owned();
    alert.kind = FindingKind::Environment;
    alert.severity = Severity::High;
    alert.title = "ci-bot used a prod host".to_owned();
    alert.identity = Some("ci-bot".to_owned());
    alert.environment = Some("prod".to_owned());
    alert.operation = "GET api.example/{id}".to_owned();
    alert.clause = "environments = [\"dev\"]".to_owned();
    alert.techniques = vec!["T1078".to_owned()];
    if hostile {
        let long = HOSTILE.repeat(60);
        for text in [
            &mut alert.title,
            &mut alert.operation,
            &mut alert.clause,
            &mut alert.normal,
            &mut alert.action,
        ] {
            text.clone_from(&long);
        }
        for text in [
            &mut alert.identity,
            &mut alert.owner,
            &mut alert.workload,
            &mut alert.environment,
        ] {
            *text = Some("\u{1f512}".repeat(3000));
        }
    }
    alert
}

fn sender(room: usize) -> Sender<'static> {
    Sender {
        message_id: "al_01KB29W7J0B5MZ8Q4T2XWV6N3R-7",
        host: "web-1.example",
        routing_key: "",
        room,
        checkpoint: Some(NOTE),
    }
}

fn told(alert: &Alert, room: usize) -> Syslog {
    let bytes = body(Format::Syslog, alert, &sender(room));
    assert!(bytes.len() <= room, "{} of {room}", bytes.len());
    rfc5424(&bytes)
}

#[test]
fn syslog_says_what_the_alert_says() {
    let told = told(&alert(false), 8192);
    assert_eq!(told.pri, 10 * 8 + 3, "authorization, error");
    assert_eq!(told.host, "web-1.example");
    assert_eq!(
        (told.app.as_str(), told.msgid.as_str()),
        ("bailiwick", "environment")
    );
    for (name, value) in [
        ("alert", "al_01KB29W7J0B5MZ8Q4T2XWV6N3R"),
        ("message", "al_01KB29W7J0B5MZ8Q4T2XWV6N3R-7"),
        ("type", "alert"),
        ("severity", "high"),
        ("identity", "ci-bot"),
        ("operation", "GET api.example/{id}"),
        ("clause", "environments = [\"dev\"]"),
        ("technique", "T1078"),
    ] {
        assert_eq!(told.get(name), Some(value), "{name}");
    }
    assert!(told.get("checkpoint").is_some(), "there is room for it");
    assert!(
        told.message
            .starts_with("ci-bot used a prod host. Normal: ")
    );
}

#[test]
fn syslog_of_each_severity_and_of_a_test() {
    for (severity, number) in [
        (Severity::Low, 5),
        (Severity::Medium, 4),
        (Severity::High, 3),
        (Severity::Critical, 2),
    ] {
        let mut alert = alert(false);
        alert.severity = severity;
        assert_eq!(told(&alert, 8192).pri, 80 + number);
    }
    let test = told(&test_alert("test_1", 0), 1180);
    assert_eq!(
        (test.msgid.as_str(), test.get("type")),
        ("test", Some("test"))
    );
}

#[test]
fn syslog_keeps_its_grammar_and_its_room_whatever_was_seen() {
    for room in [1180, 2048, 8192] {
        let told = told(&alert(true), room);
        assert_eq!(told.get("kind"), Some("environment"));
        assert_eq!(
            told.get("alert"),
            Some("al_01KB29W7J0B5MZ8Q4T2XWV6N3R"),
            "never cut"
        );
        assert!(!told.message.is_empty(), "{room}");
        assert!(!told.message.contains('\u{202e}'));
    }
    let odd = Sender {
        host: "a b\u{202e}\"]",
        ..sender(8192)
    };
    assert_eq!(
        rfc5424(&body(Format::Syslog, &alert(false), &odd)).host,
        "a_b_\"]"
    );
    let none = Sender {
        host: "",
        ..sender(8192)
    };
    assert_eq!(
        rfc5424(&body(Format::Syslog, &alert(false), &none)).host,
        "-"
    );
}

#[test]
fn the_journal_has_every_field_and_none_that_was_smuggled_in() {
    for hostile in [false, true] {
        let alert = alert(hostile);
        let bytes = body(Format::Journald, &alert, &sender(8192));
        assert!(bytes.len() < 200_000, "a datagram");
        let fields = journal(&bytes);
        let all = |name: &str| {
            let of = fields.iter().filter(|(have, _)| have == name);
            of.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(all("PRIORITY"), ["3"]);
        assert_eq!(all("SYSLOG_IDENTIFIER"), ["bailiwick"]);
        assert_eq!(all("BAILIWICK_KIND"), ["environment"], "one only");
        assert_eq!(all("BAILIWICK_ALERT"), [alert.id.as_str()]);
        assert_eq!(all("BAILIWICK_CHECKPOINT"), [NOTE], "with its line breaks");
        let [id] = all("MESSAGE_ID")[..] else {
            panic!("one id")
        };
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        let json: Alert = serde_json::from_str(all("BAILIWICK_JSON")[0]).expect("the alert");
        assert_eq!(json, alert);
        let test = journal(&body(
            Format::Journald,
            &test_alert("test_1", 0),
            &sender(8192),
        ));
        let other = test
            .iter()
            .find(|(name, _)| name == "MESSAGE_ID")
            .map(|(_, value)| value);
        assert!(
            other.is_some_and(|other| other != id),
            "tests have an id of their own"
        );
    }
}

async fn send(url: &str, format: Format) -> Result<u16, String> {
    let dir = tempfile::tempdir().expect("a directory");
    let url = HookUrl::parse(url).expect("an address");
    let mut config = WebhookConfig::new("log", url, SecretSource::Env("NONE".to_owned()));
    config.secret = None;
    config.format = format;
    config.timeout = Duration::from_secs(5);
    let endpoints = Endpoint::load(&[config], &SecretEnv::default()).expect("endpoints");
    let store = Store::open(&dir.path().join("state"), StoreOptions::default()).expect("a store");
    let options = ServiceOptions::default();
    let service = AlertService::start_with(store, endpoints, Arc::new(SystemClock), options)
        .await
        .expect("started");
    let result = service.send_test(Some("log")).await.remove(0).1;
    service.shutdown().await;
    result
}

#[tokio::test]
async fn over_a_unix_socket() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("set");
    let url = format!("unix:{}", path.display());
    let mut buffer = [0; 65_536];
    for format in [Format::Syslog, Format::Journald] {
        assert_eq!(send(&url, format).await, Ok(200));
        let length = socket.recv(&mut buffer).expect("a datagram");
        let bytes = buffer.get(..length).expect("whole");
        if format == Format::Syslog {
            assert_eq!(rfc5424(bytes).msgid, "test");
        } else {
            assert!(journal(bytes).contains(&("BAILIWICK_TYPE".to_owned(), "test".to_owned())));
        }
    }
    drop(socket);
    let error = send(&url, Format::Syslog).await.expect_err("nobody reads");
    assert!(error.contains(&url) && error.contains("refused"), "{error}");
}

#[tokio::test]
async fn over_udp() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("set");
    let url = format!("udp://{}", socket.local_addr().expect("its address"));
    assert_eq!(send(&url, Format::Syslog).await, Ok(200));
    let mut buffer = [0; 65_536];
    let length = socket.recv(&mut buffer).expect("a datagram");
    assert_eq!(rfc5424(buffer.get(..length).expect("whole")).msgid, "test");
    drop(socket);
    let error = send(&url, Format::Syslog)
        .await
        .expect_err("nobody listens");
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("tcp://{}", listener.local_addr().expect("its address"));
    let reader = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("one");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("read");
        drop(stream);
        // The next one is reset in the midst of its message: closed unread.
        let (stream, _) = listener.accept().expect("another");
        std::thread::sleep(Duration::from_millis(200));
        drop(stream);
        all
    });
    assert_eq!(send(&url, Format::Syslog).await, Ok(200));
    let error = send(&url, Format::Syslog).await.expect_err("not taken");
    assert!(error.contains("reset"), "{error}");
    let messages = octet_counted(&reader.join().expect("no panic"));
    assert_eq!(messages.len(), 1);
    assert_eq!(rfc5424(&messages[0]).msgid, "test");
    let error = send(&url, Format::Syslog)
        .await
        .expect_err("nobody listens");
    assert!(error.contains("refused"), "{error}");
}
