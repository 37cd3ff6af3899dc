//! Alerts in the words of other tools: one file a format, each a function from an alert to a body.
//!
//! Pure: no I/O, no clock, no panic on any alert. What an alert holds was partly written by others
//! (hosts, paths, names), so each format escapes it as its receiver asks.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod alertmanager;
mod cloudevents;
mod journald;
mod ocsf;
mod pagerduty;
mod slack;
mod syslog;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::Deserialize;

use crate::access::record::rfc3339;
use crate::cli::quote;
use crate::judge::{FindingKind, Severity};

use super::Alert;

/// How an endpoint wants its messages: `format` in `[[webhook]]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// An alert as `bailiwick alerts -o json` prints it, signed (docs/webhooks.md).
    #[default]
    Json,
    /// OCSF Detection Finding, class 2004, signed.
    Ocsf,
    /// CloudEvents 1.0, structured mode, signed.
    Cloudevents,
    /// Slack's incoming webhooks.
    Slack,
    /// PagerDuty's Events API v2.
    Pagerduty,
    /// Prometheus Alertmanager's API v2.
    Alertmanager,
    /// RFC 5424, to a socket.
    Syslog,
    /// The journal's own protocol, to its socket.
    Journald,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Json,
        Self::Ocsf,
        Self::Cloudevents,
        Self::Slack,
        Self::Pagerduty,
        Self::Alertmanager,
        Self::Syslog,
        Self::Journald,
    ];

    /// Name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ocsf => "ocsf",
            Self::Cloudevents => "cloudevents",
            Self::Slack => "slack",
            Self::Pagerduty => "pagerduty",
            Self::Alertmanager => "alertmanager",
            Self::Syslog => "syslog",
            Self::Journald => "journald",
        }
    }

    /// `content-type` of its messages.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            // CloudEvents' JSON format 1.0.2 §3: structured mode.
            Self::Cloudevents => "application/cloudevents+json; charset=utf-8",
            _ => "application/json",
        }
    }

    /// Whether the receiver can check a signature (Standard Webhooks), so that `secret` is asked for.
    #[must_use]
    pub fn is_signed(self) -> bool {
        matches!(self, Self::Json | Self::Ocsf | Self::Cloudevents)
    }

    /// Whether its messages go to a log's socket, not over HTTP.
    #[must_use]
    pub fn is_log(self) -> bool {
        matches!(self, Self::Syslog | Self::Journald)
    }

    /// Whether the message itself holds a key.
    #[must_use]
    pub fn has_routing_key(self) -> bool {
        self == Self::Pagerduty
    }
}

/// What a message says beside the alert.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    /// `webhook-id` of the message.
    pub message_id: &'a str,
    /// Name of this host.
    pub host: &'a str,
    /// PagerDuty's key; empty where there is none.
    pub routing_key: &'a str,
    /// Most bytes of a message (`syslog` keeps to it).
    pub room: usize,
    /// The audit log's newest checkpoint, for formats that have room for it in the body.
    pub checkpoint: Option<&'a str>,
}

impl std::fmt::Debug for Sender<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender")
            .field("message_id", &self.message_id)
            .finish_non_exhaustive()
    }
}

/// The body that tells an alert: UTF-8 JSON, or what its log takes; about as long as the alert's own JSON at most.
#[must_use]
pub fn body(format: Format, alert: &Alert, sender: &Sender<'_>) -> Vec<u8> {
    match format {
        Format::Json => serde_json::to_vec(alert).unwrap_or_default(),
        Format::Ocsf => ocsf::body(alert, sender),
        Format::Cloudevents => cloudevents::body(alert, sender),
        Format::Slack => slack::body(alert, sender),
        Format::Pagerduty => pagerduty::body(alert, sender),
        Format::Alertmanager => alertmanager::body(alert, sender),
        Format::Syslog => syslog::body(alert, sender),
        Format::Journald => journald::body(alert, sender),
    }
}

/// What `send-test` tells where an alert is expected: its `type` is `test`, its severity the least.
#[must_use]
pub fn test_alert(id: &str, now_us: i64) -> Alert {
    Alert {
        r#type: "test".to_owned(),
        v: 1,
        id: id.to_owned(),
        severity: Severity::Low,
        // Never shown: see `kind`.
        kind: FindingKind::Duty,
        title: "a test of this webhook: nothing has happened".to_owned(),
        identity: None,
        owner: None,
        workload: None,
        operation: "bailiwick send-test".to_owned(),
        environment: None,
        clause: "none".to_owned(),
        count: 1,
        first_seen: rfc3339(now_us),
        last_seen: rfc3339(now_us),
        techniques: Vec::new(),
        normal: "tests come when someone asks for them".to_owned(),
        action: "nothing; close it if it was opened as an incident".to_owned(),
        acknowledged: None,
        muted_until: None,
        evidence: Vec::new(),
    }
}

fn is_test(alert: &Alert) -> bool {
    alert.r#type == "test"
}

/// Its kind, or `test`.
fn kind(alert: &Alert) -> &'static str {
    if is_test(alert) {
        "test"
    } else {
        alert.kind.name()
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

/// Milliseconds since 1970; 0 for what is no time.
fn millis(time: &str) -> i64 {
    time.parse::<Timestamp>()
        .map_or(0, |time| time.as_millisecond())
}

/// Text for people, in at most `max` characters: what does not show itself (controls, format and
/// right-to-left characters) is written as an escape.
fn shown(text: &str, max: usize) -> String {
    cut(&quote::text(text), max)
}

/// The first `max` characters; a cut text ends in `…`.
fn cut(text: &str, max: usize) -> String {
    if text.chars().nth(max).is_none() {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(max.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// What an alert says in one line, for logs.
fn line(alert: &Alert) -> String {
    format!(
        "{}. Normal: {}. To do: {}",
        shown(&alert.title, 1000),
        shown(&alert.normal, 1000),
        shown(&alert.action, 1000)
    )
}

/// Facility 10 of RFC 5424 table 1: security and authorization messages.
const FACILITY: u8 = 10;

/// The severity of RFC 5424 table 2: notice, warning, error, critical.
fn priority(severity: Severity) -> u8 {
    match severity {
        Severity::Low => 5,
        Severity::Medium => 4,
        Severity::High => 3,
        Severity::Critical => 2,
    }
}

/// What is there of an alert's attributes, by name.
fn attributes(alert: &Alert) -> impl Iterator<Item = (&'static str, &str)> {
    let own = !is_test(alert);
    [
        ("identity", alert.identity.as_deref()),
        ("owner", alert.owner.as_deref()),
        ("workload", alert.workload.as_deref()),
        ("environment", alert.environment.as_deref()),
        ("operation", Some(alert.operation.as_str()).filter(|_| own)),
        ("clause", Some(alert.clause.as_str()).filter(|_| own)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
}
