//! What no clause of a policy forbids, and yet is not usual.

use std::time::Duration;

use super::Row;
use crate::drill::technique::{Act, Actor, Draft, Holder, Piece, Run, bearer};

pub(super) const ROWS: &[Row] = &[
    (
        "slow-enumeration",
        "one object after the other, without haste",
        &["T1087", "T1530"],
        "API1",
        "unusual",
        enumeration,
    ),
    (
        "burst",
        "far more requests than this credential ever made",
        &["T1119", "T1530"],
        "API4",
        "unusual",
        burst,
    ),
];

/// A reader that first does what it usually does, then something else, then one more request.
fn habit(run: &Run<'_>, then: u32, pause: Duration) -> Draft {
    /// Requests that make a habit, over few objects.
    const USUAL: u32 = 60;
    let mut draft = Draft::default();
    let host = run.host("prod");
    let duty = draft.duty(run, "read", &[&format!("GET {host}/v1/items/{{id}}")]);
    let holder = Holder {
        owner: "drill-service",
        duties: &[&duty],
        environments: &["prod"],
        ..Holder::default()
    };
    let token = draft.key(run, "service", &holder);
    let piece = |object: u32, pause| Piece {
        pause,
        ..Piece::new(bearer("GET", &host, &format!("/v1/items/{object}"), &token))
    };
    let mut pieces: Vec<Piece> = (0..USUAL)
        .map(|number| piece(number % 3, Duration::from_millis(10)))
        .collect();
    let usual = run.twin;
    pieces.extend((0..then).map(|number| {
        let (object, pause) = if usual {
            (number % 3, Duration::from_millis(10))
        } else {
            (1000 + number, pause)
        };
        piece(object, pause)
    }));
    draft.acts.push(Act::talk(Actor::default(), pieces));
    draft
}

fn enumeration(run: &Run<'_>) -> Draft {
    habit(run, run.either(300, 60), Duration::from_millis(20))
}

fn burst(run: &Run<'_>) -> Draft {
    habit(run, run.either(2000, 60), Duration::ZERO)
}
