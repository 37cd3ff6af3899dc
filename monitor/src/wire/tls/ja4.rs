//! JA4, the fingerprint of a TLS client (FoxIO's published method, BSD-licensed; TLS over TCP).

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::hello::ClientHello;

const NAMES: [u16; 2] = [0x0000, 0x0010];

/// Fingerprint of a ClientHello, such as `t13d1516h2_8daaf6152771_e5627efa2ab1`: 36 characters.
#[must_use]
pub fn ja4(hello: &ClientHello) -> String {
    let ciphers = plain(&hello.ciphers);
    let extensions = plain(&hello.extensions);
    let mut out = String::with_capacity(40);
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "t{}{}{:02}{:02}",
        version(hello),
        if hello.extensions.contains(&0) {
            'd'
        } else {
            'i'
        },
        ciphers.len().min(99),
        extensions.len().min(99),
    );
    out.extend(alpn(hello.alpn.first().map(Vec::as_slice)));
    out.push('_');
    out.push_str(&digest(&list(sorted(ciphers))));
    out.push('_');
    let mut third = list(sorted(
        extensions
            .iter()
            .copied()
            .filter(|kind| !NAMES.contains(kind))
            .collect(),
    ));
    let signatures = plain(&hello.signatures);
    if !third.is_empty() && !signatures.is_empty() {
        third.push('_');
        third.push_str(&list(signatures));
    }
    out.push_str(&digest(&third));
    out
}

/// Without GREASE (RFC 8701).
fn plain(numbers: &[u16]) -> Vec<u16> {
    let grease = |number: u16| number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff;
    numbers
        .iter()
        .copied()
        .filter(|number| !grease(*number))
        .collect()
}

fn sorted(mut numbers: Vec<u16>) -> Vec<u16> {
    numbers.sort_unstable();
    numbers
}

fn list(numbers: Vec<u16>) -> String {
    let mut out = String::with_capacity(numbers.len() * 5);
    for (n, number) in numbers.into_iter().enumerate() {
        let comma = if n > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{number:04x}");
    }
    out
}

/// First 12 hex digits of SHA-256; zeros for nothing.
fn digest(text: &str) -> String {
    if text.is_empty() {
        return "000000000000".to_owned();
    }
    let mut out = String::with_capacity(12);
    for byte in Sha256::digest(text.as_bytes()).iter().take(6) {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn version(hello: &ClientHello) -> &'static str {
    let highest = plain(&hello.versions).into_iter().max();
    match highest.unwrap_or(hello.version) {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// First and last character of the first protocol; of its hex form where they are not letters or digits.
fn alpn(first: Option<&[u8]>) -> [char; 2] {
    let Some((Some(a), Some(z))) = first.map(|name| (name.first(), name.last())) else {
        return ['0', '0'];
    };
    let hex = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    if a.is_ascii_alphanumeric() && z.is_ascii_alphanumeric() {
        [char::from(*a), char::from(*z)]
    } else {
        [hex(a >> 4), hex(z & 15)]
    }
}
