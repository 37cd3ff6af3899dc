//! PagerDuty's Events API v2: <https://developer.pagerduty.com/docs/send-alert-event>.
//!
//! An alert has no end of its own, so there are only `trigger`s; one alert is one incident, since its
//! id is the `dedup_key` of every message about it.

use serde_json::{Value, json};

use crate::alert::Alert;
use crate::judge::Severity;

use super::{Sender, attributes, kind, shown};

/// Most characters of a summary.
pub(super) const MAX_SUMMARY: usize = 1024;

pub(super) fn body(alert: &Alert, sender: &Sender<'_>) -> Vec<u8> {
    let severity = match alert.severity {
        Severity::Low => "info",
        Severity::Medium => "warning",
        Severity::High => "error",
        Severity::Critical => "critical",
    };
    let mut details: serde_json::Map<String, Value> = attributes(alert)
        .map(|(name, value)| (name.to_owned(), shown(value, 3000).into()))
        .collect();
    details.insert("alert".to_owned(), alert.id.clone().into());
    details.insert("count".to_owned(), alert.count.into());
    details.insert("first_seen".to_owned(), alert.first_seen.clone().into());
    details.insert("last_seen".to_owned(), alert.last_seen.clone().into());
    details.insert("normal".to_owned(), shown(&alert.normal, 3000).into());
    details.insert("action".to_owned(), shown(&alert.action, 3000).into());
    details.insert("techniques".to_owned(), alert.techniques.clone().into());
    let mut payload = json!({
        "summary": shown(&alert.title, MAX_SUMMARY),
        "source": shown(sender.host, 255),
        "severity": severity,
        "timestamp": alert.last_seen,
        "class": kind(alert),
        "custom_details": details,
    });
    if let Some(payload) = payload.as_object_mut() {
        for (name, value) in [
            ("component", &alert.workload),
            ("group", &alert.environment),
        ] {
            if let Some(value) = value {
                payload.insert(name.to_owned(), shown(value, 255).into());
            }
        }
    }
    json!({
        "routing_key": sender.routing_key,
        "event_action": "trigger",
        "dedup_key": alert.id,
        "client": "Bailiwick",
        "payload": payload,
    })
    .to_string()
    .into_bytes()
}
