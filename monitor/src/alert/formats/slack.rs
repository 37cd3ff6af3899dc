//! Slack's incoming webhooks: a line for notifications, and blocks.
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>,
//! <https://docs.slack.dev/reference/block-kit/blocks>
//!
//! Nothing of an alert is taken for markup: all blocks are `plain_text`, and `&`, `<` and `>` are
//! escaped everywhere, so that no host can mention `<!channel>` or dress a link.

use serde_json::{Value, json};

use crate::alert::Alert;
use crate::judge::Severity;

use super::{Sender, attributes, kind, severity, shown};

/// Most characters of a text in a header.
pub(super) const MAX_HEADER: usize = 150;
/// Most characters of a field of a section.
pub(super) const MAX_FIELD: usize = 2000;
/// Most characters that are used of the 3000 a section's text may have.
const MAX_TEXT: usize = 2900;
/// Characters of one value; long ones help nobody in a chat.
const MAX_VALUE: usize = 400;

pub(super) fn body(alert: &Alert, sender: &Sender<'_>) -> Vec<u8> {
    let glyph = match alert.severity {
        Severity::Low => "○",
        Severity::Medium => "◐",
        Severity::High => "●",
        Severity::Critical => "■",
    };
    let level = severity(alert.severity);
    let head = format!("{glyph} {level}: {}", shown(&alert.title, 500));
    let mut fields: Vec<Value> = attributes(alert)
        .map(|(name, value)| field(name, &shown(value, MAX_VALUE)))
        .collect();
    let seen = if alert.count == 1 {
        alert.last_seen.clone()
    } else {
        format!(
            "{} times, {} to {}",
            alert.count, alert.first_seen, alert.last_seen
        )
    };
    fields.push(field("seen", &seen));
    fields.push(field("host", &shown(sender.host, MAX_VALUE)));
    let advice = format!(
        "normal: {}\nto do: {}",
        shown(&alert.normal, 1000),
        shown(&alert.action, 1000)
    );
    json!({
        // What notifications show; without the escapes it would be markup.
        "text": escaped(&head, MAX_TEXT),
        "blocks": [
            { "type": "header", "text": plain(&head, MAX_HEADER) },
            { "type": "section", "fields": fields },
            { "type": "section", "text": plain(&advice, MAX_TEXT) },
            { "type": "context", "elements": [
                plain(&format!("{} · {} · bailiwick explain {}", kind(alert), alert.id, alert.id), MAX_TEXT),
            ] },
        ],
    })
    .to_string()
    .into_bytes()
}

fn field(name: &str, value: &str) -> Value {
    plain(&format!("{name}\n{value}"), MAX_FIELD)
}

fn plain(text: &str, max: usize) -> Value {
    json!({ "type": "plain_text", "emoji": false, "text": escaped(text, max) })
}

/// At most `max` characters with `&`, `<` and `>` as entities, none of them cut.
fn escaped(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(4 * max) + 8);
    let mut used = 0;
    for c in text.chars() {
        let mut own = [0; 4];
        let piece = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            c => c.encode_utf8(&mut own),
        };
        let length = piece.chars().count();
        if used + length >= max {
            out.push('…');
            break;
        }
        used += length;
        out.push_str(piece);
    }
    out
}
