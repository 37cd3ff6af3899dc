//! Keyed fingerprints of credentials.

use std::fmt;
use std::str::FromStr;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Prefix of a printed fingerprint; names the scheme (keyed BLAKE3, first 128 bits).
const PREFIX: &str = "bw1:";

/// Keyed BLAKE3 of a credential, first 128 bits; printed `bw1:` and 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 16]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not `bw1:` and 32 hex digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a fingerprint is bw1: and 32 hexadecimal digits")]
pub struct BadFingerprint;

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Self, BadFingerprint> {
        let hex = text.strip_prefix(PREFIX).ok_or(BadFingerprint)?.as_bytes();
        if hex.len() != 32 {
            return Err(BadFingerprint);
        }
        let digit = |c: u8| char::from(c).to_digit(16).ok_or(BadFingerprint);
        let mut out = [0; 16];
        for (slot, pair) in out.iter_mut().zip(hex.chunks_exact(2)) {
            let [high, low] = pair else {
                return Err(BadFingerprint);
            };
            // Two hex digits always fit.
            *slot = u8::try_from(digit(*high)? << 4 | digit(*low)?).map_err(|_| BadFingerprint)?;
        }
        Ok(Self(out))
    }
}

/// This host's secret key for fingerprints: 32 random bytes, zeroised when dropped, never formatted.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct FingerprintKey([u8; 32]);

impl FingerprintKey {
    /// Wraps a key.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Fingerprint of a secret. The same secret gives the same fingerprint wherever it stood
    /// (header, query, path, file).
    #[must_use]
    pub fn fingerprint(&self, secret: &[u8]) -> Fingerprint {
        let hash = blake3::keyed_hash(&self.0, secret);
        let mut out = [0; 16];
        for (slot, byte) in out.iter_mut().zip(hash.as_bytes()) {
            *slot = *byte;
        }
        Fingerprint(out)
    }

    /// Fills `out` with key material of its own for `context`: BLAKE3's key derivation mode, so that no
    /// fingerprint says anything of it.
    pub(crate) fn derive(&self, context: &'static str, out: &mut [u8]) {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(&self.0);
        let mut reader = hasher.finalize_xof();
        reader.fill(out);
        reader.zeroize();
        hasher.zeroize();
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses() {
        let print = FingerprintKey::new([7; 32]).fingerprint(b"secret");
        let text = print.to_string();
        assert_eq!(text.len(), 36);
        assert_eq!(text.parse(), Ok(print));
        assert_eq!("bw1:12".parse::<Fingerprint>(), Err(BadFingerprint));
        assert_eq!(
            "bw1:zz345678901234567890123456789012".parse::<Fingerprint>(),
            Err(BadFingerprint)
        );
    }

    #[test]
    fn depends_on_key_and_secret() {
        let one = FingerprintKey::new([1; 32]);
        let two = FingerprintKey::new([2; 32]);
        assert_ne!(one.fingerprint(b"a"), two.fingerprint(b"a"));
        assert_ne!(one.fingerprint(b"a"), one.fingerprint(b"b"));
    }
}
