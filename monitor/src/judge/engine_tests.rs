//! What the judge fills in.

use super::super::testing::*;
use super::*;
use crate::access::Peer;

#[test]
fn fills_in_what_the_policy_knows() {
    let mut judge = judge_with(Settings::default());
    let mut access = usual();
    assert_eq!(judged(&mut judge, &mut access), []);
    assert_eq!(access.identity.as_deref(), Some("ci-bot"));
    assert_eq!(access.owner.as_deref(), Some("team-ci"));
    assert_eq!(access.environment.as_deref(), Some("dev"));
    assert_eq!(
        access.duties.iter().map(|d| &**d).collect::<Vec<_>>(),
        ["deploy", "status"]
    );
    access.path = "/other".into();
    judged(&mut judge, &mut access);
    assert_eq!(
        access.duties.iter().map(|d| &**d).collect::<Vec<_>>(),
        ["status"]
    );
    // Judging again starts afresh.
    access.credential = None;
    access.host = "elsewhere.example".into();
    assert_eq!(judged(&mut judge, &mut access), []);
    assert_eq!(
        (access.identity, access.owner, access.environment),
        (None, None, None)
    );
    assert!(access.duties.is_empty());
}

#[test]
fn a_credential_without_policy_is_an_identity_of_its_own() {
    let mut judge = judge_with(Settings::default());
    let mut access = usual();
    access.credential = jwt("somebody");
    access.host = "api.pay.example".into();
    assert_eq!(judged(&mut judge, &mut access), []);
    assert_eq!(
        access.identity.as_deref(),
        Some("jwt:iss=https://idp.example,sub=somebody")
    );
    assert_eq!(
        (access.owner, access.environment.as_deref()),
        (None, Some("prod"))
    );
}

#[test]
fn environment_by_claim_address_and_own() {
    let status = |a: &mut Access| {
        a.method = "GET".into();
        a.path = "/status".into();
    };
    for (role, host, at, own, environment, finding) in [
        // What the request claims, where nothing is known of the address.
        (
            Role::Client,
            "x.dev.example",
            "192.0.2.1:80",
            None,
            Some("dev"),
            false,
        ),
        (
            Role::Client,
            "api.pay.example",
            "192.0.2.1:80",
            None,
            Some("prod"),
            true,
        ),
        (
            Role::Both,
            "x.dev.example",
            "127.0.0.1:80",
            Some("prod"),
            Some("dev"),
            false,
        ),
        (
            Role::Both,
            "api.pay.example",
            "127.0.0.1:80",
            Some("dev"),
            Some("prod"),
            true,
        ),
        // The address outranks it, and both must be allowed.
        (
            Role::Client,
            "x.dev.example",
            "10.20.0.1:80",
            None,
            Some("prod"),
            true,
        ),
        (
            Role::Client,
            "x.dev.example",
            "[::ffff:10.20.0.1]:80",
            None,
            Some("prod"),
            true,
        ),
        (
            Role::Client,
            "10.30.0.1",
            "10.20.0.1:80",
            None,
            Some("prod"),
            true,
        ),
        (
            Role::Both,
            "x.dev.example",
            "10.20.0.1:80",
            Some("dev"),
            Some("prod"),
            true,
        ),
        (
            Role::Client,
            "api.pay.example",
            "10.30.0.1:80",
            None,
            Some("dev"),
            true,
        ),
        (
            Role::Client,
            "x.dev.example",
            "10.40.0.1:80",
            None,
            Some("shared"),
            false,
        ),
        (
            Role::Client,
            "api.pay.example",
            "10.40.0.1:80",
            None,
            Some("shared"),
            true,
        ),
        (Role::Client, "-", "10.20.0.1:80", None, Some("prod"), true),
        // On the server's side the peer is the client; the host itself is the address.
        (
            Role::Server,
            "x.dev.example",
            "10.20.0.1:5000",
            None,
            Some("dev"),
            false,
        ),
        (
            Role::Server,
            "x.dev.example",
            "192.0.2.9:5000",
            Some("prod"),
            Some("prod"),
            true,
        ),
        (
            Role::Server,
            "x.dev.example",
            "192.0.2.9:5000",
            Some("dev"),
            Some("dev"),
            false,
        ),
        (
            Role::Server,
            "unlisted",
            "192.0.2.9:5000",
            Some("prod"),
            Some("prod"),
            true,
        ),
        (
            Role::Server,
            "unlisted",
            "192.0.2.9:5000",
            Some("unheard"),
            Some("unheard"),
            true,
        ),
        // The host's own environment fills a gap, but not for what leaves it.
        (
            Role::Both,
            "unlisted",
            "127.0.0.1:80",
            Some("prod"),
            Some("prod"),
            true,
        ),
        (
            Role::Client,
            "unlisted",
            "192.0.2.1:80",
            Some("prod"),
            None,
            false,
        ),
        // Not known is not wrong.
        (Role::Both, "unlisted", "127.0.0.1:80", None, None, false),
    ] {
        let settings = Settings {
            environment: own.map(Into::into),
            ..Settings::default()
        };
        let mut judge = judge_with(settings);
        let mut access = usual();
        status(&mut access);
        (access.role, access.host, access.peer) = (role, host.into(), peer(at));
        let findings = judged(&mut judge, &mut access);
        let case = format!("{role:?} {host} {at} {own:?}");
        assert_eq!(access.environment.as_deref(), environment, "{case}");
        let found: Vec<_> = findings.iter().map(|f| f.kind.name()).collect();
        assert_eq!(found, vec!["environment"; usize::from(finding)], "{case}");
    }
    // A unix socket is where it went, whoever looks.
    for role in [Role::Both, Role::Server] {
        let found = kinds(|a| {
            status(a);
            (a.role, a.host) = (role, "x.dev.example".into());
            a.peer = Peer::Unix("/var/run/prod.sock".into());
        });
        assert_eq!(found, ["environment"]);
    }
    // An identity that names no environments may be used in all.
    let found = kinds(|a| {
        status(a);
        a.credential = basic("free");
        a.host = "api.pay.example".into();
    });
    assert_eq!(found, [""; 0]);
}

#[test]
fn catch_all_comes_last() {
    let text = "version = 1\n[environments]\nprod = [\"10.20.0.0/16\"]\nout = [\"*\"]\n";
    for (role, host, at, own, want) in [
        (
            Role::Client,
            "any.example",
            "192.0.2.1:80",
            Some("prod"),
            "out",
        ),
        (Role::Client, "any.example", "10.20.0.1:80", None, "prod"),
        (
            Role::Both,
            "any.example",
            "127.0.0.1:80",
            Some("lab"),
            "lab",
        ),
        (
            Role::Server,
            "any.example",
            "192.0.2.1:80",
            Some("lab"),
            "lab",
        ),
        (Role::Server, "any.example", "192.0.2.1:80", None, "out"),
    ] {
        let settings = Settings {
            environment: own.map(Into::into),
            ..Settings::default()
        };
        let mut judge = Judge::new(policy(text), settings);
        let mut access = usual();
        (access.role, access.host, access.peer) = (role, host.into(), peer(at));
        judged(&mut judge, &mut access);
        assert_eq!(
            access.environment.as_deref(),
            Some(want),
            "{role:?} {at} {own:?}"
        );
    }
}

#[test]
fn settings_change_severities_and_switch_off() {
    let mut settings = Settings::default();
    settings
        .severities
        .insert(FindingKind::Canary, Severity::Medium);
    let trap = |a: &mut Access| a.credential = basic("trap");
    let mut access = usual();
    trap(&mut access);
    assert_eq!(
        judged(&mut judge_with(settings.clone()), &mut access)[0].severity,
        Severity::Medium
    );
    access.status = Some(403);
    assert_eq!(
        judged(&mut judge_with(settings), &mut access)[0].severity,
        Severity::Low
    );
    let mut settings = Settings::default();
    settings.disabled.insert(FindingKind::Canary);
    assert_eq!(kinds_with(settings, trap), [""; 0]);
}

#[test]
fn another_policy_takes_effect_at_once() {
    let mut judge = judge_with(here("prod"));
    let mut access = usual();
    judged(&mut judge, &mut access);
    assert_eq!(access.identity.as_deref(), Some("ci-bot"));
    judge.replace(Arc::new(Policy::empty()));
    judged(&mut judge, &mut access);
    assert_eq!(
        access.identity.as_deref(),
        Some("jwt:iss=https://idp.example,sub=ci-bot")
    );
    assert_eq!(
        (access.owner.as_deref(), access.environment.as_deref()),
        (None, None)
    );
    assert!(access.duties.is_empty());
}

#[test]
fn mcp_operations_are_granted_by_their_claim() {
    let text = r#"
version = 1
[duties]
read = ["MCP mcp.example/tools/call:read_issue", "MCP mcp.example/tools/list"]
write = ["POST other.example/mcp"]
[identities.bot]
owner = "team"
credentials = ["basic:user=bot"]
duties = ["read", "write"]
"#;
    let mut judge = Judge::new(policy(text), Settings::default());
    for (host, route, granted) in [
        ("mcp.example", "MCP tools/call:read_issue", "read"),
        ("mcp.example", "MCP tools/list", "read"),
        ("mcp.example", "MCP tools/call:delete_issue", ""),
        ("mcp.example", "/mcp", ""),
        ("other.example", "MCP tools/call:delete_issue", "write"),
    ] {
        let mut access = usual();
        access.credential = basic("bot");
        (access.host, access.path, access.route) = (host.into(), "/mcp".into(), route.into());
        let findings = judged(&mut judge, &mut access);
        let duties: Vec<_> = access.duties.iter().map(|duty| &**duty).collect();
        assert_eq!(duties.join(","), granted, "{host} {route}");
        let duty = findings.iter().find(|f| f.kind == FindingKind::Duty);
        assert_eq!(duty.is_none(), !granted.is_empty(), "{host} {route}");
        if let Some(duty) = duty {
            let said = format!(
                "POST {host}{}{route}",
                if route.starts_with('/') { "" } else { " " }
            );
            assert!(duty.title.contains(&said), "{}", duty.title);
        }
    }
}
