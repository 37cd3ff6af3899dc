//! Production credentials stored beside application code: looks through working directory and environment of each
//! workload that was seen using a credential.
//!
//! In a thread of the lowest priority for processor and disk, fed over a bounded queue by the hot thread. A workload is
//! looked at once a day, and again when it is another executable or another directory.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, RwLock};
use std::time::Instant;

use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::backend::Daemon;
use super::compare::Comparer;
use crate::alert::{AlertUpdate, Clock, FoldKey, SystemClock};
use crate::config::{Config, ScanConfig};
use crate::confine::{self, Part};
use crate::judge::stored_credential::{self, Lies, Stored};
use crate::judge::{FindingKind, Severity};
use crate::pipeline::CredentialUse;
use crate::pipeline::thread::Command;
use crate::policy::Policy;
use crate::policy::selector::Selector;
use crate::scan::finding::Candidate;
use crate::scan::gitleaks::ForeignRules;
use crate::scan::live::LiveIndex;
use crate::scan::workload::{Asked, Look, Sighting, is_kept_apart, is_system};
use crate::scan::{Buffer, LiveUse, Scanner};
use crate::serve::records::ScanStatus;

/// Uses that wait.
const QUEUE: usize = 256;
/// Looks remembered.
const MOST_REMEMBERED: usize = 8192;
/// Longest environment read.
const MOST_ENVIRON: u64 = 1 << 20;
/// A day, in microseconds.
const DAY_US: i64 = 86_400_000_000;

/// Counters, for `status`.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) looked: AtomicU64,
    pub(super) files: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) found: AtomicU64,
    /// Ended by a bound.
    pub(super) cut: AtomicU64,
    /// Files and directories that could not be read.
    pub(super) unread: AtomicU64,
    /// Processes that were gone before they could be looked at.
    pub(super) gone: AtomicU64,
    /// Working directories that hold no code of their own, or are remote.
    pub(super) skipped: AtomicU64,
    /// Uses for which the queue had no room, or the hot thread no time.
    pub(super) dropped: AtomicU64,
}

impl Counters {
    /// As `status` shows them.
    pub(super) fn status(&self) -> ScanStatus {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ScanStatus {
            workloads: number(&self.looked),
            files: number(&self.files),
            bytes: number(&self.bytes),
            found: number(&self.found),
            cut: number(&self.cut),
            unread: number(&self.unread),
            gone: number(&self.gone),
            skipped: number(&self.skipped),
            dropped: number(&self.dropped),
        }
    }
}

impl Terms {
    /// As configured, with the files that the policy names.
    pub(super) fn new(config: &Config, policy: &Policy) -> Self {
        let base = config
            .file()
            .and_then(Path::parent)
            .unwrap_or(Path::new("."));
        let named = policy
            .identities()
            .flat_map(|identity| identity.credentials.iter())
            .filter_map(|selector| match selector {
                Selector::File(path) => Some(base.join(path).display().to_string()),
                _ => None,
            });
        let kind = FindingKind::StoredCredential;
        Self {
            config: config.scan.clone(),
            severity: config.checks.severity(kind, kind.default_severity()),
            named: named.collect(),
        }
    }
}

/// What the thread goes by; replaced at a reload.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) config: ScanConfig,
    /// Severity of the kind; `None`: it is off.
    pub(super) severity: Option<Severity>,
    /// Files that the policy names for an identity.
    pub(super) named: Vec<String>,
}

/// The thread's other parts.
pub(super) struct Parts {
    pub(super) comparer: Arc<Comparer>,
    pub(super) commands: SyncSender<Command>,
    pub(super) alerts: tokio::sync::mpsc::Sender<Vec<AlertUpdate>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) terms: Arc<RwLock<Terms>>,
    pub(super) counters: Arc<Counters>,
}

/// The receiving end, before the thread runs.
pub(super) struct Uses(Receiver<CredentialUse>);

/// A queue of uses: what the hot thread tells them to, and what the thread reads them from.
pub(super) fn queue(counters: Arc<Counters>) -> (impl Fn(CredentialUse) + Send + 'static, Uses) {
    let (sender, receiver) = sync_channel(QUEUE);
    let tell = move |used| {
        if let Err(TrySendError::Full(_)) = sender.try_send(used) {
            counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    };
    (tell, Uses(receiver))
}

/// Runs the thread and takes what it finds to the alerts; ends with the hot thread.
pub(super) fn run(uses: Uses, daemon: &Arc<Daemon>) -> tokio::task::JoinHandle<()> {
    let (alerts, mut found) = tokio::sync::mpsc::channel(16);
    let parts = Parts {
        comparer: Arc::clone(&daemon.comparer),
        commands: daemon.commands.clone(),
        alerts,
        clock: Arc::new(SystemClock),
        terms: Arc::clone(&daemon.terms),
        counters: Arc::clone(&daemon.looked),
    };
    if let Err(error) = start(uses, parts) {
        tracing::warn!(%error, "no thread to look for credentials beside code");
    }
    let daemon = Arc::clone(daemon);
    tokio::spawn(async move {
        while let Some(updates) = found.recv().await {
            if let Err(error) = daemon.alerts.apply(updates).await {
                tracing::error!(%error, "alerts are not durable yet");
            }
        }
    })
}

/// Starts the thread; it ends when the hot thread is gone.
fn start(uses: Uses, parts: Parts) -> std::io::Result<()> {
    let scanner = Scanner::new(ForeignRules::default()).map_err(std::io::Error::other)?;
    std::thread::Builder::new()
        .name("bailiwick-scan".to_owned())
        .spawn(move || {
            confine::enter(Part::Scan, &[]);
            rest_first();
            let mut thread = Thread {
                scanner,
                parts,
                seen: HashMap::new(),
                buffer: Buffer::default(),
            };
            while let Ok(used) = uses.0.recv() {
                thread.used(&used);
            }
        })?;
    Ok(())
}

/// Everybody else comes first, at the processor and at the disk.
fn rest_first() {
    let _ = rustix::process::setpriority_process(None, 19);
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_IDLE: libc::c_int = 3 << 13;
    // SAFETY: ioprio_set(2) takes three numbers, of which 0 is the calling thread; it touches no memory.
    let _ = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE) };
}

/// Workload, executable, and the directory's device and number.
type Seen = (String, Arc<str>, u64, u64);

struct Thread {
    scanner: Scanner,
    parts: Parts,
    /// When it was looked at last.
    seen: HashMap<Seen, i64>,
    buffer: Buffer,
}

/// What is live, by this host's key.
struct Live<'a> {
    index: LiveIndex,
    comparer: &'a Comparer,
}

impl Asked for Live<'_> {
    fn live(&self, candidate: &Candidate) -> Option<LiveUse> {
        let live = self.index.get(self.comparer.fingerprint(candidate)?)?;
        // One that was only ever refused is no credential in use.
        live.last_seen.is_some().then(|| live.clone())
    }
}

/// A process whose directory can be looked at: the one that used the credential, or, when that is gone, its parent.
struct Standing {
    pid: u32,
    directory: OwnedFd,
    /// As the process' own root has it.
    path: String,
    device: u64,
    number: u64,
}

fn stand(used: &CredentialUse) -> Option<Standing> {
    let lineage = used.workload.lineage.first();
    let candidates = [(used.pid, Some(&used.workload.exe)), (used.parent, lineage)];
    candidates.into_iter().find_map(|(pid, exe)| {
        if pid <= 1 {
            return None;
        }
        let at = format!("/proc/{pid}");
        let directory = File::open(format!("{at}/cwd")).ok()?;
        let path = fs::read_link(format!("{at}/cwd")).ok()?;
        // Numbers are used again: it must still be the program that it was.
        let now = fs::read_link(format!("{at}/exe")).ok()?;
        let now = now.to_string_lossy();
        let now = now.strip_suffix(" (deleted)").unwrap_or(&now);
        if exe.is_none_or(|exe| **exe != *now && *used.workload.exe != *now) {
            return None;
        }
        let about = directory.metadata().ok()?;
        Some(Standing {
            pid,
            directory: directory.into(),
            path: path.to_string_lossy().into_owned(),
            device: about.dev(),
            number: about.ino(),
        })
    })
}

impl Thread {
    fn used(&mut self, used: &CredentialUse) {
        let terms = self
            .parts
            .terms
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        let Some(severity) = terms.severity.filter(|_| terms.config.workloads) else {
            return;
        };
        let counters = Arc::clone(&self.parts.counters);
        let count = |counter: &AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        let Some(standing) = stand(used) else {
            count(&counters.gone);
            return;
        };
        let now = self.parts.clock.now_us();
        let key = seen(used, &standing);
        if !self.is_due(&key, now) {
            return;
        }
        // First of all: the process may be about to end.
        let environ = environ_of(used, &standing);
        let Some(index) = self.live() else {
            count(&counters.dropped);
            return;
        };
        self.remember(key, now);
        let comparer = Arc::clone(&self.parts.comparer);
        let asked = Live {
            index,
            comparer: &comparer,
        };
        let look = Look {
            scanner: &self.scanner,
            asked: &asked,
            bounds: terms.config.bounds,
        };
        count(&counters.looked);
        let mut updates = Vec::new();
        let workload = used.workload.label().to_string();
        if is_system(&standing.path) {
            count(&counters.skipped);
        } else {
            match look.directory(&standing.directory, &mut self.buffer, Instant::now()) {
                Ok((looked, found)) => {
                    counters.files.fetch_add(looked.files, Ordering::Relaxed);
                    counters.bytes.fetch_add(looked.bytes, Ordering::Relaxed);
                    counters.unread.fetch_add(
                        looked.unread.saturating_add(looked.large),
                        Ordering::Relaxed,
                    );
                    if looked.cut {
                        count(&counters.cut);
                    }
                    let home = variable(&environ, b"HOME");
                    let credentials = variable(&environ, b"CREDENTIALS_DIRECTORY");
                    for sighting in found {
                        let path = format!("{}/{}", standing.path, sighting.name);
                        let apart = is_kept_apart(
                            &path,
                            sighting.mode,
                            home.as_deref(),
                            credentials.as_deref(),
                            &terms.named,
                        );
                        if !apart && !terms.config.allow.iter().any(|glob| glob.is_match(&path)) {
                            let lies = Lies::File {
                                path: &path,
                                line: sighting.line,
                            };
                            updates.push(update(&workload, &sighting, lies, severity, now));
                        }
                    }
                }
                Err(_) => count(&counters.skipped),
            }
        }
        if terms.config.environment {
            for sighting in look.environment(&environ, &mut self.buffer) {
                let lies = Lies::Variable {
                    name: &sighting.name,
                };
                updates.push(update(&workload, &sighting, lies, severity.lowered(), now));
            }
        }
        if !updates.is_empty() {
            counters
                .found
                .fetch_add(updates.len() as u64, Ordering::Relaxed);
            // The relay ends only with the daemon.
            drop(self.parts.alerts.blocking_send(updates));
        }
    }

    /// Whether this workload was not looked at within a day, in this directory.
    fn is_due(&self, key: &Seen, now: i64) -> bool {
        let last = self.seen.get(key);
        last.is_none_or(|last| now.saturating_sub(*last) >= DAY_US)
    }

    fn remember(&mut self, key: Seen, now: i64) {
        if self.seen.len() >= MOST_REMEMBERED {
            self.seen
                .retain(|_, last| now.saturating_sub(*last) < DAY_US / 2);
            if self.seen.len() >= MOST_REMEMBERED {
                self.seen.clear();
            }
        }
        self.seen.insert(key, now);
    }

    /// What is live; `None` when nothing is, or the hot thread has no time.
    fn live(&self) -> Option<LiveIndex> {
        let (answer, answered) = oneshot::channel();
        self.parts
            .commands
            .try_send(Command::Identities(answer))
            .ok()?;
        let index = LiveIndex::new(&answered.blocking_recv().ok()?);
        (!index.is_empty()).then_some(index)
    }
}

fn seen(used: &CredentialUse, standing: &Standing) -> Seen {
    (
        used.workload.label().to_string(),
        Arc::clone(&used.workload.exe),
        standing.device,
        standing.number,
    )
}

/// The environment of the process; of its parent, which gave it to it, when it ended in between.
fn environ_of(used: &CredentialUse, standing: &Standing) -> Zeroizing<Vec<u8>> {
    let own = environ(standing.pid);
    let is_parent = used.parent > 1
        && used.workload.lineage.first().is_some_and(|exe| {
            fs::read_link(format!("/proc/{}/exe", used.parent))
                .is_ok_and(|now| now.as_os_str() == &**exe)
        });
    if own.is_empty() && is_parent {
        return environ(used.parent);
    }
    own
}

fn environ(pid: u32) -> Zeroizing<Vec<u8>> {
    // Room for all of it from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST_ENVIRON as usize));
    if let Ok(file) = File::open(Path::new("/proc").join(pid.to_string()).join("environ")) {
        // A process that ends meanwhile has none any more.
        drop(file.take(MOST_ENVIRON).read_to_end(&mut bytes));
    }
    bytes
}

fn variable(environ: &[u8], name: &[u8]) -> Option<String> {
    environ
        .split(|byte| *byte == 0)
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(b"="))
        .map(|value| String::from_utf8_lossy(value).into_owned())
}

fn update(
    workload: &str,
    sighting: &Sighting,
    lies: Lies<'_>,
    severity: Severity,
    now: i64,
) -> AlertUpdate {
    let live = &sighting.live;
    let words = stored_credential::words(&Stored {
        workload,
        identity: &live.identity,
        environments: &live.environments,
        lies,
    });
    AlertUpdate {
        key: FoldKey {
            kind: FindingKind::StoredCredential,
            identity: Some(Arc::from(live.identity.as_str())),
            workload: Some(Arc::from(workload)),
            clause: Arc::from(words.clause),
        },
        count: 1,
        first_us: now,
        last_us: now,
        severity,
        title: words.title,
        normal: words.normal,
        action: words.action,
        techniques: words.techniques,
        owner: live.owner.as_deref().map(Arc::from),
        operation: match lies {
            Lies::File { .. } => "credential in a file".to_owned(),
            Lies::Variable { .. } => "credential in the environment".to_owned(),
        },
        environment: live
            .environments
            .first()
            .map(|name| Arc::from(name.as_str())),
        evidence: Vec::new(),
    }
}
