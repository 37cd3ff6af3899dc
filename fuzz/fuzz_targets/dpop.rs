#![no_main]
//! Any proof, and any header and claims in the right dress, against any request.

use bailiwick::access::FingerprintKey;
use bailiwick::access::dpop::{Asked, Checker, Signature, Token};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    method: &'a str,
    host: &'a str,
    forwarded: &'a [u8],
    path: &'a [u8],
    token: &'a [u8],
    header: &'a [u8],
    /// Whether the header is only a key's members, inside a sound one.
    key: bool,
    claims: &'a [u8],
    /// Whether the claims are only an address, inside sound ones.
    address: bool,
    signature: &'a [u8],
    raw: &'a [u8],
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for i in 0..=chunk.len() {
            out.push(char::from(DIGITS[(word >> (18 - 6 * i) & 63) as usize]));
        }
    }
    out
}

fuzz_target!(|input: Input<'_>| {
    let mut checker = Checker::new(&FingerprintKey::new([7; 32]), 1_000_000);
    let header = match input.key {
        true => [
            b"{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{",
            input.header,
            b"}}",
        ]
        .concat(),
        false => input.header.to_vec(),
    };
    let claims = match input.address {
        true => [
            b"{\"jti\":\"1\",\"htm\":\"GET\",\"iat\":1,\"htu\":\"",
            input.claims,
            b"\"}",
        ]
        .concat(),
        false => input.claims.to_vec(),
    };
    let dressed = format!(
        "{}.{}.{}",
        base64url(&header),
        base64url(&claims),
        base64url(input.signature)
    );
    let asked = Asked {
        method: input.method,
        host: input.host,
        forwarded: &[input.forwarded],
        path: Some(input.path),
        token: Some(Token::new(input.token, None, true)),
    };
    for field in [input.raw, dressed.as_bytes()] {
        let proof = checker.check(&[field], &asked);
        let again = checker.check(&[field], &asked);
        assert_eq!(proof, again);
        assert_eq!(proof.id.is_some(), proof.thumbprint.is_some());
        assert_eq!(proof.signature == Signature::Unread, proof.id.is_none());
    }
    assert_eq!(checker.stats().seen, 4);
});
