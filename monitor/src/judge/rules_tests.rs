//! The checks of second factors, of readers that write, of hours and of workloads' environments, through
//! the judge.

use std::sync::Arc;

use super::testing::*;
use super::*;
use crate::access::{Access, Credential, Role, Workload};

const POLICY: &str = r#"
version = 1
[environments]
prod = ["api.pay.example"]
dev = ["*.dev.example"]
[workload-environments]
prod = ["unit:pay.service"]
dev = ["unit:*.service", "user:dev"]
[duties]
read = ["GET,HEAD api.pay.example/v1/**", "SEARCH api.pay.example/v1/**"]
list = ["GET */list"]
tools = ["MCP api.pay.example/tools/**"]
write = ["POST api.pay.example/v1/**"]
[duties.refund]
operations = ["POST api.pay.example/v1/refunds/{id}"]
privileged = true
second-factor = true
[duties.audit]
operations = ["GET api.pay.example/audit/**"]
privileged = true
[identities.teller]
owner = "team-pay"
credentials = ["jwt:iss=https://idp.example,sub=teller", "basic:user=teller"]
duties = ["write", "refund", "audit"]
[identities.reader]
owner = "team-bi"
credentials = ["basic:user=reader"]
duties = ["read", "list"]
[identities.tool]
owner = "team-ml"
credentials = ["basic:user=tool"]
duties = ["read", "tools"]
[identities.clerk]
owner = "team-pay"
credentials = ["basic:user=clerk"]
duties = ["read"]
hours = ["Mon-Fri 07-19 Europe/Berlin", "Sat 08-12 Europe/Berlin"]
[identities.payer]
owner = "team-pay"
credentials = ["basic:user=payer"]
duties = ["read"]
environments = ["prod"]
[identities.trap]
owner = "security"
credentials = ["basic:user=trap"]
"#;

fn judge(settings: Settings) -> Judge {
    Judge::new(policy(POLICY), settings)
}

/// A read of the payment service by a client that the policy says nothing of.
fn reading(user: &str) -> Access {
    let mut access = usual();
    access.credential = basic(user);
    (access.method, access.host) = ("GET".into(), "api.pay.example".into());
    (access.path, access.route) = ("/v1/items".into(), "/v1/items".into());
    // No answer: these credentials say that they expired in 1970.
    access.status = None;
    access.client = workload("/usr/bin/pay", None);
    access
}

fn found(access: &mut Access) -> Vec<(&'static str, Severity)> {
    judged(&mut judge(Settings::default()), access)
        .iter()
        .map(|f| (f.kind.name(), f.severity))
        .collect()
}

fn off(kind: FindingKind) -> Settings {
    let mut settings = Settings::default();
    settings.disabled.insert(kind);
    settings
}

/// A refund by the teller, whose token says so.
fn refund(methods: &[&str]) -> Access {
    let mut access = reading("teller");
    let token = jwt("teller").unwrap();
    let mut claims = token.claims.clone();
    claims.methods = methods.iter().map(|m| Box::from(*m)).collect();
    access.credential = Some(Arc::new(Credential {
        kind: token.kind,
        fingerprint: token.fingerprint,
        hint: None,
        claims,
        default_identity: Arc::clone(&token.default_identity),
    }));
    (access.method, access.path) = ("POST".into(), "/v1/refunds/17".into());
    access.route = "/v1/refunds/{id}".into();
    access
}

#[test]
fn second_factor() {
    let high = vec![("second-factor", Severity::High)];
    for (methods, want) in [
        (&["pwd", "otp"][..], vec![]),
        (&["mfa"], vec![]),
        (&["pwd"], high.clone()),
        (&["otp"], high.clone()),
        (&[], high.clone()),
    ] {
        assert_eq!(found(&mut refund(methods)), want, "{methods:?}");
    }
    let mut access = refund(&["pwd"]);
    access.credential = basic("teller");
    assert_eq!(found(&mut access), high, "not a JWT");
    // Another duty grants it without: no way around.
    assert_eq!(access.duties.len(), 2);
    // A step-up challenge (RFC 9470) is a refusal.
    access.status = Some(401);
    assert_eq!(found(&mut access), [("second-factor", Severity::Medium)]);
    // Duties that do not ask, privileged or not.
    for (method, path) in [("POST", "/v1/items"), ("GET", "/audit/17")] {
        let mut access = refund(&["pwd"]);
        (access.method, access.path) = (method.into(), path.into());
        assert_eq!(found(&mut access), [], "{method} {path}");
        assert_eq!(access.duties.len(), 1);
    }
    // An operation that no duty grants exercises none.
    let mut access = refund(&["pwd"]);
    access.method = "DELETE".into();
    assert_eq!(found(&mut access), [("duty", Severity::High)]);
}

#[test]
fn read_writes() {
    let high = [("read-writes", Severity::High)];
    for method in ["POST", "PUT", "PATCH", "DELETE", "MERGE", "post"] {
        let mut access = reading("reader");
        access.method = method.into();
        assert_eq!(found(&mut access), high, "{method}");
    }
    let mut access = reading("reader");
    assert_eq!(found(&mut access), []);
    access.method = "POST".into();
    access.status = Some(403);
    assert_eq!(found(&mut access), [("read-writes", Severity::Medium)]);
    // Reading what it should not, or with a method that is not known, is told as before.
    for (method, path) in [
        ("GET", "/admin"),
        ("OPTIONS", "/v1/items"),
        ("?", "/v1/items"),
    ] {
        let mut access = reading("reader");
        (access.method, access.path) = (method.into(), path.into());
        assert_eq!(
            found(&mut access),
            [("duty", Severity::High)],
            "{method} {path}"
        );
    }
    // Who may do anything but read is no reader.
    for user in ["teller", "tool"] {
        let mut access = reading(user);
        access.method = "DELETE".into();
        assert_eq!(found(&mut access), [("duty", Severity::High)], "{user}");
    }
    // One of the two is always told.
    for (kind, want) in [
        (FindingKind::ReadWrites, "duty"),
        (FindingKind::Duty, "read-writes"),
    ] {
        let mut access = reading("reader");
        access.method = "DELETE".into();
        let told = judged(&mut judge(off(kind)), &mut access);
        assert_eq!(
            told.iter().map(|f| f.kind.name()).collect::<Vec<_>>(),
            [want]
        );
    }
}

/// Microseconds since 1970.
fn at(rfc3339: &str) -> i64 {
    rfc3339.parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

#[test]
fn hours() {
    let mut judge = judge(Settings::default());
    // One judge for all of them, in no order: what it remembers must not matter.
    for (time, within) in [
        ("2026-11-20T12:00:00Z", true),         // Friday 13:00
        ("2026-11-20T17:59:59.999999Z", true),  // Friday 18:59
        ("2026-11-20T18:00:00Z", false),        // Friday 19:00
        ("2026-11-20T17:59:59.999999Z", true),  // late
        ("2026-11-21T07:30:00Z", true),         // Saturday 08:30
        ("2026-11-22T12:00:00Z", false),        // Sunday
        ("2026-07-17T05:00:00Z", true),         // Friday 07:00 in summer
        ("2026-11-20T05:30:00Z", false),        // Friday 06:30 in winter
        ("2026-11-20T06:00:00Z", true),         // Friday 07:00 in winter
        ("1969-12-31T05:59:59.999999Z", false), // Wednesday 06:59
        ("1969-12-31T06:00:00Z", true),
    ] {
        let mut access = reading("clerk");
        access.time_us = at(time);
        let kinds: Vec<_> = judged(&mut judge, &mut access)
            .iter()
            .map(|f| (f.kind.name(), f.severity))
            .collect();
        let want = [("hours", Severity::Medium)];
        assert_eq!(kinds, want[usize::from(within)..], "{time}");
    }
    // A time that is no date breaks nothing, and an identity without hours may always.
    for (user, time_us) in [("clerk", i64::MIN), ("reader", at("2026-11-22T12:00:00Z"))] {
        let mut access = reading(user);
        access.time_us = time_us;
        assert_eq!(judged(&mut judge, &mut access), [], "{user}");
    }
    let mut access = reading("clerk");
    (access.time_us, access.status) = (at("2026-11-22T12:00:00Z"), Some(401));
    assert_eq!(found(&mut access), [("hours", Severity::Low)]);
}

#[test]
fn a_new_policy_has_new_hours() {
    let mut judge = judge(Settings::default());
    let mut access = reading("clerk");
    access.time_us = at("2026-11-22T12:00:00Z");
    assert_eq!(judged(&mut judge, &mut access).len(), 1);
    let other = POLICY.replace("Sat 08-12 Europe/Berlin", "Sat,Sun 08-20 Europe/Berlin");
    judge.replace(policy(other.leak()));
    assert_eq!(judged(&mut judge, &mut access), []);
}

#[test]
fn workload_environment() {
    let high = [("workload-environment", Severity::High)];
    let by = |user: &str, unit: Option<&str>, account: &str| {
        let mut access = reading(user);
        access.client.as_mut().unwrap().workload = Arc::new(Workload {
            exe: "/usr/bin/pay".into(),
            unit: unit.map(Into::into),
            user: account.into(),
            ..Workload::default()
        });
        access
    };
    // The most precise entry decides: pay.service is of prod, whoever runs it.
    assert_eq!(found(&mut by("payer", Some("pay.service"), "dev")), []);
    assert_eq!(found(&mut by("payer", Some("ci.service"), "root")), high);
    assert_eq!(found(&mut by("payer", None, "dev")), high);
    // Nothing is said of this one.
    assert_eq!(found(&mut by("payer", None, "root")), []);
    // An identity for any environment has none of its own.
    assert_eq!(found(&mut by("reader", None, "dev")), []);
    // Whom nobody named, too.
    assert_eq!(found(&mut by("nobody", None, "dev")), []);
    // Where it goes does not matter: that is `environment`.
    let mut access = by("payer", None, "dev");
    (access.host, access.path) = ("ci.dev.example".into(), "/list".into());
    let kinds: Vec<_> = found(&mut access).iter().map(|f| f.0).collect();
    assert_eq!(kinds, ["duty", "environment", "workload-environment"]);
    // A client elsewhere has no workload here.
    let mut access = by("payer", None, "dev");
    (access.role, access.client) = (Role::Server, None);
    assert_eq!(found(&mut access), []);
    let mut access = by("payer", None, "dev");
    access.status = Some(403);
    assert_eq!(
        found(&mut access),
        [("workload-environment", Severity::Medium)]
    );
}

#[test]
fn a_canary_breaks_one_clause() {
    let mut access = reading("trap");
    access.method = "POST".into();
    access.client = workload("/usr/bin/ci", Some("ci.service"));
    assert_eq!(found(&mut access), [("canary", Severity::Critical)]);
}

#[test]
fn severities_are_configured() {
    for kind in [
        FindingKind::SecondFactor,
        FindingKind::ReadWrites,
        FindingKind::Hours,
        FindingKind::WorkloadEnvironment,
    ] {
        let access = || match kind {
            FindingKind::SecondFactor => refund(&[]),
            FindingKind::ReadWrites => {
                let mut access = reading("reader");
                access.method = "PUT".into();
                access
            }
            FindingKind::Hours => {
                let mut access = reading("clerk");
                access.time_us = at("2026-11-22T12:00:00Z");
                access
            }
            _ => {
                let mut access = reading("payer");
                access.client = workload("/usr/bin/ci", Some("ci.service"));
                access
            }
        };
        let mut settings = Settings::default();
        settings.severities.insert(kind, Severity::Critical);
        let told = judged(&mut judge(settings), &mut access());
        let told: Vec<_> = told.iter().map(|f| (f.kind, f.severity)).collect();
        assert_eq!(told, [(kind, Severity::Critical)]);
        let told = judged(&mut judge(off(kind)), &mut access());
        assert!(told.iter().all(|f| f.kind != kind), "{told:?}");
    }
}

#[test]
fn rules_read_well() {
    let mut judge = judge(Settings::default());
    let mut all = vec![refund(&["pwd"]), refund(&[]), refund(&[])];
    all[2].credential = basic("teller");
    let mut access = reading("reader");
    (access.method, access.status) = ("DELETE".into(), Some(403));
    all.push(access);
    let mut access = reading("clerk");
    access.time_us = at("2026-11-22T02:12:00Z");
    all.push(access);
    let mut access = reading("payer");
    access.client = workload("/usr/bin/curl", Some("ci.service"));
    all.push(access);
    let text: Vec<String> = all
        .iter_mut()
        .flat_map(|access| judged(&mut judge, access))
        .map(|told| told.to_string())
        .collect();
    insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("rules", text.concat());
    });
}

/// Numbers in a store: what a kind once had it keeps.
#[test]
fn kinds_keep_their_numbers() {
    let first = [
        "duty",
        "environment",
        "workload",
        "canary",
        "cleartext",
        "credential-in-url",
        "expired-token",
        "bound-token-as-bearer",
        "proof-missing",
        "proof-mismatch",
        "proof-replayed",
        "key-shared",
        "coverage-lost",
        "second-factor",
        "read-writes",
        "hours",
        "workload-environment",
    ];
    let names = FindingKind::ALL.map(FindingKind::name);
    assert_eq!(names[..first.len()], first);
    for (at, kind) in FindingKind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, at, "{}", kind.name());
        for named in [false, true] {
            let class = crate::store::class_of(kind, named);
            assert_eq!(usize::from(class), at * 2 + usize::from(named));
        }
        let json = serde_json::to_string(&kind).unwrap();
        assert_eq!(json, format!("\"{}\"", kind.name()));
    }
}
