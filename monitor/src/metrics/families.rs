//! Which metrics there are. docs/metrics.md lists them; a test holds it to that.

use crate::judge::{FindingCounts, FindingKind, Severity};
use crate::serve::records::{Loss, StatusRecord, WebhookStatus};

use super::latency::{BOUNDS_US, Latency};
use super::text::{Form, Kind, Text};

/// Severities with their names.
const SEVERITIES: [(Severity, &str); 4] = [
    (Severity::Low, "low"),
    (Severity::Medium, "medium"),
    (Severity::High, "high"),
    (Severity::Critical, "critical"),
];

/// What is exposed.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// As `bailiwick status` has it.
    pub status: StatusRecord,
    /// Losses of all causes, those that never happened included.
    pub losses: Vec<Loss>,
    /// What the decoder met, likewise.
    pub anomalies: Vec<(&'static str, u64)>,
    /// Findings.
    pub findings: FindingCounts,
    /// From a response's first byte to its verdict.
    pub latency: Latency,
}

/// All metrics in one of the text formats.
#[must_use]
pub fn expose(inputs: &Inputs, form: Form) -> String {
    let status = &inputs.status;
    let mut text = Text::new(form);
    text.family(
        "bailiwick_build_info",
        Kind::Gauge,
        "Version of the daemon; always 1.",
    )
    .sample(&[("version", &status.version)], 1);
    let mut one = |name, kind, value: u64, help| {
        text.family(name, kind, help).sample(&[], value);
    };
    let flag = |is: bool| u64::from(is);
    use Kind::{Counter, Gauge};
    one(
        "bailiwick_uptime_seconds",
        Gauge,
        status.uptime_s,
        "Seconds since the daemon was started.",
    );
    one(
        "bailiwick_accesses",
        Counter,
        status.accesses.total,
        "Requests understood.",
    );
    one(
        "bailiwick_accesses_with_credential",
        Counter,
        status.accesses.with_credential,
        "Requests understood that carried a credential.",
    );
    one(
        "bailiwick_connections",
        Gauge,
        status.connections.open,
        "Connections being decoded.",
    );
    one(
        "bailiwick_connection_memory_bytes",
        Gauge,
        status.connections.bytes,
        "Memory that connections being decoded hold.",
    );
    one(
        "bailiwick_connection_memory_limit_bytes",
        Gauge,
        status.connections.max_bytes,
        "Bound of that memory.",
    );
    one(
        "bailiwick_identities",
        Gauge,
        status.identities.known,
        "Identities known.",
    );
    one(
        "bailiwick_identities_forgotten",
        Counter,
        status.identities.forgotten,
        "Identities forgotten because a bound was reached.",
    );
    one(
        "bailiwick_workloads",
        Gauge,
        status.coverage.workloads,
        "Workloads known.",
    );
    one(
        "bailiwick_dark_workloads",
        Gauge,
        status.coverage.dark_workloads,
        "Workloads with more connections that nobody can read than such that were read.",
    );
    one(
        "bailiwick_probes",
        Gauge,
        status.coverage.probes,
        "Probes on functions of TLS libraries.",
    );
    one(
        "bailiwick_missing_probes",
        Gauge,
        status.coverage.missing_probes,
        "Functions that should be probed and are not.",
    );
    one(
        "bailiwick_policy_generation",
        Gauge,
        status.policy.generation,
        "Successful loads of the policy since start.",
    );
    one(
        "bailiwick_policy_identities",
        Gauge,
        status.policy.identities,
        "Identities that the policy names.",
    );
    one(
        "bailiwick_policy_reload_refused",
        Gauge,
        flag(status.policy.error.is_some()),
        "1 while the last reload was refused, and the old policy is in force.",
    );
    one(
        "bailiwick_alerts_stored",
        Gauge,
        status.alerts.stored,
        "Alerts in the store.",
    );
    one(
        "bailiwick_alert_updates",
        Counter,
        status.alerts.raised,
        "Alerts begun or grown, as stored.",
    );
    one(
        "bailiwick_alert_updates_waiting",
        Gauge,
        status.queues.iter().map(|queue| queue.length).sum(),
        "Alert updates that wait for the store in memory.",
    );
    one(
        "bailiwick_store_failing",
        Gauge,
        flag(status.alerts.error.is_some()),
        "1 while the store cannot be written to.",
    );
    if let Some(bytes) = status.memory_bytes {
        one(
            "bailiwick_resident_memory_bytes",
            Gauge,
            bytes,
            "Resident memory of the daemon.",
        );
    }
    findings(&mut text, &inputs.findings);
    causes(&mut text, inputs);
    coverage(&mut text, status);
    webhooks(&mut text, &status.webhooks);
    latency(&mut text, &inputs.latency);
    text.finish()
}

fn findings(text: &mut Text, findings: &FindingCounts) {
    text.family(
        "bailiwick_findings",
        Kind::Counter,
        "Findings of the checks, before they fold into alerts.",
    );
    for kind in FindingKind::ALL {
        for (severity, name) in SEVERITIES {
            let labels = [("kind", kind.name()), ("severity", name)];
            text.sample(&labels, findings.get(kind, severity));
        }
    }
}

fn causes(text: &mut Text, inputs: &Inputs) {
    text.family(
        "bailiwick_losses",
        Kind::Counter,
        "What was lost on the way, by cause; what is counted differs by cause.",
    );
    for loss in &inputs.losses {
        text.sample(&[("cause", &loss.cause), ("unit", &loss.unit)], loss.count);
    }
    text.family(
        "bailiwick_anomalies",
        Kind::Counter,
        "What the decoder did not understand, by cause.",
    );
    for (cause, count) in &inputs.anomalies {
        text.sample(&[("cause", cause)], count);
    }
    // Summed over the workloads that are listed, which are bounded: it can fall.
    text.family(
        "bailiwick_uncovered_bytes",
        Kind::Gauge,
        "Bytes that passed unseen, by cause.",
    );
    for loss in &inputs.status.uncovered {
        text.sample(&[("cause", &loss.cause)], loss.count);
    }
}

fn coverage(text: &mut Text, status: &StatusRecord) {
    let coverage = &status.coverage;
    let all = [
        ("read", coverage.read),
        ("other", coverage.other),
        ("dark", coverage.dark),
    ];
    // A connection that is understood better later moves, so these are no counters.
    text.family(
        "bailiwick_covered_connections",
        Kind::Gauge,
        "Connections since start by how they were understood: read, other (not HTTP), dark (nobody can say).",
    );
    for (how, count) in all {
        text.sample(&[("coverage", how)], count.connections);
    }
    text.family("bailiwick_covered_bytes", Kind::Gauge, "Their bytes.");
    for (how, count) in all {
        text.sample(&[("coverage", how)], count.bytes);
    }
}

fn webhooks(text: &mut Text, webhooks: &[WebhookStatus]) {
    let mut each = |name, kind, help, value: fn(&WebhookStatus) -> u64| {
        text.family(name, kind, help);
        for webhook in webhooks {
            text.sample(&[("webhook", &webhook.name)], value(webhook));
        }
    };
    each(
        "bailiwick_webhook_queue_length",
        Kind::Gauge,
        "Messages that wait for a webhook.",
        |webhook| webhook.waiting,
    );
    each(
        "bailiwick_webhook_queue_oldest_age_seconds",
        Kind::Gauge,
        "Age of the oldest of them; 0 when none waits.",
        |webhook| webhook.oldest_s.unwrap_or(0),
    );
    each(
        "bailiwick_webhook_delivered",
        Kind::Counter,
        "Messages delivered.",
        |webhook| webhook.delivered,
    );
    each(
        "bailiwick_webhook_failed_attempts",
        Kind::Counter,
        "Attempts at a delivery that failed.",
        |webhook| webhook.failed,
    );
    each(
        "bailiwick_webhook_dead_letters",
        Kind::Gauge,
        "Messages that were given up, and are kept.",
        |webhook| webhook.dead_letters,
    );
    each(
        "bailiwick_webhook_disabled",
        Kind::Gauge,
        "1 while a webhook is disabled, because it answered 410 Gone.",
        |webhook| u64::from(webhook.state == "disabled"),
    );
}

fn latency(text: &mut Text, latency: &Latency) {
    text.family(
        "bailiwick_verdict_latency_seconds",
        Kind::Histogram,
        "From the first byte of a response to the verdict on its request.",
    );
    for (bound, count) in BOUNDS_US.into_iter().zip(latency.buckets) {
        let bound = seconds(bound);
        text.line("_bucket", &[("le", &bound)], count);
    }
    text.line("_bucket", &[("le", "+Inf")], latency.count);
    text.line("_sum", &[], seconds(latency.sum_us));
    text.line("_count", &[], latency.count);
}

/// Microseconds as a decimal number of seconds with at least one digit behind the point.
fn seconds(us: u64) -> String {
    let fraction = format!("{:06}", us % 1_000_000);
    let digits = fraction.trim_end_matches('0');
    format!(
        "{}.{}",
        us / 1_000_000,
        if digits.is_empty() { "0" } else { digits }
    )
}
