//! A credential in the wrong hands.

use super::Row;
use crate::drill::technique::{Actor, Draft, Holder, Run, bearer};

pub(super) const ROWS: &[Row] = &[
    (
        "stolen-token-process",
        "a service's token used by another program",
        &["T1528", "T1550.001"],
        "API2",
        "workload",
        process,
    ),
    (
        "stolen-token-user",
        "a service's token used by another user",
        &["T1528", "T1550.001"],
        "API2",
        "workload",
        user,
    ),
    (
        "stolen-token-container",
        "a container's token used from another container",
        &["T1528", "T1550.001"],
        "API2",
        "workload",
        container,
    ),
    (
        "credential-in-two-workloads",
        "one unbound token live in two programs",
        &["T1528", "T1550.001"],
        "API2",
        "credential-shared",
        two_workloads,
    ),
];

/// `nobody`, by number: it needs no entry in /etc/passwd.
const NOBODY: u32 = 65_534;

/// An identity that is bound to one workload, and a request with its token by one actor.
fn bound(run: &Run<'_>, selector: String, actor: Actor) -> Draft {
    let mut draft = Draft::default();
    let host = run.host("prod");
    let duty = draft.duty(run, "read", &[&format!("GET {host}/v1/**")]);
    let holder = Holder {
        owner: "drill-service",
        duties: &[&duty],
        environments: &["prod"],
        workloads: &[selector],
        ..Holder::default()
    };
    let token = draft.key(run, "service", &holder);
    draft.ask_as(actor, bearer("GET", &host, "/v1/items/17", &token));
    draft
}

fn process(run: &Run<'_>) -> Draft {
    let program = run.either("thief", "agent");
    bound(run, run.program("agent"), Actor::of(program))
}

fn user(run: &Run<'_>) -> Draft {
    let actor = Actor {
        user: run.either(Some(NOBODY), None),
        ..Actor::default()
    };
    bound(run, "user:root".to_owned(), actor)
}

fn container(run: &Run<'_>) -> Draft {
    let own = run.container("own");
    let actor = Actor {
        container: Some(run.either(run.container("other"), own.clone())),
        contained: true,
        ..Actor::default()
    };
    bound(run, format!("container:{own}"), actor)
}

fn two_workloads(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let host = run.host("prod");
    let duty = draft.duty(run, "read", &[&format!("GET {host}/v1/**")]);
    let holder = Holder {
        owner: "drill-service",
        duties: &[&duty],
        environments: &["prod"],
        ..Holder::default()
    };
    let token = draft.key(run, "service", &holder);
    let service = run.apart("own");
    // Elsewhere by any measure: another program, user and container.
    let thief = Actor {
        user: Some(NOBODY),
        container: Some(run.container("other")),
        ..Actor::of("thief")
    };
    // Both are live only when the first goes on after the second began; else it may have moved.
    for actor in [service.clone(), run.either(thief, service.clone()), service] {
        draft.ask_as(actor, bearer("GET", &host, "/v1/items/17", &token));
    }
    draft
}
