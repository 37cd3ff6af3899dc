//! The table in the form that the hot path asks.

use super::super::CredentialKind;
use super::super::jwt;
use super::super::shape;
use super::pattern::{HostPattern, PathPattern, glob};
use super::table::{CredentialTable, Names, Rule};

/// Values known by a public beginning are at least so many bytes longer than it.
const MIN_BEHIND_PREFIX: usize = 8;

/// Most prefixes over all rules. Far more than there are vendors.
const MAX_PREFIXES: usize = 8192;

/// Most path patterns over all rules.
const MAX_PATTERNS: usize = 8192;

/// A name in lower case, and its rules in order.
#[derive(Debug)]
struct Named {
    tag: u8,
    name: Box<[u8]>,
    /// As most programs write it: `Content-Type`.
    usual: Box<[u8]>,
    rules: Vec<u16>,
}

/// A name with capital letters where words begin.
fn usual(name: &[u8]) -> Box<[u8]> {
    let mut usual = name.to_vec();
    for word in usual.split_mut(|byte| *byte == b'-') {
        if let Some(first) = word.first_mut() {
            first.make_ascii_uppercase();
        }
    }
    usual.into()
}

/// Tells most names of one length apart. The same for letters of either case.
fn tag(name: &[u8]) -> u8 {
    let at = |i: usize| name.get(i).map_or(0, |byte| byte | 0x20);
    at(0).wrapping_mul(7) ^ at(name.len() / 2).wrapping_mul(3) ^ at(name.len().wrapping_sub(1))
}

/// Names to rules, without hashing: almost no header of a request is of interest, and its length and three
/// of its letters say so.
#[derive(Debug)]
struct NameIndex {
    /// One bit for each tag, by length.
    masks: [[u64; 4]; 65],
    by_len: Vec<Vec<Named>>,
}

impl NameIndex {
    fn new() -> Self {
        Self {
            masks: [[0; 4]; 65],
            by_len: (0..65).map(|_| Vec::new()).collect(),
        }
    }

    fn add(&mut self, name: &str, rule: u16) {
        let name = name.to_ascii_lowercase().into_bytes();
        let tag = tag(&name);
        let (Some(mask), Some(names)) = (
            self.masks
                .get_mut(name.len())
                .and_then(|mask| mask.get_mut(usize::from(tag >> 6))),
            self.by_len.get_mut(name.len()),
        ) else {
            return;
        };
        *mask |= 1 << (tag & 63);
        match names.iter_mut().find(|held| *held.name == *name) {
            Some(held) => held.rules.push(rule),
            None => names.push(Named {
                tag,
                usual: usual(&name),
                name: name.into(),
                rules: vec![rule],
            }),
        }
    }

    /// The name as it is held, and its rules.
    fn get(&self, name: &[u8]) -> Option<(&[u8], &[u16])> {
        let mask = self.masks.get(name.len())?;
        let tag = tag(name);
        if mask.get(usize::from(tag >> 6))? & (1 << (tag & 63)) == 0 {
            return None;
        }
        let names = self.by_len.get(name.len())?;
        names
            .iter()
            .find(|held| {
                held.tag == tag
                    && (*held.usual == *name
                        || *held.name == *name
                        || held.name.eq_ignore_ascii_case(name))
            })
            .map(|held| (&*held.name, &*held.rules))
    }
}

/// What a header field means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Host,
    Cookie,
    /// `DPoP`, whatever rules name it.
    Proof,
    ContentType,
    McpMethod,
    McpName,
    /// One with this name, in lower case, by these rules, in order.
    Rules(&'a [u8], &'a [u16]),
}

const HOST: u16 = u16::MAX;
const COOKIE: u16 = u16::MAX - 1;
const PROOF: u16 = u16::MAX - 2;
const CONTENT_TYPE: u16 = u16::MAX - 3;
const MCP_METHOD: u16 = u16::MAX - 4;
const MCP_NAME: u16 = u16::MAX - 5;

/// A rule, compiled.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) kind: CredentialKind,
    /// Lower case.
    pub(super) schemes: Vec<Box<[u8]>>,
    pub(super) any_scheme: bool,
    pub(super) parameters: Vec<Box<[u8]>>,
    pub(super) until: Option<u8>,
    pub(super) ignore: bool,
    with: Vec<Box<[u8]>>,
    like: Vec<Box<[u8]>>,
    min: usize,
    opaque: bool,
    /// Index among the rules that ask for a host.
    host: Option<usize>,
}

impl Compiled {
    /// Whether a value can be what the rule is about.
    pub(super) fn fits(&self, value: &[u8]) -> bool {
        !value.is_empty()
            && value.len() >= self.min
            && (self.like.is_empty() || self.like.iter().any(|like| glob(like, value)))
            && (!self.opaque || shape::is_opaque(value))
    }

    /// Whether the parameters that have to be there too are in `query`.
    pub(super) fn with_in(&self, query: &[u8]) -> bool {
        self.with.iter().all(|with| {
            query.split(|byte| *byte == b'&').any(|pair| {
                let name = pair.split(|byte| *byte == b'=').next().unwrap_or(pair);
                super::percent::matches_ignore_case(name, with)
            })
        })
    }

    pub(super) fn has_scheme(&self) -> bool {
        self.any_scheme || !self.schemes.is_empty()
    }
}

#[derive(Debug)]
struct Prefix {
    text: Box<str>,
    /// Bytes a value has at least to be replaced in a path.
    min: usize,
    opaque: bool,
}

/// Which rules apply on a host: one bit for each that asks for one.
pub(super) type HostMask = Box<[u64]>;

#[derive(Debug)]
pub(super) struct Rules {
    rules: Vec<Compiled>,
    headers: NameIndex,
    queries: NameIndex,
    cookies: Vec<(Box<[u8]>, u16)>,
    /// By [`PathPattern::first`]; those without come first.
    paths: Vec<(PathPattern, u16)>,
    /// Where the patterns with a first byte are.
    paths_at: [(u16, u16); 256],
    /// How many have none.
    paths_any: usize,
    /// By first byte; the longest first.
    prefixes: Vec<Prefix>,
    /// Where the prefixes with a first byte are.
    prefix_at: [(u16, u16); 256],
    hosts: Vec<Vec<HostPattern>>,
}

/// Where each byte begins and ends in a sorted list.
fn ranges(firsts: impl Iterator<Item = u8>) -> [(u16, u16); 256] {
    let mut ranges = [(0, 0); 256];
    for (at, first) in (0_u16..).zip(firsts) {
        if let Some((start, end)) = ranges.get_mut(usize::from(first)) {
            *start = if *end == 0 { at } else { *start };
            *end = at + 1;
        }
    }
    ranges
}

fn bytes(names: &Option<Names>, lower: bool) -> Vec<Box<[u8]>> {
    let names = names.iter().flat_map(|names| &names.0);
    let form = |name: &String| {
        if lower {
            name.to_ascii_lowercase()
        } else {
            name.clone()
        }
    };
    names.map(|name| form(name).into_bytes().into()).collect()
}

impl Rules {
    pub(super) fn new(table: &CredentialTable) -> Self {
        let mut rules = Self {
            rules: Vec::new(),
            headers: NameIndex::new(),
            queries: NameIndex::new(),
            cookies: Vec::new(),
            paths: Vec::new(),
            paths_at: [(0, 0); 256],
            paths_any: 0,
            prefixes: Vec::new(),
            prefix_at: [(0, 0); 256],
            hosts: Vec::new(),
        };
        rules.headers.add("host", HOST);
        rules.headers.add("dpop", PROOF);
        rules.headers.add("content-type", CONTENT_TYPE);
        rules.headers.add("mcp-method", MCP_METHOD);
        rules.headers.add("mcp-name", MCP_NAME);
        for rule in table.rules() {
            rules.add(rule);
        }
        if !rules.cookies.is_empty() {
            rules.headers.add("cookie", COOKIE);
        }
        let first = |prefix: &Prefix| prefix.text.bytes().next().unwrap_or(0);
        rules.prefixes.sort_by(|a, b| {
            (first(a), b.text.len(), &a.text).cmp(&(first(b), a.text.len(), &b.text))
        });
        rules.prefix_at = ranges(rules.prefixes.iter().map(first));
        rules.paths.sort_by_key(|(pattern, _)| pattern.first());
        rules.paths_any = rules
            .paths
            .iter()
            .filter(|(path, _)| path.first().is_none())
            .count();
        // 0 stands for "none", which is asked for by number instead.
        rules.paths_at = ranges(
            rules
                .paths
                .iter()
                .map(|(path, _)| path.first().unwrap_or(0)),
        );
        rules
    }

    fn add(&mut self, rule: &Rule) {
        let names = |names: &Option<Names>| {
            names
                .iter()
                .flat_map(|names| names.0.clone())
                .collect::<Vec<_>>()
        };
        if rule.prefix.is_some() {
            for text in names(&rule.prefix) {
                if self.prefixes.len() >= MAX_PREFIXES {
                    return;
                }
                let least = text.len() + MIN_BEHIND_PREFIX;
                self.prefixes.push(Prefix {
                    min: rule.min.unwrap_or(0).max(least),
                    opaque: rule.opaque,
                    text: text.into(),
                });
            }
            return;
        }
        // The table's bound is far below.
        let Ok(id) = u16::try_from(self.rules.len()) else {
            return;
        };
        let host = rule.host.as_ref().map(|hosts| {
            self.hosts
                .push(hosts.0.iter().map(|host| HostPattern::new(host)).collect());
            self.hosts.len() - 1
        });
        for name in names(&rule.header) {
            self.headers.add(&name, id);
        }
        for name in names(&rule.query) {
            self.queries.add(&name, id);
        }
        for name in names(&rule.cookie) {
            self.cookies.push((name.into_bytes().into(), id));
        }
        for path in names(&rule.path) {
            if self.paths.len() < MAX_PATTERNS
                && let Ok(pattern) = PathPattern::parse(&path)
            {
                self.paths.push((pattern, id));
            }
        }
        let default = if rule.cookie.is_some() {
            CredentialKind::Cookie
        } else {
            CredentialKind::ApiKey
        };
        let schemes = bytes(&rule.scheme, true);
        self.rules.push(Compiled {
            kind: rule.kind.unwrap_or(default),
            any_scheme: schemes.iter().any(|scheme| **scheme == *b"*"),
            schemes: schemes
                .into_iter()
                .filter(|scheme| **scheme != *b"*")
                .collect(),
            parameters: bytes(&rule.parameter, true),
            until: rule.until.as_ref().and_then(|until| until.bytes().next()),
            ignore: rule.ignore,
            with: bytes(&rule.with, true),
            like: bytes(&rule.like, false),
            min: rule.min.unwrap_or(1),
            opaque: rule.opaque,
            host,
        });
    }

    pub(super) fn header(&self, name: &str) -> Option<Field<'_>> {
        let (name, rules) = self.headers.get(name.as_bytes())?;
        Some(match rules {
            [HOST] => Field::Host,
            [COOKIE] => Field::Cookie,
            [PROOF, ..] => Field::Proof,
            [CONTENT_TYPE] => Field::ContentType,
            [MCP_METHOD] => Field::McpMethod,
            [MCP_NAME] => Field::McpName,
            rules => Field::Rules(name, rules),
        })
    }

    /// Whether a value is a secret by its looks.
    pub(super) fn is_secret(&self, value: &[u8]) -> bool {
        jwt::looks_like(value) || self.secret_in(value).is_some()
    }

    /// Rules for a query parameter, whose name may be percent-encoded.
    pub(super) fn query(&self, name: &[u8]) -> Option<&[u16]> {
        if name.contains(&b'%') {
            // Rare: nobody encodes letters but to hide something.
            let mut plain = Vec::with_capacity(name.len().min(256));
            super::percent::decode(name.get(..256).unwrap_or(name), &mut plain);
            return self.queries.get(&plain).map(|(_, rules)| rules);
        }
        self.queries.get(name).map(|(_, rules)| rules)
    }

    pub(super) fn cookie(&self, name: &[u8]) -> Option<u16> {
        self.cookies
            .iter()
            .find(|(held, _)| **held == *name)
            .map(|(_, rule)| *rule)
    }

    /// Patterns for paths that begin with this byte (behind the slash).
    pub(super) fn paths(&self, first: Option<u8>) -> impl Iterator<Item = (&PathPattern, u16)> {
        let (start, end) = match first {
            // It may stand for any byte.
            Some(b'%') => (self.paths_any, self.paths.len()),
            Some(first) => {
                let first = usize::from(first.to_ascii_lowercase());
                let (start, end) = self.paths_at.get(first).copied().unwrap_or_default();
                (usize::from(start), usize::from(end))
            }
            None => (0, 0),
        };
        let any = self.paths.get(..self.paths_any).unwrap_or_default();
        let fixed = self.paths.get(start..end).unwrap_or_default();
        any.iter()
            .chain(fixed)
            .map(|(pattern, rule)| (pattern, *rule))
    }

    /// A rule, if it applies on a host with this mask.
    pub(super) fn rule(&self, id: u16, mask: &HostMask) -> Option<&Compiled> {
        let rule = self.rules.get(usize::from(id))?;
        match rule.host {
            None => Some(rule),
            Some(bit) => (mask.get(bit / 64)? & (1 << (bit % 64)) != 0).then_some(rule),
        }
    }

    pub(super) fn mask(&self, host: &str) -> HostMask {
        let mut mask = vec![0_u64; self.hosts.len().div_ceil(64)];
        for (bit, patterns) in self.hosts.iter().enumerate() {
            if patterns.iter().any(|pattern| pattern.matches(host))
                && let Some(word) = mask.get_mut(bit / 64)
            {
                *word |= 1 << (bit % 64);
            }
        }
        mask.into()
    }

    /// The public beginning of a value, when it has a known one.
    pub(super) fn hint(&self, value: &[u8]) -> Option<&str> {
        self.prefix(value).map(|prefix| &*prefix.text)
    }

    fn prefix(&self, value: &[u8]) -> Option<&Prefix> {
        let (start, end) = *self.prefix_at.get(usize::from(*value.first()?))?;
        self.prefixes
            .get(usize::from(start)..usize::from(end))?
            .iter()
            .find(|prefix| {
                value.len() >= prefix.text.len() + MIN_BEHIND_PREFIX
                    && value.starts_with(prefix.text.as_bytes())
            })
    }

    /// The part of a (decoded) path segment that is a secret by its beginning.
    pub(super) fn secret_in<'a>(&self, segment: &'a [u8]) -> Option<&'a [u8]> {
        if segment.len() < 3 + MIN_BEHIND_PREFIX {
            return None;
        }
        // A secret may stand behind `token=`, `user:` and the like.
        segment
            .split(|byte| !byte.is_ascii_alphanumeric() && !b"-_.~+".contains(byte))
            .find(|part| {
                self.prefix(part).is_some_and(|prefix| {
                    let behind = part.get(prefix.text.len()..).unwrap_or_default();
                    part.len() >= prefix.min && (!prefix.opaque || shape::is_mixed(behind))
                })
            })
    }
}
