use super::*;

#[test]
fn approved_by_another_owner_in_time() {
    let told = replay(vec![act(0, "bob", SIGN), act(3600, "alice-deploy", PAY)]);
    assert_eq!(told, []);
}

#[test]
fn missing() {
    let mut judge = judge();
    assert_eq!(arrive(&mut judge, 0, act(0, "alice-deploy", PAY)), []);
    assert_eq!(wait(&mut judge, 59), [], "it may be on its way");
    let told = wait(&mut judge, 60);
    assert_eq!(kinds(&told), [("approval", 0)]);
    assert_eq!((told[0].severity, told[0].beside), (Severity::High, None));
    insta::assert_snapshot!(told[0].title, @"alice-deploy (alice) did pay without an approval at 12:00:00Z (POST bank.example/transfers by /usr/bin/app (unit:alice-deploy.service)): no sign was seen in the 60 min before it");
    insta::assert_snapshot!(told[0].clause, @r#"approve.duty = "pay", by = "sign", distinct = "owner", within = "1h" (/etc/bw/policy.toml:37)"#);
    assert_eq!(wait(&mut judge, 1000), [], "once");
}

#[test]
fn by_the_same_hand() {
    let told = replay(vec![
        act(0, "alice-approve", SIGN),
        act(60, "alice-deploy", PAY),
    ]);
    assert_eq!(kinds(&told), [("approval", 60)]);
    assert_eq!(told[0].beside, Some(0));
    insta::assert_snapshot!(told[0].title, @"alice-deploy (alice) did pay approved by the same hand at 12:01:00Z (POST bank.example/transfers by /usr/bin/app (unit:alice-deploy.service)): sign by alice with alice-approve at 12:00:00Z (POST bank.example/signatures by /usr/bin/app (unit:alice-approve.service)), and by nobody else");
}

#[test]
fn too_late() {
    let told = replay(vec![act(0, "alice-deploy", PAY), act(20, "bob", SIGN)]);
    assert_eq!(kinds(&told), [("approval", 0)]);
    assert_eq!(told[0].beside, Some(20));
    assert!(
        told[0].title.contains("before it was approved"),
        "{}",
        told[0].title
    );
}

#[test]
fn no_longer_valid() {
    let told = replay(vec![act(0, "bob", SIGN), act(3601, "alice-deploy", PAY)]);
    assert_eq!(kinds(&told), [("approval", 3601)]);
    assert_eq!(told[0].beside, Some(0));
    assert!(
        told[0].title.contains("no longer counted"),
        "{}",
        told[0].title
    );
}

#[test]
fn an_approval_that_arrives_after_the_act_counts_by_its_own_time() {
    let mut judge = judge();
    assert_eq!(arrive(&mut judge, 10, act(10, "alice-deploy", PAY)), []);
    assert_eq!(arrive(&mut judge, 65, act(9, "bob", SIGN)), []);
    assert_eq!(wait(&mut judge, 200), []);
}

#[test]
fn an_approval_that_was_refused_is_none() {
    let mut sign = act(0, "bob", SIGN);
    sign.status = Some(403);
    let told = replay(vec![sign, act(60, "alice-deploy", PAY)]);
    assert_eq!(kinds(&told), [("approval", 60)]);
}

#[test]
fn objects_are_compared_where_both_duties_name_them() {
    const TEXT: &str = r#"
version = 1
[duties]
deploy = ["POST ci.example/deployments/{id}"]
approve = ["POST ci.example/reviews/{id}/{verdict}"]
[identities.a]
owner = "alice"
credentials = ["basic:user=a"]
duties = ["deploy"]
[identities.a2]
owner = "alice"
credentials = ["basic:user=a2"]
duties = ["approve"]
[[approve]]
duty = "deploy"
by = "approve"
distinct = "identity"
within = "1h"
"#;
    for (what, expected) in [
        ("POST ci.example/reviews/17/ok", [].as_slice()),
        ("POST ci.example/reviews/18/ok", &[("approval", 60)]),
    ] {
        let mut judge = judge_of(TEXT);
        arrive(&mut judge, 0, act(0, "a2", what));
        arrive(&mut judge, 60, act(60, "a", DEPLOY));
        assert_eq!(kinds(&wait(&mut judge, 200)), expected, "{what}");
    }
}

#[test]
fn nothing_certain_is_said_of_a_time_that_was_not_watched() {
    let mut judge = Judge::new(policy(POLICY), Settings::default());
    judge.look_back(us(0));
    arrive(&mut judge, 600, act(600, "alice-deploy", PAY));
    let told = wait(&mut judge, 700);
    assert_eq!(told[0].severity, Severity::Medium);
    assert!(
        told[0]
            .title
            .ends_with("; nothing was watched before 12:00:00Z"),
        "{}",
        told[0].title
    );
    // An hour later all that counts was watched.
    arrive(&mut judge, 4000, act(4000, "alice-deploy", PAY));
    assert_eq!(wait(&mut judge, 4100)[0].severity, Severity::High);
    // Unless records were lost.
    judge.lost(us(5000));
    arrive(&mut judge, 5100, act(5100, "alice-deploy", PAY));
    let told = wait(&mut judge, 5200);
    assert_eq!(told[0].severity, Severity::Medium);
    assert!(
        told[0]
            .title
            .contains("not everything was seen from 13:23:19Z to 13:23:20Z"),
        "{}",
        told[0].title
    );
}

#[test]
fn checks_that_are_off_say_nothing() {
    let mut settings = Settings::default();
    settings.disabled.insert(FindingKind::Approval);
    let mut judge = Judge::new(policy(POLICY), settings);
    arrive(&mut judge, 0, act(0, "alice-deploy", PAY));
    assert_eq!(wait(&mut judge, 100), []);
}
