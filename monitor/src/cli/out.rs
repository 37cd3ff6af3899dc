//! Standard output and standard error.

use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;

use super::args::{Color, Form};
use super::exit::{Exit, Failure};
use super::quote;

/// Colours, by role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Identity,
    Good,
    Doubtful,
    Bad,
    Dim,
    Bold,
}

impl Ink {
    const ALL: [Self; 6] = [
        Self::Identity,
        Self::Good,
        Self::Doubtful,
        Self::Bad,
        Self::Dim,
        Self::Bold,
    ];

    /// The role that [`Style::paint`] marks so; none for the end of one.
    pub(crate) fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ink| ink.code() == code)
    }

    fn code(self) -> &'static str {
        match self {
            Self::Identity => "36",
            Self::Good => "32",
            Self::Doubtful => "33",
            Self::Bad => "1;31",
            Self::Dim => "2",
            Self::Bold => "1",
        }
    }
}

/// How text is made: with colour or without.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) color: bool,
}

impl Style {
    /// Text in a colour. The text must be quoted already.
    pub(crate) fn paint(self, ink: Ink, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("\u{1b}[{}m{text}\u{1b}[0m", ink.code())
        } else {
            text.to_owned()
        }
    }
}

/// Standard output.
pub(super) struct Out {
    to: BufWriter<Box<dyn Write>>,
    pub(super) style: Style,
    pub(super) form: Form,
}

impl Out {
    pub(super) fn stdout(color: Color, form: Form) -> Self {
        let stdout = io::stdout();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => stdout.is_terminal() && !no_color && !dumb,
        };
        Self {
            to: BufWriter::with_capacity(32 * 1024, Box::new(stdout)),
            style: Style { color },
            form,
        }
    }

    /// A line, quoted already (several, when it holds line breaks).
    pub(super) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.to.write_all(text.as_bytes())?;
        Ok(self.to.write_all(b"\n")?)
    }

    /// A record as a line of JSON.
    pub(super) fn json(&mut self, record: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(record).map_err(|error| {
            Failure::new(
                Exit::Software,
                format!("cannot be written as JSON: {error}"),
            )
        })?;
        self.line(&quote::json(&text))
    }

    /// Bytes as they are: completion scripts, manual pages.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.to.write_all(bytes)?)
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.to.flush()?)
    }
}

/// A line on standard error. When that is gone there is nobody to tell.
pub(super) fn say(text: &str) {
    _ = writeln!(io::stderr(), "{text}");
}

/// A remark on standard error, quoted here.
pub(super) fn note(text: &str) {
    say(&format!("bailiwick: {}", quote::text(text)));
}

/// A failure on standard error.
pub(super) fn complain(failure: &Failure) {
    if failure.message.is_empty() {
        return;
    }
    let mut text = String::from("bailiwick: ");
    let mut lines = failure.message.lines();
    text.push_str(&quote::text(lines.next().unwrap_or("")));
    for line in lines {
        _ = write!(text, "\n  {}", quote::text(line));
    }
    if let Some(hint) = &failure.hint {
        _ = write!(text, "\n  hint: {}", quote::text(hint));
    }
    say(&text);
}

/// A table: columns as wide as their widest cell, two spaces between them, the last one ragged.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<(Option<Ink>, String)>>,
}

impl Table {
    /// A row of quoted cells.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = (Option<Ink>, String)>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn lines(&self, style: Style) -> Vec<String> {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            for (at, (_, cell)) in row.iter().enumerate() {
                let width = cell.chars().count();
                match widths.get_mut(at) {
                    Some(widest) => *widest = width.max(*widest),
                    None => widths.push(width),
                }
            }
        }
        self.rows
            .iter()
            .map(|row| {
                let mut line = String::new();
                for (at, ((ink, cell), width)) in row.iter().zip(&widths).enumerate() {
                    match ink {
                        Some(ink) => line.push_str(&style.paint(*ink, cell)),
                        None => line.push_str(cell),
                    }
                    if at + 1 < row.len() {
                        line.push_str(&" ".repeat(width - cell.chars().count() + 2));
                    }
                }
                line.truncate(line.trim_end().len());
                line
            })
            .collect()
    }
}
