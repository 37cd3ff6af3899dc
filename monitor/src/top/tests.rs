#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use ratatui_crossterm::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::state::{Detail, Effect, Event, Link, MOST_ACCESSES, Pane, State};
use super::testing::{NOW, access, alert, example, filled, press, types, well};
use super::{list::List, terminal};
use crate::access::record::AccessRecord;
use crate::alert::Acknowledged;
use crate::filter::Subject;

fn paths(state: &State) -> Vec<String> {
    let shown = state.accesses.shown();
    shown
        .map(|entry| entry.record.request.path.clone())
        .collect()
}

fn selected(state: &State) -> String {
    state.accesses.selected().unwrap().request.path.clone()
}

#[test]
fn the_newest_is_followed_until_one_is_selected() {
    let mut state = filled();
    types(&mut state, "3");
    assert_eq!(
        (selected(&state).as_str(), state.accesses.fresh()),
        ("/v1/x/89", 0)
    );
    types(&mut state, "jj");
    assert_eq!(selected(&state), "/v1/x/87");
    let row = state.accesses.page(10).1;
    assert_eq!(row, 2);
    for n in 90..100 {
        state.apply(Event::Access(Box::new(access(n))));
    }
    // It stays where it is, on the screen, too.
    assert_eq!(
        (selected(&state).as_str(), state.accesses.fresh()),
        ("/v1/x/87", 10)
    );
    let (page, row) = state.accesses.page(10);
    assert_eq!((page[row].request.path.as_str(), row), ("/v1/x/87", 2));
    types(&mut state, "f");
    assert_eq!(
        (selected(&state).as_str(), state.accesses.fresh()),
        ("/v1/x/99", 0)
    );
    // And stays again.
    types(&mut state, "f");
    state.apply(Event::Access(Box::new(access(100))));
    assert_eq!(
        (selected(&state).as_str(), state.accesses.fresh()),
        ("/v1/x/99", 1)
    );
    types(&mut state, "G");
    assert_eq!(selected(&state), "/v1/x/0");
    types(&mut state, "g");
    assert_eq!(selected(&state), "/v1/x/100");
}

#[test]
fn pages_show_the_selection_whatever_the_height() {
    let mut state = filled();
    types(&mut state, "3");
    for (key, by) in [
        (KeyCode::PageDown, 18),
        (KeyCode::Down, 1),
        (KeyCode::PageUp, -18),
        (KeyCode::End, 1000),
    ] {
        press(&mut state, key);
        for height in [0, 1, 2, 7, 200] {
            let (page, row) = state.accesses.page(height);
            assert!(page.len() <= height);
            if height > 0 {
                assert_eq!(page[row].request.path, selected(&state), "{by} {height}");
            }
        }
    }
}

#[test]
fn memory_is_bounded() {
    let mut list: List<AccessRecord> = List::new(Subject::Access, 10);
    for n in 0..25 {
        list.push(access(n));
    }
    assert_eq!(list.len(), 10);
    let mut state = well();
    types(&mut state, " ");
    for n in 0..MOST_ACCESSES + 5 {
        state.apply(Event::Access(Box::new(access(
            u32::try_from(n % 1000).unwrap(),
        ))));
    }
    let paused = state.paused.as_ref().unwrap();
    assert_eq!((paused.came, paused.dropped), (MOST_ACCESSES as u64 + 5, 5));
    types(&mut state, " ");
    // What had no room is told of.
    assert_eq!((state.accesses.len(), state.missed), (MOST_ACCESSES, 5));
}

#[test]
fn a_pause_holds_the_picture_and_loses_nothing() {
    let mut state = filled();
    let before = paths(&state);
    types(&mut state, " ");
    state.apply(Event::Access(Box::new(access(90))));
    let mut changed = alert("01JDD9Z6V8Q4M2N7R5T3W1X0Y0", "low");
    changed.count = 4;
    state.apply(Event::Alert(Box::new(changed.clone())));
    changed.count = 5;
    state.apply(Event::Alert(Box::new(changed)));
    assert_eq!(paths(&state), before);
    assert_eq!(
        state.alerts.iter().filter(|alert| alert.count > 3).count(),
        0
    );
    types(&mut state, " ");
    assert_eq!(paths(&state).len(), before.len() + 1);
    let first = state.alerts.iter().next().unwrap();
    assert_eq!((first.count, state.alerts.len()), (5, 4));
}

#[test]
fn a_filter_is_typed() {
    let mut state = filled();
    types(&mut state, "3/");
    types(&mut state, "\"environment\" in findings and status >= 400");
    press(&mut state, KeyCode::Enter);
    assert!(state.prompt.is_none());
    let shown = paths(&state);
    assert!(!shown.is_empty() && shown.len() < 90);
    // The other lists are as they were; this one's filter is there to be changed.
    assert_eq!(state.alerts.shown().count(), 4);
    types(&mut state, "/");
    for _ in 0.."and status >= 400".len() {
        press(&mut state, KeyCode::Backspace);
    }
    press(&mut state, KeyCode::Enter);
    assert_eq!(paths(&state).len(), 18);
    // A wrong one is not taken, and can be mended or left.
    types(&mut state, "/ and stauts == 1");
    press(&mut state, KeyCode::Enter);
    let wrong = state.prompt.as_ref().unwrap().wrong.clone();
    assert_eq!(wrong.len(), 3);
    assert_eq!(wrong[1].trim(), "^^^^^^");
    assert_eq!(wrong[2], "unknown field `stauts`; did you mean `status`?");
    assert_eq!(wrong[0].find("stauts"), wrong[1].find('^'));
    press(&mut state, KeyCode::Esc);
    assert_eq!(paths(&state).len(), 18);
    types(&mut state, "/");
    state.key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL));
    press(&mut state, KeyCode::Enter);
    assert_eq!(paths(&state).len(), 90);
    // A field of another sort.
    types(&mut state, "/count > 1");
    press(&mut state, KeyCode::Enter);
    assert!(state.prompt.as_ref().unwrap().wrong[2].contains("a field of alerts, not of accesses"));
}

#[test]
fn a_line_is_edited() {
    let mut state = filled();
    types(&mut state, "2/aéc");
    let edit = |state: &mut State, code| {
        press(state, code);
        let prompt = state.prompt.as_ref().unwrap();
        (prompt.text.clone(), prompt.cursor)
    };
    assert_eq!(edit(&mut state, KeyCode::Left), ("aéc".to_owned(), 2));
    assert_eq!(edit(&mut state, KeyCode::Backspace), ("ac".to_owned(), 1));
    assert_eq!(edit(&mut state, KeyCode::Char('b')), ("abc".to_owned(), 2));
    assert_eq!(edit(&mut state, KeyCode::Home), ("abc".to_owned(), 0));
    assert_eq!(edit(&mut state, KeyCode::Backspace), ("abc".to_owned(), 0));
    assert_eq!(edit(&mut state, KeyCode::Delete), ("bc".to_owned(), 0));
    assert_eq!(edit(&mut state, KeyCode::End), ("bc".to_owned(), 2));
    assert_eq!(edit(&mut state, KeyCode::Right), ("bc".to_owned(), 2));
    assert_eq!(
        edit(&mut state, KeyCode::Char('\u{7}')),
        ("bc".to_owned(), 2)
    );
    // Keys are letters while a line is typed.
    assert_eq!(edit(&mut state, KeyCode::Char('q')), ("bcq".to_owned(), 3));
    // Esc and a digit, typed so fast that they come as one.
    state.key(KeyEvent::new(KeyCode::Char('1'), KeyModifiers::ALT));
    assert!(state.prompt.is_none() && state.pane == Pane::Overview);
}

#[test]
fn an_alert_is_acknowledged_and_muted() {
    let mut state = filled();
    // No alert is in view.
    types(&mut state, "3a");
    assert!(state.prompt.is_none() && state.remark().unwrap().1);
    types(&mut state, "2jaT-17");
    let id = state.alerts.selected().unwrap().id.clone();
    let effect = press(&mut state, KeyCode::Enter);
    let note = Some("T-17".to_owned());
    assert_eq!(
        effect,
        Some(Effect::Acknowledge {
            id: id.clone(),
            note
        })
    );
    types(&mut state, "m");
    let effect = press(&mut state, KeyCode::Enter);
    let until = "2026-11-23T21:00:00Z".to_owned();
    assert_eq!(
        effect,
        Some(Effect::Mute {
            id: id.clone(),
            until
        })
    );
    types(&mut state, "mx");
    assert_eq!(press(&mut state, KeyCode::Enter), None);
    assert!(state.prompt.as_ref().unwrap().wrong[0].contains("neither a duration"));
    press(&mut state, KeyCode::Esc);
    let effect = press(&mut state, KeyCode::Char('u'));
    assert_eq!(effect, Some(Effect::Unmark(id.clone())));
    // What became of it stands where the alert stood.
    let mut known = state.alerts.selected().unwrap().clone();
    known.acknowledged = Some(Acknowledged {
        at: "2026-11-23T19:00:00.000000Z".to_owned(),
        by: "ann".to_owned(),
        note: None,
    });
    state.apply(Event::Marked(Ok(Box::new(known))));
    assert!(state.alerts.selected().unwrap().acknowledged.is_some());
    assert!(state.remark().unwrap().0.contains("known to ann"));
    state.apply(Event::Marked(Err("there is no such alert".to_owned())));
    assert_eq!(state.remark(), Some(("there is no such alert", true)));
    // It does not stand for ever.
    state.apply(Event::Tick(NOW + 9_000_000));
    assert_eq!(state.remark(), None);
}

#[test]
fn the_story_of_an_alert_is_asked_for() {
    let mut state = filled();
    types(&mut state, "2");
    let id = state.alerts.selected().unwrap().id.clone();
    assert_eq!(
        press(&mut state, KeyCode::Enter),
        Some(Effect::Explain(id.clone()))
    );
    // Another's comes too late.
    state.apply(Event::Story("other".to_owned(), Err("gone".to_owned())));
    assert!(matches!(&state.detail, Some(Detail::Alert(_, None))));
    state.apply(Event::Story(id, Ok(Box::new(example("story")))));
    assert!(matches!(&state.detail, Some(Detail::Alert(_, Some(Ok(_))))));
    // Its end can be read, and no further.
    types(&mut state, "G");
    let last = state.scroll;
    assert!(last > 0);
    types(&mut state, "j");
    assert_eq!(state.scroll, last);
    press(&mut state, KeyCode::Esc);
    assert!(state.detail.is_none() && state.scroll == 0);
}

#[test]
fn a_restart_of_the_daemon_is_said() {
    let mut state = filled();
    state.apply(Event::Gone("it stopped".to_owned()));
    assert_eq!(state.link, Link::Gone("it stopped".to_owned(), NOW));
    // Since the first time.
    state.apply(Event::Tick(NOW + 5_000_000));
    state.apply(Event::Gone("no daemon listens".to_owned()));
    assert_eq!(state.link, Link::Gone("no daemon listens".to_owned(), NOW));
    // What was there can still be read.
    types(&mut state, "3j");
    assert_eq!(selected(&state), "/v1/x/88");
    state.apply(Event::Connected);
    assert_eq!(state.link, Link::Up);
    assert_eq!(state.remark(), Some(("the daemon is back", false)));
}

#[test]
fn panes_turn() {
    let mut state = filled();
    for (key, pane) in [
        (KeyCode::Char('5'), Pane::Coverage),
        (KeyCode::Tab, Pane::Overview),
        (KeyCode::BackTab, Pane::Coverage),
        (KeyCode::Char('6'), Pane::Coverage),
        (KeyCode::Char('4'), Pane::Identities),
    ] {
        press(&mut state, key);
        assert_eq!(state.pane, pane);
    }
    for quit in [
        press(&mut state, KeyCode::Char('q')),
        state.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)),
    ] {
        assert_eq!(quit, Some(Effect::Quit));
    }
}

#[test]
fn identities_keep_the_selection_when_they_come_again() {
    let mut state = filled();
    types(&mut state, "4jj");
    let name = |state: &State| state.identities.selected().unwrap().identity.clone();
    let before = name(&state);
    let mut records: Vec<_> = state.identities.iter().cloned().collect();
    for record in &mut records {
        if record.identity == before {
            record.last_seen = Some("2026-11-23T18:59:59.000000Z".to_owned());
        }
    }
    state.apply(Event::Identities(records));
    assert_eq!(name(&state), before);
}

#[test]
fn a_dumb_terminal_is_refused() {
    assert!(terminal(Some("xterm-256color"), true).is_ok());
    for (term, is_terminal) in [
        (Some("dumb"), true),
        (None, true),
        (Some(""), true),
        (Some("xterm"), false),
    ] {
        let failure = terminal(term, is_terminal).unwrap_err();
        assert_eq!(failure.exit, crate::cli::Exit::Usage);
        assert!(failure.hint.unwrap().contains("bailiwick tail"));
    }
}
