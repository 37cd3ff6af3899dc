//! The lines on top: how the daemon is, what was lost, and which pane is in view; and the line at the bottom.

use ratatui_core::style::Modifier;
use ratatui_core::text::{Line, Span};

use super::ink::{span, style};
use crate::cli::coverage::understood;
use crate::cli::out::Ink;
use crate::cli::quote::{field, text};
use crate::serve::records::{StatusRecord, WebhookStatus};
use crate::top::state::{Link, Pane, State};

type Part = (Option<Ink>, String);

fn line(parts: Vec<Part>, color: bool) -> Line<'static> {
    let mut spans = Vec::new();
    for (ink, text) in parts {
        if !spans.is_empty() {
            spans.push(Span::raw("  "));
        }
        spans.push(span(ink, text, color));
    }
    Line::from(spans)
}

/// How the daemon is. What is bad comes first, so that a narrow terminal shows it.
pub(super) fn health(state: &State, color: bool) -> Line<'static> {
    let link = match &state.link {
        Link::Connecting => (Some(Ink::Dim), "· connecting".to_owned()),
        Link::Up => (Some(Ink::Good), "✓ connected".to_owned()),
        Link::Gone(why, since) => {
            let seconds = state.now_us.saturating_sub(*since).max(0) / 1_000_000;
            let words = format!("✗ no daemon for {seconds} s, trying again: {}", text(why));
            (Some(Ink::Bad), words)
        }
    };
    let mut parts = vec![link];
    if let Some(status) = &state.status {
        let mut rest = of_status(status);
        rest.sort_by_key(|(ink, _)| *ink != Some(Ink::Bad));
        parts.extend(rest);
    }
    line(parts, color)
}

fn of_status(status: &StatusRecord) -> Vec<Part> {
    let mut parts = Vec::new();
    let missing = status.hooks.iter().filter(|hook| !hook.attached).count();
    parts.push(match (missing, status.hooks.len()) {
        (0, count) => (Some(Ink::Good), format!("✓ {count} hooks")),
        (missing, count) => (
            Some(Ink::Bad),
            format!("✗ {missing} of {count} hooks not attached"),
        ),
    });
    parts.push((None, format!("{:.1}/s", status.accesses.per_second)));
    let coverage = &status.coverage;
    if let Some(share) = understood(coverage.read, coverage.other, coverage.dark) {
        let dark = coverage.dark_workloads > 0;
        parts.push((dark.then_some(Ink::Doubtful), format!("{share} understood")));
    }
    parts.push(match (&status.policy.error, status.policy.generation) {
        (Some(_), _) => (Some(Ink::Bad), "✗ policy reload refused".to_owned()),
        (None, 0) => (Some(Ink::Doubtful), "no policy".to_owned()),
        (None, generation) => (None, format!("policy {generation}")),
    });
    if let Some(error) = &status.alerts.error {
        parts.push((Some(Ink::Bad), format!("✗ store: {}", text(error))));
    }
    if let Some(error) = &status.audit.error {
        parts.push((Some(Ink::Bad), format!("✗ audit log: {}", text(error))));
    }
    parts.extend(webhooks(&status.webhooks));
    let baseline = &status.baseline;
    if baseline.enabled && baseline.mature < baseline.profiles {
        let words = format!(
            "learning, {} of {} mature",
            baseline.mature, baseline.profiles
        );
        parts.push((Some(Ink::Dim), words));
    }
    if let Some(environment) = &status.environment {
        parts.push((Some(Ink::Dim), field(environment).into_owned()));
    }
    parts
}

fn webhooks(all: &[WebhookStatus]) -> Option<Part> {
    let waiting: u64 = all.iter().map(|hook| hook.waiting).sum();
    let oldest = all.iter().filter_map(|hook| hook.oldest_s).max();
    let queue = match (waiting, oldest) {
        (0, _) => String::new(),
        (_, Some(age)) => format!(", {waiting} waiting, oldest {age} s"),
        (_, None) => format!(", {waiting} waiting"),
    };
    let bad = all
        .iter()
        .find(|hook| hook.state != "ok" || hook.error.is_some());
    match (bad, all.len()) {
        (_, 0) => None,
        (Some(hook), _) => Some((
            Some(Ink::Bad),
            format!(
                "✗ webhook {} {}{queue}",
                field(&hook.name),
                field(&hook.state)
            ),
        )),
        (None, 1) => Some((Some(Ink::Good), format!("✓ 1 webhook{queue}"))),
        (None, count) => Some((Some(Ink::Good), format!("✓ {count} webhooks{queue}"))),
    }
}

/// What was lost.
pub(super) fn lost(state: &State, color: bool) -> Line<'static> {
    let losses = state.losses();
    let mut words: Vec<String> = losses
        .iter()
        .map(|loss| format!("{} {} {}", text(&loss.cause), loss.count, text(&loss.unit)))
        .collect();
    if state.missed > 0 {
        words.push(format!(
            "not shown here {} (this reader is too slow)",
            state.missed
        ));
    }
    let part = match (words.is_empty(), &state.status) {
        (false, _) => (Some(Ink::Bad), format!("✗ lost: {}", words.join(", "))),
        (true, Some(_)) => (Some(Ink::Dim), "lost: none".to_owned()),
        (true, None) => (Some(Ink::Dim), "lost: not known yet".to_owned()),
    };
    line(vec![part], color)
}

/// The panes, the one in view in brackets.
pub(super) fn tabs(state: &State, color: bool) -> Line<'static> {
    let mut spans = Vec::new();
    for (at, pane) in Pane::ALL.into_iter().enumerate() {
        let count = match pane {
            Pane::Alerts => Some(open_alerts(state)),
            Pane::Accesses => Some(state.accesses.len()),
            Pane::Identities => state.identities_known.then(|| state.identities.len()),
            Pane::Overview | Pane::Coverage => None,
        };
        let count = count.map(|count| format!(" {count}")).unwrap_or_default();
        let words = format!("{} {}{count}", at + 1, pane.name());
        spans.push(if pane == state.pane {
            let bold = style(None, color).add_modifier(Modifier::BOLD | Modifier::REVERSED);
            Span::styled(format!("[{words}]"), bold)
        } else {
            Span::raw(format!(" {words} "))
        });
    }
    Line::from(spans)
}

/// Alerts that nobody said anything about.
fn open_alerts(state: &State) -> usize {
    let open = |alert: &&crate::alert::Alert| alert.acknowledged.is_none();
    state.alerts.iter().filter(open).count()
}

/// The bottom line, while nothing is typed.
pub(super) fn footer(state: &State, color: bool) -> Line<'static> {
    let mut parts = Vec::new();
    if let Some(paused) = &state.paused {
        let dropped = match paused.dropped {
            0 => String::new(),
            count => format!(", {count} without room"),
        };
        let words = format!("paused, {} came{dropped}; space goes on", paused.came);
        parts.push((Some(Ink::Doubtful), words));
    }
    if let Some((words, bad)) = state.remark() {
        let (ink, sign) = if bad {
            (Ink::Bad, "✗")
        } else {
            (Ink::Good, "✓")
        };
        parts.push((Some(ink), format!("{sign} {}", text(words))));
    } else if state.detail.is_some() || state.help {
        parts.push((Some(Ink::Dim), "Esc back".to_owned()));
    } else {
        let (fresh, filter) = match state.pane {
            Pane::Alerts => (follow(&state.alerts), state.alerts.filter_text()),
            Pane::Accesses => (follow(&state.accesses), state.accesses.filter_text()),
            Pane::Identities => (follow(&state.identities), state.identities.filter_text()),
            Pane::Overview | Pane::Coverage => (None, ""),
        };
        parts.extend(fresh);
        if !filter.is_empty() {
            parts.push((Some(Ink::Identity), format!("filter: {}", text(filter))));
        }
    }
    let keys = match state.alert_id() {
        Some(_) => "? help  / filter  Enter detail  a acknowledge  m mute  q quit",
        None => "? help  / filter  f follow  space pause  Enter detail  q quit",
    };
    parts.push((Some(Ink::Dim), keys.to_owned()));
    line(parts, color)
}

fn follow<T: crate::filter::Fields>(list: &crate::top::list::List<T>) -> Option<Part> {
    match (list.is_following(), list.fresh()) {
        (true, _) => Some((Some(Ink::Dim), "following".to_owned())),
        (false, 0) => None,
        (false, count) => Some((Some(Ink::Doubtful), format!("{count} new, f follows"))),
    }
}
