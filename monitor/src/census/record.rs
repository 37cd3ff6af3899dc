//! The JSON form of what is known of an identity, documented in docs/json.md.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::access::CredentialKind;
use crate::baseline::Standing;

/// `{"type":"identity","v":1,…}`. Also what is saved and restored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdentityRecord {
    /// Always `identity`.
    pub r#type: String,
    /// Version of this form: 1.
    pub v: u32,
    /// Name by policy, else the credential's default name.
    pub identity: String,
    /// Owner by policy.
    #[serde(default)]
    pub owner: Option<String>,
    /// Kinds of its credentials.
    #[serde(default)]
    pub kinds: Vec<CredentialKind>,
    /// Fingerprints of its credentials.
    #[serde(default)]
    pub fingerprints: Listed<String>,
    /// Public prefixes of its credentials.
    #[serde(default)]
    pub hints: Listed<String>,
    /// RFC 3339; null while every access was refused.
    #[serde(default)]
    pub first_seen: Option<String>,
    /// RFC 3339; null while every access was refused.
    #[serde(default)]
    pub last_seen: Option<String>,
    /// RFC 3339; null when none was refused.
    #[serde(default)]
    pub last_refused: Option<String>,
    /// Accesses that were not refused.
    pub accesses: u64,
    /// Accesses refused with 401 or 403. They count here and nowhere else.
    #[serde(default)]
    pub refused: u64,
    /// Findings by kind.
    #[serde(default)]
    pub findings: BTreeMap<String, u64>,
    /// Who used it: `unit:…`, `container:…`, `exe:…`, or `peer:ADDRESS` for a client elsewhere.
    #[serde(default)]
    pub workloads: Listed<String>,
    /// Environments it was used in.
    #[serde(default)]
    pub environments: Listed<String>,
    /// Hosts it was used at.
    #[serde(default)]
    pub hosts: Listed<String>,
    /// Its most frequent operations, most frequent first; a count may be too high, never too low.
    #[serde(default)]
    pub operations: Listed<OperationCount>,
    /// What was used of what the policy grants it; null for an identity that no policy names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageRecord>,
    /// How far its baseline is; null when nothing is learnt of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Standing>,
}

/// Use of duties and environments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// Version of this form: 1. Another one is left out when it is restored.
    pub v: u32,
    /// Duties used, by name.
    #[serde(default)]
    pub duties: Vec<DutyUseRecord>,
    /// Environments it went to, by name.
    #[serde(default)]
    pub environments: Vec<PlaceUseRecord>,
}

impl UsageRecord {
    pub(super) const VERSION: u32 = 1;
}

/// Use of one duty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DutyUseRecord {
    /// Name.
    pub duty: String,
    /// Accesses that it granted.
    pub count: u64,
    /// Distinct days (UTC) with such accesses.
    pub days: u32,
    /// RFC 3339.
    pub last_used: String,
}

/// Accesses to one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlaceUseRecord {
    /// Name.
    pub environment: String,
    /// Accesses.
    pub count: u64,
    /// RFC 3339.
    pub last_used: String,
    /// Accesses that the identity was not for.
    #[serde(default)]
    pub crossings: u64,
    /// RFC 3339 of the last of them; null without any.
    #[serde(default)]
    pub last_crossing: Option<String>,
}

/// A bounded list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed<T> {
    /// What was kept.
    pub items: Vec<T>,
    /// About how many distinct ones beside them.
    #[serde(default)]
    pub more: u32,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            more: 0,
        }
    }
}

/// An operation and how often it was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationCount {
    /// Method.
    pub method: String,
    /// Host.
    pub host: String,
    /// Route.
    pub route: String,
    /// How often.
    pub count: u64,
}
