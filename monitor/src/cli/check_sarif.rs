//! What `check` found, as SARIF.

use crate::config::{Diagnostic, Level as Bad};
use crate::lint::{LintFinding, record};
use crate::sarif::{Level, Report, Rule, SarifResult};

/// Rule of what keeps configuration or policy from being used.
const ERROR: &str = "CONFIG-ERROR";
/// Rule of what is probably not meant.
const WARNING: &str = "CONFIG-WARNING";

/// Everything that was found.
pub(super) fn report(diagnostics: &[Diagnostic], findings: &[LintFinding]) -> Report {
    let mut report = Report::new(rules().into_iter().chain(record::rules()).collect());
    push(&mut report, diagnostics);
    record::push(&mut report, findings);
    report
}

/// The rules of configuration and policy files.
fn rules() -> Vec<Rule> {
    let rule = |id: &str, name: &str, text: &str| {
        Rule {
        id: id.to_owned(),
        name: name.to_owned(),
        text: text.to_owned(),
        help: "The message says what is wrong and what to do; docs/policy.md and config/bailiwick.toml \
               describe every key."
            .to_owned(),
    }
    };
    vec![
        rule(
            ERROR,
            "config-error",
            "Configuration or policy cannot be used as it stands",
        ),
        rule(
            WARNING,
            "config-warning",
            "Something in configuration or policy is probably not what was meant",
        ),
    ]
}

/// Adds what is wrong with the files.
fn push(report: &mut Report, diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        let (rule, level) = match diagnostic.level {
            Bad::Error => (ERROR, Level::Error),
            Bad::Warning => (WARNING, Level::Warning),
        };
        let message = match &diagnostic.hint {
            Some(hint) => format!("{}. Hint: {hint}", diagnostic.message),
            None => diagnostic.message.clone(),
        };
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (line, column) = diagnostic.position.unwrap_or((0, 0));
        report.push(SarifResult {
            rule_id: rule.to_owned(),
            level,
            message,
            path: diagnostic.file.clone().unwrap_or_default(),
            line: number(line),
            column: number(column),
            fingerprint: None,
        });
    }
}
