//! The file of what may stay: lines `RULE GLOB`, `*` for any rule, `#` before a remark.

use globset::{GlobBuilder, GlobMatcher};

/// Longest file.
pub const MOST_BYTES: u64 = 1024 * 1024;
/// Most lines.
const MOST_LINES: usize = 10_000;

/// What may stay.
#[derive(Clone, Debug, Default)]
pub struct AllowFile {
    entries: Vec<(Option<String>, GlobMatcher)>,
}

/// A line that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "line {line}: {problem}\nhint: a line is a rule's id (or *), a blank, and a path with * and **"
)]
pub struct BadLine {
    /// Which, from 1.
    pub line: usize,
    /// Why.
    pub problem: String,
}

impl AllowFile {
    /// Reads it; `knows` says whether there is a rule of that id.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &str, knows: impl Fn(&str) -> bool) -> Result<Self, BadLine> {
        let mut entries = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let bad = |problem: String| BadLine { line, problem };
            if entries.len() >= MOST_LINES {
                return Err(bad("too many lines".to_owned()));
            }
            let (rule, glob) = text
                .split_once([' ', '\t'])
                .ok_or_else(|| bad("there is no path".to_owned()))?;
            let rule = match rule {
                "*" => None,
                id if knows(id) => Some(id.to_owned()),
                id => return Err(bad(format!("there is no rule \"{id}\""))),
            };
            let glob = GlobBuilder::new(glob.trim())
                .literal_separator(true)
                .build()
                .map_err(|error| bad(error.kind().to_string()))?;
            entries.push((rule, glob.compile_matcher()));
        }
        Ok(Self { entries })
    }

    /// Whether a finding of this rule may stay at this path (without a leading `./`).
    #[must_use]
    pub fn allows(&self, rule: &str, path: &str) -> bool {
        let path = path.strip_prefix("./").unwrap_or(path);
        self.entries
            .iter()
            .any(|(id, glob)| id.as_ref().is_none_or(|id| id == rule) && glob.is_match(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_allow_and_bad_ones_are_named() {
        let file = "# fixtures\n\njwt tests/**/*.json\n* vendor/**\n";
        let allow = AllowFile::parse(file, |id| id == "jwt").unwrap();
        assert!(allow.allows("jwt", "tests/a/b.json"));
        assert!(allow.allows("jwt", "./tests/b.json"));
        assert!(!allow.allows("password", "tests/a/b.json"));
        assert!(!allow.allows("jwt", "src/b.json"));
        assert!(allow.allows("password", "vendor/x/y"));
        for (text, line) in [("jwt", 1), ("\nnone x", 2), ("jwt [", 1)] {
            assert_eq!(
                AllowFile::parse(text, |id| id == "jwt").unwrap_err().line,
                line,
                "{text}"
            );
        }
    }
}
