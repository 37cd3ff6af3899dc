//! Text inside other formats: nothing that stands in a policy can end a string, a comment or a line.

use std::fmt::Write as _;

/// A double-quoted string that YAML 1.2, JSON and Rego read alike: printable ASCII as it is, all else as
/// `\uXXXX`. Beyond U+FFFF a pair of surrogates would be wrong in YAML and `\U…` wrong in JSON: such
/// characters stand as they are, which all three allow.
pub(super) fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            c if u32::from(c) > 0xffff => out.push(c),
            c => _ = write!(out, "\\u{:04x}", u32::from(c)),
        }
    }
    out.push('"');
    out
}

/// One line of a comment: controls and what is not ASCII are escaped.
pub(super) fn comment(text: &str) -> String {
    text.chars()
        .flat_map(|c| -> Box<dyn Iterator<Item = char>> {
            match c {
                ' '..='~' => Box::new(std::iter::once(c)),
                c => Box::new(c.escape_unicode()),
            }
        })
        .collect()
}

/// A literal inside a regular expression of RE2, PCRE, Go or Rust. ASCII only goes in (routes are
/// percent-encoded, hosts are ASCII, roles are checked).
pub(super) fn regex(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_ascii_punctuation()
            && !matches!(
                c,
                '/' | '%'
                    | '_'
                    | ':'
                    | '@'
                    | '='
                    | ','
                    | '~'
                    | '!'
                    | '"'
                    | '\''
                    | '`'
                    | '<'
                    | '>'
                    | ';'
            )
        {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A string of nginx in double quotes. `$` cannot be escaped there: the caller keeps it out.
pub(super) fn nginx(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}
