//! Records as lines for people. Every word of a record is quoted.

use super::out::{Ink, Style, Table};
use super::quote::{field, text};
use crate::access::record::{AccessRecord, EndpointRecord};
use crate::alert::Alert;
use crate::baseline::BaselineStatus;
use crate::census::{IdentityRecord, Listed};
use crate::judge::Severity;
use crate::serve::records::{DeadLetter, DeliveryResult, Loss, ScanStatus, StatusRecord};

pub(crate) const NOTHING: &str = "-";

/// Microseconds cut to milliseconds; anything that is not such a time stays as it is.
pub(crate) fn time(raw: &str) -> String {
    match (raw.len(), raw.get(..23), raw.ends_with('Z')) {
        (27, Some(start), true) => text(&format!("{start}Z")).into_owned(),
        _ => field(raw).into_owned(),
    }
}

pub(crate) fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}us"),
        1_000..1_000_000 => format!("{}.{}ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{}s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

pub(crate) fn optional(value: Option<&str>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| field(value).into_owned())
}

/// `ci.service`, `container:4f5e6d7c8b9a` or `/usr/bin/curl[17]`.
fn endpoint(side: &EndpointRecord) -> String {
    let label = match (&side.container, &side.unit) {
        (Some(container), _) => {
            format!("container:{}", container.get(..12).unwrap_or(container))
        }
        // A login session says less than the program run in it.
        (None, Some(unit)) if !unit.ends_with(".scope") => unit.clone(),
        _ if side.exe.is_empty() => format!("[{}]", side.pid),
        _ => format!("{}[{}]", side.exe, side.pid),
    };
    field(&label).into_owned()
}

/// One access on one line.
pub(crate) fn access(record: &AccessRecord, style: Style) -> String {
    let credential = record.credential.as_ref().map_or_else(
        || NOTHING.to_owned(),
        |credential| {
            let kind = serde_json::to_value(credential.kind).ok();
            let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or("?");
            let print = credential
                .fingerprint
                .strip_prefix("bw1:")
                .unwrap_or(&credential.fingerprint);
            let short: String = print.chars().take(8).collect();
            field(&format!("{kind}:{short}")).into_owned()
        },
    );
    let status = record.response.as_ref().map(|response| response.status);
    let ink = status_ink(status);
    let (from, to) = ends(record);
    let mut line = format!(
        "{} {} {} {} {} {} {}{} {} {} → {}",
        style.paint(Ink::Dim, &time(&record.time)),
        style.paint(Ink::Identity, &optional(record.identity.as_deref())),
        credential,
        field(&record.request.method),
        field(&format!("{}{}", record.request.host, record.request.path)),
        style.paint(
            ink,
            &status.map_or_else(|| NOTHING.to_owned(), |status| status.to_string())
        ),
        style.paint(Ink::Dim, &carried(record)),
        record
            .duration_us
            .map_or_else(|| NOTHING.to_owned(), duration),
        optional(record.environment.as_deref()),
        from,
        to,
    );
    if !record.findings.is_empty() {
        let names: Vec<_> = record.findings.iter().map(|name| field(name)).collect();
        line.push(' ');
        line.push_str(&style.paint(Ink::Bad, &format!("✗ finding: {}", names.join(", "))));
    }
    line
}

/// The colour of a status.
pub(crate) fn status_ink(status: Option<u16>) -> Ink {
    match status {
        Some(500..) => Ink::Bad,
        Some(400..) => Ink::Doubtful,
        Some(_) => Ink::Good,
        None => Ink::Dim,
    }
}

/// Client and server.
pub(crate) fn ends(record: &AccessRecord) -> (String, String) {
    let peer = || optional(record.peer.as_deref());
    (
        record.client.as_ref().map_or_else(peer, endpoint),
        record.server.as_ref().map_or_else(peer, endpoint),
    )
}

/// What carried the request, where it was not HTTP/1 in clear text: `h2+tls1.3 `.
fn carried(record: &AccessRecord) -> String {
    let http2 = (record.protocol == "h2").then(|| "h2".to_owned());
    let tls = record.tls.as_ref();
    let tls = tls.map(|tls| {
        let version = tls.version.as_deref().unwrap_or("?");
        field(&format!("tls{version}")).into_owned()
    });
    let mut parts: Vec<String> = http2.into_iter().chain(tls).collect();
    if let Some(last) = parts.last_mut() {
        last.push(' ');
    }
    parts.join("+")
}

/// How bad it is, in a word, and its colour.
pub(crate) fn severity(severity: Severity) -> (Ink, &'static str) {
    match severity {
        Severity::Low => (Ink::Dim, "· low"),
        Severity::Medium => (Ink::Doubtful, "▲ medium"),
        Severity::High => (Ink::Bad, "✗ high"),
        Severity::Critical => (Ink::Bad, "✗ CRITICAL"),
    }
}

/// One alert on one line.
pub(crate) fn alert(alert: &Alert, style: Style) -> String {
    let (ink, word) = severity(alert.severity);
    let quiet = quiet(alert);
    format!(
        "{} {} {} {} {} ×{}{quiet} {}",
        style.paint(Ink::Dim, &time(&alert.last_seen)),
        style.paint(ink, word),
        alert.kind.name(),
        style.paint(Ink::Identity, &optional(alert.identity.as_deref())),
        field(&alert.id),
        alert.count,
        text(&alert.title),
    )
}

/// Whether people said something about it, in a word.
pub(crate) fn quiet(alert: &Alert) -> &'static str {
    match (&alert.acknowledged, &alert.muted_until) {
        (Some(_), _) => " (known)",
        (None, Some(_)) => " (muted)",
        (None, None) => "",
    }
}

/// What people said about an alert, in one line.
pub(crate) fn mark(alert: &Alert) -> Option<String> {
    let known = alert.acknowledged.as_ref().map(|known| {
        let note = known.note.as_deref().map(|note| format!(": {note}"));
        format!(
            "known to {} since {}{}",
            known.by,
            time(&known.at),
            note.unwrap_or_default()
        )
    });
    let muted = alert.muted_until.as_deref();
    let muted = muted.map(|until| format!("muted until {}", time(until)));
    let parts: Vec<String> = known.into_iter().chain(muted).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// One alert with everything it has.
pub(crate) fn alert_in_full(alert: &Alert, style: Style) -> Vec<String> {
    let (ink, word) = severity(alert.severity);
    let mut lines = vec![
        format!(
            "{} {}",
            style.paint(ink, word),
            style.paint(Ink::Bold, &text(&alert.title))
        ),
        String::new(),
    ];
    let mut table = Table::default();
    let mut row = |name: &str, value: String| {
        table.row([
            (None, "  ".to_owned()),
            (Some(Ink::Dim), name.to_owned()),
            (None, value),
        ]);
    };
    row("id", field(&alert.id).into_owned());
    row("kind", alert.kind.name().to_owned());
    row("identity", optional(alert.identity.as_deref()));
    row("owner", optional(alert.owner.as_deref()));
    row("workload", optional(alert.workload.as_deref()));
    row("operation", text(&alert.operation).into_owned());
    row("environment", optional(alert.environment.as_deref()));
    row("clause", text(&alert.clause).into_owned());
    row("count", alert.count.to_string());
    row("first seen", time(&alert.first_seen));
    row("last seen", time(&alert.last_seen));
    row("ATT&CK", text(&alert.techniques.join(" ")).into_owned());
    row("normal", text(&alert.normal).into_owned());
    row("to do", text(&alert.action).into_owned());
    if let Some(mark) = mark(alert) {
        row("said", text(&mark).into_owned());
    }
    lines.extend(table.lines(style));
    if !alert.evidence.is_empty() {
        lines.push(String::new());
        lines.push(style.paint(Ink::Dim, "  evidence"));
        lines.extend(
            alert
                .evidence
                .iter()
                .map(|record| format!("    {}", access(record, style))),
        );
    }
    lines
}

fn listed(list: &Listed<String>, most: usize) -> String {
    let mut shown: Vec<String> = list
        .items
        .iter()
        .take(most)
        .map(|item| field(item).into_owned())
        .collect();
    let rest = list.items.len().saturating_sub(most) + list.more as usize;
    if rest > 0 {
        shown.push(format!("+{rest} more"));
    }
    if shown.is_empty() {
        NOTHING.to_owned()
    } else {
        shown.join(", ")
    }
}

/// The one used last first.
pub(crate) fn newest_first(records: &mut [IdentityRecord]) {
    // Times of one form compare as text; those without come last.
    records.sort_by(|a, b| {
        let key =
            |record: &IdentityRecord| record.last_seen.clone().max(record.last_refused.clone());
        key(b)
            .cmp(&key(a))
            .then_with(|| a.identity.cmp(&b.identity))
    });
}

/// Identities, the one used last first.
pub(crate) fn identities(records: &mut [IdentityRecord], style: Style) -> Vec<String> {
    newest_first(records);
    let mut table = Table::default();
    let head = [
        "LAST SEEN",
        "IDENTITY",
        "OWNER",
        "KINDS",
        "ACCESSES",
        "REFUSED",
        "FINDINGS",
        "ENVIRONMENTS",
        "WORKLOADS",
        "HOSTS",
        "BASELINE",
    ];
    table.row(head.map(|name| (Some(Ink::Dim), name.to_owned())));
    for record in records {
        let findings: u64 = record.findings.values().sum();
        let kinds: Vec<String> = record
            .kinds
            .iter()
            .filter_map(|kind| Some(serde_json::to_value(kind).ok()?.as_str()?.to_owned()))
            .collect();
        let last = record
            .last_seen
            .as_deref()
            .or(record.last_refused.as_deref());
        table.row([
            (None, last.map_or_else(|| NOTHING.to_owned(), time)),
            (Some(Ink::Identity), field(&record.identity).into_owned()),
            (None, optional(record.owner.as_deref())),
            (
                None,
                if kinds.is_empty() {
                    NOTHING.to_owned()
                } else {
                    kinds.join(",")
                },
            ),
            (None, record.accesses.to_string()),
            (None, record.refused.to_string()),
            match findings {
                0 => (None, "0".to_owned()),
                _ => (Some(Ink::Bad), format!("✗ {findings}")),
            },
            (None, listed(&record.environments, 3)),
            (None, listed(&record.workloads, 2)),
            (None, listed(&record.hosts, 3)),
            (
                None,
                match &record.baseline {
                    None => NOTHING.to_owned(),
                    Some(standing) => standing.waits_for.as_deref().map_or_else(
                        || "mature".to_owned(),
                        |what| format!("learning, {}", text(what)),
                    ),
                },
            ),
        ]);
    }
    table.lines(style)
}

pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}

/// What is learnt, and what found no budget: as many lines as it needs.
fn baseline(status: &BaselineStatus) -> Vec<(&'static str, String)> {
    if !status.enabled {
        return vec![("baseline", "off".to_owned())];
    }
    let mut lines = vec![
        (
            "baseline",
            format!(
                "{} profiles, {} mature, {} of {}, {} forgotten",
                status.profiles,
                status.mature,
                mebibytes(status.bytes),
                mebibytes(status.max_bytes),
                status.forgotten
            ),
        ),
        (
            "budget",
            format!(
                "{} unusual raised; at most {} x days + {}, {} left now; from {:.1} bits",
                status.alerts, status.budget, status.burst, status.left, status.threshold
            ),
        ),
    ];
    let shown = status.digest.iter().take(5).map(|entry| {
        let (identity, what) = (field(&entry.identity), text(&entry.what));
        let times = entry.count;
        (
            "digest",
            format!(
                "{:.1} bits, {times} times: {identity}: {what}",
                entry.evidence
            ),
        )
    });
    lines.extend(shown);
    let more = status.digest.len().saturating_sub(5) as u64 + status.digest_left_out;
    if more > 0 {
        lines.push((
            "digest",
            format!("{more} more beyond today's budget: -o json"),
        ));
    }
    lines
}

/// The daemon's state.
pub(crate) fn status(status: &StatusRecord, style: Style) -> Vec<String> {
    let mut table = Table::default();
    let mut row = |name: &str, ink: Option<Ink>, value: String| {
        table.row([(Some(Ink::Dim), name.to_owned()), (ink, value)]);
    };
    row(
        "daemon",
        None,
        format!(
            "{} pid {} since {} ({} s)",
            field(&status.version),
            status.pid,
            time(&status.started),
            status.uptime_s
        ),
    );
    let files: Vec<_> = status.config.iter().map(|file| field(file)).collect();
    row(
        "configuration",
        None,
        if files.is_empty() {
            "built-in defaults, no file".to_owned()
        } else {
            files.join(", ")
        },
    );
    row("environment", None, optional(status.environment.as_deref()));
    let policy = &status.policy;
    row(
        "policy",
        None,
        match policy.generation {
            0 => "none".to_owned(),
            generation => format!(
                "generation {generation}, {} identities, loaded {}",
                policy.identities,
                policy
                    .loaded
                    .as_deref()
                    .map_or_else(|| NOTHING.to_owned(), time)
            ),
        },
    );
    if let Some(error) = &policy.error {
        row(
            "",
            Some(Ink::Bad),
            format!(
                "✗ reload refused, the one before is in force: {}",
                text(error)
            ),
        );
    }
    for hook in &status.hooks {
        let detail = hook
            .detail
            .as_deref()
            .map(|detail| format!(", {}", text(detail)))
            .unwrap_or_default();
        let runs = hook
            .runs
            .map(|runs| format!(", {runs} runs"))
            .unwrap_or_default();
        if hook.attached {
            row(
                "hook",
                Some(Ink::Good),
                format!("✓ {} attached{detail}{runs}", field(&hook.name)),
            );
        } else {
            row(
                "hook",
                Some(Ink::Bad),
                format!("✗ {} not attached{detail}", field(&hook.name)),
            );
        }
    }
    let accesses = &status.accesses;
    row(
        "accesses",
        None,
        format!(
            "{:.1}/s, {} in all, {} with a credential",
            accesses.per_second, accesses.total, accesses.with_credential
        ),
    );
    let connections = &status.connections;
    row(
        "connections",
        None,
        format!(
            "{} open, {} of {}, {} forgotten",
            connections.open,
            mebibytes(connections.bytes),
            mebibytes(connections.max_bytes),
            connections.forgotten
        ),
    );
    let scan = &status.scan;
    if *scan != ScanStatus::default() {
        row(
            "beside code",
            (scan.found > 0).then_some(Ink::Bad),
            format!(
                "{} credentials in use found; {} workloads, {} files ({} MiB) looked through, {} cut short, {} not read, {} gone, {} skipped, {} dropped",
                scan.found,
                scan.workloads,
                scan.files,
                scan.bytes >> 20,
                scan.cut,
                scan.unread,
                scan.gone,
                scan.skipped,
                scan.dropped
            ),
        );
    }
    let (ink, line) = super::coverage::summary(&status.coverage);
    row("coverage", ink, line);
    row("probes", None, super::coverage::probes(&status.coverage));
    if let Some(not_seen) = &status.coverage.not_seen {
        let line = format!("▲ for want of tracepoints (Linux 6.3): {}", text(not_seen));
        row("", Some(Ink::Doubtful), line);
    }
    row(
        "identities",
        None,
        format!(
            "{} known, {} forgotten",
            status.identities.known, status.identities.forgotten
        ),
    );
    for (name, line) in baseline(&status.baseline) {
        row(name, None, line);
    }
    row(
        "history",
        None,
        format!(
            "{} accesses remembered, {} still open, {} of {}, {} forgotten",
            status.history.accesses,
            status.history.waiting,
            mebibytes(status.history.bytes),
            mebibytes(status.history.max_bytes),
            status.history.forgotten
        ),
    );
    row(
        "alerts",
        None,
        format!(
            "{} raised, {} stored",
            status.alerts.raised, status.alerts.stored
        ),
    );
    if let Some(error) = &status.alerts.error {
        row("", Some(Ink::Bad), format!("✗ store: {}", text(error)));
    }
    if let Some(error) = &status.audit.error {
        let words = format!("✗ the audit log cannot be written: {}", text(error));
        row("audit", Some(Ink::Bad), words);
    } else if status.audit.enabled {
        row("audit", None, format!("{} entries", status.audit.entries));
    }
    for hook in &status.webhooks {
        let ok = hook.state == "ok" && hook.error.is_none();
        let oldest = hook
            .oldest_s
            .map(|age| format!(", oldest {age} s"))
            .unwrap_or_default();
        let error = hook
            .error
            .as_deref()
            .map(|error| format!(": {}", text(error)))
            .unwrap_or_default();
        row(
            "webhook",
            Some(if ok { Ink::Good } else { Ink::Bad }),
            format!(
                "{} {} {}, {} delivered, {} waiting{oldest}, {} failed attempts, {} dead letters{error}",
                if ok { "✓" } else { "✗" },
                field(&hook.name),
                field(&hook.state),
                hook.delivered,
                hook.waiting,
                hook.failed,
                hook.dead_letters
            ),
        );
    }
    for queue in &status.queues {
        let ink = (queue.dropped > 0).then_some(Ink::Bad);
        row(
            "queue",
            ink,
            format!(
                "{} {} of {}, {} dropped",
                field(&queue.name),
                queue.length,
                queue.capacity,
                queue.dropped
            ),
        );
    }
    let mut counted = |name: &str, ink: Ink, list: &[Loss]| {
        let happened: Vec<&Loss> = list.iter().filter(|loss| loss.count > 0).collect();
        if happened.is_empty() {
            row(name, None, "none".to_owned());
        }
        for loss in happened {
            row(
                name,
                Some(ink),
                format!("{} {} {}", field(&loss.cause), loss.count, text(&loss.unit)),
            );
        }
    };
    counted("lost", Ink::Bad, &status.losses);
    counted("not understood", Ink::Doubtful, &status.anomalies);
    counted("not covered", Ink::Doubtful, &status.uncovered);
    if let Some((ink, value)) = super::contain::status(&status.containment) {
        row("containment", ink, value);
    }
    if let Some(bytes) = status.memory_bytes {
        row("memory", None, mebibytes(bytes));
    }
    table.lines(style)
}

/// How a delivery went.
pub(super) fn delivery(result: &DeliveryResult, style: Style) -> String {
    let status = result
        .status
        .map(|status| format!(" {status}"))
        .unwrap_or_default();
    let took = result
        .duration_ms
        .map(|ms| format!(" in {ms} ms"))
        .unwrap_or_default();
    let error = result
        .error
        .as_deref()
        .map(|error| format!(": {}", text(error)))
        .unwrap_or_default();
    let (ink, word) = if result.ok {
        (Ink::Good, "✓ accepted")
    } else {
        (Ink::Bad, "✗ failed")
    };
    format!(
        "{} {}{status}{took} {}{error}",
        field(&result.webhook),
        style.paint(ink, word),
        field(&result.id)
    )
}

/// A delivery that was given up.
pub(super) fn dead_letter(letter: &DeadLetter, style: Style) -> String {
    format!(
        "{} {} {} alert {} after {} attempts: {}",
        style.paint(Ink::Dim, &time(&letter.time)),
        field(&letter.id),
        field(&letter.webhook),
        field(&letter.alert),
        letter.attempts,
        text(&letter.error)
    )
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
