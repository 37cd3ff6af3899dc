//! `report` and `explain`: asked of the daemon, or taken from the store while none is running.

use std::path::Path;

use super::args::{Cli, ExplainArgs, Form, ReportArgs};
use super::exit::{Exit, Failure};
use super::out::{Out, note};
use super::{Hooks, client, configuration, quote, socket};
use crate::config::Config;
use crate::explain::{self, Story};
use crate::report::{Report, html, text};
use crate::serve::protocol::Command as Ask;

/// Width of lines when nobody says another.
const WIDTH: usize = 80;

const DAY_US: i64 = 86_400_000_000;

fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok();
    columns
        .and_then(|columns| columns.parse().ok())
        .unwrap_or(WIDTH)
        .min(WIDTH)
}

/// Says that what follows comes from the store.
fn absent(cli_socket: &Path, cause: &std::io::Error, config: &Config) {
    note(&format!(
        "no daemon listens at {}: {cause}; reading the store in {}",
        cli_socket.display(),
        config.state_dir.display()
    ));
}

/// `report`
pub(super) async fn report(
    cli: &Cli,
    args: &ReportArgs,
    hooks: &Hooks,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let since = since(args, jiff::Timestamp::now())?;
    let command = Ask::Report {
        since: since.map(|time| format!("{time:.6}")),
    };
    let socket = socket(cli)?;
    let report: Report = match client::ask_if_there(&socket, &command).await? {
        Ok(records) => only(&records)?,
        Err(cause) => {
            let config = configuration(cli.config.as_deref())?;
            absent(&socket, &cause, &config);
            (hooks.stored_report)(&config, since.map(jiff::Timestamp::as_microsecond))?
        }
    };
    let written = match out.form {
        Form::Html => html::render(&report),
        Form::Json | Form::Sarif => json(&report)?,
        Form::Compact => {
            let mut lines = text::render(&report, width()).join("\n");
            lines.push('\n');
            lines
        }
    };
    match &args.out {
        None => out.raw(written.as_bytes())?,
        Some(path) => std::fs::write(path, written).map_err(|error| {
            Failure::new(Exit::Unavailable, format!("{}: {error}", path.display()))
                .hint("name a file in a directory that is there and that you may write to")
        })?,
    }
    Ok(Exit::Success)
}

/// `explain`
pub(super) async fn explain(
    cli: &Cli,
    args: &ExplainArgs,
    hooks: &Hooks,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let command = Ask::Explain {
        id: args.id.clone(),
    };
    let socket = socket(cli)?;
    let story: Story = match client::ask_if_there(&socket, &command).await? {
        Ok(records) => only(&records)?,
        Err(cause) => {
            let config = configuration(cli.config.as_deref())?;
            absent(&socket, &cause, &config);
            (hooks.stored_story)(&config, &args.id)?
        }
    };
    if out.form == Form::Json {
        out.raw(json(&story)?.as_bytes())?;
        return Ok(Exit::Success);
    }
    for line in explain::text::render(&story, width()) {
        out.line(&line)?;
    }
    Ok(Exit::Success)
}

/// A line of JSON that is harmless to a terminal.
fn json(record: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(record).map_err(|error| {
        Failure::new(
            Exit::Software,
            format!("cannot be written as JSON: {error}"),
        )
    })?;
    Ok(format!("{}\n", quote::json(&text)))
}

fn only<T: serde::de::DeserializeOwned>(records: &[client::Record]) -> Result<T, Failure> {
    match records {
        [record] => record.parse(),
        _ => Err(Failure::new(
            Exit::Unavailable,
            format!(
                "the daemon answered {} records where one was expected",
                records.len()
            ),
        )
        .hint("is this the socket of bailiwick, and of the same version?")),
    }
}

/// Since when, if that was said.
fn since(args: &ReportArgs, now: jiff::Timestamp) -> Result<Option<jiff::Timestamp>, Failure> {
    let wrong = |message: String| {
        Failure::new(Exit::Usage, message)
            .hint("write --since 2026-11-01 (in UTC) or --since 2026-11-01T08:00:00Z")
    };
    let since = match (&args.since, args.days) {
        (None, None) => return Ok(None),
        (None, Some(days)) => {
            let us = now
                .as_microsecond()
                .saturating_sub(i64::from(days) * DAY_US);
            jiff::Timestamp::from_microsecond(us)
                .map_err(|error| wrong(format!("--days: {error}")))?
        }
        (Some(text), _) => {
            let time = text.parse::<jiff::Timestamp>();
            time.or_else(|_| format!("{text}T00:00:00Z").parse())
                .map_err(|_| wrong(format!("--since: {text:?} is neither a date nor a time")))?
        }
    };
    if since >= now {
        return Err(wrong(format!("--since: {since} is not past")));
    }
    Ok(Some(since))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn periods_are_dates_times_or_days() {
        let now: jiff::Timestamp = "2026-11-24T09:00:00Z".parse().unwrap();
        let ask = |since: Option<&str>, days| {
            let args = ReportArgs {
                days,
                since: since.map(str::to_owned),
                out: None,
            };
            super::since(&args, now).map(|time| time.map(|time| time.to_string()))
        };
        assert_eq!(ask(None, None), Ok(None));
        let said = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(ask(None, Some(7)), said("2026-11-17T09:00:00Z"));
        assert_eq!(ask(Some("2026-11-01"), None), said("2026-11-01T00:00:00Z"));
        assert_eq!(
            ask(Some("2026-11-01T08:00:00+01:00"), None),
            said("2026-11-01T07:00:00Z")
        );
        for wrong in ["yesterday", "2026-13-01", "", "2027-01-01"] {
            assert_eq!(
                ask(Some(wrong), None).unwrap_err().exit,
                Exit::Usage,
                "{wrong}"
            );
        }
    }
}
