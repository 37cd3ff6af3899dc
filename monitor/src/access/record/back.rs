//! From its JSON form back to an access, as far as that goes: what a credential says of its bearer, and proofs,
//! are not in it.

use std::sync::Arc;

use jiff::Timestamp;

use super::{AccessRecord, EndpointRecord};
use crate::access::{Access, Claims, Credential, Endpoint, Peer, Workload};
use crate::judge::{FindingKind, FindingSet};

impl AccessRecord {
    /// The access; `None` when the record does not say when it was, or is not of its form. `name` gives the
    /// allocation of a text that occurs again and again.
    #[must_use]
    pub fn to_access(&self, name: &mut dyn FnMut(&str) -> Arc<str>) -> Option<Access> {
        let time: Timestamp = self.time.parse().ok()?;
        let credential = match &self.credential {
            Some(record) => {
                let fingerprint = record.fingerprint.parse().ok()?;
                Some(Arc::new(Credential {
                    kind: record.kind,
                    fingerprint,
                    hint: record.hint.as_deref().map(Into::into),
                    claims: Claims::default(),
                    default_identity: name(&record.fingerprint),
                }))
            }
            None => None,
        };
        let peer = match self.peer.as_deref() {
            None => Peer::Unknown,
            Some(text) => match text.strip_prefix("unix:") {
                Some(path) => Peer::Unix(name(path)),
                None => text.parse().map_or(Peer::Unknown, Peer::Inet),
            },
        };
        let mut findings = FindingSet::default();
        for kind in FindingKind::ALL {
            if self.findings.iter().any(|found| found == kind.name()) {
                findings.insert(kind);
            }
        }
        let mut some = |text: &Option<String>| text.as_deref().map(&mut *name);
        Some(Access {
            time_us: time.as_microsecond(),
            role: self.role,
            credential,
            location: None,
            proof: None,
            identity: some(&self.identity),
            owner: some(&self.owner),
            environment: some(&self.environment),
            client: self.client.as_ref().map(|end| end.to_endpoint(name)),
            server: self.server.as_ref().map(|end| end.to_endpoint(name)),
            local: matches!(peer, Peer::Unix(_)) || self.role == crate::access::Role::Both,
            peer,
            protocol: match self.protocol.as_str() {
                "http/1.0" => "http/1.0",
                "h2" => "h2",
                _ => "http/1.1",
            },
            method: name(&self.request.method),
            host: name(&self.request.host),
            path: self.request.path.clone(),
            route: name(&self.request.route),
            status: self.response.as_ref().map(|response| response.status),
            grpc_status: self
                .response
                .as_ref()
                .and_then(|response| response.grpc_status),
            duration_us: self.duration_us,
            duties: self.duties.iter().map(|duty| name(duty)).collect(),
            findings,
            tls: self.tls.clone().map(Arc::new),
            resynchronised: false,
            unknown_fields: self.request.unknown_fields.unwrap_or(0),
        })
    }
}

impl EndpointRecord {
    fn to_endpoint(&self, name: &mut dyn FnMut(&str) -> Arc<str>) -> Endpoint {
        Endpoint {
            pid: self.pid,
            workload: Arc::new(Workload {
                exe: name(&self.exe),
                unit: self.unit.as_deref().map(&mut *name),
                container: self.container.as_deref().map(&mut *name),
                user: name(&self.user),
                lineage: self.lineage.iter().map(|exe| name(exe)).collect(),
            }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may fail by panic")]
mod tests {
    use super::*;
    use crate::alert::testing::access;

    #[test]
    fn what_the_record_says_comes_back() {
        for (identity, n) in [(Some("ci-bot"), 7), (None, 9)] {
            let record = AccessRecord::from_access(&access(identity, n));
            let back = record.to_access(&mut |text: &str| text.into()).unwrap();
            assert_eq!(AccessRecord::from_access(&back), record);
        }
        let mut record = AccessRecord::from_access(&access(Some("x"), 1));
        record.time = "yesterday".to_owned();
        assert!(record.to_access(&mut |text: &str| text.into()).is_none());
    }
}
