//! The JSON form of an access (`-o json`, evidence in alerts, replay), documented in docs/json.md.

use serde::{Deserialize, Serialize};

use super::{CredentialKind, Role};

/// `{"type":"access","v":1,…}`. Unknown fields are ignored, optional ones may be missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessRecord {
    /// Always `access`.
    pub r#type: String,
    /// Version of this form: 1.
    pub v: u32,
    /// RFC 3339, UTC, microseconds.
    pub time: String,
    /// Which ends are on this host.
    pub role: Role,
    /// Named principal, or the credential's default; null without a credential.
    pub identity: Option<String>,
    /// Owner by policy.
    #[serde(default)]
    pub owner: Option<String>,
    /// Null for a request without a credential.
    pub credential: Option<CredentialRecord>,
    /// Client process, when on this host.
    #[serde(default)]
    pub client: Option<EndpointRecord>,
    /// Server process, when on this host.
    #[serde(default)]
    pub server: Option<EndpointRecord>,
    /// `203.0.113.7:443`, `[2001:db8::1]:443` or `unix:/run/docker.sock`.
    #[serde(default)]
    pub peer: Option<String>,
    /// `http/1.1`.
    pub protocol: String,
    /// Not seen inside TLS yet: always null in this version.
    #[serde(default)]
    pub tls: Option<serde_json::Value>,
    /// What was asked.
    pub request: RequestRecord,
    /// What was answered; null when nothing was seen.
    #[serde(default)]
    pub response: Option<ResponseRecord>,
    /// Request's to response's first byte.
    #[serde(default)]
    pub duration_us: Option<u64>,
    /// Where the request went.
    #[serde(default)]
    pub environment: Option<String>,
    /// Duties that grant it.
    #[serde(default)]
    pub duties: Vec<String>,
    /// Names of findings.
    #[serde(default)]
    pub findings: Vec<String>,
}

/// A credential without its secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CredentialRecord {
    /// Kind.
    pub kind: CredentialKind,
    /// `bw1:…`.
    pub fingerprint: String,
    /// Short public prefix.
    #[serde(default)]
    pub hint: Option<String>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// Process id at the time.
    pub pid: u32,
    /// Executable.
    pub exe: String,
    /// systemd unit.
    #[serde(default)]
    pub unit: Option<String>,
    /// Container id.
    #[serde(default)]
    pub container: Option<String>,
    /// User.
    pub user: String,
    /// Ancestors' executables, parent first.
    #[serde(default)]
    pub lineage: Vec<String>,
}

/// Request part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// Method.
    pub method: String,
    /// Host as asked for.
    pub host: String,
    /// Path without query.
    pub path: String,
    /// Path with object ids lifted out.
    pub route: String,
}

/// Response part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResponseRecord {
    /// Status code.
    pub status: u16,
}
