//! Values of `Authorization` and its kin (RFC 9110 §11).

/// Splits off the authentication scheme. Without a blank there is none: the whole is the value.
pub(super) fn split_scheme(value: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let Some(at) = value.iter().position(|byte| matches!(byte, b' ' | b'\t')) else {
        return (None, value);
    };
    match value.split_at_checked(at) {
        Some((scheme, rest)) => (Some(scheme), rest.trim_ascii()),
        None => (None, value),
    }
}

/// Whether a value is one piece: no list of parameters, no blanks.
pub(super) fn is_bare(value: &[u8]) -> bool {
    let end = value
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |at| at + 1);
    let body = value.get(..end).unwrap_or(value);
    !body.is_empty()
        && !body
            .iter()
            .any(|byte| matches!(byte, b' ' | b'\t' | b',' | b'"' | b'='))
}

/// The value of a parameter: `name=value` or `name="value"`, separated by commas, blanks, `;` or `&`. The text
/// between quotes comes as it stands, escapes included.
pub(super) fn parameter<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = value;
    loop {
        let start = rest.iter().position(|byte| !is_separator(*byte))?;
        rest = rest.get(start..)?;
        let end = rest
            .iter()
            .position(|byte| *byte == b'=' || is_separator(*byte))?;
        let key = rest.get(..end)?;
        // Blanks around `=` are allowed, if badly (RFC 9110 §5.6.3).
        let behind = rest.get(end..)?.trim_ascii_start();
        let Some(text) = behind.strip_prefix(b"=") else {
            rest = rest.get(end..)?;
            continue;
        };
        let text = text.trim_ascii_start();
        let (found, after) = match text.strip_prefix(b"\"") {
            Some(quoted) => {
                let end = closing_quote(quoted);
                (
                    quoted.get(..end)?,
                    quoted.get(end + 1..).unwrap_or_default(),
                )
            }
            None => {
                let end = text
                    .iter()
                    .position(|byte| is_separator(*byte))
                    .unwrap_or(text.len());
                (text.get(..end)?, text.get(end..)?)
            }
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(found).filter(|found| !found.is_empty());
        }
        rest = after;
    }
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b',' | b';' | b'&')
}

fn closing_quote(text: &[u8]) -> usize {
    let mut escaped = false;
    text.iter()
        .position(|byte| {
            let end = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            end
        })
        .unwrap_or(text.len())
}

/// Takes the escapes out of a quoted string (RFC 9110 §5.6.4), appending to `out`.
pub(super) fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut escaped = false;
    for byte in text {
        if *byte == b'\\' && !escaped {
            escaped = true;
        } else {
            out.push(*byte);
            escaped = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes() {
        assert_eq!(
            split_scheme(b"Bearer abc"),
            (Some(&b"Bearer"[..]), &b"abc"[..])
        );
        assert_eq!(
            split_scheme(b"Bearer   abc "),
            (Some(&b"Bearer"[..]), &b"abc"[..])
        );
        assert_eq!(split_scheme(b"abc"), (None, &b"abc"[..]));
        assert_eq!(split_scheme(b""), (None, &b""[..]));
    }

    #[test]
    fn bare() {
        for (text, expected) in [
            ("abc", true),
            ("abc==", true),
            ("a:b/c+d", true),
            ("", false),
            ("==", false),
            ("a=b", false),
            ("a b", false),
            ("a,b", false),
        ] {
            assert_eq!(is_bare(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn parameters() {
        let aws = "Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
                   SignedHeaders=content-type;host, Signature=5d672d";
        for (text, name, expected) in [
            (
                aws,
                "credential",
                Some("AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request"),
            ),
            (aws, "signature", Some("5d672d")),
            (
                "username=\"Mufasa\",realm=\"a, b=c\",nonce=x",
                "realm",
                Some("a, b=c"),
            ),
            (
                "username=\"Mufasa\",realm=\"a, b=c\",nonce=x",
                "nonce",
                Some("x"),
            ),
            ("username=\"a\\\"b\", x=y", "username", Some("a\\\"b")),
            ("username=\"a\\\"b\", x=y", "x", Some("y")),
            (
                "Id=1&SignedHeaders=a;b&Signature=c==",
                "signature",
                Some("c=="),
            ),
            ("a = b , c=d", "a", Some("b")),
            ("junk, a=b", "a", Some("b")),
            ("a=", "a", None),
            ("a=\"open", "a", Some("open")),
            ("realm=\"username=x\"", "username", None),
            ("", "a", None),
            ("=x", "a", None),
            (",,,", "a", None),
        ] {
            let found = parameter(text.as_bytes(), name.as_bytes());
            assert_eq!(found, expected.map(str::as_bytes), "{text} {name}");
        }
    }

    #[test]
    fn escapes() {
        let mut out = Vec::new();
        unescape(br#"a\"b\\c\"#, &mut out);
        assert_eq!(out, br#"a"b\c"#);
    }
}
