//! What leaves the hot thread: the growth of one alert since the last time.

use std::sync::Arc;

use crate::access::Access;
use crate::judge::{FindingKind, Severity};

/// What folds into one alert.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FoldKey {
    /// Kind of finding.
    pub kind: FindingKind,
    /// Identity, as the access names it.
    pub identity: Option<Arc<str>>,
    /// `unit:…`, `container:…` or `exe:…` of the process that used the credential.
    pub workload: Option<Arc<str>>,
    /// The clause broken.
    pub clause: Arc<str>,
}

impl FoldKey {
    /// A fixed-size digest of the key, for the store's index.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.kind.name().as_bytes());
        for part in [
            self.identity.as_deref(),
            self.workload.as_deref(),
            Some(&*self.clause),
        ] {
            // Lengths keep ("a", "bc") apart from ("ab", "c"), a marker keeps None from "".
            let part = part
                .map(|text| (text.len() as u64 + 1, text))
                .unwrap_or((0, ""));
            hasher.update(&part.0.to_le_bytes());
            hasher.update(part.1.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

/// Growth of one alert since it was last told.
#[derive(Clone, Debug)]
pub struct AlertUpdate {
    /// Which alert.
    pub key: FoldKey,
    /// Accesses since.
    pub count: u64,
    /// Time of the earliest, microseconds since 1970.
    pub first_us: i64,
    /// Time of the latest.
    pub last_us: i64,
    /// The worst.
    pub severity: Severity,
    /// What happened, of the worst, else of the first.
    pub title: String,
    /// What would have been normal.
    pub normal: String,
    /// What to do.
    pub action: String,
    /// MITRE ATT&CK technique ids.
    pub techniques: &'static [&'static str],
    /// Owner by policy.
    pub owner: Option<Arc<str>>,
    /// `METHOD host/route`.
    pub operation: String,
    /// Where it went.
    pub environment: Option<Arc<str>>,
    /// The first and the newest accesses, at most [`super::MAX_EVIDENCE`].
    pub evidence: Vec<Access>,
}

impl AlertUpdate {
    /// Adds a later update of the same alert (or of one that is counted with it).
    pub fn absorb(&mut self, later: Self) {
        self.count = self.count.saturating_add(later.count);
        self.first_us = self.first_us.min(later.first_us);
        self.last_us = self.last_us.max(later.last_us);
        if later.severity > self.severity {
            self.severity = later.severity;
            self.title = later.title;
            self.normal = later.normal;
            self.action = later.action;
            self.techniques = later.techniques;
            self.operation = later.operation;
            self.environment = later.environment;
        }
        super::evidence::merge(&mut self.evidence, later.evidence);
    }
}

/// Clause of the alert that counts what had no room under its own key.
pub(crate) const OVERFLOW_CLAUSE: &str = "overflow";

impl AlertUpdate {
    /// Turns an update into part of its kind's overflow alert: what has no room for an alert of
    /// its own is still counted, with evidence.
    #[must_use]
    pub(crate) fn into_overflow(self) -> Self {
        let kind = self.key.kind;
        Self {
            key: FoldKey {
                kind,
                identity: None,
                workload: None,
                clause: OVERFLOW_CLAUSE.into(),
            },
            title: format!(
                "more {} findings at once than there is room for: the rest is counted together",
                kind.name()
            ),
            normal: "few identities at a time break the policy".to_owned(),
            action: "see the evidence for who sends so many different credentials".to_owned(),
            owner: None,
            operation: "many".to_owned(),
            environment: None,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_tells_keys_apart() {
        let key = |identity: Option<&str>, workload: Option<&str>, clause: &str| FoldKey {
            kind: FindingKind::Duty,
            identity: identity.map(Into::into),
            workload: workload.map(Into::into),
            clause: clause.into(),
        };
        let keys = [
            key(Some("a"), Some("bc"), "d"),
            key(Some("ab"), Some("c"), "d"),
            key(None, Some("c"), "d"),
            key(Some(""), Some("c"), "d"),
            key(None, None, "c"),
            key(None, Some(""), "c"),
        ];
        let digests = keys
            .iter()
            .map(FoldKey::digest)
            .collect::<std::collections::BTreeSet<_>>();
        assert_eq!(digests.len(), keys.len());
        assert_eq!(keys[0].digest(), keys[0].clone().digest());
    }
}
