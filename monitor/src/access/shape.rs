//! What a path segment looks like: a word of an interface, or a thing's name.

/// Longest segment that can be a word; longer ones are `{token}`.
const MAX_WORD: usize = 64;

const DIGIT: u8 = 1;
const LOWER: u8 = 2;
const UPPER: u8 = 4;
const NOT_HEX: u8 = 8;
/// Stands between the parts of a name.
const SEP: u8 = 16;
const AT: u8 = 32;
const OTHER: u8 = 64;

const fn class(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => DIGIT,
        b'a'..=b'f' => LOWER,
        b'A'..=b'F' => UPPER,
        b'g'..=b'z' => LOWER | NOT_HEX,
        b'G'..=b'Z' => UPPER | NOT_HEX,
        b'@' => AT | NOT_HEX,
        b'-' | b'_' | b'.' | b'~' | b'+' | b',' | b':' | b'=' | b'!' | b'$' | b' ' => SEP | NOT_HEX,
        _ => OTHER | NOT_HEX,
    }
}

#[allow(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, in bounds by the loop"
)]
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = class(i as u8);
        i += 1;
    }
    table
};

fn class_of(byte: u8) -> u8 {
    CLASS
        .get(usize::from(byte))
        .copied()
        .unwrap_or(OTHER | NOT_HEX)
}

/// Placeholders that [`placeholder`] and the router write. A segment that is one already stays itself.
pub(crate) const PLACEHOLDERS: [&str; 10] = [
    "{id}", "{uuid}", "{hash}", "{ulid}", "{date}", "{email}", "{token}", "{secret}", "{var}",
    "{rest}",
];

/// Whether a segment already is a placeholder.
pub(crate) fn is_placeholder(segment: &[u8]) -> bool {
    segment.first() == Some(&b'{') && PLACEHOLDERS.iter().any(|p| p.as_bytes() == segment)
}

/// The placeholder for a segment (percent-decoded) that names a thing; `None` for a word.
pub(crate) fn placeholder(segment: &[u8]) -> Option<&'static str> {
    let len = segment.len();
    let (mut any, mut digits) = (0_u8, 0_usize);
    for byte in segment {
        let class = class_of(*byte);
        any |= class;
        digits += usize::from(class & DIGIT);
    }
    // By far the most common: a word.
    if any & (DIGIT | AT) == 0 && len < 16 {
        return None;
    }
    if any == DIGIT {
        return Some("{id}");
    }
    if any & NOT_HEX == 0 {
        let mixed = any & DIGIT != 0 && any & (LOWER | UPPER) != 0;
        // 12 hex digits are how a container's short id looks.
        if len >= 16 || (len >= 12 && mixed) {
            return Some("{hash}");
        }
        return is_random(segment).then_some("{token}");
    }
    if any & AT != 0 && is_email(segment) {
        return Some("{email}");
    }
    if any & DIGIT != 0 {
        if is_uuid(segment) {
            return Some("{uuid}");
        }
        if is_ulid(segment) {
            return Some("{ulid}");
        }
        if is_date(segment) {
            return Some("{date}");
        }
        if any & !(DIGIT | SEP | NOT_HEX) == 0 && is_number_like(segment, digits) {
            return Some("{id}");
        }
        if is_named_digest(segment) {
            return Some("{hash}");
        }
    }
    (len > MAX_WORD || is_random(segment)).then_some("{token}")
}

/// Whether a value was made by a machine to be unguessable, as far as one can see: what tells a key in a
/// parameter with a generic name from an ordinary word or number.
pub(crate) fn is_opaque(value: &[u8]) -> bool {
    matches!(placeholder(value), Some("{hash}" | "{ulid}" | "{token}"))
}

/// Whether it contains both a digit and a letter, or letters of both cases: which words with a known
/// beginning (`key-management`) do not.
pub(crate) fn is_mixed(value: &[u8]) -> bool {
    let any = value.iter().fold(0, |any, byte| any | class_of(*byte));
    any & DIGIT != 0 && any & (LOWER | UPPER) != 0 || any & LOWER != 0 && any & UPPER != 0
}

fn is_uuid(segment: &[u8]) -> bool {
    let segment = match segment {
        [b'{', inner @ .., b'}'] => inner,
        other => other,
    };
    segment.len() == 36
        && segment.iter().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// 26 characters of Crockford's base 32, the first at most 7, in one case, with digits and letters.
fn is_ulid(segment: &[u8]) -> bool {
    let crockford = |byte: &u8| {
        byte.is_ascii_digit()
            || (byte.is_ascii_alphabetic()
                && !matches!(byte.to_ascii_uppercase(), b'I' | b'L' | b'O' | b'U'))
    };
    segment.len() == 26
        && matches!(segment.first(), Some(b'0'..=b'7'))
        && segment.iter().all(crockford)
        && segment.iter().any(u8::is_ascii_alphabetic)
        && !(segment.iter().any(u8::is_ascii_lowercase)
            && segment.iter().any(u8::is_ascii_uppercase))
}

/// `YYYY-MM`, `YYYY-MM-DD` (also with `.` or `_`), and either with a time of day.
fn is_date(segment: &[u8]) -> bool {
    let number = |range: std::ops::Range<usize>| -> Option<u32> {
        segment.get(range)?.iter().try_fold(0_u32, |n, byte| {
            byte.is_ascii_digit()
                .then(|| n.wrapping_mul(10).wrapping_add(u32::from(byte - b'0')))
        })
    };
    let sep = segment.get(4).copied();
    if !matches!(sep, Some(b'-' | b'.' | b'_'))
        || !number(0..4).is_some_and(|year| (1900..=2199).contains(&year))
        || !number(5..7).is_some_and(|month| (1..=12).contains(&month))
    {
        return false;
    }
    match segment.get(7..) {
        Some([]) => sep == Some(b'-'),
        Some([second, _, _, rest @ ..]) if Some(*second) == sep => {
            number(8..10).is_some_and(|day| (1..=31).contains(&day))
                && match rest {
                    [] => true,
                    [b'T' | b't' | b' ' | b'_', time @ ..] => {
                        time.first().is_some_and(u8::is_ascii_digit)
                            && time.iter().all(|byte| {
                                byte.is_ascii_digit()
                                    || matches!(byte, b':' | b'.' | b'-' | b'+' | b'Z' | b'z')
                            })
                    }
                    _ => false,
                }
        }
        _ => false,
    }
}

/// Digits and separators: a list of numbers, a signed number, a long dotted number. Not a version (`1.2`).
fn is_number_like(segment: &[u8], digits: usize) -> bool {
    digits > 0
        && (segment.contains(&b',')
            || digits >= 8
            || matches!(segment, [b'+' | b'-', rest @ ..] if rest.iter().all(u8::is_ascii_digit)))
}

/// `sha256:` and hexadecimal digits, as image registries name blobs.
fn is_named_digest(segment: &[u8]) -> bool {
    let mut parts = segment.splitn(2, |byte| *byte == b':');
    let (Some(name), Some(hex)) = (parts.next(), parts.next()) else {
        return false;
    };
    [&b"sha1"[..], b"sha256", b"sha384", b"sha512", b"md5"].contains(&name)
        && hex.len() >= 16
        && hex.iter().all(u8::is_ascii_hexdigit)
}

fn is_email(segment: &[u8]) -> bool {
    let mut parts = segment.split(|byte| *byte == b'@');
    let (Some(user), Some(domain), None) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    !user.is_empty()
        && domain.len() >= 3
        && domain.contains(&b'.')
        && !domain.starts_with(b".")
        && !domain.ends_with(b".")
        && domain.iter().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.') || !byte.is_ascii()
        })
}

/// Base64-like tokens, and long strings that mix digits and letters without the regularity of words.
///
/// Between separators, a name is made of words and numbers: its character class changes seldom. A random
/// string changes class at two of three characters (base 62) or one of three (base 36).
fn is_random(segment: &[u8]) -> bool {
    let padded = segment.len() >= 16 && segment.ends_with(b"=");
    if padded
        && segment.iter().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'_' | b'=' | b'/')
        })
    {
        return true;
    }
    if is_typed_id(segment) {
        return true;
    }
    let (mut noise, mut noisy_len, mut numbers) = (0_usize, 0_usize, 0_usize);
    for run in segment.split(|byte| !byte.is_ascii_alphanumeric()) {
        let (mut changes, mut groups, mut upper, mut digits) = (0_usize, 0_usize, 0_usize, 0_usize);
        let mut last = 0;
        for byte in run {
            let class = class_of(*byte) & (DIGIT | LOWER | UPPER);
            if last != 0 && class != last {
                changes += 1;
            }
            if class == DIGIT && last != DIGIT {
                groups += 1;
            }
            upper += usize::from(class == UPPER);
            digits += usize::from(class == DIGIT);
            last = class;
        }
        let len = run.len();
        // `7f9c6d5b8`: digits come back again and again.
        if len >= 8 && groups >= 3 {
            return true;
        }
        if len >= 12 && groups >= 2 && changes * 4 >= len {
            return true;
        }
        // `dQwXgWcQzVpLmNbY`: no word has so many capitals in so many places.
        if len >= 16 && digits == 0 && upper * 10 >= len * 3 && changes * 5 >= len * 2 {
            return true;
        }
        if len >= 32 && digits > 0 && changes >= 4 {
            return true;
        }
        // Shorter runs count together: base64url has separators of its own.
        if groups >= 1 && changes >= 2 {
            noise += changes;
            noisy_len += len;
            numbers += groups;
        }
    }
    segment.len() >= 16
        && numbers >= 2
        && noisy_len >= 12
        && noise * 4 >= noisy_len
        && noisy_len * 2 >= segment.len()
}

/// `cus_NffrFeUfNV2Hib`: what it is, and which one.
fn is_typed_id(segment: &[u8]) -> bool {
    let mut parts = segment.splitn(2, |byte| *byte == b'_');
    let (Some(kind), Some(id)) = (parts.next(), parts.next()) else {
        return false;
    };
    (2..=10).contains(&kind.len())
        && kind.iter().all(u8::is_ascii_lowercase)
        && id.len() >= 12
        && id.iter().all(u8::is_ascii_alphanumeric)
        && [
            u8::is_ascii_digit,
            u8::is_ascii_lowercase,
            u8::is_ascii_uppercase,
        ]
        .iter()
        .all(|class| id.iter().any(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay() {
        for word in [
            "",
            "v1",
            "v2beta1",
            "users",
            "deployments",
            "api",
            "chat.postMessage",
            "1.2.3",
            "2.0",
            "my-long-blog-post-title-2024",
            "getUserProfileInformation",
            "XMLHttpRequest",
            "index.html",
            "utf-8",
            "iso-8859-1",
            "oauth2",
            "s3",
            "ec2",
            "k8s",
            "x86_64",
            "linux-amd64",
            "jquery-3.7.1.min.js",
            ".well-known",
            "openid-configuration",
            "application-json",
            "gemini-1.5-pro",
            "sha256",
            "actions",
            "cafe",
            "added",
            "deadbeef",
            "10.0.0.1",
            "@scope",
            "user@",
            "claude-opus-4",
            "internationalisation",
            "authentication_settings",
            "v1.43",
            "grpc.health.v1.Health",
            "getV2UserInfoById",
            "kubernetes.io",
            "horizontalpodautoscalers",
            "2fa",
            "x509",
        ] {
            assert_eq!(placeholder(word.as_bytes()), None, "{word}");
        }
    }

    #[test]
    fn things_are_lifted() {
        for (text, expected) in [
            ("17", "{id}"),
            ("0", "{id}"),
            ("-5", "{id}"),
            ("+4915112345678", "{id}"),
            ("1,2,3", "{id}"),
            ("1700000000.123456", "{id}"),
            ("550e8400-e29b-41d4-a716-446655440000", "{uuid}"),
            ("550E8400-E29B-41D4-A716-446655440000", "{uuid}"),
            ("{550e8400-e29b-41d4-a716-446655440000}", "{uuid}"),
            ("d41d8cd98f00b204e9800998ecf8427e", "{hash}"),
            ("507f1f77bcf86cd799439011", "{hash}"),
            ("da39a3ee5e6b4b0d3255bfef95601890afd80709", "{hash}"),
            ("4c01db0b339c", "{hash}"),
            (
                "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "{hash}",
            ),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "{ulid}"),
            ("01arz3ndektsv4rrffq69g5fav", "{ulid}"),
            ("2024-02-29", "{date}"),
            ("2024-02", "{date}"),
            ("2024.02.29", "{date}"),
            ("2024-02-29T10:11:12Z", "{date}"),
            ("2024-02-29T10:11:12.5+01:00", "{date}"),
            ("alice@example.com", "{email}"),
            ("a.b+c@mail.example.co.uk", "{email}"),
            ("cus_NffrFeUfNV2Hib", "{token}"),
            ("dGhpcyBpcyBhIHRlc3Q=", "{token}"),
            ("V1StGXR8_Z5jdHi6B-myT", "{token}"),
            ("7f9c6d5b8", "{token}"),
            ("0ujtsYcgvSTl8PAuAdqWYSMnLOv", "{token}"),
            ("dQwXgWcQzVpLmNbYkRtS", "{token}"),
            ("web-6b7d4c8f9-x2x4z", "{token}"),
            ("17-8f3ab2c1d4", "{token}"),
        ] {
            assert_eq!(placeholder(text.as_bytes()), Some(expected), "{text}");
        }
        assert_eq!(placeholder("x".repeat(65).as_bytes()), Some("{token}"));
        assert_eq!(placeholder(&[0xff; 65]), Some("{token}"));
    }

    #[test]
    fn placeholders_are_fixed_points() {
        for text in PLACEHOLDERS {
            assert!(is_placeholder(text.as_bytes()));
            assert_eq!(placeholder(text.as_bytes()), None, "{text}");
        }
        assert!(!is_placeholder(b"{other}"));
    }

    #[test]
    fn machine_made() {
        assert!(is_opaque(b"AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q"));
        assert!(is_opaque(b"0123456789abcdef0123456789abcdef"));
        for value in [
            &b"user-profile-picture-large"[..],
            b"17",
            b"name",
            b"",
            b"a@example.com",
        ] {
            assert!(!is_opaque(value), "{value:?}");
        }
    }
}
