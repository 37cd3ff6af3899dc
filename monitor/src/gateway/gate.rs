//! What a gateway decides, whatever its format: conditions over role, method, host and path, and a tree of
//! decisions. Three-valued: what was not understood is neither open nor closed.

use super::lock::{Role, RoleFrom};

/// What a condition looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The method.
    Method,
    /// The host with its port if one is named, in lower case.
    Host,
    /// The path without query, as it was sent.
    Path,
}

/// What a gateway knows of who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attribute {
    /// A claim of a verified token.
    Claim(Vec<String>),
    /// Issuer and subject of a verified token, `iss/sub`.
    RequestPrincipal,
    /// The client's SPIFFE id, with `spiffe://`.
    Spiffe,
    /// A header field, in lower case.
    Header(String),
    /// A variable of nginx.
    Variable(String),
}

/// A condition. Texts are regular expressions of [`super::language`], matched wholly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cond {
    /// Always.
    Any,
    /// Not understood.
    Unknown,
    /// All of them.
    All(Vec<Cond>),
    /// One of them.
    Either(Vec<Cond>),
    /// Not this.
    Not(Box<Cond>),
    /// A part of the request matches.
    Matches(Part, String),
    /// Who asks has an attribute that matches.
    Who(Attribute, String),
    /// Who asks is known at all (a verified token, a password): nobody else is.
    Known,
}

/// A tree of decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Let through or not; `None` when that was not understood. With the line that says so.
    Verdict(Option<bool>, usize),
    /// The first whose condition holds, else the last.
    First(Vec<(Cond, Decision)>, Box<Decision>),
    /// Let through when all do.
    Every(Vec<Decision>),
    /// Let through when one does.
    Some(Vec<Decision>),
}

/// A gateway's file, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// What is decided.
    pub decision: Decision,
    /// What was not understood: line from 1 (0 for the file as a whole), and what stands there.
    pub unread: Vec<Unread>,
    /// How many more there were than are kept.
    pub unread_more: usize,
}

/// Something that was not understood.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unread {
    /// File.
    pub file: String,
    /// Line from 1; 0 when it has none.
    pub line: usize,
    /// What.
    pub text: String,
}

/// Most places kept that were not understood.
pub const MOST_UNREAD: usize = 200;

/// Collects what is not understood.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    pub(super) file: String,
    pub(super) unread: Vec<Unread>,
    pub(super) more: usize,
}

impl Remarks {
    pub(super) fn add(&mut self, line: usize, text: impl Into<String>) {
        if self.unread.len() >= MOST_UNREAD {
            self.more = self.more.saturating_add(1);
            return;
        }
        let unread = Unread {
            file: self.file.clone(),
            line,
            text: text.into(),
        };
        if !self.unread.contains(&unread) {
            self.unread.push(unread);
        }
    }

    pub(super) fn into_gate(self, decision: Decision) -> Gate {
        Gate {
            decision,
            unread: self.unread,
            unread_more: self.more,
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub enum Who<'l> {
    /// Somebody with a role of the lock.
    Role(&'l Role, &'l RoleFrom),
    /// Somebody with none of them, or nobody known.
    Nobody,
}

impl Who<'_> {
    /// Whether the policy says what this client's attribute is.
    pub(super) fn knows(&self, attribute: &Attribute) -> bool {
        self.values(attribute).is_some()
    }

    /// Values of an attribute; `None` when the policy does not say.
    fn values(&self, attribute: &Attribute) -> Option<Vec<String>> {
        let Self::Role(role, from) = self else {
            return Some(Vec::new());
        };
        let of_tokens =
            |value: &dyn Fn(&crate::policy::selector::JwtSelector) -> Option<String>| {
                let all: Option<Vec<String>> = role.tokens.iter().map(value).collect();
                all.filter(|all| !all.is_empty())
            };
        match (attribute, from) {
            (Attribute::Claim(path), RoleFrom::Claim(own)) if path == own => {
                Some(vec![role.name.to_string()])
            }
            (Attribute::Spiffe, RoleFrom::Spiffe(prefix)) => {
                Some(vec![format!("{prefix}{}", role.name)])
            }
            (Attribute::Header(name), RoleFrom::Header(own)) if name == own => {
                Some(vec![role.name.to_string()])
            }
            (own, RoleFrom::Variable(name)) if *own == super::nginx::map::attribute(name) => {
                Some(vec![role.name.to_string()])
            }
            (Attribute::RequestPrincipal, _) => {
                of_tokens(&|jwt| Some(format!("{}/{}", jwt.issuer, jwt.subject.as_deref()?)))
            }
            (Attribute::Claim(path), _) => match path.as_slice() {
                [one] => match one.as_str() {
                    "iss" => of_tokens(&|jwt| Some(jwt.issuer.to_string())),
                    "sub" => of_tokens(&|jwt| jwt.subject.as_deref().map(str::to_owned)),
                    "azp" | "client_id" => {
                        of_tokens(&|jwt| jwt.client.as_deref().map(str::to_owned))
                    }
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }
}

/// Answers whether a text that was asked for matches.
pub(super) trait Matches {
    fn part(&self, part: Part, pattern: &str) -> Option<bool>;
    fn text(&self, value: &str, pattern: &str) -> Option<bool>;
}

impl Cond {
    /// Whether it holds; `None` when that is not known.
    pub(super) fn holds(&self, who: &Who<'_>, request: &dyn Matches) -> Option<bool> {
        match self {
            Self::Any => Some(true),
            Self::Unknown => None,
            Self::All(all) => every(all.iter().map(|cond| cond.holds(who, request))),
            Self::Either(all) => every(
                all.iter()
                    .map(|cond| cond.holds(who, request).map(|held| !held)),
            )
            .map(|none| !none),
            Self::Not(cond) => cond.holds(who, request).map(|held| !held),
            Self::Matches(part, pattern) => request.part(*part, pattern),
            Self::Who(attribute, pattern) => {
                let values = who.values(attribute)?;
                every(
                    values
                        .iter()
                        .map(|value| request.text(value, pattern).map(|held| !held)),
                )
                .map(|none| !none)
            }
            Self::Known => Some(matches!(who, Who::Role(..))),
        }
    }

    /// Calls `each` with every text it looks for.
    pub(super) fn visit<'c>(&'c self, each: &mut dyn FnMut(Option<Part>, &'c str)) {
        match self {
            Self::Any | Self::Unknown | Self::Known => {}
            Self::All(all) | Self::Either(all) => all.iter().for_each(|cond| cond.visit(each)),
            Self::Not(cond) => cond.visit(each),
            Self::Matches(part, pattern) => each(Some(*part), pattern),
            Self::Who(_, pattern) => each(None, pattern),
        }
    }
}

/// Kleene's conjunction.
fn every(mut all: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut known = true;
    let refuted = all.any(|held| {
        known &= held.is_some();
        held == Some(false)
    });
    if refuted {
        Some(false)
    } else {
        known.then_some(true)
    }
}

impl Decision {
    /// Whether a request is let through (`None` when that is not known), and the line that decided.
    pub(super) fn decide(&self, who: &Who<'_>, request: &dyn Matches) -> (Option<bool>, usize) {
        match self {
            Self::Verdict(open, line) => (*open, *line),
            Self::First(steps, otherwise) => {
                // What a step before may have decided otherwise.
                let mut doubts: Vec<Option<bool>> = Vec::new();
                let mut last = None;
                for (cond, decision) in steps {
                    match cond.holds(who, request) {
                        Some(false) => {}
                        Some(true) => {
                            last = Some(decision.decide(who, request));
                            break;
                        }
                        None => doubts.push(decision.decide(who, request).0),
                    }
                }
                let (open, line) = last.unwrap_or_else(|| otherwise.decide(who, request));
                (
                    open.filter(|open| doubts.iter().all(|doubt| *doubt == Some(*open))),
                    line,
                )
            }
            Self::Every(all) => combine(all, who, request, false),
            Self::Some(all) => combine(all, who, request, true),
        }
    }

    /// Calls `each` with every text it looks for.
    pub(super) fn visit<'d>(&'d self, each: &mut dyn FnMut(Option<Part>, &'d str)) {
        match self {
            Self::Verdict(..) => {}
            Self::First(steps, otherwise) => {
                for (cond, decision) in steps {
                    cond.visit(each);
                    decision.visit(each);
                }
                otherwise.visit(each);
            }
            Self::Every(all) | Self::Some(all) => {
                all.iter().for_each(|decision| decision.visit(each))
            }
        }
    }
}

/// All must not be `decisive`; one that is decides.
fn combine(
    all: &[Decision],
    who: &Who<'_>,
    request: &dyn Matches,
    decisive: bool,
) -> (Option<bool>, usize) {
    let mut result = (Some(!decisive), 0);
    for decision in all {
        let (open, line) = decision.decide(who, request);
        if open == Some(decisive) {
            return (open, line);
        }
        if open.is_none() {
            result.0 = None;
        }
        result.1 = line;
    }
    result
}
