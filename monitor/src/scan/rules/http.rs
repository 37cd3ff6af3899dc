//! Credentials in code that speaks HTTP.

use super::{Form, Spot, Text, stores};
use crate::access::shape;
use crate::scan::plain;

/// What may stand between the field's name and its value: quotes, blanks, what joins them.
fn joins(byte: u8) -> bool {
    matches!(
        byte,
        b'"' | b'\'' | b'`' | b' ' | b'\t' | b':' | b'=' | b',' | b'>' | b']' | b')' | b'('
    )
}

/// `Authorization: Bearer X`, `"Authorization": "Basic dTpw"`, `authorization => 'token X'`.
pub(super) fn authorization(text: &Text<'_>, _: usize, end: usize) -> Option<Spot> {
    let line = text.line_from(end, 2048);
    let mut at = line
        .iter()
        .take(12)
        .take_while(|byte| joins(**byte))
        .count();
    if at == 0 {
        return None;
    }
    // `f"`, `b'` of Python.
    if matches!(line.get(at), Some(b'f' | b'b' | b'r'))
        && matches!(line.get(at + 1), Some(b'"' | b'\''))
    {
        at += 2;
    }
    let rest = line.get(at..)?;
    let scheme_len = rest.iter().position(|byte| !byte.is_ascii_alphabetic())?;
    let scheme = rest.get(..scheme_len)?;
    let blank = rest
        .get(scheme_len..)?
        .iter()
        .take_while(|byte| **byte == b' ')
        .count();
    if blank == 0 {
        return None;
    }
    let start = scheme_len + blank;
    let value = rest.get(start..)?;
    let len = value
        .iter()
        .position(|byte| {
            !(byte.is_ascii_alphanumeric()
                || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_' | b'.' | b'~'))
        })
        .unwrap_or(value.len());
    // What goes on with something else (`${`, `" + token`) is put together elsewhere.
    if matches!(value.get(len), Some(b'$' | b'{' | b'%' | b'<')) {
        return None;
    }
    let value = value.get(..len)?;
    let form = if scheme.eq_ignore_ascii_case(b"basic") {
        stores::pair(value)?;
        Form::Basic
    } else if [&b"bearer"[..], b"token", b"apikey", b"dpop"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        (plain::is_key(value)
            || (value.len() >= 16 && shape::is_opaque(value) && !plain::is_placeholder(value)))
        .then_some(Form::Token)?
    } else {
        return None;
    };
    let from = end + at + start;
    Some(Spot {
        secret: from..from + len,
        user: None,
        form,
        prefix: "",
    })
}

/// Longest user and password of a URL.
const USERINFO: usize = 512;

/// `scheme://user:password@host`, unless the host is this very machine or an example (RFC 2606), or the password
/// says nothing (`postgres:postgres@`).
pub(super) fn userinfo(text: &Text<'_>, at: usize, end: usize) -> Option<Spot> {
    if !text
        .before(at)
        .is_some_and(|byte| byte.is_ascii_alphanumeric())
    {
        return None;
    }
    let rest = text.from(end, USERINFO);
    let at_sign = rest.iter().position(|byte| {
        !byte.is_ascii_graphic()
            || matches!(
                byte,
                b'@' | b'/' | b'"' | b'\'' | b'`' | b'<' | b'>' | b'{' | b'?' | b'#'
            )
    })?;
    if rest.get(at_sign) != Some(&b'@') {
        return None;
    }
    let info = rest.get(..at_sign)?;
    let colon = info.iter().position(|byte| *byte == b':')?;
    let (user, password) = (info.get(..colon)?, info.get(colon + 1..)?);
    let host = rest.get(at_sign + 1..)?;
    let host_len = host
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')))
        .unwrap_or(host.len());
    let host = host.get(..host_len)?;
    let harmless = host.is_empty()
        || [
            &b"localhost"[..],
            b"127.0.0.1",
            b"0.0.0.0",
            b"example.com",
            b"example.org",
            b"host",
            b"hostname",
        ]
        .iter()
        .any(|known| host.eq_ignore_ascii_case(known))
        || host.to_ascii_lowercase().ends_with(b".example.com")
        || host.to_ascii_lowercase().ends_with(b".example.org");
    let word = [
        &b"password"[..],
        b"passwd",
        b"pass",
        b"secret",
        b"token",
        b"user",
    ]
    .iter()
    .any(|known| password.eq_ignore_ascii_case(known));
    let good = !harmless
        && !word
        && password.len() >= 6
        && !password.eq_ignore_ascii_case(user)
        && !password.contains(&b'$')
        && !password.contains(&b'*')
        && !plain::is_placeholder(password)
        && plain::entropy(password) >= 2.0;
    good.then(|| Spot {
        secret: end..end + at_sign,
        user: None,
        form: Form::Userinfo,
        prefix: "",
    })
}
