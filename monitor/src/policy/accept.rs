//! `[[accept]]`: findings of `bailiwick check` that somebody looked at and lets stand for a while.

use std::sync::Arc;

use jiff::civil::Date;

use super::compile::Compiler;
use super::error::{Diagnostics, Place};
use super::model::AcceptForm;
use super::reader::{TableReader, Written};
use crate::lint::CODES;
use crate::suggest::did_you_mean;

/// Longest reason, in bytes.
const LONGEST: usize = 500;

/// One acceptance.
#[derive(Clone, Debug)]
pub struct Accept {
    /// Code of the rule, e.g. `SOD004`.
    pub code: &'static str,
    /// Whom or what the finding is about, as `check` prints it.
    pub subject: Arc<str>,
    /// Why it may stand.
    pub reason: Arc<str>,
    /// The last day (UTC).
    pub until: Date,
    /// Where it is defined.
    pub place: Place,
}

/// Reads one table.
pub(super) fn read(mut table: TableReader<'_, '_>, out: &mut Diagnostics) -> Option<AcceptForm> {
    let form = AcceptForm {
        key: table.path().to_owned(),
        code: table.string("code", out),
        subject: table.string("subject", out),
        reason: table.string("reason", out),
        until: table.string("until", out),
    };
    for (name, value, hint) in [
        ("code", &form.code, "add code = \"SOD…\": which rule"),
        (
            "subject",
            &form.subject,
            "add subject = \"…\": whom or what it is about, as `bailiwick check` prints it",
        ),
        (
            "reason",
            &form.reason,
            "add reason = \"…\": why it may stand",
        ),
        (
            "until",
            &form.until,
            "add until = \"YYYY-MM-DD\": the day to look at it again",
        ),
    ] {
        if value.is_none() && !table.has(name) {
            let problem = format!("{name} is missing");
            out.error(table.place(), table.path(), problem, Some(hint.to_owned()));
        }
    }
    table.finish(out);
    Some(form)
}

impl Compiler<'_> {
    pub(super) fn accept(&mut self, form: &AcceptForm, place: &Place) {
        let key = |name: &str| format!("{}.{name}", form.key);
        let code = form.code.as_ref().and_then(|written| {
            let found = CODES.iter().find(|code| code.id == written.value);
            if found.is_none() {
                let hint = did_you_mean(&written.value, CODES.iter().map(|code| code.id))
                    .unwrap_or_else(|| "docs/policy.md lists the codes".to_owned());
                let problem = format!("there is no rule `{}`", written.value);
                self.out
                    .error(&written.place, key("code"), problem, Some(hint));
            }
            found
        });
        let until = form.until.as_ref().and_then(|written| {
            let found = day(&written.value);
            if found.is_none() {
                let hint = "write the day as YYYY-MM-DD: \"2027-01-31\"".to_owned();
                let problem = format!("`{}` is no day", written.value);
                self.out
                    .error(&written.place, key("until"), problem, Some(hint));
            }
            found
        });
        let reason = self.said(form.reason.as_ref(), &key("reason"));
        let subject = self.said(form.subject.as_ref(), &key("subject"));
        if let (Some(code), Some(subject), Some(reason), Some(until)) =
            (code, subject, reason, until)
        {
            self.policy.accepts.push(Accept {
                code: code.id,
                subject,
                reason,
                until,
                place: place.clone(),
            });
        }
    }

    /// A text that says something, and can be printed on one line.
    fn said(&mut self, written: Option<&Written<String>>, key: &str) -> Option<Arc<str>> {
        let written = written?;
        let text = written.value.trim();
        let odd = |c: char| c.is_control() || crate::judge::words::is_deceptive(c);
        let problem = if text.is_empty() {
            "is empty".to_owned()
        } else if text.len() > LONGEST {
            format!("is longer than {LONGEST} bytes")
        } else if text.chars().any(odd) {
            "holds control or invisible characters".to_owned()
        } else {
            return Some(text.into());
        };
        let hint = "say it in a sentence, on one line".to_owned();
        self.out.error(&written.place, key, problem, Some(hint));
        None
    }
}

/// `YYYY-MM-DD` and nothing else.
fn day(text: &str) -> Option<Date> {
    let digits = |b: u8| b.is_ascii_digit() || b == b'-';
    (text.len() == 10 && text.bytes().all(digits))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_days() {
        assert_eq!(day("2027-01-31"), Some(jiff::civil::date(2027, 1, 31)));
        for bad in [
            "",
            "2027-02-30",
            "2027-1-31",
            "20270131",
            "2027-01-31T00:00:00Z",
            "soon",
            "-027-01-31",
        ] {
            assert_eq!(day(bad), None, "{bad}");
        }
    }
}
