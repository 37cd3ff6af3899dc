//! The table in the form that the hot path asks.

use super::super::CredentialKind;
use super::super::shape;
use super::pattern::{HostPattern, PathPattern, glob};
use super::table::{CredentialTable, Names, Rule};

/// Values known by a public beginning are at least so many bytes longer than it.
const MIN_BEHIND_PREFIX: usize = 8;

/// A name in lower case, and its rules in order.
type Named = (Box<[u8]>, Vec<u16>);

/// Names to rules, without hashing: almost no header of a request is of interest, and its length and first
/// letter say so.
#[derive(Debug)]
struct NameIndex {
    /// Bit `first letter & 31`, by length.
    masks: [u32; 65],
    by_len: Vec<Vec<Named>>,
}

impl NameIndex {
    fn new() -> Self {
        Self {
            masks: [0; 65],
            by_len: (0..65).map(|_| Vec::new()).collect(),
        }
    }

    fn add(&mut self, name: &str, rule: u16) {
        let name = name.to_ascii_lowercase().into_bytes();
        let bit = 1 << (name.first().copied().unwrap_or(0) & 31);
        let (Some(mask), Some(names)) = (
            self.masks.get_mut(name.len()),
            self.by_len.get_mut(name.len()),
        ) else {
            return;
        };
        *mask |= bit;
        match names.iter_mut().find(|(held, _)| **held == *name) {
            Some((_, rules)) => rules.push(rule),
            None => names.push((name.into(), vec![rule])),
        }
    }

    fn get(&self, name: &[u8]) -> Option<&[u16]> {
        let mask = self.masks.get(name.len())?;
        if mask & (1 << (name.first()? & 31)) == 0 {
            return None;
        }
        let names = self.by_len.get(name.len())?;
        names
            .iter()
            .find(|(held, _)| held.eq_ignore_ascii_case(name))
            .map(|(_, rules)| &**rules)
    }
}

/// What a header field means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Host,
    Cookie,
    /// By these rules, in order.
    Rules(&'a [u16]),
}

const HOST: u16 = u16::MAX;
const COOKIE: u16 = u16::MAX - 1;

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
    paths: Vec<(PathPattern, u16)>,
    /// By first byte, the longest first.
    prefixes: Vec<Prefix>,
    prefix_first: [bool; 256],
    hosts: Vec<Vec<HostPattern>>,
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
            prefixes: Vec::new(),
            prefix_first: [false; 256],
            hosts: Vec::new(),
        };
        rules.headers.add("host", HOST);
        for rule in table.rules() {
            rules.add(rule);
        }
        if !rules.cookies.is_empty() {
            rules.headers.add("cookie", COOKIE);
        }
        rules
            .prefixes
            .sort_by(|a, b| b.text.len().cmp(&a.text.len()).then(a.text.cmp(&b.text)));
        for prefix in &rules.prefixes {
            if let Some(first) = prefix.text.bytes().next()
                && let Some(slot) = rules.prefix_first.get_mut(usize::from(first))
            {
                *slot = true;
            }
        }
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
            if let Ok(pattern) = PathPattern::parse(&path) {
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
        self.headers.get(name.as_bytes()).map(|rules| match rules {
            [HOST] => Field::Host,
            [COOKIE] => Field::Cookie,
            rules => Field::Rules(rules),
        })
    }

    /// Rules for a query parameter, whose name may be percent-encoded.
    pub(super) fn query(&self, name: &[u8]) -> Option<&[u16]> {
        if name.contains(&b'%') {
            // Rare: nobody encodes letters but to hide something.
            let mut plain = Vec::with_capacity(name.len().min(256));
            super::percent::decode(name.get(..256).unwrap_or(name), &mut plain);
            return self.queries.get(&plain);
        }
        self.queries.get(name)
    }

    pub(super) fn cookie(&self, name: &[u8]) -> Option<u16> {
        self.cookies
            .iter()
            .find(|(held, _)| **held == *name)
            .map(|(_, rule)| *rule)
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = (&PathPattern, u16)> {
        self.paths.iter().map(|(pattern, rule)| (pattern, *rule))
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
        if !self
            .prefix_first
            .get(usize::from(*value.first()?))
            .copied()
            .unwrap_or(false)
        {
            return None;
        }
        self.prefixes.iter().find(|prefix| {
            value.starts_with(prefix.text.as_bytes())
                && value.len() >= prefix.text.len() + MIN_BEHIND_PREFIX
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
