//! Entries of the audit log in words.

use super::audit::Verification;
use super::out::{Ink, Style};
use super::quote::{field, text};
use super::render::time;
use crate::audit::{Entry, Written};
use crate::judge::Severity;

/// The lines of `audit verify`.
pub(super) fn verified(told: &Verification, style: Style) -> Vec<String> {
    let mark = style.paint(Ink::Good, "✓");
    let plural = |count: u64, one: &str, many: &str| {
        format!("{count} {}", if count == 1 { one } else { many })
    };
    let mut lines = vec![format!(
        "{mark} {} of {}: each is what was signed",
        plural(told.entries, "entry", "entries"),
        field(&told.origin)
    )];
    if let (Some(first), Some(last)) = (&told.first, &told.last) {
        lines.push(format!("  from {} to {}", time(first), time(last)));
    }
    lines.push(match told.compared {
        0 => "  compared with no earlier checkpoint: a rollback would not show (--since FILE)"
            .to_owned(),
        count => format!(
            "  nothing taken back since {}",
            plural(count, "earlier checkpoint", "earlier checkpoints")
        ),
    });
    if told.gaps > 0 || told.losses > 0 {
        lines.push(format!(
            "  it tells of {} without a daemon and {}",
            plural(told.gaps, "time", "times"),
            plural(told.losses, "loss", "losses")
        ));
    }
    if told.closed {
        lines.push("  it is closed: its last entry names the log that goes on".to_owned());
    }
    lines
}

/// A line of `audit tail`; what is not understood is shown as it is.
pub(super) fn tail_line(index: u64, raw: &[u8], written: Option<&Written>, style: Style) -> String {
    let number = style.paint(Ink::Dim, &format!("{index:>6}"));
    let Some(written) = written else {
        let shown = String::from_utf8_lossy(raw);
        return format!("{number}  {}", text(&shown));
    };
    let (ink, name, words) = say(&written.entry);
    let name = match ink {
        Some(ink) => style.paint(ink, &format!("{name:<13}")),
        None => format!("{name:<13}"),
    };
    format!(
        "{number}  {}  {name}  {}",
        time(&written.time),
        text(&words)
    )
}

fn say(entry: &Entry) -> (Option<Ink>, &'static str, String) {
    let who = |name: &Option<String>| name.as_deref().unwrap_or("unknown").to_owned();
    match entry {
        Entry::Opened {
            reason, previous, ..
        } => {
            let before = previous.as_ref().map(|key| format!("; before: {key}"));
            (
                Some(Ink::Doubtful),
                "opened",
                format!("{reason}{}", before.unwrap_or_default()),
            )
        }
        Entry::Closed { next, directory } => (
            Some(Ink::Doubtful),
            "closed",
            format!("goes on in {directory}: {next}"),
        ),
        Entry::Start {
            version,
            pid,
            hooks,
        } => (
            None,
            "start",
            format!("version {version}, process {pid}, {} hooks", hooks.len()),
        ),
        Entry::Stop {} => (None, "stop", "in order".to_owned()),
        Entry::Gap { from, until, cause } => (
            Some(Ink::Doubtful),
            "gap",
            format!("nothing was watched from {from} to {until}: {cause}"),
        ),
        Entry::Configuration { files } => {
            let files: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
            let files = if files.is_empty() {
                "built-in defaults".to_owned()
            } else {
                files.join(", ")
            };
            (None, "configuration", files)
        }
        Entry::Policy {
            generation,
            identities,
            files,
        } => {
            let files = files.len();
            (
                None,
                "policy",
                format!("generation {generation}: {identities} identities, {files} files"),
            )
        }
        Entry::Refused { error } => (Some(Ink::Bad), "refused", error.clone()),
        Entry::Alert {
            change,
            id,
            severity,
            title,
            ..
        } => {
            let ink = (*severity >= Severity::High).then_some(Ink::Bad);
            (ink, "alert", format!("{id} {change}: {title}"))
        }
        Entry::Acknowledged { id, by, note } => {
            let note = note.as_ref().map(|note| format!(": {note}"));
            (
                None,
                "acknowledged",
                format!("{id} by {by}{}", note.unwrap_or_default()),
            )
        }
        Entry::Muted { id, by, until } => (None, "muted", format!("{id} until {until} by {by}")),
        Entry::Unmarked { id, by } => (None, "unmarked", format!("{id} by {by}")),
        Entry::Contained {
            title, identity, ..
        } => (
            Some(Ink::Bad),
            "contained",
            format!("{title} (identity {})", who(identity)),
        ),
        Entry::Undone { id, act, target } => (None, "undone", format!("{id}: {act} {target}")),
        Entry::Expired {
            id,
            act,
            target,
            cause,
        } => (None, "expired", format!("{id}: {act} {target} ({cause})")),
        Entry::Loss { cause, count, unit } => (
            Some(Ink::Doubtful),
            "loss",
            format!("{count} {unit}: {cause}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_lines_that_disturb_no_terminal() {
        let line = |entry| {
            let written = Written {
                v: 1,
                time: "2026-11-24T09:00:00.000000Z".to_owned(),
                entry,
            };
            tail_line(7, b"", Some(&written), Style { color: false })
        };
        let told = line(Entry::Acknowledged {
            id: "al_1".to_owned(),
            by: "ann".to_owned(),
            note: Some("\u{1b}[2Jseen".to_owned()),
        });
        assert_eq!(
            told,
            "     7  2026-11-24T09:00:00.000Z  acknowledged   al_1 by ann: \\u{1b}[2Jseen"
        );
        assert!(line(Entry::Stop {}).ends_with("stop           in order"));
        let strange = tail_line(8, b"{\"type\":\"to come\n\"}", None, Style { color: false });
        assert_eq!(strange, "     8  {\"type\":\"to come\\n\"}");
    }
}
