//! What a story says, documented in docs/json.md.

use serde::{Deserialize, Serialize};

use crate::access::record::{BindingRecord, CredentialRecord};
use crate::judge::{FindingKind, Severity};

/// `{"type":"story","v":1,…}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// Always `story`.
    pub r#type: String,
    /// Version of this form: 1.
    pub v: u32,
    /// The alert's id.
    pub id: String,
    /// How bad.
    pub severity: Severity,
    /// What kind.
    pub kind: FindingKind,
    /// One line.
    pub title: String,
    /// Accesses folded into it.
    pub count: u64,
    /// RFC 3339.
    pub first_seen: String,
    /// RFC 3339.
    pub last_seen: String,
    /// The accesses of it that were kept, in order of time.
    pub happened: Vec<Event>,
    /// Accesses of it that were only counted.
    pub not_kept: u64,
    /// Whose credential it was.
    pub who: Who,
    /// Where it was used from; several when the evidence has several.
    pub from: Vec<From>,
    /// What would have been normal.
    pub normal: Normal,
    /// What else the credential and the workload did.
    pub around: Around,
    /// What the finding means.
    pub meaning: Meaning,
    /// How its deliveries stand, by webhook.
    pub deliveries: Vec<Delivery>,
    /// What to do now.
    pub steps: Vec<Step>,
}

/// An access.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// RFC 3339.
    pub time: String,
    /// Identity.
    #[serde(default)]
    pub identity: Option<String>,
    /// `METHOD host/path`.
    pub operation: String,
    /// Status of the answer.
    #[serde(default)]
    pub status: Option<u16>,
    /// Where it went.
    #[serde(default)]
    pub environment: Option<String>,
    /// Process that used the credential, when on this host.
    #[serde(default)]
    pub pid: Option<u32>,
    /// Names of findings.
    pub findings: Vec<String>,
}

/// Whose credential.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Who {
    /// Identity; null where the alert is about no credential.
    #[serde(default)]
    pub identity: Option<String>,
    /// Owner by policy.
    #[serde(default)]
    pub owner: Option<String>,
    /// The credential.
    #[serde(default)]
    pub credential: Option<CredentialRecord>,
    /// What it is bound to.
    #[serde(default)]
    pub binding: Option<BindingRecord>,
    /// How the identity was found, in words.
    pub identified: String,
    /// Where the policy defines it now.
    #[serde(default)]
    pub place: Option<String>,
}

/// Where it was used from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct From {
    /// `unit:…`, `container:…` or `exe:…`; null for a client elsewhere.
    #[serde(default)]
    pub workload: Option<String>,
    /// Executable.
    #[serde(default)]
    pub exe: Option<String>,
    /// User.
    #[serde(default)]
    pub user: Option<String>,
    /// Process.
    #[serde(default)]
    pub pid: Option<u32>,
    /// Ancestors' executables, parent first.
    pub lineage: Vec<String>,
    /// The other end: the server's address, or the client's when that is elsewhere.
    #[serde(default)]
    pub peer: Option<String>,
}

/// What would have been normal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normal {
    /// In words.
    pub words: String,
    /// The clause that was broken, as it was.
    pub clause: String,
    /// `in-force`, `moved`, `gone`, or `none` for what no clause of the policy says.
    pub policy: String,
    /// Where the clause stands now: `FILE:LINE:COLUMN`.
    #[serde(default)]
    pub place: Option<String>,
}

/// What else happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Around {
    /// Whether accesses of that time are still held.
    pub held: bool,
    /// What was looked at, in words.
    pub note: String,
    /// Accesses of the same credential or workload, in order of time.
    pub events: Vec<Event>,
    /// So many more.
    pub more: u64,
}

/// What it means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meaning {
    /// Of this kind of finding.
    pub words: String,
    /// MITRE ATT&CK techniques and OWASP API risks.
    pub references: Vec<Reference>,
}

/// A technique or a risk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// `T1078.004`, `API2:2023`.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// How a delivery stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Webhook.
    pub webhook: String,
    /// `sent`, `waiting`, `given-up` or `filtered`.
    pub state: String,
    /// In words.
    pub detail: String,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Why.
    pub why: String,
    /// A command line; null for what no command does.
    #[serde(default)]
    pub command: Option<String>,
}
