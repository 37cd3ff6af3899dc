//! Public keys: read, named by their thumbprint, and asked about signatures.

use std::fmt::Write as _;

use arrayvec::ArrayString;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey,
};

use super::Thumbprint;
use super::jose::{Jwk, Text};

/// Bytes of the largest RSA modulus that is verified with (8192 bits).
const MAX_MODULUS: usize = 1024;
/// Bytes of the smallest (2048 bits; RFC 7518 §3.3).
const MIN_MODULUS: usize = 256;
/// Bytes of the largest exponent: 65537 has three.
const MAX_EXPONENT: usize = 4;

/// `alg` (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Es256,
    Es384,
    Ed25519,
    Rsa(Rsa),
    /// No signature, or one that its verifier could make too.
    Refused,
    /// Perhaps a good one.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rsa {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
}

impl Algorithm {
    pub(super) fn named(alg: &str) -> Self {
        match alg {
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" | "Ed25519" => Self::Ed25519,
            "RS256" => Self::Rsa(Rsa::Rs256),
            "RS384" => Self::Rsa(Rsa::Rs384),
            "RS512" => Self::Rsa(Rsa::Rs512),
            "PS256" => Self::Rsa(Rsa::Ps256),
            "PS384" => Self::Rsa(Rsa::Ps384),
            "PS512" => Self::Rsa(Rsa::Ps512),
            "HS256" | "HS384" | "HS512" => Self::Refused,
            alg if alg.eq_ignore_ascii_case("none") => Self::Refused,
            _ => Self::Unknown,
        }
    }
}

impl Rsa {
    fn parameters(self) -> &'static RsaParameters {
        match self {
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &RSA_PSS_2048_8192_SHA512,
        }
    }
}

/// A public key.
pub(super) enum Key {
    /// Uncompressed points (SEC 1 §2.3.3).
    P256([u8; 65]),
    P384([u8; 97]),
    Ed25519([u8; 32]),
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// Not what its type says.
    Broken,
    /// Of a curve or type, or longer than, what is known here.
    Unknown,
}

fn text<'a>(text: &'a Option<Text<'_>>) -> &'a str {
    text.as_ref().map_or("", |text| &text.0)
}

/// A point that is exactly as long as its curve says.
fn point<const N: usize>(x: &str, y: &str) -> Option<[u8; N]> {
    let mut point = [0; N];
    let (form, coordinates) = point.split_first_mut()?;
    *form = 4;
    let (left, right) = coordinates.split_at_mut(N / 2);
    for (slot, text) in [(left, x), (right, y)] {
        let len = slot.len();
        if URL_SAFE_NO_PAD.decode_slice(text, slot) != Ok(len) {
            return None;
        }
    }
    Some(point)
}

/// An unsigned number in as few bytes as it takes (RFC 7518 §2). `None`: too long; empty: not that.
fn number<const N: usize>(text: &str) -> Option<Vec<u8>> {
    let mut bytes = [0; N];
    let number = match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(len) => bytes.get(..len).unwrap_or_default(),
        Err(base64::DecodeSliceError::OutputSliceTooSmall) => return None,
        Err(base64::DecodeSliceError::DecodeError(_)) => &[],
    };
    let number = if number.first() == Some(&0) {
        &[]
    } else {
        number
    };
    Some(number.to_vec())
}

impl Key {
    pub(super) fn read(jwk: &Jwk<'_>) -> Self {
        let (x, y) = (text(&jwk.x), text(&jwk.y));
        match (text(&jwk.kty), text(&jwk.crv)) {
            ("EC", "P-256") => point(x, y).map_or(Self::Broken, Self::P256),
            ("EC", "P-384") => point(x, y).map_or(Self::Broken, Self::P384),
            ("OKP", "Ed25519") => {
                let mut key = [0; 32];
                match URL_SAFE_NO_PAD.decode_slice(x, &mut key) {
                    Ok(32) => Self::Ed25519(key),
                    _ => Self::Broken,
                }
            }
            ("RSA", _) => match (
                number::<MAX_MODULUS>(text(&jwk.n)),
                number::<MAX_EXPONENT>(text(&jwk.e)),
            ) {
                (Some(modulus), Some(exponent)) => {
                    if modulus.len() < MIN_MODULUS || exponent.is_empty() {
                        Self::Broken
                    } else {
                        Self::Rsa { modulus, exponent }
                    }
                }
                _ => Self::Unknown,
            },
            ("oct", _) => Self::Broken,
            _ => Self::Unknown,
        }
    }

    /// Whether the algorithm is one for such keys.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        matches!(
            (self, algorithm),
            (Self::P256(_), Algorithm::Es256)
                | (Self::P384(_), Algorithm::Es384)
                | (Self::Ed25519(_), Algorithm::Ed25519)
                | (Self::Rsa { .. }, Algorithm::Rsa(_))
        )
    }

    /// What verifying costs, in microseconds, rounded up: measured were 55 (P-256), 800 (P-384), 45 (Ed25519)
    /// and 20 (RSA, 2048 bits).
    pub(super) fn cost_us(&self) -> u32 {
        match self {
            Self::P256(_) => 100,
            Self::P384(_) => 1000,
            Self::Ed25519(_) => 100,
            Self::Rsa { modulus, exponent } => {
                // Quadratic in the modulus, linear in the exponent's length.
                let words = u32::try_from(modulus.len() / 128).unwrap_or(8);
                let long = u32::try_from(exponent.len()).unwrap_or(4).max(3);
                words * words * long * 4
            }
            Self::Broken | Self::Unknown => 0,
        }
    }

    pub(super) fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let verified = match (self, algorithm) {
            (Self::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
            (Self::P384(point), Algorithm::Es384) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(signed, signature)
            }
            (Self::Ed25519(key), Algorithm::Ed25519) => {
                UnparsedPublicKey::new(&ED25519, key).verify(signed, signature)
            }
            (Self::Rsa { modulus, exponent }, Algorithm::Rsa(kind)) => RsaPublicKeyComponents {
                n: modulus,
                e: exponent,
            }
            .verify(kind.parameters(), signed, signature),
            _ => return false,
        };
        verified.is_ok()
    }
}

impl Jwk<'_> {
    /// SHA-256 of the required members in lexical order (RFC 7638 §3, RFC 8037 §2). `None` when one is
    /// missing, or holds what would have to be escaped: base64url and names of curves do not.
    pub(super) fn thumbprint(&self) -> Option<Thumbprint> {
        let kty = text(&self.kty);
        let members: &[(&str, &str)] = match kty {
            "EC" => &[
                ("crv", text(&self.crv)),
                ("kty", kty),
                ("x", text(&self.x)),
                ("y", text(&self.y)),
            ],
            "OKP" => &[("crv", text(&self.crv)), ("kty", kty), ("x", text(&self.x))],
            "RSA" => &[("e", text(&self.e)), ("kty", kty), ("n", text(&self.n))],
            _ => return None,
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let mut hash = Context::new(&SHA256);
        for (at, (name, value)) in members.iter().enumerate() {
            if value.is_empty() || !value.bytes().all(plain) {
                return None;
            }
            let mut before = ArrayString::<16>::new();
            let open = if at == 0 { '{' } else { ',' };
            write!(before, "{open}\"{name}\":\"").ok()?;
            hash.update(before.as_bytes());
            hash.update(value.as_bytes());
            hash.update(b"\"");
        }
        hash.update(b"}");
        let mut thumbprint = [0; 32];
        thumbprint
            .iter_mut()
            .zip(hash.finish().as_ref())
            .for_each(|(slot, byte)| *slot = *byte);
        Some(Thumbprint(thumbprint))
    }
}
