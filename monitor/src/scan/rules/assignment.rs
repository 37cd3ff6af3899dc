//! Values of names that say what they hold: `db_password = "…"`, `API_KEY: …`.

use super::{Form, Spot, Text};
use crate::scan::plain;

/// Longest rest of a name.
const NAME: usize = 48;

/// Ends of names that hold something about a secret, not one. Lower case.
const ABOUT: [&[u8]; 30] = [
    b"id",
    b"name",
    b"names",
    b"url",
    b"uri",
    b"path",
    b"file",
    b"dir",
    b"type",
    b"length",
    b"len",
    b"size",
    b"policy",
    b"field",
    b"header",
    b"prefix",
    b"suffix",
    b"regex",
    b"pattern",
    b"hash",
    b"hint",
    b"label",
    b"count",
    b"count",
    b"expiry",
    b"endpoint",
    b"version",
    b"algorithm",
    b"arn",
    b"ref",
];

/// What follows a name: where its value is, and whether it is in quotes.
struct Value {
    start: usize,
    len: usize,
    quoted: bool,
}

/// Whether the name goes on with a word that says that it is about a secret.
fn is_about(rest: &[u8]) -> bool {
    let mut end = rest;
    while let Some(b'_' | b'-' | b'.' | b'"' | b'\'' | b']') = end.last() {
        end = end.get(..end.len() - 1).unwrap_or_default();
    }
    ABOUT.iter().any(|word| {
        end.len() >= word.len()
            && end
                .get(end.len() - word.len()..)
                .is_some_and(|tail| tail.eq_ignore_ascii_case(word))
    })
}

fn value_of(text: &Text<'_>, end: usize) -> Option<Value> {
    let line = text.line_from(end, NAME + 2 * plain::LONGEST);
    let name = line
        .iter()
        .take(NAME)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        .count();
    if is_about(line.get(..name)?) {
        return None;
    }
    let mut at = name;
    let skip = |at: usize, set: &[u8]| -> usize {
        let rest = line.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|byte| set.contains(byte)).count()
    };
    // Closing quote and bracket of a key, `: &str`, `: String` of a declaration.
    at = skip(at, b"\"'`]} \t");
    let operator = line.get(at..)?;
    let len = [&b":="[..], b"=>", b"=", b":", b"->"]
        .iter()
        .find(|known| operator.starts_with(known))?
        .len();
    at += len;
    // A comparison assigns nothing; `::` is a path.
    if matches!(line.get(at), Some(b'=' | b':')) {
        return None;
    }
    at = skip(at, b" \t");
    let mut declared = line.get(at..)?;
    // `password: &'static str = "…"`, `const token: string = "…"`.
    if let Some(equals) = declared.iter().position(|byte| *byte == b'=')
        && operator.starts_with(b":")
        && declared.get(..equals)?.iter().all(|byte| {
            byte.is_ascii_alphabetic() || matches!(byte, b'&' | b'\'' | b' ' | b'<' | b'>')
        })
        && declared
            .get(equals + 1..)?
            .trim_ascii_start()
            .first()
            .is_some_and(|byte| matches!(byte, b'"' | b'\'' | b'`'))
    {
        at += equals + 1;
        at = skip(at, b" \t");
        declared = line.get(at..)?;
    }
    // Prefixes of literals.
    if matches!(declared.first(), Some(b'b' | b'r' | b'f' | b'u' | b'@'))
        && matches!(declared.get(1), Some(b'"' | b'\''))
    {
        at += 1;
    }
    let quote = line
        .get(at)
        .copied()
        .filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    at += usize::from(quote.is_some());
    let rest = line.get(at..)?;
    let len = match quote {
        Some(quote) => rest.iter().position(|byte| *byte == quote)?,
        None => rest
            .iter()
            .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b';' | b',' | b'#'))
            .unwrap_or(rest.len()),
    };
    Some(Value {
        start: end + at,
        len,
        quoted: quote.is_some(),
    })
}

/// Whether values without quotes are values in this file, not names of variables.
fn bare_values(name: &[u8]) -> bool {
    let end = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    let known = [
        &b"env"[..],
        b"ini",
        b"cfg",
        b"conf",
        b"cnf",
        b"config",
        b"properties",
        b"yml",
        b"yaml",
        b"toml",
        b"sh",
        b"bash",
        b"service",
        b"txt",
        b"tfvars",
        b"environ",
    ];
    !name.contains(&b'.')
        || name.starts_with(b".env")
        || known.iter().any(|known| end.eq_ignore_ascii_case(known))
}

fn assigned(text: &Text<'_>, end: usize, good: fn(&[u8]) -> bool) -> Option<Spot> {
    let value = value_of(text, end)?;
    if !value.quoted && !bare_values(text.name) {
        return None;
    }
    let secret = value.start..value.start + value.len;
    good(text.get(secret.clone())).then_some(Spot {
        secret,
        user: None,
        form: Form::Token,
        prefix: "",
    })
}

/// A password.
pub(super) fn password(text: &Text<'_>, _: usize, end: usize) -> Option<Spot> {
    assigned(text, end, plain::is_password)
}

/// A key, a token, a secret.
pub(super) fn key(text: &Text<'_>, _: usize, end: usize) -> Option<Spot> {
    assigned(text, end, plain::is_key)
}
