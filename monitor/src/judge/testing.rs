//! For tests of whole judgements: policy text and an access in, fields and findings out.

use std::sync::Arc;

use super::{FindingKind, FindingSet, Judge, Settings, Severity, Words};
use crate::access::{
    Access, Claims, Credential, CredentialKind, Endpoint, FingerprintKey, Location, Peer, Role,
    Workload,
};
use crate::policy::{Policy, load_text};

pub(super) const POLICY: &str = r#"
version = 1
[environments]
prod = ["api.pay.example", "10.20.0.0/16", "unix:/run/prod.sock"]
dev = ["*.dev.example", "10.30.0.0/16"]
shared = ["10.40.0.1"]
[duties]
deploy = ["POST ci.dev.example/deployments/{id}"]
status = ["GET */status", "POST ci.dev.example/deployments/**", "POST ci.dev.example/other"]
[identities.ci-bot]
owner = "team-ci"
credentials = ["jwt:iss=https://idp.example,sub=ci-bot", "basic:user=ci"]
duties = ["deploy", "status"]
environments = ["dev", "shared"]
workloads = ["unit:ci.service"]
[identities.free]
owner = "team-free"
credentials = ["basic:user=free"]
duties = ["status"]
[identities.trap]
owner = "security"
credentials = ["basic:user=trap"]
"#;

pub(crate) fn policy(text: &'static str) -> Arc<Policy> {
    let key = FingerprintKey::new([1; 32]);
    let loaded = load_text("/etc/bw/policy.toml", text, &key);
    Arc::new(
        loaded
            .unwrap_or_else(|errors| panic!("{}", errors[0]))
            .policy,
    )
}

pub(super) fn judge_with(settings: Settings) -> Judge {
    Judge::new(policy(POLICY), settings)
}

pub(super) fn credential(
    kind: CredentialKind,
    issuer: Option<&str>,
    subject: &str,
) -> Arc<Credential> {
    let secret = format!("{kind:?}{issuer:?}{subject}");
    let fingerprint = FingerprintKey::new([1; 32]).fingerprint(secret.as_bytes());
    let claims = Claims {
        issuer: issuer.map(Into::into),
        subject: Some(subject.into()),
        expires: Some(2_000),
        ..Claims::default()
    };
    let default_identity = match issuer {
        Some(issuer) => format!("jwt:iss={issuer},sub={subject}").into(),
        None => fingerprint.to_string().into(),
    };
    Arc::new(Credential {
        kind,
        fingerprint,
        hint: None,
        claims,
        default_identity,
    })
}

pub(super) fn jwt(subject: &str) -> Option<Arc<Credential>> {
    Some(credential(
        CredentialKind::Jwt,
        Some("https://idp.example"),
        subject,
    ))
}

pub(crate) fn basic(user: &str) -> Option<Arc<Credential>> {
    Some(credential(CredentialKind::Basic, None, user))
}

pub(super) fn workload(exe: &str, unit: Option<&str>) -> Option<Endpoint> {
    let workload = Workload {
        exe: exe.into(),
        unit: unit.map(Into::into),
        user: "ci".into(),
        ..Workload::default()
    };
    Some(Endpoint {
        pid: 7,
        workload: Arc::new(workload),
    })
}

pub(super) fn peer(address: &str) -> Peer {
    Peer::Inet(address.parse().unwrap())
}

/// ci-bot does what it should.
pub(crate) fn usual() -> Access {
    Access {
        time_us: 1_000_000_000,
        role: Role::Client,
        credential: jwt("ci-bot"),
        location: Some(Location::Header),
        proof: None,
        identity: None,
        owner: None,
        client: workload("/usr/bin/ci", Some("ci.service")),
        server: None,
        peer: peer("127.0.0.1:8080"),
        local: true,
        protocol: "http/1.1",
        method: "POST".into(),
        host: "ci.dev.example".into(),
        path: "/deployments/17".into(),
        route: "/deployments/{id}".into(),
        status: Some(201),
        duration_us: Some(5),
        environment: None,
        duties: Arc::from([]),
        findings: FindingSet::default(),
        tls: None,
        resynchronised: false,
        unknown_fields: 0,
        grpc_status: None,
    }
}

/// A finding with its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) kind: FindingKind,
    pub(super) severity: Severity,
    pub(super) clause: String,
    pub(super) title: String,
    pub(super) normal: String,
    pub(super) action: String,
    pub(super) techniques: &'static [&'static str],
}

pub(super) fn judged(judge: &mut Judge, access: &mut Access) -> Vec<Told> {
    let mut out = Vec::new();
    judge.judge(access, &mut out);
    let kinds: Vec<_> = out.iter().map(|finding| finding.kind).collect();
    assert_eq!(
        access.findings.iter().collect::<Vec<_>>(),
        kinds,
        "set and findings agree"
    );
    let told = out.iter().map(|finding| {
        let Words {
            clause,
            title,
            normal,
            action,
            techniques,
        } = judge.words(finding.kind, access).unwrap();
        for text in [&title, &clause, &normal, &action] {
            assert!(
                !text.is_empty() && !text.chars().any(char::is_control),
                "{text:?}"
            );
        }
        assert!(!techniques.is_empty());
        Told {
            kind: finding.kind,
            severity: finding.severity,
            clause,
            title,
            normal,
            action,
            techniques,
        }
    });
    told.collect()
}

pub(super) fn kinds(change: impl FnOnce(&mut Access)) -> Vec<&'static str> {
    kinds_with(Settings::default(), change)
}

pub(super) fn kinds_with(
    settings: Settings,
    change: impl FnOnce(&mut Access),
) -> Vec<&'static str> {
    let mut access = usual();
    change(&mut access);
    judged(&mut judge_with(settings), &mut access)
        .iter()
        .map(|f| f.kind.name())
        .collect()
}

pub(super) fn here(environment: &str) -> Settings {
    Settings {
        environment: Some(environment.into()),
        ..Settings::default()
    }
}

/// For snapshots.
impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} {:?} {:?}",
            self.kind.name(),
            self.severity,
            self.techniques
        )?;
        writeln!(f, "  clause: {}\n  title:  {}", self.clause, self.title)?;
        writeln!(f, "  normal: {}\n  action: {}", self.normal, self.action)
    }
}
