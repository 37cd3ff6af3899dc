//! The parts of a proof as they stand: compact serialisation (RFC 7515 §7.1), header and claims
//! (RFC 9449 §4.2).
//!
//! Strict where the receiver of a token is not: a name that stands twice, a value of the wrong type and base64
//! with bits to spare are refused, so that no two texts are one proof.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, Visitor};

/// A JWS in compact serialisation.
pub(super) struct Jws<'a> {
    pub(super) header: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) signature: &'a [u8],
    /// What is signed: header and payload with the dot between them.
    pub(super) signed: &'a [u8],
}

impl<'a> Jws<'a> {
    pub(super) fn split(text: &'a [u8]) -> Option<Self> {
        let last = memchr::memrchr(b'.', text)?;
        let signed = text.get(..last)?;
        let signature = text.get(last + 1..)?;
        let first = memchr::memchr(b'.', signed)?;
        let header = signed.get(..first)?;
        let payload = signed.get(first + 1..)?;
        let sound = ![header, payload, signature]
            .iter()
            .any(|part| part.is_empty())
            && !payload.contains(&b'.');
        sound.then_some(Self {
            header,
            payload,
            signature,
            signed,
        })
    }
}

/// Decodes into `out`, whatever it held.
pub(super) fn decode(part: &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    out.resize(base64::decoded_len_estimate(part.len()), 0);
    let len = URL_SAFE_NO_PAD.decode_slice(part, out).ok()?;
    out.truncate(len);
    Some(())
}

/// A string that is borrowed where it can be.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Any)
    }
}

#[derive(Deserialize)]
pub(super) struct Header<'a> {
    #[serde(borrow)]
    pub(super) typ: Option<Text<'a>>,
    pub(super) alg: Option<Text<'a>>,
    pub(super) jwk: Option<Jwk<'a>>,
    /// Extensions that must be understood: none is.
    pub(super) crit: Option<IgnoredAny>,
}

/// A key (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
#[derive(Deserialize)]
pub(super) struct Jwk<'a> {
    #[serde(borrow)]
    pub(super) kty: Option<Text<'a>>,
    pub(super) crv: Option<Text<'a>>,
    pub(super) x: Option<Text<'a>>,
    pub(super) y: Option<Text<'a>>,
    pub(super) n: Option<Text<'a>>,
    pub(super) e: Option<Text<'a>>,
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    dp: Option<IgnoredAny>,
    dq: Option<IgnoredAny>,
    qi: Option<IgnoredAny>,
    oth: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
}

impl Jwk<'_> {
    pub(super) fn is_private(&self) -> bool {
        [
            &self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi, &self.oth, &self.k,
        ]
        .iter()
        .any(|member| member.is_some())
    }
}

#[derive(Deserialize)]
pub(super) struct Claims<'a> {
    #[serde(borrow)]
    pub(super) jti: Option<Text<'a>>,
    pub(super) htm: Option<Text<'a>>,
    pub(super) htu: Option<Text<'a>>,
    pub(super) iat: Option<f64>,
    pub(super) ath: Option<Text<'a>>,
    pub(super) nonce: Option<Text<'a>>,
}
