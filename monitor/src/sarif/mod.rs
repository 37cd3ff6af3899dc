//! Findings as SARIF 2.1.0 (OASIS standard, errata 01), the form that code hosts and editors read.
//!
//! Pure: no I/O, no clock. Texts and paths may come from anywhere: braces are doubled, as §3.11.5 asks
//! (`{0}` would stand for an argument), control characters are left to JSON's escapes, and paths are
//! percent-encoded byte by byte (RFC 3986).
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod log;
#[cfg(test)]
mod tests;
mod uri;

use std::path::PathBuf;

/// Most results of one report: what code hosts take of one run. What is beyond is counted, and told in
/// the report.
pub const MOST_RESULTS: usize = 25_000;

/// How bad a result is (§3.27.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// To be mended.
    Error,
    /// To be looked at.
    Warning,
    /// To be known.
    Note,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A rule that results refer to (§3.49).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable code, e.g. `SOD001`.
    pub id: String,
    /// Name for machines, no spaces.
    pub name: String,
    /// What it finds, one sentence.
    pub text: String,
    /// What to do about it.
    pub help: String,
}

/// One finding (§3.27).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SarifResult {
    /// Id of its rule.
    pub rule_id: String,
    /// How bad.
    pub level: Level,
    /// What was found.
    pub message: String,
    /// File, absolute or relative to where the command ran; empty when no file is meant.
    pub path: PathBuf,
    /// Line from 1; 0 when the whole file is meant.
    pub line: u32,
    /// Column in characters from 1; 0 when the whole line is meant.
    pub column: u32,
    /// What stays the same when the finding is met again, though lines move.
    pub fingerprint: Option<String>,
}

/// A result, and why it was accepted, if it was.
#[derive(Debug)]
struct Entry {
    result: SarifResult,
    accepted: Option<String>,
}

/// One run of the program.
#[derive(Debug)]
pub struct Report {
    rules: Vec<Rule>,
    entries: Vec<Entry>,
    remarks: Vec<String>,
    dropped: usize,
}

impl Report {
    /// A report without results.
    #[must_use]
    pub fn new(tool_rules: Vec<Rule>) -> Self {
        Self {
            rules: tool_rules,
            entries: Vec::new(),
            remarks: Vec::new(),
            dropped: 0,
        }
    }

    /// Adds a result.
    pub fn push(&mut self, result: SarifResult) {
        self.add(result, None);
    }

    /// Adds a result that somebody accepted, with the reason (§3.27.23): it is shown as suppressed.
    pub fn push_accepted(&mut self, result: SarifResult, reason: String) {
        self.add(result, Some(reason));
    }

    /// Adds a remark on the run itself: what could not be looked at, and why.
    pub fn remark(&mut self, text: String) {
        self.remarks.push(text);
    }

    fn add(&mut self, result: SarifResult, accepted: Option<String>) {
        if self.entries.len() < MOST_RESULTS {
            self.entries.push(Entry { result, accepted });
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// The report as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        log::write(self)
    }
}
