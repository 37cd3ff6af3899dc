//! A picture to look at: records as docs/json.md shows them, and keys.

use ratatui_crossterm::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::state::{Effect, Event, State};
use crate::access::record::AccessRecord;
use crate::alert::Alert;

/// 2026-11-23T19:00:00Z.
pub(super) const NOW: i64 = 1_795_460_400_000_000;

/// The first example of a sort of records in docs/json.md.
pub(super) fn example<T: DeserializeOwned>(kind: &str) -> T {
    let page = include_str!("../../../docs/json.md");
    let json = page
        .split("```json\n")
        .skip(1)
        .filter_map(|rest| serde_json::from_str::<Json>(rest.split("```").next()?).ok())
        .find(|json| json["type"] == kind)
        .unwrap();
    serde_json::from_value(json).unwrap()
}

/// The `n`th access, one a second.
pub(super) fn access(n: u32) -> AccessRecord {
    let mut access: AccessRecord = example("access");
    access.time = format!("2026-11-23T18:{:02}:{:02}.000000Z", 30 + n / 60, n % 60);
    access.request.path = format!("/v1/x/{n}");
    if !n.is_multiple_of(5) {
        access.findings.clear();
    }
    if n.is_multiple_of(7) {
        access.identity = None;
        access.credential = None;
        access.response = None;
        access.duration_us = None;
    }
    if let Some(response) = &mut access.response {
        response.status = [200, 201, 404, 503][n as usize % 4];
    }
    access
}

/// An alert of this id.
pub(super) fn alert(id: &str, severity: &str) -> Alert {
    let mut alert: Alert = example("alert");
    id.clone_into(&mut alert.id);
    alert.severity = serde_json::from_value(severity.into()).unwrap();
    alert
}

/// A picture of a daemon that is well: the status of docs/json.md without what is bad in it.
pub(super) fn well() -> State {
    let mut state = State::default();
    state.apply(Event::Tick(NOW));
    state.apply(Event::Connected);
    let mut status: crate::serve::records::StatusRecord = example("status");
    status.losses.clear();
    status.webhooks[0].state = "ok".to_owned();
    status.webhooks[0].error = None;
    status.webhooks[0].waiting = 0;
    status.webhooks[0].oldest_s = None;
    for rate in 0..40 {
        status.accesses.per_second = f64::from((rate * 7) % 23);
        state.apply(Event::Status(Box::new(status.clone())));
    }
    state
}

/// The same with records.
pub(super) fn filled() -> State {
    let mut state = well();
    for n in 0..90 {
        state.apply(Event::Access(Box::new(access(n))));
    }
    for (n, severity) in ["low", "medium", "high", "critical"].iter().enumerate() {
        let mut alert = alert(&format!("01JDD9Z6V8Q4M2N7R5T3W1X0Y{n}"), severity);
        alert.last_seen = format!("2026-11-23T18:5{n}:02.000001Z");
        state.apply(Event::Alert(Box::new(alert)));
    }
    let identities = [
        "ci-bot",
        "pay-writer",
        "bw1:5f0c1d2e3b4a59687786a5b4c3d2e1f0",
    ];
    let identities = identities.iter().enumerate().map(|(n, name)| {
        let mut record: crate::census::IdentityRecord = example("identity");
        (*name).clone_into(&mut record.identity);
        record.last_seen = Some(format!("2026-11-23T18:4{n}:00.000000Z"));
        record
    });
    state.apply(Event::Identities(identities.collect()));
    state.apply(Event::Coverage(
        vec![example("coverage")],
        vec![example("probed")],
    ));
    state
}

/// Presses a key.
pub(super) fn press(state: &mut State, code: KeyCode) -> Option<Effect> {
    state.key(KeyEvent::new(code, KeyModifiers::NONE))
}

/// Types characters.
pub(super) fn types(state: &mut State, text: &str) {
    for c in text.chars() {
        assert_eq!(press(state, KeyCode::Char(c)), None, "{c}");
    }
}
