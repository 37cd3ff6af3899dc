//! Credentials where they should not be.

use std::time::Duration;

use super::Row;
use crate::drill::mint;
use crate::drill::technique::{Act, Actor, Draft, Holder, Piece, Run, To, bearer, request};

pub(super) const ROWS: &[Row] = &[
    (
        "canary-touched",
        "a credential that was laid out to be found is used",
        &["T1552", "T1078"],
        "API2",
        "canary",
        canary,
    ),
    (
        "key-in-url",
        "a key in the query of a URL",
        &["T1552"],
        "API2",
        "credential-in-url",
        in_url,
    ),
    (
        "key-in-clear-text",
        "a key in clear text to another host",
        &["T1040", "T1552"],
        "API8",
        "cleartext",
        clear_text,
    ),
];

pub(super) const AT_REST: &[Row] = &[
    (
        "key-in-working-directory",
        "a key of prod in a file beside the program that uses it",
        &["T1552.001"],
        "API8",
        "stored-credential",
        in_directory,
    ),
    (
        "key-in-environment",
        "a key of prod in the environment of the program that uses it",
        &["T1552.001", "T1552.007"],
        "API8",
        "stored-credential",
        in_environment,
    ),
];

/// An identity of prod that reads; its token.
fn reader(draft: &mut Draft, run: &Run<'_>, suffix: &str) -> String {
    let duty = draft.duty(run, "read", &[&format!("GET {}/v1/**", run.host("prod"))]);
    let holder = Holder {
        owner: "drill-service",
        duties: &[&duty],
        environments: &["prod"],
        ..Holder::default()
    };
    draft.key(run, suffix, &holder)
}

fn canary(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let good = reader(&mut draft, run, "service");
    let holder = Holder {
        owner: "drill-security",
        ..Holder::default()
    };
    let trap = draft.key(run, "trap", &holder);
    let token = run.either(trap, good);
    draft.ask(bearer("GET", &run.host("prod"), "/v1/items/17", &token));
    draft
}

fn in_url(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let token = reader(&mut draft, run, "service");
    let host = run.host("prod");
    draft.ask(if run.twin {
        bearer("GET", &host, "/v1/items/17", &token)
    } else {
        request("GET", &host, &format!("/v1/items/17?api_key={token}"), &[])
    });
    draft
}

fn clear_text(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let token = reader(&mut draft, run, "service");
    let message = bearer("GET", &run.host("prod"), "/v1/items/17", &token);
    draft.acts.push(Act::Talk {
        actor: Actor::default(),
        to: run.either(To::Far, To::Server),
        pieces: vec![Piece::new(message)],
    });
    draft
}

/// How long a process stays that can be looked at.
const STAY: Duration = Duration::from_secs(3);

fn at_rest(run: &Run<'_>, actor: impl FnOnce(String) -> Actor) -> Draft {
    let mut draft = Draft::default();
    let token = reader(&mut draft, run, "service");
    // The twin has a secret there too, but not one that is used.
    let found = run.either(token.clone(), mint::token());
    let actor = Actor {
        linger: STAY,
        ..actor(found)
    };
    draft.ask_as(
        actor,
        bearer("GET", &run.host("prod"), "/v1/items/17", &token),
    );
    draft
}

fn in_directory(run: &Run<'_>) -> Draft {
    at_rest(run, |token| Actor {
        dotenv: Some(format!("API_TOKEN={token}\n")),
        ..Actor::default()
    })
}

fn in_environment(run: &Run<'_>) -> Draft {
    at_rest(run, |token| Actor {
        env: vec![("API_TOKEN".to_owned(), token)],
        // A workload is looked through once in each directory.
        dotenv: Some("LOG_LEVEL=info\n".to_owned()),
        ..Actor::default()
    })
}
