use super::*;
use crate::access::Role;

const READ: &str = "GET pay.example/x";

fn uses(uses: Vec<(i64, Option<Endpoint>)>) -> Vec<Told> {
    replay(
        uses.into_iter()
            .map(|(time, client)| at(act(time, "bob", READ), client))
            .collect(),
    )
}

fn container(name: &str) -> Option<Endpoint> {
    end(Workload {
        exe: "/app".into(),
        container: Some(name.into()),
        user: "root".into(),
        ..Workload::default()
    })
}

#[test]
fn uses_that_interleave_are_of_two_holders() {
    let told = uses(vec![
        (0, unit("a.service")),
        (
            10,
            typed(Some("session-3.scope"), "eve", &["/usr/bin/bash"]),
        ),
        (20, unit("a.service")),
        (30, unit("a.service")),
    ]);
    assert_eq!(kinds(&told), [("credential-shared", 10)]);
    assert_eq!(
        (told[0].severity, told[0].beside),
        (Severity::High, Some(20))
    );
    assert!(
        told[0].title.contains("two workloads at a time: /usr/bin/app (unit:a.service) as app, last at 12:00:20Z, and here at 12:00:10Z: GET pay.example/x by /usr/bin/curl"),
        "{}",
        told[0].title
    );
}

#[test]
fn it_is_told_once_in_its_window() {
    let thief = || typed(Some("session-3.scope"), "eve", &["/usr/bin/bash"]);
    let both = |n: i64| [(n * 20, unit("a.service")), (n * 20 + 10, thief())];
    let told = uses((0..60).flat_map(both).collect());
    assert_eq!(told.len(), 2, "20 minutes");
}

#[test]
fn a_restart_a_move_and_a_break_are_silent() {
    assert_eq!(
        uses(vec![(0, unit("a.service")), (10, unit("a.service"))]),
        []
    );
    assert_eq!(
        uses(vec![
            (0, unit("a.service")),
            (10, unit("a.service")),
            (20, unit("b.service")),
            (30, unit("b.service"))
        ]),
        [],
        "moved"
    );
    assert_eq!(
        uses(vec![
            (0, unit("a.service")),
            (700, unit("b.service")),
            (1400, unit("a.service"))
        ]),
        [],
        "never at one time"
    );
}

#[test]
fn a_deployment_may_overlap_and_two_containers_may_not() {
    let overlap = |until: i64| {
        let both = |n: i64| {
            [
                (n * 2, container("aaaaaaaaaaaa")),
                (n * 2 + 1, container("bbbbbbbbbbbb")),
            ]
        };
        uses((0..until / 2).flat_map(both).collect())
    };
    assert_eq!(overlap(100), []);
    assert_eq!(overlap(200).len(), 1);
}

#[test]
fn what_runs_in_one_unit_is_one_workload() {
    let curl = typed(Some("a.service"), "root", &["/bin/sh", "/usr/bin/app"]);
    assert_eq!(
        uses(vec![
            (0, unit("a.service")),
            (1, curl.clone()),
            (2, unit("a.service")),
            (3, curl)
        ]),
        []
    );
}

#[test]
fn one_person_with_several_programs_is_silent() {
    let curl = || typed(Some("session-3.scope"), "dev", &["/usr/bin/bash"]);
    let python = || {
        let mut end = typed(Some("session-4.scope"), "dev", &["/usr/bin/zsh"]).unwrap();
        Arc::make_mut(&mut end.workload).exe = "/usr/bin/python3".into();
        Some(end)
    };
    assert_eq!(
        uses(vec![(0, curl()), (1, python()), (2, curl()), (3, python())]),
        []
    );
}

#[test]
fn the_owner_said_so() {
    let both = |user: &str| {
        let mut all = Vec::new();
        for n in 0..4 {
            all.push(at(act(n * 2, user, READ), unit("a.service")));
            all.push(at(
                act(n * 2 + 1, user, READ),
                end(Workload {
                    exe: "/usr/bin/other".into(),
                    unit: Some("b.service".into()),
                    user: "app".into(),
                    ..Workload::default()
                }),
            ));
        }
        replay(all)
    };
    assert_eq!(both("dan"), [], "both are listed");
    assert_eq!(both("bob").len(), 1);
    // What no policy names is less bad: nobody said whose it is.
    let told = both("nobody");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].severity, Severity::Medium);
}

#[test]
fn a_gateway_holds_nothing() {
    let mut all = Vec::new();
    for n in 0..5 {
        all.push(at(act(n * 10, "bob", READ), unit("nginx.service")));
        let mut outer = at(
            act(n * 10, "bob", READ),
            typed(None, "dev", &["/usr/bin/bash"]),
        );
        outer.server = unit("nginx.service");
        outer.role = Role::Both;
        all.push(outer);
    }
    assert_eq!(replay(all), []);
}

#[test]
fn what_is_refused_is_no_use() {
    let mut tried = at(act(10, "bob", READ), typed(None, "eve", &["/usr/bin/bash"]));
    tried.status = Some(401);
    assert_eq!(
        replay(vec![
            at(act(0, "bob", READ), unit("a.service")),
            tried,
            at(act(20, "bob", READ), unit("a.service"))
        ]),
        []
    );
}

#[test]
fn the_server_of_a_person_is_not_what_they_type() {
    // Somebody runs a server and asks it; another one has the key, too.
    let mut all = Vec::new();
    for (time, user) in [(0, "dev"), (10, "eve"), (20, "dev"), (30, "eve")] {
        let mut access = at(
            act(time, "bob", READ),
            typed(None, user, &["/usr/bin/bash"]),
        );
        access.server = typed(None, "dev", &["/usr/bin/bash"]);
        let server = access.server.as_mut().unwrap();
        Arc::make_mut(&mut server.workload).exe = "/usr/bin/node".into();
        access.role = Role::Both;
        all.push(access);
    }
    assert_eq!(kinds(&replay(all)), [("credential-shared", 10)]);
}

#[test]
fn two_that_began_at_one_moment_are_judged_by_either() {
    let (one, other) = (|| container("aaaaaaaaaaaa"), || container("bbbbbbbbbbbb"));
    for all in [
        vec![(0, one()), (0, other()), (70, other()), (121, one())],
        vec![(0, other()), (0, one()), (70, other()), (121, one())],
    ] {
        assert_eq!(uses(all).len(), 1);
    }
}
