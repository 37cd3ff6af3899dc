//! Every check, through the judge.

use super::testing::*;
use super::*;
use crate::access::{Access, CredentialKind, Location, Peer, Role};

#[test]
fn duty() {
    let wrong: fn(&mut Access) = |a| a.method = "DELETE".into();
    assert_eq!(kinds(wrong), ["duty"]);
    assert_eq!(kinds(|a| a.path = "/deployments/../admin".into()), ["duty"]);
    assert_eq!(
        kinds(|a| a.host = "CI.DEV.EXAMPLE".into()),
        [""; 0],
        "hosts ignore case"
    );
    assert_eq!(
        kinds(|a| {
            wrong(a);
            a.credential = basic("nobody")
        }),
        [""; 0]
    );
    let mut access = usual();
    access.path = "/deployments/%2e%2e/admin".into();
    let findings = judged(&mut judge_with(Settings::default()), &mut access);
    assert!(
        findings[0].title.contains("dot segment"),
        "{}",
        findings[0].title
    );
}

#[test]
fn workload_binding() {
    assert_eq!(
        kinds(|a| a.client = workload("/usr/bin/ci", Some("cron.service"))),
        ["workload"]
    );
    assert_eq!(
        kinds(|a| a.client = workload("/usr/bin/ci", None)),
        ["workload"]
    );
    assert_eq!(
        kinds(|a| a.client = workload("", None)),
        [""; 0],
        "not known is not wrong"
    );
    assert_eq!(
        kinds(|a| {
            a.role = Role::Server;
            a.client = None;
        }),
        [""; 0],
        "a client elsewhere has no workload here"
    );
}

#[test]
fn canary() {
    let mut access = usual();
    access.credential = basic("trap");
    let mut judge = judge_with(Settings::default());
    let findings = judged(&mut judge, &mut access);
    assert_eq!(findings.len(), 1, "one clause is broken, not all");
    assert_eq!(
        (findings[0].kind, findings[0].severity),
        (FindingKind::Canary, Severity::Critical)
    );
    access.status = Some(401);
    let findings = judged(&mut judge, &mut access);
    assert_eq!(findings[0].severity, Severity::High);
    assert!(
        findings[0]
            .title
            .ends_with("(refused by the server with 401)"),
        "{}",
        findings[0].title
    );
}

#[test]
fn cleartext() {
    let remote = |a: &mut Access| {
        a.local = false;
        a.peer = peer("203.0.113.7:80");
    };
    assert_eq!(kinds(remote), ["cleartext"]);
    assert_eq!(
        kinds(|a| {
            remote(a);
            a.role = Role::Server;
        }),
        ["cleartext"]
    );
    assert_eq!(
        kinds(|a| {
            remote(a);
            a.credential = basic("nobody");
        }),
        ["cleartext"],
        "no policy"
    );
    assert_eq!(
        kinds(|a| {
            remote(a);
            a.status = Some(401);
        }),
        ["cleartext"],
        "sent is sent"
    );
    assert_eq!(
        kinds(|a| {
            remote(a);
            a.role = Role::Both;
        }),
        [""; 0]
    );
    assert_eq!(
        kinds(|a| {
            remote(a);
            a.peer = peer("[::ffff:127.0.0.1]:80");
        }),
        [""; 0]
    );
    assert_eq!(
        kinds(|a| {
            remote(a);
            a.peer = Peer::Unix("/x".into());
        }),
        [""; 0]
    );
    assert_eq!(
        kinds(|a| {
            remote(a);
            a.peer = Peer::Unknown;
        }),
        [""; 0]
    );
    assert_eq!(
        kinds(|a| {
            remote(a);
            a.credential = None;
        }),
        [""; 0]
    );
    for (kind, severity) in [
        (CredentialKind::Bearer, Severity::High),
        (CredentialKind::Cookie, Severity::High),
        (CredentialKind::Sigv4, Severity::Low),
        (CredentialKind::Digest, Severity::Low),
        (CredentialKind::Dpop, Severity::Low),
    ] {
        let mut access = usual();
        remote(&mut access);
        access.credential = Some(credential(kind, None, "x"));
        let findings = judged(&mut judge_with(Settings::default()), &mut access);
        assert_eq!(findings[0].severity, severity, "{kind:?}");
    }
}

#[test]
fn credential_in_url() {
    for (location, kind, want) in [
        (
            Location::Query,
            CredentialKind::ApiKey,
            Some(Severity::Medium),
        ),
        (Location::Query, CredentialKind::Sigv4, Some(Severity::Low)),
        (Location::Path, CredentialKind::ApiKey, Some(Severity::Low)),
        (Location::Header, CredentialKind::Bearer, None),
        (Location::Cookie, CredentialKind::Cookie, None),
    ] {
        let mut access = usual();
        access.location = Some(location);
        access.credential = Some(credential(kind, None, "x"));
        let findings = judged(&mut judge_with(Settings::default()), &mut access);
        assert_eq!(
            findings.first().map(|f| f.severity),
            want,
            "{location:?} {kind:?}"
        );
        assert!(
            findings
                .iter()
                .all(|f| f.kind == FindingKind::CredentialInUrl)
        );
    }
}

#[test]
fn expired_token() {
    for (seconds, status, want) in [
        (2_061, Some(200), true),
        (2_060, Some(200), false),
        (1_000, Some(200), false),
        (9_999, Some(299), true),
        (9_999, Some(301), false),
        (9_999, Some(401), false),
        (9_999, None, false),
        (i64::MAX / 1_000_000, Some(200), true),
    ] {
        let found = kinds(|a| (a.time_us, a.status) = (seconds * 1_000_000, status));
        assert_eq!(
            found,
            vec!["expired-token"; usize::from(want)],
            "{seconds} {status:?}"
        );
    }
}

#[test]
fn grpc_outcomes() {
    let late = |a: &mut Access| a.time_us = 90_000 * 1_000_000;
    for (outcome, accepted) in [
        (None, true),
        (Some(0), true),
        (Some(5), false),
        (Some(16), false),
    ] {
        let found = kinds(|a| {
            late(a);
            (a.status, a.grpc_status) = (Some(200), outcome);
        });
        assert_eq!(found.contains(&"expired-token"), accepted, "{outcome:?}");
    }
    let mut judge = judge_with(Settings::default());
    let mut access = usual();
    access.method = "DELETE".into();
    (access.status, access.grpc_status) = (Some(200), Some(7));
    let findings = judged(&mut judge, &mut access);
    let duty = findings
        .iter()
        .find(|f| f.kind == FindingKind::Duty)
        .unwrap();
    assert!(
        duty.title
            .ends_with("(refused by the server with gRPC status 7)"),
        "{}",
        duty.title
    );
    assert_eq!(duty.severity, Severity::Medium);
}

#[test]
fn findings_read_well() {
    let mut judge = judge_with(here("prod"));
    let mut access = usual();
    access.client = workload("/usr/bin/curl", Some("session-3.scope"));
    access.method = "DELETE".into();
    access.peer = peer("10.20.0.1:80");
    access.status = Some(403);
    access.local = false;
    access.location = Some(Location::Query);
    let mut findings = judged(&mut judge, &mut access);
    access.credential = basic("trap");
    access.location = Some(Location::Path);
    access.role = Role::Server;
    access.client = None;
    findings.extend(judged(&mut judge, &mut access));
    let mut late = usual();
    late.time_us = 90_000 * 1_000_000;
    findings.extend(judged(&mut judge, &mut late));
    let text: Vec<String> = findings.iter().map(|told| told.to_string()).collect();
    insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("findings", text.concat());
    });
}

#[test]
fn hostile_text_stays_on_one_line() {
    let mut access = usual();
    access.method = "EVIL\u{1b}[2J".into();
    access.host = "a\nb".into();
    access.route = format!("/{}\u{202e}", "x".repeat(5000)).into();
    access.path = "/\u{0}".repeat(1000);
    access.client = workload("/tmp/a\nb", Some("u\r.service"));
    let findings = judged(&mut judge_with(Settings::default()), &mut access);
    assert!(findings.iter().all(|f| f.title.len() < 1500));
    assert_eq!(findings.len(), 2);
}

mod anything {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_judged_without_panic(
            (method, host, path) in ("\\PC{0,9}", "\\PC{0,30}", "(?s).{0,60}"),
            user in prop::sample::select(vec!["ci", "trap", "free", "nobody"]),
            status in prop::option::of(any::<u16>()),
            time_us in any::<i64>(),
            role in prop::sample::select(vec![Role::Client, Role::Server, Role::Both]),
            location in prop::sample::select(vec![Location::Query, Location::Path, Location::Header]),
            address in any::<std::net::SocketAddr>(),
            local in any::<bool>(),
        ) {
            let mut access = usual();
            (access.method, access.host, access.path) = (method.into(), host.into(), path);
            (access.status, access.time_us, access.role, access.local) = (status, time_us, role, local);
            access.credential = basic(user);
            access.location = Some(location);
            access.peer = Peer::Inet(address);
            let findings = judged(&mut judge_with(here("prod")), &mut access);
            prop_assert!(findings.len() <= FindingKind::ALL.len());
        }
    }
}

/// What README and docs/policy.md say of the example policy.
#[test]
fn the_example_policy_tells_a_dev_key_on_prod() {
    let policy = policy(include_str!("../../../config/policy.toml"));
    let mut judge = Judge::new(policy, here("prod"));
    let mut access = usual();
    (access.role, access.method, access.path) = (Role::Both, "GET".into(), "/status".into());
    access.client = workload("/usr/bin/curl", Some("session-3.scope"));
    for (host, environment, want) in [
        ("dev.localhost:8081", "dev", &[][..]),
        ("prod.localhost:8081", "prod", &["environment"]),
    ] {
        access.host = host.into();
        let findings = judged(&mut judge, &mut access);
        assert_eq!(access.identity.as_deref(), Some("ci-bot"));
        assert_eq!(access.environment.as_deref(), Some(environment));
        assert_eq!(
            findings.iter().map(|f| f.kind.name()).collect::<Vec<_>>(),
            want,
            "{host}"
        );
        assert!(findings.iter().all(|f| f.severity == Severity::High));
    }
    access.credential = basic("old-admin");
    assert_eq!(judged(&mut judge, &mut access)[0].kind, FindingKind::Canary);
}
