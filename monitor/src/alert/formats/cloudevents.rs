//! CloudEvents 1.0 in structured mode: an event around the alert's own JSON.
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>

use serde_json::json;

use crate::alert::Alert;

use super::{Sender, is_test, severity};

pub(super) fn body(alert: &Alert, sender: &Sender<'_>) -> Vec<u8> {
    let what = if is_test(alert) { "test" } else { "alert" };
    json!({
        "specversion": "1.0",
        "id": sender.message_id,
        "source": source(sender.host),
        "type": format!("bailiwick.{what}.v1"),
        "subject": alert.id,
        "time": alert.last_seen,
        "datacontenttype": "application/json",
        // An extension attribute, so that receivers can route without looking at the data.
        "severity": severity(alert.severity),
        "data": alert,
    })
    .to_string()
    .into_bytes()
}

/// A URI reference that names the host.
fn source(host: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let host: String = host
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    format!("/bailiwick/{host}")
}
