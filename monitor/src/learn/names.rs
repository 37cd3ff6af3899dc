//! Names, owners and selectors of what was seen.

use std::collections::BTreeSet;

use super::evidence::Subject;
use crate::policy::selector::Selector;

/// Longest name made here, in bytes.
const LONGEST: usize = 48;

/// Lower-case letters, digits and single dashes; empty when there are none.
pub(super) fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() >= LONGEST {
            break;
        }
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    out.trim_end_matches('-').to_owned()
}

/// `name`, or the first of `name-2`, `name-3`, … that is free. It is taken then.
pub(super) fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    let name = if name.is_empty() { "unnamed" } else { name };
    let mut free = name.to_owned();
    let mut number = 1_usize;
    while taken.contains(&free) {
        number = number.saturating_add(1);
        free = format!("{name}-{number}");
    }
    taken.insert(free.clone());
    free
}

/// Claims of a token, from the name that it has without a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) issuer: Option<String>,
    /// `sub` or `client`.
    pub(super) claim: &'static str,
    pub(super) value: String,
}

impl Token {
    pub(super) fn parse(identity: &str) -> Option<Self> {
        let (mut issuer, mut named) = (None, None);
        for part in identity.strip_prefix("jwt:")?.split(',') {
            let (claim, value) = part.split_once('=')?;
            let value = value.replace("%2C", ",").replace("%25", "%");
            match claim {
                "iss" => issuer = Some(value),
                "sub" => named = Some(("sub", value)),
                "client" => named = Some(("client", value)),
                _ => return None,
            }
        }
        let (claim, value) = named?;
        Some(Self {
            issuer,
            claim,
            value,
        })
    }

    /// As a policy writes it; `None` for a token without an issuer, or with claims that cannot be written.
    pub(super) fn selector(&self) -> Option<String> {
        let escape = |text: &str| text.replace('\\', "\\\\").replace(',', "\\,");
        let issuer = escape(self.issuer.as_deref()?);
        let text = format!("jwt:iss={issuer},{}={}", self.claim, escape(&self.value));
        Selector::parse(&text).is_ok().then_some(text)
    }

    /// Whose it is, in short: the part before `@` of an address.
    fn short(&self) -> &str {
        match self.value.split_once('@') {
            Some((name, _)) if !name.is_empty() => name,
            _ => &self.value,
        }
    }
}

/// How a subject is called: by its claims, else by what uses it.
pub(super) fn name(key: &str, subject: &Subject) -> String {
    if subject.owner.is_some() {
        return key.to_owned();
    }
    if let Some(token) = Token::parse(key) {
        return slug(token.short());
    }
    let busiest = subject.workloads.iter().max_by_key(|(_, count)| **count);
    let workload = busiest.map(|(name, _)| {
        let (kind, name) = name.split_once(':').unwrap_or(("", name));
        match kind {
            "unit" => name.strip_suffix(".service").unwrap_or(name),
            _ => name.rsplit('/').next().unwrap_or(name),
        }
    });
    let short = key.strip_prefix("bw1:").and_then(|hex| hex.get(..6));
    match (workload.map(slug), short) {
        (Some(name), _) if !name.is_empty() => name,
        (_, Some(short)) => slug(&format!("key-{short}")),
        _ => slug(key),
    }
}

/// An owner, and how it was come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The present policy says so.
    Known(String),
    /// With the reason.
    Guessed(String, &'static str),
    /// To be filled in.
    Unknown(String),
}

impl Owner {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Known(text) | Self::Guessed(text, _) | Self::Unknown(text) => text,
        }
    }
}

/// Whose it probably is.
pub(super) fn owner(key: &str, name: &str, subject: &Subject) -> Owner {
    if let Some(owner) = &subject.owner {
        return Owner::Known(owner.clone());
    }
    if let Some(token) = Token::parse(key)
        && token.claim == "sub"
        && token.issuer.is_some()
    {
        return Owner::Guessed(name.to_owned(), "the subject of its tokens");
    }
    let mut users = subject.users.iter();
    if let (Some(user), None, 0) = (users.next(), users.next(), subject.elsewhere)
        && user != "root"
        && !slug(user).is_empty()
    {
        return Owner::Guessed(slug(user), "the one user whose processes use it");
    }
    Owner::Unknown(format!("unknown-owner-of-{name}"))
}
