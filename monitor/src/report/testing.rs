//! A small shop: what tests report on.

use super::build::{Inputs, NotRecorded, Tally, build};
use super::ledger::{Ledger, Totals};
use super::model::{Report, Summary};
use crate::access::FingerprintKey;
use crate::census::{
    DutyUseRecord, IdentityRecord, Listed, OperationCount, PlaceUseRecord, UsageRecord,
};
use crate::coverage::{Count, CoverageRecord};
use crate::judge::{FindingKind, Severity};
use crate::policy::{self, Policy};

/// 2026-11-24T09:00:00Z.
pub(crate) const NOW: i64 = 1_795_510_800_000_000;
pub(crate) const DAY: i64 = 86_400_000_000;

pub(crate) const SHOP: &str = r#"version = 1
[environments]
prod = ["api.pay.example"]
dev = ["ci.example"]
[duties]
deploy = ["POST ci.example/deployments/{id}"]
approve = ["POST ci.example/deployments/{id}/approve"]
pay-read = ["GET api.pay.example/v1/**"]
pay-write = ["POST api.pay.example/v1/payments", "DELETE api.pay.example/v1/payments/{id}"]
[identities.ci-bot]
owner = "team-ci"
credentials = ["sigv4:AKIA0123456789ABCDEF"]
duties = ["deploy"]
environments = ["dev"]
[identities.reviewer]
owner = "anna"
credentials = ["basic:user=anna"]
duties = ["approve"]
environments = ["dev"]
[identities.pay-reader]
owner = "team-pay"
credentials = ["basic:user=reader"]
duties = ["pay-read"]
environments = ["prod"]
[identities.pay-writer]
owner = "team-pay"
credentials = ["basic:user=writer"]
duties = ["pay-write"]
[identities.trap]
owner = "security"
credentials = ["basic:user=trap"]
[[separate]]
duties = ["pay-read", "pay-write"]
[[separate]]
duties = ["deploy", "approve"]
on = "id"
within = "30d"
[[separate]]
duties = ["deploy", "pay-write"]
[[approve]]
duty = "deploy"
by = "approve"
distinct = "owner"
within = "1h"
"#;

pub(crate) fn policy(text: &str) -> Policy {
    let key = FingerprintKey::new([1; 32]);
    policy::load_text("/etc/bailiwick/policy.toml", text, &key)
        .unwrap_or_else(|errors| panic!("{errors:?}"))
        .policy
}

fn time(us: i64) -> String {
    crate::access::record::rfc3339(us)
}

/// An identity as the census has it; `done` is method, host and route, each done 10 times.
pub(crate) fn identity(
    name: &str,
    owner: Option<&str>,
    duties: &[(&str, i64)],
    environments: &[(&str, u64)],
    done: &[(&str, &str, &str)],
) -> IdentityRecord {
    let last = duties.iter().map(|(_, last)| *last).max().unwrap_or(NOW);
    IdentityRecord {
        r#type: "identity".to_owned(),
        v: 1,
        identity: name.to_owned(),
        baseline: None,
        owner: owner.map(str::to_owned),
        kinds: Vec::new(),
        fingerprints: Listed {
            items: vec!["bw1:5f0c1d2e3b4a59687786a5b4c3d2e1f0".to_owned()],
            more: 0,
        },
        hints: Listed::default(),
        first_seen: Some(time(NOW - 20 * DAY)),
        last_seen: Some(time(last)),
        last_refused: None,
        accesses: 10 * done.len() as u64,
        refused: 0,
        findings: Default::default(),
        workloads: Listed {
            items: vec!["unit:app.service".to_owned()],
            more: 0,
        },
        environments: Listed::default(),
        hosts: Listed {
            items: done.iter().map(|(_, host, _)| (*host).to_owned()).collect(),
            more: 0,
        },
        operations: Listed {
            items: done
                .iter()
                .map(|(method, host, route)| OperationCount {
                    method: (*method).to_owned(),
                    host: (*host).to_owned(),
                    route: (*route).to_owned(),
                    count: 10,
                })
                .collect(),
            more: 0,
        },
        usage: owner.map(|_| UsageRecord {
            v: 1,
            duties: duties
                .iter()
                .map(|(duty, last)| DutyUseRecord {
                    duty: (*duty).to_owned(),
                    count: 10,
                    days: 3,
                    last_used: time(*last),
                })
                .collect(),
            environments: environments
                .iter()
                .map(|(environment, crossings)| PlaceUseRecord {
                    environment: (*environment).to_owned(),
                    count: 10,
                    last_used: time(last),
                    crossings: *crossings,
                    last_crossing: (*crossings > 0).then(|| time(last)),
                })
                .collect(),
        }),
    }
}

pub(crate) fn census() -> Vec<IdentityRecord> {
    vec![
        identity(
            "ci-bot",
            Some("team-ci"),
            &[("deploy", NOW - DAY)],
            &[("dev", 0), ("prod", 3)],
            &[("POST", "ci.example", "/deployments/{id}")],
        ),
        identity(
            "reviewer",
            Some("anna"),
            &[("approve", NOW - 2 * DAY)],
            &[("dev", 0)],
            &[("POST", "ci.example", "/deployments/{id}/approve")],
        ),
        identity(
            "pay-writer",
            Some("team-pay"),
            &[("pay-write", NOW - 40 * DAY)],
            &[("prod", 0)],
            &[("POST", "api.pay.example", "/v1/payments")],
        ),
        identity(
            "pay-reader",
            Some("team-pay"),
            &[("pay-read", NOW - DAY)],
            &[("prod", 0)],
            &[("GET", "api.pay.example", "/v1/payments/{id}")],
        ),
        identity(
            "bw1:00112233445566778899aabbccddeeff",
            None,
            &[],
            &[],
            &[("GET", "api.other.example", "/")],
        ),
    ]
}

pub(crate) fn coverage() -> Vec<CoverageRecord> {
    let count = |connections| Count {
        connections,
        bytes: 10 * connections,
    };
    let row = |workload: &str, read, dark| CoverageRecord {
        r#type: "coverage".to_owned(),
        v: 1,
        workload: Some(workload.to_owned()),
        read: count(read),
        other: count(0),
        dark: count(dark),
        kinds: Vec::new(),
        uncovered: Vec::new(),
        shed: 0,
        examples: vec![crate::coverage::ExampleRecord {
            kind: "tls-no-key".to_owned(),
            sni: Some("vault.example".to_owned()),
            address: None,
            connections: dark,
            last_seen: time(NOW),
        }],
        last_seen: Some(time(NOW)),
    };
    vec![
        row("unit:billing.service", 1, 40),
        row("unit:app.service", 90, 2),
    ]
}

pub(crate) fn ledger() -> Ledger {
    let mut ledger = Ledger::new(NOW - 20 * DAY);
    for day in (0..20).rev() {
        ledger.add(
            NOW - day * DAY,
            80_000,
            Totals {
                requests: 100,
                with_credential: 80,
                named: 60,
                read: 50,
                other: 10,
                dark: 20,
            },
        );
    }
    ledger
}

/// The shop's report, with whatever is changed in its inputs.
pub(crate) fn report_of(change: impl Fn(&mut Inputs<'_>)) -> Report {
    let policy = policy(SHOP);
    let (census, coverage, ledger) = (census(), coverage(), ledger());
    let alerts = Tally::from([
        ((FindingKind::Environment, Severity::High), 1),
        ((FindingKind::Cleartext, Severity::Low), 2),
    ]);
    let past = [Summary {
        made: time(NOW - 7 * DAY),
        days: 30,
        points: 50,
        combined: 2,
        grants: 4,
        unused: 2,
        crossings: 0,
        alerts: 9,
    }];
    let mut inputs = Inputs {
        now_us: NOW,
        since_us: NOW - 30 * DAY,
        live: true,
        environment: Some("dev"),
        policy: &policy,
        census: &census,
        forgotten: 0,
        coverage: Some(&coverage),
        alerts: &alerts,
        ledger: Some(&ledger),
        past: &past,
        approvals: &NotRecorded,
    };
    change(&mut inputs);
    build(&inputs)
}

/// The shop's report with every string of it replaced by something hostile.
pub(crate) fn hostile() -> Report {
    const EVIL: &str = "</td></table><script>alert(1)</script>\" onclick='x' &amp; \u{202e}\u{1b}[2J\0\u{9b}\u{2028}";
    fn spoil(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => text.push_str(EVIL),
            serde_json::Value::Array(items) => items.iter_mut().for_each(spoil),
            serde_json::Value::Object(fields) => {
                let renamed = std::mem::take(fields).into_iter().map(|(name, mut value)| {
                    spoil(&mut value);
                    (name, value)
                });
                *fields = renamed.collect();
            }
            _ => {}
        }
    }
    let mut value = serde_json::to_value(report_of(|_| {})).unwrap();
    spoil(&mut value);
    let mut report: Report = serde_json::from_value(value).unwrap();
    report.alerts.kinds.insert(EVIL.to_owned(), 1);
    report
}
