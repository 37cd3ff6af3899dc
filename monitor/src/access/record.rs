//! The JSON form of an access (`-o json`, evidence in alerts, replay), documented in docs/json.md.

mod back;

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Access, CredentialKind, Endpoint, Peer, Role, Tls};

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
    /// What the credential is bound to and how that was proved; null when there is nothing of the kind.
    #[serde(default)]
    pub binding: Option<BindingRecord>,
    /// Client process, when on this host.
    #[serde(default)]
    pub client: Option<EndpointRecord>,
    /// Server process, when on this host.
    #[serde(default)]
    pub server: Option<EndpointRecord>,
    /// `203.0.113.7:443`, `[2001:db8::1]:443` or `unix:/run/docker.sock`.
    #[serde(default)]
    pub peer: Option<String>,
    /// `http/1.0`, `http/1.1` or `h2`.
    pub protocol: String,
    /// Null for clear text.
    #[serde(default)]
    pub tls: Option<Tls>,
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

/// Token binding (RFC 9449, RFC 8705).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BindingRecord {
    /// What the token says it is bound to: the member of `cnf`, `jkt` or `x5t#S256`.
    #[serde(default)]
    pub bound_to: Option<String>,
    /// `absent`, or what became of the proof's signature: `valid`, `invalid`, `unverified`, `unsupported`,
    /// `malformed`, `unseen`.
    pub proof: String,
    /// Thumbprint of the proof's key (RFC 7638).
    #[serde(default)]
    pub thumbprint: Option<String>,
    /// What is wrong with the proof.
    #[serde(default)]
    pub flaws: Vec<String>,
    /// Seconds from the proof's making to the request.
    #[serde(default)]
    pub age_s: Option<i64>,
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
    /// Header fields that could not be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_fields: Option<u16>,
}

/// Response part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResponseRecord {
    /// Status code.
    pub status: u16,
    /// Outcome of a gRPC call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_status: Option<u32>,
}

impl AccessRecord {
    /// The JSON form of an access.
    #[must_use]
    pub fn from_access(access: &Access) -> Self {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        Self {
            r#type: "access".to_owned(),
            v: 1,
            time: rfc3339(access.time_us),
            role: access.role,
            identity: text(&access.identity),
            owner: text(&access.owner),
            credential: access
                .credential
                .as_ref()
                .map(|credential| CredentialRecord {
                    kind: credential.kind,
                    fingerprint: credential.fingerprint.to_string(),
                    hint: credential.hint.as_deref().map(str::to_owned),
                }),
            binding: BindingRecord::from_access(access),
            client: access.client.as_ref().map(EndpointRecord::from_endpoint),
            server: access.server.as_ref().map(EndpointRecord::from_endpoint),
            peer: match &access.peer {
                Peer::Inet(address) => Some(address.to_string()),
                Peer::Unix(path) => Some(format!("unix:{path}")),
                Peer::Unknown => None,
            },
            protocol: access.protocol.to_owned(),
            tls: access.tls.as_deref().cloned(),
            request: RequestRecord {
                method: (*access.method).to_owned(),
                host: (*access.host).to_owned(),
                path: access.path.clone(),
                route: (*access.route).to_owned(),
                unknown_fields: Some(access.unknown_fields).filter(|fields| *fields > 0),
            },
            response: access.status.map(|status| ResponseRecord {
                status,
                grpc_status: access.grpc_status,
            }),
            duration_us: access.duration_us,
            environment: text(&access.environment),
            duties: access
                .duties
                .iter()
                .map(|duty| (**duty).to_owned())
                .collect(),
            findings: access
                .findings
                .iter()
                .map(|kind| kind.name().to_owned())
                .collect(),
        }
    }
}

impl BindingRecord {
    fn from_access(access: &Access) -> Option<Self> {
        let credential = access.credential.as_ref();
        let confirmation =
            credential.and_then(|credential| credential.claims.confirmation.as_ref());
        let dpop = credential.is_some_and(|credential| credential.kind == CredentialKind::Dpop);
        let proof = access.proof.as_deref();
        if !dpop && confirmation.is_none() && proof.is_none() {
            return None;
        }
        let now = access.time_us.div_euclid(1_000_000);
        Some(Self {
            bound_to: confirmation.map(|bound| bound.member().to_owned()),
            proof: proof
                .map_or("absent", |proof| proof.signature.name())
                .to_owned(),
            thumbprint: proof
                .and_then(|proof| proof.thumbprint)
                .map(|thumbprint| thumbprint.to_string()),
            flaws: proof
                .into_iter()
                .flat_map(|proof| proof.flaws.iter())
                .map(|flaw| flaw.name().to_owned())
                .collect(),
            age_s: proof
                .and_then(|proof| proof.issued)
                .map(|issued| now.saturating_sub(issued)),
        })
    }
}

impl EndpointRecord {
    fn from_endpoint(endpoint: &Endpoint) -> Self {
        let workload = &endpoint.workload;
        Self {
            pid: endpoint.pid,
            exe: (*workload.exe).to_owned(),
            unit: workload.unit.as_deref().map(str::to_owned),
            container: workload.container.as_deref().map(str::to_owned),
            user: (*workload.user).to_owned(),
            lineage: workload
                .lineage
                .iter()
                .map(|exe| (**exe).to_owned())
                .collect(),
        }
    }
}

/// RFC 3339 in UTC with microseconds: `2026-11-23T18:57:18.123456Z`. Times beyond the years that RFC 3339 can
/// write become the nearest that it can.
#[must_use]
pub fn rfc3339(time_us: i64) -> String {
    // 0000-01-01T00:00:00Z and 9999-12-30T22:00:00Z: jiff keeps room for time zones at its end.
    const FIRST: i64 = -62_167_219_200_000_000;
    const LAST: i64 = 253_402_207_200_000_000;
    let time = Timestamp::from_microsecond(time_us.clamp(FIRST, LAST)).unwrap_or_default();
    format!("{time:.6}")
}

#[cfg(test)]
mod tests;
