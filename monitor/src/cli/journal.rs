//! Events for journald with a field for each value (systemd's native protocol, docs/JOURNAL_NATIVE_PROTOCOL.md).

use std::fmt::{self, Debug, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Most bytes of one value. Whole events stay below what a datagram takes (net.core.wmem_default, about 200 KiB).
const MOST: usize = 8 << 10;
/// Most values of one event.
const MOST_VALUES: usize = 16;

/// Sends events to journald.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    /// Connects; later calls need no further socket.
    pub(super) fn connect() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(SOCKET)?;
        Ok(Self { socket })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let meta = event.metadata();
        let mut entry = Entry::default();
        event.record(&mut entry);
        let bytes = entry.finish(meta.level(), meta.target());
        if self.socket.send(&bytes).is_err() {
            // Too large for it, or journald is gone: what was said is not lost if standard error still goes anywhere.
            let _ = io::Write::write_all(&mut io::stderr(), &entry.line(meta.level()));
        }
    }
}

/// One event.
#[derive(Debug, Default)]
struct Entry {
    message: String,
    values: Vec<(String, String)>,
}

impl Entry {
    /// The datagram: each field with its length in front, so that no value can begin another field.
    fn finish(&self, level: &Level, target: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let mut text = self.message.clone();
        for (name, value) in &self.values {
            let _ = write!(text, " {name}={value}");
        }
        field(&mut out, "MESSAGE", &text);
        field(&mut out, "PRIORITY", priority(level));
        field(&mut out, "SYSLOG_IDENTIFIER", "bailiwick");
        field(&mut out, "TARGET", target);
        for (name, value) in &self.values {
            field(&mut out, &format!("BAILIWICK_{}", key(name)), value);
        }
        out
    }

    /// For standard error.
    fn line(&self, level: &Level) -> Vec<u8> {
        let text: String = self.message.chars().filter(|c| !c.is_control()).collect();
        format!("<{}>{text}\n", priority(level)).into_bytes()
    }

    fn add(&mut self, field: &Field, value: String) {
        let value = plain(&value);
        if field.name() == "message" {
            self.message = value;
        } else if self.values.len() < MOST_VALUES {
            self.values.push((field.name().to_owned(), value));
        }
    }
}

impl Visit for Entry {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = Bounded::default();
        // An error means that it is full: what fits is kept.
        let _ = write!(text, "{value:?}");
        self.add(field, text.0);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = Bounded::default();
        let _ = text.write_str(value);
        self.add(field, text.0);
    }
}

/// Text that stops at its bound.
#[derive(Default)]
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MOST.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let mut end = room;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.0.push_str(text.get(..end).unwrap_or_default());
        Err(fmt::Error)
    }
}

/// Nothing that disturbs the terminal of who reads the journal; lines stay lines.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || super::quote::is_plain(c) {
            out.push(c);
        } else {
            out.push_str(&super::quote::json(c.encode_utf8(&mut [0; 4])));
        }
    }
    out
}

fn priority(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// A field's name as journald takes it: upper case, digits and underscores, 64 bytes at most.
fn key(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => c.to_ascii_uppercase(),
            _ => '_',
        })
        .take(48)
        .collect()
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend(name.bytes());
    out.push(b'\n');
    out.extend((value.len() as u64).to_le_bytes());
    out.extend(value.bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Fields of a datagram.
    fn read(mut bytes: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
            let name = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length: [u8; 8] = bytes[end + 1..end + 9].try_into().unwrap();
            let length = usize::try_from(u64::from_le_bytes(length)).unwrap();
            let value = &bytes[end + 9..end + 9 + length];
            fields.push((name, String::from_utf8(value.to_vec()).unwrap()));
            assert_eq!(bytes[end + 9 + length], b'\n');
            bytes = &bytes[end + 10 + length..];
        }
        fields
    }

    fn sent(say: impl FnOnce()) -> Vec<(String, String)> {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let journal = Journal { socket: ours };
        let subscriber = tracing_subscriber::registry().with(journal);
        tracing::subscriber::with_default(subscriber, say);
        let mut bytes = vec![0; 1 << 18];
        let length = theirs.recv(&mut bytes).unwrap();
        read(&bytes[..length])
    }

    #[test]
    fn each_value_is_a_field() {
        let fields = sent(|| tracing::warn!(hooks = 7, socket = %"/run/x", "watching"));
        let pairs: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(
            pairs,
            [
                ("MESSAGE", "watching hooks=7 socket=/run/x"),
                ("PRIORITY", "4"),
                ("SYSLOG_IDENTIFIER", "bailiwick"),
                ("TARGET", "bailiwick::cli::journal::tests"),
                ("BAILIWICK_HOOKS", "7"),
                ("BAILIWICK_SOCKET", "/run/x"),
            ]
        );
    }

    #[test]
    fn nothing_from_the_wire_makes_fields_or_disturbs_terminals() {
        let wire = format!("x\nPRIORITY=0\u{1b}[31m\u{202e}{}", "y".repeat(MOST));
        let fields = sent(|| tracing::info!(host = wire, "seen {wire}"));
        assert_eq!(fields.len(), 5);
        assert!(fields.iter().all(|(_, value)| {
            value
                .chars()
                .all(|c| c == '\n' || super::super::quote::is_plain(c))
        }));
        assert!(fields[4].1.len() < MOST + 64, "{}", fields[4].1.len());
        assert_eq!(fields[1], ("PRIORITY".to_owned(), "6".to_owned()));
    }
}
