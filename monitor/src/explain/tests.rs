use super::*;
use crate::alert::testing;
use crate::cli::quote::is_plain;
use crate::explain::model::Story;
use crate::explain::text::render;
use crate::judge::{FindingKind, Severity};
use crate::report::testing::{NOW, SHOP, policy};

const SECOND: i64 = 1_000_000;

fn evidence(time_us: i64) -> AccessRecord {
    let mut record = testing::record(time_us);
    record.environment = Some("prod".to_owned());
    record.request.host = "api.pay.example".to_owned();
    record.findings = vec!["environment".to_owned()];
    record.peer = Some("203.0.113.7:443".to_owned());
    record
}

fn alert() -> Alert {
    Alert {
        r#type: "alert".to_owned(),
        v: 1,
        id: "01JDD9Z6V8Q4M2N7R5T3W1X0YA".to_owned(),
        severity: Severity::High,
        kind: FindingKind::Environment,
        title: "ci-bot went to prod".to_owned(),
        identity: Some("ci-bot".to_owned()),
        owner: Some("team-ci".to_owned()),
        workload: Some("unit:ci.service".to_owned()),
        operation: "GET api.pay.example/{id}".to_owned(),
        environment: Some("prod".to_owned()),
        clause: "identities.ci-bot.environments = [\"dev\"] (/etc/bailiwick/policy.toml:14)"
            .to_owned(),
        count: 12,
        first_seen: crate::access::record::rfc3339(NOW),
        last_seen: crate::access::record::rfc3339(NOW + 60 * SECOND),
        techniques: vec!["T1078.004".to_owned(), "T1550.001".to_owned()],
        normal: "ci-bot is used in dev".to_owned(),
        action: "Revoke the credential.".to_owned(),
        // The newest first, as a merge of late ones may leave it.
        acknowledged: None,
        muted_until: None,
        evidence: vec![evidence(NOW + 60 * SECOND), evidence(NOW)],
    }
}

fn recent() -> Vec<Arc<AccessRecord>> {
    let other = |time: i64, unit: &str, print: &str, path: &str| {
        let mut record = testing::record(NOW + time * SECOND);
        record.client.as_mut().unwrap().unit = Some(unit.to_owned());
        record.credential.as_mut().unwrap().fingerprint = print.to_owned();
        record.request.path = path.to_owned();
        Arc::new(record)
    };
    let own = evidence(NOW).credential.unwrap().fingerprint;
    vec![
        other(-3600, "ci.service", "bw1:1", "/long-before"),
        other(-30, "ci.service", "bw1:1", "/same-workload"),
        other(-20, "web.service", "bw1:2", "/somebody-else"),
        Arc::new(evidence(NOW)),
        other(90, "web.service", &own, "/same-credential"),
        other(3600, "ci.service", &own, "/long-after"),
    ]
}

fn story(change: impl Fn(&mut Alert), recent: Option<&[Arc<AccessRecord>]>) -> Story {
    let mut alert = alert();
    change(&mut alert);
    let policy = policy(SHOP);
    let webhook = |name: &str, wants| Webhook {
        name: name.to_owned(),
        wants,
        disabled: None,
    };
    let message = |webhook: &str, dead| Undelivered {
        webhook: webhook.to_owned(),
        dead,
        attempts: 3,
        since: "2026-11-24T09:00:01.000000Z".to_owned(),
        error: Some("answered 503".to_owned()),
    };
    build(&Inputs {
        alert: &alert,
        policy: &policy,
        recent,
        webhooks: &[
            webhook("soc", true),
            webhook("chat", false),
            webhook("pager", true),
            webhook("slow", true),
        ],
        undelivered: &[message("pager", true), message("slow", false)],
    })
}

#[test]
fn an_alert_as_a_story() {
    let story = story(|_| {}, Some(&recent()));
    insta::assert_snapshot!("story_json", serde_json::to_string_pretty(&story).unwrap());
    insta::assert_snapshot!("story_text", render(&story, 80).join("\n"));
}

#[test]
fn is_told_in_order_of_time_with_what_was_folded() {
    let story = story(|_| {}, Some(&recent()));
    assert!(story.happened[0].time < story.happened[1].time);
    assert_eq!(story.not_kept, 10);
    let around: Vec<&str> = story
        .around
        .events
        .iter()
        .map(|event| &*event.operation)
        .collect();
    assert_eq!(
        around,
        [
            "GET api.example/same-workload",
            "GET api.example/same-credential"
        ]
    );
    let states: Vec<(&str, &str)> = story
        .deliveries
        .iter()
        .map(|one| (&*one.webhook, &*one.state))
        .collect();
    assert_eq!(
        states,
        [
            ("pager", "given-up"),
            ("slow", "waiting"),
            ("soc", "sent"),
            ("chat", "filtered")
        ]
    );
}

#[test]
fn says_what_is_not_held() {
    let stopped = story(|_| {}, None).around;
    assert!(
        !stopped.held && stopped.note.contains("no daemon"),
        "{}",
        stopped.note
    );
    let late = Arc::new(evidence(NOW + 7200 * SECOND));
    let over = story(|_| {}, Some(&[late])).around;
    assert!(
        !over.held && over.note.contains("not among them"),
        "{}",
        over.note
    );
    let middle = Arc::new(evidence(NOW + 10 * SECOND));
    let partly = story(|_| {}, Some(&[middle])).around;
    assert!(
        partly.held && partly.note.contains("any more"),
        "{}",
        partly.note
    );
}

#[test]
fn says_whether_the_policy_still_has_the_clause() {
    let state = |clause: &str, identity: &str| {
        let story = story(
            |alert| {
                alert.clause = clause.to_owned();
                alert.identity = Some(identity.to_owned());
            },
            None,
        );
        (story.normal.policy, story.normal.place)
    };
    let file = "/etc/bailiwick/policy.toml";
    let here = |line: u32| Some(format!("{file}:{line}"));
    let begins = |found: (String, Option<String>), policy: &str, place: Option<String>| {
        assert_eq!(found.0, policy);
        match (found.1, place) {
            (Some(found), Some(place)) => assert!(found.starts_with(&place), "{found}"),
            (found, place) => assert_eq!(found, place),
        }
    };
    begins(
        state(&format!("x ({file}:14)"), "ci-bot"),
        "in-force",
        here(14),
    );
    begins(
        state(&format!("x ({file}:99)"), "ci-bot"),
        "moved",
        here(14),
    );
    begins(state(&format!("x ({file}:99)"), "nobody"), "gone", None);
    begins(
        state("check cleartext: only encrypted", "ci-bot"),
        "none",
        None,
    );
}

#[test]
fn says_how_the_identity_was_found() {
    let by = |name: Option<&str>, kind: CredentialKind| {
        let story = story(
            |alert| {
                alert.identity = name.map(str::to_owned);
                for access in &mut alert.evidence {
                    access.credential.as_mut().unwrap().kind = kind;
                }
            },
            None,
        );
        story.who.identified
    };
    assert!(by(Some("ci-bot"), CredentialKind::Sigv4).ends_with("its access key id"));
    assert!(by(Some("reviewer"), CredentialKind::Basic).ends_with("its user name"));
    assert!(by(Some("gone"), CredentialKind::Basic).contains("changed since"));
    assert!(by(None, CredentialKind::Basic).contains("no credential"));
}

#[test]
fn hostile_words_disturb_nothing() {
    const EVIL: &str = "\u{1b}[2J\u{202e}\n$(reboot) `x` ' \" \0";
    let story = story(
        |alert| {
            alert.title = EVIL.to_owned();
            alert.identity = Some(EVIL.to_owned());
            alert.clause = format!("{EVIL} ({EVIL}:7)");
            for access in &mut alert.evidence {
                access.request.path = EVIL.to_owned();
                access.client.as_mut().unwrap().exe = EVIL.to_owned();
                access.client.as_mut().unwrap().lineage = vec![EVIL.to_owned(); 99];
            }
        },
        Some(&recent()),
    );
    for width in [0, 80] {
        for line in render(&story, width) {
            assert!(line.chars().all(is_plain), "{line:?}");
        }
    }
    let commands: Vec<&str> = story
        .steps
        .iter()
        .filter_map(|step| step.command.as_deref())
        .collect();
    assert!(commands[0].contains("'\\''"), "{}", commands[0]);
}
