//! What tells a secret from a word, a placeholder or a reference.

/// Shannon entropy of the bytes, in bits per byte; 0 of none.
pub(super) fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count = count.saturating_add(1);
        }
    }
    let all = bytes.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / all;
            -share * share.log2()
        })
        .sum()
}

/// Words that stand in examples in place of a secret. Lower case.
const STAND_INS: [&[u8]; 22] = [
    b"example",
    b"xxxx",
    b"placeholder",
    b"changeme",
    b"change_me",
    b"change-me",
    b"replace",
    b"redacted",
    b"dummy",
    b"sample",
    b"your_",
    b"your-",
    b"yourtoken",
    b"yourkey",
    b"insert",
    b"fake",
    b"todo",
    b"secret_here",
    b"password_here",
    b"token_here",
    b"key_here",
    b"****",
];

/// Sequences that a person types where a machine would have drawn: `1234567890`, `abcdefgh`. Lower case.
const KEYBOARD: [&[u8]; 5] = [
    b"123456789",
    b"0123456",
    b"abcdefgh",
    b"qwerty",
    b"deadbeef",
];

fn contains(haystack: &[u8], lower: &[u8]) -> bool {
    haystack
        .windows(lower.len().max(1))
        .any(|window| window.eq_ignore_ascii_case(lower))
}

/// Longest run of one byte.
fn longest_run(bytes: &[u8]) -> usize {
    let (mut longest, mut run, mut last) = (0, 0, None);
    for byte in bytes {
        run = if last == Some(*byte) { run + 1 } else { 1 };
        last = Some(*byte);
        longest = longest.max(run);
    }
    longest
}

/// Whether a value is none, but stands for one: `EXAMPLE`, `xxxx`, `${VAR}`, `<token>`, `{{ x }}`, `$(cmd)`, `%s`.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    let marks = value
        .iter()
        .any(|byte| matches!(byte, b'<' | b'>' | b'{' | b'}'))
        || value.starts_with(b"$")
        || value.starts_with(b"%")
        || value
            .windows(2)
            .any(|two| matches!(two, b"$(" | b"%(" | b"%s" | b"#{"));
    marks
        || longest_run(value) >= 6
        || distinct(value) < 5
        || STAND_INS.iter().any(|word| contains(value, word))
        || (value.len() < 24 && KEYBOARD.iter().any(|word| contains(value, word)))
}

fn distinct(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in bytes {
        if let Some(slot) = seen.get_mut(usize::from(*byte)) {
            *slot = true;
        }
    }
    seen.iter().filter(|seen| **seen).count()
}

/// Kinds of characters a value is made of.
#[derive(Clone, Copy, Default)]
struct Classes {
    lower: bool,
    upper: bool,
    digits: usize,
    symbols: usize,
}

fn classes(value: &[u8]) -> Classes {
    let mut all = Classes::default();
    for byte in value {
        match byte {
            b'a'..=b'z' => all.lower = true,
            b'A'..=b'Z' => all.upper = true,
            b'0'..=b'9' => all.digits += 1,
            _ => all.symbols += 1,
        }
    }
    all
}

/// Whether a value names where the secret is kept, or is an address, a path, a version or a piece of code.
fn is_reference(value: &[u8]) -> bool {
    let starts = |prefix: &[u8]| {
        value
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    [
        &b"/"[..],
        b"./",
        b"../",
        b"~/",
        b"http",
        b"arn:",
        b"vault:",
        b"op://",
        b"file:",
        b"env:",
        b"credential:",
        b"ENC[",
        b"!",
        b"@",
        b"&",
        b"sha256:",
        b"ssh-rsa",
        b"ssh-ed25519",
        b"AQICAH",
        b"bw1:",
    ]
    .iter()
    .any(|prefix| starts(prefix))
        || value.iter().any(|byte| {
            matches!(
                byte,
                b'(' | b')' | b'[' | b']' | b' ' | b'\t' | b'`' | b'"' | b'\''
            )
        })
        || contains(value, b"process.env")
        || contains(value, b"getenv")
        || contains(value, b"os.environ")
}

/// Whether it is a UUID: too often a mere id.
fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether the words of an identifier or a sentence with separators make it up: `my-secret-name`, `apiKeyName`,
/// `com.example.Key2`: at most two digits, and those at the end of a part.
fn is_words(value: &[u8]) -> bool {
    value
        .split(|byte| matches!(byte, b'.' | b'_' | b'-' | b':' | b'/' | b'@'))
        .all(|part| {
            let letters = part
                .iter()
                .take_while(|byte| byte.is_ascii_alphabetic())
                .count();
            let rest = part.get(letters..).unwrap_or_default();
            rest.len() <= 2
                && rest.iter().all(u8::is_ascii_digit)
                && is_pronounceable(part.get(..letters).unwrap_or_default())
        })
}

/// Whether letters look like words: at least one vowel for each six, and case that changes as in CamelCase.
fn is_pronounceable(letters: &[u8]) -> bool {
    let vowels = letters
        .iter()
        .filter(|byte| {
            matches!(
                byte.to_ascii_lowercase(),
                b'a' | b'e' | b'i' | b'o' | b'u' | b'y'
            )
        })
        .count();
    let turns = letters
        .windows(2)
        .filter(|two| matches!(two, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()))
        .count();
    letters.len() < 4 || (vowels * 6 >= letters.len() && turns * 4 <= letters.len())
}

/// Least length of a key or token that is recognised by nothing but its name and its entropy.
pub(super) const LEAST_KEY: usize = 16;
/// Least length of a password.
pub(super) const LEAST_PASSWORD: usize = 8;
/// Longest value of an assignment.
pub(super) const LONGEST: usize = 256;

/// Whether a value that is called a key or a token is one: 16 to 256 characters of base64 or hex, letters and
/// digits, at least 3.5 bits a character (3.0 in hex), no placeholder, reference, UUID or run of words.
pub(super) fn is_key(value: &[u8]) -> bool {
    let hex = value.iter().all(u8::is_ascii_hexdigit);
    let alphabet = value.iter().all(|byte| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_' | b'.' | b'~' | b':')
    });
    let all = classes(value);
    (LEAST_KEY..=LONGEST).contains(&value.len())
        && alphabet
        && all.digits > 0
        && (all.lower || all.upper)
        && entropy(value) >= if hex { 3.0 } else { 3.5 }
        && !is_placeholder(value)
        && !is_reference(value)
        && !is_uuid(value)
        && !is_words(value)
}

/// Whether a value that is called a password is one: 8 to 256 visible characters of at least three kinds (or two
/// with a digit and 12 characters), at least 2.5 bits a character, no placeholder or reference.
pub(super) fn is_password(value: &[u8]) -> bool {
    let all = classes(value);
    let kinds = usize::from(all.lower)
        + usize::from(all.upper)
        + usize::from(all.digits > 0)
        + usize::from(all.symbols > 0);
    (LEAST_PASSWORD..=LONGEST).contains(&value.len())
        && value.iter().all(u8::is_ascii_graphic)
        && (kinds >= 3 || (kinds == 2 && all.digits > 0 && value.len() >= 12))
        && entropy(value) >= 2.5
        && !is_placeholder(value)
        && !is_reference(value)
        && !is_uuid(value)
        && !is_words(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_of_known_texts() {
        assert!(entropy(b"").abs() < 1e-9);
        assert!(entropy(b"aaaa").abs() < 1e-9);
        assert!((entropy(b"abcd") - 2.0).abs() < 1e-9);
        assert!((entropy(b"aabb") - 1.0).abs() < 1e-9);
    }

    #[test]
    fn placeholders() {
        for text in [
            "AKIAIOSFODNN7EXAMPLE",
            "xxxxxxxxxxxx",
            "${TOKEN}",
            "<your token>",
            "{{ secret }}",
            "$(pass show x)",
            "%(key)s",
            "aaaaaaaaaaaa",
            "********",
            "your_api_key_1a2b3c",
            "$SECRET",
            "0000000000000000",
        ] {
            assert!(is_placeholder(text.as_bytes()), "{text}");
        }
        for text in ["q8Zt2LmV0pXs9RbK", "hV7!pq2Ls"] {
            assert!(!is_placeholder(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn keys_and_passwords() {
        for (text, key, password) in [
            ("q8Zt2LmV0pXs9RbKd3", true, true),
            ("9f86d081884c7d659a2feaa0c55ad015", true, true),
            ("hV7!pq2Ls", false, true),
            ("my-secret-name", false, false),
            ("apiKeyFromVault", false, false),
            ("com.example.SecretKey2", false, false),
            ("123e4567-e89b-12d3-a456-426614174000", false, false),
            ("/run/secrets/token1234567", false, false),
            ("https://Example.org/a1b2c3d4", false, false),
            ("getenv(\"TOKEN1\")", false, false),
            ("bw1:00112233445566778899aabbccddeeff", false, false),
            ("short1", false, false),
            ("", false, false),
        ] {
            assert_eq!(is_key(text.as_bytes()), key, "key {text}");
            assert_eq!(is_password(text.as_bytes()), password, "password {text}");
        }
    }
}
