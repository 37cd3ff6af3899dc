#![no_main]
//! Any token, and any header and payload in the right dress.

use bailiwick::access::{Confirmation, jwt};
use libfuzzer_sys::fuzz_target;

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

fn check(token: &[u8], scratch: &mut Vec<u8>) {
    let claims = jwt::read(token, scratch);
    assert!(scratch.is_empty());
    let _ = jwt::looks_like(token);
    if let Some(claims) = claims {
        let texts = [
            &claims.issuer,
            &claims.subject,
            &claims.client,
            &claims.scope,
            &claims.token_id,
        ];
        assert!(
            texts
                .into_iter()
                .flatten()
                .all(|text| text.len() <= jwt::MAX_CLAIM)
        );
        assert!(claims.audience.len() <= jwt::MAX_LIST && claims.methods.len() <= jwt::MAX_LIST);
        if let Some(Confirmation::Key(text) | Confirmation::Certificate(text)) =
            &claims.confirmation
        {
            assert!(text.len() <= jwt::MAX_CLAIM);
        }
        if let Some(identity) = jwt::identity(&claims) {
            assert!(identity.starts_with("jwt:") && identity.len() <= 16 + 6 * jwt::MAX_CLAIM);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut scratch = Vec::with_capacity(jwt::MAX_PART);
    check(data, &mut scratch);
    let header = base64url(br#"{"alg":"RS256"}"#);
    check(
        format!("{header}.{}.c2ln", base64url(data)).as_bytes(),
        &mut scratch,
    );
    check(
        format!("{}.e30.c2ln", base64url(data)).as_bytes(),
        &mut scratch,
    );
});
