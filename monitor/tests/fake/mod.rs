//! A daemon made of fixed answers, on a real control socket.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bailiwick::access::record::AccessRecord;
use bailiwick::alert::{Acknowledged, Alert, MarkRequest, NotMarked};
use bailiwick::census::IdentityRecord;
use bailiwick::coverage::CoverageRecord;
use bailiwick::explain::{NoStory, Story};
use bailiwick::report::Report;
use bailiwick::scan::finding::Candidate;
use bailiwick::scan::{Finding, LiveUse};
use bailiwick::serve::matching::TooMany;
use bailiwick::serve::records::{
    AlertQuery, DeadLetter, DeliveryResult, ProbedRecord, StatusRecord,
};
use bailiwick::serve::{Backend, ControlSocket, Limits, serve};
use bailiwick::store::StoreError;
use serde::de::DeserializeOwned;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

/// The documentation's example of a type.
fn example<T: DeserializeOwned>(kind: &str) -> T {
    let docs = include_str!("../../../docs/json.md");
    let mut blocks = docs
        .split("```json\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    let block = blocks
        .find(|block| block.starts_with(&format!("{{\"type\":\"{kind}\"")))
        .unwrap();
    serde_json::from_str(block).unwrap()
}

/// Accesses of every sort; `n` is in the path and orders them in time.
pub(crate) fn access(n: u32) -> AccessRecord {
    let mut record: AccessRecord = example("access");
    record.time = format!("2026-11-23T18:57:{:02}.{:06}Z", n / 10, n % 10);
    record.request.path = format!("/n/{n}");
    record.findings.clear();
    match n % 5 {
        0 => {}
        1 => {
            record.request.method = "POST".to_owned();
            record.response.as_mut().unwrap().status = 404;
        }
        2 => {
            record.identity = None;
            record.credential = None;
            record.request.host = "other.example".to_owned();
            record.response = None;
            record.duration_us = None;
        }
        3 => {
            record.environment = Some("prod".to_owned());
            record.findings = vec!["environment".to_owned(), "duty".to_owned()];
        }
        _ => {
            // Somebody tries to disturb the terminal, and to invent a column.
            record.identity = Some("jwt:iss=x,sub=a 200 \u{1b}[2J\u{202e}".to_owned());
            record.request.host = "\u{200b}evil\u{9b}.example".to_owned();
            record.client.as_mut().unwrap().unit = None;
            record.client.as_mut().unwrap().exe = "/tmp/a b\nc".to_owned();
        }
    }
    record
}

pub(crate) fn alert(n: u32) -> Alert {
    let mut alert: Alert = example("alert");
    alert.id = format!("alert-{n}");
    alert.title = "used at \u{1b}]0;title\u{7} \u{2066}api.pay.example".to_owned();
    alert
}

struct Fixed {
    kept: Mutex<Vec<Arc<AccessRecord>>>,
    accesses: broadcast::Sender<Arc<AccessRecord>>,
    alerts: broadcast::Sender<Arc<Alert>>,
}

impl Backend for Fixed {
    async fn recent(&self, n: usize) -> Vec<Arc<AccessRecord>> {
        let kept = self.kept.lock().unwrap();
        kept[kept.len().saturating_sub(n)..].to_vec()
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<AccessRecord>> {
        self.accesses.subscribe()
    }

    fn alerts(&self, query: AlertQuery) -> Vec<Alert> {
        [alert(0), alert(1)]
            .into_iter()
            .filter(|alert| query.matches(alert))
            .collect()
    }

    fn subscribe_alerts(&self) -> broadcast::Receiver<Arc<Alert>> {
        self.alerts.subscribe()
    }

    async fn identities(&self) -> Vec<IdentityRecord> {
        let mut hostile: IdentityRecord = example("identity");
        hostile.identity = "\u{202e}jwt:iss=x,sub=a b".to_owned();
        hostile.last_seen = None;
        hostile.hosts.items = vec!["\u{1b}[31m".to_owned()];
        vec![hostile, example("identity")]
    }

    async fn coverage(&self) -> Vec<CoverageRecord> {
        let mut hostile: CoverageRecord = example("coverage");
        hostile.examples[0].sni = Some("\u{1b}[31m evil".to_owned());
        vec![hostile]
    }

    async fn matches(&self, candidates: Vec<Candidate>) -> Result<Vec<(u32, LiveUse)>, TooMany> {
        // The first one is in use.
        let live = example::<Finding>("stored-credential").live;
        Ok(candidates
            .first()
            .and(live)
            .map(|live| (0, live))
            .into_iter()
            .collect())
    }

    fn probed(&self) -> Vec<ProbedRecord> {
        vec![example("probed")]
    }

    fn status(&self) -> StatusRecord {
        example("status")
    }

    fn send_test(
        &self,
        webhook: Option<String>,
    ) -> impl Future<Output = Vec<DeliveryResult>> + Send {
        let results = if webhook.is_none() {
            vec![example("delivery")]
        } else {
            Vec::new()
        };
        std::future::ready(results)
    }

    fn dead_letters(&self) -> Vec<DeadLetter> {
        vec![example("dead-letter")]
    }

    fn replay(&self, id: Option<String>) -> impl Future<Output = Vec<DeliveryResult>> + Send {
        let good =
            json!({"type": "delivery", "v": 1, "webhook": "soc", "id": "letter-1", "ok": true});
        let results = if id.is_none() {
            vec![serde_json::from_value(good).unwrap()]
        } else {
            Vec::new()
        };
        std::future::ready(results)
    }

    async fn mark(
        &self,
        id: String,
        mark: MarkRequest,
        by: String,
    ) -> Result<Arc<Alert>, NotMarked> {
        let mut alert = alert(0);
        if !alert.id.starts_with(&id) {
            return Err(NotMarked::Unknown(id));
        }
        let at = "2026-11-24T10:00:00.000000Z".to_owned();
        match mark {
            MarkRequest::Acknowledge { note } => {
                alert.acknowledged = Some(Acknowledged { at, by, note });
            }
            MarkRequest::Mute { until_us } => {
                alert.muted_until = Some(bailiwick::access::record::rfc3339(until_us));
            }
            MarkRequest::Unmark => {}
        }
        Ok(Arc::new(alert))
    }

    async fn report(&self, since_us: Option<i64>) -> Result<Report, StoreError> {
        let mut report: Report = example("report");
        if let Some(since_us) = since_us {
            report.period.since = bailiwick::access::record::rfc3339(since_us);
        }
        report.unnamed.items[0].identity = "\u{202e}jwt:iss=x,sub=<script> b".to_owned();
        Ok(report)
    }

    async fn explain(&self, id: String) -> Result<Story, NoStory> {
        let mut story: Story = example("story");
        if story.id.starts_with(&id) {
            story.title.push_str(" \u{1b}[2J\u{202e}");
            return Ok(story);
        }
        Err(NoStory::Unknown {
            id,
            near: vec![story.id],
        })
    }
}

pub(crate) struct Daemon {
    pub(crate) socket: PathBuf,
    pub(crate) dir: TempDir,
    runtime: Runtime,
    backend: Arc<Fixed>,
    running: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

impl Daemon {
    /// With 26 accesses of the past.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let backend = Arc::new(Fixed {
            kept: Mutex::default(),
            accesses: broadcast::channel(1024).0,
            alerts: broadcast::channel(16).0,
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let socket = dir.path().join("control.sock");
        let mut daemon = Self {
            socket,
            dir,
            runtime,
            backend,
            running: None,
        };
        daemon.restart((0..26).map(access).collect());
        daemon
    }

    /// Stops as a daemon does that is told to.
    pub(crate) fn stop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.send(true).unwrap();
            self.runtime.block_on(task).unwrap();
        }
    }

    /// Starts again, knowing only these accesses.
    pub(crate) fn restart(&mut self, accesses: Vec<AccessRecord>) {
        *self.backend.kept.lock().unwrap() = accesses.into_iter().map(Arc::new).collect();
        let (stop, stopped) = watch::channel(false);
        let _guard = self.runtime.enter();
        let socket = ControlSocket::bind(&self.socket, "0").unwrap();
        let task = self.runtime.spawn(serve(
            socket,
            self.backend.clone(),
            Limits::default(),
            stopped,
        ));
        self.running = Some((stop, task));
    }

    pub(crate) fn put(&self, access: AccessRecord) {
        let access = Arc::new(access);
        self.backend.kept.lock().unwrap().push(access.clone());
        drop(self.backend.accesses.send(access));
    }

    pub(crate) fn raise(&self, alert: Alert) {
        drop(self.backend.alerts.send(Arc::new(alert)));
    }
}
