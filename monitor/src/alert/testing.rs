//! Things that tests of several modules need.

use std::sync::Arc;

use crate::access::record::{AccessRecord, rfc3339};
use crate::access::{
    Access, Credential, CredentialKind, Endpoint, Fingerprint, Location, Peer, Role, Workload,
};
use crate::judge::{FindingKind, FindingSet, Severity, Words};

use super::{Alert, AlertUpdate, Clock, FoldKey};

/// An access of `identity` by `ci.service`.
pub(crate) fn access(identity: Option<&str>, time_us: i64) -> Access {
    Access {
        time_us,
        role: Role::Client,
        credential: identity.map(|name| {
            Arc::new(Credential {
                kind: CredentialKind::Bearer,
                fingerprint: Fingerprint([9; 16]),
                hint: None,
                claims: Default::default(),
                default_identity: name.into(),
            })
        }),
        location: identity.map(|_| Location::Header),
        proof: None,
        identity: identity.map(Into::into),
        owner: identity.map(|_| "team-ci".into()),
        client: Some(Endpoint {
            pid: 7,
            workload: Arc::new(Workload {
                exe: "/usr/bin/curl".into(),
                unit: Some("ci.service".into()),
                container: None,
                user: "root".into(),
                lineage: ["/usr/bin/bash".into()].into(),
            }),
        }),
        server: None,
        peer: Peer::Unknown,
        local: false,
        protocol: "http/1.1",
        method: "GET".into(),
        host: "api.example".into(),
        path: "/17".to_owned(),
        route: "/{id}".into(),
        status: Some(200),
        duration_us: Some(812),
        environment: Some("prod".into()),
        duties: [].into(),
        findings: FindingSet::default(),
        tls: None,
        resynchronised: false,
        unknown_fields: 0,
        grpc_status: None,
    }
}

/// Its JSON form.
pub(crate) fn record(time_us: i64) -> AccessRecord {
    AccessRecord::from_access(&access(Some("ci-bot"), time_us))
}

/// Words of a finding.
pub(crate) fn words(clause: &str) -> Words {
    Words {
        clause: clause.to_owned(),
        title: "ci-bot used a prod host".to_owned(),
        normal: "dev".to_owned(),
        action: "rotate the key".to_owned(),
        techniques: &["T1078"],
    }
}

/// An update that counts `count`.
pub(crate) fn update(identity: &str, count: u64, at_us: i64) -> AlertUpdate {
    let words = words("identities.ci-bot.environments");
    AlertUpdate {
        key: FoldKey {
            kind: FindingKind::Environment,
            identity: Some(identity.into()),
            workload: Some("unit:ci.service".into()),
            clause: words.clause.into(),
        },
        count,
        first_us: at_us,
        last_us: at_us,
        severity: Severity::High,
        title: words.title,
        normal: words.normal,
        action: words.action,
        techniques: words.techniques,
        owner: Some("team-ci".into()),
        operation: "GET api.example/{id}".to_owned(),
        environment: Some("prod".into()),
        evidence: vec![access(Some(identity), at_us)],
    }
}

/// An alert without evidence.
pub(crate) fn alert(id: &str, count: u64) -> Alert {
    Alert {
        r#type: "alert".to_owned(),
        v: 1,
        id: id.to_owned(),
        severity: Severity::High,
        kind: FindingKind::Environment,
        title: "ci-bot used a prod host".to_owned(),
        identity: Some("ci-bot".to_owned()),
        owner: Some("team-ci".to_owned()),
        workload: Some("unit:ci.service".to_owned()),
        operation: "GET api.example/{id}".to_owned(),
        environment: Some("prod".to_owned()),
        clause: "identities.ci-bot.environments".to_owned(),
        count,
        first_seen: rfc3339(0),
        last_seen: rfc3339(1),
        techniques: vec!["T1078".to_owned()],
        normal: "dev".to_owned(),
        action: "rotate the key".to_owned(),
        acknowledged: None,
        muted_until: None,
        evidence: Vec::new(),
    }
}

/// A clock that follows tokio's, so that paused time moves it.
#[derive(Debug)]
pub(crate) struct TokioClock {
    base_us: i64,
    start: tokio::time::Instant,
}

impl TokioClock {
    pub(crate) fn new(base_us: i64) -> Self {
        Self {
            base_us,
            start: tokio::time::Instant::now(),
        }
    }
}

impl Clock for TokioClock {
    fn now_us(&self) -> i64 {
        self.base_us + i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}
