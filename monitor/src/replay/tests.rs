use std::sync::Arc;

use super::*;
use crate::access::record::AccessRecord;
use crate::judge;
use crate::policy::{Policy, load_text};

pub(super) const MONDAY: i64 = 1_795_392_000_000_000;
pub(super) const SECOND: i64 = 1_000_000;
pub(super) const DAY: i64 = 86_400 * SECOND;

const POLICY: &str = r#"
version = 1
[duties]
deploy = ["POST ci.example/deployments/{id}"]
approve = ["POST ci.example/deployments/{id}/approve"]
[identities.ci-bot]
owner = "team-ci"
credentials = ["basic:user=ci"]
duties = ["deploy", "approve"]
[identities.alice]
owner = "alice"
credentials = ["jwt:iss=https://idp.example,sub=alice"]
duties = ["approve"]
[[separate]]
duties = ["deploy", "approve"]
on = "id"
within = "30d"
[[approve]]
duty = "deploy"
by = "approve"
distinct = "owner"
within = "1h"
"#;

pub(super) fn rules(policy: Option<&'static str>) -> Rules {
    let policy = policy.map_or_else(Policy::empty, |text| {
        let key = crate::access::FingerprintKey::new([1; 32]);
        load_text("policy.toml", text, &key).unwrap().policy
    });
    Rules {
        policy: Arc::new(policy),
        judge: judge::Settings::default(),
        baseline: crate::baseline::Settings::default(),
        fold_window_us: DAY,
    }
}

pub(super) fn line(time_us: i64, identity: &str, request: &str, exe: &str) -> String {
    let print = crate::access::FingerprintKey::new([2; 32]).fingerprint(identity.as_bytes());
    let (method, path) = request.split_once(' ').unwrap();
    format!(
        r#"{{"type":"access","v":1,"time":"{}","role":"client","identity":"{identity}","credential":{{"kind":"bearer","fingerprint":"{print}"}},"client":{{"pid":7,"exe":"{exe}","user":"app","lineage":["/sbin/init"]}},"peer":"192.0.2.7:443","protocol":"h2","tls":{{"via":"keys"}},"request":{{"method":"{method}","host":"ci.example","path":"{path}","route":"{path}"}},"response":{{"status":200}}}}"#,
        crate::access::record::rfc3339(time_us)
    )
}

fn events(lines: &[String]) -> Vec<Event> {
    let mut reader = Reader::default();
    let event = |line: &String| match reader.read(Format::Accesses, line.as_bytes()).unwrap() {
        Item::Access(access) => Event::Access(access),
        Item::Lost(count) => Event::Lost(count),
        Item::Nothing => panic!("{line}"),
    };
    lines.iter().map(event).collect()
}

/// Everything that a replay says, as text.
fn all(outcome: &Outcome) -> String {
    let alerts = outcome
        .alerts
        .iter()
        .map(|alert| serde_json::to_string(alert).unwrap());
    let mut lines: Vec<String> = alerts.collect();
    lines.push(serde_json::to_string(&outcome.summary).unwrap());
    lines.join("\n")
}

fn kinds(outcome: &Outcome) -> Vec<(&'static str, &str)> {
    let alert = |alert: &'_ crate::alert::Alert| alert.kind.name();
    let who =
        |alert: &'_ crate::alert::Alert| alert.identity.clone().unwrap_or_default().leak() as &str;
    outcome
        .alerts
        .iter()
        .map(|one| (alert(one), who(one)))
        .collect()
}

/// Ten days of an identity's work, then a takeover; beside it many identities and programs.
fn busy() -> Vec<String> {
    let mut lines = Vec::new();
    for day in 0..10 {
        for n in 0..48 {
            let time = MONDAY + day * DAY + n * 1800 * SECOND;
            lines.push(line(
                time,
                "robot",
                &format!("GET /v1/{}", n % 3),
                "/usr/bin/robot",
            ));
            for other in 0..20 {
                let who = format!("jwt:iss=https://idp.example,sub=r{}", (n * 7 + other) % 90);
                let request = format!("GET /deployments/{}", (n + other * other) % 50);
                let exe = format!("/usr/bin/app{}", (other + n) % 9);
                lines.push(line(time + other * SECOND, &who, &request, &exe));
            }
        }
    }
    for n in 0..5 {
        let time = MONDAY + 10 * DAY + n * SECOND;
        lines.push(line(time, "robot", "DELETE /admin/users", "/usr/bin/curl"));
    }
    lines
}

#[test]
fn a_takeover_is_told_in_virtual_time() {
    let outcome = run(&rules(None), events(&busy()));
    let unusual: Vec<_> = outcome
        .alerts
        .iter()
        .filter(|a| a.kind.name() == "unusual")
        .collect();
    let robot = unusual
        .iter()
        .find(|alert| alert.identity.as_deref() == Some("robot"));
    let robot = robot.unwrap_or_else(|| panic!("{:?}", kinds(&outcome)));
    assert!(
        robot.title.contains("DELETE") && robot.title.contains("/usr/bin/curl"),
        "{}",
        robot.title
    );
    assert_eq!(robot.first_seen, "2026-12-03T00:00:00.000000Z");
    let summary = &outcome.summary;
    assert_eq!(
        (summary.accesses, summary.identities),
        (10 * 48 * 21 + 5, 91)
    );
    assert_eq!(
        summary.findings.get("unusual").copied(),
        Some(unusual.len() as u64)
    );
    let baseline = summary.baseline.as_ref().unwrap();
    assert!(baseline.alerts <= 3 * 11 + baseline.burst, "{baseline:?}");
}

#[test]
fn the_same_again_is_the_same_byte_for_byte() {
    // Each run has hash tables with other seeds, and other addresses.
    let mut lines = busy();
    for n in 0..400 {
        let time = MONDAY + 11 * DAY + n * 7 * SECOND;
        let who = if n % 3 == 0 { "alice" } else { "ci-bot" };
        let action = if n % 2 == 0 { "" } else { "/approve" };
        let request = format!("POST /deployments/{}{action}", n % 37);
        lines.push(line(time, who, &request, &format!("/usr/bin/x{}", n % 5)));
    }
    let first = all(&run(&rules(Some(POLICY)), events(&lines)));
    assert!(
        first.contains("\"separation\"") && first.contains("\"approval\""),
        "{first}"
    );
    let ballast: Vec<Vec<u8>> = (0..500).map(|n| vec![0; n * 7 + 1]).collect();
    for _ in 0..3 {
        assert_eq!(all(&run(&rules(Some(POLICY)), events(&lines))), first);
    }
    drop(ballast);
}

#[test]
fn lineages_beyond_those_that_are_remembered_are_forgotten_in_order() {
    let lines: Vec<String> = (0..9000)
        .flat_map(|n| {
            let time = MONDAY + n * 20_000;
            let exe = format!("/usr/bin/x{n}");
            let back = format!("/usr/bin/x{}", n / 2);
            let id = n % 4000;
            [
                line(time, "ci-bot", &format!("POST /deployments/{id}"), &exe),
                line(
                    time + 1,
                    "alice",
                    &format!("POST /deployments/{id}/approve"),
                    &back,
                ),
            ]
        })
        .collect();
    let first = all(&run(&rules(Some(POLICY)), events(&lines)));
    assert_eq!(all(&run(&rules(Some(POLICY)), events(&lines))), first);
}

#[test]
fn recorded_names_are_the_policys() {
    let lines = [
        line(MONDAY, "ci-bot", "POST /deployments/1", "/usr/bin/ci"),
        line(
            MONDAY + SECOND,
            "ci-bot",
            "POST /deployments/1/approve",
            "/usr/bin/ci",
        ),
        line(
            MONDAY + 2 * SECOND,
            "jwt:iss=https://idp.example,sub=alice",
            "POST /deployments/2",
            "/usr/bin/a",
        ),
        line(
            MONDAY + SECOND,
            "stranger",
            "POST /deployments/2",
            "/usr/bin/a",
        ),
    ];
    let outcome = run(&rules(Some(POLICY)), events(&lines));
    assert_eq!(
        kinds(&outcome),
        [
            ("approval", "ci-bot"),
            ("separation", "ci-bot"),
            ("duty", "alice")
        ]
    );
    assert_eq!(outcome.summary.named, 3);
}

#[test]
fn what_waits_for_its_grace_is_concluded_in_time() {
    // The approval comes within the grace, so nothing is missing; in the second case days of quiet follow.
    let deploy = line(MONDAY, "ci-bot", "POST /deployments/1", "/usr/bin/ci");
    let approve = |time| {
        line(
            time,
            "jwt:iss=https://idp.example,sub=alice",
            "POST /deployments/1/approve",
            "/usr/bin/a",
        )
    };
    let late = [deploy.clone(), approve(MONDAY - SECOND)];
    assert_eq!(kinds(&run(&rules(Some(POLICY)), events(&late))), []);
    let missing = [
        deploy,
        line(MONDAY + 3 * DAY, "stranger", "GET /x", "/usr/bin/a"),
    ];
    let outcome = run(&rules(Some(POLICY)), events(&missing));
    assert_eq!(kinds(&outcome), [("approval", "ci-bot")]);
}

#[test]
fn what_a_record_does_not_hold_is_not_judged_again() {
    let mut record: AccessRecord =
        serde_json::from_str(&line(MONDAY, "x", "GET /a", "/usr/bin/x")).unwrap();
    record.credential.as_mut().unwrap().kind = crate::access::CredentialKind::Dpop;
    record.findings = vec!["expired-token".to_owned(), "duty".to_owned()];
    let lines = [serde_json::to_string(&record).unwrap()];
    let outcome = run(&rules(None), events(&lines));
    assert_eq!(kinds(&outcome), [], "no proof is not a missing proof here");
    let carried: Vec<_> = outcome.summary.not_judged_again.into_iter().collect();
    assert_eq!(carried, [("expired-token", 1)]);
}

#[test]
fn times_from_the_ends_of_time_do_no_harm() {
    let mut events = events(&[
        line(MONDAY, "a", "GET /a", "/usr/bin/x"),
        line(MONDAY, "a", "GET /b", "/usr/bin/x"),
        line(MONDAY, "a", "GET /a", "/usr/bin/x"),
    ]);
    for (event, time) in events.iter_mut().zip([i64::MIN, i64::MAX, 0]) {
        let Event::Access(access) = event else {
            panic!()
        };
        access.time_us = time;
    }
    events.insert(1, Event::Lost(3));
    let summary = run(&rules(Some(POLICY)), events).summary;
    assert_eq!((summary.accesses, summary.late, summary.lost), (3, 1, 3));
    let nothing = run(&rules(None), []);
    assert_eq!((nothing.summary.accesses, nothing.alerts.len()), (0, 0));
}
