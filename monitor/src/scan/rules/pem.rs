//! Private keys in PEM (RFC 7468), as they stand or with `\n` written out in a string.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Form, Spot, Text};

/// Longest key that is read, in bytes of PEM.
const LONGEST: usize = 16 * 1024;
/// Labels of keys that need no passphrase (`ENCRYPTED PRIVATE KEY` does).
const LABELS: [&[u8]; 6] = [
    b"PRIVATE KEY",
    b"RSA PRIVATE KEY",
    b"EC PRIVATE KEY",
    b"DSA PRIVATE KEY",
    b"ED25519 PRIVATE KEY",
    b"OPENSSH PRIVATE KEY",
];

/// A private key that parses: DER of one SEQUENCE whose length is that of the whole, with a version first; or
/// OpenSSH's form, not encrypted.
pub(super) fn look(text: &Text<'_>, at: usize, end: usize) -> Option<Spot> {
    let rest = text.from(end, LONGEST);
    let label_end = find(rest, b"-----")?;
    let label = LABELS
        .into_iter()
        .find(|label| Some(*label) == rest.get(..label_end))?;
    let body_start = label_end + 5;
    let body_len = find(rest.get(body_start..)?, b"-----END ")?;
    let body = rest.get(body_start..body_start + body_len)?;
    // RFC 1421's header says that it is encrypted.
    if find(body, b"ENCRYPTED").is_some() {
        return None;
    }
    let mut plain = Zeroizing::new(Vec::with_capacity(body.len()));
    let mut bytes = body.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                // `\n`, `\r`, or a line that goes on.
                if matches!(bytes.peek(), Some(b'n' | b'r' | b't')) {
                    bytes.next();
                }
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'=' => plain.push(*byte),
            // Blanks, quotes, what joins literals, what a diff or a comment puts in front of lines.
            b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'\'' | b',' | b'#' | b'*' | b'|' | b'>'
            | b'.' => {}
            _ => return None,
        }
    }
    // A `+` in front of each line (diff, joined literals) is no part of it; in base64 it may be. Without them first.
    let der = Zeroizing::new(STANDARD.decode(plain.as_slice()).ok()?);
    let sound = if label == b"OPENSSH PRIVATE KEY" {
        is_openssh(&der)
    } else {
        is_der(&der)
    };
    let stop = end + body_start + body_len;
    sound.then_some(Spot {
        secret: at..stop,
        user: None,
        form: Form::Never,
        prefix: "-----BEGIN",
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

/// `openssh-key-v1`, NUL, cipher `none` (PROTOCOL.key of OpenSSH).
fn is_openssh(bytes: &[u8]) -> bool {
    bytes
        .strip_prefix(b"openssh-key-v1\0")
        .is_some_and(|rest| rest.starts_with(b"\0\0\0\x04none\0\0\0\x04none") && rest.len() > 100)
}

/// A SEQUENCE that is as long as it says, its first member an INTEGER (the version, X.690 §8.9, §8.3).
fn is_der(bytes: &[u8]) -> bool {
    let inner = match bytes {
        [0x30, len @ 0..=0x7f, rest @ ..] if rest.len() == usize::from(*len) => rest,
        [0x30, 0x81, len, rest @ ..] if rest.len() == usize::from(*len) => rest,
        [0x30, 0x82, high, low, rest @ ..]
            if rest.len() == usize::from(u16::from_be_bytes([*high, *low])) =>
        {
            rest
        }
        _ => return false,
    };
    inner.starts_with(&[0x02, 0x01]) && inner.len() >= 32
}
