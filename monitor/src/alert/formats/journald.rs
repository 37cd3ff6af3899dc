//! The journal's native protocol: <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>. One datagram holds one entry:
//! `FIELD=value` lines, or, for a value with line breaks, the name, a line break, its length and itself.

use crate::alert::Alert;

use super::{FACILITY, Sender, attributes, is_test, kind, line, priority, severity, shown};

/// `MESSAGE_ID` of alerts, and of tests: `journalctl MESSAGE_ID=…` finds them.
pub(super) const ALERT_ID: &str = "93545cb57abc43a88e715255448daf6f";
pub(super) const TEST_ID: &str = "a13577d7834c418e999e38cf2249b5b1";
/// Most characters of a field's value.
const MAX_VALUE: usize = 2000;

pub(super) fn body(alert: &Alert, sender: &Sender<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let id = if is_test(alert) { TEST_ID } else { ALERT_ID };
    field(&mut out, "MESSAGE", &line(alert));
    field(&mut out, "MESSAGE_ID", id);
    field(&mut out, "PRIORITY", &priority(alert.severity).to_string());
    field(&mut out, "SYSLOG_FACILITY", &FACILITY.to_string());
    field(&mut out, "SYSLOG_IDENTIFIER", "bailiwick");
    let mut ours = |name: &str, value: &str| {
        field(
            &mut out,
            &format!("BAILIWICK_{}", name.to_ascii_uppercase()),
            value,
        );
    };
    ours("type", if is_test(alert) { "test" } else { "alert" });
    ours("alert", &alert.id);
    ours("message_id", sender.message_id);
    ours("kind", kind(alert));
    ours("severity", severity(alert.severity));
    ours("count", &alert.count.to_string());
    ours("first_seen", &alert.first_seen);
    ours("last_seen", &alert.last_seen);
    for (name, value) in attributes(alert) {
        ours(name, &shown(value, MAX_VALUE));
    }
    // A field may be there several times.
    for technique in alert.techniques.iter().take(16) {
        ours("technique", &shown(technique, 32));
    }
    ours("normal", &shown(&alert.normal, MAX_VALUE));
    ours("action", &shown(&alert.action, MAX_VALUE));
    if let Some(checkpoint) = sender.checkpoint {
        ours("checkpoint", checkpoint);
    }
    ours("json", &serde_json::to_string(alert).unwrap_or_default());
    out
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}
