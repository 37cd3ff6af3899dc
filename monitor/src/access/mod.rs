//! Who did what: credentials, workloads and operations of HTTP exchanges.
//!
//! Pure: no I/O, no clock, no panic on any input. A raw credential exists only inside
//! [`credential`]'s recogniser and is zeroised there; everything else sees its [`Fingerprint`].

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

pub mod clock;
pub mod credential;
pub mod dpop;
pub mod fingerprint;
pub mod intern;
pub mod jwt;
pub mod record;
pub mod route;
pub(crate) mod shape;
pub(crate) mod share;
pub mod workload;

use std::net::SocketAddr;
use std::sync::Arc;

pub use fingerprint::{Fingerprint, FingerprintKey};
pub use workload::Workload;

use credential::Recognised;

use crate::judge::FindingSet;

/// Kinds of credential.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// `Authorization: Bearer`, opaque (RFC 6750).
    Bearer,
    /// A bearer token that is a JSON Web Token (RFC 7519).
    Jwt,
    /// RFC 7617.
    Basic,
    /// RFC 7616; only the user name is seen.
    Digest,
    /// A key in a header, query parameter or path segment known to carry one.
    ApiKey,
    /// AWS Signature Version 4; only the access key id is seen.
    Sigv4,
    /// `Authorization: DPoP` (RFC 9449).
    Dpop,
    /// A session cookie named in the configuration.
    Cookie,
}

/// Where in the request a credential stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Location {
    /// A header field.
    Header,
    /// A query parameter.
    Query,
    /// A path segment.
    Path,
    /// A cookie.
    Cookie,
}

/// A credential without its secret. Shared: one per fingerprint.
#[derive(Debug)]
pub struct Credential {
    /// Kind.
    pub kind: CredentialKind,
    /// Keyed hash of the secret.
    pub fingerprint: Fingerprint,
    /// Short public prefix (`ghp_`, `AKIA`), when the value begins with a known one.
    pub hint: Option<Box<str>>,
    /// What the credential says of its bearer, unverified.
    pub claims: Claims,
    /// How it is called without a policy: the fingerprint, or `jwt:iss=…,sub=…`
    /// (`client=…` for a token without a subject).
    pub default_identity: Arc<str>,
}

/// Public parts of a credential, read without verification, each bounded to 256 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// JWT `iss`.
    pub issuer: Option<Box<str>>,
    /// JWT `sub`; user name of Basic and Digest; access key id of SigV4.
    pub subject: Option<Box<str>>,
    /// JWT `aud` (all of them).
    pub audience: Vec<Box<str>>,
    /// JWT `azp`, else `client_id`.
    pub client: Option<Box<str>>,
    /// JWT `scope` (space separated) or `scp`.
    pub scope: Option<Box<str>>,
    /// JWT `exp`, seconds since 1970.
    pub expires: Option<i64>,
    /// JWT `jti`.
    pub token_id: Option<Box<str>>,
    /// JWT `amr`.
    pub methods: Vec<Box<str>>,
    /// JWT `cnf`.
    pub confirmation: Option<Confirmation>,
}

/// What a token says it is bound to (RFC 7800): whoever shows the token has to prove that they hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// A key, by its thumbprint (`cnf.jkt`, RFC 9449 §6.1): the DPoP proof shows it.
    Key(Box<str>),
    /// A client certificate, by its hash (`cnf.x5t#S256`, RFC 8705 §3.1): the TLS handshake shows it,
    /// encrypted since TLS 1.3, so it is not compared here.
    Certificate(Box<str>),
}

impl Confirmation {
    /// Name of the member of `cnf`.
    #[must_use]
    pub fn member(&self) -> &'static str {
        match self {
            Self::Key(_) => "jkt",
            Self::Certificate(_) => "x5t#S256",
        }
    }
}

/// Which ends of the connection are on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Only the client.
    Client,
    /// Only the server.
    Server,
    /// Both: one access that names both.
    Both,
}

/// One end of a connection on this host.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Process at the time of the request.
    pub pid: u32,
    /// What it is.
    pub workload: Arc<Workload>,
}

/// Where a request went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The server's address as the client saw it; for [`Role::Server`] the client's.
    Inet(SocketAddr),
    /// A unix socket's path; abstract names begin with `@`.
    Unix(Arc<str>),
    /// Not known.
    Unknown,
}

/// One use of one credential (or a request without any).
#[derive(Clone, Debug)]
pub struct Access {
    /// Microseconds since 1970 at the request's first byte.
    pub time_us: i64,
    /// Which ends are here.
    pub role: Role,
    /// The credential; `None` for a request without one.
    pub credential: Option<Arc<Credential>>,
    /// Where it stood.
    pub location: Option<Location>,
    /// The DPoP proof that came with it.
    pub proof: Option<Box<dpop::Proof>>,
    /// Named principal: by policy, else the credential's default.
    pub identity: Option<Arc<str>>,
    /// Owner by policy.
    pub owner: Option<Arc<str>>,
    /// Client process, when on this host.
    pub client: Option<Endpoint>,
    /// Server process, when on this host.
    pub server: Option<Endpoint>,
    /// Other end.
    pub peer: Peer,
    /// True when client and server share this host or the peer is a loopback address or unix socket.
    pub local: bool,
    /// `http/1.0`, `http/1.1` or `h2`.
    pub protocol: &'static str,
    /// Method; `?` when it is not known.
    pub method: Arc<str>,
    /// Host of the target or the Host field, lower case, port kept when not the default;
    /// `-` when the request named none.
    pub host: Arc<str>,
    /// Path without query, secrets replaced, at most 2 KiB; `?` when it is not known.
    pub path: String,
    /// Path with object ids lifted out. A gRPC method as it is; an MCP request's is
    /// `MCP tools/call:delete_issue`, as its header fields claim.
    pub route: Arc<str>,
    /// Status code; `None` when no response was seen.
    pub status: Option<u16>,
    /// Outcome of a gRPC call; `None` when it was none, or no outcome was seen.
    pub grpc_status: Option<u32>,
    /// From the request's to the response's first byte.
    pub duration_us: Option<u64>,
    /// Environment the request went to (by destination), else that of this host.
    pub environment: Option<Arc<str>>,
    /// Duties of the identity that grant the operation.
    pub duties: Arc<[Arc<str>]>,
    /// What the checks found.
    pub findings: FindingSet,
    /// The TLS that it went through, as far as this host saw into it; `None` for clear text.
    pub tls: Option<Arc<Tls>>,
    /// First message after a gap.
    pub resynchronised: bool,
    /// Header fields that could not be known (HTTP/2, joined midway or after losses): a credential may be
    /// among them.
    pub unknown_fields: u16,
}

/// What is known of the TLS that carried an access. Shared by all accesses of a connection.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tls {
    /// `1.2` or `1.3`; none when the handshake was not seen.
    #[serde(default)]
    pub version: Option<String>,
    /// Server name that the client asked for (RFC 6066 §3), at most 255 bytes.
    #[serde(default)]
    pub sni: Option<String>,
    /// Protocol agreed upon, or the only one offered (RFC 7301).
    #[serde(default)]
    pub alpn: Option<String>,
    /// How the plaintext was had: `keys`, or `probes` at the TLS library's reads and writes.
    pub via: String,
    /// JA4 of the ClientHello.
    #[serde(default)]
    pub ja4: Option<String>,
}

impl Access {
    /// What a request said, with nothing of who, when and how it was answered. `no_duties` is shared by all that
    /// no duty grants yet.
    pub(crate) fn said(said: &Recognised, no_duties: &Arc<[Arc<str>]>) -> Self {
        Self {
            time_us: 0,
            role: Role::Client,
            credential: None,
            location: None,
            proof: None,
            identity: None,
            owner: None,
            client: None,
            server: None,
            peer: Peer::Unknown,
            local: false,
            protocol: said.protocol,
            method: Arc::clone(&said.method),
            host: Arc::clone(&said.host),
            path: String::new(),
            route: Arc::clone(&said.route),
            status: None,
            grpc_status: None,
            duration_us: None,
            environment: None,
            duties: Arc::clone(no_duties),
            findings: FindingSet::default(),
            tls: None,
            resynchronised: false,
            unknown_fields: 0,
        }
    }

    /// Whether the server refused the credential: then the access is judged, but says nothing of how the
    /// identity itself behaves, since nobody verified the credential.
    #[must_use]
    pub fn refused(&self) -> bool {
        // gRPC's PERMISSION_DENIED and UNAUTHENTICATED.
        matches!(self.status, Some(401 | 403)) || matches!(self.grpc_status, Some(7 | 16))
    }

    /// Whether it failed otherwise: what was asked for is not there, is wrong, or the server is.
    #[must_use]
    pub fn failed(&self) -> bool {
        let failed = self.status.is_some_and(|status| status >= 400)
            || self.grpc_status.is_some_and(|status| status != 0);
        failed && !self.refused()
    }
}
