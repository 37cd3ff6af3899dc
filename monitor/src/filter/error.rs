//! What is wrong with a filter, and where.

use std::fmt;
use std::ops::Range;

use crate::cli::quote;

/// Most characters of a filter shown around the place.
const SHOWN: usize = 72;

/// A filter that cannot be. `Display` is several lines, quoted for a terminal: what is wrong, the filter, a caret
/// under the place, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    message: String,
    hint: Option<String>,
    text: String,
    span: Range<usize>,
}

impl FilterError {
    pub(super) fn new(text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            text: text.chars().take(super::MAX_LENGTH).collect(),
            span,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What is wrong, one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The place, in bytes of the text.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The filter around the place, without control characters, and a line with a caret under each character of the
    /// place once the first is quoted for a terminal ([`quote::text`]), as it must be to be shown.
    #[must_use]
    pub fn caret(&self) -> [String; 2] {
        let before = self.text.get(..self.span.start).unwrap_or(&self.text);
        let marked = self.text.get(self.span.clone()).unwrap_or("");
        let start = before.chars().count();
        let many = marked.chars().count();
        // A long filter is shown from a little before the place.
        let from = if self.text.chars().count() > SHOWN {
            start.saturating_sub(SHOWN / 3)
        } else {
            0
        };
        let width = |c: char| quote::text(c.encode_utf8(&mut [0; 4])).chars().count();
        let shown = |c: char| if quote::is_plain(c) { c } else { '·' };
        let window = self.text.chars().skip(from).take(SHOWN).map(shown);
        let shown: String = window.clone().collect();
        let lead = if from > 0 { "…" } else { "" };
        let left: usize = window.clone().take(start - from).map(width).sum();
        let carets: usize = window.skip(start - from).take(many).map(width).sum();
        [
            format!("{lead}{shown}"),
            format!(
                "{}{}",
                " ".repeat(left + lead.chars().count()),
                "^".repeat(carets.max(1))
            ),
        ]
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [shown, carets] = self.caret();
        let shown = quote::text(&shown);
        write!(f, "{}\n  {shown}\n  {carets}", quote::text(&self.message))?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {}", quote::text(hint))?;
        }
        Ok(())
    }
}

impl std::error::Error for FilterError {}
