//! What clients are told of containment, documented in docs/json.md.

use serde::{Deserialize, Serialize};

use crate::judge::{FindingKind, Severity};
use crate::serve::records::Loss;

/// `{"type":"containment","v":1,…}`: one act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainmentRecord {
    /// Always `containment`.
    pub r#type: String,
    /// Version of this form: 1.
    pub v: u32,
    /// Its id, for `bailiwick contain undo`.
    pub id: String,
    /// `reset`, `refuse` or `stop`.
    pub act: String,
    /// `done` (a reset), `in-force`, `would` (dry run), `failed`, `undone`, `expired`, `ended` (the process).
    pub state: String,
    /// RFC 3339.
    pub time: String,
    /// When a refusal ends by itself.
    #[serde(default)]
    pub until: Option<String>,
    /// The rule: `FILE:LINE`.
    pub rule: String,
    /// Finding that it followed.
    pub kind: FindingKind,
    /// How bad that was.
    pub severity: Severity,
    /// Identity.
    #[serde(default)]
    pub identity: Option<String>,
    /// Workload: `unit:…`, `container:…` or `exe:…`.
    pub workload: String,
    /// Its process.
    pub pid: u32,
    /// Connection, addresses and control group, or process.
    pub target: String,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// How to undo it; null when there is nothing to undo.
    #[serde(default)]
    pub undo: Option<String>,
    /// Microseconds from the answer's first byte (or the request's, without an answer) until it was done.
    pub delay_us: u64,
}

/// Containment, as `status` has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainmentStatus {
    /// `off`, `dry-run` or `enforce`.
    pub mode: String,
    /// Acts done since the start: connections reset, workloads refused, processes stopped.
    pub reset: u64,
    /// See `reset`.
    pub refused: u64,
    /// See `reset`.
    pub stopped: u64,
    /// Acts of a dry run.
    pub would: u64,
    /// Acts that failed.
    pub failed: u64,
    /// Refusals and stops in force.
    pub in_force: u64,
    /// Acts that were not done, by cause: `protected`, `group`, `rate`, `changed`, `elsewhere`, `gone`,
    /// `dropped` (violations came too fast).
    pub declined: Vec<Loss>,
}
