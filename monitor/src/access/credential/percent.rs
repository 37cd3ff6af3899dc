//! Percent-decoding (RFC 3986 §2.1).

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Appends the decoded form of `text` to `out`. What is no escape stays as it is; `+` stays `+`: a secret has
/// no blanks, and clients that forget to escape base64 send the sign itself.
///
/// Never longer than `text`.
pub(crate) fn decode(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            out.push(high << 4 | low);
            rest = after;
        } else {
            out.push(*first);
        }
    }
}

/// Whether `text` decodes to `plain`, letters compared without case.
pub(crate) fn matches_ignore_case(text: &[u8], plain: &[u8]) -> bool {
    let mut plain = plain.iter();
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let mut byte = *first;
        if byte == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            byte = high << 4 | low;
            rest = after;
        }
        if !plain
            .next()
            .is_some_and(|want| want.eq_ignore_ascii_case(&byte))
        {
            return false;
        }
    }
    plain.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes() {
        for (text, plain) in [
            ("", ""),
            ("abc", "abc"),
            ("a%20b", "a b"),
            ("%41%4a%4A", "AJJ"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz", "%zz"),
            ("a+b", "a+b"),
            ("%%41", "%A"),
        ] {
            let mut out = Vec::new();
            decode(text.as_bytes(), &mut out);
            assert_eq!(out, plain.as_bytes(), "{text}");
            assert!(matches_ignore_case(
                text.as_bytes(),
                plain.to_uppercase().as_bytes()
            ));
            assert!(!matches_ignore_case(
                text.as_bytes(),
                format!("{plain}x").as_bytes()
            ));
        }
    }
}
