//! What is read line by line: the overview, coverage, one thing in full, and the keys.

use ratatui_core::text::Line;

use super::ink::{painted, span, table};
use crate::alert::Alert;
use crate::cli::out::{Ink, Style};
use crate::cli::quote::{field, text};
use crate::cli::{coverage, render};
use crate::explain;
use crate::filter::field::{FIELDS, Kind};
use crate::filter::{Fields, Subject, Value};
use crate::top::state::{Detail, Pane, State};

const PAINTED: Style = Style { color: true };

/// Steps of the picture of rates.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

const KEYS: [(&str, &str); 16] = [
    (
        "1 2 3 4 5, Tab",
        "overview, alerts, accesses, identities, coverage",
    ),
    (
        "j k, arrows",
        "down, up; PgDn PgUp a page, g G the first and the last",
    ),
    ("h l, arrows", "to the side, where lines are cut"),
    (
        "Enter",
        "the selected record in full; of an alert, its story",
    ),
    ("Esc", "back"),
    ("f", "follow the newest, or stay at the selected record"),
    (
        "space",
        "let the picture stand still; again, go on with what came meanwhile",
    ),
    (
        "/",
        "filter the list (docs/filter.md); an empty line shows all",
    ),
    ("a", "acknowledge the selected alert, with a note"),
    ("m", "mute the selected alert until then"),
    ("u", "take both back"),
    ("?", "these keys"),
    ("q, Ctrl-C", "quit"),
    ("", ""),
    ("/ as in", "severity >= \"high\" and not has(acknowledged)"),
    ("", "status >= 400 and client.unit == \"ci.service\""),
];

/// The lines of what is in view, when it is text.
pub(super) fn lines(state: &State, color: bool) -> Option<Vec<Line<'static>>> {
    if state.help {
        let row = |(key, words): (&str, &str)| {
            vec![(Some(Ink::Bold), key.to_owned()), (None, words.to_owned())]
        };
        return Some(table(KEYS.map(row).to_vec(), color));
    }
    if let Some(detail) = &state.detail {
        return Some(in_full(detail, state, color));
    }
    match state.pane {
        Pane::Overview => Some(overview(state, color)),
        Pane::Coverage => Some(covered(state, color)),
        Pane::Alerts | Pane::Accesses | Pane::Identities => None,
    }
}

fn all(lines: &[String], color: bool) -> Vec<Line<'static>> {
    lines.iter().map(|line| painted(line, color)).collect()
}

fn words(ink: Ink, words: &str, color: bool) -> Line<'static> {
    Line::from(span(Some(ink), words.to_owned(), color))
}

fn overview(state: &State, color: bool) -> Vec<Line<'static>> {
    let Some(status) = &state.status else {
        return vec![words(Ink::Dim, "waiting for the daemon's answer", color)];
    };
    let mut lines = vec![rates(state, color)];
    lines.extend(newest(state, color));
    lines.extend(all(&render::status(status, PAINTED), color));
    lines
}

/// The last rates as bars.
fn rates(state: &State, color: bool) -> Line<'static> {
    let room = usize::from(state.size.0).saturating_sub(36);
    let shown = state.rates.len().saturating_sub(room);
    let highest = state.rates.iter().skip(shown).copied().fold(0.0, f64::max);
    let bar = |rate: &f64| {
        let step = BARS
            .iter()
            .enumerate()
            .position(|(at, _)| *rate * 8.0 <= highest * (at as f64 + 1.0));
        step.and_then(|at| BARS.get(at)).copied().unwrap_or('█')
    };
    let bars: String = state.rates.iter().skip(shown).map(bar).collect();
    Line::from(vec![
        span(Some(Ink::Dim), "accesses/s      ".to_owned(), color),
        span(Some(Ink::Identity), bars, color),
        span(None, format!("  at most {highest:.1}"), color),
    ])
}

/// The newest alerts that nobody said anything about.
fn newest(state: &State, color: bool) -> Vec<Line<'static>> {
    let open = state
        .alerts
        .iter()
        .filter(|alert| alert.acknowledged.is_none() && alert.muted_until.is_none());
    let now = crate::access::record::rfc3339(state.now_us);
    let rows = open.take(3).map(|alert| super::lists::alert(alert, &now));
    let mut lines = table(rows.collect(), color);
    if lines.is_empty() {
        lines.push(words(Ink::Good, "✓ no open alerts", color));
    }
    lines.push(Line::default());
    lines
}

fn covered(state: &State, color: bool) -> Vec<Line<'static>> {
    let Some((workloads, probed)) = &state.coverage else {
        return vec![words(Ink::Dim, "waiting for the daemon's answer", color)];
    };
    let mut lines = Vec::new();
    if workloads.is_empty() {
        lines.push(words(Ink::Dim, "no connection was seen yet", color));
    }
    lines.extend(all(&coverage::workloads(workloads, PAINTED), color));
    lines.extend(all(&coverage::files(probed, PAINTED), color));
    lines
}

fn in_full(detail: &Detail, state: &State, color: bool) -> Vec<Line<'static>> {
    match detail {
        Detail::Alert(alert, Some(Ok(story))) => {
            let width = usize::from(state.size.0);
            let mut lines = said(alert, color);
            lines.extend(all(&explain::text::render(story, width), color));
            lines
        }
        Detail::Alert(alert, story) => {
            let mut lines = said(alert, color);
            lines.extend(all(&render::alert_in_full(alert, PAINTED), color));
            lines.push(Line::default());
            lines.push(match story {
                Some(Err(why)) => words(Ink::Bad, &format!("✗ its story: {}", text(why)), color),
                _ => words(Ink::Dim, "its story is being put together …", color),
            });
            lines
        }
        Detail::Access(access) => fields(&**access, Subject::Access, color),
        Detail::Identity(identity) => fields(&**identity, Subject::Identity, color),
    }
}

/// What people said about an alert.
fn said(alert: &Alert, color: bool) -> Vec<Line<'static>> {
    let mark = render::mark(alert);
    mark.map(|mark| words(Ink::Doubtful, &text(&mark), color))
        .into_iter()
        .collect()
}

/// Every field that is there, under the name that filters know it by.
fn fields(record: &impl Fields, subject: Subject, color: bool) -> Vec<Line<'static>> {
    let rows = FIELDS.iter().filter_map(|info| {
        let parent = matches!(info.kind, Kind::Object) || info.name.starts_with("either.");
        if parent || !info.is_of(subject) {
            return None;
        }
        let value = match record.get(info.name)? {
            Value::Text(value) => field(value).into_owned(),
            Value::Number(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::List(items) if items.is_empty() => return None,
            Value::List(items) => {
                let items: Vec<_> = items.into_iter().map(field).collect();
                items.join(", ")
            }
        };
        let ink = (info.name == "findings").then_some(Ink::Bad);
        Some(vec![(Some(Ink::Dim), info.name.to_owned()), (ink, value)])
    });
    table(rows.collect(), color)
}
