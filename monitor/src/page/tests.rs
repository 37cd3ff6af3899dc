#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use super::*;
use crate::access::Role;
use crate::access::record::{RequestRecord, ResponseRecord};
use crate::alert::{Alert, MarkRequest, NotMarked};
use crate::explain::{NoStory, Story};
use crate::listening::Listen;
use crate::report::Report;
use crate::scan::LiveUse;
use crate::scan::finding::Candidate;
use crate::serve::matching::TooMany;
use crate::serve::records::StatusRecord;
use crate::serve::testing::knows_nothing;
use crate::store::StoreError;

#[path = "crowd_tests.rs"]
mod crowd;

const PATIENCE: Duration = Duration::from_secs(20);

struct Fake {
    run: u64,
    kept: Mutex<Vec<Numbered>>,
    accesses: broadcast::Sender<Numbered>,
    plain: broadcast::Sender<Arc<AccessRecord>>,
    alerts: broadcast::Sender<Arc<Alert>>,
}

impl Fake {
    fn new(run: u64) -> Arc<Self> {
        Arc::new(Self {
            run,
            kept: Mutex::default(),
            accesses: broadcast::channel(16_384).0,
            plain: broadcast::channel(1).0,
            alerts: broadcast::channel(16).0,
        })
    }

    fn put(&self, numbers: std::ops::RangeInclusive<u64>) {
        for number in numbers {
            let numbered = (number, access(number));
            let mut kept = self.kept.lock().unwrap();
            kept.push(numbered.clone());
            if kept.len() > 256 {
                kept.remove(0);
            }
            drop(self.accesses.send(numbered));
        }
    }
}

fn access(number: u64) -> Arc<AccessRecord> {
    Arc::new(AccessRecord {
        r#type: "access".to_owned(),
        v: 1,
        time: "2026-11-23T18:57:18.123456Z".to_owned(),
        role: Role::Client,
        identity: Some(format!("id-{}", number % 2)),
        owner: None,
        binding: None,
        credential: None,
        client: None,
        server: None,
        peer: None,
        protocol: "http/1.1".to_owned(),
        tls: None,
        request: RequestRecord {
            method: "GET".to_owned(),
            host: "<b>a.example".to_owned(),
            path: "/\u{202e}\u{9b}\n\ndata: x".to_owned(),
            route: "/".to_owned(),
            unknown_fields: None,
        },
        response: Some(ResponseRecord {
            status: 200,
            grpc_status: None,
        }),
        duration_us: None,
        environment: None,
        duties: Vec::new(),
        findings: Vec::new(),
    })
}

impl Backend for Fake {
    knows_nothing!();

    async fn recent(&self, _: usize) -> Vec<Arc<AccessRecord>> {
        Vec::new()
    }
    fn subscribe(&self) -> broadcast::Receiver<Arc<AccessRecord>> {
        self.plain.subscribe()
    }
    fn subscribe_alerts(&self) -> broadcast::Receiver<Arc<Alert>> {
        self.alerts.subscribe()
    }
    fn status(&self) -> StatusRecord {
        StatusRecord::default()
    }
    async fn report(&self, _: Option<i64>) -> Result<Report, StoreError> {
        Err(StoreError::Refused(String::new()))
    }
    async fn explain(&self, id: String) -> Result<Story, NoStory> {
        Err(NoStory::Unknown {
            id,
            near: Vec::new(),
        })
    }
    async fn mark(
        &self,
        id: String,
        mark: MarkRequest,
        by: String,
    ) -> Result<Arc<Alert>, NotMarked> {
        let mut alert = crate::alert::testing::alert("al_1", 1);
        if id != alert.id {
            return Err(NotMarked::Unknown(id));
        }
        mark.apply(&mut alert, &by, 1_795_000_000_000_000);
        Ok(Arc::new(alert))
    }
    async fn matches(&self, _: Vec<Candidate>) -> Result<Vec<(u32, LiveUse)>, TooMany> {
        Err(TooMany)
    }
}

impl Viewed for Fake {
    fn run_id(&self) -> u64 {
        self.run
    }
    async fn recent_numbered(&self, n: usize) -> Vec<Numbered> {
        let kept = self.kept.lock().unwrap();
        kept[kept.len().saturating_sub(n)..].to_vec()
    }
    fn subscribe_numbered(&self) -> broadcast::Receiver<Numbered> {
        self.accesses.subscribe()
    }
    fn policy(&self) -> Arc<Policy> {
        Arc::new(Policy::empty())
    }
}

struct Server {
    address: SocketAddr,
    token: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

async fn server(backend: &Arc<Fake>, limits: Limits) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let listen = Listen::parse("127.0.0.1:0", "").unwrap();
    let server = PageServer::bind(&listen, dir.path(), "", "0")
        .await
        .unwrap();
    let address = server.address().unwrap();
    let token = Token::read(dir.path()).unwrap().expose().to_owned();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(server.run(Arc::clone(backend), limits, stopped));
    Server {
        address,
        token,
        stop,
        task,
        _dir: dir,
    }
}

/// Status, head and body.
async fn ask(server: &Server, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all))
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8(all).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

/// A request with these fields, and the token if `known`.
async fn get(server: &Server, path: &str, fields: &str, known: bool) -> (u16, String, String) {
    let token = match known {
        true => format!("Authorization: Bearer {}\r\n", server.token),
        false => String::new(),
    };
    let host = server.address;
    let host = match fields.contains("Host:") {
        true => String::new(),
        false => format!("Host: {host}\r\n"),
    };
    let request = format!("GET {path} HTTP/1.1\r\n{host}{token}{fields}Connection: close\r\n\r\n");
    ask(server, &request).await
}

#[tokio::test]
async fn only_who_knows_the_token_is_told_anything() {
    let server = server(&Fake::new(1), Limits::default()).await;
    for path in [
        "status",
        "alerts",
        "identities",
        "coverage",
        "policy",
        "explain?id=1",
        "stream",
        "x",
    ] {
        let path = format!("/api/{path}");
        let (status, head, body) = get(&server, &path, "", false).await;
        assert_eq!(status, 401, "{path}: {body}");
        assert!(!head.contains("set-cookie"), "{head}");
        let wrong = "A".repeat(43);
        for shown in [
            format!("Bearer {wrong}"),
            format!("Bearer {}", &server.token[1..]),
            format!("Bearer {} x", server.token),
            format!("Basic {}", server.token),
            server.token.clone(),
            String::new(),
        ] {
            let field = format!("Authorization: {shown}\r\n");
            assert_eq!(
                get(&server, &path, &field, false).await.0,
                401,
                "{path} {shown}"
            );
        }
        // Neither twice nor in the address.
        let twice = format!("Authorization: Bearer {wrong}\r\n");
        assert_eq!(get(&server, &path, &twice, true).await.0, 401);
        let query = format!("{path}?token={}", server.token);
        assert_eq!(get(&server, &query, "", false).await.0, 401);
    }
    let (status, head, body) = get(&server, "/api/status", "", true).await;
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    let policy: Value =
        serde_json::from_str(&get(&server, "/api/policy", "", true).await.2).unwrap();
    assert_eq!(policy["owners"], serde_json::json!([]));
    assert_eq!(get(&server, "/api/explain?id=01X", "", true).await.0, 404);
    for bad in ["", "id=", "id=../x", "id=%2e", "id=a%00"] {
        let path = format!("/api/explain?{bad}");
        assert_eq!(get(&server, &path, "", true).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn files_are_sent_with_a_strict_policy_and_lead_nowhere_else() {
    let server = server(&Fake::new(1), Limits::default()).await;
    for asset in assets::ASSETS {
        let (status, head, body) = get(&server, asset.path, "", false).await;
        assert_eq!((status, &*body), (200, asset.text), "{}", asset.path);
        for field in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
            "referrer-policy: no-referrer",
        ] {
            assert!(head.contains(field), "{}: {field} in {head}", asset.path);
        }
        assert!(!head.contains("unsafe"), "{head}");
    }
    for path in [
        "/../Cargo.toml",
        "/assets/../../token",
        "/%2e%2e/page.token",
        "/page.token",
        "//etc/passwd",
        "/main.js/",
        "/main.js%00",
        "/api/../page.css",
        "/index.html",
    ] {
        assert_eq!(get(&server, path, "", true).await.0, 404, "{path}");
    }
    let posted = format!(
        "POST / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        server.address
    );
    assert_eq!(ask(&server, &posted).await.0, 405);
}

#[tokio::test]
async fn other_sites_and_names_are_refused() {
    let server = server(&Fake::new(1), Limits::default()).await;
    let port = server.address.port();
    for (host, expected) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        ("[::1]".to_owned(), 200),
        ("evil.example".to_owned(), 421),
        (format!("evil.example:{port}"), 421),
        ("localhost.evil.example".to_owned(), 421),
        (format!("x@localhost:{port}"), 421),
        (String::new(), 421),
    ] {
        for path in ["/", "/api/status"] {
            let field = format!("Host: {host}\r\n");
            let (status, ..) = get(&server, path, &field, true).await;
            assert_eq!(status, expected, "{host} {path}");
        }
    }
    let twice = "Host: localhost\r\nHost: localhost\r\n";
    assert_ne!(get(&server, "/", twice, true).await.0, 200);

    let own = format!("Origin: http://{}\r\n", server.address);
    for (fields, page, data) in [
        ("Sec-Fetch-Site: same-origin\r\n", 200, 200),
        ("Sec-Fetch-Site: none\r\n", 200, 200),
        ("Sec-Fetch-Site: same-site\r\n", 403, 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403, 403),
        (
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
            200,
            403,
        ),
        (
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n",
            403,
            403,
        ),
        ("Origin: null\r\n", 403, 403),
        ("Origin: http://evil.example\r\n", 403, 403),
        ("Origin: http://localhost:1\r\n", 403, 403),
        (&*own, 200, 200),
    ] {
        let host = format!("Host: {}\r\n{fields}", server.address);
        assert_eq!(get(&server, "/", &host, true).await.0, page, "{fields}");
        assert_eq!(
            get(&server, "/api/status", &host, true).await.0,
            data,
            "{fields}"
        );
    }
}

#[tokio::test]
async fn alerts_are_marked_by_who_knows_the_token() {
    let server = server(&Fake::new(1), Limits::default()).await;
    let post = async |fields: &str, body: &str| {
        let request = format!(
            "POST /api/mark HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{fields}Content-Length: {}\r\n\r\n{body}",
            server.address,
            body.len()
        );
        ask(&server, &request).await
    };
    let json = "Content-Type: application/json\r\n";
    let known = format!("{json}Authorization: Bearer {}\r\n", server.token);
    let said = r#"{"command":"acknowledge","id":"al_1","note":"known"}"#;
    assert_eq!(post(json, said).await.0, 401);
    let other = format!("{known}Origin: http://evil.example\r\n");
    assert_eq!(post(&other, said).await.0, 403);
    let form = known.replace("application/json", "text/plain");
    assert_eq!(post(&form, said).await.0, 415);
    let (status, _, body) = post(&known, said).await;
    let alert: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &alert["acknowledged"]["by"], &alert["evidence"]),
        (200, &"the page".into(), &serde_json::json!([]))
    );
    let until = r#"{"command":"mute","id":"al_1","until":"2027-01-01T00:00:00.000Z"}"#;
    assert_eq!(post(&known, until).await.0, 200);
    assert_eq!(
        post(&known, r#"{"command":"unmark","id":"al_1"}"#).await.0,
        200
    );
    for (bad, expected) in [
        (r#"{"command":"unmark","id":"al_2"}"#, 404),
        (r#"{"command":"mute","id":"al_1","until":"soon"}"#, 400),
        (r#"{"command":"status"}"#, 400),
        ("{", 400),
        (&*"x".repeat(5000), 400),
    ] {
        assert_eq!(post(&known, bad).await.0, expected, "{bad}");
    }
    assert_eq!(get(&server, "/api/mark", "", true).await.0, 405);
}

/// A stream that is read event by event.
struct Events {
    lines: tokio::io::Lines<BufReader<TcpStream>>,
}

#[derive(Debug)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

impl Events {
    async fn open(server: &Server, query: &str, since: Option<&str>) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        Self::over(stream, server, query, since).await
    }

    async fn over(stream: TcpStream, server: &Server, query: &str, since: Option<&str>) -> Self {
        let mut reader = BufReader::new(stream);
        let since = since.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        // HTTP/1.0: without chunks between the lines.
        let request = format!(
            "GET /api/stream{query} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{since}\r\n",
            server.token
        );
        reader.write_all(request.as_bytes()).await.unwrap();
        let mut lines = reader.lines();
        let first = lines.next_line().await.unwrap().unwrap();
        assert!(first.contains("200"), "{first}");
        while !lines.next_line().await.unwrap().unwrap().is_empty() {}
        Self { lines }
    }

    async fn next(&mut self) -> Event {
        let mut event = Event {
            id: String::new(),
            name: String::new(),
            data: Value::Null,
        };
        loop {
            let line = tokio::time::timeout(PATIENCE, self.lines.next_line())
                .await
                .expect("an event")
                .unwrap()
                .expect("the stream goes on");
            match line.split_once(": ") {
                Some(("id", id)) => event.id = id.to_owned(),
                Some(("event", name)) => event.name = name.to_owned(),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                _ if line.is_empty() => return event,
                _ => panic!("{line}"),
            }
        }
    }

    async fn find(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await;
            if event.name == name {
                return event;
            }
        }
    }

    /// Numbers of accesses, until that many were told of in some way. Comes with how many were not shown, and
    /// were missed.
    async fn numbers(&mut self, all: u64) -> (Vec<u64>, u64, u64) {
        let (mut numbers, mut hidden, mut missed) = (Vec::new(), 0, 0);
        while (numbers.len() as u64) + hidden + missed < all {
            let event = self.next().await;
            match &*event.name {
                "accesses" => {
                    for row in event.data["rows"].as_array().unwrap() {
                        numbers.push(row["n"].as_u64().unwrap());
                    }
                    hidden += event.data["not_shown"].as_u64().unwrap()
                        + event.data["not_seen"].as_u64().unwrap();
                }
                "missed" => missed += event.data["count"].as_u64().unwrap(),
                _ => {}
            }
        }
        (numbers, hidden, missed)
    }
}

#[tokio::test]
async fn who_comes_back_is_sent_what_passed_and_told_what_is_gone() {
    let backend = Fake::new(0xab);
    let server = server(&backend, Limits::default()).await;
    backend.put(1..=10);
    let mut events = Events::open(&server, "", None).await;
    let hello = events.next().await;
    assert_eq!(
        (&*hello.name, &hello.data["missed"]),
        ("hello", &0.into()),
        "{hello:?}"
    );
    assert_eq!(events.numbers(10).await.0, (1..=10).collect::<Vec<_>>());
    backend.put(11..=12);
    let live = events.find("accesses").await;
    assert_eq!(live.data["rows"][0]["n"], 11);
    // Text is text: nothing of it ends a line or the event.
    assert_eq!(
        live.data["rows"][0]["access"]["request"]["path"],
        access(1).request.path
    );
    drop(events);

    backend.put(13..=20);
    let mut events = Events::open(&server, "", Some("ab-12")).await;
    let hello = events.next().await;
    assert_eq!(hello.data["missed"], 0);
    assert_eq!(hello.data["restarted"], false);
    assert_eq!(
        events.numbers(8).await.0,
        (13..=20).collect::<Vec<_>>(),
        "neither lost nor doubled"
    );
    drop(events);

    // More than is kept: the feed's ring holds the newest.
    let kept = feed::RING as u64;
    for begin in (21..=(kept + 120)).step_by(200) {
        backend.put(begin..=(begin + 199));
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let end = backend.kept.lock().unwrap().last().unwrap().0;
    let mut events = Events::open(&server, "", Some("ab-20")).await;
    let hello = events.next().await;
    assert_eq!(hello.data["missed"], end - 20 - kept, "{hello:?}");
    drop(events);

    // Another run: all of this one's that are gone.
    let mut events = Events::open(&server, "", Some("77-5")).await;
    let hello = events.next().await;
    assert_eq!(hello.data["restarted"], true);
    assert_eq!(hello.data["missed"], end - kept);
    // An id that was made up.
    let mut events = Events::open(&server, "", Some("ab-99999999")).await;
    assert_eq!(events.next().await.data["missed"], 0);
}

#[tokio::test]
async fn a_filter_is_kept_to_and_what_is_too_fast_is_counted() {
    let backend = Fake::new(1);
    let server = server(&backend, Limits::default()).await;
    let filter = "?where=identity%20%3D%3D%20%22id-1%22";
    let mut events = Events::open(&server, filter, None).await;
    events.find("status").await;
    backend.put(1..=9);
    let (numbers, ..) = events.numbers(5).await;
    assert_eq!(numbers, [1, 3, 5, 7, 9]);
    for (path, place) in [
        ("/api/stream?where=identty%20%3D%3D%20%22x%22", "^^^^^^^"),
        ("/api/alerts?where=duties%20contains%20%22x%22", "^^^^^^"),
        ("/api/identities?where=kind%20%3D%3D%20%22x%22", "^^^^"),
    ] {
        let (status, _, body) = get(&server, path, "", true).await;
        assert_eq!(status, 400, "{path} {body}");
        let told: Value = serde_json::from_str(&body).unwrap();
        let carets = told["place"][1].as_str().unwrap();
        assert_eq!(carets.trim(), place, "{told}");
    }
    let of = |filter: &str| format!("/api/filter?of=alerts&where={filter}");
    let (status, _, good) = get(&server, &of("count%20%3E%203"), "", true).await;
    assert_eq!((status, good.as_str()), (200, "{\"refused\":null}"));
    let (_, _, bad) = get(&server, &of("count%20%3E"), "", true).await;
    let told: Value = serde_json::from_str(&bad).unwrap();
    assert_eq!(told["refused"]["place"][1], "       ^", "{told}");
    let (status, ..) = get(&server, "/api/filter?of=nothing&where=true", "", true).await;
    assert_eq!(status, 400);

    let mut events = Events::open(&server, "", Some("1-9")).await;
    events.find("hello").await;
    backend.put(10..=509);
    let (numbers, hidden, missed) = events.numbers(500).await;
    assert_eq!(numbers.len() as u64 + hidden + missed, 500);
    assert!(numbers.len() <= 2 * feed::MOST_SENT, "{}", numbers.len());
    // A number of the daemon that never came is as good as not seen.
    backend.put(600..=600);
    let (numbers, hidden, _) = events.numbers(91).await;
    assert_eq!((numbers, hidden), (vec![600], 90));
}

#[tokio::test]
async fn a_slow_viewer_is_told_and_delays_nobody() {
    let backend = Fake::new(1);
    let server = server(&backend, Limits::default()).await;
    let mut quick = Events::open(&server, "", None).await;
    let mut slow = Events::open(&server, "", None).await;
    slow.find("hello").await;
    quick.find("hello").await;
    // Enough that the sockets' buffers are full and the feed's messages gone, while one does not read.
    let total: u64 = 40 * 400;
    for begin in (1..total).step_by(400) {
        backend.put(begin..=(begin + 399));
        let begun = std::time::Instant::now();
        let (numbers, hidden, missed) = quick.numbers(400).await;
        assert_eq!(missed, 0);
        assert_eq!(numbers.len() as u64 + hidden, 400);
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
    }
    let mut all = 0;
    let mut missed = 0;
    while all < total {
        let event = slow.next().await;
        match &*event.name {
            "accesses" => {
                all += event.data["rows"].as_array().unwrap().len() as u64
                    + event.data["not_shown"].as_u64().unwrap()
                    + event.data["not_seen"].as_u64().unwrap();
            }
            "missed" => {
                missed += event.data["count"].as_u64().unwrap();
                all += event.data["count"].as_u64().unwrap();
            }
            _ => {}
        }
    }
    assert_eq!(
        all, total,
        "every access is accounted for ({missed} missed)"
    );
}

#[tokio::test]
async fn bounds_hold() {
    let limits = Limits {
        connections: 3,
        viewers: 1,
        request: Duration::from_millis(300),
        stalled: Duration::from_millis(300),
    };
    let backend = Fake::new(1);
    let server = server(&backend, limits).await;
    let mut first = Events::open(&server, "", None).await;
    first.find("hello").await;
    assert_eq!(get(&server, "/api/stream", "", true).await.0, 503);

    // Who says nothing, and who keeps a connection without asking, is sent away.
    for said in [
        "",
        "GET / HT",
        &format!("GET /icon.svg HTTP/1.1\r\nHost: {}\r\n\r\n", server.address),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await;
        assert!(read.is_ok(), "{said}");
    }
    let long = format!("X: {}\r\n", "x".repeat(20_000));
    assert_eq!(get(&server, "/", &long, true).await.0, 431);

    // The end: streams are over, and nothing holds on to the backend.
    server.stop.send(true).unwrap();
    tokio::time::timeout(PATIENCE, server.task)
        .await
        .unwrap()
        .unwrap();
    drop(first);
    for _ in 0..200 {
        if Arc::strong_count(&backend) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} still hold the backend", Arc::strong_count(&backend));
}
