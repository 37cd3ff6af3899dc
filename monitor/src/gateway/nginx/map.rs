//! Variables, maps and conditions of `if`.

use std::collections::HashMap;

use super::super::gate::{Attribute, Cond, Part, Remarks};
use super::super::language;
use super::super::quote;
use super::PORT;
use super::tokens::Directive;
use super::write::{ANY_PORT, QUERY};

/// Maps through maps that are followed.
const DEEPEST: usize = 4;

/// Most turns between values of one map that are followed.
const MOST_TURNS: usize = 64;

/// What a variable that is no map tells of who asks.
pub(in super::super) fn attribute(name: &str) -> Attribute {
    if let Some(header) = name.strip_prefix("http_") {
        return Attribute::Header(header.replace('_', "-").to_ascii_lowercase());
    }
    match name.strip_prefix("jwt_claim_") {
        Some(claim) => Attribute::Claim(vec![claim.to_owned()]),
        None => Attribute::Variable(name.to_owned()),
    }
}

/// A text of an expression of nginx that stands for one variable.
fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    let name = name
        .strip_prefix('{')
        .and_then(|n| n.strip_suffix('}'))
        .unwrap_or(name);
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(word)).then_some(name)
}

/// One `map`.
struct Map {
    source: String,
    hostnames: bool,
    /// Keys that are not regular expressions come first, as nginx looks at them.
    entries: Vec<(String, String, usize)>,
    default: String,
}

/// All maps, by variable.
#[derive(Default)]
pub(super) struct Maps {
    all: HashMap<String, Map>,
}

impl Maps {
    /// Adds a `map` block.
    pub(super) fn add(&mut self, directive: &Directive) {
        let Some(name) = variable(directive.word(1)) else {
            return;
        };
        let mut map = Map {
            source: directive.word(0).to_owned(),
            hostnames: false,
            entries: Vec::new(),
            default: String::new(),
        };
        for entry in directive.children() {
            match (entry.name.as_str(), entry.words.as_slice()) {
                ("hostnames", []) => map.hostnames = true,
                ("volatile", []) => {}
                ("default", [value]) => map.default = value.clone(),
                (key, [value]) => map
                    .entries
                    .push((key.to_owned(), value.clone(), entry.line)),
                _ => {}
            }
        }
        map.entries.sort_by_key(|(key, ..)| key.starts_with('~'));
        self.all.insert(name.to_owned(), map);
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.all.contains_key(name)
    }

    /// The condition inside `if (…)`.
    pub(super) fn condition(&self, directive: &Directive, remarks: &mut Remarks) -> Cond {
        let mut words: Vec<&str> = directive.words.iter().map(String::as_str).collect();
        if let Some(first) = words.first_mut() {
            *first = first.strip_prefix('(').unwrap_or(first);
        }
        if let Some(last) = words.last_mut() {
            *last = last.strip_suffix(')').unwrap_or(last);
        }
        let empty_ends =
            [words.first(), words.last()].map(|word| word.is_some_and(|word| word.is_empty()));
        // `( $a = b )`, or a quoted word before `)`. An empty value is `""`, between the two.
        if empty_ends[1] && (words.len() > 3 || words.len() == 2) {
            words.pop();
        }
        if empty_ends[0] && !words.is_empty() {
            words.remove(0);
        }
        let known = match words.as_slice() {
            [name] => variable(name).and_then(|name| self.matches(name, "(?s:[^0]|..+)", DEEPEST)),
            [name, operator, value] => variable(name).and_then(|name| {
                let search = |folded: bool| {
                    let flag = if folded { "i" } else { "" };
                    format!("(?s:.*)(?{flag}:{value})(?s:.*)")
                };
                // Alone it must be one, so that it is none of ours when it is put between others.
                let sound = language::check(value).is_ok();
                match *operator {
                    "=" => self.matches(name, &quote_bytes(value)?, DEEPEST),
                    "!=" => self.matches(name, &quote_bytes(value)?, DEEPEST).map(not),
                    "~" if sound => self.matches(name, &search(false), DEEPEST),
                    "~*" if sound => self.matches(name, &search(true), DEEPEST),
                    "!~" if sound => self.matches(name, &search(false), DEEPEST).map(not),
                    "!~*" if sound => self.matches(name, &search(true), DEEPEST).map(not),
                    _ => None,
                }
            }),
            _ => None,
        };
        known.unwrap_or_else(|| {
            remarks.add(
                directive.line,
                format!("if {}", quote::comment(&directive.words.join(" "))),
            );
            Cond::Unknown
        })
    }

    /// That a variable's whole value matches.
    fn matches(&self, name: &str, pattern: &str, depth: usize) -> Option<Cond> {
        language::check(pattern).ok()?;
        let cond = match name {
            "request_method" => Cond::Matches(Part::Method, pattern.to_owned()),
            // Without its port.
            "host" => Cond::Matches(Part::Host, format!("(?:{pattern})(?::[0-9]+)?")),
            "http_host" => Cond::Matches(Part::Host, pattern.to_owned()),
            // A witness has no query and nothing that is encoded.
            "uri" | "document_uri" | "request_uri" => Cond::Matches(Part::Path, pattern.to_owned()),
            "scheme" | "args" | "is_args" | "query_string" | "remote_addr"
            | "ssl_client_verify" => Cond::Unknown,
            _ if name.starts_with("arg_") || name.starts_with("cookie_") => Cond::Unknown,
            _ if self.has(name) => return self.value_matches(name, pattern, depth.checked_sub(1)?),
            _ => {
                let attribute = attribute(name);
                let there = Cond::Who(attribute.clone(), pattern.to_owned());
                if !text_matches("", pattern)? {
                    return Some(there);
                }
                let any = Cond::Who(attribute, "(?s:.*)".to_owned());
                Cond::Either(vec![there, not(any)])
            }
        };
        Some(cond)
    }

    /// That a map's value matches.
    fn value_matches(&self, name: &str, pattern: &str, depth: usize) -> Option<Cond> {
        let map = self.all.get(name)?;
        if map.hostnames {
            return None;
        }
        let of = |value: &str| {
            if value.contains('$') {
                None
            } else {
                text_matches(value, pattern)
            }
        };
        let mut groups: Vec<(bool, Vec<Cond>)> = Vec::new();
        for (key, value, _) in &map.entries {
            let held = of(value)?;
            let cond = self.key(map, key, depth)?;
            match groups.last_mut() {
                Some((last, conds)) if *last == held => conds.push(cond),
                _ => groups.push((held, vec![cond])),
            }
        }
        if groups.len() > MOST_TURNS {
            return None;
        }
        let otherwise = if of(&map.default)? {
            Cond::Any
        } else {
            not(Cond::Any)
        };
        Some(
            groups
                .into_iter()
                .rev()
                .fold(otherwise, |rest, (held, conds)| {
                    let one = Cond::Either(conds);
                    if held {
                        Cond::Either(vec![one, rest])
                    } else {
                        Cond::All(vec![not(one), rest])
                    }
                }),
        )
    }

    /// That a map's key matches its source.
    fn key(&self, map: &Map, key: &str, depth: usize) -> Option<Cond> {
        let Some(name) = variable(&map.source) else {
            return composite(map, key);
        };
        // A backslash in front takes the meaning of what follows away.
        let pattern = match (key.strip_prefix("~*"), key.strip_prefix('~')) {
            (Some(own), _) => {
                language::check(own).ok()?;
                format!("(?s:.*)(?i:{own})(?s:.*)")
            }
            (None, Some(own)) => {
                language::check(own).ok()?;
                format!("(?s:.*)(?:{own})(?s:.*)")
            }
            // Texts are compared without regard to case.
            _ => format!(
                "(?i:{})",
                quote_bytes(key.strip_prefix('\\').unwrap_or(key))?
            ),
        };
        self.matches(name, &pattern, depth)
    }
}

/// A key of a map from role, method, host with port, and path, as the export writes it: each part matched
/// wholly, with spaces between.
fn composite(map: &Map, key: &str) -> Option<Cond> {
    let words: Vec<&str> = map.source.split(' ').collect();
    let [role, "$request_method", host, "$request_uri"] = words.as_slice() else {
        return None;
    };
    if *host != format!("$host:${PORT}") {
        return None;
    }
    let role = variable(role)?;
    let own = key.strip_prefix("~^")?.strip_suffix('$')?;
    let mut parts = split(own)?;
    let (path, host, method) = (parts.pop()?, parts.pop()?, parts.pop()?);
    if parts.is_empty() {
        return None;
    }
    let who = parts.join(" ");
    let host = match host
        .strip_suffix(ANY_PORT)
        .and_then(|host| host.strip_suffix(':'))
    {
        Some(host) => format!("(?:{host})(?::{ANY_PORT})?"),
        None => {
            let (host, port) = host.rsplit_once(':')?;
            match port {
                "80" => format!("(?:{host})(?::80)?"),
                _ if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
                    format!("(?:{host}):{port}")
                }
                _ => return None,
            }
        }
    };
    let path = path.strip_suffix(QUERY).unwrap_or(path).to_owned();
    for pattern in [&who, &host, &path, &method.to_owned()] {
        language::check(pattern).ok()?;
    }
    Some(Cond::All(vec![
        Cond::Who(attribute(role), who),
        Cond::Matches(Part::Method, method.to_owned()),
        Cond::Matches(Part::Host, host),
        Cond::Matches(Part::Path, path),
    ]))
}

/// Splits a regular expression at its spaces; `None` when it has alternatives or anchors that concern several parts.
fn split(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut depth, mut class) = (Vec::new(), 0, 0_usize, false);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => _ = chars.next(),
            ']' => class = false,
            _ if class => {}
            '[' => class = true,
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            '|' | '^' | '$' if depth == 0 => return None,
            ' ' if depth == 0 => {
                parts.push(text.get(start..at)?);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    Some(parts)
}

fn not(cond: Cond) -> Cond {
    Cond::Not(Box::new(cond))
}

/// A text as a regular expression; only ASCII can be compared.
fn quote_bytes(text: &str) -> Option<String> {
    text.is_ascii().then(|| quote::regex(text))
}

fn text_matches(text: &str, pattern: &str) -> Option<bool> {
    let sorter = language::Sorter::new(vec![pattern.to_owned()]).ok()?;
    sorter.sort(text).first().copied()
}
