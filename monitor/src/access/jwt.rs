//! JSON Web Tokens (RFC 7519), read without verification.
//!
//! Nobody here has the keys, so what a token claims is what it claims. Its signature is what makes it a
//! secret: that part is looked at only to see that it is base64url.

use std::fmt;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroize;

use super::{Claims, Confirmation};

/// Longest header or payload (decoded) that is read. A longer token is still a JWT, but says nothing.
pub const MAX_PART: usize = 8 * 1024;
/// Longest claim that is kept. An `iss` cut short could name someone else, so a longer one is left out.
pub const MAX_CLAIM: usize = 256;
/// Most audiences and methods that are kept.
pub const MAX_LIST: usize = 8;

/// Without padding as the RFC has it, though some add it; trailing bits are nobody's business here.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

fn is_base64url(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=')
}

/// The three parts of compact serialisation (RFC 7515 §7.1), of which only the signature may be empty.
fn parts(token: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = token.split(|byte| *byte == b'.');
    let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let sound = parts.next().is_none()
        && !header.is_empty()
        && !payload.is_empty()
        && [header, payload, signature]
            .iter()
            .all(|part| part.iter().all(is_base64url));
    sound.then_some((header, payload))
}

/// Whether a text has the outer form of a JWT: three base64url parts, the first beginning as `{"` or
/// `{` and a line break does.
/// Cheap; says yes to things that [`read`] refuses.
#[must_use]
pub fn looks_like(token: &[u8]) -> bool {
    token.len() >= 24
        && (token.starts_with(b"ey") || token.starts_with(b"ew"))
        && parts(token).is_some()
}

/// Claims of a JWT, or `None` when it is none: not three base64url parts, a header that is no JSON object
/// with an `alg`, or a payload that is no JSON object.
///
/// `scratch` holds the decoded parts while they are read, and is wiped; give it [`MAX_PART`] bytes of
/// capacity, or growing it leaves copies behind.
#[must_use]
pub fn read(token: &[u8], scratch: &mut Vec<u8>) -> Option<Claims> {
    let (header, payload) = parts(token)?;
    let header: Header = decoded(header, scratch, |json| serde_json::from_slice(json).ok())??;
    if !header.has_alg {
        return None;
    }
    match decoded(payload, scratch, |json| {
        serde_json::from_slice::<Payload>(json).ok()
    }) {
        Some(payload) => payload.map(|payload| payload.0),
        // Too long to be read.
        None => Some(Claims::default()),
    }
}

/// Runs `f` on the decoded part. `None` when it is too long; a part that does not decode is empty.
fn decoded<R>(part: &[u8], scratch: &mut Vec<u8>, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
    let room = base64::decoded_len_estimate(part.len());
    if room > MAX_PART {
        return None;
    }
    scratch.clear();
    scratch.resize(room, 0);
    let len = BASE64URL.decode_slice(part, scratch).unwrap_or(0);
    let result = f(scratch.get(..len).unwrap_or(&[]));
    scratch.as_mut_slice().zeroize();
    scratch.clear();
    Some(result)
}

/// What a token is called without a policy: issuer and subject, or client when it has no subject. `None` when
/// it names neither.
///
/// `,` and `%` inside a value are escaped, so that no value can pass for two.
#[must_use]
pub fn identity(claims: &Claims) -> Option<String> {
    let (name, value) = match (&claims.subject, &claims.client) {
        (Some(subject), _) => ("sub", subject),
        (None, Some(client)) => ("client", client),
        (None, None) => return None,
    };
    let mut out = String::from("jwt:");
    if let Some(issuer) = &claims.issuer {
        out.push_str("iss=");
        escape(issuer, &mut out);
        out.push(',');
    }
    out.push_str(name);
    out.push('=');
    escape(value, &mut out);
    Some(out)
}

fn escape(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            ',' => out.push_str("%2C"),
            '%' => out.push_str("%25"),
            other => out.push(other),
        }
    }
}

struct Header {
    has_alg: bool,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Header;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JOSE header")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header { has_alg: false };
                while let Some(Text(key)) = map.next_key()? {
                    let Text(value) = map.next_value()?;
                    header.has_alg |= key.as_deref() == Some("alg") && value.is_some();
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Repeated names: the last one counts, as RFC 7519 §4 allows and most parsers do.
struct Payload(Claims);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Payload;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a claims set")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Payload, A::Error> {
                let mut claims = Claims::default();
                let (mut azp, mut client, mut scope, mut scp) = (None, None, None, None);
                while let Some(Text(key)) = map.next_key()? {
                    match key.as_deref() {
                        Some("iss") => claims.issuer = map.next_value::<Text>()?.0,
                        Some("sub") => claims.subject = map.next_value::<Text>()?.0,
                        Some("aud") => claims.audience = map.next_value::<List>()?.0,
                        Some("azp") => azp = map.next_value::<Text>()?.0,
                        Some("client_id") => client = map.next_value::<Text>()?.0,
                        Some("scope") => scope = map.next_value::<Scope>()?.0,
                        Some("scp") => scp = map.next_value::<Scope>()?.0,
                        Some("exp") => claims.expires = map.next_value::<Date>()?.0,
                        Some("jti") => claims.token_id = map.next_value::<Text>()?.0,
                        Some("amr") => claims.methods = map.next_value::<List>()?.0,
                        Some("cnf") => claims.confirmation = map.next_value::<Binding>()?.0,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                claims.client = azp.or(client);
                claims.scope = scope.or(scp);
                Ok(Payload(claims))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Reads any JSON value; a subclass of values is kept, the rest is `Default`.
macro_rules! lenient {
    ($(#[$doc:meta])* $name:ident($inner:ty) { $($body:tt)* }) => {
        $(#[$doc])*
        #[derive(Default)]
        struct $name($inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Any;
                impl<'de> Visitor<'de> for Any {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("any value")
                    }
                    $($body)*
                }
                deserializer.deserialize_any(Any)
            }
        }
    };
}

macro_rules! ignore {
    (unit) => {
        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
        fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
    (number) => {
        fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
        fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
        fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
    (map) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
    (seq) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
}

fn kept(text: &str) -> Option<Box<str>> {
    (!text.is_empty() && text.len() <= MAX_CLAIM).then(|| text.into())
}

lenient! {
    /// A string of at most [`MAX_CLAIM`] bytes, or an integer written as one (some issuers number subjects).
    Text(Option<Box<str>>) {
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
            Ok(Text(kept(text)))
        }
        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text, E> {
            Ok(Text(Some(number.to_string().into())))
        }
        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text, E> {
            Ok(Text(Some(number.to_string().into())))
        }
        fn visit_f64<E: de::Error>(self, _: f64) -> Result<Text, E> {
            Ok(Text(None))
        }
        ignore!(unit);
        ignore!(map);
        ignore!(seq);
    }
}

lenient! {
    /// A string or an array of strings (RFC 7519 §4.1.3).
    List(Vec<Box<str>>) {
        fn visit_str<E: de::Error>(self, text: &str) -> Result<List, E> {
            Ok(List(kept(text).into_iter().collect()))
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List, A::Error> {
            let mut list = Vec::new();
            while let Some(Text(text)) = seq.next_element()? {
                if list.len() < MAX_LIST {
                    list.extend(text);
                }
            }
            Ok(List(list))
        }
        ignore!(unit);
        ignore!(number);
        ignore!(map);
    }
}

lenient! {
    /// Scopes, blank separated (RFC 8693 §4.2) or an array; what does not fit is left out whole.
    Scope(Option<Box<str>>) {
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Scope, E> {
            Ok(Scope(joined(text.split(' '))))
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scope, A::Error> {
            let mut list = Vec::new();
            while let Some(Text(text)) = seq.next_element()? {
                if list.len() < 64 {
                    list.extend(text);
                }
            }
            Ok(Scope(joined(list.iter().map(|text| &**text))))
        }
        ignore!(unit);
        ignore!(number);
        ignore!(map);
    }
}

fn joined<'a>(scopes: impl Iterator<Item = &'a str>) -> Option<Box<str>> {
    let mut out = String::new();
    for scope in scopes.filter(|scope| !scope.is_empty()) {
        if out.len() + 1 + scope.len() <= MAX_CLAIM {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(scope);
        }
    }
    (!out.is_empty()).then(|| out.into())
}

lenient! {
    /// NumericDate (RFC 7519 §2), which may have a fraction.
    Date(Option<i64>) {
        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Date, E> {
            Ok(Date(Some(number)))
        }
        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Date, E> {
            Ok(Date(Some(i64::try_from(number).unwrap_or(i64::MAX))))
        }
        fn visit_f64<E: de::Error>(self, number: f64) -> Result<Date, E> {
            // Saturates; a JSON number is never NaN.
            Ok(Date(Some(number.floor() as i64)))
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Date, E> {
            Ok(Date(text.parse().ok()))
        }
        ignore!(unit);
        ignore!(map);
        ignore!(seq);
    }
}

lenient! {
    /// `cnf` (RFC 7800): the thumbprint of the key that the token is bound to.
    Binding(Option<Confirmation>) {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Binding, A::Error> {
            let (mut jkt, mut x5t) = (None, None);
            while let Some(Text(key)) = map.next_key()? {
                let Text(value) = map.next_value()?;
                match key.as_deref() {
                    Some("jkt") => jkt = value,
                    Some("x5t#S256") => x5t = value,
                    _ => {}
                }
            }
            let jkt = jkt.map(Confirmation::Key);
            Ok(Binding(jkt.or(x5t.map(Confirmation::Certificate))))
        }
        fn visit_str<E: de::Error>(self, _: &str) -> Result<Binding, E> {
            Ok(Binding(None))
        }
        ignore!(unit);
        ignore!(number);
        ignore!(seq);
    }
}

#[cfg(test)]
mod tests;
