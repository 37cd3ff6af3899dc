//! `check`: configuration and policy.

use super::args::{Cli, Form};
use super::exit::{Exit, Failure};
use super::out::{Out, say};
use super::{Hooks, check_lint, check_sarif, quote};
use crate::config::{self, Config, Diagnostic};
use crate::lint::LintFinding;

/// Finds out what is wrong with the policy (and whatever else hangs on the configuration).
pub type Validator = dyn Fn(&Config) -> Vec<Diagnostic>;

/// Prints everything that is wrong.
pub(super) fn check(
    cli: &Cli,
    warnings_ok: bool,
    hooks: &Hooks,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let (config, diagnostics, failed) = match config::load(cli.config.as_deref()) {
        Ok(config) => {
            let diagnostics = (hooks.validate)(&config);
            (Some(config), diagnostics, Exit::Config)
        }
        Err(error) => {
            let exit = Exit::from(&error);
            (None, error.into_diagnostics(), exit)
        }
    };
    let errors = diagnostics.iter().filter(|d| d.is_error()).count();
    // What cannot be used is not linted: half of a policy separates nothing.
    let findings = match &config {
        Some(config) if errors == 0 && !config.policy.is_empty() => lint(cli, config, hooks),
        _ => Vec::new(),
    };
    match out.form {
        Form::Json | Form::Html => {
            for diagnostic in &diagnostics {
                out.json(&diagnostic.record())?;
            }
            for finding in &findings {
                out.json(&finding.record())?;
            }
        }
        Form::Compact => {
            diagnostics.iter().for_each(|d| say(&d.to_string()));
            check_lint::print(&findings, out)?;
        }
        Form::Sarif => {
            let report = check_sarif::report(&diagnostics, &findings);
            out.line(&quote::json(&report.to_json()))?;
        }
    }
    let warnings = diagnostics.len() - errors;
    let counting = findings.iter().filter(|finding| finding.counts()).count();
    if out.form == Form::Compact {
        let what = named(config.as_ref());
        let accepted = findings.iter().filter(|f| f.accepted.is_some()).count();
        let verdict = verdict(errors, warnings, counting, accepted);
        out.line(&format!("{what}: {verdict}"))?;
    }
    Ok(match (errors, warnings + counting) {
        (1.., _) => failed,
        (0, 1..) if !warnings_ok => Exit::Found,
        _ => Exit::Success,
    })
}

fn lint(cli: &Cli, config: &Config, hooks: &Hooks) -> Vec<LintFinding> {
    let socket = match &cli.socket {
        Some(socket) => socket.clone(),
        None => config.runtime_dir.join(config::SOCKET_NAME),
    };
    (hooks.lint)(config, check_lint::seen(&socket))
}

fn named(config: Option<&Config>) -> String {
    match config {
        Some(config) if config.files.is_empty() => {
            "no configuration file: built-in defaults, no policy".to_owned()
        }
        Some(config) => {
            let files: Vec<_> = config
                .files
                .iter()
                .map(|file| file.to_string_lossy().into_owned())
                .collect();
            quote::text(&files.join(", ")).into_owned()
        }
        None => "configuration".to_owned(),
    }
}

/// `good`, or what there is of each.
fn verdict(errors: usize, warnings: usize, findings: usize, accepted: usize) -> String {
    let mut parts: Vec<String> = [
        (errors, "error"),
        (warnings, "warning"),
        (findings, "finding"),
    ]
    .into_iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, what)| counted(n, what))
    .collect();
    if parts.is_empty() {
        parts.push("good".to_owned());
    }
    if accepted > 0 {
        parts.push(format!("{} accepted", counted(accepted, "finding")));
    }
    parts.join(", ")
}

fn counted(n: usize, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}
