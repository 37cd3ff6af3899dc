//! `replay` and `eval`: recorded accesses, judged in their own time.

use std::path::Path;
use std::sync::Arc;

use super::args::{Cli, Form};
use super::captured::{self, Replayed};
use super::exit::{Exit, Failure};
use super::out::{Ink, Out, Table, note};
use super::recorded_args::{EvalArgs, RecordedFormat, ReplayArgs};
use super::{Hooks, configuration, quote, recorded, render, told};
use crate::config::Config;
use crate::replay::eval::{Evaluation, Evaluator, Label, Part};
use crate::replay::{Item, Reader, Refusals, RefusedLines, Rules, Summary};
use crate::store::StoreOptions;

/// Judges recorded accesses.
pub(super) fn replay(
    cli: &Cli,
    args: &ReplayArgs,
    hooks: &Hooks,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let config = configuration(cli.config.as_deref())?;
    let rules = rules(&config, args.policy.as_deref(), hooks)?;
    let mut replayed = Replayed::new(&rules, || (hooks.recogniser)(&config), &args.keylog);
    recorded::read_to(&args.files, args.format, &mut replayed)?;
    let (replay, refusals, capture) = replayed.end();
    let outcome = replay.end();
    for alert in &outcome.alerts {
        match out.form {
            Form::Compact => out.line(&render::alert(alert, out.style))?,
            Form::Json | Form::Sarif | Form::Html => out.json(alert)?,
        }
    }
    let mut summary = outcome.summary;
    summary.refused = refusals.lines();
    summary.capture = capture;
    match out.form {
        Form::Compact => summarise(&summary, out)?,
        Form::Json | Form::Sarif | Form::Html => out.json(&summary)?,
    }
    refused(&summary.refused, out);
    judged_any(summary.accesses, &summary.refused)?;
    Ok(if outcome.alerts.is_empty() {
        Exit::Success
    } else {
        Exit::Found
    })
}

/// Measures what is found in labelled accesses.
pub(super) fn eval(
    cli: &Cli,
    args: &EvalArgs,
    hooks: &Hooks,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let split = match &args.split {
        None => None,
        Some(text) => {
            let time = text.parse::<jiff::Timestamp>().map_err(|_| {
                Failure::new(Exit::Usage, format!("--split {text}: no time"))
                    .hint("as RFC 3339 writes it: 2026-11-24T08:00:00Z")
            })?;
            Some(time.as_microsecond())
        }
    };
    let config = configuration(cli.config.as_deref())?;
    let rules = rules(&config, args.policy.as_deref(), hooks)?;
    let mut evaluator = Evaluator::new(&rules);
    let (mut reader, mut refusals) = (Reader::default(), Refusals::default());
    let format = RecordedFormat::Accesses;
    recorded::read(&args.files, format, |file, line, found| {
        let read = found.and_then(|(format, piece)| {
            let item = reader.read(format, piece)?;
            // It is JSON; what is not of this form has no label.
            let label = serde_json::from_slice::<Label>(piece);
            Ok((item, label.map_err(|_| crate::replay::Refusal::Fields)))
        });
        match read {
            Ok((Item::Access(mut access), Ok(label))) => evaluator.take(&mut access, &label),
            Ok((Item::Access(_), Err(why))) | Err(why) => refusals.note(file, line, why),
            Ok((Item::Lost(count), _)) => evaluator.lose(count),
            Ok((Item::Nothing, _)) => {}
        }
    })?;
    let mut evaluation = evaluator.end(split);
    evaluation.refused = refusals.lines();
    match out.form {
        Form::Compact => evaluated(&evaluation, out)?,
        Form::Json | Form::Sarif | Form::Html => out.json(&evaluation)?,
    }
    refused(&evaluation.refused, out);
    judged_any(evaluation.accesses, &evaluation.refused)?;
    Ok(Exit::Success)
}

fn rules(config: &Config, policy: Option<&Path>, hooks: &Hooks) -> Result<Rules, Failure> {
    let policy = match policy {
        Some(path) => Arc::new((hooks.policy_file)(path)?),
        None => (hooks.policy)(config).map_err(|found| told(&found, Exit::Config))?,
    };
    let (judge, baseline) = (hooks.rules)(config);
    let window = StoreOptions::default().fold_window;
    Ok(Rules {
        policy,
        judge,
        baseline,
        fold_window_us: i64::try_from(window.as_micros()).unwrap_or(i64::MAX),
    })
}

/// Nothing but refusals is a wrong file, or a wrong format.
fn judged_any(accesses: u64, refused: &RefusedLines) -> Result<(), Failure> {
    if accesses > 0 || refused.by_reason.is_empty() {
        return Ok(());
    }
    Err(
        Failure::new(Exit::Data, "none of what was read is an access").hint(
            "is it of this format? --format names another one; docs/replay.md says what each needs",
        ),
    )
}

pub(super) fn counts<'a>(all: impl IntoIterator<Item = (&'a &'static str, &'a u64)>) -> String {
    let all: Vec<String> = all
        .into_iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}

/// What was judged, for people.
fn summarise(summary: &Summary, out: &mut Out) -> Result<(), Failure> {
    let mut table = Table::default();
    let mut row = |name: &str, text: String| {
        table.row([(Some(Ink::Bold), name.to_owned()), (None, text)]);
    };
    let span = match (&summary.first, &summary.last) {
        (Some(first), Some(last)) => format!(", {} to {}", render::time(first), render::time(last)),
        _ => String::new(),
    };
    row(
        "judged",
        format!(
            "{} accesses ({} with a credential, {} of named identities) of {} identities{span}",
            summary.accesses, summary.with_credential, summary.named, summary.identities
        ),
    );
    row("findings", counts(&summary.findings));
    let more = match summary.alerts_left_out {
        0 => String::new(),
        more => format!(" (and {more} beyond what is kept)"),
    };
    row("alerts", format!("{}{more}", summary.alerts));
    if let Some(baseline) = &summary.baseline {
        row(
            "baseline",
            format!(
                "{} profiles, {} of them mature at the end; {} alerts of at most {} a day and {} more",
                baseline.profiles,
                baseline.mature,
                baseline.alerts,
                baseline.budget,
                baseline.burst
            ),
        );
    }
    if !summary.not_judged_again.is_empty() {
        let what = counts(&summary.not_judged_again);
        row(
            "not judged again",
            format!("{what} (found when recorded; a record does not hold enough)"),
        );
    }
    if summary.late > 0 {
        row(
            "late",
            format!(
                "{} accesses out of order: name files in the order of their time",
                summary.late
            ),
        );
    }
    if summary.lost > 0 {
        row(
            "missing",
            format!("{} accesses, by the recording's own account", summary.lost),
        );
    }
    if !summary.refused.by_reason.is_empty() {
        row("refused", counts(&summary.refused.by_reason));
    }
    if let Some(capture) = &summary.capture {
        for (name, text) in captured::rows(capture) {
            row(name, text);
        }
    }
    for line in table.lines(out.style) {
        out.line(&line)?;
    }
    Ok(())
}

/// Says which lines were refused.
fn refused(refused: &RefusedLines, out: &Out) {
    if out.form != Form::Compact {
        return;
    }
    for line in &refused.first {
        note(line);
    }
    let all: u64 = refused.by_reason.values().sum();
    let more = all.saturating_sub(refused.first.len() as u64);
    if more > 0 {
        note(&format!("and {more} more that could not be read"));
    }
}

/// What was measured, for people.
fn evaluated(evaluation: &Evaluation, out: &mut Out) -> Result<(), Failure> {
    let attacks = evaluation.attacks.iter();
    let attacks: Vec<String> = attacks
        .map(|(label, count)| format!("{count} {}", quote::text(label)))
        .collect();
    out.line(&format!(
        "{} accesses, {} of them labelled: {}",
        evaluation.accesses,
        evaluation.labelled,
        if attacks.is_empty() {
            "no attack".to_owned()
        } else {
            attacks.join(", ")
        }
    ))?;
    if evaluation.left_out > 0 {
        note(&format!(
            "{} left out: there is no room for so many",
            evaluation.left_out
        ));
    }
    for part in &evaluation.parts {
        let split = evaluation
            .split
            .as_deref()
            .map(render::time)
            .unwrap_or_default();
        let name = match part.part {
            "before" | "after" => format!("{} {split}", part.part),
            name => name.to_owned(),
        };
        let title = format!("{name}: {:.1} days, {} attacks", part.days, part.attacks);
        out.line("")?;
        out.line(&out.style.paint(Ink::Bold, &title))?;
        for line in scores(part).lines(out.style) {
            out.line(&line)?;
        }
    }
    Ok(())
}

fn scores(part: &Part) -> Table {
    let mut table = Table::default();
    let head = [
        "detector",
        "alarms",
        "a day",
        "false",
        "hits",
        "delay: median",
        "90 %",
        "most",
    ];
    table.row(head.map(|name| (Some(Ink::Dim), name.to_owned())));
    for score in &part.scores {
        let delay = score.delay.as_ref();
        let accesses =
            |of: Option<u64>| of.map_or_else(|| render::NOTHING.to_owned(), |n| n.to_string());
        table.row(
            [
                score.detector.to_owned(),
                score.alarms.to_string(),
                format!("{:.2}", score.alarms_per_day),
                score.false_alarms.to_string(),
                format!("{} of {}", score.hits, part.attacks),
                accesses(delay.map(|delay| delay.median)),
                accesses(delay.map(|delay| delay.p90)),
                accesses(delay.map(|delay| delay.most)),
            ]
            .map(|cell| (None, cell)),
        );
    }
    table
}
