//! `check`: configuration and policy.

use std::path::Path;

use super::args::Form;
use super::exit::{Exit, Failure};
use super::out::{Out, say};
use super::{check_sarif, quote};
use crate::config::{Config, Diagnostic, load};
use crate::sarif::Report;

/// Finds out what is wrong with the policy (and whatever else hangs on the configuration).
pub type Validator = dyn Fn(&Config) -> Vec<Diagnostic>;

/// Prints everything that is wrong.
pub(super) fn check(
    file: Option<&Path>,
    warnings_ok: bool,
    validate: &Validator,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let (config, diagnostics, failed) = match load(file) {
        Ok(config) => {
            let diagnostics = validate(&config);
            (Some(config), diagnostics, Exit::Config)
        }
        Err(error) => {
            let exit = Exit::from(&error);
            (None, error.into_diagnostics(), exit)
        }
    };
    match out.form {
        Form::Json => {
            for diagnostic in &diagnostics {
                out.json(&diagnostic.record())?;
            }
        }
        Form::Compact => diagnostics.iter().for_each(|d| say(&d.to_string())),
        Form::Sarif => {
            let mut report = Report::new(check_sarif::rules());
            check_sarif::push(&mut report, &diagnostics);
            out.line(&quote::json(&report.to_json()))?;
        }
    }
    let errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.is_error())
        .count();
    let warnings = diagnostics.len() - errors;
    if out.form == Form::Compact {
        let what = match &config {
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
        };
        out.line(&match (errors, warnings) {
            (0, 0) => format!("{what}: good"),
            (0, _) => format!("{what}: {}", counted(warnings, "warning")),
            (_, 0) => format!("{what}: {}", counted(errors, "error")),
            _ => format!(
                "{what}: {}, {}",
                counted(errors, "error"),
                counted(warnings, "warning")
            ),
        })?;
    }
    Ok(match (errors, warnings) {
        (1.., _) => failed,
        (0, 1..) if !warnings_ok => Exit::Found,
        _ => Exit::Success,
    })
}

fn counted(n: usize, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}
