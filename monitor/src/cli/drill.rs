//! `drill`: asks for a drill and prints its matrix.

use std::io::{self, IsTerminal as _};

use super::args::{DrillArgs, DrillPeerArgs, Form};
use super::exit::{Exit, Failure};
use super::out::{Ink, Out, Style, Table, say};
use super::quote;
use crate::drill::{DrillError, Options, Report, SummaryRecord, TechniqueRecord};

impl From<DrillError> for Failure {
    fn from(error: DrillError) -> Self {
        let exit = match (error.usage, error.permission) {
            (true, _) => Exit::Usage,
            (_, true) => Exit::NoPermission,
            _ => Exit::Unavailable,
        };
        Self {
            exit,
            message: error.to_string(),
            hint: error.hint,
        }
    }
}

pub(super) fn drill(args: &DrillArgs, out: &mut Out) -> Result<Exit, Failure> {
    if args.list {
        return list(out);
    }
    let options = Options {
        policy: args.policy.clone(),
        names: args.names.clone(),
        times: args.times,
    };
    let watched = io::stderr().is_terminal();
    let report = crate::drill::run(&options, jiff::Timestamp::now().as_second(), &|what| {
        if watched {
            say(&format!("drill: {}", quote::text(what)));
        }
    })?;
    match out.form {
        Form::Json | Form::Sarif | Form::Html => {
            for record in &report.techniques {
                out.json(record)?;
            }
            out.json(&report.summary)?;
        }
        Form::Compact => {
            for line in matrix(&report, out.style) {
                out.line(&line)?;
            }
        }
    }
    Ok(if report.summary.ok {
        Exit::Success
    } else {
        Exit::Found
    })
}

/// A process of the drill: what it says goes to the drill.
pub(super) fn peer(args: &DrillPeerArgs) -> Result<Exit, Failure> {
    match crate::drill::play(&args.part) {
        Ok(0) => Ok(Exit::Success),
        Ok(_) => Err(Failure::quiet(Exit::Unavailable)),
        Err(error) => Err(Failure::new(Exit::Unavailable, error.to_string())),
    }
}

fn list(out: &mut Out) -> Result<Exit, Failure> {
    let mut table = Table::default();
    let all = crate::drill::list();
    if out.form != Form::Compact {
        for one in &all {
            out.json(one)?;
        }
        return Ok(Exit::Success);
    }
    for one in all {
        let expects = if one.built_in {
            (None, one.expects)
        } else {
            (Some(Ink::Dim), format!("{} (not built in)", one.expects))
        };
        table.row([(Some(Ink::Bold), one.technique), expects, (None, one.what)]);
    }
    for line in table.lines(out.style) {
        out.line(&line)?;
    }
    Ok(Exit::Success)
}

/// The matrix for people.
fn matrix(report: &Report, style: Style) -> Vec<String> {
    let mut table = Table::default();
    let heads = [
        "technique",
        "ATT&CK",
        "OWASP API",
        "must find",
        "seen",
        "twin",
        "ms",
    ];
    table.row(heads.map(|head| (Some(Ink::Dim), head.to_owned())));
    for one in &report.techniques {
        table.row(row(one));
    }
    let mut lines = table.lines(style);
    for one in &report.techniques {
        let problem = one.problem.iter().cloned();
        for why in problem.chain(
            one.noise
                .iter()
                .map(|noise| format!("its twin raised {noise}")),
        ) {
            let name = style.paint(Ink::Bad, &one.technique);
            lines.push(format!("{name}: {}", quote::text(&why)));
        }
    }
    for clause in &report.summary.undrilled {
        lines.push(format!("not drilled: {}", quote::text(clause)));
    }
    lines.push(summary(&report.summary, style));
    lines
}

fn row(one: &TechniqueRecord) -> [(Option<Ink>, String); 7] {
    let seen = match (one.built_in, one.seen) {
        (false, _) => (Some(Ink::Bad), "not built in".to_owned()),
        (_, seen) if seen == one.runs && seen > 0 => (Some(Ink::Good), format!("{seen}/{seen}")),
        (_, seen) => (Some(Ink::Bad), format!("{seen}/{}", one.runs)),
    };
    let twin = match one.twin.as_str() {
        "silent" => (Some(Ink::Good), "silent".to_owned()),
        "not-run" => (Some(Ink::Dim), "-".to_owned()),
        other => (Some(Ink::Bad), other.to_owned()),
    };
    let mut ms = one.ms.clone();
    ms.sort_by(f64::total_cmp);
    let ms = match (ms.first(), ms.last()) {
        (Some(least), Some(most)) if ms.len() > 1 => format!("{least:.1}-{most:.1}"),
        (Some(only), _) => format!("{only:.1}"),
        _ => "-".to_owned(),
    };
    [
        (Some(Ink::Bold), quote::text(&one.technique).into_owned()),
        (None, one.attack.join(" ")),
        (None, one.owasp.clone()),
        (None, one.expects.clone()),
        seen,
        twin,
        (None, ms),
    ]
}

fn summary(summary: &SummaryRecord, style: Style) -> String {
    let ink = if summary.ok { Ink::Good } else { Ink::Bad };
    let mut text = style.paint(
        ink,
        &format!("{} of {} techniques seen", summary.seen, summary.techniques),
    );
    text.push_str(&match summary.noisy {
        0 => ", no twin raised an alert".to_owned(),
        1 => ", 1 twin raised an alert".to_owned(),
        noisy => format!(", {noisy} twins raised alerts"),
    });
    if let (Some(p50), Some(p99), Some(max)) = (summary.p50_ms, summary.p99_ms, summary.max_ms) {
        text.push_str(&format!(
            "; from request to webhook: median {p50:.1} ms, 99 % within {p99:.1} ms, longest {max:.1} ms ({} attacks; approval, stored-credential and unusual, which take their time, are not among them)",
            summary.timed
        ));
    }
    text
}
