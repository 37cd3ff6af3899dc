//! Files in which programs keep credentials.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Form, Spot, Text, pem};
use crate::scan::plain;

/// How far a service account's private key may stand from its type.
const NEAR: usize = 8 * 1024;

/// `{"type": "service_account", "private_key": "-----BEGIN …", "client_email": …}`.
pub(super) fn service_account(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    let rest = text.from(at, NEAR);
    memchr::memmem::find(rest, b"\"client_email\"")?;
    let begin = memchr::memmem::find(rest, b"-----BEGIN ")?;
    pem::look(text, at + begin, at + begin + b"-----BEGIN ".len())
}

fn blanks(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count()
}

/// A value behind `=` or `:`, with or without quotes: where it is.
pub(super) fn value(text: &Text<'_>, end: usize) -> Option<std::ops::Range<usize>> {
    let line = text.line_from(end, 1024);
    let mut at = blanks(line);
    if !matches!(line.get(at), Some(b'=' | b':')) {
        return None;
    }
    at += 1;
    at += blanks(line.get(at..)?);
    let quote = line
        .get(at)
        .copied()
        .filter(|byte| matches!(byte, b'"' | b'\''));
    at += usize::from(quote.is_some());
    let rest = line.get(at..)?;
    let len = rest
        .iter()
        .position(|byte| match quote {
            Some(quote) => *byte == quote,
            None => byte.is_ascii_whitespace(),
        })
        .unwrap_or(rest.len());
    Some(end + at..end + at + len)
}

/// `//registry.example/:_authToken=…`, `:_auth=` (base64 of a pair), `:_password=` (docs.npmjs.com, .npmrc).
pub(super) fn npmrc(text: &Text<'_>, at: usize, end: usize) -> Option<Spot> {
    if !matches!(text.before(at), None | Some(b':' | b'\n' | b' ' | b'\t')) {
        return None;
    }
    let range = value(text, end)?;
    let found = text.get(range.clone());
    if plain::is_placeholder(found) || found.is_empty() {
        return None;
    }
    let form = match text.get(at..end).last()? {
        // `_auth`
        b'h' => {
            pair(found)?;
            Form::Basic
        }
        // `_password`: base64 of a password alone
        b'd' => {
            if text.name != b".npmrc" {
                return None;
            }
            let decoded = Zeroizing::new(STANDARD.decode(found).ok()?);
            if decoded.is_empty() || !decoded.iter().all(u8::is_ascii_graphic) {
                return None;
            }
            Form::Never
        }
        _ if found.len() >= 16 && found.iter().all(u8::is_ascii_graphic) => Form::Token,
        _ => return None,
    };
    Some(Spot {
        secret: range,
        user: None,
        form,
        prefix: "",
    })
}

/// Whether it is base64 of a printable `user:password` whose password is none of the stand-ins.
pub(super) fn pair(encoded: &[u8]) -> Option<()> {
    if encoded.len() > 2048 {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (user, password) = decoded.split_at_checked(colon)?;
    let password = password.get(1..).unwrap_or_default();
    let printable = decoded
        .iter()
        .all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    (printable && !user.is_empty() && password.len() >= 6 && !plain::is_placeholder(password))
        .then_some(())
}

/// `machine HOST login USER password WORD`, over lines or on one (GNU inetutils, "The .netrc file"), in files of
/// that name.
pub(super) fn netrc(text: &Text<'_>, _: usize, end: usize) -> Option<Spot> {
    if !matches!(text.name, b".netrc" | b"_netrc" | b"netrc") {
        return None;
    }
    let rest = text.from(end, 1024);
    let mut words = words(rest);
    words.next()?;
    let mut user = None;
    while let Some((_, word)) = words.next() {
        match word {
            b"password" => {
                let (at, password) = words.next()?;
                let form = if user.is_some() {
                    Form::Pair
                } else {
                    Form::Never
                };
                return (!plain::is_placeholder(password)).then(|| Spot {
                    secret: end + at..end + at + password.len(),
                    user,
                    form,
                    prefix: "",
                });
            }
            b"login" => {
                let (at, login) = words.next()?;
                user = Some(end + at..end + at + login.len());
            }
            b"account" => {
                words.next()?;
            }
            b"machine" | b"default" => return None,
            _ => {}
        }
    }
    None
}

fn words(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..)?;
        let start = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let len = rest
            .get(start..)?
            .iter()
            .position(u8::is_ascii_whitespace)
            .unwrap_or(rest.len() - start);
        let from = at + start;
        at = from + len;
        Some((from, bytes.get(from..at)?))
    })
}

/// `host:port:database:user:password`, `\:` and `\\` escaped (postgresql.org, "The Password File"), in files of
/// that name.
pub(super) fn pgpass(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    if !matches!(text.name, b".pgpass" | b"pgpass.conf") {
        return None;
    }
    let line = text.line_from(at, 1024);
    if line.starts_with(b"#") {
        return None;
    }
    let (mut colons, mut escaped) = (0, false);
    let start = 1 + line.iter().position(|byte| {
        colons += usize::from(*byte == b':' && !escaped);
        escaped = *byte == b'\\' && !escaped;
        colons == 4
    })?;
    let password = line.get(start..)?;
    (password.len() >= 4 && !plain::is_placeholder(password)).then(|| Spot {
        secret: at + start..at + line.len(),
        user: None,
        // PostgreSQL's own protocol carries it.
        form: Form::Never,
        prefix: "",
    })
}

/// `"auths": {"registry.example": {"auth": "<base64 of user:password>"}}` (docs.docker.com, `docker login`).
pub(super) fn docker(text: &Text<'_>, _: usize, end: usize) -> Option<Spot> {
    let range = value(text, end)?;
    pair(text.get(range.clone()))?;
    Some(Spot {
        secret: range,
        user: None,
        form: Form::Basic,
        prefix: "",
    })
}
