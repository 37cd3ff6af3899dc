//! Rule files of gitleaks (its TOML, as of version 8): read strictly. What cannot be taken over is an error that names
//! the rule; nothing is left out without a word.
//!
//! Keys: github.com/gitleaks/gitleaks, README, "Configuration". Its own rules are not part of this program.

mod read;
#[cfg(test)]
mod tests;

use std::ops::Range;

use regex::bytes::Regex;

use super::{Form, plain};
pub use read::{BadRules, Read, parse};

/// Most rules of a file.
pub const MOST_RULES: usize = 2000;

/// What an allowlist's expressions look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    Secret,
    Match,
    Line,
}

/// `[[allowlists]]`.
#[derive(Clone, Debug)]
pub(super) struct AllowList {
    /// All conditions must hold, not any.
    pub(super) all: bool,
    pub(super) paths: Vec<Regex>,
    pub(super) regexes: Vec<Regex>,
    pub(super) aim: Aim,
    /// Lower case.
    pub(super) stop_words: Vec<String>,
    /// Ids of the rules that it is for; empty: all.
    pub(super) targets: Vec<String>,
}

/// `[[rules]]`.
#[derive(Clone, Debug)]
pub(super) struct Foreign {
    pub(super) id: String,
    pub(super) description: String,
    /// `None`: the path alone is the finding.
    pub(super) regex: Option<Regex>,
    pub(super) path: Option<Regex>,
    pub(super) group: usize,
    pub(super) entropy: Option<f64>,
    /// Lower case.
    pub(super) keywords: Vec<String>,
    pub(super) allow: Vec<AllowList>,
}

/// The rules of a file.
#[derive(Clone, Debug, Default)]
pub struct ForeignRules {
    pub(super) rules: Vec<Foreign>,
    pub(super) allow: Vec<AllowList>,
}

impl ForeignRules {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a list for all rules excludes a path and asks for nothing else.
    pub(super) fn leaves_out(&self, path: &[u8]) -> bool {
        self.allow.iter().any(|list| {
            let paths_decide = !list.all || (list.regexes.is_empty() && list.stop_words.is_empty());
            list.targets.is_empty()
                && paths_decide
                && list.paths.iter().any(|regex| regex.is_match(path))
        })
    }
}

/// One match of a rule.
struct Match<'a> {
    path: &'a [u8],
    secret: &'a [u8],
    whole: &'a [u8],
    line: &'a [u8],
}

impl AllowList {
    fn allows(&self, found: &Match<'_>) -> bool {
        let text = match self.aim {
            Aim::Secret => found.secret,
            Aim::Match => found.whole,
            Aim::Line => found.line,
        };
        let stopped = || {
            let lower = found.secret.to_ascii_lowercase();
            self.stop_words
                .iter()
                .any(|word| memchr::memmem::find(&lower, word.as_bytes()).is_some())
        };
        let conditions = [
            (!self.paths.is_empty())
                .then(|| self.paths.iter().any(|regex| regex.is_match(found.path))),
            (!self.regexes.is_empty())
                .then(|| self.regexes.iter().any(|regex| regex.is_match(text))),
            (!self.stop_words.is_empty()).then(stopped),
        ];
        let mut said = conditions.into_iter().flatten();
        if self.all {
            said.all(|holds| holds)
        } else {
            said.any(|holds| holds)
        }
    }
}

impl Foreign {
    /// Tells where it matches in a piece, at most `most` times.
    pub(super) fn look(
        &self,
        bytes: &[u8],
        path: &[u8],
        rules: &ForeignRules,
        most: usize,
        mut tell: impl FnMut(Range<usize>, Form),
    ) {
        if self
            .path
            .as_ref()
            .is_some_and(|regex| !regex.is_match(path))
        {
            return;
        }
        let Some(regex) = &self.regex else {
            // A file that should not be there, whatever it holds.
            tell(0..bytes.len().min(1), Form::Never);
            return;
        };
        for captures in regex.captures_iter(bytes).take(most) {
            let Some(whole) = captures.get(0) else {
                continue;
            };
            // Without a group of its own choice: the first one that took part, else all of it.
            let secret = if self.group > 0 {
                captures.get(self.group)
            } else {
                captures
                    .iter()
                    .skip(1)
                    .flatten()
                    .find(|group| !group.is_empty())
                    .or(Some(whole))
            };
            let Some(secret) = secret.filter(|secret| !secret.is_empty()) else {
                continue;
            };
            // gitleaks: more than, not at least.
            if self
                .entropy
                .is_some_and(|least| plain::entropy(secret.as_bytes()) <= least)
            {
                continue;
            }
            let found = Match {
                path,
                secret: secret.as_bytes(),
                whole: whole.as_bytes(),
                line: line(bytes, whole.range()),
            };
            let own = self.allow.iter();
            let shared = rules
                .allow
                .iter()
                .filter(|list| list.targets.is_empty() || list.targets.contains(&self.id));
            if !own.chain(shared).any(|list| list.allows(&found)) {
                tell(secret.range(), Form::Token);
            }
        }
    }
}

/// The lines that a match stands in, at most 4 KiB to either side.
fn line(bytes: &[u8], whole: Range<usize>) -> &[u8] {
    let from = whole.start.saturating_sub(4096);
    let start = memchr::memrchr(b'\n', bytes.get(from..whole.start).unwrap_or_default())
        .map_or(from, |at| from + at + 1);
    let behind = bytes.get(whole.end..).unwrap_or_default();
    let behind = behind.get(..behind.len().min(4096)).unwrap_or_default();
    let end = whole.end + memchr::memchr(b'\n', behind).unwrap_or(behind.len());
    bytes.get(start..end).unwrap_or_default()
}
