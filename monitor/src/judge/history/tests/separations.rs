use super::*;

#[test]
fn one_owner_with_two_keys_does_both_to_one_object() {
    let told = replay(vec![
        act(0, "alice-approve", APPROVE),
        act(120, "alice-deploy", DEPLOY),
    ]);
    assert_eq!(kinds(&told), [("separation", 120)]);
    assert_eq!(told[0].severity, Severity::High);
    assert_eq!(told[0].beside, Some(0));
    insta::assert_snapshot!(told[0].title, @"alice did separated duties on id 17, as alice-approve and as alice-deploy: approve by alice-approve at 12:00:00Z (POST ci.example/deployments/17/approve by /usr/bin/app (unit:alice-approve.service)), deploy by alice-deploy at 12:02:00Z (POST ci.example/deployments/17 by /usr/bin/app (unit:alice-deploy.service))");
    insta::assert_snapshot!(told[0].clause, @r#"separate.duties = ["deploy", "approve"], on = "id", within = "7d" (/etc/bw/policy.toml:33)"#);
}

#[test]
fn two_owners_are_silent() {
    let told = replay(vec![
        act(0, "bob", APPROVE),
        act(120, "alice-deploy", DEPLOY),
    ]);
    assert_eq!(told, []);
}

#[test]
fn one_identity_with_both_duties() {
    let told = replay(vec![act(0, "carol", DEPLOY), act(1, "carol", APPROVE)]);
    assert_eq!(kinds(&told), [("separation", 1)]);
    assert!(
        told[0]
            .title
            .starts_with("carol (carol) did separated duties on id 17: deploy"),
        "{}",
        told[0].title
    );
}

#[test]
fn objects_are_told_apart_as_the_policy_reads_paths() {
    let finds = |deploy: &str| {
        let told = replay(vec![
            act(0, "alice-approve", APPROVE),
            act(1, "alice-deploy", deploy),
        ]);
        !told.is_empty()
    };
    assert!(finds("POST ci.example/deployments/%31%37"), "decoded");
    assert!(
        finds("PUT old.example/v2/17/deploy"),
        "another route of another service"
    );
    assert!(!finds("POST ci.example/deployments/18"));
    let told = replay(vec![
        act(0, "alice-approve", "POST ci.example/deployments/Ab/approve"),
        act(1, "alice-deploy", "POST ci.example/deployments/ab"),
    ]);
    assert_eq!(told, [], "case matters");
}

#[test]
fn a_static_separation_asks_for_no_object() {
    let both = |gap: i64| {
        replay(vec![
            act(0, "alice-deploy", "GET pay.example/items/1"),
            act(gap, "alice-approve", "POST pay.example/other"),
        ])
    };
    assert_eq!(kinds(&both(86_400)), [("separation", 86_400)]);
    assert_eq!(kinds(&both(30 * 86_400)), [("separation", 30 * 86_400)]);
    assert_eq!(both(30 * 86_400 + 1), [], "thirty days are over");
}

#[test]
fn windows_end() {
    let both = |gap: i64| {
        replay(vec![
            act(0, "alice-approve", APPROVE),
            act(gap, "alice-deploy", DEPLOY),
        ])
    };
    assert_eq!(kinds(&both(7 * 86_400)), [("separation", 7 * 86_400)]);
    assert_eq!(both(7 * 86_400 + 1), []);
}

#[test]
fn what_the_server_refused_was_not_done() {
    for (status, grpc_status, done) in [
        (Some(403), None, false),
        (Some(404), None, false),
        (Some(500), None, false),
        (Some(200), Some(7), false),
        (Some(200), Some(0), true),
        (Some(302), None, true),
        (None, None, true),
    ] {
        let mut approve = act(0, "alice-approve", APPROVE);
        (approve.status, approve.grpc_status) = (status, grpc_status);
        let told = replay(vec![approve, act(1, "alice-deploy", DEPLOY)]);
        assert_eq!(!told.is_empty(), done, "{status:?} {grpc_status:?}");
    }
}

#[test]
fn what_no_duty_of_the_identity_grants_is_no_exercise() {
    // That is a finding of another kind.
    let told = replay(vec![
        act(0, "alice-deploy", APPROVE),
        act(1, "alice-deploy", DEPLOY),
    ]);
    assert_eq!(told, []);
}

#[test]
fn the_later_one_is_told_of_whichever_arrives_last() {
    let mut judge = judge();
    assert_eq!(
        arrive(&mut judge, 121, act(120, "alice-deploy", DEPLOY)),
        []
    );
    let told = arrive(&mut judge, 130, act(100, "alice-approve", APPROVE));
    assert_eq!(kinds(&told), [("separation", 120)]);
    assert_eq!(told[0].beside, Some(100));
    assert_eq!(wait(&mut judge, 300), [], "once");
    // Beyond the grace it is about the one that came late: it is not lost.
    let told = arrive(&mut judge, 400, act(50, "alice-approve", APPROVE));
    assert_eq!(kinds(&told), [("separation", 50)]);
}

/// Two owners, from where the given clients are.
fn two_owners(first: Option<Endpoint>, second: Option<Endpoint>) -> Vec<Told> {
    replay(vec![
        at(act(0, "bob", APPROVE), first),
        at(act(60, "alice-deploy", DEPLOY), second),
    ])
}

#[test]
fn one_service_does_both_for_two_owners() {
    let told = two_owners(unit("ci.service"), unit("ci.service"));
    assert_eq!(kinds(&told), [("separation", 60)]);
    insta::assert_snapshot!(told[0].title, @"One workload, unit:ci.service, did separated duties on id 17, for two owners, bob and alice: approve by bob at 12:00:00Z (POST ci.example/deployments/17/approve by /usr/bin/app (unit:ci.service)), deploy by alice-deploy at 12:01:00Z (POST ci.example/deployments/17 by /usr/bin/app (unit:ci.service))");
    assert_eq!(two_owners(unit("ci.service"), unit("other.service")), []);
}

#[test]
fn one_login_session_does_both_for_two_owners() {
    let ssh = [
        "/usr/bin/bash",
        "/usr/sbin/sshd",
        "/usr/lib/systemd/systemd",
    ];
    let session = |name: &str| typed(Some(name), "ops", &ssh);
    let told = two_owners(session("session-3.scope"), session("session-3.scope"));
    assert_eq!(kinds(&told), [("separation", 60)]);
    assert!(
        told[0].title.contains("login session session-3.scope"),
        "{}",
        told[0].title
    );
    assert_eq!(
        two_owners(session("session-3.scope"), session("session-4.scope")),
        []
    );
}

#[test]
fn what_descends_from_one_sshd_or_shell_is_not_one_lineage() {
    for (unit, ancestors) in [
        (
            Some("ssh.service"),
            ["/usr/bin/bash", "/usr/sbin/sshd"].as_slice(),
        ),
        (None, &["/usr/bin/bash", "/usr/sbin/sshd"]),
        (Some("cron.service"), &["/usr/sbin/cron"]),
    ] {
        let curl = || typed(unit, "ops", ancestors);
        assert_eq!(two_owners(curl(), curl()), [], "{unit:?}");
    }
}

#[test]
fn a_service_that_works_for_everybody_is_nobodys_lineage() {
    let mut all = vec![
        at(act(0, "bob", APPROVE), unit("runner.service")),
        at(
            act(50, "carol", "POST ci.example/deployments/99"),
            unit("runner.service"),
        ),
        at(act(60, "alice-deploy", DEPLOY), unit("runner.service")),
    ];
    assert_eq!(replay(all.clone()), []);
    all.remove(1);
    assert_eq!(kinds(&replay(all)), [("separation", 60)]);
}

#[test]
fn a_gateway_passes_on_what_others_do() {
    let mut all = Vec::new();
    for (time, user, what) in [(0, "bob", APPROVE), (60, "alice-deploy", DEPLOY)] {
        // The gateway's own request is answered first.
        all.push(at(act(time, user, what), unit("nginx.service")));
        let mut outside = act(time, user, what);
        (outside.client, outside.server) = (None, unit("nginx.service"));
        outside.role = crate::access::Role::Server;
        all.push(outside);
    }
    assert_eq!(replay(all), []);
}

#[test]
fn an_act_that_two_separated_duties_grant_is_no_pair_with_its_like() {
    let mut judge = judge_of(
        r#"
version = 1
[duties]
deploy = ["POST ci.example/**"]
approve = ["POST ci.example/deployments/{id}/approve"]
[identities.carol]
owner = "carol"
credentials = ["basic:user=carol"]
duties = ["deploy", "approve"]
[[separate]]
duties = ["deploy", "approve"]
"#,
    );
    assert_eq!(arrive(&mut judge, 0, act(0, "carol", APPROVE)), []);
    assert_eq!(arrive(&mut judge, 1, act(1, "carol", APPROVE)), []);
    let told = arrive(&mut judge, 2, act(2, "carol", DEPLOY));
    assert_eq!(kinds(&told), [("separation", 2)]);
    let told = arrive(&mut judge, 3, act(3, "carol", APPROVE));
    assert_eq!(kinds(&told), [("separation", 3)]);
}
