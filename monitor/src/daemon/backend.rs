//! What clients of the control socket are told.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::{broadcast, oneshot};

use super::audit::Auditor;
use super::compare::Comparer;
use super::hub::Hub;
use super::stored;
use crate::access::record::AccessRecord;
use crate::alert::{Alert, AlertService, MarkRequest, NotMarked};
use crate::census::IdentityRecord;
use crate::config::Config;
use crate::contain::{self, ContainmentRecord, NotUndone};
use crate::coverage::CoverageRecord;
use crate::explain::{NoStory, Story};
use crate::metrics;
use crate::pipeline::thread::{Command, Snapshot};
use crate::policy::Policy;
use crate::report::Report;
use crate::scan::LiveUse;
use crate::scan::finding::Candidate;
use crate::scan::live::LiveIndex;
use crate::serve::Backend;
use crate::serve::matching::TooMany;
use crate::serve::records::{
    AccessStatus, AlertQuery, AlertStatus, AttachedProbe, ConnectionStatus, CoverageStatus,
    DeadLetter, DeliveryResult, HistoryStatus, HookStatus, IdentityStatus, Loss, MissingProbe,
    PolicyStatus, ProbedRecord, QueueStatus, StatusRecord, WebhookStatus,
};
use crate::source::kernel::hooks::Way;
use crate::source::key_logs::{self, SharedKeyLogs};
use crate::source::prober::{Book, SharedBook, read};
use crate::store;

/// What changes at a reload.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) config: Config,
    pub(super) policy: Arc<Policy>,
    pub(super) loaded: String,
    pub(super) error: Option<String>,
}

/// The daemon, as clients see it.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) hub: Hub,
    pub(super) commands: std::sync::mpsc::SyncSender<Command>,
    /// What secrets at rest are compared with.
    pub(super) comparer: Arc<Comparer>,
    /// What the looks beside code came to.
    pub(super) looked: Arc<stored::Counters>,
    /// What they go by.
    pub(super) terms: Arc<RwLock<stored::Terms>>,
    pub(super) alerts: AlertService,
    pub(super) audit: Auditor,
    pub(super) store: store::Store,
    pub(super) hooks: Vec<String>,
    /// How sends and receives are seen.
    pub(super) way: Arc<OnceLock<Way>>,
    /// What is probed; empty until it is known, or when nothing can be.
    pub(super) probed: Arc<OnceLock<SharedBook>>,
    /// Key logs that are followed.
    pub(super) key_logs: Option<SharedKeyLogs>,
    pub(super) started: (String, Instant),
    pub(super) current: RwLock<Current>,
    /// The newest counters, and accesses per second between the last two.
    pub(super) snapshot: Mutex<(Snapshot, f64)>,
    pub(super) identities: Mutex<IdentityStatus>,
    /// What is done about violations.
    pub(super) contain: contain::Handle,
    /// How long this host was watched, and what was counted.
    pub(super) watch: Mutex<super::reporting::Watch>,
    /// This run of the kernel.
    pub(super) boot: Arc<str>,
    /// Tells this run of the daemon from others.
    pub(super) run_id: u64,
}

/// By cause, those that never happened included.
pub(super) fn losses(snapshot: &Snapshot) -> Vec<Loss> {
    let loss = |cause: &str, count: u64, unit: &str| Loss {
        cause: cause.to_owned(),
        count,
        unit: unit.to_owned(),
    };
    let mut all: Vec<Loss> = Vec::new();
    for (name, count) in &snapshot.source.counters {
        let unit = match *name {
            "capped_bytes" => "bytes",
            "shed_short" | "shed_count" | "fault" => "calls",
            "state" => "connections",
            "key_slots" | "key_fault" => "secrets",
            _ => "records",
        };
        // On purpose: shown as not covered.
        if *name != "capped_bytes" {
            all.push(loss(name, *count, unit));
        }
    }
    let own = &snapshot.losses;
    all.push(loss("gap", own.gaps, "records"));
    all.push(loss("unheld", own.unheld, "records"));
    all.push(loss("undecided", own.undecided, "records"));
    all.push(loss("stray", own.strays, "connections"));
    all.push(loss("evicted", own.evicted, "connections"));
    let [unverified, forgotten] = snapshot.proofs;
    all.push(loss("proof_unverified", unverified, "proofs"));
    all.push(loss("proof_forgotten", forgotten, "proofs"));
    all.push(loss("unseen", snapshot.unseen, "accesses"));
    let history = &snapshot.history;
    all.push(loss("history_forgotten", history.forgotten, "accesses"));
    all.push(loss("history_unjudged", history.unjudged, "accesses"));
    all.push(loss(
        "credential_forgotten",
        history.credentials_forgotten,
        "credentials",
    ));
    all
}

fn uncovered(snapshot: &Snapshot) -> Vec<Loss> {
    let mut all: Vec<Loss> = Vec::new();
    for entry in &snapshot.source.uncovered {
        match all.iter_mut().find(|loss| loss.cause == entry.cause) {
            Some(loss) => loss.count += entry.bytes,
            None => all.push(Loss {
                cause: entry.cause.to_owned(),
                count: entry.bytes,
                unit: "bytes".to_owned(),
            }),
        }
    }
    // Bodies, nearly all of it; but also requests pipelined beyond a turn's first 16 KiB.
    let capped = snapshot
        .source
        .counters
        .iter()
        .find(|(name, _)| *name == "capped_bytes");
    if let Some((_, count @ 1..)) = capped {
        all.push(Loss {
            cause: "capped".to_owned(),
            count: *count,
            unit: "bytes".to_owned(),
        });
    }
    all
}

fn coverage(snapshot: &Snapshot, book: &Book, way: Option<&Way>) -> CoverageStatus {
    let stats = &snapshot.coverage;
    let probes = || book.files.values().flat_map(|file| &file.attached);
    CoverageStatus {
        read: stats.read,
        other: stats.other,
        dark: stats.dark,
        workloads: stats.workloads as u64,
        dark_workloads: stats.dark_workloads as u64,
        forgotten: stats.forgotten,
        probed_files: book
            .files
            .values()
            .filter(|file| !file.attached.is_empty())
            .count() as u64,
        probes: probes().count() as u64,
        stepped_probes: probes().filter(|(_, emulated)| !emulated).count() as u64,
        missing_probes: book
            .files
            .values()
            .map(|file| file.missing.len() as u64)
            .sum(),
        not_seen: way.and_then(|way| way.shortcoming()).map(str::to_owned),
    }
}

/// Resident memory of this process.
fn resident() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm")
        .ok()?
        .split(' ')
        .nth(1)?
        .parse()
        .ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

impl Daemon {
    /// What is probed now.
    fn book(&self) -> Book {
        self.probed.get().map(read).unwrap_or_default()
    }

    /// Processes with probes at reads and writes, for want of keys.
    fn fallback(&self) -> Vec<HookStatus> {
        let book = self.book();
        book.fallback
            .into_iter()
            .map(|(pid, entry)| HookStatus {
                name: format!("fallback:{pid}"),
                attached: !entry.files.is_empty(),
                detail: entry.trouble.or_else(|| {
                    Some(match entry.files.as_slice() {
                        [] => "no SSL_read or SSL_write in its files".to_owned(),
                        files => files.join(", "),
                    })
                }),
                runs: None,
            })
            .collect()
    }

    /// Key logs as hooks: each secret is a run.
    fn key_logs(&self) -> Vec<HookStatus> {
        let logs = self.key_logs.as_ref().map(key_logs::read);
        logs.into_iter()
            .flatten()
            .map(|log| HookStatus {
                name: format!("key-log:{}", log.path.display()),
                attached: log.trouble.is_none(),
                detail: log.trouble.or_else(|| {
                    let bad = log.counts.malformed;
                    (bad > 0).then(|| format!("{bad} lines are none of a key log"))
                }),
                runs: Some(log.counts.secrets),
            })
            .collect()
    }

    /// What scrapers are told.
    pub(super) fn metrics(&self) -> metrics::Inputs {
        let status = self.status();
        let snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        metrics::Inputs {
            status,
            losses: losses(&snapshot.0),
            anomalies: snapshot.0.anomalies.clone(),
            findings: snapshot.0.by_kind,
            latency: snapshot.0.latency,
        }
    }

    fn webhooks(&self) -> Vec<WebhookStatus> {
        let status = self.alerts.status();
        status
            .endpoints
            .into_iter()
            .map(|end| WebhookStatus {
                state: if end.disabled.is_some() {
                    "disabled"
                } else if end.last_error.is_some() && end.queued > 0 {
                    "retrying"
                } else {
                    "ok"
                }
                .to_owned(),
                name: end.name,
                waiting: end.queued as u64,
                oldest_s: end.oldest_seconds,
                delivered: end.delivered,
                failed: end.failed,
                dead_letters: end.dead_letters,
                error: end.disabled.or(end.last_error),
            })
            .collect()
    }
}

impl Backend for Daemon {
    async fn recent(&self, n: usize) -> Vec<Arc<AccessRecord>> {
        self.hub.recent(n).await
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<AccessRecord>> {
        self.hub.subscribe()
    }

    fn alerts(&self, query: AlertQuery) -> Vec<Alert> {
        let wanted = store::AlertQuery {
            limit: Some(usize::MAX),
            ..Default::default()
        };
        let mut found = match self.alerts.list(&wanted) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "alerts cannot be read");
                Vec::new()
            }
        };
        // Who asks was told what is wrong with the filter.
        let filter = query.filter().unwrap_or_default();
        found.retain(|alert| filter.matches(alert));
        found.truncate(query.last.unwrap_or(usize::MAX));
        found.reverse();
        found
    }

    fn subscribe_alerts(&self) -> broadcast::Receiver<Arc<Alert>> {
        self.alerts.subscribe()
    }

    async fn identities(&self) -> Vec<IdentityRecord> {
        let (answer, answered) = oneshot::channel();
        if self.commands.try_send(Command::Identities(answer)).is_err() {
            return Vec::new();
        }
        answered.await.unwrap_or_default()
    }

    async fn coverage(&self) -> Vec<CoverageRecord> {
        let (answer, answered) = oneshot::channel();
        if self.commands.try_send(Command::Coverage(answer)).is_err() {
            return Vec::new();
        }
        answered.await.unwrap_or_default()
    }

    fn probed(&self) -> Vec<ProbedRecord> {
        let book = self.book();
        let means = book.means;
        book.files
            .into_values()
            .map(|file| ProbedRecord {
                r#type: "probed".to_owned(),
                v: 1,
                file: file.path,
                means: means.to_owned(),
                attached: file
                    .attached
                    .into_iter()
                    .map(|(function, emulated)| AttachedProbe {
                        function: function.to_owned(),
                        emulated,
                    })
                    .collect(),
                missing: file
                    .missing
                    .into_iter()
                    .map(|(function, why)| MissingProbe {
                        function: function.to_owned(),
                        why,
                    })
                    .collect(),
            })
            .collect()
    }

    fn status(&self) -> StatusRecord {
        let (snapshot, per_second) = self
            .snapshot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let alerts = self.alerts.status();
        let mut losses = losses(&snapshot);
        if alerts.buffered > 0 {
            tracing::debug!(
                buffered = alerts.buffered,
                "alert updates wait for the store"
            );
        }
        losses.retain(|loss| loss.count > 0);
        losses.sort_by_key(|loss| std::cmp::Reverse(loss.count));
        StatusRecord {
            r#type: "status".to_owned(),
            v: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.started.0.clone(),
            uptime_s: self.started.1.elapsed().as_secs(),
            environment: current.config.environment.clone(),
            config: current
                .config
                .files
                .iter()
                .map(|f| f.display().to_string())
                .collect(),
            policy: PolicyStatus {
                generation: current.policy.generation,
                loaded: Some(current.loaded.clone()),
                identities: current.policy.identities().len() as u64,
                error: current.error.clone(),
            },
            hooks: self
                .hooks
                .iter()
                .map(|name| HookStatus {
                    name: name.clone(),
                    attached: true,
                    detail: None,
                    runs: None,
                })
                .chain(self.key_logs())
                .chain(self.fallback())
                .collect(),
            accesses: AccessStatus {
                total: snapshot.accesses,
                with_credential: snapshot.with_credential,
                per_second,
            },
            losses,
            anomalies: snapshot
                .anomalies
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(cause, count)| Loss {
                    cause: (*cause).to_owned(),
                    count: *count,
                    unit: "messages".to_owned(),
                })
                .collect(),
            uncovered: uncovered(&snapshot),
            connections: ConnectionStatus {
                open: snapshot.connections.0 as u64,
                bytes: snapshot.connections.1 as u64,
                max_bytes: u64::from(current.config.capture.max_connection_memory_mib) << 20,
                forgotten: snapshot.losses.evicted,
            },
            coverage: coverage(&snapshot, &self.book(), self.way.get()),
            queues: std::iter::once(QueueStatus {
                name: "alert updates for the store".to_owned(),
                length: alerts.buffered as u64,
                capacity: 0,
                dropped: 0,
            })
            .chain(self.audit.queue())
            .collect(),
            audit: self.audit.status(),
            identities: self
                .identities
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            history: HistoryStatus {
                accesses: snapshot.history.acts as u64,
                waiting: snapshot.history.waiting as u64,
                bytes: snapshot.history.bytes as u64,
                max_bytes: snapshot.history.max_bytes as u64,
                forgotten: snapshot.history.forgotten,
            },
            baseline: snapshot.baseline.clone(),
            alerts: AlertStatus {
                raised: alerts.stored,
                stored: alerts.store.alerts,
                error: alerts.store.last_error.clone(),
            },
            webhooks: self.webhooks(),
            memory_bytes: resident(),
            containment: self.contain.status(),
            scan: self.looked.status(),
        }
    }

    async fn send_test(&self, webhook: Option<String>) -> Vec<DeliveryResult> {
        let begun = Instant::now();
        let results = self.alerts.send_test(webhook.as_deref()).await;
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).ok();
        results
            .into_iter()
            .map(|(webhook, result)| DeliveryResult {
                r#type: "delivery".to_owned(),
                v: 1,
                webhook,
                id: String::new(),
                ok: result.is_ok(),
                status: result.as_ref().ok().copied(),
                error: result.err(),
                duration_ms,
            })
            .collect()
    }

    async fn containments(&self) -> Option<Vec<ContainmentRecord>> {
        self.contain.list().await
    }

    async fn undo_containment(&self, id: String) -> Option<Result<ContainmentRecord, NotUndone>> {
        let undone = self.contain.undo(id).await;
        if let Some(Ok(record)) = &undone {
            self.audit.undone(record);
        }
        undone
    }

    async fn mark(
        &self,
        id: String,
        mark: MarkRequest,
        by: String,
    ) -> Result<Arc<Alert>, NotMarked> {
        let grants = match mark {
            MarkRequest::Acknowledge { .. } => Some(true),
            MarkRequest::Unmark => Some(false),
            MarkRequest::Mute { .. } => None,
        };
        let marked = (mark.clone(), by.clone());
        let alert = self.alerts.mark(id, mark, by).await?;
        self.audit.marked(&alert, &marked.0, &marked.1);
        if let Some(granted) = grants {
            super::usual::grant(self, &alert, granted);
        }
        Ok(alert)
    }

    async fn matches(&self, candidates: Vec<Candidate>) -> Result<Vec<(u32, LiveUse)>, TooMany> {
        let fingerprints = self.comparer.of_client(&candidates)?;
        drop(candidates);
        let live = LiveIndex::new(&self.identities().await);
        Ok((0..)
            .zip(fingerprints)
            .filter_map(|(index, fingerprint)| Some((index, live.get(fingerprint?)?.clone())))
            .collect())
    }

    fn dead_letters(&self) -> Vec<DeadLetter> {
        let names: Vec<String> = self
            .alerts
            .status()
            .endpoints
            .into_iter()
            .map(|end| end.name)
            .collect();
        let mut all = Vec::new();
        for name in names {
            let letters = self
                .store
                .dead_letters(&name, usize::MAX)
                .unwrap_or_default();
            all.extend(letters.into_iter().map(|letter| dead_letter(&name, letter)));
        }
        all
    }

    async fn replay(&self, id: Option<String>) -> Vec<DeliveryResult> {
        let mut results = Vec::new();
        for end in self.alerts.status().endpoints {
            // One by one is not offered by the store: a letter's endpoint is replayed whole.
            let letters = self
                .store
                .dead_letters(&end.name, usize::MAX)
                .unwrap_or_default();
            let wanted = letters
                .iter()
                .any(|letter| id.as_ref().is_none_or(|id| *id == letter.message));
            if !wanted {
                continue;
            }
            let outcome = self.alerts.replay_dead_letters(&end.name).await;
            for letter in letters {
                results.push(DeliveryResult {
                    r#type: "delivery".to_owned(),
                    v: 1,
                    webhook: end.name.clone(),
                    id: letter.message,
                    ok: outcome.is_ok(),
                    status: None,
                    error: outcome.as_ref().err().map(ToString::to_string),
                    duration_ms: None,
                });
            }
        }
        results
    }

    async fn report(&self, since_us: Option<i64>) -> Result<Report, store::StoreError> {
        self.make_report(since_us).await
    }

    async fn explain(&self, id: String) -> Result<Story, NoStory> {
        self.tell_story(id).await
    }
}

fn dead_letter(webhook: &str, letter: store::DeadLetter) -> DeadLetter {
    DeadLetter {
        r#type: "dead-letter".to_owned(),
        v: 1,
        alert: letter.alert,
        id: letter.message,
        webhook: webhook.to_owned(),
        time: letter.time,
        attempts: letter.attempts,
        error: letter.error,
    }
}
