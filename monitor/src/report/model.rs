//! What a report says, documented in docs/json.md. Every list is bounded and says how many more there are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::census::Listed;

/// `{"type":"report","v":1,…}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Always `report`.
    pub r#type: String,
    /// Version of this form: 1.
    pub v: u32,
    /// When it was made, RFC 3339.
    pub made: String,
    /// Where its facts came from: `daemon`, or `store` while none was running.
    pub source: String,
    /// What this host is.
    #[serde(default)]
    pub environment: Option<String>,
    /// What it looks back on.
    pub period: Period,
    /// What the policy says.
    pub policy: PolicyPart,
    /// How good it is.
    pub score: Score,
    /// Against the report before.
    pub trend: Trend,
    /// Identities of the policy, each with what it may do and what it did.
    pub identities: Listed<IdentityRow>,
    /// Credentials that no identity of the policy has, the one used most first.
    pub unnamed: Listed<UnnamedRow>,
    /// Separations of the policy.
    pub separations: Vec<SeparationRow>,
    /// Duties that were granted and not used in the period.
    pub unused: Listed<Unused>,
    /// Approvals that the policy demands.
    pub approvals: Vec<ApprovalRow>,
    /// Identities that went where they are not for, in the period.
    pub crossings: Listed<Crossing>,
    /// Identities that were used in more than one environment in the period.
    pub several: Listed<Several>,
    /// How much of the traffic was understood.
    pub coverage: CoveragePart,
    /// Whose requests they were.
    pub attribution: AttributionPart,
    /// Alerts seen in the period.
    pub alerts: AlertPart,
}

/// What a report looks back on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Period {
    /// RFC 3339.
    pub since: String,
    /// Its length in days, rounded up.
    pub days: u32,
    /// Seconds of it that a daemon was watching.
    pub watched_s: u64,
    /// When the first daemon with this store began, RFC 3339; null when none has written so.
    #[serde(default)]
    pub watching_since: Option<String>,
}

/// What the policy has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyPart {
    /// Identities.
    pub identities: u64,
    /// Owners.
    pub owners: u64,
    /// Duties.
    pub duties: u64,
    /// Grants: a duty of an identity.
    pub grants: u64,
    /// Of these, those used in the period.
    pub grants_used: u64,
}

/// The score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// 0 to 100, whole points.
    pub points: u32,
    /// How it is made of its parts.
    pub formula: String,
    /// Its parts; their weights add up to 100.
    pub parts: Vec<ScorePart>,
}

/// One part of the score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScorePart {
    /// Name.
    pub name: String,
    /// Most points.
    pub weight: u32,
    /// Points: weight × share, in tenths.
    pub points: f64,
    /// 0 to 1; null when there was nothing to measure: then there are no points.
    #[serde(default)]
    pub share: Option<f64>,
    /// What the share is.
    pub formula: String,
    /// What was counted, or why nothing could be.
    pub measured: String,
}

/// Against the report before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// Points more than in the report before that looked back as many days; null without one.
    #[serde(default)]
    pub change: Option<i64>,
    /// Reports before, oldest first, the newest few.
    #[serde(default)]
    pub past: Vec<Summary>,
}

/// What is remembered of a report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// When it was made, RFC 3339.
    pub made: String,
    /// Days it looked back.
    pub days: u32,
    /// Its score.
    pub points: u32,
    /// Owners who combine separated duties.
    pub combined: u64,
    /// Grants.
    pub grants: u64,
    /// Grants that were not used.
    pub unused: u64,
    /// Identities that crossed environments.
    pub crossings: u64,
    /// Alerts.
    pub alerts: u64,
}

/// An identity of the policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdentityRow {
    /// Name.
    pub identity: String,
    /// Owner.
    pub owner: String,
    /// Where it is defined: `FILE:LINE:COLUMN`.
    pub place: String,
    /// Its duties; none for a canary.
    pub duties: Vec<Grant>,
    /// Credentials of it that were seen.
    pub credentials: u64,
    /// Accesses that were not refused, since it was first seen.
    pub accesses: u64,
    /// RFC 3339; null when it was never seen.
    #[serde(default)]
    pub last_used: Option<String>,
    /// Patterns of operations that its duties grant.
    pub operations_granted: u64,
    /// Of these, those that an operation it is remembered for falls under.
    pub operations_used: u64,
    /// The patterns.
    pub operations: Listed<OperationRow>,
    /// Environments it is for; null where the policy does not say, which is everywhere.
    #[serde(default)]
    pub environments_granted: Option<Vec<String>>,
    /// Environments it went to in the period.
    pub environments_used: Vec<String>,
}

/// A duty of an identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// The duty.
    pub duty: String,
    /// Whether it was used in the period.
    pub used: bool,
    /// Accesses it granted, since the identity was first seen.
    pub count: u64,
    /// Distinct days with such accesses.
    pub days: u32,
    /// RFC 3339; null when it was never used.
    #[serde(default)]
    pub last_used: Option<String>,
}

/// A pattern of operations that is granted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationRow {
    /// As the policy has it.
    pub operation: String,
    /// Whether a remembered operation falls under it.
    pub used: bool,
}

/// A credential without a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnnamedRow {
    /// What it is called instead.
    pub identity: String,
    /// Accesses that were not refused.
    pub accesses: u64,
    /// RFC 3339.
    #[serde(default)]
    pub last_used: Option<String>,
    /// Where it was used.
    pub hosts: Listed<String>,
    /// By whom.
    pub workloads: Listed<String>,
}

/// A separation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeparationRow {
    /// The duties.
    pub duties: Vec<String>,
    /// Where it is defined.
    pub place: String,
    /// The object that both must not be done to; null when nobody may hold both at all.
    #[serde(default)]
    pub on: Option<String>,
    /// Fewest owners that together hold all the duties; null when nobody holds one of them.
    #[serde(default)]
    pub collusion: Option<u64>,
    /// Whether `collusion` is the fewest; else so many can do it, and whether fewer can was not found out.
    pub exact: bool,
    /// Such owners.
    pub colluders: Vec<String>,
    /// Duties that nobody holds.
    pub unheld: Vec<String>,
    /// Owners who hold more than one of the duties.
    pub holders: Listed<Holder>,
}

/// An owner who holds separated duties.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// Owner.
    pub owner: String,
    /// What, through which identity.
    pub holds: Vec<Held>,
}

/// A duty that an owner holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The duty.
    pub duty: String,
    /// The identity.
    pub identity: String,
    /// Whether it was used in the period.
    pub used: bool,
}

/// A grant that was not used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unused {
    /// Identity.
    pub identity: String,
    /// Owner.
    pub owner: String,
    /// Duty.
    pub duty: String,
    /// RFC 3339; null when it was never used.
    #[serde(default)]
    pub last_used: Option<String>,
    /// Where it is granted.
    pub place: String,
}

/// An approval that the policy demands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApprovalRow {
    /// What needs it.
    pub duty: String,
    /// The duty whose use is the approval.
    pub by: String,
    /// Who counts as another: `owner` or `identity`.
    pub distinct: String,
    /// Where it is defined.
    pub place: String,
    /// Who may do it (owners, or identities, as `distinct` says).
    pub requesters: Listed<String>,
    /// Who may approve.
    pub approvers: Listed<String>,
    /// Whether each who may do it has another who may approve.
    pub possible: bool,
    /// Who approved something in the period.
    pub approved_by: Listed<String>,
    /// What was done and approved in the period; null when that is not recorded.
    #[serde(default)]
    pub recorded: Option<ApprovalCounts>,
}

/// How approvals went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalCounts {
    /// Uses of the duty.
    pub acts: u64,
    /// Of these, uses that somebody else had approved in time.
    pub approved: u64,
}

/// An identity where it is not for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crossing {
    /// Identity.
    pub identity: String,
    /// Owner.
    pub owner: Option<String>,
    /// Where it went.
    pub environment: String,
    /// Where it is for, by the policy of now; null where that does not say.
    #[serde(default)]
    pub allowed: Option<Vec<String>>,
    /// How often, since the identity was first seen.
    pub count: u64,
    /// RFC 3339.
    pub last: String,
}

/// An identity in several environments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Several {
    /// Identity.
    pub identity: String,
    /// Owner.
    pub owner: Option<String>,
    /// Environments.
    pub environments: Vec<String>,
}

/// How much was understood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoveragePart {
    /// Connections that were read, in the period.
    pub read: u64,
    /// Connections that are not HTTP.
    pub other: u64,
    /// Connections that nobody can say anything of.
    pub dark: u64,
    /// (read + other) / all, 0 to 1; null without a connection.
    #[serde(default)]
    pub understood: Option<f64>,
    /// Workloads with more dark connections than such that were read, since the daemon's start; null while
    /// none is running.
    #[serde(default)]
    pub dark_workloads: Option<Listed<DarkRow>>,
}

/// A dark workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DarkRow {
    /// Which; null for those that had to make room, together.
    #[serde(default)]
    pub workload: Option<String>,
    /// Connections that were read.
    pub read: u64,
    /// Dark connections.
    pub dark: u64,
    /// Where some of them led, and why they are dark.
    pub examples: Vec<String>,
}

/// Whose requests they were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttributionPart {
    /// Requests in the period.
    pub requests: u64,
    /// Of these, with a credential.
    pub with_credential: u64,
    /// Of these, of identities that the policy names.
    pub named: u64,
    /// named / with_credential, 0 to 1; null without a request with a credential.
    #[serde(default)]
    pub attributed: Option<f64>,
    /// Identities that had to make room: what they used is forgotten.
    pub forgotten: u64,
}

/// Alerts of the period.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertPart {
    /// How many.
    pub total: u64,
    /// By severity.
    pub severities: BTreeMap<String, u64>,
    /// By kind.
    pub kinds: BTreeMap<String, u64>,
}
