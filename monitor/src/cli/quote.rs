//! What came from elsewhere is quoted before it reaches a terminal.
//!
//! A character is *plain* when it draws itself, takes room, and cannot move or reorder its
//! neighbours. All others are written as escapes: C0 and C1 controls, line and paragraph separators,
//! spaces other than U+0020, format characters (bidirectional controls, zero-width joiners, tags),
//! combining marks, fillers, private-use, unassigned and non-characters. Letters of right-to-left
//! scripts are escaped too: one of them reorders the digits and punctuation around it on a terminal
//! that implements the bidirectional algorithm, which is enough to make one host look like another.
//! (On the wire such letters are percent-encoded or punycode anyhow.)
//!
//! [`text`] and [`field`] are injective: different inputs give different outputs.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::borrow::Cow;
use std::fmt::Write as _;

/// Blank characters that the Unicode general category calls letters or symbols.
const BLANKS: [char; 6] = [
    '\u{115f}',
    '\u{1160}',
    '\u{3164}',
    '\u{ffa0}',
    '\u{2800}',
    '\u{1d159}',
];

/// Ranges whose characters are right-to-left, by Unicode's own default (DerivedBidiClass.txt).
const RIGHT_TO_LEFT: [(char, char); 5] = [
    ('\u{0590}', '\u{08ff}'),
    ('\u{fb1d}', '\u{fdff}'),
    ('\u{fe70}', '\u{feff}'),
    ('\u{10800}', '\u{10fff}'),
    ('\u{1e800}', '\u{1efff}'),
];

/// Whether a character may reach a terminal as it is.
#[must_use]
pub fn is_plain(c: char) -> bool {
    match c {
        ' '..='~' => true,
        _ if c.is_ascii() => false,
        // `escape_debug` leaves what is printable: not of categories Cc, Cf, Cn, Co, Zl, Zp, Zs and
        // not an extender of the character before it (combining marks, variation selectors).
        _ => {
            c.escape_debug().len() == 1
                && !BLANKS.contains(&c)
                && !RIGHT_TO_LEFT
                    .iter()
                    .any(|(first, last)| (first..=last).contains(&&c))
        }
    }
}

/// Text for a terminal, spaces kept: what is not plain becomes `\n`, `\r`, `\t` or `\u{…}`, and a
/// backslash is doubled.
#[must_use]
pub fn text(raw: &str) -> Cow<'_, str> {
    if raw.chars().all(|c| is_plain(c) && c != '\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len() + 16);
    for c in raw.chars() {
        push(&mut out, c);
    }
    Cow::Owned(out)
}

/// One column of a line: like [`text`], and put in double quotes when it is empty or has a space or a
/// quote in it, so that no value can pretend to be the next column.
#[must_use]
pub fn field(raw: &str) -> Cow<'_, str> {
    if !raw.is_empty() && !raw.contains([' ', '"']) {
        return text(raw);
    }
    let mut out = String::with_capacity(raw.len() + 16);
    out.push('"');
    for c in raw.chars() {
        if c == '"' {
            out.push('\\');
            out.push('"');
        } else {
            push(&mut out, c);
        }
    }
    out.push('"');
    Cow::Owned(out)
}

fn push(out: &mut String, c: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if is_plain(c) => out.push(c),
        // Writing to a String cannot fail.
        c => _ = write!(out, "\\u{{{:x}}}", u32::from(c)),
    }
}

/// Serialised JSON (one value, without line breaks between tokens) in which every character that is
/// not plain is a `\u` escape: the same value to a parser, harmless to a terminal.
#[must_use]
pub fn json(serialised: &str) -> Cow<'_, str> {
    if serialised.chars().all(is_plain) {
        return Cow::Borrowed(serialised);
    }
    let mut out = String::with_capacity(serialised.len() + 16);
    for c in serialised.chars() {
        if is_plain(c) {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    fn every_char() -> impl Iterator<Item = char> {
        (0..=0x10_ffff).filter_map(char::from_u32)
    }

    /// What must never reach a terminal, written down from the Unicode charts and not from the code.
    const HIDDEN: &[(u32, u32)] = &[
        (0x0000, 0x001f),    // C0
        (0x007f, 0x00a0),    // DEL, C1, no-break space
        (0x00ad, 0x00ad),    // soft hyphen
        (0x0300, 0x036f),    // combining marks, grapheme joiner
        (0x0591, 0x05bd),    // Hebrew points
        (0x05d0, 0x05ea),    // Hebrew letters
        (0x061c, 0x061c),    // Arabic letter mark
        (0x0620, 0x064a),    // Arabic letters
        (0x0660, 0x0669),    // Arabic digits
        (0x115f, 0x1160),    // Hangul fillers
        (0x1680, 0x1680),    // ogham space
        (0x17b4, 0x17b5),    // Khmer inherent vowels
        (0x180b, 0x180f),    // Mongolian selectors
        (0x2000, 0x200f),    // spaces, zero-width, marks
        (0x2028, 0x202f),    // separators, embeddings, overrides
        (0x205f, 0x206f),    // invisible operators, isolates, deprecated controls
        (0x20d0, 0x20f0),    // combining marks for symbols
        (0x2800, 0x2800),    // blank Braille
        (0x3000, 0x3000),    // ideographic space
        (0x3164, 0x3164),    // Hangul filler
        (0xe000, 0xf8ff),    // private use
        (0xfdd0, 0xfdef),    // non-characters
        (0xfe00, 0xfe0f),    // variation selectors
        (0xfe20, 0xfe2f),    // combining half marks
        (0xfeff, 0xfeff),    // byte order mark
        (0xffa0, 0xffa0),    // half-width Hangul filler
        (0xfff0, 0xfffb),    // unassigned, interlinear annotation
        (0xfffe, 0xffff),    // non-characters
        (0x1bca0, 0x1bca3),  // shorthand format controls
        (0x1d159, 0x1d159),  // null notehead
        (0x1d173, 0x1d17a),  // musical format controls
        (0x1e900, 0x1e943),  // Adlam
        (0xe0000, 0xe0fff),  // tags, variation selectors, unassigned
        (0xf0000, 0x10ffff), // private use, non-characters
    ];

    #[test]
    fn every_hidden_character_is_escaped() {
        for (first, last) in HIDDEN {
            for c in (*first..=*last).filter_map(char::from_u32) {
                assert!(!is_plain(c), "U+{:04X}", u32::from(c));
            }
        }
    }

    #[test]
    fn non_characters_are_escaped_in_every_plane() {
        for plane in 0..=0x10_u32 {
            for low in [0xfffe, 0xffff] {
                assert!(!is_plain(char::from_u32(plane << 16 | low).unwrap()));
            }
        }
    }

    #[test]
    fn ordinary_text_stays() {
        for c in "aZ09~!@é–ßжΩ漢字かな한글→✗€😀".chars() {
            assert!(is_plain(c), "{c}");
        }
        assert!(matches!(text("GET /a?b=c#%20"), Cow::Borrowed(_)));
    }

    /// Undoes [`text`], to show that nothing is lost and nothing collides.
    fn undo(quoted: &str) -> String {
        let mut out = String::new();
        let mut rest = quoted.chars();
        while let Some(c) = rest.next() {
            if c != '\\' {
                out.push(c);
                continue;
            }
            match rest.next().unwrap() {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                'u' => {
                    let hex: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    out.push(char::from_u32(u32::from_str_radix(&hex, 16).unwrap()).unwrap());
                }
                other => out.push(other),
            }
        }
        out
    }

    #[test]
    fn every_scalar_value_is_quoted_plainly_and_reversibly() {
        let mut buffer = [0; 4];
        for c in every_char() {
            let raw: &str = c.encode_utf8(&mut buffer);
            let quoted = text(raw);
            assert!(quoted.chars().all(is_plain), "U+{:04X}", u32::from(c));
            assert_eq!(undo(&quoted), raw);
            let column = field(raw);
            assert!(column.chars().all(is_plain) && !column.is_empty());
            let encoded = serde_json::to_string(raw).unwrap();
            let safe = json(&encoded);
            assert!(safe.chars().all(is_plain), "U+{:04X}", u32::from(c));
            assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), raw);
        }
    }

    #[test]
    fn a_field_cannot_pretend_to_be_two() {
        assert_eq!(field("sub=admin 200 GET"), "\"sub=admin 200 GET\"");
        assert_eq!(field(""), "\"\"");
        assert_eq!(field("a\"b"), "\"a\\\"b\"");
        assert_eq!(field("a\u{202e}b\\"), "a\\u{202e}b\\\\");
    }
}
