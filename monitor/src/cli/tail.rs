//! `tail` and `alerts --follow`: records of the past, then new ones, over restarts of the daemon.

use std::path::Path;
use std::time::Duration;

use super::client::{Answer, Connection, Record, hung_up, is_absence, unreachable};
use super::exit::Failure;
use super::out::{Out, note};
use super::{args::Form, render};
use crate::access::record::AccessRecord;
use crate::alert::Alert;
use crate::serve::protocol::{Command, Note, VERSION};

/// Accesses of the past asked for after a reconnection; those shown before are left out.
const CATCH_UP: usize = 1000;

/// Longest wait between two attempts to reach the daemon again.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Shows records until the daemon said all, or for ever.
pub(super) async fn follow(
    socket: &Path,
    mut command: Command,
    out: &mut Out,
) -> Result<(), Failure> {
    let mut connection = Connection::open(socket, &command)
        .await
        .map_err(|error| unreachable(socket, &error))?;
    let mut shown = Shown::default();
    loop {
        let answer = connection.next().await?;
        if let Some(ended) = show(answer, &mut shown, out)? {
            match ended {
                Ended::All => return out.flush(),
                Ended::Gone if !follows(&command) => {
                    out.flush()?;
                    return Err(hung_up());
                }
                Ended::Gone => {
                    out.flush()?;
                    note("the connection to the daemon ended; waiting for it to come back");
                    if let Command::Tail { last, .. } = &mut command
                        && !shown.last.is_empty()
                    {
                        *last = CATCH_UP;
                    }
                    shown.skipping = true;
                    connection = reconnect(socket, &command).await?;
                    note("the daemon is back");
                }
            }
        }
        if !connection.has_more() {
            out.flush()?;
        }
    }
}

fn follows(command: &Command) -> bool {
    matches!(
        command,
        Command::Tail { follow: true, .. } | Command::Alerts { follow: true, .. }
    )
}

async fn reconnect(socket: &Path, command: &Command) -> Result<Connection, Failure> {
    let mut wait = Duration::from_millis(100);
    loop {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(MAX_WAIT);
        match Connection::open(socket, command).await {
            Ok(connection) => return Ok(connection),
            Err(error) if is_absence(&error) => {}
            Err(error) => return Err(unreachable(socket, &error)),
        }
    }
}

/// What was shown last, so that a reconnection does not show it again.
#[derive(Default)]
struct Shown {
    last: String,
    skipping: bool,
}

impl Shown {
    /// Whether a record of the past was shown before; times of one form compare as text.
    fn again(&mut self, time: &str) -> bool {
        if self.skipping && *time <= *self.last {
            return true;
        }
        if *time > *self.last {
            time.clone_into(&mut self.last);
        }
        false
    }
}

enum Ended {
    All,
    Gone,
}

fn show(answer: Answer, shown: &mut Shown, out: &mut Out) -> Result<Option<Ended>, Failure> {
    match answer {
        Answer::Record(record) => one(&record, shown, out)?,
        Answer::Live => shown.skipping = false,
        Answer::Lost(count) => match out.form {
            Form::Json | Form::Sarif | Form::Html => out.json(&Note::Lost { v: VERSION, count })?,
            Form::Compact => {
                out.flush()?;
                note(&format!(
                    "{count} accesses were not shown: this reader is too slow"
                ));
            }
        },
        Answer::End => return Ok(Some(Ended::All)),
        Answer::Gone => return Ok(Some(Ended::Gone)),
    }
    Ok(None)
}

fn one(record: &Record, shown: &mut Shown, out: &mut Out) -> Result<(), Failure> {
    let style = out.style;
    let line = match record.kind.as_str() {
        "access" => {
            let access: AccessRecord = record.parse()?;
            if shown.again(&access.time) {
                return Ok(());
            }
            render::access(&access, style)
        }
        "alert" => {
            let alert: Alert = record.parse()?;
            if shown.again(&alert.last_seen) {
                return Ok(());
            }
            render::alert(&alert, style)
        }
        // A kind of a later version: only JSON can show it.
        _ if out.form != Form::Compact => String::new(),
        _ => return Ok(()),
    };
    match out.form {
        Form::Json | Form::Sarif | Form::Html => out.line(&record.json()),
        Form::Compact => out.line(&line),
    }
}
