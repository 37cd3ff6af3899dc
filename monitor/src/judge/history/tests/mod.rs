//! Replayed sequences: who did what when, arriving in which order, and what was found.

mod approvals;
mod arrival;
mod memory;
mod restart;
mod separations;
mod shared;

use std::sync::Arc;

use crate::access::workload::lineage;
use crate::access::{Access, Endpoint, Workload};
use crate::judge::testing::{basic, policy, usual};
use crate::judge::{FindingKind, Judge, Later, Settings, Severity, Words};

pub(super) const POLICY: &str = r#"
version = 1
[duties]
deploy = ["POST ci.example/deployments/{id}", "PUT old.example/v2/{id}/deploy"]
approve = ["POST ci.example/deployments/{id}/approve"]
read = ["GET pay.example/**"]
write = ["POST pay.example/**"]
pay = ["POST bank.example/transfers"]
sign = ["POST bank.example/signatures"]
[identities.alice-deploy]
owner = "alice"
credentials = ["basic:user=alice-deploy"]
duties = ["deploy", "read", "pay"]
[identities.alice-approve]
owner = "alice"
credentials = ["basic:user=alice-approve"]
duties = ["approve", "write", "sign"]
[identities.bob]
owner = "bob"
credentials = ["basic:user=bob"]
duties = ["approve", "write", "sign"]
[identities.carol]
owner = "carol"
credentials = ["basic:user=carol"]
duties = ["deploy", "approve", "pay"]
[identities.dan]
owner = "dan"
credentials = ["basic:user=dan"]
duties = ["read", "deploy"]
workloads = ["unit:a.service", "unit:b.service"]
[[separate]]
duties = ["read", "write"]
[[separate]]
duties = ["deploy", "approve"]
on = "id"
within = "7d"
[[approve]]
duty = "pay"
by = "sign"
within = "1h"
"#;

/// As the watched hosts see it: noon.
const NOON: i64 = 1_790_000_000 / 86_400 * 86_400 + 43_200;

pub(super) fn us(seconds: i64) -> i64 {
    (NOON + seconds) * 1_000_000
}

/// A use: seconds from noon, user, and `METHOD host/path`.
pub(super) fn act(seconds: i64, user: &str, what: &str) -> Access {
    let (method, target) = what.split_once(' ').unwrap();
    let (host, path) = target.split_at(target.find('/').unwrap());
    Access {
        time_us: us(seconds),
        credential: basic(user),
        client: unit(&format!("{user}.service")),
        method: method.into(),
        host: host.into(),
        path: path.to_owned(),
        route: path.into(),
        status: Some(200),
        ..usual()
    }
}

pub(super) fn end(workload: Workload) -> Option<Endpoint> {
    Some(Endpoint {
        pid: 7,
        workload: Arc::new(workload),
    })
}

/// A process of a unit.
pub(super) fn unit(name: &str) -> Option<Endpoint> {
    end(Workload {
        exe: "/usr/bin/app".into(),
        unit: Some(name.into()),
        user: "app".into(),
        lineage: lineage(["/usr/lib/systemd/systemd".into()]),
        ..Workload::default()
    })
}

/// `curl` that somebody typed.
pub(super) fn typed(session: Option<&str>, user: &str, ancestors: &[&str]) -> Option<Endpoint> {
    end(Workload {
        exe: "/usr/bin/curl".into(),
        unit: session.map(Into::into),
        user: user.into(),
        lineage: lineage(ancestors.iter().map(|exe| Arc::from(*exe))),
        ..Workload::default()
    })
}

pub(super) fn at(mut access: Access, client: Option<Endpoint>) -> Access {
    access.client = client;
    access
}

/// What was found, about which access.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Told {
    pub(super) kind: FindingKind,
    /// Seconds from noon of the access.
    pub(super) at: i64,
    pub(super) user: String,
    pub(super) severity: Severity,
    pub(super) clause: String,
    pub(super) title: String,
    /// Seconds from noon of the access beside it.
    pub(super) beside: Option<i64>,
}

const OWN: [FindingKind; 3] = [
    FindingKind::Separation,
    FindingKind::Approval,
    FindingKind::CredentialShared,
];

fn seconds(access: &Access) -> i64 {
    access.time_us / 1_000_000 - NOON
}

fn told(
    (kind, severity): (FindingKind, Severity),
    access: &Access,
    beside: Option<&Access>,
    words: Words,
) -> Told {
    for text in [&words.title, &words.clause, &words.normal, &words.action] {
        assert!(
            !text.is_empty() && !text.chars().any(char::is_control),
            "{text:?}"
        );
    }
    assert!(!words.techniques.is_empty());
    Told {
        kind,
        at: seconds(access),
        user: access.identity.as_deref().unwrap().to_owned(),
        severity,
        clause: words.clause,
        title: words.title,
        beside: beside.map(seconds),
    }
}

/// Judges one access that arrives at `now`, and takes what is told until then.
pub(super) fn arrive(judge: &mut Judge, now: i64, mut access: Access) -> Vec<Told> {
    judge.look_back(us(now));
    let mut findings = Vec::new();
    judge.judge(&mut access, &mut findings);
    let mut out: Vec<Told> = findings
        .into_iter()
        .filter(|finding| OWN.contains(&finding.kind))
        .map(|finding| {
            let words = judge.words(finding.kind, &access).unwrap();
            let beside = judge.beside(finding.kind).0;
            told((finding.kind, finding.severity), &access, beside, words)
        })
        .collect();
    out.extend(later(judge));
    out
}

/// What was concluded by now.
pub(super) fn later(judge: &mut Judge) -> Vec<Told> {
    let one = |(finding, later): (crate::judge::Finding, Later)| {
        assert_eq!(finding.kind, later.kind());
        let about = (finding.kind, finding.severity);
        told(about, later.access(), later.beside(), later.words())
    };
    judge.take_later().into_iter().map(one).collect()
}

pub(super) fn wait(judge: &mut Judge, now: i64) -> Vec<Told> {
    judge.look_back(us(now));
    later(judge)
}

/// A judge that has watched for a month.
pub(super) fn judge_of(text: &'static str) -> Judge {
    let mut judge = Judge::new(policy(text), Settings::default());
    judge.look_back(us(-30 * 86_400));
    judge
}

pub(super) fn judge() -> Judge {
    judge_of(POLICY)
}

/// Judges accesses as they come, and waits until everything is concluded.
pub(super) fn replay(accesses: Vec<Access>) -> Vec<Told> {
    let mut judge = judge();
    let mut out = Vec::new();
    let mut last = 0;
    for access in accesses {
        last = seconds(&access);
        out.extend(arrive(&mut judge, last, access));
    }
    out.extend(wait(&mut judge, last + 61));
    out
}

pub(super) fn kinds(told: &[Told]) -> Vec<(&'static str, i64)> {
    told.iter()
        .map(|told| (told.kind.name(), told.at))
        .collect()
}

pub(super) const DEPLOY: &str = "POST ci.example/deployments/17";
pub(super) const APPROVE: &str = "POST ci.example/deployments/17/approve";
pub(super) const PAY: &str = "POST bank.example/transfers";
pub(super) const SIGN: &str = "POST bank.example/signatures";
