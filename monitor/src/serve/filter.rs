//! Which accesses a client wants to see. Pure; evaluated in the daemon, made from flags by the client.
//!
//! A filter is a list of terms. Terms of one field that are not negated are alternatives; different
//! fields must all match; a negated term must not match. No term: everything matches.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use serde::{Deserialize, Serialize};

use crate::access::record::{AccessRecord, EndpointRecord};
use crate::judge::FindingKind;

/// Most terms of a filter.
pub const MAX_TERMS: usize = 64;
/// Longest value of a term, in bytes.
pub const MAX_VALUE: usize = 512;

/// What a term looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    /// Name of the identity (pattern), or the beginning of its credential's fingerprint (`bw1:…`).
    Identity,
    /// Executable (path or name), unit, container (or the beginning of its id) or user of either side
    /// (pattern). `exe:`, `unit:`, `container:` or `user:` in front looks at that alone.
    Workload,
    /// Host asked for, with or without its port (pattern), without regard to case.
    Host,
    /// Method, without regard to case.
    Method,
    /// `404`, `4xx`, `5+` (500 and above), `400-404`, or `none` for a request without an answer.
    Status,
    /// A kind of finding, or `any`.
    Finding,
    /// Environment (pattern), or `none`.
    Env,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Identity,
        Self::Workload,
        Self::Host,
        Self::Method,
        Self::Status,
        Self::Finding,
        Self::Env,
    ];

    /// Name of the flag, and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Workload => "workload",
            Self::Host => "host",
            Self::Method => "method",
            Self::Status => "status",
            Self::Finding => "finding",
            Self::Env => "env",
        }
    }
}

/// One term as written: `{"field":"status","value":"4xx","not":true}`. In patterns `*` stands for any run
/// of characters and `?` for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// What it looks at.
    pub field: Field,
    /// What it looks for.
    pub value: String,
    /// Whether it must not be so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not: bool,
}

/// A filter that cannot be: which term, why, what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFilter {
    /// More than [`MAX_TERMS`].
    #[error("more than {MAX_TERMS} filters")]
    TooMany,
    /// Longer than [`MAX_VALUE`], or empty.
    #[error("{}: the value is empty or longer than {MAX_VALUE} bytes", .0.name())]
    Length(Field),
    /// No status.
    #[error("status: \"{0}\" is no status; write 404, 4xx, 5+, 400-404 or none")]
    Status(String),
    /// No kind of finding.
    #[error("finding: \"{0}\" is no kind of finding; one of {kinds}, any", kinds = kinds())]
    Finding(String),
}

fn kinds() -> String {
    FindingKind::ALL.map(FindingKind::name).join(", ")
}

/// Terms, checked.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    terms: Vec<(Field, Matcher, bool)>,
}

#[derive(Clone, Debug)]
enum Matcher {
    Identity(Pattern),
    Fingerprint(String),
    Workload(Option<Part>, Pattern),
    Host(Pattern),
    Method(String),
    /// Inclusive.
    Status(u16, u16),
    NoStatus,
    Finding(FindingKind),
    AnyFinding,
    Env(Pattern),
    NoEnv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Exe,
    Unit,
    Container,
    User,
}

const PARTS: [(&str, Part); 4] = [
    ("exe:", Part::Exe),
    ("unit:", Part::Unit),
    ("container:", Part::Container),
    ("user:", Part::User),
];

impl Filter {
    /// Checks terms.
    ///
    /// # Errors
    /// When there are too many, or one's value means nothing.
    pub fn new(terms: &[Term]) -> Result<Self, BadFilter> {
        if terms.len() > MAX_TERMS {
            return Err(BadFilter::TooMany);
        }
        let terms = terms
            .iter()
            .map(|term| Ok((term.field, Matcher::new(term.field, &term.value)?, term.not)))
            .collect::<Result<_, BadFilter>>()?;
        Ok(Self { terms })
    }

    /// Whether it lets everything through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether it lets this access through.
    #[must_use]
    pub fn matches(&self, access: &AccessRecord) -> bool {
        // One bit a field.
        let (mut asked, mut found) = (0_u32, 0_u32);
        for (field, matcher, not) in &self.terms {
            let bit = 1 << *field as u32;
            if *not {
                if matcher.matches(access) {
                    return false;
                }
            } else {
                asked |= bit;
                if found & bit == 0 && matcher.matches(access) {
                    found |= bit;
                }
            }
        }
        asked == found
    }
}

impl Matcher {
    fn new(field: Field, value: &str) -> Result<Self, BadFilter> {
        if value.is_empty() || value.len() > MAX_VALUE {
            return Err(BadFilter::Length(field));
        }
        Ok(match field {
            Field::Identity if value.starts_with("bw1:") && !value.contains(['*', '?']) => {
                Self::Fingerprint(value.to_ascii_lowercase())
            }
            Field::Identity => Self::Identity(Pattern::new(value)),
            Field::Workload => {
                let named = PARTS
                    .iter()
                    .find_map(|(name, part)| Some((*part, value.strip_prefix(name)?)));
                match named {
                    Some((part, rest)) => Self::Workload(Some(part), Pattern::new(rest)),
                    None => Self::Workload(None, Pattern::new(value)),
                }
            }
            Field::Host => Self::Host(Pattern::new(&value.to_lowercase())),
            Field::Method => Self::Method(value.to_owned()),
            Field::Status if value == "none" => Self::NoStatus,
            Field::Status => {
                let (low, high) =
                    statuses(value).ok_or_else(|| BadFilter::Status(value.to_owned()))?;
                Self::Status(low, high)
            }
            Field::Finding if value == "any" => Self::AnyFinding,
            Field::Finding => {
                let kind = FindingKind::ALL
                    .into_iter()
                    .find(|kind| kind.name() == value);
                Self::Finding(kind.ok_or_else(|| BadFilter::Finding(value.to_owned()))?)
            }
            Field::Env if value == "none" => Self::NoEnv,
            Field::Env => Self::Env(Pattern::new(value)),
        })
    }

    fn matches(&self, access: &AccessRecord) -> bool {
        let status = access.response.as_ref().map(|response| response.status);
        match self {
            Self::Identity(pattern) => access
                .identity
                .as_deref()
                .is_some_and(|name| pattern.matches(name)),
            Self::Fingerprint(start) => access
                .credential
                .as_ref()
                .is_some_and(|credential| credential.fingerprint.starts_with(start)),
            Self::Workload(part, pattern) => [&access.client, &access.server]
                .into_iter()
                .flatten()
                .any(|endpoint| is_workload(endpoint, *part, pattern)),
            Self::Host(pattern) => {
                let host = access.request.host.to_lowercase();
                pattern.matches(&host) || pattern.matches(without_port(&host))
            }
            Self::Method(method) => access.request.method.eq_ignore_ascii_case(method),
            Self::Status(low, high) => {
                status.is_some_and(|status| (*low..=*high).contains(&status))
            }
            Self::NoStatus => status.is_none(),
            Self::Finding(kind) => access.findings.iter().any(|name| name == kind.name()),
            Self::AnyFinding => !access.findings.is_empty(),
            Self::Env(pattern) => access
                .environment
                .as_deref()
                .is_some_and(|name| pattern.matches(name)),
            Self::NoEnv => access.environment.is_none(),
        }
    }
}

fn is_workload(endpoint: &EndpointRecord, part: Option<Part>, pattern: &Pattern) -> bool {
    let asked = |this| part.is_none_or(|part| part == this);
    let name = endpoint.exe.rsplit('/').next().unwrap_or("");
    (asked(Part::Exe) && (pattern.matches(&endpoint.exe) || pattern.matches(name)))
        || (asked(Part::Unit)
            && endpoint
                .unit
                .as_deref()
                .is_some_and(|unit| pattern.matches(unit)))
        || (asked(Part::Container)
            && endpoint
                .container
                .as_deref()
                .is_some_and(|id| pattern.matches(id) || pattern.begins(id)))
        || (asked(Part::User) && pattern.matches(&endpoint.user))
}

/// `host` of `host:port` and `[v6]:port`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit()) => {
            // An IPv6 address without brackets has no port.
            if name.contains(':') && !name.ends_with(']') {
                host
            } else {
                name
            }
        }
        _ => host,
    }
}

/// Lowest and highest status of `404`, `4xx`, `5+`, `500+`, `400-404`.
fn statuses(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| {
        let three = text.len() == 3 && text.bytes().all(|c| c.is_ascii_digit());
        three
            .then(|| text.parse::<u16>().ok())
            .flatten()
            .filter(|status| *status >= 100)
    };
    let class = |text: &str| match text.as_bytes() {
        [digit @ b'1'..=b'9'] => Some(u16::from(digit - b'0') * 100),
        _ => None,
    };
    if let Some(low) = text.strip_suffix('+') {
        return Some((class(low).or_else(|| number(low))?, 999));
    }
    if let Some((low, high)) = text.split_once('-') {
        let (low, high) = (number(low)?, number(high)?);
        return (low <= high).then_some((low, high));
    }
    if let Some(digit) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
        let low = class(digit)?;
        return Some((low, low + 99));
    }
    number(text).map(|status| (status, status))
}

/// A pattern of literal characters, `*` and `?`. Matching takes at most pattern × text steps and no
/// memory.
#[derive(Clone, Debug)]
struct Pattern {
    text: Box<str>,
    plain: bool,
}

impl Pattern {
    fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            plain: !text.contains(['*', '?']),
        }
    }

    /// Whether `text` begins with it, when it is literal and long enough to mean an id.
    fn begins(&self, text: &str) -> bool {
        self.plain && self.text.len() >= 4 && text.starts_with(&*self.text)
    }

    fn matches(&self, text: &str) -> bool {
        if self.plain {
            return *self.text == *text;
        }
        let (mut pattern, mut rest) = (self.text.chars(), text.chars());
        // Where to go on when what follows the last `*` does not match: it takes one more character.
        let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
        loop {
            let (before, text_before) = (pattern.clone(), rest.clone());
            match pattern.next() {
                Some('*') => {
                    retry = Some((pattern.clone(), text_before));
                    continue;
                }
                Some(wanted) => match rest.next() {
                    Some(c) if wanted == '?' || wanted == c => continue,
                    Some(_) => {}
                    None => return before.clone().all(|c| c == '*'),
                },
                None if text_before.as_str().is_empty() => return true,
                None => {}
            }
            let Some((after, from)) = retry.as_mut() else {
                return false;
            };
            if from.next().is_none() {
                return false;
            }
            (pattern, rest) = (after.clone(), from.clone());
        }
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
