//! The daemon's log: standard error, one line an event, quoted.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::journal::Journal;
use super::quote;
use crate::config::{Log, LogFormat};

/// Environment variable that replaces the configured level, in the syntax of tracing's filters.
pub const ENVIRONMENT: &str = "BAILIWICK_LOG";

/// Starts logging to standard error; does nothing when a log was started before.
///
/// Under journald (`JOURNAL_STREAM` names standard error) events go to its own socket, each value a field. Where that
/// cannot be reached, lines begin with `<N>`, the syslog level. Neither has a time: the journal has its own.
pub fn init(log: Log) {
    let level = match log.level {
        crate::config::LogLevel::Error => "error",
        crate::config::LogLevel::Warn => "warn",
        crate::config::LogLevel::Info => "info",
        crate::config::LogLevel::Debug => "debug",
        crate::config::LogLevel::Trace => "trace",
    };
    // Libraries may put headers and addresses with secrets into their lower levels.
    let configured = format!("warn,bailiwick={level}");
    let filter = std::env::var(ENVIRONMENT)
        .ok()
        .and_then(|filter| EnvFilter::try_new(filter).ok())
        .or_else(|| EnvFilter::try_new(configured).ok())
        .unwrap_or_default();
    if log.format == LogFormat::Compact
        && to_journal()
        && let Ok(journal) = Journal::connect()
    {
        // An error means that there is a subscriber already.
        let _ = tracing_subscriber::registry()
            .with(filter)
            .with(journal)
            .try_init();
        return;
    }
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Quoted);
    // An error means that a subscriber is there already.
    let _ = match log.format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Compact if to_journal() => builder.event_format(Lines).try_init(),
        LogFormat::Compact => builder.compact().try_init(),
    };
}

/// Whether standard error is the journal (systemd.exec(5), `$JOURNAL_STREAM`).
fn to_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let Ok(meta) = std::fs::metadata("/proc/self/fd/2") else {
        return false;
    };
    stream == format!("{}:{}", meta.dev(), meta.ino())
}

/// `<6>bailiwick::serve: message field=value`.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{level}>{}: ", event.metadata().target())?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Writes each event (one call of `write`) as one line in which nothing can disturb a terminal.
struct Quoted;

struct QuotedWriter<W: Write>(W);

impl<'a> MakeWriter<'a> for Quoted {
    type Writer = QuotedWriter<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        QuotedWriter(io::stderr())
    }
}

impl<W: Write> Write for QuotedWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        // Backslashes stay: JSON and tracing's own quoting have put them there.
        let mut line = String::with_capacity(text.len() + 1);
        for c in text.chars() {
            if quote::is_plain(c) {
                line.push(c);
            } else {
                line.push_str(&quote::json(c.encode_utf8(&mut [0; 4])));
            }
        }
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Memory {
        type Writer = QuotedWriter<Memory>;
        fn make_writer(&'a self) -> Self::Writer {
            QuotedWriter(self.clone())
        }
    }

    fn events() {
        let wire = "GET /\u{202e}\u{1b}[31m\r\nInjected: \u{9b}\u{200b}";
        tracing::info!(host = wire, "seen {wire}");
        tracing::error!(path = ?wire, "plain");
    }

    #[test]
    fn nothing_from_the_wire_breaks_a_line() {
        for json in [false, true] {
            let memory = Memory::default();
            let builder = tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(memory.clone());
            if json {
                tracing::subscriber::with_default(builder.json().finish(), events);
            } else {
                tracing::subscriber::with_default(builder.event_format(Lines).finish(), events);
            }
            let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
            assert_eq!(text.lines().count(), 2, "{text}");
            assert!(
                text.lines().all(|line| line.chars().all(quote::is_plain)),
                "{text}"
            );
            for line in text.lines() {
                if json {
                    assert!(
                        serde_json::from_str::<serde_json::Value>(line).is_ok(),
                        "{line}"
                    );
                } else {
                    assert!(
                        line.starts_with("<6>bailiwick::") || line.starts_with("<3>bailiwick::"),
                        "{line}"
                    );
                }
            }
        }
    }
}
