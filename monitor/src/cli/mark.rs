//! `ack`, `mute`, `unmark`: what people say about an alert.

use super::args::{Cli, Form};
use super::client::{self, Record};
use super::exit::{Exit, Failure};
use super::out::{Out, say};
use super::{quote, render, socket};
use crate::alert::Alert;
use crate::serve::protocol::Command as Ask;

/// Longest number of a duration.
const LONGEST: usize = 6;

/// Says it and shows the alert as it is now.
pub(super) async fn run(cli: &Cli, command: &Ask, out: &mut Out) -> Result<(), Failure> {
    for record in client::ask(&socket(cli)?, command).await? {
        if out.form == Form::Json {
            out.line(&record.json())?;
            continue;
        }
        let alert: Alert = Record::parse(&record)?;
        out.line(&render::alert(&alert, out.style))?;
        if let Some(mark) = render::mark(&alert) {
            say(&quote::text(&mark));
        }
    }
    Ok(())
}

/// Until when, as RFC 3339.
pub(super) fn until(text: &str, now: jiff::Timestamp) -> Result<String, Failure> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.to_string());
    }
    let seconds = text
        .char_indices()
        .next_back()
        .and_then(|(at, unit)| {
            let unit = match unit {
                's' => 1,
                'm' => 60,
                'h' => 3_600,
                'd' => 86_400,
                _ => return None,
            };
            let number = text.get(..at).filter(|text| text.len() <= LONGEST)?;
            number
                .parse::<u32>()
                .ok()
                .map(|count| i64::from(count) * unit)
        })
        .filter(|seconds| *seconds > 0);
    let time = seconds.and_then(|seconds| {
        let us = now
            .as_microsecond()
            .checked_add(seconds.checked_mul(1_000_000)?)?;
        jiff::Timestamp::from_microsecond(us).ok()
    });
    time.map(|time| time.to_string()).ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            format!("--until: {text:?} is neither a duration nor a time"),
        )
        .hint("write --until 2h, --until 3d or --until 2026-12-01T08:00:00Z")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_times() {
        let now: jiff::Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        for (text, time) in [
            ("90s", "2026-11-24T10:01:30Z"),
            ("30m", "2026-11-24T10:30:00Z"),
            ("2h", "2026-11-24T12:00:00Z"),
            ("3d", "2026-11-27T10:00:00Z"),
            ("2026-12-01T09:00:00+01:00", "2026-12-01T08:00:00Z"),
        ] {
            assert_eq!(until(text, now).unwrap(), time, "{text}");
        }
        for bad in [
            "",
            "h",
            "2",
            "-2h",
            "0h",
            "2w",
            "99999999d",
            "2 h",
            "é",
            "1é",
        ] {
            assert!(until(bad, now).is_err(), "{bad}");
        }
    }
}
