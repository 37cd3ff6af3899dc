//! The decisions, with acts that only remember what they were asked.

mod scene;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::acts::{GroupNow, ProcessNow};
use super::config::{Act, ContainRule, Mode};
use super::*;
use crate::access::{Endpoint, Peer, Role};
use crate::judge::{FindingKind, Severity};
use scene::*;

#[test]
fn a_connection_is_reset_once_and_told() {
    let mut scene = Scene::act(Act::Reset);
    scene.keeper.violation(&violation());
    scene.keeper.violation(&violation());
    assert_eq!(scene.fake.done(), ["reset 1"]);
    let told = scene.told();
    assert_eq!(told.len(), 1);
    let alert = &told[0];
    assert_eq!(alert.key.kind, FindingKind::Contained);
    assert_eq!(alert.severity, Severity::High);
    assert_eq!(
        alert.title,
        "reset the connection of exe:/usr/bin/curl (process 100) after environment by ci-bot: to 10.20.1.2:443"
    );
    assert!(
        alert.key.clause.contains("/etc/b.toml:9"),
        "{}",
        alert.key.clause
    );
    assert_eq!(alert.evidence.len(), 1);
    let list = scene.keeper.list();
    assert_eq!((list[0].state.as_str(), list[0].delay_us), ("done", 9_000));
    // Another connection is another act, and an alert of its own.
    let mut other = violation();
    other.sockets = [Some(socket(2, true)), None];
    scene.keeper.violation(&other);
    let again = scene.told();
    assert_ne!(again[0].key, alert.key);
    assert_eq!(scene.keeper.status().reset, 2);
}

#[test]
fn both_ends_of_a_local_connection_go_the_violators_first() {
    let mut scene = Scene::act(Act::Reset);
    let mut both = violation();
    both.access.role = Role::Both;
    both.access.server = Some(Endpoint {
        pid: 200,
        workload: Arc::new(workload("/usr/sbin/nginx", None)),
    });
    both.sockets = [Some(socket(5, false)), Some(socket(6, true))];
    scene.keeper.violation(&both);
    assert_eq!(scene.fake.done(), ["reset 6", "reset 5"]);
    // A server that is not to be touched is not.
    let mut scene = Scene::new(rules(
        Mode::Enforce,
        vec![rule(Act::Reset)],
        &["exe:/usr/sbin/nginx"],
        10,
    ));
    scene.keeper.violation(&both);
    assert_eq!(scene.fake.done(), ["reset 6"]);
}

#[test]
fn only_a_server_here_can_still_reset_but_nobody_is_refused_or_stopped() {
    let mut remote = violation();
    remote.access.role = Role::Server;
    remote.access.server = remote.access.client.take();
    let mut scene = Scene::act(Act::Reset);
    scene.keeper.violation(&remote);
    assert_eq!(scene.fake.done(), ["reset 1"]);
    for act in [Act::Refuse, Act::Stop] {
        let mut scene = Scene::act(act);
        scene.keeper.violation(&remote);
        assert!(scene.fake.done().is_empty() && scene.told().is_empty());
        assert_eq!(scene.declined("elsewhere"), 1);
    }
}

#[test]
fn what_cannot_be_reset_is_said() {
    let mut scene = Scene::act(Act::Reset);
    let mut unix = violation();
    unix.access.peer = Peer::Unix("/run/api.sock".into());
    scene.keeper.violation(&unix);
    assert!(scene.fake.done().is_empty());
    let told = scene.told();
    assert!(
        told[0].title.contains("could not") && told[0].title.contains("unix socket"),
        "{}",
        told[0].title
    );
    assert_eq!(scene.keeper.status().failed, 1);
    // A connection that ended by itself is nothing to tell.
    let mut scene = Scene::act(Act::Reset);
    scene
        .fake
        .with(|world| world.reset = Some(|| ActError::Gone));
    scene.keeper.violation(&violation());
    assert!(scene.told().is_empty());
    assert_eq!(scene.declined("gone"), 1);
    // A privilege that is missing is.
    let mut scene = Scene::act(Act::Reset);
    scene.fake.with(|world| {
        world.reset = Some(|| ActError::Privilege {
            what: "destroying a socket",
            need: "CAP_NET_ADMIN",
        });
    });
    scene.keeper.violation(&violation());
    assert!(scene.told()[0].title.contains("CAP_NET_ADMIN"));
}

#[test]
fn a_refusal_has_the_environments_addresses_and_ends() {
    let mut scene = Scene::act(Act::Refuse);
    scene.keeper.violation(&violation());
    let done = scene.fake.done();
    let id = scene.keeper.list()[0].id.clone();
    assert_eq!(
        done,
        [format!(
            "refuse {id} /ci 10.20.0.0/16 10.20.1.2/32:443 not 10.20.9.0/24 10.99.0.1/32:443 600s"
        )]
    );
    // It goes on, and nothing more is done.
    scene.keeper.violation(&violation());
    assert!(scene.fake.done().is_empty());
    assert_eq!(scene.keeper.status().in_force, 1);
    scene.fake.with(|world| world.now += 601_000_000);
    scene.keeper.expire();
    assert_eq!(scene.fake.done(), [format!("release {id}")]);
    assert_eq!(scene.keeper.list()[0].state, "expired");
    assert_eq!(scene.over(), [(id.clone(), Over::Time)], "told, once");
    scene.keeper.expire();
    assert_eq!(scene.over(), []);
    assert!(scene.keeper.undo(&id).is_err());
}

#[test]
fn a_control_group_that_holds_others_is_not_touched() {
    let told = |change: fn(&mut GroupNow)| {
        let mut scene = Scene::act(Act::Refuse);
        scene
            .fake
            .with(|world| change(world.group.as_mut().unwrap()));
        scene.keeper.violation(&violation());
        let declined = scene.declined("group");
        assert_eq!(scene.fake.done().is_empty(), declined == 1);
        declined
    };
    assert_eq!(told(|group| group.path = "/".to_owned()), 1, "root");
    assert_eq!(
        told(|group| group.path = "/system".to_owned()),
        1,
        "ours is below"
    );
    assert_eq!(
        told(|group| group.path = "/system/bailiwick".to_owned()),
        1,
        "ours"
    );
    assert_eq!(
        told(|group| group.path = "/sys".to_owned()),
        0,
        "only the name begins so"
    );
    assert_eq!(told(|group| group.path = "/a".repeat(17)), 1, "deep");
    assert_eq!(
        told(|group| group.members.push(process(9, "/usr/sbin/sshd"))),
        1,
        "sshd"
    );
    assert_eq!(
        told(|group| group.members.push(process(1, "/sbin/init"))),
        1
    );
    assert_eq!(
        told(|group| group.members.push(process(SELF, "/usr/bin/bailiwick"))),
        1
    );
}

#[test]
fn a_process_is_stopped_and_goes_on() {
    let mut scene = Scene::act(Act::Stop);
    scene.keeper.violation(&violation());
    scene.keeper.violation(&violation());
    let id = scene.keeper.list()[0].id.clone();
    assert_eq!(scene.fake.done(), [format!("stop {id} 100")]);
    assert!(
        scene.told()[0]
            .action
            .contains(&format!("bailiwick contain undo {id}"))
    );
    assert_eq!(scene.keeper.undo("nothing"), Err(NotUndone::Unknown));
    assert_eq!(scene.keeper.undo(&id).unwrap().state, "undone");
    assert_eq!(scene.fake.done(), [format!("resume {id}")]);
    assert!(scene.keeper.undo(&id).is_err(), "twice");
}

#[test]
fn a_process_that_is_another_by_now_is_not_stopped() {
    let declined = |change: fn(&mut BTreeMap<u32, ProcessNow>)| {
        let mut scene = Scene::act(Act::Stop);
        scene.fake.with(|world| change(&mut world.processes));
        scene.keeper.violation(&violation());
        assert!(scene.fake.done().is_empty() && scene.told().is_empty());
        scene.declined("changed")
    };
    assert_eq!(declined(|all| drop(all.remove(&100))), 1);
    assert_eq!(
        declined(|all| all.get_mut(&100).unwrap().born_us = START + 50_000),
        1
    );
    assert_eq!(
        declined(|all| drop(all.insert(100, process(100, "/usr/bin/vim")))),
        1
    );
}

#[test]
fn a_dry_run_only_tells() {
    for act in [Act::Reset, Act::Refuse, Act::Stop] {
        let mut scene = Scene::new(rules(Mode::DryRun, vec![rule(act)], &[], 10));
        scene.keeper.violation(&violation());
        scene.keeper.violation(&violation());
        assert!(scene.fake.done().is_empty(), "{act}");
        let told = scene.told();
        assert_eq!(told.len(), 1, "{act}");
        assert!(
            told[0].title.starts_with("would have "),
            "{}",
            told[0].title
        );
        let id = scene.keeper.list()[0].id.clone();
        assert!(matches!(scene.keeper.undo(&id), Err(NotUndone::Nothing(_))));
        assert_eq!(
            (scene.keeper.status().would, scene.keeper.status().in_force),
            (1, 0)
        );
    }
}

#[test]
fn off_does_nothing_at_all() {
    let mut scene = Scene::new(rules(Mode::Off, vec![rule(Act::Reset)], &[], 10));
    scene.keeper.violation(&violation());
    assert!(scene.fake.done().is_empty() && scene.told().is_empty());
    assert!(scene.keeper.status().declined.is_empty());
}

#[test]
fn the_protected_are_never_touched() {
    let never = ["unit:db.service", "exe:/usr/bin/backup*"];
    for (pid, exe, unit) in [
        (1, "/sbin/init", None),
        (SELF, "/usr/bin/bailiwick", None),
        (100, "", None),
        (0, "/usr/bin/curl", None),
        (100, "/usr/sbin/sshd", None),
        (100, "/usr/lib/openssh/sshd-session", None),
        (100, "/usr/bin/curl", Some("ssh.service")),
        (100, "/usr/bin/curl", Some("sshd@3.service")),
        (100, "/lib/systemd/systemd", None),
        (100, "/lib/systemd/systemd-resolved", None),
        (100, "/usr/bin/x", Some("systemd-networkd.service")),
        (100, "/usr/bin/x", Some("init.scope")),
        (100, "/usr/bin/postgres", Some("db.service")),
        (100, "/usr/bin/backup2", None),
    ] {
        for act in [Act::Reset, Act::Refuse, Act::Stop] {
            let mut scene = Scene::new(rules(Mode::Enforce, vec![rule(act)], &never, 10));
            let mut violation = violation();
            violation.access.client = Some(Endpoint {
                pid,
                workload: Arc::new(workload(exe, unit)),
            });
            scene.keeper.violation(&violation);
            assert!(scene.fake.done().is_empty(), "{act} {pid} {exe} {unit:?}");
            assert_eq!(scene.declined("protected"), 1, "{act} {pid} {exe} {unit:?}");
        }
    }
    // Names that only look alike are nobody's.
    for exe in ["/usr/bin/sshdump", "/usr/bin/systemdx", "/usr/bin/curl"] {
        let mut scene = Scene::new(rules(Mode::Enforce, vec![rule(Act::Reset)], &never, 10));
        let mut violation = violation();
        violation.access.client.as_mut().unwrap().workload = Arc::new(workload(exe, None));
        scene.keeper.violation(&violation);
        assert_eq!(scene.fake.done(), ["reset 1"], "{exe}");
    }
}

#[test]
fn never_more_than_the_rate_within_any_hour() {
    let mut own = rule(Act::Reset);
    own.max_per_hour = Some(2);
    let mut scene = Scene::new(rules(Mode::Enforce, vec![own, rule(Act::Reset)], &[], 5));
    let mut done = Vec::new();
    for cookie in 0..40 {
        scene.fake.with(|world| world.now += 600_000_000);
        let mut violation = violation();
        violation.sockets = [Some(socket(cookie, true)), None];
        scene.keeper.violation(&violation);
        let now = scene.fake.with(|world| world.now);
        done.extend(scene.fake.done().iter().map(|_| now));
        let within = done.iter().filter(|at| now - **at < 3_600_000_000).count();
        assert!(within <= 5, "{within} within an hour");
    }
    assert!(done.len() > 20, "acts come back with time: {}", done.len());
    assert!(scene.declined("rate") > 20);
}

#[test]
fn a_rule_follows_what_it_names() {
    let follows = |change: fn(&mut ContainRule)| {
        let mut rule = rule(Act::Reset);
        change(&mut rule);
        rule.follows(&violation())
    };
    assert!(follows(|_| {}));
    assert!(follows(|rule| rule.identities = vec!["ci-*".to_owned()]));
    assert!(!follows(|rule| rule.identities = vec!["pay-*".to_owned()]));
    assert!(!follows(|rule| rule.environments = vec!["dev".to_owned()]));
    assert!(follows(
        |rule| rule.environments = vec!["dev".to_owned(), "prod".to_owned()]
    ));
    assert!(!follows(|rule| rule.min_severity = Severity::Critical));
    assert!(!follows(|rule| rule.kinds = vec![FindingKind::Duty]));
}

#[test]
fn refusals_end_with_the_daemon_or_with_enforcement_and_stops_do_not() {
    let both = vec![rule(Act::Refuse), rule(Act::Stop)];
    let mut scene = Scene::new(rules(Mode::Enforce, both.clone(), &[], 10));
    scene.keeper.violation(&violation());
    assert_eq!(scene.fake.done().len(), 2);
    scene
        .keeper
        .replace(rules(Mode::Enforce, both.clone(), &[], 10));
    assert!(
        scene.fake.done().is_empty(),
        "other rules change nothing that is in force"
    );
    scene
        .keeper
        .replace(rules(Mode::DryRun, both.clone(), &[], 10));
    assert!(scene.fake.done()[0].starts_with("release "));
    assert!(
        matches!(scene.over()[..], [(_, Over::Mode)]),
        "the refusal alone"
    );
    assert_eq!(
        scene.keeper.status().in_force,
        1,
        "the process stays stopped"
    );
    let mut scene = Scene::new(rules(Mode::Enforce, both, &[], 10));
    scene.keeper.violation(&violation());
    scene.fake.done();
    scene.keeper.finish();
    assert_eq!(scene.fake.done().len(), 1);
    assert!(matches!(scene.over()[..], [(_, Over::Shutdown)]));
    // A process that was stopped and ended needs nothing any more.
    scene.fake.with(|world| world.processes.clear());
    scene.keeper.expire();
    assert_eq!(scene.keeper.status().in_force, 0);
    assert!(matches!(scene.over()[..], [(_, Over::Process)]));
}

#[test]
fn no_kind_that_is_a_guess_or_of_no_access_is_followed() {
    for kind in FindingKind::ALL {
        let without = matches!(
            kind.name(),
            "coverage-lost" | "contained" | "unusual" | "stored-credential"
        );
        assert_eq!(super::config::follows(kind), !without, "{}", kind.name());
    }
}
