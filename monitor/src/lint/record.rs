//! Findings as JSON and as SARIF.

use serde::Serialize;

use super::{CODES, Level, LintFinding};
use crate::sarif::{self, Report, Rule, SarifResult};

/// `{"type":"lint","v":1,…}`, documented in docs/json.md.
#[derive(Clone, Debug, Serialize)]
pub struct LintRecord<'a> {
    r#type: &'static str,
    v: u32,
    code: &'a str,
    name: &'a str,
    level: Level,
    subject: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
    column: Option<u32>,
    message: &'a str,
    clause: &'a str,
    witness: Option<&'a str>,
    change: &'a str,
    accepted: Option<AcceptedRecord<'a>>,
}

/// `accepted` of a [`LintRecord`].
#[derive(Clone, Debug, Serialize)]
pub struct AcceptedRecord<'a> {
    reason: &'a str,
    until: &'a str,
}

impl LintFinding {
    /// The JSON form.
    #[must_use]
    pub fn record(&self) -> LintRecord<'_> {
        let place = self.place.as_ref();
        let lined = place.filter(|place| place.line > 0);
        LintRecord {
            r#type: "lint",
            v: 1,
            code: self.code.id,
            name: self.code.name,
            level: self.level,
            subject: &self.subject,
            file: place.map(|place| &*place.file),
            line: lined.map(|place| place.line),
            column: lined.map(|place| place.column),
            message: &self.message,
            clause: &self.clause,
            witness: self.witness.as_deref(),
            change: &self.change,
            accepted: self.accepted.as_ref().map(|accepted| AcceptedRecord {
                reason: &accepted.reason,
                until: &accepted.until,
            }),
        }
    }
}

/// All rules.
#[must_use]
pub fn rules() -> Vec<Rule> {
    CODES
        .iter()
        .map(|code| Rule {
            id: code.id.to_owned(),
            name: code.name.to_owned(),
            text: code.text.to_owned(),
            help: code.help.to_owned(),
        })
        .collect()
}

/// Adds findings to a report.
pub fn push(report: &mut Report, findings: &[LintFinding]) {
    for finding in findings {
        let level = match finding.level {
            Level::High => sarif::Level::Error,
            Level::Medium | Level::Low => sarif::Level::Warning,
            Level::Info => sarif::Level::Note,
        };
        let Some(place) = &finding.place else {
            report.remark(format!("{}: {}", finding.code.id, finding.message));
            continue;
        };
        let mut message = finding.message.clone();
        if let Some(witness) = &finding.witness {
            message.push_str(&format!(". Witness: {witness}"));
        }
        if !finding.change.is_empty() {
            message.push_str(&format!(". Hint: {}", finding.change));
        }
        let result = SarifResult {
            rule_id: finding.code.id.to_owned(),
            level,
            message,
            path: (&*place.file).into(),
            line: place.line,
            column: place.column,
            // Neither lines nor words: those change while the finding stays.
            fingerprint: Some(format!(
                "{} {} {}",
                finding.code.id, finding.subject, finding.clause
            )),
        };
        match &finding.accepted {
            Some(accepted) => {
                let reason = format!("{} (until {})", accepted.reason, accepted.until);
                report.push_accepted(result, reason);
            }
            None => report.push(result),
        }
    }
}
