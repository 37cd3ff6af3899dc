//! What is wrong with a file, and where.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use serde::Serialize;

use crate::cli::quote;

/// Longest part of a line shown, in characters.
const MAX_SNIPPET: usize = 100;

/// Words on a line whose value is not repeated in messages: it may be a secret.
const SENSITIVE: [&str; 6] = ["secret", "token", "password", "key", "url", "credential"];

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The file can be used, but something in it is probably not what was meant.
    Warning,
    /// The file cannot be used.
    Error,
}

/// A place in a file. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// File.
    pub file: PathBuf,
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// The line a diagnostic is about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Snippet {
    text: String,
    /// Characters before the marked part, and marked characters.
    mark: (usize, usize),
}

/// One thing that is wrong: which, where, why, and what to do about it.
///
/// `Display` prints several lines without a final line break, quoted for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad.
    pub level: Level,
    /// What is wrong, one line.
    pub message: String,
    /// The file, when there is one.
    pub file: Option<PathBuf>,
    /// Line and column, when known.
    pub position: Option<(usize, usize)>,
    /// What to do.
    pub hint: Option<String>,
    snippet: Option<Snippet>,
}

impl Diagnostic {
    /// An error without a place.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            message: message.into(),
            file: None,
            position: None,
            hint: None,
            snippet: None,
        }
    }

    /// A warning without a place.
    #[must_use]
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            level: Level::Warning,
            ..Self::error(message)
        }
    }

    /// Names the file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Names line and column, both from 1.
    #[must_use]
    pub fn at(mut self, line: usize, column: usize) -> Self {
        self.position = Some((line, column));
        self
    }

    /// Names line and column from a byte range of `text`, and keeps the line to show it. What stands
    /// behind `=` is left out of lines that may hold a secret.
    #[must_use]
    pub fn span(mut self, text: &str, span: Range<usize>) -> Self {
        let start = floor_char(text, span.start);
        let end = floor_char(text, span.end.max(span.start));
        let (line, column) = position(text, start);
        self.position = Some((line, column));
        let begin = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let whole = text[begin..].lines().next().unwrap_or("");
        let shown = match whole.find('=') {
            Some(at) if is_sensitive(whole) => format!("{} …", &whole[..=at]),
            _ => whole.to_owned(),
        };
        // What is left out cannot be marked.
        let before = (column - 1).min(shown.chars().count().saturating_sub(1));
        let shown: String = shown.chars().take(MAX_SNIPPET).collect();
        let marked = text[start..end]
            .lines()
            .next()
            .unwrap_or("")
            .chars()
            .count();
        let room = shown.chars().count().saturating_sub(before);
        self.snippet = (!shown.trim().is_empty()).then_some(Snippet {
            text: shown,
            mark: (before.min(MAX_SNIPPET), marked.min(room).max(1)),
        });
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether it is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.level == Level::Error
    }

    /// `{"type":"diagnostic","v":1,…}`, documented in docs/json.md.
    #[must_use]
    pub fn record(&self) -> DiagnosticRecord<'_> {
        DiagnosticRecord {
            r#type: "diagnostic",
            v: 1,
            level: self.level,
            file: self.file.as_ref().map(|file| file.to_string_lossy()),
            line: self.position.map(|at| at.0),
            column: self.position.map(|at| at.1),
            message: &self.message,
            hint: self.hint.as_deref(),
        }
    }
}

/// The JSON form of a [`Diagnostic`].
#[derive(Clone, Debug, Serialize)]
pub struct DiagnosticRecord<'a> {
    r#type: &'static str,
    v: u32,
    level: Level,
    file: Option<Cow<'a, str>>,
    line: Option<usize>,
    column: Option<usize>,
    message: &'a str,
    hint: Option<&'a str>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        write!(f, "{level}: ")?;
        if let Some(file) = &self.file {
            write!(f, "{}", quote::text(&file.to_string_lossy()))?;
            if let Some((line, column)) = self.position {
                write!(f, ":{line}:{column}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&quote::text(&self.message))?;
        if let (Some(snippet), Some((line, _))) = (&self.snippet, self.position) {
            let number = line.to_string();
            let gutter = " ".repeat(number.len());
            // Escapes widen the text: the mark moves with them.
            let width = |skip: usize, take: usize| {
                snippet
                    .text
                    .chars()
                    .skip(skip)
                    .take(take)
                    .map(|c| quote::text(c.encode_utf8(&mut [0; 4])).chars().count())
                    .sum::<usize>()
            };
            let (before, marked) = snippet.mark;
            write!(
                f,
                "\n  {number} | {}\n  {gutter} | {}{}",
                quote::text(&snippet.text),
                " ".repeat(width(0, before)),
                "^".repeat(width(before, marked).max(1)),
            )?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {}", quote::text(hint))?;
        }
        Ok(())
    }
}

/// Whether a line may hold a secret behind its `=`.
pub(super) fn is_sensitive(line: &str) -> bool {
    let line = line.to_lowercase();
    SENSITIVE.iter().any(|word| line.contains(word))
}

/// Line and column, from 1, of a byte of a text.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..floor_char(text, at)];
    let line = before.matches('\n').count() + 1;
    let begin = before.rfind('\n').map_or(0, |at| at + 1);
    (line, before[begin..].chars().count() + 1)
}

fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_at_the_place() {
        let text = "a = 1\nenviroment = \"prod\"\n";
        let shown = Diagnostic::error("unknown key")
            .in_file("x.toml")
            .span(text, 6..16)
            .hint("did you mean `environment`?")
            .to_string();
        assert_eq!(
            shown,
            "error: x.toml:2:1: unknown key\n  2 | enviroment = \"prod\"\n    | ^^^^^^^^^^\n  hint: did you mean `environment`?"
        );
    }

    #[test]
    fn secrets_are_not_repeated() {
        let text = "secret = \"hunter2\"\n";
        let shown = Diagnostic::error("bad")
            .in_file("x")
            .span(text, 9..18)
            .to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("secret = …"), "{shown}");
    }

    #[test]
    fn any_span_of_any_text_is_survived() {
        let text = "ä\u{202e}\n\u{1b}[31m=é\n";
        for start in 0..=text.len() + 2 {
            for end in 0..=text.len() + 2 {
                let shown = Diagnostic::error("x")
                    .in_file("f")
                    .span(text, start..end)
                    .to_string();
                assert!(shown.lines().all(|line| line.chars().all(quote::is_plain)));
            }
        }
    }
}
