#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::task::JoinHandle;

use super::*;
use crate::access::Role;
use crate::access::record::{RequestRecord, ResponseRecord};
use crate::alert::{MarkRequest, NotMarked};
use crate::explain::Story;
use crate::report::Report;
use crate::scan::finding::Candidate;
use crate::scan::{Form, LiveUse};
use crate::serve::matching::TooMany;
use crate::serve::records::StatusRecord;
use crate::serve::testing::knows_nothing;
use crate::serve::{ControlSocket, serve};
use crate::store::StoreError;

/// 2026-11-24T10:00:00Z.
const NOW_US: i64 = 1_795_514_400_000_000;

struct Fake {
    kept: Mutex<Vec<Arc<AccessRecord>>>,
    accesses: broadcast::Sender<Arc<AccessRecord>>,
    alerts: broadcast::Sender<Arc<Alert>>,
    /// Accesses that arrive while the past is being read: in the channel, and perhaps in the past.
    meanwhile: Mutex<Vec<Arc<AccessRecord>>>,
}

fn access(n: u16) -> Arc<AccessRecord> {
    Arc::new(AccessRecord {
        r#type: "access".to_owned(),
        v: 1,
        time: "2026-11-23T18:57:18.123456Z".to_owned(),
        role: Role::Client,
        identity: Some(format!("id-{n}")),
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
            host: "a.example".to_owned(),
            path: "/\u{202e}\u{9b}".to_owned(),
            route: "/".to_owned(),
            unknown_fields: None,
        },
        response: Some(ResponseRecord {
            status: 200 + n % 2,
            grpc_status: None,
        }),
        duration_us: None,
        environment: None,
        duties: Vec::new(),
        findings: Vec::new(),
    })
}

impl Fake {
    fn put(&self, access: Arc<AccessRecord>) {
        self.kept.lock().unwrap().push(access.clone());
        drop(self.accesses.send(access));
    }
}

impl Backend for Fake {
    knows_nothing!();

    async fn recent(&self, n: usize) -> Vec<Arc<AccessRecord>> {
        for access in self.meanwhile.lock().unwrap().drain(..) {
            self.put(access);
        }
        let kept = self.kept.lock().unwrap();
        kept[kept.len().saturating_sub(n)..].to_vec()
    }
    fn subscribe(&self) -> broadcast::Receiver<Arc<AccessRecord>> {
        self.accesses.subscribe()
    }
    fn subscribe_alerts(&self) -> broadcast::Receiver<Arc<Alert>> {
        self.alerts.subscribe()
    }
    fn status(&self) -> StatusRecord {
        panic!("a backend that fails")
    }
    async fn report(&self, since_us: Option<i64>) -> Result<Report, StoreError> {
        Err(StoreError::Refused(format!("asked since {since_us:?}")))
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
        mark.check(NOW_US)
            .map_err(|(what, hint)| NotMarked::Refused(what, hint))?;
        mark.apply(&mut alert, &by, NOW_US);
        Ok(Arc::new(alert))
    }

    async fn explain(&self, id: String) -> Result<Story, NoStory> {
        Err(NoStory::Unknown {
            id,
            near: vec!["01A".to_owned()],
        })
    }
    async fn matches(&self, candidates: Vec<Candidate>) -> Result<Vec<(u32, LiveUse)>, TooMany> {
        if candidates.len() == 7 {
            return Err(TooMany);
        }
        let live = |candidate: &Candidate| candidate.parts().2 == b"live-one";
        let found = (0..)
            .zip(&candidates)
            .filter(|(_, candidate)| live(candidate));
        Ok(found
            .map(|(index, _)| {
                let live = LiveUse {
                    identity: "pay-writer".to_owned(),
                    owner: None,
                    environments: vec!["prod".to_owned()],
                    workloads: Vec::new(),
                    last_seen: None,
                };
                (index, live)
            })
            .collect())
    }
}

struct Server {
    backend: Arc<Fake>,
    path: PathBuf,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

fn server(limits: Limits, capacity: usize) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let socket = ControlSocket::bind(&path, "0").unwrap();
    let backend = Arc::new(Fake {
        kept: Mutex::default(),
        accesses: broadcast::channel(capacity).0,
        alerts: broadcast::channel(capacity).0,
        meanwhile: Mutex::default(),
    });
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(serve(socket, backend.clone(), limits, stopped));
    Server {
        backend,
        path,
        stop,
        task,
        _dir: dir,
    }
}

struct Client {
    lines: Lines<BufReader<OwnedReadHalf>>,
    to: OwnedWriteHalf,
}

impl Client {
    async fn connect(server: &Server) -> Self {
        let (from, to) = UnixStream::connect(&server.path)
            .await
            .unwrap()
            .into_split();
        Self {
            lines: BufReader::new(from).lines(),
            to,
        }
    }

    async fn ask(server: &Server, request: Value) -> Self {
        let mut client = Self::connect(server).await;
        client
            .to
            .write_all(format!("{request}\n").as_bytes())
            .await
            .unwrap();
        client
    }

    async fn line(&mut self) -> Option<Value> {
        let line = timeout(Duration::from_secs(10), self.lines.next_line())
            .await
            .expect("an answer in time");
        line.ok().flatten().map(|line| {
            assert!(line.chars().all(quote::is_plain), "{line}");
            serde_json::from_str(&line).unwrap()
        })
    }

    /// Identities of accesses, types of the other lines, up to the first line for which `end` holds.
    async fn until(&mut self, end: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some(line) = self.line().await {
            let name = line["identity"]
                .as_str()
                .or(line["type"].as_str())
                .unwrap()
                .to_owned();
            let last = name == end;
            seen.push(name);
            if last {
                break;
            }
        }
        seen
    }
}

fn names(range: std::ops::Range<u16>) -> Vec<String> {
    range.map(|n| format!("id-{n}")).collect()
}

#[tokio::test]
async fn the_last_ones_and_the_end() {
    let server = server(Limits::default(), 16);
    for n in 0..30 {
        server.backend.put(access(n));
    }
    let mut client = Client::ask(&server, json!({"v": 1, "command": "tail"})).await;
    let mut expected = names(10..30);
    expected.push("end".to_owned());
    assert_eq!(client.until("end").await, expected);
    assert_eq!(client.line().await, None);
    // With a filter they are the last that match, not those of the last that match.
    let filter = json!([{"field": "status", "value": "201"}]);
    let mut client = Client::ask(
        &server,
        json!({"v": 1, "command": "tail", "last": 3, "filter": filter}),
    )
    .await;
    assert_eq!(
        client.until("end").await,
        ["id-25", "id-27", "id-29", "end"]
    );
}

#[tokio::test]
async fn follows_without_gap_and_without_repetition() {
    for last in [0_usize, 2, 4, 50] {
        let server = server(Limits::default(), 64);
        for n in 0..3 {
            server.backend.put(access(n));
        }
        *server.backend.meanwhile.lock().unwrap() = (3..8).map(access).collect();
        let request = json!({"v": 1, "command": "tail", "last": last, "follow": true});
        let mut client = Client::ask(&server, request).await;
        let mut seen = client.until("live").await;
        for n in 8..10 {
            server.backend.put(access(n));
        }
        seen.extend(client.until("id-9").await);
        seen.retain(|name| name != "live");
        let first = 8_u16.saturating_sub(last as u16);
        // With none of the past asked for, it is not read, and nothing came meanwhile.
        assert_eq!(seen, names(first..10), "last {last}");
    }
}

#[tokio::test]
async fn a_slow_client_is_told_what_it_lost_and_blocks_nobody() {
    let server = server(Limits::default(), 8);
    let mut client = Client::ask(&server, json!({"v": 1, "command": "tail", "follow": true})).await;
    client.until("live").await;
    // Far more than the channel and the socket's buffer hold: the sender never waits.
    let sent = 20_000;
    for n in 0..sent {
        server.backend.put(access(n));
        if n % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let (mut got, mut lost) = (0, 0);
    while got + lost < u64::from(sent) {
        let line = client.line().await.unwrap();
        match line["type"].as_str().unwrap() {
            "access" => got += 1,
            "lost" => lost += line["count"].as_u64().unwrap(),
            other => panic!("{other}"),
        }
    }
    assert_eq!(got + lost, u64::from(sent), "every one is accounted for");
    assert!(lost > 0);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let limits = Limits {
        stalled: Duration::from_millis(100),
        clients: 1,
        ..Limits::default()
    };
    let server = server(limits, 8);
    let _stalled = Client::ask(&server, json!({"v": 1, "command": "tail", "follow": true})).await;
    let started = std::time::Instant::now();
    loop {
        for n in 0..500 {
            server.backend.put(access(n));
            tokio::task::yield_now().await;
        }
        let mut other = Client::ask(&server, json!({"v": 1, "command": "identities"})).await;
        if other.until("end").await == ["end"] {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}

#[tokio::test]
async fn bad_requests_are_answered() {
    let patient = server(Limits::default(), 8);
    // A request that does not end is waited for no longer.
    let limits = Limits {
        request: Duration::from_millis(200),
        ..Limits::default()
    };
    let hasty = server(limits, 8);
    for (request, code) in [
        (b"nonsense\n".to_vec(), "request"),
        (b"\xff\xfe\n".to_vec(), "request"),
        (b"{\"v\":9}\n".to_vec(), "version"),
        (vec![b'x'; MAX_REQUEST], "request"),
        (
            [vec![b'x'; MAX_REQUEST + 100], b"\n".to_vec()].concat(),
            "request",
        ),
        (
            b"{\"v\":1,\"command\":\"tail\",\"filter\":[{\"field\":\"status\",\"value\":\"x\"}]}\n"
                .to_vec(),
            "request",
        ),
        (
            b"{\"v\":1,\"command\":\"send-test\"}\n".to_vec(),
            "not-found",
        ),
        (
            b"{\"v\":1,\"command\":\"replay\",\"id\":\"x\"}\n".to_vec(),
            "not-found",
        ),
        (
            b"{\"v\":1,\"command\":\"alerts\",\"query\":{\"id\":\"x\"}}\n".to_vec(),
            "not-found",
        ),
        (b"{\"v\":1,\"command\":\"status\"}\n".to_vec(), "internal"),
        (b"{\"v\":1".to_vec(), "busy"),
    ] {
        let server = if code == "busy" { &hasty } else { &patient };
        let mut client = Client::connect(server).await;
        // The server may hang up before it has read all of it.
        drop(client.to.write_all(&request).await);
        let answer = client.line().await.unwrap();
        assert_eq!(
            (answer["type"].as_str(), answer["code"].as_str()),
            (Some("error"), Some(code)),
            "{answer}"
        );
        assert!(answer["hint"].is_string());
    }
}

#[tokio::test]
async fn clients_are_bounded_and_places_come_free() {
    let server = server(
        Limits {
            clients: 2,
            ..Limits::default()
        },
        8,
    );
    let follow = json!({"v": 1, "command": "tail", "follow": true});
    let mut one = Client::ask(&server, follow.clone()).await;
    let mut two = Client::ask(&server, follow.clone()).await;
    one.until("live").await;
    two.until("live").await;
    let mut three = Client::connect(&server).await;
    assert_eq!(three.line().await.unwrap()["code"], "busy");
    drop(one);
    for _ in 0..100 {
        let mut again = Client::ask(&server, follow.clone()).await;
        if again.until("live").await == ["live"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no place came free");
}

#[tokio::test]
async fn a_client_that_closed_its_sending_side_still_listens() {
    let server = server(
        Limits {
            clients: 1,
            ..Limits::default()
        },
        8,
    );
    let mut client = Client::ask(&server, json!({"v": 1, "command": "tail", "follow": true})).await;
    client.to.shutdown().await.unwrap();
    client.until("live").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.backend.put(access(1));
    assert_eq!(client.until("id-1").await, ["id-1"]);
    // Gone for good, it is noticed although nothing is sent.
    drop(client);
    for _ in 0..100 {
        let mut next = Client::ask(&server, json!({"v": 1, "command": "identities"})).await;
        if next.until("end").await == ["end"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("its place never came free");
}

#[tokio::test]
async fn those_that_follow_are_told_of_the_end() {
    let server = server(Limits::default(), 8);
    let mut client = Client::ask(
        &server,
        json!({"v": 1, "command": "alerts", "follow": true}),
    )
    .await;
    client.until("live").await;
    server.stop.send(true).unwrap();
    assert_eq!(client.line().await.unwrap()["code"], "stopping");
    timeout(Duration::from_secs(5), server.task)
        .await
        .unwrap()
        .unwrap();
    assert!(!server.path.exists());
}

#[tokio::test]
async fn a_report_and_a_story_that_cannot_be_had_say_why() {
    let server = server(Limits::default(), 8);
    for (request, code, message) in [
        (
            json!({"v": 1, "command": "report", "since": "soon"}),
            "request",
            "since is no time",
        ),
        (
            json!({"v": 1, "command": "report", "since": "1970-01-01T00:00:01Z"}),
            "internal",
            "asked since Some(1000000)",
        ),
        (
            json!({"v": 1, "command": "explain", "id": "01B"}),
            "not-found",
            "there is no alert \"01B\"",
        ),
    ] {
        let mut client = Client::ask(&server, request).await;
        let answer = client.line().await.unwrap();
        assert_eq!(answer["code"], code, "{answer}");
        assert!(
            answer["message"].as_str().unwrap().contains(message),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn marks_are_written_in_the_name_of_who_asks() {
    let server = server(Limits::default(), 8);
    let ask = async |request: Value| {
        let mut client = Client::ask(&server, request).await;
        client.line().await.unwrap()
    };
    let own = rustix::process::getuid();
    let name = if own.is_root() {
        "root".to_owned()
    } else {
        format!("uid {}", own.as_raw())
    };
    let known = ask(
        json!({"v": 1, "command": "acknowledge", "id": "al_1", "note": "ticket 7", "by": "boss"}),
    )
    .await;
    assert_eq!(known["acknowledged"]["by"], name, "not whom it names");
    assert_eq!(known["acknowledged"]["note"], "ticket 7");
    let muted =
        ask(json!({"v": 1, "command": "mute", "id": "al_1", "until": "2026-11-25T00:00:00Z"}))
            .await;
    assert_eq!(muted["muted_until"], "2026-11-25T00:00:00.000000Z");
    let free = ask(json!({"v": 1, "command": "unmark", "id": "al_1"})).await;
    assert!(free.get("acknowledged").is_none() && free["type"] == "alert");
    for (request, code, message) in [
        (
            json!({"v": 1, "command": "unmark", "id": "al_2"}),
            "not-found",
            "there is no alert \"al_2\"",
        ),
        (
            json!({"v": 1, "command": "mute", "id": "al_1", "until": "2h"}),
            "request",
            "until is no time",
        ),
        (
            json!({"v": 1, "command": "mute", "id": "al_1", "until": "2026-11-24T10:00:00Z"}),
            "request",
            "the time is past",
        ),
    ] {
        let answer = ask(request).await;
        assert_eq!(answer["code"], code, "{answer}");
        assert!(
            answer["message"].as_str().unwrap().contains(message),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn secrets_are_matched_and_never_said() {
    let server = server(Limits::default(), 8);
    let secret = |text: &str| {
        Candidate::from_parts(
            Form::Token,
            0,
            zeroize::Zeroizing::new(text.as_bytes().to_vec()),
        )
        .unwrap()
    };
    let mut client = Client::ask(&server, json!({"v": 1, "command": "match", "count": 2})).await;
    assert_eq!(client.line().await.unwrap()["type"], "ready");
    for text in ["planted-but-idle", "live-one"] {
        matching::send(&mut client.to, &secret(text)).await.unwrap();
    }
    let found = client.line().await.unwrap();
    assert_eq!(
        (&found["type"], &found["index"]),
        (&json!("match"), &json!(1))
    );
    assert_eq!(found["identity"], "pay-writer");
    assert!(!found.to_string().contains("live-one"));
    assert_eq!(client.line().await.unwrap()["type"], "end");

    // Too many in an hour, too many at once, and what is none.
    let mut client = Client::ask(&server, json!({"v": 1, "command": "match", "count": 7})).await;
    assert_eq!(client.line().await.unwrap()["type"], "ready");
    for _ in 0..7 {
        matching::send(&mut client.to, &secret("planted-but-idle"))
            .await
            .unwrap();
    }
    assert_eq!(client.line().await.unwrap()["code"], "busy");
    let mut client = Client::ask(&server, json!({"v": 1, "command": "match", "count": 1001})).await;
    assert_eq!(client.line().await.unwrap()["code"], "request");
    let mut client = Client::ask(&server, json!({"v": 1, "command": "match", "count": 1})).await;
    assert_eq!(client.line().await.unwrap()["type"], "ready");
    client.to.write_all(&[9, 0, 0, 0, 1, b'x']).await.unwrap();
    let refused = client.line().await.unwrap();
    assert_eq!(refused["code"], "request");
}
