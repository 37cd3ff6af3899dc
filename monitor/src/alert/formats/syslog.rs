//! RFC 5424: <https://www.rfc-editor.org/rfc/rfc5424>. Fields are in structured data, and a sentence for people
//! is the message.
//!
//! A message keeps to [`Sender::room`]: values are cut to one length, as long as possible; then the sentence.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::alert::Alert;

use super::{FACILITY, Sender, attributes, is_test, kind, line, priority, severity, shown};

/// The element of our fields. Its number is that of examples (RFC 5612): the project has none of its own.
const ELEMENT: &str = "bailiwick@32473";
/// Lengths that values are cut to, in characters, until there is room.
const LENGTHS: [usize; 8] = [512, 256, 128, 96, 64, 32, 16, 8];
/// Bytes that are left for the sentence, if it needs as many.
const SENTENCE: usize = 240;
/// Most characters of HOSTNAME (of what uname gives; §6 allows 255), and of MSGID (§6).
const MAX_HOST: usize = 64;
const MAX_MSGID: usize = 32;

pub(super) fn body(alert: &Alert, sender: &Sender<'_>) -> Vec<u8> {
    let sentence = line(alert);
    let reserve = sentence.len().min(SENTENCE);
    let fits = |text: &String| text.len() + 4 + reserve <= sender.room;
    let checkpoint = sender.checkpoint.map(|note| STANDARD.encode(note));
    let mut head = String::new();
    // A checkpoint that is cut proves nothing: it is there whole or not at all.
    'found: for checkpoint in [checkpoint.as_deref(), None] {
        for length in LENGTHS {
            head = header(alert, sender.host);
            elements(&mut head, alert, sender.message_id, length, checkpoint);
            if fits(&head) {
                break 'found;
            }
        }
    }
    let mut out = head.into_bytes();
    out.push(b' ');
    // Text that is not ASCII begins with a byte order mark (§6.4).
    if !sentence.is_ascii() {
        out.extend_from_slice("\u{feff}".as_bytes());
    }
    let left = sender.room.saturating_sub(out.len());
    out.extend_from_slice(cut_bytes(&sentence, left).as_bytes());
    out
}

/// Up to STRUCTURED-DATA, with the space before it.
fn header(alert: &Alert, host: &str) -> String {
    let pri = u32::from(FACILITY) * 8 + u32::from(priority(alert.severity));
    let time = match alert.last_seen.parse::<jiff::Timestamp>() {
        Ok(time) => format!("{time:.6}"),
        Err(_) => "-".to_owned(),
    };
    format!(
        "<{pri}>1 {time} {} bailiwick - {} ",
        word(host, MAX_HOST),
        word(kind(alert), MAX_MSGID)
    )
}

/// PRINTUSASCII without spaces; `-` for nothing.
fn word(text: &str, max: usize) -> String {
    let word: String = text
        .chars()
        .map(|c| if c.is_ascii_graphic() { c } else { '_' })
        .take(max)
        .collect();
    if word.is_empty() {
        "-".to_owned()
    } else {
        word
    }
}

fn elements(out: &mut String, alert: &Alert, id: &str, length: usize, checkpoint: Option<&str>) {
    let _ = write!(
        out,
        "[origin software=\"bailiwick\" swVersion=\"{}\"][{ELEMENT}",
        env!("CARGO_PKG_VERSION")
    );
    let mut param = |name: &str, value: &str| {
        let _ = write!(out, " {name}=\"{}\"", escaped(value));
    };
    param("type", if is_test(alert) { "test" } else { "alert" });
    param("alert", &shown(&alert.id, 64));
    param("message", &shown(id, 96));
    param("kind", kind(alert));
    param("severity", severity(alert.severity));
    param("count", &alert.count.to_string());
    param("first_seen", &shown(&alert.first_seen, 32));
    param("last_seen", &shown(&alert.last_seen, 32));
    for (name, value) in attributes(alert) {
        param(name, &shown(value, length));
    }
    for technique in alert.techniques.iter().take(4) {
        param("technique", &shown(technique, 16));
    }
    if let Some(checkpoint) = checkpoint {
        param("checkpoint", checkpoint);
    }
    out.push(']');
}

/// §6.3.3: `"`, `\` and `]` are written with a backslash.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// As much as fits into `max` bytes, and no part of a character.
fn cut_bytes(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
