//! `bailiwick coverage` for people.

use super::args::Form;
use super::client::Record;
use super::exit::Failure;
use super::out::{Ink, Out, Style, Table, note};
use super::quote::{field, text};
use super::render::{NOTHING, mebibytes};
use crate::coverage::{Count, CoverageRecord, KindRecord};
use crate::serve::records::{CoverageStatus, ProbedRecord};

/// Kinds and examples named in one line.
const MOST_NAMED: usize = 4;

/// Prints what the daemon answered.
pub(super) fn show(records: &[Record], out: &mut Out) -> Result<(), Failure> {
    if out.form == Form::Json {
        for record in records {
            out.line(&record.json())?;
        }
        return Ok(());
    }
    let (mut covered, mut probed) = (Vec::new(), Vec::new());
    for record in records {
        match record.kind.as_str() {
            "coverage" => covered.push(record.parse::<CoverageRecord>()?),
            "probed" => probed.push(record.parse::<ProbedRecord>()?),
            _ => {}
        }
    }
    if covered.is_empty() {
        note("no connection was seen yet");
    }
    let style = out.style;
    for line in workloads(&covered, style) {
        out.line(&line)?;
    }
    for line in files(&probed, style) {
        out.line(&line)?;
    }
    Ok(())
}

/// `93 %`, rounded down, so that 100 % is all; nothing of nothing.
fn share(part: u64, whole: u64) -> Option<String> {
    let percent = u128::from(part) * 100 / u128::from(whole).max(1);
    (whole > 0).then(|| format!("{percent} %"))
}

/// Connections that were understood, of all: what is not HTTP is understood to be something else.
pub(crate) fn understood(read: Count, other: Count, dark: Count) -> Option<String> {
    let known = read.connections.saturating_add(other.connections);
    share(known, known.saturating_add(dark.connections))
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => mebibytes(bytes),
    }
}

fn kinds(all: &[KindRecord], group: &str) -> String {
    let mut named: Vec<String> = all
        .iter()
        .filter(|kind| kind.group == group)
        .map(|kind| {
            format!(
                "{} {} ({})",
                field(&kind.kind),
                kind.connections,
                size(kind.bytes)
            )
        })
        .collect();
    let more = named.len().saturating_sub(MOST_NAMED);
    named.truncate(MOST_NAMED);
    if more > 0 {
        named.push(format!("+{more} more"));
    }
    if named.is_empty() {
        NOTHING.to_owned()
    } else {
        named.join(", ")
    }
}

/// A table of workloads, and below it what was dark, with examples.
pub(crate) fn workloads(records: &[CoverageRecord], style: Style) -> Vec<String> {
    let mut table = Table::default();
    let head = [
        "WORKLOAD",
        "UNDERSTOOD",
        "READ",
        "OTHER",
        "DARK",
        "NOT SEEN",
    ];
    if !records.is_empty() {
        table.row(head.map(|name| (Some(Ink::Dim), name.to_owned())));
    }
    for record in records {
        let dark = record.dark.connections > 0;
        let mut unseen: Vec<String> = record
            .uncovered
            .iter()
            .map(|by| format!("{} {}", field(&by.cause), size(by.bytes)))
            .collect();
        if record.shed > 0 {
            unseen.push(format!("shed {} calls", record.shed));
        }
        if unseen.is_empty() {
            unseen.push(NOTHING.to_owned());
        }
        table.row([
            (Some(Ink::Identity), name(record)),
            (
                dark.then_some(Ink::Doubtful),
                understood(record.read, record.other, record.dark)
                    .unwrap_or_else(|| NOTHING.to_owned()),
            ),
            (None, kinds(&record.kinds, "read")),
            (None, kinds(&record.kinds, "other")),
            (dark.then_some(Ink::Bad), kinds(&record.kinds, "dark")),
            (None, unseen.join(", ")),
        ]);
    }
    let mut lines = table.lines(style);
    for record in records.iter().filter(|record| !record.examples.is_empty()) {
        lines.push(String::new());
        lines.push(format!(
            "{} {}",
            style.paint(Ink::Bad, "✗ dark:"),
            style.paint(Ink::Identity, &name(record))
        ));
        let mut table = Table::default();
        for example in &record.examples {
            let or_nothing = |value: Option<&str>| {
                value.map_or_else(|| NOTHING.to_owned(), |value| field(value).into_owned())
            };
            table.row([
                (None, "  ".to_owned()),
                (None, field(&example.kind).into_owned()),
                (None, or_nothing(example.sni.as_deref())),
                (None, or_nothing(example.address.as_deref())),
                (None, format!("×{}", example.connections)),
                (Some(Ink::Dim), super::render::time(&example.last_seen)),
            ]);
        }
        lines.extend(table.lines(style));
    }
    lines
}

fn name(record: &CoverageRecord) -> String {
    match &record.workload {
        Some(name) => field(name).into_owned(),
        None => "(others, together)".to_owned(),
    }
}

/// What is probed.
pub(crate) fn files(records: &[ProbedRecord], style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(first) = records.first() {
        lines.push(String::new());
        let head = format!("probed for keys ({})", text(&first.means));
        lines.push(style.paint(Ink::Dim, &head));
    }
    let mut table = Table::default();
    for file in records {
        for probe in &file.attached {
            let how = if probe.emulated {
                "emulated"
            } else {
                "single-stepped"
            };
            table.row([
                (None, "  ".to_owned()),
                (None, field(&file.file).into_owned()),
                (Some(Ink::Good), format!("✓ {}", field(&probe.function))),
                (None, how.to_owned()),
            ]);
        }
        for probe in &file.missing {
            table.row([
                (None, "  ".to_owned()),
                (None, field(&file.file).into_owned()),
                (Some(Ink::Doubtful), format!("✗ {}", field(&probe.function))),
                (None, text(&probe.why).into_owned()),
            ]);
        }
    }
    lines.extend(table.lines(style));
    lines
}

/// What `status` says of it.
pub(super) fn summary(status: &CoverageStatus) -> (Option<Ink>, String) {
    let Some(share) = understood(status.read, status.other, status.dark) else {
        return (None, "no connection was seen yet".to_owned());
    };
    let plural = match status.dark_workloads {
        1 => "",
        _ => "s",
    };
    let line = format!(
        "{share} of connections understood; {} workload{plural} dark",
        status.dark_workloads
    );
    ((status.dark_workloads > 0).then_some(Ink::Doubtful), line)
}

/// What `status` says of probes.
pub(super) fn probes(status: &CoverageStatus) -> String {
    format!(
        "{} in {} files, {} single-stepped, {} missing",
        status.probes, status.probed_files, status.stepped_probes, status.missing_probes
    )
}

#[cfg(test)]
#[path = "coverage_tests.rs"]
mod tests;
