#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;
use ratatui_core::backend::TestBackend;
use ratatui_core::style::{Color, Modifier};
use ratatui_core::terminal::Terminal;
use ratatui_crossterm::crossterm::event::KeyCode;

use super::*;
use crate::top::state::{Event, Pane};
use crate::top::testing::{NOW, access, alert, example, filled, press, types, well};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

fn drawn(state: &State, color: bool) -> Terminal<TestBackend> {
    let (columns, rows) = state.size;
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw(state, color, frame)).unwrap();
    terminal
}

/// The frame as text, without what is blank at the ends of lines.
fn frame(state: &State) -> String {
    let terminal = drawn(state, false);
    let buffer = terminal.backend().buffer();
    let rows = buffer
        .content()
        .chunks(usize::from(buffer.area.width).max(1));
    let lines: Vec<String> = rows
        .map(|row| {
            row.iter()
                .map(|cell| cell.symbol())
                .collect::<String>()
                .trim_end()
                .to_owned()
        })
        .collect();
    lines.join("\n")
}

/// Every size, and every pane in it.
fn panes(name: &str, state: &State) {
    for (columns, rows) in SIZES {
        let mut all = String::new();
        let mut state = state.clone();
        state.apply(Event::Size(columns, rows));
        for (at, pane) in Pane::ALL.into_iter().enumerate() {
            types(&mut state, &(at + 1).to_string());
            all.push_str(&format!(
                "═══ {} {columns}×{rows}\n{}\n",
                pane.name(),
                frame(&state)
            ));
        }
        insta::assert_snapshot!(format!("{name}_{columns}x{rows}"), all);
    }
}

/// Every size, of what the keys lead to.
fn sizes(name: &str, keys: impl Fn(&mut State)) {
    for (columns, rows) in SIZES {
        let mut state = filled();
        state.apply(Event::Size(columns, rows));
        keys(&mut state);
        insta::assert_snapshot!(format!("{name}_{columns}x{rows}"), frame(&state));
    }
}

#[test]
fn everything_is_well() {
    panes("filled", &filled());
}

#[test]
fn nothing_was_seen_yet() {
    let mut state = well();
    state.apply(Event::Identities(Vec::new()));
    state.apply(Event::Coverage(Vec::new(), Vec::new()));
    panes("empty", &state);
}

#[test]
fn nothing_was_heard_yet() {
    panes("connecting", &State::default());
}

#[test]
fn the_daemon_is_gone() {
    let mut state = filled();
    state.apply(Event::Gone(
        "no daemon listens at /run/bailiwick/control.sock".to_owned(),
    ));
    state.apply(Event::Tick(NOW + 12_000_000));
    panes("disconnected", &state);
}

#[test]
fn something_is_wrong() {
    let mut state = filled();
    let mut status: crate::serve::records::StatusRecord = example("status");
    status.hooks[1].attached = false;
    status.hooks[1].detail = Some("no such tracepoint".to_owned());
    status.queues[0].dropped = 2;
    status.policy.error = Some("policy.toml:3:1: unknown key".to_owned());
    status.alerts.error = Some("disk full".to_owned());
    status.audit.error = Some("read-only file system".to_owned());
    state.apply(Event::Status(Box::new(status)));
    state.apply(Event::Missed(40));
    panes("degraded", &state);
}

#[test]
fn keys_lead_somewhere() {
    sizes("help", |state| types(state, "?"));
    sizes("alert", |state| {
        types(state, "2");
        press(state, KeyCode::Enter);
    });
    sizes("story", |state| {
        types(state, "2");
        press(state, KeyCode::Enter);
        let id = state.alerts.selected().unwrap().id.clone();
        state.apply(Event::Story(id, Ok(Box::new(example("story")))));
    });
    sizes("access", |state| {
        types(state, "3jj");
        press(state, KeyCode::Enter);
    });
    sizes("identity", |state| {
        types(state, "4");
        press(state, KeyCode::Enter);
    });
    sizes("filtered", |state| {
        types(state, "3/status >= 500 and has(findings)");
        press(state, KeyCode::Enter);
    });
    sizes("filter_error", |state| {
        types(state, "2/severity >= \"high\" and kidn == \"duty\"");
        press(state, KeyCode::Enter);
    });
    sizes("paused", |state| {
        types(state, "3jj ");
        state.apply(Event::Access(Box::new(access(90))));
    });
    sizes("new_ones", |state| {
        types(state, "3jj");
        state.apply(Event::Access(Box::new(access(90))));
    });
    sizes("note", |state| types(state, "2aseen, ticket T-17"));
    sizes("to_the_side", |state| {
        types(state, "3");
        press(state, KeyCode::Right);
    });
}

/// What was lost is red, with colour, and has its sign without.
#[test]
fn losses_are_red() {
    let mut state = filled();
    state.apply(Event::Status(Box::new(example("status"))));
    for color in [true, false] {
        let terminal = drawn(&state, color);
        let buffer = terminal.backend().buffer();
        let line: String = (0..40).map(|x| buffer[(x, 1)].symbol()).collect();
        assert!(line.starts_with("✗ lost: ring-full 3 records"), "{line}");
        let (red, bold) = (
            buffer[(2, 1)].fg == Color::Red,
            buffer[(2, 1)].modifier.contains(Modifier::BOLD),
        );
        assert_eq!((red, bold), (color, true));
    }
}

/// Without colour no cell has any, in any state.
#[test]
fn no_colour_means_none() {
    let mut state = filled();
    for keys in ["1", "2", "3", "4", "5", "?"] {
        types(&mut state, keys);
        let terminal = drawn(&state, false);
        for cell in terminal.backend().buffer().content() {
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
        }
    }
}

/// What others wrote shows as escapes: nothing reaches the terminal that could disturb it.
#[test]
fn hostile_text_is_shown_harmless() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}gpj.exe\n\r\u{9b}31m\u{200b}e\u{301}<b>";
    let mut state = filled();
    let mut record = access(91);
    record.identity = Some(evil.to_owned());
    record.request.host = evil.repeat(2000);
    record.request.method = evil.to_owned();
    record.client.as_mut().unwrap().unit = Some(evil.to_owned());
    record.findings = vec![evil.to_owned()];
    state.apply(Event::Access(Box::new(record)));
    let mut one = alert(evil, "critical");
    one.title = evil.to_owned();
    one.identity = Some(evil.to_owned());
    one.evidence.clear();
    state.apply(Event::Alert(Box::new(one)));
    state.apply(Event::Story(evil.to_owned(), Err(evil.to_owned())));
    let mut identities: Vec<_> = state.identities.iter().cloned().collect();
    identities[0].identity = evil.to_owned();
    identities[0].hosts.items = vec![evil.to_owned()];
    state.apply(Event::Identities(identities));
    let mut status = state.status.clone().unwrap();
    status.policy.error = Some(evil.to_owned());
    status.environment = Some(evil.to_owned());
    status.webhooks[0].name = evil.to_owned();
    status.webhooks[0].state = evil.to_owned();
    state.apply(Event::Status(Box::new(status)));
    for keys in ["1", "2", "3", "4", "5"] {
        types(&mut state, keys);
        harmless(&state);
        press(&mut state, KeyCode::Enter);
        if let Some(crate::top::state::Detail::Alert(alert, _)) = &state.detail {
            let id = alert.id.clone();
            state.apply(Event::Story(id, Err(evil.to_owned())));
        }
        harmless(&state);
        press(&mut state, KeyCode::Esc);
    }
    state.apply(Event::Marked(Err(evil.to_owned())));
    harmless(&state);
    state.apply(Event::Gone(evil.to_owned()));
    harmless(&state);
}

fn harmless(state: &State) {
    for line in frame(state).lines() {
        assert!(line.chars().all(quote::is_plain), "{line:?}");
    }
}

fn keys() -> impl Strategy<Value = Vec<KeyCode>> {
    let key = prop_oneof![
        5 => proptest::sample::select("12345jkhlgGfam/?u \"x=>".chars().collect::<Vec<_>>()).prop_map(KeyCode::Char),
        2 => proptest::sample::select(vec![
            KeyCode::Enter, KeyCode::Esc, KeyCode::Tab, KeyCode::BackTab, KeyCode::PageUp, KeyCode::PageDown,
            KeyCode::Home, KeyCode::End, KeyCode::Left, KeyCode::Right, KeyCode::Backspace, KeyCode::Delete,
        ]),
        1 => any::<char>().prop_map(KeyCode::Char),
    ];
    proptest::collection::vec(key, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Any keys in any size, down to nothing.
    #[test]
    fn any_keys_in_any_size_are_survived(keys in keys(), columns in 0_u16..130, rows in 0_u16..50) {
        let mut state = filled();
        state.apply(Event::Size(columns, rows));
        for key in keys {
            press(&mut state, key);
        }
        let shown = frame(&state);
        prop_assert!(shown.lines().all(|line| line.chars().all(quote::is_plain)));
    }
}
