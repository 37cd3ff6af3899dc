//! The order of arrival says nothing, as long as nobody is later than a minute.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;

const USERS: [&str; 5] = ["alice-deploy", "alice-approve", "bob", "carol", "dan"];
const WHAT: [&str; 8] = [
    DEPLOY,
    APPROVE,
    "POST ci.example/deployments/18",
    "POST ci.example/deployments/18/approve",
    "GET pay.example/x",
    "POST pay.example/x",
    PAY,
    SIGN,
];
const UNITS: [&str; 3] = ["a.service", "b.service", "c.service"];

#[derive(Clone, Debug)]
struct Event {
    time: i64,
    user: usize,
    what: usize,
    unit: usize,
    refused: bool,
    /// Milliseconds.
    late: i64,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (
        0_i64..400,
        0..USERS.len(),
        0..WHAT.len(),
        0..UNITS.len(),
        0..8,
        0_i64..59_999,
    )
        .prop_map(|(time, user, what, unit, refused, late)| Event {
            time,
            user,
            what,
            unit,
            refused: refused == 0,
            late,
        });
    prop::collection::vec(event, 1..40)
}

/// What is found, and in whose place: credentials in two places are found at once, and which of them came
/// second is known only from what has arrived.
fn found(events: &[Event], late: bool) -> BTreeSet<(FindingKind, i64, String, String)> {
    let mut judge = judge();
    let mut arrivals: Vec<(i64, &Event)> = events
        .iter()
        .map(|event| (event.time * 1000 + if late { event.late } else { 0 }, event))
        .collect();
    arrivals.sort_by_key(|(arrival, event)| (*arrival, event.time));
    let mut out = Vec::new();
    for (arrival, event) in arrivals {
        let mut access = at(
            act(event.time, USERS[event.user], WHAT[event.what]),
            unit(UNITS[event.unit]),
        );
        if event.refused {
            access.status = Some(403);
        }
        out.extend(arrive(&mut judge, arrival / 1000, access));
    }
    out.extend(wait(&mut judge, 1000));
    out.into_iter()
        .map(|told| match told.kind {
            FindingKind::CredentialShared => (told.kind, 0, told.user, told.clause),
            kind => (kind, told.at, told.user, told.clause),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn says_nothing(events in events()) {
        prop_assert_eq!(found(&events, false), found(&events, true));
    }
}

#[test]
fn the_property_has_something_to_find() {
    let mut seen = BTreeSet::new();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..200 {
        let events = events().new_tree(&mut runner).unwrap().current();
        seen.extend(found(&events, true).into_iter().map(|(kind, ..)| kind));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), OWN);
}
