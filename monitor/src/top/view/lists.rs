//! Alerts, accesses and identities, a record a row.

use ratatui_core::text::Line;

use super::ink::{painted, table};
use crate::access::record::AccessRecord;
use crate::alert::Alert;
use crate::cli::out::{Ink, Style};
use crate::cli::quote::{field, text};
use crate::cli::render;
use crate::filter::Fields;
use crate::top::list::List;
use crate::top::state::{Link, Pane, State};

pub(super) type Row = Vec<(Option<Ink>, String)>;

/// The lines of a list: its head, and its rows; and which row is selected.
pub(super) fn lines(
    state: &State,
    height: usize,
    color: bool,
) -> Option<(Vec<Line<'static>>, usize)> {
    let height = height.saturating_sub(1);
    let now = crate::access::record::rfc3339(state.now_us);
    match state.pane {
        Pane::Alerts => {
            let (page, row) = state.alerts.page(height);
            let head = ["TIME", "SEVERITY", "KIND", "IDENTITY", "COUNT", "WHAT"];
            let rows = page.into_iter().map(|record| alert(record, &now));
            Some((with_head(&head, rows, color), row))
        }
        Pane::Accesses => {
            let (page, row) = state.accesses.page(height);
            let head = [
                "TIME", "", "IDENTITY", "REQUEST", "STATUS", "TOOK", "ENV", "FROM", "TO",
                "FINDINGS",
            ];
            let most = usize::from(state.size.0) / 2;
            let rows = page.into_iter().map(|record| access(record, &now, most));
            Some((with_head(&head, rows, color), row))
        }
        Pane::Identities => {
            let (page, row) = state.identities.page(height);
            let mut page: Vec<_> = page.into_iter().cloned().collect();
            let lines = render::identities(&mut page, Style { color: true });
            let lines = lines.iter().map(|line| painted(line, color));
            Some((lines.collect(), row))
        }
        Pane::Overview | Pane::Coverage => None,
    }
}

/// What is said in place of rows.
pub(super) fn empty(state: &State) -> Option<String> {
    fn of<T: Fields>(list: &List<T>, one: &str, many: &str, none: &str) -> Option<String> {
        let left_out = list.len();
        match (list.shown().next().is_some(), left_out) {
            (true, _) => None,
            (false, 0) => Some(none.to_owned()),
            (false, count) => Some(format!(
                "no {one} passes the filter; {count} {many} do not (/ changes it)"
            )),
        }
    }
    if state.link == Link::Connecting {
        return Some("waiting for the daemon's answer".to_owned());
    }
    match state.pane {
        Pane::Alerts => of(
            &state.alerts,
            "alert",
            "alerts",
            "no alerts: no credential left its bailiwick",
        ),
        Pane::Accesses => of(
            &state.accesses,
            "access",
            "accesses",
            "no access was seen yet",
        ),
        Pane::Identities if state.identities_known => of(
            &state.identities,
            "identity",
            "identities",
            "no credential was seen yet",
        ),
        Pane::Identities => Some("waiting for the daemon's answer".to_owned()),
        Pane::Overview | Pane::Coverage => None,
    }
}

fn with_head(head: &[&str], rows: impl Iterator<Item = Row>, color: bool) -> Vec<Line<'static>> {
    let head = head.iter().map(|name| (Some(Ink::Dim), (*name).to_owned()));
    table(std::iter::once(head.collect()).chain(rows).collect(), color)
}

/// `18:57:18` of today, `11-23 18:57` of another day.
fn short(time: &str, now: &str) -> String {
    let words = match (
        time.get(..10),
        time.get(5..10),
        time.get(11..16),
        time.get(11..19),
    ) {
        (Some(day), _, _, Some(clock)) if now.get(..10) == Some(day) => clock.to_owned(),
        (_, Some(day), Some(clock), _) => format!("{day} {clock}"),
        _ => time.to_owned(),
    };
    text(&words).into_owned()
}

/// An alert as a row.
pub(super) fn alert(alert: &Alert, now: &str) -> Row {
    let (ink, word) = render::severity(alert.severity);
    let quiet = render::quiet(alert);
    vec![
        (Some(Ink::Dim), short(&alert.last_seen, now)),
        (Some(ink), word.to_owned()),
        (None, alert.kind.name().to_owned()),
        (
            Some(Ink::Identity),
            cut(&render::optional(alert.identity.as_deref()), 32),
        ),
        (None, format!("×{}{quiet}", alert.count)),
        (None, text(&alert.title).into_owned()),
    ]
}

fn access(record: &AccessRecord, now: &str, most: usize) -> Row {
    let status = record.response.as_ref().map(|response| response.status);
    let request = format!(
        "{} {}",
        field(&record.request.method),
        field(&format!("{}{}", record.request.host, record.request.path))
    );
    let found = !record.findings.is_empty();
    let names: Vec<_> = record.findings.iter().map(|name| field(name)).collect();
    let (from, to) = render::ends(record);
    vec![
        (Some(Ink::Dim), short(&record.time, now)),
        (
            found.then_some(Ink::Bad),
            if found { "✗" } else { " " }.to_owned(),
        ),
        (
            Some(Ink::Identity),
            cut(&render::optional(record.identity.as_deref()), 32),
        ),
        (None, cut(&request, most)),
        (
            Some(render::status_ink(status)),
            status.map_or_else(|| render::NOTHING.to_owned(), |status| status.to_string()),
        ),
        (
            None,
            record
                .duration_us
                .map_or_else(|| render::NOTHING.to_owned(), render::duration),
        ),
        (None, render::optional(record.environment.as_deref())),
        (None, from),
        (None, to),
        (found.then_some(Ink::Bad), names.join(", ")),
    ]
}

/// At most so many characters.
fn cut(words: &str, most: usize) -> String {
    if words.chars().count() <= most {
        return words.to_owned();
    }
    let kept: String = words.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}
