//! What is wrong with a policy, in words for the person who wrote it: the place, the key, the cause
//! and a hint.
//!
//! No message repeats the text of a credential selector: someone will paste the secret itself there.

use std::fmt;
use std::sync::Arc;

/// Most errors one load reports by word; the rest is counted.
const MOST: usize = 200;

/// A place in a policy file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Path of the file as it was opened.
    pub file: Arc<str>,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 when the whole file is meant.
    pub column: u32,
}

impl Place {
    /// A whole file.
    #[must_use]
    pub fn file(file: &str) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_plain(f, &self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

/// Writes text with control characters escaped, so that one message stays one line.
fn write_plain(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    use fmt::Write as _;
    text.chars().try_for_each(|c| {
        if c.is_control() {
            write!(f, "{}", c.escape_default())
        } else {
            f.write_char(c)
        }
    })
}

/// One thing that is wrong. Printed as `FILE:LINE:COLUMN: KEY: PROBLEM` and, on a line of its own,
/// `  hint: HINT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PolicyError {
    /// Where.
    pub place: Place,
    /// The key, dotted (`identities.ci-bot.duties`); empty when a whole file is meant.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write_plain(f, &self.key)?;
            f.write_str(": ")?;
        }
        write_plain(f, &self.problem)?;
        if let Some(hint) = &self.hint {
            f.write_str("\n  hint: ")?;
            write_plain(f, hint)?;
        }
        Ok(())
    }
}

/// Kinds of warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WarningKind {
    /// A `file:` credential could not be read: its identity will not be recognised by it.
    CredentialFile,
    /// A later file replaced what an earlier one defined.
    Replaced,
    /// A drop-in directory does not exist.
    MissingDirectory,
    /// Allowed, but probably not what was meant.
    Suspicious,
}

/// Something to know that does not stop the policy from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWarning {
    /// Which kind.
    pub kind: WarningKind,
    /// The words.
    pub what: PolicyError,
}

impl PolicyWarning {
    /// Whether `bailiwick check` counts it as an error. A running daemon goes on without the file.
    #[must_use]
    pub fn fails_check(&self) -> bool {
        self.kind == WarningKind::CredentialFile
    }
}

impl fmt::Display for PolicyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)
    }
}

/// A problem and what to do about it, before it is known where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault with a hint.
    pub(crate) fn new(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            hint: Some(hint.into()),
        }
    }
}

/// Collects everything that is wrong, so that a person sees all of it at once.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    errors: Vec<PolicyError>,
    /// Errors beyond the bound.
    more: usize,
    pub(crate) warnings: Vec<PolicyWarning>,
}

impl Diagnostics {
    /// Notes an error.
    pub(crate) fn error(
        &mut self,
        place: &Place,
        key: impl Into<String>,
        problem: impl Into<String>,
        hint: Option<String>,
    ) {
        if self.errors.len() < MOST {
            self.errors.push(PolicyError {
                place: place.clone(),
                key: key.into(),
                problem: problem.into(),
                hint,
            });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Notes a fault as an error.
    pub(crate) fn fault(&mut self, place: &Place, key: impl Into<String>, fault: Fault) {
        self.error(place, key, fault.problem, fault.hint);
    }

    /// Notes a warning.
    pub(crate) fn warn(
        &mut self,
        kind: WarningKind,
        place: &Place,
        key: impl Into<String>,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let what = PolicyError {
            place: place.clone(),
            key: key.into(),
            problem: problem.into(),
            hint: Some(hint.into()),
        };
        self.warnings.push(PolicyWarning { kind, what });
    }

    /// Errors in the order of their places (if there are any), else the warnings.
    pub(crate) fn finish(mut self) -> Result<Vec<PolicyWarning>, Vec<PolicyError>> {
        if self.errors.is_empty() {
            return Ok(self.warnings);
        }
        self.errors.sort_by(|a, b| a.place.cmp(&b.place));
        if self.more > 0 {
            let place = self
                .errors
                .last()
                .map_or_else(|| Place::file("policy"), |e| e.place.clone());
            self.errors.push(PolicyError {
                place: Place {
                    line: 0,
                    column: 0,
                    ..place
                },
                key: String::new(),
                problem: format!("and {} more errors", self.more),
                hint: None,
            });
        }
        Err(self.errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_it_does_not_print() {
        let mut diagnostics = Diagnostics::default();
        for _ in 0..MOST + 5 {
            diagnostics.error(&Place::file("p"), "k", "bad", None);
        }
        let errors = diagnostics.finish().unwrap_err();
        assert_eq!(errors.len(), MOST + 1);
        assert_eq!(
            errors.last().map(ToString::to_string),
            Some("p: and 5 more errors".into())
        );
    }

    #[test]
    fn a_message_stays_on_its_lines() {
        let error = PolicyError {
            place: Place {
                file: "a\nb".into(),
                line: 1,
                column: 2,
            },
            key: "x\u{1b}[31m".into(),
            problem: "p".into(),
            hint: None,
        };
        assert_eq!(error.to_string(), "a\\nb:1:2: x\\u{1b}[31m: p");
    }
}
