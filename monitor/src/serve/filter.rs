//! Which accesses a client wants to see. Pure; evaluated in the daemon, made from flags by the client.
//!
//! A filter is a list of terms. Terms of one field that are not negated are alternatives; different
//! fields must all match; a negated term must not match. No term: everything matches. Terms are a short way to
//! write what the filter language says (see [`crate::filter`]), which does the work.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use serde::{Deserialize, Serialize};

use crate::access::record::AccessRecord;
use crate::filter::{self, Check, Expr, FilterError, Glob, Literal, Subject, Test};
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
    /// No filter of the filter language.
    #[error("{}", .0.message())]
    Where(#[from] FilterError),
}

fn kinds() -> String {
    FindingKind::ALL.map(FindingKind::name).join(", ")
}

/// Terms, checked: a [`filter::Filter`] over accesses.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    filter: filter::Filter,
}

/// Fields of a workload that a pattern is compared with.
const PARTS: [(&str, &str); 4] = [
    ("exe:", "either.exe"),
    ("unit:", "either.unit"),
    ("container:", "either.container"),
    ("user:", "either.user"),
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
        let mut all = Vec::new();
        for field in Field::ALL {
            let of_field = |not| {
                let terms = terms
                    .iter()
                    .filter(move |term| term.field == field && term.not == not);
                terms.map(|term| expr(field, &term.value))
            };
            let wanted: Vec<Expr> = of_field(false).collect::<Result<_, _>>()?;
            if !wanted.is_empty() {
                all.push(either(wanted));
            }
            for unwanted in of_field(true) {
                all.push(Expr::Not(Box::new(unwanted?)));
            }
        }
        let filters = all.into_iter().map(filter::Filter::from_expr);
        Ok(Self {
            filter: filter::Filter::all(filters),
        })
    }

    /// Terms, and a filter as docs/filter.md has it: both must match.
    ///
    /// # Errors
    /// As [`Self::new`], and when the filter cannot be.
    pub fn with(terms: &[Term], only: Option<&str>) -> Result<Self, BadFilter> {
        let mut filter = Self::new(terms)?;
        if let Some(text) = only {
            let only = filter::Filter::parse_for(Subject::Access, text)?;
            filter.filter = filter::Filter::all([filter.filter, only]);
        }
        Ok(filter)
    }

    /// The same in the filter language.
    #[must_use]
    pub fn language(&self) -> &filter::Filter {
        &self.filter
    }

    /// Whether it lets everything through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filter.is_empty()
    }

    /// Whether it lets this access through.
    #[must_use]
    pub fn matches(&self, access: &AccessRecord) -> bool {
        self.filter.matches(access)
    }
}

/// What a term means.
fn expr(field: Field, value: &str) -> Result<Expr, BadFilter> {
    if value.is_empty() || value.len() > MAX_VALUE {
        return Err(BadFilter::Length(field));
    }
    Ok(match field {
        Field::Identity if value.starts_with("bw1:") && !value.contains(['*', '?']) => test(
            "credential.fingerprint",
            Check::StartsWith(value.to_ascii_lowercase()),
        ),
        Field::Identity => pattern("identity", value),
        Field::Workload => workload(value),
        Field::Host => either(vec![pattern("request.host", value), pattern("host", value)]),
        Field::Method => exactly("request.method", value),
        Field::Status if value == "none" => absent("response.status"),
        Field::Status => {
            let (low, high) = statuses(value).ok_or_else(|| BadFilter::Status(value.to_owned()))?;
            status(low, high)
        }
        Field::Finding if value == "any" => test("findings", Check::Present),
        Field::Finding => {
            let known = FindingKind::ALL
                .into_iter()
                .any(|kind| kind.name() == value);
            if !known {
                return Err(BadFilter::Finding(value.to_owned()));
            }
            exactly("findings", value)
        }
        Field::Env if value == "none" => absent("environment"),
        Field::Env => pattern("environment", value),
    })
}

/// Names below are of [`filter::field::FIELDS`]; a test looks at each.
fn test(name: &str, check: Check) -> Expr {
    filter::field::find(name).map_or(Expr::Any(Vec::new()), |field| {
        Expr::Test(Test { field, check })
    })
}

fn either(mut parts: Vec<Expr>) -> Expr {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (Some(last), false) => {
            parts.push(last);
            Expr::Any(parts)
        }
        (None, _) => Expr::Any(parts),
    }
}

fn absent(name: &str) -> Expr {
    Expr::Not(Box::new(test(name, Check::Present)))
}

/// Equal to a text, whatever characters are in it.
fn exactly(name: &str, value: &str) -> Expr {
    let Some(field) = filter::field::find(name) else {
        return Expr::Any(Vec::new());
    };
    let literal = Literal::Text(field.folded(value));
    let check = match field.is_list() {
        true => Check::In(vec![literal]),
        false => Check::Equal(literal),
    };
    Expr::Test(Test { field, check })
}

/// Equal to a text, or like a pattern.
fn pattern(name: &str, value: &str) -> Expr {
    if !value.contains(['*', '?']) {
        return exactly(name, value);
    }
    let value = filter::field::find(name).map_or_else(String::new, |field| field.folded(value));
    test(name, Check::Matches(Glob::new(&value)))
}

fn status(low: u16, high: u16) -> Expr {
    let test = |check: fn(Literal) -> Check, status: u16| {
        test("response.status", check(Literal::Number(status.into())))
    };
    if low == high {
        return test(Check::Equal, low);
    }
    Expr::All(vec![test(Check::AtLeast, low), test(Check::AtMost, high)])
}

fn workload(value: &str) -> Expr {
    let named = PARTS
        .iter()
        .find_map(|(prefix, name)| Some((*name, value.strip_prefix(prefix)?)));
    let asked: Vec<&str> = match named {
        Some((name, _)) => vec![name],
        None => PARTS.iter().map(|(_, name)| *name).collect(),
    };
    let value = named.map_or(value, |(_, rest)| rest);
    let mut parts: Vec<Expr> = asked.iter().map(|name| pattern(name, value)).collect();
    if asked.contains(&"either.exe") {
        parts.push(pattern("either.name", value));
    }
    // The beginning of an id, when it is long enough to mean one.
    if asked.contains(&"either.container") && !value.contains(['*', '?']) && value.len() >= 4 {
        parts.push(test(
            "either.container",
            Check::StartsWith(value.to_owned()),
        ));
    }
    either(parts)
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

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
