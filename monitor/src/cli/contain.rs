//! `bailiwick contain` for people, and containment's row of `status`.

use super::args::Form;
use super::client::Record;
use super::exit::Failure;
use super::out::{Ink, Out, Style, Table, note};
use super::quote::{field, text};
use crate::contain::{ContainmentRecord, ContainmentStatus};

/// Prints what the daemon answered.
pub(super) fn show(records: &[Record], out: &mut Out) -> Result<(), Failure> {
    if out.form == Form::Json {
        for record in records {
            out.line(&record.json())?;
        }
        return Ok(());
    }
    if records.is_empty() {
        note("containment has done nothing since the daemon started");
        return Ok(());
    }
    let parsed = records
        .iter()
        .map(Record::parse)
        .collect::<Result<Vec<ContainmentRecord>, _>>()?;
    for line in table(&parsed, out.style) {
        out.line(&line)?;
    }
    Ok(())
}

fn table(records: &[ContainmentRecord], style: Style) -> Vec<String> {
    let mut table = Table::default();
    let head = [
        "TIME", "ID", "ACT", "STATE", "UNTIL", "FINDING", "WORKLOAD", "PROCESS", "TARGET",
    ];
    table.row(head.map(|name| (Some(Ink::Dim), name.to_owned())));
    for record in records {
        let ink = match &*record.state {
            "in-force" => Some(Ink::Bad),
            "failed" | "would" => Some(Ink::Doubtful),
            _ => None,
        };
        let target = match &record.error {
            Some(error) => format!("{}: {}", text(&record.target), text(error)),
            None => text(&record.target).into_owned(),
        };
        table.row([
            (None, field(&record.time).into_owned()),
            (None, field(&record.id).into_owned()),
            (None, field(&record.act).into_owned()),
            (ink, field(&record.state).into_owned()),
            (
                None,
                record
                    .until
                    .as_deref()
                    .map_or_else(|| "-".to_owned(), |until| field(until).into_owned()),
            ),
            (None, record.kind.name().to_owned()),
            (None, field(&record.workload).into_owned()),
            (None, record.pid.to_string()),
            (None, target),
        ]);
    }
    table.lines(style)
}

/// The row of `status`; none while containment is off and has done nothing.
pub(super) fn status(status: &ContainmentStatus) -> Option<(Option<Ink>, String)> {
    if matches!(&*status.mode, "" | "off") && status.in_force == 0 {
        return None;
    }
    let mut parts = vec![
        field(&status.mode).into_owned(),
        format!("{} reset", status.reset),
        format!("{} refused", status.refused),
        format!("{} stopped", status.stopped),
        format!("{} in force", status.in_force),
    ];
    if status.would > 0 {
        parts.push(format!("{} would have been done", status.would));
    }
    if status.failed > 0 {
        parts.push(format!("{} failed", status.failed));
    }
    for loss in &status.declined {
        parts.push(format!("{} not done: {}", loss.count, field(&loss.cause)));
    }
    let ink = (status.in_force > 0 || status.failed > 0).then_some(Ink::Doubtful);
    Some((ink, parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{FindingKind, Severity};
    use crate::serve::records::Loss;

    fn record() -> ContainmentRecord {
        ContainmentRecord {
            r#type: "containment".to_owned(),
            v: 1,
            id: "c65-1".to_owned(),
            act: "refuse".to_owned(),
            state: "in-force".to_owned(),
            time: "2026-11-24T09:00:00Z".to_owned(),
            until: Some("2026-11-24T09:10:00Z".to_owned()),
            rule: "/etc/bailiwick/bailiwick.toml:9".to_owned(),
            kind: FindingKind::Environment,
            severity: Severity::High,
            identity: Some("ci-bot".to_owned()),
            workload: "exe:/usr/bin/\u{1b}curl".to_owned(),
            pid: 42,
            target: "control group /ci to 10.20.0.0/16".to_owned(),
            error: None,
            undo: Some("bailiwick contain undo c65-1".to_owned()),
            delay_us: 9_000,
        }
    }

    #[test]
    fn acts_are_a_table_that_disturbs_no_terminal() {
        let lines = table(&[record()], Style { color: false });
        assert_eq!(lines.len(), 2);
        assert!(!lines.concat().contains('\u{1b}'));
        for word in ["c65-1", "refuse", "in-force", "environment", "10.20.0.0/16"] {
            assert!(lines.concat().contains(word), "{word} in {lines:?}");
        }
    }

    #[test]
    fn status_is_silent_while_it_is_off() {
        let mut record = ContainmentStatus {
            mode: "off".to_owned(),
            ..ContainmentStatus::default()
        };
        assert!(status(&record).is_none());
        record.mode = "enforce".to_owned();
        record.declined.push(Loss {
            cause: "protected".to_owned(),
            count: 3,
            unit: "acts".to_owned(),
        });
        let (_, text) = status(&record).map_or((None, String::new()), |row| row);
        assert_eq!(
            text,
            "enforce, 0 reset, 0 refused, 0 stopped, 0 in force, 3 not done: protected"
        );
    }
}
