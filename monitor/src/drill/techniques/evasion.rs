//! Requests made so that a monitor misses them.

use super::Row;
use crate::drill::technique::{Act, Actor, Draft, Holder, Piece, Run, bearer};

pub(super) const ROWS: &[Row] = &[
    (
        "split-head",
        "a request's head sent byte by byte",
        &["T1562", "T1550.001"],
        "API9",
        "environment",
        split_head,
    ),
    (
        "pipelined-request",
        "a bad request behind a good one, sent together",
        &["T1562", "T1550.001"],
        "API9",
        "environment",
        pipelined,
    ),
];

pub(super) const LOUD: &[Row] = &[(
    "flood-to-blind",
    "a canary is used while another process sends as much as it can",
    &["T1562", "T1552"],
    "API4",
    "canary",
    flood,
)];

/// A key of dev that may read in both environments' hosts.
fn key_of_dev(draft: &mut Draft, run: &Run<'_>) -> String {
    let operations = ["prod", "dev"].map(|name| format!("GET {}/v1/**", run.host(name)));
    let operations: Vec<&str> = operations.iter().map(String::as_str).collect();
    let duty = draft.duty(run, "read", &operations);
    let holder = Holder {
        owner: "drill-team",
        duties: &[&duty],
        environments: &["dev"],
        ..Holder::default()
    };
    draft.key(run, "key", &holder)
}

fn split_head(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let token = key_of_dev(&mut draft, run);
    let host = run.host(run.either("prod", "dev"));
    let piece = Piece {
        bytewise: true,
        ..Piece::new(bearer("GET", &host, "/v1/items/17", &token))
    };
    draft.acts.push(Act::talk(Actor::default(), vec![piece]));
    draft
}

fn pipelined(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let token = key_of_dev(&mut draft, run);
    let good = bearer("GET", &run.host("dev"), "/v1/items/17", &token);
    let second = bearer(
        "GET",
        &run.host(run.either("prod", "dev")),
        "/v1/items/18",
        &token,
    );
    let piece = Piece {
        answers: 2,
        ..Piece::new(good + &second)
    };
    draft.acts.push(Act::talk(Actor::default(), vec![piece]));
    draft
}

fn flood(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let host = run.host("prod");
    let duty = draft.duty(run, "read", &[&format!("GET {host}/v1/**")]);
    let reader = Holder {
        owner: "drill-service",
        duties: &[&duty],
        environments: &["prod"],
        ..Holder::default()
    };
    let noise = draft.key(run, "noise", &reader);
    let good = draft.key(run, "service", &reader);
    let trap = Holder {
        owner: "drill-security",
        ..Holder::default()
    };
    let bad = draft.key(run, "trap", &trap);
    draft.acts.push(Act::Flood {
        token: noise,
        host: host.clone(),
    });
    draft.ask(bearer("GET", &host, "/v1/items/17", &run.either(bad, good)));
    draft
}
