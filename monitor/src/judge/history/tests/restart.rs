use super::*;
use crate::judge::Unreadable;

/// Another run of the daemon, `away` seconds later.
fn restarted(judge: &Judge, now: i64, away: i64, boots: (&str, &str)) -> Judge {
    let (json, left_out) = judge
        .remembered(us(now))
        .to_json(boots.0, true, 1 << 20)
        .unwrap();
    assert_eq!(left_out, 0);
    let mut next = Judge::new(policy(POLICY), Settings::default());
    let restored = next.restore(&json, boots.1).unwrap();
    assert_eq!((restored.saved_us, restored.complete), (us(now), true));
    next.look_back(us(now + away));
    next
}

#[test]
fn a_sequence_that_a_restart_splits_gives_the_same() {
    let sequence = || {
        vec![
            act(0, "alice-approve", APPROVE),
            act(1, "bob", SIGN),
            act(5, "alice-deploy", "GET pay.example/x"),
            act(10, "alice-deploy", PAY),
            act(11, "carol", PAY),
            act(12, "alice-deploy", DEPLOY),
            at(
                act(13, "bob", "POST ci.example/deployments/20/approve"),
                unit("ci.service"),
            ),
            at(
                act(14, "dan", "POST ci.example/deployments/20"),
                unit("ci.service"),
            ),
            act(4000, "carol", PAY),
            act(4001, "alice-approve", "POST pay.example/y"),
        ]
    };
    let whole: Vec<_> = replay(sequence());
    let only = |told: &[Told]| {
        let mut found: Vec<_> = told
            .iter()
            .map(|told| (told.kind, told.at, told.user.clone()))
            .collect();
        found.sort();
        found
    };
    assert_eq!(only(&whole).len(), 4, "{whole:#?}");
    for split in 0..10 {
        let mut judge = judge();
        let mut out = Vec::new();
        let mut last = 0;
        for (n, access) in sequence().into_iter().enumerate() {
            if n == split {
                judge = restarted(&judge, last, 0, ("boot", "boot"));
            }
            last = seconds(&access);
            out.extend(arrive(&mut judge, last, access));
        }
        out.extend(wait(&mut judge, last + 61));
        assert_eq!(only(&out), only(&whole), "split before {split}");
    }
}

#[test]
fn while_nobody_watched_an_approval_may_have_been_given() {
    let mut first = judge();
    arrive(&mut first, 0, act(0, "alice-deploy", "GET pay.example/x"));
    let mut judge = restarted(&first, 10, 300, ("boot", "boot"));
    arrive(&mut judge, 400, act(400, "alice-deploy", PAY));
    let told = wait(&mut judge, 500);
    assert_eq!(kinds(&told), [("approval", 400)]);
    assert_eq!(told[0].severity, Severity::Medium);
    assert!(
        told[0]
            .title
            .ends_with("not everything was seen from 12:00:10Z to 12:05:10Z"),
        "{}",
        told[0].title
    );
}

#[test]
fn what_waited_is_concluded_after_the_restart() {
    let mut first = judge();
    arrive(&mut first, 0, act(0, "alice-deploy", PAY));
    let mut judge = restarted(&first, 10, 5, ("boot", "boot"));
    let told = wait(&mut judge, 61);
    assert_eq!(kinds(&told), [("approval", 0)]);
}

#[test]
fn a_login_session_means_another_one_after_a_boot() {
    for (boots, expected) in [
        (("one", "one"), [("separation", 60)].as_slice()),
        (("one", "two"), &[]),
    ] {
        let session = || {
            typed(
                Some("session-3.scope"),
                "ops",
                &["/usr/bin/bash", "/usr/sbin/sshd"],
            )
        };
        let mut first = judge();
        arrive(&mut first, 0, at(act(0, "bob", APPROVE), session()));
        // Addresses of workloads and hashes are others in another run; names are the same.
        let mut judge = restarted(&first, 10, 5, boots);
        arrive(
            &mut judge,
            60,
            at(act(60, "alice-deploy", DEPLOY), session()),
        );
        assert_eq!(kinds(&wait(&mut judge, 200)), expected, "{boots:?}");
    }
}

#[test]
fn a_credential_in_two_places_over_a_restart() {
    let thief = || typed(Some("session-3.scope"), "eve", &["/usr/bin/bash"]);
    let mut first = judge();
    arrive(&mut first, 0, at(act(0, "bob", SIGN), unit("a.service")));
    arrive(&mut first, 1, at(act(1, "bob", SIGN), thief()));
    let mut judge = restarted(&first, 2, 5, ("boot", "boot"));
    let told = arrive(&mut judge, 20, at(act(20, "bob", SIGN), unit("a.service")));
    assert_eq!(
        told.iter()
            .filter(|told| told.kind == FindingKind::CredentialShared)
            .count(),
        1
    );
}

#[test]
fn names_hold_over_other_policies() {
    const OTHER: &str = r#"
version = 1
[duties]
zero = ["GET nowhere.example/"]
approve = ["POST ci.example/deployments/{id}/approve"]
deploy = ["POST ci.example/deployments/{id}"]
[identities.new]
owner = "alice"
credentials = ["basic:user=new"]
duties = ["deploy"]
[[separate]]
duties = ["zero", "approve"]
[[separate]]
duties = ["approve", "deploy"]
on = "id"
within = "1d"
"#;
    let mut judge = judge();
    arrive(&mut judge, 0, act(0, "alice-approve", APPROVE));
    judge.replace(policy(OTHER));
    let told = arrive(&mut judge, 10, act(10, "new", DEPLOY));
    assert_eq!(kinds(&told), [("separation", 10)]);
    // And as a reload does it: another judge stands in.
    let mut next = Judge::new(policy(POLICY), Settings::default());
    next.inherit(&mut judge);
    let told = arrive(&mut next, 20, act(20, "alice-deploy", DEPLOY));
    assert_eq!(kinds(&told), [("separation", 20)]);
}

#[test]
fn what_is_damaged_is_refused_whole() {
    let mut first = judge();
    arrive(&mut first, 0, act(0, "alice-approve", APPROVE));
    let (json, _) = first
        .remembered(us(1))
        .to_json("b", false, 1 << 20)
        .unwrap();
    let mut judge = judge();
    for cut in [0, 1, json.len() / 2, json.len() - 1] {
        assert!(judge.restore(&json[..cut], "b").is_err(), "{cut}");
    }
    let other = String::from_utf8(json.clone())
        .unwrap()
        .replacen("\"v\":1", "\"v\":2", 1);
    assert!(matches!(
        judge.restore(other.as_bytes(), "b"),
        Err(Unreadable::Version(2))
    ));
    assert_eq!(judge.history_memory().acts, 0);
    let restored = judge.restore(&json, "b").unwrap();
    assert_eq!((restored.acts, restored.complete), (1, false));
}

#[test]
fn what_does_not_fit_is_left_out_oldest_first() {
    let mut judge = judge();
    for n in 0..100 {
        arrive(
            &mut judge,
            n,
            act(n, "dan", &format!("POST ci.example/deployments/{n}")),
        );
    }
    let remembered = judge.remembered(us(100));
    let (json, left_out) = remembered.to_json("b", true, 40_000).unwrap();
    assert!(
        json.len() <= 40_000 && left_out >= 50,
        "{} {left_out}",
        json.len()
    );
    let text = String::from_utf8(json).unwrap();
    assert!(text.contains("/deployments/99\"") && !text.contains("/deployments/0\""));
}

/// Those that somebody else approved in time, and all, by day and over a restart, each once.
#[test]
fn how_they_went_is_counted() {
    let mut first = judge();
    for (seconds, who, what) in [
        (0, "bob", SIGN),
        (60, "alice-deploy", PAY),
        (70, "alice-deploy", PAY),
        (3 * 3600, "alice-deploy", PAY),
    ] {
        arrive(&mut first, seconds, act(seconds, who, what));
    }
    let counts = |judge: &mut Judge, seconds: i64| {
        let remembered = judge.remembered(us(seconds));
        remembered.approvals("pay", "sign", us(0))
    };
    let now = 3 * 3600 + 10;
    assert_eq!(counts(&mut first, now), Some((2, 2)), "one is open");
    let mut judge = restarted(&first, now, 1, ("boot", "boot"));
    wait(&mut judge, now + 100);
    assert_eq!(counts(&mut judge, now + 100), Some((3, 2)));
    let none = judge.remembered(us(0)).approvals("sign", "pay", us(0));
    assert_eq!(none, None);
}
