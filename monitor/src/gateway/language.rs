//! Sets of hosts, paths and methods as regular expressions, and one example of each combination of them.
//!
//! Requests are compared where gateways agree on what a request means: a host in lower case, a path in
//! plain form (no empty or dot segments, no `;`, `*` or `%`). [`HOSTS`] and [`paths`] are these universes. Of
//! what is outside of them, exports let through only what the policy grants, and not all of that.

use std::collections::{HashMap, VecDeque};

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::syntax;
use regex_automata::{Anchored, MatchKind};

/// Most memory of one automaton, in bytes, while it is made and after.
const MOST_MEMORY: usize = 48 << 20;

/// Most states that are walked for examples.
const MOST_STATES: usize = 200_000;

/// Longest regular expression that is read, in bytes.
pub const LONGEST_REGEX: usize = 16 << 10;

/// A port after a host, 0 to 65535.
pub(super) const PORT: &str =
    "(?::(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))";

/// Hosts: names and addresses with or without a port other than 0 (which nobody serves).
pub const HOSTS: &str = r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*|\[[0-9a-f:]+\])(?::[1-9][0-9]{0,3})?";

/// One character of a segment other than a dot: what a path may hold as it is (RFC 3986 `pchar` without `;`),
/// or what must be encoded and cannot be taken for a delimiter.
pub(super) const CHARACTER: &str =
    "(?:[!$&-\\-0-:=@-Z_a-z~]|%(?:2[02]|3[CEce]|5[BDEbde]|60|7[B-Db-d]))";

/// A segment that is not empty and not `.` or `..`.
pub(super) fn segment() -> String {
    format!("(?:\\.*{CHARACTER}(?:{CHARACTER}|\\.)*|\\.\\.\\.+)")
}

/// Paths: segments of characters that need no encoding, of which the last may be empty.
#[must_use]
pub fn paths() -> String {
    let character = "[!$&-)+-\\-0-:=@-Z_a-z~]";
    let segment = format!("(?:\\.*{character}(?:{character}|\\.)*|\\.\\.\\.+)");
    format!("(?:/{segment})*(?:/|/{segment})")
}

/// Percent-encodes what a canonical path encodes; `None` when the text holds a character that no canonical
/// path has (a delimiter, `;`, `%`, `*`, controls, or what is not ASCII).
pub(super) fn canonical(text: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => out.push(char::from(*byte)),
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'+' | b','
            | b':' | b'=' | b'@' => out.push(char::from(*byte)),
            b' ' | b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                out.push_str(&format!("%{byte:02X}"));
            }
            _ => return None,
        }
    }
    Some(out)
}

/// Why a regular expression is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    /// Too long.
    #[error("a regular expression of more than {LONGEST_REGEX} bytes")]
    TooLong,
    /// Its syntax is wrong, or beyond what has no memory (look-around, references).
    #[error("the regular expression cannot be read: {0}")]
    Syntax(String),
    /// The automaton is too large.
    #[error("the regular expression is too large")]
    TooLarge,
}

fn dfa(patterns: &[&str]) -> Result<dense::DFA<Vec<u32>>, RegexError> {
    let whole: Vec<String> = patterns.iter().map(|p| format!("\\A(?:{p})\\z")).collect();
    dense::Builder::new()
        .configure(
            dense::Config::new()
                .match_kind(MatchKind::All)
                .start_kind(StartKind::Anchored)
                .accelerate(false)
                .determinize_size_limit(Some(MOST_MEMORY))
                .dfa_size_limit(Some(MOST_MEMORY)),
        )
        .syntax(
            syntax::Config::new()
                .unicode(false)
                .utf8(false)
                .nest_limit(100),
        )
        .thompson(
            regex_automata::nfa::thompson::Config::new()
                .utf8(false)
                .nfa_size_limit(Some(MOST_MEMORY)),
        )
        .build_many(&whole)
        .map_err(|error| {
            if error.is_size_limit_exceeded() {
                RegexError::TooLarge
            } else {
                RegexError::Syntax(error.to_string())
            }
        })
}

/// Whether a regular expression is one that can be read here.
///
/// # Errors
/// Why not.
pub fn check(pattern: &str) -> Result<(), RegexError> {
    if pattern.len() > LONGEST_REGEX {
        return Err(RegexError::TooLong);
    }
    // Alone and unanchored, so that `a)(b` is not made whole by what is put around it.
    regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .nest_limit(100)
        .build()
        .parse(pattern)
        .map_err(|error| RegexError::Syntax(last_line(&error.to_string())))?;
    dfa(&[pattern]).map(|_| ())
}

fn last_line(text: &str) -> String {
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    line.unwrap_or_default()
        .trim()
        .trim_start_matches("error: ")
        .to_owned()
}

/// Which of a list of patterns match, by number.
pub type Matched = Box<[bool]>;

/// One example of strings that the same patterns match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The shortest string found.
    pub text: String,
    /// Which patterns match it.
    pub matched: Matched,
}

enum Machine {
    /// All patterns at once: every combination is found.
    Joint(Box<dense::DFA<Vec<u32>>>),
    /// One by one, when together they are too large.
    Single(Vec<dense::DFA<Vec<u32>>>),
}

/// Sorts strings by which patterns match them wholly.
pub struct Sorter {
    patterns: Vec<String>,
    machine: Machine,
}

impl std::fmt::Debug for Sorter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sorter")
            .field("patterns", &self.patterns)
            .finish_non_exhaustive()
    }
}

impl Sorter {
    /// A sorter by regular expressions (Rust's syntax, of bytes), each of which [`check`] lets through.
    ///
    /// # Errors
    /// The first that is none, by its text.
    pub fn new(patterns: Vec<String>) -> Result<Self, RegexError> {
        let texts: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let machine = match dfa(&texts) {
            Ok(joint) => Machine::Joint(Box::new(joint)),
            Err(RegexError::TooLarge) => Machine::Single(
                texts
                    .iter()
                    .map(|text| dfa(&[text]))
                    .collect::<Result<_, _>>()?,
            ),
            Err(error) => return Err(error),
        };
        Ok(Self { patterns, machine })
    }

    /// Which patterns match a string.
    #[must_use]
    pub fn sort(&self, text: &str) -> Matched {
        match &self.machine {
            Machine::Joint(dfa) => matched(dfa, run(dfa, text), self.patterns.len()),
            Machine::Single(all) => all
                .iter()
                .map(|dfa| {
                    run(dfa, text)
                        .is_some_and(|state| dfa.is_match_state(dfa.next_eoi_state(state)))
                })
                .collect(),
        }
    }

    /// One example of each combination of patterns among strings that `universe` matches, in the order of
    /// their length, and whether that is all of them.
    ///
    /// # Errors
    /// When the universe is no regular expression.
    pub fn examples(&self, universe: &str) -> Result<(Vec<Example>, bool), RegexError> {
        let mut texts: Vec<&str> = self.patterns.iter().map(String::as_str).collect();
        texts.push(universe);
        match &self.machine {
            Machine::Joint(_) => match dfa(&texts) {
                Ok(dfa) => return Ok(walk(&dfa, texts.len())),
                Err(RegexError::TooLarge) => {}
                Err(error) => return Err(error),
            },
            Machine::Single(_) => {}
        }
        // Too large together: what each alone tells apart, and no more.
        let mut found: Vec<Example> = Vec::new();
        for pattern in &self.patterns {
            let Ok(dfa) = dfa(&[pattern, universe]) else {
                continue;
            };
            for example in walk(&dfa, 2).0 {
                let matched = self.sort(&example.text);
                if found.iter().all(|old| old.matched != matched) {
                    found.push(Example {
                        text: example.text,
                        matched,
                    });
                }
            }
        }
        Ok((found, false))
    }
}

fn start(dfa: &dense::DFA<Vec<u32>>) -> Option<StateID> {
    let config = regex_automata::util::start::Config::new().anchored(Anchored::Yes);
    dfa.start_state(&config).ok()
}

fn run(dfa: &dense::DFA<Vec<u32>>, text: &str) -> Option<StateID> {
    let mut state = start(dfa)?;
    for byte in text.bytes() {
        state = dfa.next_state(state, byte);
        if dfa.is_dead_state(state) || dfa.is_quit_state(state) {
            return None;
        }
    }
    Some(state)
}

/// Which patterns match when the string ends here.
fn matched(dfa: &dense::DFA<Vec<u32>>, state: Option<StateID>, patterns: usize) -> Matched {
    let mut all = vec![false; patterns];
    let Some(state) = state else {
        return all.into();
    };
    let end = dfa.next_eoi_state(state);
    if dfa.is_match_state(end) {
        for at in 0..dfa.match_len(end) {
            if let Some(slot) = all.get_mut(dfa.match_pattern(end, at).as_usize()) {
                *slot = true;
            }
        }
    }
    all.into()
}

/// Bytes in the order in which examples use them: what a person would write first.
fn alphabet() -> impl Iterator<Item = u8> {
    b"xabcdefghijklmnopqrstuvwyz0123456789-._/:[]~ABCDEFGHIJKLMNOPQRSTUVWXYZ@!$&'()+,="
        .iter()
        .copied()
}

/// Walks all states from the shortest string on; the last pattern is the universe.
fn walk(dfa: &dense::DFA<Vec<u32>>, patterns: usize) -> (Vec<Example>, bool) {
    let universe = patterns.saturating_sub(1);
    // The state before, and the byte that led on from there.
    let mut came: HashMap<StateID, (StateID, u8)> = HashMap::new();
    let mut found: HashMap<Matched, Example> = HashMap::new();
    let mut order: Vec<Matched> = Vec::new();
    let mut queue = VecDeque::new();
    let Some(first) = start(dfa) else {
        return (Vec::new(), false);
    };
    queue.push_back(first);
    let mut whole = true;
    while let Some(state) = queue.pop_front() {
        let mut all = matched(dfa, Some(state), patterns).into_vec();
        if all.get(universe) == Some(&true) {
            all.truncate(universe);
            let key: Matched = all.into();
            if !found.contains_key(&key) {
                let text = spell(&came, first, state);
                found.insert(
                    key.clone(),
                    Example {
                        text,
                        matched: key.clone(),
                    },
                );
                order.push(key);
            }
        }
        for byte in alphabet() {
            let next = dfa.next_state(state, byte);
            if next == first
                || dfa.is_dead_state(next)
                || dfa.is_quit_state(next)
                || came.contains_key(&next)
            {
                continue;
            }
            if came.len() >= MOST_STATES {
                whole = false;
                break;
            }
            came.insert(next, (state, byte));
            queue.push_back(next);
        }
    }
    let examples = order.iter().filter_map(|key| found.remove(key)).collect();
    (examples, whole)
}

fn spell(came: &HashMap<StateID, (StateID, u8)>, first: StateID, mut state: StateID) -> String {
    let mut bytes = Vec::new();
    while state != first {
        let Some((before, byte)) = came.get(&state) else {
            break;
        };
        bytes.push(char::from(*byte));
        state = *before;
    }
    bytes.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_an_example() {
        let sorter = Sorter::new(vec![
            "/v1(?:/.*)?".into(),
            "/v1/items/[^/]+".into(),
            "/v1/items/all".into(),
        ])
        .unwrap();
        let (examples, whole) = sorter.examples(&paths()).unwrap();
        let texts: Vec<&str> = examples.iter().map(|e| e.text.as_str()).collect();
        assert!(whole);
        assert_eq!(texts, ["/", "/v1", "/v1/items/x", "/v1/items/all"]);
        for example in &examples {
            assert_eq!(sorter.sort(&example.text), example.matched);
        }
    }

    #[test]
    fn universes_hold_what_is_canonical() {
        let sorter = Sorter::new(vec![paths(), HOSTS.into()]).unwrap();
        for (text, want) in [
            ("/", true),
            ("/a", true),
            ("/a/", true),
            ("/a+b", true),
            ("/a%20b", false),
            ("/a*", false),
            ("/...", true),
            ("/.a", true),
            ("/..a/b", true),
            ("", false),
            ("a", false),
            ("//", false),
            ("/a//b", false),
            ("/.", false),
            ("/..", false),
            ("/a/../b", false),
            ("/a%2Fb", false),
            ("/a%2eb", false),
            ("/%61", false),
            ("/a;b", false),
            ("/a%3cb", false),
            ("/a?b", false),
            ("/a b", false),
        ] {
            assert_eq!(sorter.sort(text)[0], want, "{text}");
        }
        for (text, want) in [
            ("api.example", true),
            ("api.example:8080", true),
            ("[::1]:80", true),
            ("192.0.2.1", true),
            ("API.example", false),
            ("a..b", false),
            ("a:", false),
            ("", false),
            ("a:080", false),
        ] {
            assert_eq!(sorter.sort(text)[1], want, "{text}");
        }
    }

    #[test]
    fn what_is_no_regular_language_is_refused() {
        for bad in ["(?=a)b", r"(a)\1", "a)(b", "(", "a{1000}{1000}{1000}"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert_eq!(
            check(&"a".repeat(LONGEST_REGEX + 1)),
            Err(RegexError::TooLong)
        );
        for good in ["^/a$", "(?i)a|b", r"\d+\.x", "[^/]*"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }
}
