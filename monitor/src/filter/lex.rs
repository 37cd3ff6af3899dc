//! From text to words, names, literals and signs.

use std::iter::Peekable;
use std::ops::Range;
use std::str::CharIndices;

use super::FilterError;

/// A token with its place in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) what: Tok,
    pub(super) span: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tok {
    /// A word or a dotted name.
    Word(String),
    Text(String),
    /// A number, and the unit right behind it (or nothing).
    Number(f64, String),
    Sign(&'static str),
    End,
}

/// Signs, those that others begin with last.
const SIGNS: [&str; 14] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "(", ")", "[", "]", ",",
];

/// Splits a text. The last token is `End`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let mut out = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some(&(at, c)) = chars.peek() {
        if c.is_whitespace() {
            chars.next();
            continue;
        }
        let what = match c {
            '"' | '\'' => string(text, &mut chars)?,
            '0'..='9' | '-' => number(text, &mut chars)?,
            _ if c.is_ascii_alphabetic() || c == '_' => {
                let end = run(text, &mut chars, |c| {
                    c.is_ascii_alphanumeric() || c == '_' || c == '.'
                });
                Tok::Word(text.get(at..end).unwrap_or("").to_owned())
            }
            _ => sign(text, at, &mut chars)?,
        };
        let end = chars.peek().map_or(text.len(), |(at, _)| *at);
        out.push(Token {
            what,
            span: at..end,
        });
    }
    out.push(Token {
        what: Tok::End,
        span: text.len()..text.len(),
    });
    Ok(out)
}

/// Takes characters as long as they are wanted; where the first other one is.
fn run(text: &str, chars: &mut Peekable<CharIndices<'_>>, wanted: impl Fn(char) -> bool) -> usize {
    while chars.next_if(|(_, c)| wanted(*c)).is_some() {}
    chars.peek().map_or(text.len(), |(at, _)| *at)
}

fn sign(text: &str, at: usize, chars: &mut Peekable<CharIndices<'_>>) -> Result<Tok, FilterError> {
    let rest = text.get(at..).unwrap_or("");
    let error = |len: usize, message: String, hint: &str| {
        Err(FilterError::new(text, at..at + len, message).hint(hint))
    };
    if rest.starts_with("=~") || rest.starts_with("!~") {
        return error(
            2,
            "there are no regular expressions".to_owned(),
            "write matches \"…\", where * stands for any run of characters and ? for one",
        );
    }
    if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
        for _ in sign.chars() {
            chars.next();
        }
        return Ok(Tok::Sign(sign));
    }
    match rest.chars().next() {
        Some('=') => error(1, "a single = compares nothing".to_owned(), "write =="),
        Some('&') => error(1, "a single & joins nothing".to_owned(), "write && or and"),
        Some('|') => error(1, "a single | joins nothing".to_owned(), "write || or or"),
        Some(c @ ('“' | '”' | '‘' | '’')) => error(
            c.len_utf8(),
            "a typographic quote begins no text".to_owned(),
            "write \"",
        ),
        Some(c) => error(
            c.len_utf8(),
            format!("{c:?} has no meaning here"),
            "names are as in docs/json.md; texts stand in quotes",
        ),
        None => Ok(Tok::End),
    }
}

fn number(text: &str, chars: &mut Peekable<CharIndices<'_>>) -> Result<Tok, FilterError> {
    let start = chars.peek().map_or(text.len(), |(at, _)| *at);
    chars.next_if(|(_, c)| *c == '-');
    let end = run(text, chars, |c| c.is_ascii_digit() || c == '.');
    let unit_end = run(text, chars, |c| c.is_ascii_alphanumeric() || c == '_');
    let digits = text.get(start..end).unwrap_or("");
    let plain = digits.strip_prefix('-').unwrap_or(digits);
    let good = plain.starts_with(|c: char| c.is_ascii_digit())
        && plain.ends_with(|c: char| c.is_ascii_digit());
    let number = digits
        .parse::<f64>()
        .ok()
        .filter(|number| good && number.is_finite() && number.abs() < 1e18);
    let Some(number) = number else {
        return Err(
            FilterError::new(text, start..unit_end.max(start + 1), "that is no number")
                .hint("as in 404, 0.5 or 250ms; an address or a time stands in quotes"),
        );
    };
    let unit = text.get(end..unit_end).unwrap_or("").to_owned();
    Ok(Tok::Number(number, unit))
}

fn string(text: &str, chars: &mut Peekable<CharIndices<'_>>) -> Result<Tok, FilterError> {
    let Some((start, quote)) = chars.next() else {
        return Ok(Tok::End);
    };
    let mut out = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => return Ok(Tok::Text(out)),
            '\\' => out.push(escape(text, at, chars)?),
            _ => out.push(c),
        }
    }
    Err(FilterError::new(
        text,
        start..start + 1,
        "the text that begins here has no end",
    )
    .hint(format!("close it with {quote}")))
}

fn escape(
    text: &str,
    at: usize,
    chars: &mut Peekable<CharIndices<'_>>,
) -> Result<char, FilterError> {
    let found = match chars.next().map(|(_, c)| c) {
        Some(c @ ('\\' | '"' | '\'')) => Some(c),
        Some('n') => Some('\n'),
        Some('r') => Some('\r'),
        Some('t') => Some('\t'),
        Some('u') => {
            let mut code = Some(0_u32);
            for _ in 0..4 {
                let digit = chars
                    .next_if(|(_, c)| c.is_ascii_hexdigit())
                    .and_then(|(_, c)| c.to_digit(16));
                code = code.zip(digit).map(|(code, digit)| code << 4 | digit);
            }
            code.and_then(char::from_u32)
        }
        _ => None,
    };
    let end = chars.peek().map_or(text.len(), |(at, _)| *at);
    found.ok_or_else(|| {
        FilterError::new(text, at..end, "no such escape")
            .hint(r#"\" \' \\ \n \r \t and \u with four hexadecimal digits"#)
    })
}
