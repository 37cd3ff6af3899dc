//! Findings of one kind for the same identity, workload and clause fold into one alert, which is
//! stored durably before its first delivery.
//!
//! [`fold`] runs on the hot thread and hands [`AlertUpdate`]s over; [`AlertService`] stores them
//! (see [`crate::store`]) and has one delivery task for each webhook [`endpoint`].

pub mod address;
pub mod clock;
pub mod config;
pub mod endpoint;
pub mod evidence;
pub mod fold;
pub mod formats;
pub(crate) mod growth;
mod intake;
mod lane;
pub mod marks;
mod outbox;
mod schedule;
pub mod secret;
mod service;
#[cfg(test)]
mod service_tests;
mod settle;
mod shared;
pub mod sockets;
pub mod status;
mod subject;
#[cfg(test)]
pub(crate) mod testing;
mod update;
pub mod webhook;

pub use clock::{Clock, SystemClock};
pub use config::WebhookConfig;
pub use endpoint::Endpoint;
pub use fold::Folder;
pub use formats::Format;
pub use marks::{Acknowledged, MarkRequest, NotMarked};
pub use service::{AlertService, Applied, ApplyError, ServiceOptions};
pub use status::AlertStatus;
pub use update::{AlertUpdate, FoldKey};

use serde::{Deserialize, Serialize};

use crate::access::record::AccessRecord;
use crate::judge::{FindingKind, Severity};

/// Most evidence accesses kept with an alert: the first and the newest.
pub const MAX_EVIDENCE: usize = 10;

/// `{"type":"alert","v":1,…}`, documented in docs/json.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Always `alert`.
    pub r#type: String,
    /// Version of this form: 1.
    pub v: u32,
    /// Stable id; also the `webhook-id` prefix.
    pub id: String,
    /// How bad.
    pub severity: Severity,
    /// What kind.
    pub kind: FindingKind,
    /// One line.
    pub title: String,
    /// Identity.
    pub identity: Option<String>,
    /// Owner.
    pub owner: Option<String>,
    /// Workload that used the credential: `unit:…`, `container:…` or `exe:…`.
    pub workload: Option<String>,
    /// `METHOD host/route`.
    pub operation: String,
    /// Where it went.
    pub environment: Option<String>,
    /// The clause broken.
    pub clause: String,
    /// Accesses folded into it.
    pub count: u64,
    /// RFC 3339.
    pub first_seen: String,
    /// RFC 3339.
    pub last_seen: String,
    /// MITRE ATT&CK technique ids.
    pub techniques: Vec<String>,
    /// What is normal.
    pub normal: String,
    /// What to do.
    pub action: String,
    /// Somebody knows of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledged>,
    /// It is not told before (RFC 3339), unless it gets worse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<String>,
    /// Up to [`MAX_EVIDENCE`] accesses.
    pub evidence: Vec<AccessRecord>,
}
