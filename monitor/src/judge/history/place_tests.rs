use super::*;
use crate::access::workload::lineage;

fn workload(exe: &str, unit: Option<&str>, user: &str, ancestors: &[&str]) -> Workload {
    Workload {
        exe: exe.into(),
        unit: unit.map(Into::into),
        container: None,
        user: user.into(),
        lineage: lineage(ancestors.iter().map(|exe| Arc::from(*exe))),
    }
}

fn same(a: &Workload, b: &Workload) -> bool {
    Place::lineage(a).is_some() && Place::lineage(a) == Place::lineage(b)
}

const SYSTEMD: &str = "/usr/lib/systemd/systemd";
const SSHD: &str = "/usr/sbin/sshd";
const BASH: &str = "/usr/bin/bash";
const CURL: &str = "/usr/bin/curl";

#[test]
fn a_service_and_what_it_starts_are_one_lineage() {
    let main = workload("/srv/ci", Some("ci.service"), "ci", &[SYSTEMD]);
    let script = workload(CURL, Some("ci.service"), "ci", &[BASH, "/srv/ci", SYSTEMD]);
    assert!(same(&main, &script));
    let other = workload("/srv/ci", Some("ci.service"), "root", &[SYSTEMD]);
    assert!(!same(&main, &other), "another user in the unit");
    let twin = workload("/srv/ci", Some("pay.service"), "ci", &[SYSTEMD]);
    assert!(!same(&main, &twin), "another unit of one systemd");
}

#[test]
fn one_login_session_is_one_lineage_and_two_are_two() {
    let curl =
        |session: &str, user: &str| workload(CURL, Some(session), user, &[BASH, SSHD, SYSTEMD]);
    assert!(same(
        &curl("session-3.scope", "ops"),
        &curl("session-3.scope", "ops")
    ));
    assert!(!same(
        &curl("session-3.scope", "ops"),
        &curl("session-4.scope", "ops")
    ));
    // Who became another user is still who it was.
    assert!(same(
        &curl("session-3.scope", "ops"),
        &curl("session-3.scope", "root")
    ));
}

#[test]
fn what_many_share_is_nobodys_lineage() {
    for (unit, ancestors) in [
        (Some("ssh.service"), [BASH, SSHD].as_slice()),
        (
            Some("cron.service"),
            &["/bin/sh", "/usr/sbin/cron", SYSTEMD],
        ),
        (Some("session-3.scope"), &[BASH, "/usr/bin/tmux", SYSTEMD]),
        (None, &[BASH, SSHD]),
        (None, &[BASH]),
    ] {
        let curl = workload(CURL, unit, "ops", ancestors);
        assert_eq!(Place::lineage(&curl), None, "{unit:?} {ancestors:?}");
        assert_eq!(Place::of_use(&curl), Some(Place::Person("ops".into())));
    }
    assert_eq!(Place::of(&Workload::default()), None);
}

#[test]
fn without_systemd_a_program_is_told_by_where_it_comes_from() {
    let under = |parent: &str| workload("/srv/app", None, "app", &[parent]);
    assert!(same(
        &under("/usr/bin/supervisord"),
        &under("/usr/bin/supervisord")
    ));
    assert!(!same(
        &under("/usr/bin/supervisord"),
        &under("/usr/bin/runsv")
    ));
}

#[test]
fn containers() {
    let mut one = workload(
        "/app",
        Some("docker.service"),
        "root",
        &["/usr/bin/containerd-shim"],
    );
    one.container = Some("4c01db0b339c".into());
    let mut tool = workload(CURL, Some("docker.service"), "root", &["/bin/sh", "/app"]);
    tool.container.clone_from(&one.container);
    assert!(same(&one, &tool));
    tool.container = Some("77e0a1b2c3d4".into());
    assert!(!same(&one, &tool));
    assert!(Place::of(&one).unwrap().lasts());
}
