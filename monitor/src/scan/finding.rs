//! What was found, without the secret.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Form, Hit};
use crate::access::Fingerprint;
use crate::access::credential::Canon;
use crate::sarif::{Level, SarifResult};

/// Where live a found credential is. Part of the JSON form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveUse {
    /// Who uses it.
    pub identity: String,
    /// Owner by policy.
    #[serde(default)]
    pub owner: Option<String>,
    /// Where.
    #[serde(default)]
    pub environments: Vec<String>,
    /// By what: `unit:…`, `container:…`, `exe:…`, `peer:…`.
    #[serde(default)]
    pub workloads: Vec<String>,
    /// When last, RFC 3339.
    #[serde(default)]
    pub last_seen: Option<String>,
}

/// `{"type":"stored-credential","v":1,…}`, documented in docs/json.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Always `stored-credential`.
    pub r#type: String,
    /// Version of this form: 1.
    pub v: u32,
    /// Id of the rule.
    pub rule: String,
    /// What the rule finds.
    pub text: String,
    /// File as it was named; `-` for standard input; of a history the path that the blob had.
    pub path: String,
    /// Inside an archive: where, levels joined by `!`. Of a history: the blob.
    pub within: Option<String>,
    /// From 1.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
    /// In bytes, from 0.
    pub offset: u64,
    /// Public prefix, or null.
    pub hint: Option<String>,
    /// Bytes of the secret.
    pub length: u64,
    /// The fingerprint that it has on this host's wire; null when the host's key could not be had.
    #[serde(serialize_with = "printed", deserialize_with = "read")]
    pub fingerprint: Option<Fingerprint>,
    /// Who uses it, when that is known.
    pub live: Option<LiveUse>,
}

fn printed<S: serde::Serializer>(
    fingerprint: &Option<Fingerprint>,
    to: S,
) -> Result<S::Ok, S::Error> {
    fingerprint
        .map(|fingerprint| fingerprint.to_string())
        .serialize(to)
}

fn read<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Fingerprint>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom))
        .transpose()
}

/// `{"type":"scan","v":1,…}`: what a scan came to, the last line of its JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanRecord {
    /// Always `scan`.
    pub r#type: String,
    /// Version of this form: 1.
    pub v: u32,
    /// Files, members of archives and blobs.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Findings.
    pub found: u64,
    /// Of these, in use.
    pub live: u64,
    /// Findings that a comment or the allow file lets stay.
    pub allowed: u64,
    /// Findings beyond the bounds, not listed.
    pub more: u64,
    /// What was not read, and why.
    pub unread: Vec<Unread>,
    /// How much more was not read.
    pub more_unread: u64,
    /// Why found credentials were not compared with those in use; null when they were.
    pub unjoined: Option<String>,
}

/// A file that was not read, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unread {
    /// Which.
    pub path: String,
    /// Why.
    pub why: String,
}

impl Finding {
    /// `path:line:column`, and where inside.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.within {
            Some(within) => format!("{}!{within}:{}:{}", self.path, self.line, self.column),
            None => format!("{}:{}:{}", self.path, self.line, self.column),
        }
    }

    /// What can be said of the secret: its public prefix and its length.
    #[must_use]
    pub fn mask(&self) -> String {
        match &self.hint {
            Some(hint) if !hint.is_empty() => format!("{hint}… ({} bytes)", self.length),
            _ => format!("{} bytes", self.length),
        }
    }

    /// As a result of SARIF. `nth` is the how-manieth of its rule in its file: what stays when lines move, and says
    /// nothing of the secret.
    #[must_use]
    pub fn sarif(&self, nth: usize) -> SarifResult {
        let live = match &self.live {
            Some(live) => format!("; {}", live.words()),
            None => String::new(),
        };
        let within = self
            .within
            .as_ref()
            .map(|within| format!(" in {within}"))
            .unwrap_or_default();
        SarifResult {
            rule_id: self.rule.clone(),
            level: Level::Error,
            message: format!("{} ({}){within}{live}", self.text, self.mask()),
            path: PathBuf::from(&self.path),
            line: u32::try_from(self.line).unwrap_or(u32::MAX),
            column: u32::try_from(self.column).unwrap_or(u32::MAX),
            fingerprint: Some(
                blake3::hash(
                    format!(
                        "{}\0{}\0{}\0{nth}",
                        self.rule,
                        self.path,
                        self.within.as_deref().unwrap_or("")
                    )
                    .as_bytes(),
                )
                .to_hex()
                .to_string(),
            ),
        }
    }
}

impl LiveUse {
    /// One clause: `identity pay-writer used it in prod, last at …`.
    #[must_use]
    pub fn words(&self) -> String {
        let mut text = format!("identity {} used it", self.identity);
        if !self.environments.is_empty() {
            text.push_str(" in ");
            text.push_str(&self.environments.join(", "));
        }
        if !self.workloads.is_empty() {
            text.push_str(" from ");
            text.push_str(&self.workloads.join(", "));
        }
        match &self.last_seen {
            Some(last) => {
                text.push_str(", last at ");
                text.push_str(last);
            }
            None => text.push_str(", and was refused each time"),
        }
        text
    }
}

/// A secret that waits to be compared: wiped when dropped, never formatted.
#[expect(missing_debug_implementations, reason = "it holds a secret")]
pub struct Candidate {
    bytes: Zeroizing<Vec<u8>>,
    /// Bytes of the user, for a pair.
    user: usize,
    form: Form,
}

impl Candidate {
    /// Copies what was hit. `None` when it never crosses a wire.
    #[must_use]
    pub fn of(hit: &Hit<'_>) -> Option<Self> {
        if hit.form == Form::Never {
            return None;
        }
        let user = hit.user.unwrap_or_default();
        let mut bytes = Zeroizing::new(Vec::with_capacity(user.len() + hit.secret.len()));
        bytes.extend_from_slice(user);
        bytes.extend_from_slice(hit.secret);
        Some(Self {
            bytes,
            user: user.len(),
            form: hit.form,
        })
    }

    /// From what came over the control socket. `None` when the parts do not fit.
    #[must_use]
    pub fn from_parts(form: Form, user: usize, bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        (form != Form::Never && user <= bytes.len()).then_some(Self { bytes, user, form })
    }

    /// Form, length of the user, bytes: for the control socket.
    #[must_use]
    pub fn parts(&self) -> (Form, usize, &[u8]) {
        (self.form, self.user, &self.bytes)
    }

    /// The fingerprint that it has on the wire.
    pub fn fingerprint(&self, canon: &mut Canon) -> Option<Fingerprint> {
        let (user, secret) = self.bytes.split_at_checked(self.user)?;
        match self.form {
            Form::Token => Some(canon.token(secret)),
            Form::Pair => canon.pair(user, secret),
            Form::Basic => canon.basic(secret),
            Form::Userinfo => canon.userinfo(secret),
            Form::Never => None,
        }
    }
}
