//! Checksums that issuers put into their tokens, so that a text can be told from a token without asking them.

/// Digits of the base-62 numbers in tokens: 0–9, A–Z, a–z.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// CRC-32 (ISO-HDLC, as of zlib): reflected, polynomial 0x04C11DB7. Tokens are short: no table.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let mask = (crc & 1).wrapping_neg();
            crc = (crc >> 1) ^ (0xEDB8_8320 & mask);
        }
    }
    !crc
}

/// A number as six digits in base 62, the highest first: 62⁶ is more than 2³².
pub(super) fn base62(mut number: u32) -> [u8; 6] {
    let mut out = [b'0'; 6];
    for slot in out.iter_mut().rev() {
        if let Some(digit) = BASE62.get((number % 62) as usize) {
            *slot = *digit;
        }
        number /= 62;
    }
    out
}

/// Whether the last six bytes are the CRC-32 of those before them in base 62. GitHub's tokens (`ghp_` …, blog of
/// 2021-04-05) and npm's (`npm_`) have 30 random characters and then this.
pub(super) fn base62_crc32(body: &[u8]) -> bool {
    let Some((random, sum)) = body
        .len()
        .checked_sub(6)
        .and_then(|at| body.split_at_checked(at))
    else {
        return false;
    };
    sum == base62(crc32(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_that_of_zlib() {
        // The check value of the catalogue of parametrised CRCs.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn base62_has_six_digits() {
        assert_eq!(&base62(0), b"000000");
        assert_eq!(&base62(61), b"00000z");
        assert_eq!(&base62(62), b"000010");
        assert_eq!(&base62(u32::MAX), b"4gfFC3");
    }

    #[test]
    fn one_changed_byte_breaks_it() {
        let mut body = b"abcdefghijklmnopqrstuvwxyz0123".to_vec();
        body.extend_from_slice(&base62(crc32(&body)));
        assert!(base62_crc32(&body));
        for at in 0..body.len() {
            let mut other = body.clone();
            if let Some(byte) = other.get_mut(at) {
                *byte ^= 1;
            }
            assert!(!base62_crc32(&other), "{at}");
        }
        assert!(!base62_crc32(b"short"));
    }
}
