//! DPoP proofs (RFC 9449): read, and checked against the request and the token beside them.
//!
//! A proof is a JWS in the field `DPoP` that says, signed by a key that it carries: this key's holder makes
//! this request, now, with this token. What can be checked from the wire is checked here: form, signature,
//! method, address, token and key. Whether it is too old or was used before is for the judge, who knows the
//! time and the past.
//!
//! A proof is no secret once it was used, but it is short of one until then: nothing of it leaves but a
//! [`Proof`], which has the key's thumbprint and a keyed hash of key and `jti`.

mod budget;
mod jose;
mod key;
mod target;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use zeroize::{Zeroize, Zeroizing};

use self::budget::Budget;
use self::jose::{Claims, Header, Jws};
use self::key::{Algorithm, Key};
use self::target::Places;
use super::FingerprintKey;

/// Longest proof that is read, in bytes.
pub const MAX_PROOF: usize = 8 * 1024;
/// What signatures may cost where the configuration says nothing, in microseconds of one processor a second.
pub const DEFAULT_ALLOWANCE_US: u32 = 100_000;

/// SHA-256 thumbprint of a public key (RFC 7638 §3); printed as base64url, as in `cnf.jkt`. Public.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thumbprint(pub [u8; 32]);

impl Thumbprint {
    /// Whether `text` is this thumbprint, printed. Does not allocate.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        encoded(&self.0).as_slice() == text.as_bytes()
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&encoded(&self.0)).unwrap_or_default())
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// base64url of 32 bytes.
fn encoded(hash: &[u8; 32]) -> [u8; 43] {
    let mut text = [0; 43];
    // 32 bytes are 43 digits: it fits.
    let _ = URL_SAFE_NO_PAD.encode_slice(hash, &mut text);
    text
}

/// Keyed hash of a proof's key and `jti`: the same for the same proof, and says nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProofId(pub [u8; 16]);

/// What became of a proof's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// It is the embedded key's.
    Valid,
    /// It is not.
    Invalid,
    /// Not looked at: the second's allowance was used up.
    Unverified,
    /// Of an algorithm that is not known here.
    Unsupported,
    /// The proof could not be read that far.
    Unread,
    /// The end of the request's head was not seen, and no proof in what was.
    Unseen,
}

impl Signature {
    /// Name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Unverified => "unverified",
            Self::Unsupported => "unsupported",
            Self::Unread => "malformed",
            Self::Unseen => "unseen",
        }
    }
}

/// One thing that is wrong with a proof (RFC 9449 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Flaw {
    /// Not exactly one field, no JWS, no JSON, or a claim is missing.
    Malformed,
    /// `typ` is not `dpop+jwt`.
    Type,
    /// `alg` is `none`, symmetric, or not one of the key's; an RSA key under 2048 bits.
    Algorithm,
    /// The key in the header has its private half.
    PrivateKey,
    /// The signature is not the key's.
    Signature,
    /// `htm` is another method.
    Method,
    /// `htu` names another host or port.
    Host,
    /// `htu` names another path.
    Path,
    /// `ath` is the hash of another token, or missing.
    Token,
    /// The token is bound to another key.
    Key,
}

impl Flaw {
    /// All, in order.
    pub const ALL: [Self; 10] = [
        Self::Malformed,
        Self::Type,
        Self::Algorithm,
        Self::PrivateKey,
        Self::Signature,
        Self::Method,
        Self::Host,
        Self::Path,
        Self::Token,
        Self::Key,
    ];

    /// Name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Type => "typ",
            Self::Algorithm => "alg",
            Self::PrivateKey => "private-key",
            Self::Signature => "signature",
            Self::Method => "htm",
            Self::Host => "htu-host",
            Self::Path => "htu-path",
            Self::Token => "ath",
            Self::Key => "jkt",
        }
    }
}

/// A set of flaws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws(u16);

impl Flaws {
    /// Adds one.
    pub fn insert(&mut self, flaw: Flaw) {
        self.0 |= 1 << flaw as u16;
    }

    /// Takes one out.
    pub fn remove(&mut self, flaw: Flaw) {
        self.0 &= !(1 << flaw as u16);
    }

    /// Whether it is in.
    #[must_use]
    pub fn contains(self, flaw: Flaw) -> bool {
        self.0 & (1 << flaw as u16) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The flaws in order.
    pub fn iter(self) -> impl Iterator<Item = Flaw> {
        Flaw::ALL
            .into_iter()
            .filter(move |flaw| self.contains(*flaw))
    }
}

/// What a request's proof is worth. Holds nothing that would let another use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The signature.
    pub signature: Signature,
    /// What is wrong.
    pub flaws: Flaws,
    /// Of the embedded key, when it could be read.
    pub thumbprint: Option<Thumbprint>,
    /// Of key and `jti`, when both could be read.
    pub id: Option<ProofId>,
    /// `iat`, seconds since 1970.
    pub issued: Option<i64>,
    /// Whether there is a `nonce`: then the server dates the proof by that (RFC 9449 §4.3, 11).
    pub nonce: bool,
    /// The judge's number for it; 0 before it was told.
    pub ticket: u64,
}

impl Proof {
    fn new(signature: Signature) -> Self {
        Self {
            signature,
            flaws: Flaws::default(),
            thumbprint: None,
            id: None,
            issued: None,
            nonce: false,
            ticket: 0,
        }
    }

    fn malformed() -> Self {
        let mut proof = Self::new(Signature::Unread);
        proof.flaws.insert(Flaw::Malformed);
        proof
    }

    /// For a request whose end was not seen: it may have had a proof.
    #[must_use]
    pub fn unseen() -> Self {
        Self::new(Signature::Unseen)
    }

    /// Whether it counts as a proof of this key and no other, as far as it was looked at: a forged one must
    /// not make the real one a replay.
    #[must_use]
    pub fn stands(&self) -> bool {
        matches!(
            self.signature,
            Signature::Valid | Signature::Unverified | Signature::Unsupported
        )
    }
}

/// The token that a proof goes with.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// SHA-256 of the token as sent.
    pub hash: [u8; 32],
    /// `cnf.jkt` of it, if it says so.
    pub key: Option<&'a str>,
    /// Whether it was sent as DPoP-bound, so that `ath` must be there.
    pub bound: bool,
}

impl<'a> Token<'a> {
    /// From the raw token, which is not kept.
    #[must_use]
    pub fn new(raw: &[u8], key: Option<&'a str>, bound: bool) -> Self {
        let mut hash = [0; 32];
        hash.iter_mut()
            .zip(digest(&SHA256, raw).as_ref())
            .for_each(|(slot, byte)| *slot = *byte);
        Self { hash, key, bound }
    }
}

/// What a proof is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Method as sent.
    pub method: &'a str,
    /// Host in normal form, `-` when not known: then none is compared.
    pub host: &'a str,
    /// Hosts that proxies on the way say the client asked for, as sent (`X-Forwarded-Host`,
    /// `Forwarded: host=`); any of them will do too.
    pub forwarded: &'a [&'a [u8]],
    /// Path as sent, without query; `None` when the target has none (`*`, an authority).
    pub path: Option<&'a [u8]>,
    /// Token, when one was sent.
    pub token: Option<Token<'a>>,
}

/// Counts of proofs, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProofStats {
    /// Requests with a field `DPoP`.
    pub seen: u64,
    /// Signatures that were verified, for better or worse.
    pub verified: u64,
    /// Signatures that were not, for want of time.
    pub unverified: u64,
    /// Signatures of algorithms that are not known here.
    pub unsupported: u64,
}

/// Checks proofs. Not `Debug`: it holds keys and what it read last.
pub struct Checker {
    id_key: Zeroizing<[u8; 32]>,
    budget: Budget,
    header: Zeroizing<Vec<u8>>,
    claims: Zeroizing<Vec<u8>>,
    signature: Zeroizing<Vec<u8>>,
    places: Places,
    stats: ProofStats,
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker")
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl Checker {
    /// A checker that may spend `allowance_us` microseconds a second on signatures.
    #[must_use]
    pub fn new(key: &FingerprintKey, allowance_us: u32) -> Self {
        let mut id_key = Zeroizing::new([0; 32]);
        key.derive("bailiwick 2026-11 DPoP proof id key", &mut *id_key);
        Self {
            id_key,
            budget: Budget::new(allowance_us),
            header: Zeroizing::new(Vec::new()),
            claims: Zeroizing::new(Vec::new()),
            signature: Zeroizing::new(Vec::new()),
            places: Places::default(),
            stats: ProofStats::default(),
        }
    }

    /// Changes what signatures may cost, in microseconds a second.
    pub fn allow(&mut self, allowance_us: u32) {
        self.budget = Budget::new(allowance_us);
    }

    /// Tells the time, in ns of any clock that only goes forward.
    pub fn tick(&mut self, now_ns: u64) {
        self.budget.tick(now_ns);
    }

    /// Goes on with the counts of another, which this one stands in for.
    pub fn inherit(&mut self, other: &Self) {
        self.stats = other.stats;
    }

    /// Counts.
    #[must_use]
    pub fn stats(&self) -> ProofStats {
        self.stats
    }

    /// Checks the fields `DPoP` of a request; there should be one.
    pub fn check(&mut self, fields: &[&[u8]], asked: &Asked<'_>) -> Proof {
        self.stats.seen += 1;
        let proof = match fields {
            [field] if field.len() <= MAX_PROOF => self.one(field, asked),
            _ => None,
        };
        for buffer in [&mut *self.header, &mut *self.claims, &mut *self.signature] {
            buffer.as_mut_slice().zeroize();
            buffer.clear();
        }
        match proof.as_ref().map(|proof| proof.signature) {
            Some(Signature::Valid) => self.stats.verified += 1,
            Some(Signature::Invalid) => {
                let looked = |proof: &Proof| !proof.flaws.contains(Flaw::Algorithm);
                self.stats.verified += u64::from(proof.as_ref().is_some_and(looked));
            }
            Some(Signature::Unverified) => self.stats.unverified += 1,
            Some(Signature::Unsupported) => self.stats.unsupported += 1,
            Some(Signature::Unread | Signature::Unseen) | None => {}
        }
        proof.unwrap_or_else(Proof::malformed)
    }

    fn one(&mut self, field: &[u8], asked: &Asked<'_>) -> Option<Proof> {
        let jws = Jws::split(field.trim_ascii())?;
        jose::decode(jws.header, &mut self.header)?;
        jose::decode(jws.payload, &mut self.claims)?;
        jose::decode(jws.signature, &mut self.signature)?;
        let header: Header<'_> = serde_json::from_slice(&self.header).ok()?;
        let claims: Claims<'_> = serde_json::from_slice(&self.claims).ok()?;
        let jwk = header.jwk.as_ref()?;
        let (Some(alg), Some(jti), Some(htm), Some(htu), Some(iat)) = (
            &header.alg,
            &claims.jti,
            &claims.htm,
            &claims.htu,
            claims.iat,
        ) else {
            return None;
        };
        if jti.0.is_empty() || header.crit.is_some() {
            return None;
        }

        let mut proof = Proof::new(Signature::Unread);
        let flaws = &mut proof.flaws;
        if !header.typ.as_ref().is_some_and(|typ| is_type(&typ.0)) {
            flaws.insert(Flaw::Type);
        }
        if jwk.is_private() {
            flaws.insert(Flaw::PrivateKey);
        }
        let thumbprint = jwk.thumbprint()?;
        let algorithm = Algorithm::named(&alg.0);
        let key = Key::read(jwk);
        proof.signature = match (algorithm, key) {
            (Algorithm::Refused, _) | (_, Key::Broken) => Signature::Invalid,
            (Algorithm::Unknown, _) | (_, Key::Unknown) => Signature::Unsupported,
            (algorithm, key) if !key.fits(algorithm) => Signature::Invalid,
            (algorithm, key) => {
                if !self.budget.take(key.cost_us()) {
                    Signature::Unverified
                } else if key.verify(algorithm, jws.signed, &self.signature) {
                    Signature::Valid
                } else {
                    flaws.insert(Flaw::Signature);
                    Signature::Invalid
                }
            }
        };
        if proof.signature == Signature::Invalid && !flaws.contains(Flaw::Signature) {
            flaws.insert(Flaw::Algorithm);
        }

        if *htm.0 != *asked.method {
            flaws.insert(Flaw::Method);
        }
        let (host, path) = self.places.compare(&htu.0, asked);
        if !host {
            flaws.insert(Flaw::Host);
        }
        if !path {
            flaws.insert(Flaw::Path);
        }
        if let Some(token) = &asked.token {
            let right = match &claims.ath {
                Some(ath) => encoded(&token.hash).as_slice() == ath.0.as_bytes(),
                None => !token.bound,
            };
            if !right {
                flaws.insert(Flaw::Token);
            }
            if token.key.is_some_and(|key| !thumbprint.is(key)) {
                flaws.insert(Flaw::Key);
            }
        }

        let mut hasher = blake3::Hasher::new_keyed(&self.id_key);
        hasher.update(&thumbprint.0);
        hasher.update(jti.0.as_bytes());
        let mut id = [0; 16];
        id.iter_mut()
            .zip(hasher.finalize().as_bytes())
            .for_each(|(slot, byte)| *slot = *byte);
        proof.thumbprint = Some(thumbprint);
        proof.id = Some(ProofId(id));
        // Saturates; a JSON number is never NaN.
        proof.issued = Some(iat.floor() as i64);
        proof.nonce = claims.nonce.is_some();
        Some(proof)
    }
}

/// A media type without regard to case; `application/` may be left out (RFC 7515 §4.1.9).
fn is_type(typ: &str) -> bool {
    let prefix = "application/";
    let short = match typ.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => {
            typ.get(prefix.len()..).unwrap_or_default()
        }
        _ => typ,
    };
    short.eq_ignore_ascii_case("dpop+jwt")
}

#[cfg(test)]
pub(crate) mod tests;
