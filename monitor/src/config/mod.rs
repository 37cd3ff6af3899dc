//! What the operator configures: `bailiwick.toml` and its `conf.d`.
//!
//! Reading is strict: an unknown key, a wrong type and a value out of range are errors that name file,
//! line and column and say what to do. `config/bailiwick.toml` explains every key.

mod audit;
mod contain;
mod diagnostic;
pub mod key;
mod load;
mod reader;
mod sections;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::alert::WebhookConfig;
pub use crate::audit::Audit;
pub use crate::contain::{ContainRule, Containment};
pub use crate::listening::Listening;
pub use crate::secret::SecretSource;
pub use diagnostic::{Diagnostic, DiagnosticRecord, Level, Place};
pub use key::{KeyError, KeyOrigin, fingerprint_key};
pub use load::{LoadError, client_socket, load, parse};

use crate::judge::{FindingKind, Severity};
use crate::scan::workload::Bounds;

/// Where the configuration is looked for when nothing else is said.
pub const DEFAULT_FILE: &str = "/etc/bailiwick/bailiwick.toml";
/// Default of `state_dir`.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/bailiwick";
/// Default of `runtime_dir`.
pub const DEFAULT_RUNTIME_DIR: &str = "/run/bailiwick";
/// Name of the control socket in `runtime_dir`.
pub const SOCKET_NAME: &str = "control.sock";

/// The whole configuration, defaults filled in, paths resolved.
#[derive(Clone, Debug)]
pub struct Config {
    /// Files it was read from, in order; empty for the built-in defaults.
    pub files: Vec<PathBuf>,
    /// What this host is (`prod`, `dev` …).
    pub environment: Option<String>,
    /// Policy files and directories, resolved against the file that names them. Empty: no policy.
    pub policy: Vec<PathBuf>,
    /// Durable state: alerts, fingerprint key.
    pub state_dir: PathBuf,
    /// Volatile state: the control socket.
    pub runtime_dir: PathBuf,
    /// Group that may use the control socket, by name or number.
    pub socket_group: String,
    /// Where the fingerprint key is; `None`: `<state_dir>/fingerprint.key`, created when missing.
    pub fingerprint_key: Option<SecretSource>,
    /// Log.
    pub log: Log,
    /// Kernel side and decoder.
    pub capture: Capture,
    /// Severities of the checks.
    pub checks: Checks,
    /// DPoP proofs.
    pub dpop: Dpop,
    /// What is remembered of earlier accesses.
    pub history: History,
    /// TLS.
    pub tls: Tls,
    /// Credentials beside the code of workloads.
    pub scan: ScanConfig,
    /// What is usual, learnt.
    pub baseline: Baseline,
    /// Where alerts go.
    pub webhooks: Vec<WebhookConfig>,
    /// Extra rules that recognise credentials, as written, each with its place.
    pub credentials: Vec<RawTable>,
    /// Names of cookies that are credentials.
    pub cookies: Vec<String>,
    /// What is done about violations.
    pub containment: Containment,
    /// Counters for scrapers.
    pub metrics: Listening,
    /// The live view in a browser.
    pub page: Listening,
    /// The audit log.
    pub audit: Audit,
}

/// A table that another module reads.
#[derive(Clone, Debug, PartialEq)]
pub struct RawTable {
    /// As written.
    pub table: toml::Table,
    /// Where.
    pub place: Place,
}

/// Log settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Least level logged.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// Levels of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What stops something from working.
    Error,
    /// What an operator should look at.
    Warn,
    /// What happens once in a while.
    Info,
    /// What helps to find out why.
    Debug,
    /// Everything.
    Trace,
}

/// Shapes of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people; under journald without time and with the level as prefix.
    Compact,
    /// One JSON object a line.
    Json,
}

/// Bounds of the kernel side and the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Memory of all rings together, in MiB.
    pub ring_mib: u32,
    /// How often the rings are emptied.
    pub drain_interval: Duration,
    /// What one process may send up while a ring is over half full, in MiB a second, before it is cut
    /// down to the first bytes of each message and then to counters. 0: no bound.
    pub process_share_mib_s: u32,
    /// The same for all processes of one cgroup together. 0: no bound.
    pub cgroup_share_mib_s: u32,
    /// Memory of all connections being decoded together, in MiB; the oldest idle ones go first.
    pub max_connection_memory_mib: u32,
}

/// How TLS is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Key logs (RFC 9850) that are followed, resolved against the file that names them.
    pub key_logs: Vec<PathBuf>,
}

/// What is looked through of workloads that use credentials.
#[derive(Clone, Debug)]
pub struct ScanConfig {
    /// Whether their working directories and environments are looked through at all.
    pub workloads: bool,
    /// Whether their environments are.
    pub environment: bool,
    /// Bounds of one look.
    pub bounds: Bounds,
    /// Files in which credentials may lie.
    pub allow: Vec<globset::GlobMatcher>,
}

impl Default for ScanConfig {
    fn default() -> Self {
        Self {
            workloads: true,
            environment: true,
            bounds: Bounds::default(),
            allow: Vec::new(),
        }
    }
}

/// What DPoP proofs are held to (RFC 9449).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dpop {
    /// Seconds that a proof may be old, or ahead; how long it is remembered.
    pub proof_window_s: u32,
    /// Seconds within which one key proved by two workloads is a finding.
    pub key_window_s: u32,
    /// What verifying signatures may cost, in milliseconds of one processor a second. 0: none is verified.
    pub verify_ms_per_second: u32,
}

/// What is remembered of earlier accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// Seconds by which an access may be late: so long an approval is waited for.
    pub grace_s: u32,
    /// Memory it may take, in MiB.
    pub memory_mib: u32,
    /// Seconds between two savings: a daemon that is killed forgets at most so much.
    pub save_s: u32,
}

/// What is learnt of identities, and how many alerts may come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// Whether anything is learnt.
    pub enabled: bool,
    /// Alerts a day, and how many of them can come at once.
    pub alerts_per_day: u32,
    /// The same for one identity.
    pub alerts_per_identity: u32,
    /// Memory of all profiles together, in MiB.
    pub memory_mib: u32,
    /// Distinct days after which something is usual.
    pub usual_after_days: u16,
    /// Distinct days of activity before an identity's profile is mature.
    pub mature_after_days: u16,
    /// Windows before it is.
    pub mature_after_windows: u32,
    /// Seconds of a window.
    pub window_s: u32,
}

impl Default for Baseline {
    fn default() -> Self {
        Self {
            enabled: true,
            alerts_per_day: 3,
            alerts_per_identity: 1,
            memory_mib: 64,
            usual_after_days: 3,
            mature_after_days: 7,
            mature_after_windows: 50,
            window_s: 60,
        }
    }
}

/// What `[checks]` says of one kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckSetting {
    /// Nothing: the check's own severity.
    Default,
    /// Do not check.
    Off,
    /// Check, with this severity.
    Severity(Severity),
}

/// `[checks]`: a setting for every kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks([CheckSetting; FindingKind::ALL.len()]);

impl Checks {
    /// The setting of one kind.
    #[must_use]
    pub fn get(&self, kind: FindingKind) -> CheckSetting {
        self.0
            .get(kind as usize)
            .copied()
            .unwrap_or(CheckSetting::Default)
    }

    /// Severity of a finding whose check would give `own`; `None` when the check is off.
    #[must_use]
    pub fn severity(&self, kind: FindingKind, own: Severity) -> Option<Severity> {
        match self.get(kind) {
            CheckSetting::Default => Some(own),
            CheckSetting::Off => None,
            CheckSetting::Severity(severity) => Some(severity),
        }
    }

    fn set(&mut self, kind: FindingKind, setting: CheckSetting) {
        if let Some(slot) = self.0.get_mut(kind as usize) {
            *slot = setting;
        }
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self([CheckSetting::Default; FindingKind::ALL.len()])
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            format: LogFormat::Compact,
        }
    }
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            ring_mib: 8,
            drain_interval: Duration::from_millis(4),
            process_share_mib_s: 4,
            cgroup_share_mib_s: 16,
            max_connection_memory_mib: 32,
        }
    }
}

impl Default for Dpop {
    fn default() -> Self {
        Self {
            proof_window_s: 300,
            key_window_s: 3600,
            verify_ms_per_second: 100,
        }
    }
}

impl Default for History {
    fn default() -> Self {
        Self {
            grace_s: 60,
            memory_mib: 8,
            save_s: 60,
        }
    }
}

impl Default for Config {
    /// What `run` uses without a file: no policy, no webhook, the standard directories.
    fn default() -> Self {
        Self {
            files: Vec::new(),
            environment: None,
            policy: Vec::new(),
            state_dir: DEFAULT_STATE_DIR.into(),
            runtime_dir: DEFAULT_RUNTIME_DIR.into(),
            socket_group: "bailiwick".to_owned(),
            fingerprint_key: None,
            log: Log::default(),
            capture: Capture::default(),
            checks: Checks::default(),
            dpop: Dpop::default(),
            history: History::default(),
            tls: Tls::default(),
            scan: ScanConfig::default(),
            baseline: Baseline::default(),
            webhooks: Vec::new(),
            credentials: Vec::new(),
            cookies: Vec::new(),
            containment: Containment::default(),
            metrics: Listening::default(),
            page: Listening::default(),
            audit: Audit::default(),
        }
    }
}

impl Config {
    /// Path of the control socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.runtime_dir.join(SOCKET_NAME)
    }

    /// The main file, when there is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.files.first().map(PathBuf::as_path)
    }
}
