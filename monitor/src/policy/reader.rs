//! Reads TOML with the place of every value, and goes on after an error.
//!
//! serde stops at the first unknown key; a person wants to see all of them at once. So the parsed tree
//! is walked by hand, as strictly as `deny_unknown_fields` would.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Diagnostics, Place};
use crate::suggest::did_you_mean;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Written<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// Finds lines and columns of byte offsets.
#[derive(Debug)]
pub(crate) struct Source<'t> {
    file: Arc<str>,
    text: &'t str,
    /// Offset of each line's first byte.
    lines: Vec<usize>,
}

impl<'t> Source<'t> {
    pub(crate) fn new(file: &str, text: &'t str) -> Self {
        let starts = text
            .bytes()
            .enumerate()
            .filter(|(_, b)| *b == b'\n')
            .map(|(i, _)| i + 1);
        Self {
            file: file.into(),
            text,
            lines: std::iter::once(0).chain(starts).collect(),
        }
    }

    /// The place of a byte offset; offsets past the end are the end.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self
            .text
            .get(start..offset)
            .or_else(|| self.text.get(start..))
            .unwrap_or("");
        let column = before.chars().count().saturating_add(1);
        Place {
            file: Arc::clone(&self.file),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    fn at(&self, span: &Range<usize>) -> Place {
        self.place(span.start)
    }
}

/// One table being read: asks for fields by name, then complains of the ones nobody asked for.
#[derive(Debug)]
pub(crate) struct TableReader<'t, 's> {
    source: &'s Source<'s>,
    table: &'t DeTable<'t>,
    /// Dotted name of the table; empty at the root.
    path: String,
    place: Place,
    asked: Vec<&'static str>,
}

impl<'t, 's> TableReader<'t, 's> {
    pub(crate) fn new(
        source: &'s Source<'s>,
        table: &'t DeTable<'t>,
        path: String,
        place: Place,
    ) -> Self {
        Self {
            source,
            table,
            path,
            place,
            asked: Vec::new(),
        }
    }

    /// Where the table begins.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Dotted name of the table.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Whether the key is there, whatever its value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.table.iter().any(|(key, _)| key.get_ref() == name)
    }

    fn key(&self, name: &str) -> String {
        if self.path.is_empty() {
            dotted(name)
        } else {
            format!("{}.{}", self.path, dotted(name))
        }
    }

    fn field(&mut self, name: &'static str) -> Option<(&'t Spanned<DeValue<'t>>, Place, String)> {
        self.asked.push(name);
        let (key, value) = self.table.iter().find(|(key, _)| key.get_ref() == name)?;
        Some((value, self.source.at(&key.span()), self.key(name)))
    }

    /// A string.
    pub(crate) fn string(
        &mut self,
        name: &'static str,
        out: &mut Diagnostics,
    ) -> Option<Written<String>> {
        let (value, place, key) = self.field(name)?;
        let DeValue::String(text) = value.get_ref() else {
            wrong_type(out, &place, key, "a string", value.get_ref());
            return None;
        };
        Some(Written {
            value: text.to_string(),
            place,
        })
    }

    /// An integer.
    pub(crate) fn integer(
        &mut self,
        name: &'static str,
        out: &mut Diagnostics,
    ) -> Option<Written<i64>> {
        let (value, place, key) = self.field(name)?;
        let number = match value.get_ref() {
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            _ => None,
        };
        let Some(value) = number else {
            wrong_type(out, &place, key, "a whole number", value.get_ref());
            return None;
        };
        Some(Written { value, place })
    }

    /// `true` or `false`.
    pub(crate) fn boolean(
        &mut self,
        name: &'static str,
        out: &mut Diagnostics,
    ) -> Option<Written<bool>> {
        let (value, place, key) = self.field(name)?;
        let DeValue::Boolean(value) = *value.get_ref() else {
            wrong_type(out, &place, key, "true or false", value.get_ref());
            return None;
        };
        Some(Written { value, place })
    }

    /// A string, which is a list of one, or a list of strings.
    pub(crate) fn string_or_strings(
        &mut self,
        name: &'static str,
        out: &mut Diagnostics,
    ) -> Option<Written<Vec<Written<String>>>> {
        let (value, place, key) = self.field(name)?;
        let list = match value.get_ref() {
            DeValue::String(text) => vec![Written {
                value: text.to_string(),
                place: self.source.at(&value.span()),
            }],
            DeValue::Array(_) => strings(self.source, value.get_ref(), &place, &key, out)?,
            other => {
                wrong_type(out, &place, key, "a string or a list of strings", other);
                return None;
            }
        };
        Some(Written { value: list, place })
    }

    /// A list of strings; what is no string in it is reported and left out.
    pub(crate) fn strings(
        &mut self,
        name: &'static str,
        out: &mut Diagnostics,
    ) -> Option<Written<Vec<Written<String>>>> {
        let (value, place, key) = self.field(name)?;
        let list = strings(self.source, value.get_ref(), &place, &key, out)?;
        Some(Written { value: list, place })
    }

    /// A table whose keys are names: each is handed to `read` with its value, dotted key and place.
    pub(crate) fn named<T>(
        &mut self,
        name: &'static str,
        out: &mut Diagnostics,
        mut read: impl FnMut(
            &'s Source<'s>,
            &'t DeValue<'t>,
            &Place,
            &str,
            &mut Diagnostics,
        ) -> Option<T>,
    ) -> Vec<(String, Written<T>)> {
        let Some((value, place, key)) = self.field(name) else {
            return Vec::new();
        };
        let DeValue::Table(table) = value.get_ref() else {
            wrong_type(out, &place, key, "a table", value.get_ref());
            return Vec::new();
        };
        let mut all = Vec::new();
        for (entry, value) in table.iter() {
            let place = self.source.at(&entry.span());
            let path = format!("{key}.{}", dotted(entry.get_ref()));
            if let Some(value) = read(self.source, value.get_ref(), &place, &path, out) {
                all.push((entry.get_ref().to_string(), Written { value, place }));
            }
        }
        all
    }

    /// An array of tables (`[[name]]`).
    pub(crate) fn tables<T>(
        &mut self,
        name: &'static str,
        out: &mut Diagnostics,
        mut read: impl FnMut(TableReader<'t, 's>, &mut Diagnostics) -> Option<T>,
    ) -> Vec<Written<T>> {
        let Some((value, place, key)) = self.field(name) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            let hint = format!("write [[{key}]] with two brackets: there can be many");
            out.error(
                &place,
                key,
                expected("a list of tables", value.get_ref()),
                Some(hint),
            );
            return Vec::new();
        };
        let mut all = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let place = self.source.at(&item.span());
            let path = format!("{key}[{index}]");
            let DeValue::Table(table) = item.get_ref() else {
                wrong_type(out, &place, path, "a table", item.get_ref());
                continue;
            };
            let reader = TableReader::new(self.source, table, path, place.clone());
            if let Some(value) = read(reader, out) {
                all.push(Written { value, place });
            }
        }
        all
    }

    /// Complains of every key nobody asked for.
    pub(crate) fn finish(self, out: &mut Diagnostics) {
        for (key, _) in self.table.iter() {
            let name: &str = key.get_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let hint = did_you_mean(name, self.asked.iter().copied())
                .unwrap_or_else(|| format!("the keys here are {}", self.asked.join(", ")));
            out.error(
                &self.source.at(&key.span()),
                self.key(name),
                "unknown key",
                Some(hint),
            );
        }
    }
}

/// A list of strings.
pub(crate) fn strings(
    source: &Source<'_>,
    value: &DeValue<'_>,
    place: &Place,
    key: &str,
    out: &mut Diagnostics,
) -> Option<Vec<Written<String>>> {
    let DeValue::Array(items) = value else {
        let hint = value
            .is_str()
            .then(|| "put it in brackets: [\"…\"]".to_owned());
        out.error(place, key, expected("a list of strings", value), hint);
        return None;
    };
    let mut all = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let place = source.at(&item.span());
        match item.get_ref() {
            DeValue::String(text) => all.push(Written {
                value: text.to_string(),
                place,
            }),
            other => wrong_type(out, &place, format!("{key}[{index}]"), "a string", other),
        }
    }
    Some(all)
}

fn expected(what: &str, found: &DeValue<'_>) -> String {
    format!("expected {what}, found {}", with_article(found.type_str()))
}

fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {noun}")
}

/// Reports a value of the wrong type. The value itself is not repeated: it may be a secret.
pub(crate) fn wrong_type(
    out: &mut Diagnostics,
    place: &Place,
    key: impl Into<String>,
    what: &str,
    found: &DeValue<'_>,
) {
    out.error(place, key, expected(what, found), None);
}

/// A key as TOML wants it written.
pub(crate) fn dotted(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_and_characters() {
        let text = "a = 1\nb = \"ä\" # ü\n\nc";
        let source = Source::new("f", text);
        for (needle, line, column) in [("a", 1, 1), ("b", 2, 1), ("#", 2, 9), ("c", 4, 1)] {
            let offset = text.find(needle).unwrap();
            let place = source.place(offset);
            assert_eq!((place.line, place.column), (line, column), "{needle}");
        }
        let end = source.place(usize::MAX);
        assert_eq!((end.line, end.column), (4, 2));
    }
}
