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

/// Requests that make a habit, over few objects: as many windows of a second as the drill's daemon compares with.
const HABIT: u32 = 45 * PER_SECOND;
/// Of these a second.
const PER_SECOND: u32 = 3;
/// Requests of a twin after its habit: more of the same.
const MORE: u32 = 4 * PER_SECOND;

/// A reader that first does what it usually does, then something else.
fn habit(run: &Run<'_>, then: u32, pause: Duration) -> Draft {
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
    let usually = Duration::from_secs(1) / PER_SECOND;
    let more = if run.twin { MORE } else { 0 };
    let mut pieces: Vec<Piece> = (0..HABIT + more)
        .map(|number| piece(number % 3, usually))
        .collect();
    if !run.twin {
        pieces.extend((0..then).map(|number| piece(1000 + number, pause)));
    }
    draft.habit = HABIT as usize;
    draft.acts.push(Act::talk(Actor::default(), pieces));
    draft
}

fn enumeration(run: &Run<'_>) -> Draft {
    habit(run, 300, Duration::from_millis(20))
}

fn burst(run: &Run<'_>) -> Draft {
    habit(run, 2000, Duration::ZERO)
}
