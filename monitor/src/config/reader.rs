//! Reads a TOML table key by key, so that one pass reports every mistake with its place.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::diagnostic::{Diagnostic, is_sensitive, position};
use crate::suggest::did_you_mean;

/// A file being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

/// A value that is well formed but not allowed: why, and what to do.
pub(super) type Refused = (String, String);

impl Source<'_> {
    /// An error at a place of this file.
    pub(super) fn error(&self, message: impl Into<String>, span: Range<usize>) -> Diagnostic {
        Diagnostic::error(message)
            .in_file(self.path)
            .span(self.text, span)
    }

    /// The place in this file of a part of a string's value: `string` is where it stands, quotes included, and
    /// `part` counts bytes of the value. The whole string where the two cannot be brought together.
    pub(super) fn within(&self, string: Range<usize>, part: Range<usize>) -> Range<usize> {
        let raw = self.text.get(string.clone()).unwrap_or("");
        let Some(at) = [part.start, part.end]
            .into_iter()
            .map(|at| raw_offset(raw, at))
            .collect::<Option<Vec<_>>>()
        else {
            return string;
        };
        match at[..] {
            [start, end] => string.start + start..string.start + end,
            _ => string,
        }
    }

    /// Translates an error of the TOML library. `within` is the table it happened in, or empty.
    fn library_error(
        &self,
        error: &toml::de::Error,
        fallback: Range<usize>,
        within: &str,
    ) -> Diagnostic {
        let span = error.span().unwrap_or(fallback);
        let message = error.message().trim();
        let mut quoted = message.split('`').skip(1).step_by(2);
        let place = if within.is_empty() {
            String::new()
        } else {
            format!(" in {within}")
        };
        let line = position(self.text, span.start).0;
        let line = self.text.lines().nth(line - 1).unwrap_or("");
        if message.starts_with("unknown field") {
            let name = quoted.next().unwrap_or("");
            return self
                .error(format!("unknown key `{name}`{place}"), span)
                .hint(known(name, quoted));
        }
        if message.starts_with("unknown variant") {
            let name = quoted.next().unwrap_or("");
            let choices: Vec<&str> = quoted.collect();
            return self
                .error(format!("unknown value `{name}`{place}"), span)
                .hint(known(name, choices.into_iter()).replace("keys", "values"));
        }
        if let Some(rest) = message.strip_prefix("missing field") {
            return self
                .error(format!("missing key{rest}{place}"), span)
                .hint("add it; config/bailiwick.toml of the distribution explains every key");
        }
        if let Some((_, expected)) = message
            .strip_prefix("invalid type: ")
            .and_then(|rest| rest.rsplit_once(", expected "))
        {
            // The library repeats the value it did not like; here it is not repeated, since it may be
            // a secret, and the line is shown anyhow when it is none.
            let expected = match expected {
                "a sequence" => "an array: values between [ and ], commas between them",
                "a map" => "a table",
                "i64" | "u64" | "u32" | "u16" => "a whole number, without quotes",
                other => other,
            };
            return self
                .error(format!("wrong type of value{place}"), span)
                .hint(format!("expected {expected}"));
        }
        if message.starts_with("invalid value") && is_sensitive(line) {
            return self.error(format!("value not allowed{place}"), span);
        }
        // Errors of our own types give their advice behind a semicolon.
        if let Some((what, advice)) = message.split_once("; ") {
            return self.error(format!("{what}{place}"), span).hint(advice);
        }
        self.error(format!("{message}{place}"), span)
    }
}

/// Where the byte `at` of a string's value stands in it as written.
fn raw_offset(raw: &str, at: usize) -> Option<usize> {
    let lines = raw.starts_with("\"\"\"") || raw.starts_with("'''");
    let mut here = if lines { 3 } else { 1 };
    // A line break right behind three quotes is none of the value.
    if lines {
        let rest = raw.get(here..)?;
        here += if rest.starts_with("\r\n") {
            2
        } else {
            usize::from(rest.starts_with('\n'))
        };
    }
    let escapes = raw.starts_with('"');
    let mut value = 0;
    while value < at {
        let mut chars = raw.get(here..)?.chars();
        let c = chars.next()?;
        if !escapes || c != '\\' {
            (here, value) = (here + c.len_utf8(), value + c.len_utf8());
            continue;
        }
        let (digits, plain) = match chars.next()? {
            'u' => (4, 0),
            'U' => (8, 0),
            'x' => (2, 0),
            'b' | 't' | 'n' | 'f' | 'r' | 'e' | '"' | '\\' => (0, 1),
            // The line goes on below.
            _ => return None,
        };
        let code = raw.get(here + 2..here + 2 + digits)?;
        let width = u32::from_str_radix(code, 16)
            .ok()
            .and_then(char::from_u32)
            .map_or(plain, char::len_utf8);
        (here, value) = (here + 2 + digits, value + width);
    }
    Some(here)
}

fn known<'a>(name: &str, candidates: impl Iterator<Item = &'a str> + Clone) -> String {
    did_you_mean(name, candidates.clone()).unwrap_or_else(|| {
        format!(
            "the known keys are {}",
            candidates.collect::<Vec<_>>().join(", ")
        )
    })
}

/// A table whose keys are taken one by one; what is left at the end is unknown.
pub(super) struct Section<'i> {
    source: Source<'i>,
    /// `[capture]` for messages; empty at the top.
    name: String,
    entries: Vec<(Spanned<std::borrow::Cow<'i, str>>, Spanned<DeValue<'i>>)>,
    asked: Vec<&'static str>,
}

impl<'i> Section<'i> {
    /// Parses a file. Syntax errors are all reported, and what could be understood is returned.
    pub(super) fn parse(source: Source<'i>, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let (table, errors) = DeTable::parse_recoverable(source.text);
        for error in &errors {
            let hint = if error.message().contains("duplicate key") {
                "remove one of the two"
            } else {
                "strings need quotes, arrays [ ], tables a [name] on a line of its own"
            };
            diagnostics.push(source.library_error(error, 0..0, "").hint(hint));
        }
        Self::new(source, String::new(), table.into_inner())
    }

    fn new(source: Source<'i>, name: String, table: DeTable<'i>) -> Self {
        Self {
            source,
            name,
            entries: table.into_iter().collect(),
            asked: Vec::new(),
        }
    }

    fn remove(&mut self, key: &'static str) -> Option<Spanned<DeValue<'i>>> {
        self.asked.push(key);
        let at = self
            .entries
            .iter()
            .position(|(name, _)| name.get_ref() == key)?;
        Some(self.entries.swap_remove(at).1)
    }

    /// The value of a key, if it is there and of the right type.
    pub(super) fn take<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<T> {
        self.take_if(key, diagnostics, Ok)
    }

    /// The same, if `check` also allows it.
    pub(super) fn take_if<T: DeserializeOwned, U>(
        &mut self,
        key: &'static str,
        diagnostics: &mut Vec<Diagnostic>,
        check: impl FnOnce(T) -> Result<U, Refused>,
    ) -> Option<U> {
        let value = self.remove(key)?;
        let span = value.span();
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => match check(value) {
                Ok(value) => Some(value),
                Err((why, hint)) => {
                    diagnostics.push(
                        self.source
                            .error(format!("{}: {why}", self.path(key)), span)
                            .hint(hint),
                    );
                    None
                }
            },
            Err(error) => {
                let within = format!("`{}`", self.path(key));
                diagnostics.push(self.source.library_error(&error, span, &within));
                None
            }
        }
    }

    /// A table below this one.
    pub(super) fn section(
        &mut self,
        key: &'static str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Section<'i>> {
        let value = self.remove(key)?;
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Some(Self::new(self.source, format!("[{key}]"), table)),
            other => {
                diagnostics.push(
                    self.source
                        .error(
                            format!("`{key}` is not a table but {}", a(other.type_str())),
                            span,
                        )
                        .hint(format!(
                            "write [{key}] on a line of its own, and its keys below"
                        )),
                );
                None
            }
        }
    }

    /// An array of tables, each with the byte at which it stands.
    pub(super) fn tables<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Vec<(T, Range<usize>)> {
        let Some(value) = self.remove(key) else {
            return Vec::new();
        };
        let span = value.span();
        let array = match value.into_inner() {
            DeValue::Array(array) => array,
            other => {
                diagnostics.push(
                    self.source
                        .error(
                            format!(
                                "`{key}` is not an array of tables but {}",
                                a(other.type_str())
                            ),
                            span,
                        )
                        .hint(format!("write [[{key}]], with two brackets")),
                );
                return Vec::new();
            }
        };
        let mut out = Vec::new();
        for item in array {
            let span = item.span();
            match T::deserialize(ValueDeserializer::from(item)) {
                Ok(value) => out.push((value, span)),
                Err(error) => {
                    let within = format!("[[{key}]]");
                    diagnostics.push(self.source.library_error(&error, span, &within));
                }
            }
        }
        out
    }

    /// Reports the keys nobody took.
    pub(super) fn finish(mut self, diagnostics: &mut Vec<Diagnostic>) {
        self.entries.sort_by_key(|(key, _)| key.span().start);
        for (key, _) in &self.entries {
            // A key that is not even TOML was reported as such.
            let place = Some(position(self.source.text, key.span().start));
            if diagnostics.iter().any(|known| {
                known.position == place && known.file.as_deref() == Some(self.source.path)
            }) {
                continue;
            }
            let name = key.get_ref();
            let within = if self.name.is_empty() {
                String::new()
            } else {
                format!(" in {}", self.name)
            };
            diagnostics.push(
                self.source
                    .error(format!("unknown key `{name}`{within}"), key.span())
                    .hint(known(name, self.asked.iter().copied())),
            );
        }
    }

    fn path(&self, key: &str) -> String {
        let table = self.name.trim_matches(['[', ']']);
        if table.is_empty() {
            key.to_owned()
        } else {
            format!("{table}.{key}")
        }
    }
}

fn a(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'i']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {kind}")
}
