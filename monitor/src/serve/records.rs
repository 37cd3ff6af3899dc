//! What the daemon tells of itself, documented in docs/json.md. Unknown fields are ignored by readers;
//! optional ones may be missing.

use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::baseline::BaselineStatus;
use crate::contain::ContainmentStatus;
use crate::coverage::Count;
use crate::filter::{self, Check, Expr, Filter, FilterError, Literal, Subject, Test};
use crate::judge::{FindingKind, Severity};

/// `{"type":"status","v":1,…}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusRecord {
    /// Always `status`.
    pub r#type: String,
    /// Version of this form: 1.
    pub v: u32,
    /// Version of the daemon.
    pub version: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// RFC 3339.
    pub started: String,
    /// Seconds since then.
    pub uptime_s: u64,
    /// What this host is.
    #[serde(default)]
    pub environment: Option<String>,
    /// Configuration files in force; empty for the built-in defaults.
    #[serde(default)]
    pub config: Vec<String>,
    /// Policy in force.
    pub policy: PolicyStatus,
    /// Kernel programs.
    #[serde(default)]
    pub hooks: Vec<HookStatus>,
    /// Accesses understood.
    pub accesses: AccessStatus,
    /// What was lost, by cause. Causes that never happened may be missing.
    #[serde(default)]
    pub losses: Vec<Loss>,
    /// What the decoder did not understand, by cause (`gap`, `bad-request` …).
    #[serde(default)]
    pub anomalies: Vec<Loss>,
    /// Traffic that no program can see (`io_uring`, `sendfile` …), by cause.
    #[serde(default)]
    pub uncovered: Vec<Loss>,
    /// Connections being decoded.
    pub connections: ConnectionStatus,
    /// How connections were understood.
    #[serde(default)]
    pub coverage: CoverageStatus,
    /// Bounded queues between the parts.
    #[serde(default)]
    pub queues: Vec<QueueStatus>,
    /// Identities known.
    pub identities: IdentityStatus,
    /// What is remembered for separations and approvals.
    #[serde(default)]
    pub history: HistoryStatus,
    /// What is usual, and how much of the budget of alerts about it is left.
    #[serde(default)]
    pub baseline: BaselineStatus,
    /// Alerts.
    pub alerts: AlertStatus,
    /// Webhooks.
    #[serde(default)]
    pub webhooks: Vec<WebhookStatus>,
    /// Resident memory of the daemon, in bytes.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// What is done about violations.
    #[serde(default)]
    pub containment: ContainmentStatus,
    /// What was looked through beside the code of workloads.
    #[serde(default)]
    pub scan: ScanStatus,
    /// The audit log.
    #[serde(default)]
    pub audit: AuditStatus,
}

/// The audit log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AuditStatus {
    /// Whether there is one.
    pub enabled: bool,
    /// Entries that it has.
    pub entries: u64,
    /// Why it cannot be written; null when it can.
    #[serde(default)]
    pub error: Option<String>,
}

/// Looks at working directories and environments of workloads that use credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScanStatus {
    /// Workloads looked at.
    pub workloads: u64,
    /// Files.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Credentials in use that were found.
    pub found: u64,
    /// Looks that a bound ended.
    pub cut: u64,
    /// Files and directories that could not be read or were too large.
    pub unread: u64,
    /// Processes that were gone, and their parents too, before they could be looked at.
    pub gone: u64,
    /// Working directories that hold no code of their own, or are on another machine.
    pub skipped: u64,
    /// Uses for which the queue had no room.
    pub dropped: u64,
}

/// The policy in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// Counts successful loads since start; 0: no policy.
    pub generation: u64,
    /// RFC 3339 of the last successful load.
    #[serde(default)]
    pub loaded: Option<String>,
    /// Identities it names.
    pub identities: u64,
    /// Why the last reload was refused; null when it was not.
    #[serde(default)]
    pub error: Option<String>,
}

/// A kernel program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HookStatus {
    /// Where it is attached.
    pub name: String,
    /// Whether it is.
    pub attached: bool,
    /// How, or why not.
    #[serde(default)]
    pub detail: Option<String>,
    /// Times it ran, when counted.
    #[serde(default)]
    pub runs: Option<u64>,
}

/// Accesses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AccessStatus {
    /// Since start.
    pub total: u64,
    /// Of these with a credential.
    pub with_credential: u64,
    /// Over the last seconds.
    pub per_second: f64,
}

/// Something counted by cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// Why.
    pub cause: String,
    /// How much.
    pub count: u64,
    /// Of what: `records`, `bytes`, `connections`, `accesses`, `alerts` …
    pub unit: String,
}

/// Connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionStatus {
    /// Being decoded.
    pub open: u64,
    /// Memory they hold, in bytes.
    pub bytes: u64,
    /// Bound of that.
    pub max_bytes: u64,
    /// Forgotten because of the bound.
    pub forgotten: u64,
}

/// How connections were understood, since start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CoverageStatus {
    /// HTTP that was read.
    pub read: Count,
    /// What is not HTTP.
    pub other: Count,
    /// What nobody can say.
    pub dark: Count,
    /// Workloads known.
    pub workloads: u64,
    /// Of these, those with more dark connections than such that were read.
    pub dark_workloads: u64,
    /// Workloads that are only counted together, because a bound was reached.
    pub forgotten: u64,
    /// Files that are probed for keys.
    pub probed_files: u64,
    /// Probes on them.
    pub probes: u64,
    /// Of these, probes on an instruction that the kernel must single-step.
    pub stepped_probes: u64,
    /// Functions that should be probed and are not.
    pub missing_probes: u64,
    /// What cannot be seen for want of tracepoints (before Linux 6.3); absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_seen: Option<String>,
}

/// `{"type":"probed","v":1,…}`: a library or program that is probed for keys, or should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbedRecord {
    /// Always `probed`.
    pub r#type: String,
    /// Version of this form: 1.
    pub v: u32,
    /// Its path, as the process that led to it sees it.
    pub file: String,
    /// How probes are attached: `uprobe_multi` or `perf_event`.
    pub means: String,
    /// Functions that are probed.
    #[serde(default)]
    pub attached: Vec<AttachedProbe>,
    /// Functions that are not.
    #[serde(default)]
    pub missing: Vec<MissingProbe>,
}

/// A probe that is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttachedProbe {
    /// Of which function.
    pub function: String,
    /// Whether the kernel emulates the instruction it is on (cheap), or must single-step it.
    pub emulated: bool,
}

/// A probe that is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MissingProbe {
    /// Of which function, or of what.
    pub function: String,
    /// Why.
    pub why: String,
}

/// A bounded queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Which.
    pub name: String,
    /// Filled.
    pub length: u64,
    /// Bound.
    pub capacity: u64,
    /// Dropped because it was full.
    pub dropped: u64,
}

/// Identities.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IdentityStatus {
    /// Known.
    pub known: u64,
    /// Forgotten because a bound was reached.
    pub forgotten: u64,
}

/// What is remembered for separations and approvals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryStatus {
    /// Accesses remembered.
    pub accesses: u64,
    /// Accesses whose approval may still come.
    pub waiting: u64,
    /// Memory they take.
    pub bytes: u64,
    /// At most.
    pub max_bytes: u64,
    /// Forgotten before their time because a bound was reached.
    pub forgotten: u64,
}

/// Alerts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertStatus {
    /// Raised since start.
    pub raised: u64,
    /// In the store.
    pub stored: u64,
    /// What is wrong with the store (disk full …); null when nothing is.
    #[serde(default)]
    pub error: Option<String>,
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WebhookStatus {
    /// Its name.
    pub name: String,
    /// `ok`, `retrying` or `disabled`.
    pub state: String,
    /// Deliveries waiting.
    pub waiting: u64,
    /// Age of the oldest of them, in seconds.
    #[serde(default)]
    pub oldest_s: Option<u64>,
    /// Delivered since start.
    pub delivered: u64,
    /// Failed attempts since start.
    pub failed: u64,
    /// Dead letters kept.
    pub dead_letters: u64,
    /// The last failure, if it is not over.
    #[serde(default)]
    pub error: Option<String>,
}

/// `{"type":"delivery","v":1,…}`: how a test delivery or a replay went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveryResult {
    /// Always `delivery`.
    pub r#type: String,
    /// Version of this form: 1.
    pub v: u32,
    /// Name of the webhook.
    pub webhook: String,
    /// `webhook-id` used.
    pub id: String,
    /// Whether the endpoint accepted it (or, for a replay, whether it was queued again).
    pub ok: bool,
    /// Status of the answer.
    #[serde(default)]
    pub status: Option<u16>,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<String>,
    /// Milliseconds until the answer.
    #[serde(default)]
    pub duration_ms: Option<u64>,
}

/// `{"type":"dead-letter","v":1,…}`: a delivery that was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Always `dead-letter`.
    pub r#type: String,
    /// Version of this form: 1.
    pub v: u32,
    /// `webhook-id` of the delivery.
    pub id: String,
    /// Name of the webhook.
    pub webhook: String,
    /// The alert.
    pub alert: String,
    /// RFC 3339 when it was given up.
    pub time: String,
    /// Attempts made.
    pub attempts: u32,
    /// Why the last one failed.
    pub error: String,
}

/// Which alerts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertQuery {
    /// Only this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Only these kinds; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<FindingKind>,
    /// Only these identities; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<String>,
    /// Only at least this bad.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Only so many, the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<usize>,
    /// Only these, in the filter language (docs/filter.md).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#where: Option<String>,
}

impl AlertQuery {
    /// All it asks for in the filter language, `last` aside.
    ///
    /// # Errors
    /// `where` is no filter.
    pub fn filter(&self) -> Result<Filter, FilterError> {
        let text = |text: &str| Literal::Text(text.to_owned());
        let mut all = Vec::new();
        let mut only = |name: &str, check: Check| {
            // The names are those of fields; a test looks at each.
            if let Some(field) = filter::field::find(name) {
                all.push(Filter::from_expr(Expr::Test(Test { field, check })));
            }
        };
        if let Some(id) = &self.id {
            only("id", Check::Equal(text(id)));
        }
        if !self.kinds.is_empty() {
            let kinds = self.kinds.iter().map(|kind| text(kind.name()));
            only("kind", Check::In(kinds.collect()));
        }
        if !self.identities.is_empty() {
            let names = self.identities.iter().map(|name| text(name));
            only("identity", Check::In(names.collect()));
        }
        if let Some(least) = self.severity {
            only("severity", Check::AtLeast(text(filter::severity(least))));
        }
        if let Some(only) = &self.r#where {
            all.push(Filter::parse_for(Subject::Alert, only)?);
        }
        Ok(Filter::all(all))
    }

    /// Whether an alert is one of those asked for, `last` aside; none is when `where` is no filter. For many
    /// alerts, ask [`Self::filter`] once.
    #[must_use]
    pub fn matches(&self, alert: &Alert) -> bool {
        self.filter().is_ok_and(|filter| filter.matches(alert))
    }
}
