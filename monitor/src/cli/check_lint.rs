//! The lint of `check`: asks the daemon what it has seen, and prints what was found.

use std::path::Path;
use std::time::Duration;

use super::client;
use super::exit::{Exit, Failure};
use super::out::{Ink, Out, note};
use super::quote;
use crate::census::IdentityRecord;
use crate::config::Config;
use crate::lint::{Level, LintFinding};
use crate::serve::protocol::Command as Ask;

/// Finds what is wrong with a policy that can be used. The second argument is what a running daemon has
/// seen.
pub type Linter = dyn Fn(&Config, Option<Vec<IdentityRecord>>) -> Vec<LintFinding>;

/// How long a daemon has to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The identities that the daemon has seen; `None` when there is none that tells. Why not is said unless there
/// is simply no daemon.
pub(super) fn seen(socket: &Path) -> Option<Vec<IdentityRecord>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let answer = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, client::ask(socket, &Ask::Identities)).await
    });
    let failure = match answer {
        Ok(Ok(records)) => match records.iter().map(client::Record::parse).collect() {
            Ok(records) => return Some(records),
            Err(failure) => failure,
        },
        Ok(Err(failure)) if failure.exit == Exit::Unavailable => return None,
        Ok(Err(failure)) => failure,
        Err(_) => Failure::new(
            Exit::Unavailable,
            format!("{}: the daemon does not answer", socket.display()),
        ),
    };
    note(&format!(
        "what the daemon has seen is not known: {}",
        failure.message
    ));
    None
}

/// Prints findings for people: where and what, the clause, the witness, what to do.
pub(super) fn print(findings: &[LintFinding], out: &mut Out) -> Result<(), Failure> {
    for finding in findings {
        for line in lines(finding, out) {
            out.line(&line)?;
        }
    }
    Ok(())
}

fn lines(finding: &LintFinding, out: &Out) -> Vec<String> {
    let style = out.style;
    let ink = match finding.level {
        _ if finding.accepted.is_some() => Ink::Dim,
        Level::High => Ink::Bad,
        Level::Medium | Level::Low => Ink::Doubtful,
        Level::Info => Ink::Dim,
    };
    let head = style.paint(
        ink,
        &format!("{} {}", finding.code.id, finding.level.name()),
    );
    let place = match &finding.place {
        Some(place) => format!(" {}:", quote::text(&place.to_string())),
        None => String::new(),
    };
    let mut lines = vec![format!("{head}{place} {}", quote::text(&finding.message))];
    let mut more = |what: &str, text: &str| {
        if !text.is_empty() {
            let what = style.paint(Ink::Dim, what);
            lines.push(format!("  {what} {}", quote::text(text)));
        }
    };
    if let Some(accepted) = &finding.accepted {
        let text = format!("{} (until {})", accepted.reason, accepted.until);
        more("accepted:", &text);
        return lines;
    }
    if finding.level == Level::Info {
        more("witness:", finding.witness.as_deref().unwrap_or_default());
        return lines;
    }
    more("clause: ", &finding.clause);
    more("witness:", finding.witness.as_deref().unwrap_or_default());
    more("hint:   ", &finding.change);
    lines
}
