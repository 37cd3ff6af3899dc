//! Scratch credentials: made for one drill, worth nothing anywhere.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Issuer of the drill's tokens.
pub(crate) const ISSUER: &str = "https://idp.drill.example";

/// Random bytes; the system's source does not fail once it is seeded.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // Without randomness two runs would share names of credentials, nothing worse.
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(at % 251).unwrap_or(0);
        }
    }
    bytes
}

/// An opaque token.
pub(crate) fn token() -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let text = random::<36>().map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
    format!("bwdrill_{}", text.iter().collect::<String>())
}

/// 64 hexadecimal digits for a name, as container runtimes give them.
pub(crate) fn id(name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key of the webhooks, 32 bytes.
pub(crate) fn webhook_key() -> [u8; 32] {
    random()
}

/// A token with these claims beside issuer and subject. Its signature is noise: the drill's server looks at
/// none.
pub(crate) fn jwt(subject: &str, more: &Value) -> String {
    let mut claims = json!({ "iss": ISSUER, "sub": subject, "jti": token() });
    if let (Some(claims), Some(more)) = (claims.as_object_mut(), more.as_object()) {
        claims.extend(more.clone());
    }
    let head = json!({ "alg": "ES256", "typ": "JWT" });
    format!(
        "{}.{}.{}",
        base64(head.to_string()),
        base64(claims.to_string()),
        base64(random::<64>())
    )
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key that signs DPoP proofs with ES256.
pub(crate) struct Signer {
    pair: EcdsaKeyPair,
}

impl Signer {
    /// A new key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(crate) fn new() -> Result<Self, ring::error::Unspecified> {
        let random = SystemRandom::new();
        let how = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(how, &random)?;
        let pair = EcdsaKeyPair::from_pkcs8(how, document.as_ref(), &random)
            .map_err(|_| ring::error::Unspecified)?;
        Ok(Self { pair })
    }

    /// X and Y of the public key.
    fn point(&self) -> (String, String) {
        // 0x04, then 32 bytes each (SEC 1, 2.3.3).
        let point = self.pair.public_key().as_ref();
        let half = point.len() / 2;
        (base64(&point[1..=half]), base64(&point[half + 1..]))
    }

    /// Thumbprint (RFC 7638) as in `cnf.jkt`.
    pub(crate) fn thumbprint(&self) -> String {
        let (x, y) = self.point();
        let key = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        base64(Sha256::digest(key.as_bytes()))
    }

    /// A proof for one request with this token, made now (seconds since 1970).
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(crate) fn proof(
        &self,
        method: &str,
        url: &str,
        token: &str,
        now: i64,
    ) -> Result<String, ring::error::Unspecified> {
        let (x, y) = self.point();
        let head = json!({
            "typ": "dpop+jwt", "alg": "ES256", "jwk": { "kty": "EC", "crv": "P-256", "x": x, "y": y },
        });
        let claims = json!({
            "jti": base64(random::<12>()), "htm": method, "htu": url, "iat": now,
            "ath": base64(Sha256::digest(token.as_bytes())),
        });
        let signed = format!(
            "{}.{}",
            base64(head.to_string()),
            base64(claims.to_string())
        );
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes())?;
        Ok(format!("{signed}.{}", base64(signature.as_ref())))
    }
}
