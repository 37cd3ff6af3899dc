//! Tokens and proofs that are not what they should be.

use serde_json::json;

use super::Row;
use crate::drill::mint::{self, Signer};
use crate::drill::technique::{Actor, Draft, Holder, Run, bearer, request};

pub(super) const ROWS: &[Row] = &[
    (
        "proof-replayed",
        "a DPoP proof used a second time, by another program",
        &["T1550.001"],
        "API2",
        "proof-replayed",
        replayed,
    ),
    (
        "bound-token-as-bearer",
        "a token bound to a key, sent as a bearer token",
        &["T1528", "T1550.001"],
        "API2",
        "bound-token-as-bearer",
        as_bearer,
    ),
    (
        "proof-for-another-request",
        "a DPoP proof that was made for another request",
        &["T1550.001"],
        "API2",
        "proof-mismatch",
        another_request,
    ),
    (
        "expired-token-accepted",
        "the server accepts a token that expired an hour ago",
        &["T1550.001"],
        "API2",
        "expired-token",
        expired,
    ),
];

/// An identity that is known by its tokens' claims; host and subject.
fn subject(draft: &mut Draft, run: &Run<'_>) -> (String, String) {
    let host = run.host("prod");
    let duty = draft.duty(run, "read", &[&format!("GET {host}/v1/**")]);
    let holder = Holder {
        owner: "drill-service",
        duties: &[&duty],
        environments: &["prod"],
        ..Holder::default()
    };
    let subject = draft.subject(run, "client", &holder);
    (host, subject)
}

/// A bound token's request: with a proof for a path, or none.
fn bound(host: &str, path: &str, token: &str, proof: &str) -> String {
    let authorization = format!("DPoP {token}");
    request(
        "GET",
        host,
        path,
        &[("Authorization", &authorization), ("DPoP", proof)],
    )
}

/// Key, token bound to it, and the time.
fn key(run: &Run<'_>, subject: &str) -> Option<(Signer, String)> {
    let signer = Signer::new().ok()?;
    let expires = run.places.now.saturating_add(3600);
    let token = mint::jwt(
        subject,
        &json!({ "exp": expires, "cnf": { "jkt": signer.thumbprint() } }),
    );
    Some((signer, token))
}

fn replayed(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let (host, subject) = subject(&mut draft, run);
    let now = run.places.now;
    let requests = key(run, &subject).and_then(|(signer, token)| {
        let proof = |path: &str| {
            let url = format!("https://{host}{path}");
            signer.proof("GET", &url, &token, now).ok()
        };
        let first = proof("/v1/items/17")?;
        let second = run.either(first.clone(), proof("/v1/items/17")?);
        Some([first, second].map(|proof| bound(&host, "/v1/items/17", &token, &proof)))
    });
    // Without randomness nothing can be signed: then there is nothing to do, and the runner says so.
    let programs = ["agent", run.either("thief", "agent")];
    for (program, request) in programs.into_iter().zip(requests.into_iter().flatten()) {
        draft.ask_as(Actor::of(program), request);
    }
    draft
}

fn as_bearer(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let (host, subject) = subject(&mut draft, run);
    let path = "/v1/items/17";
    if let Some((signer, token)) = key(run, &subject)
        && let Ok(proof) = signer.proof(
            "GET",
            &format!("https://{host}{path}"),
            &token,
            run.places.now,
        )
    {
        draft.ask(if run.twin {
            bound(&host, path, &token, &proof)
        } else {
            bearer("GET", &host, path, &token)
        });
    }
    draft
}

fn another_request(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let (host, subject) = subject(&mut draft, run);
    let path = run.either("/v1/items/18", "/v1/items/17");
    if let Some((signer, token)) = key(run, &subject)
        && let Ok(proof) = signer.proof(
            "GET",
            &format!("https://{host}/v1/items/17"),
            &token,
            run.places.now,
        )
    {
        draft.ask(bound(&host, path, &token, &proof));
    }
    draft
}

fn expired(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let (host, subject) = subject(&mut draft, run);
    let expires = run.places.now.saturating_add(run.either(-3600, 3600));
    let token = mint::jwt(&subject, &json!({ "exp": expires }));
    draft.ask(bearer("GET", &host, "/v1/items/17", &token));
    draft
}
