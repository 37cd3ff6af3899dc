//! Secrets become credentials: the one place that holds raw bytes, for the length of a call.

use std::sync::Arc;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::{Zeroize, Zeroizing};

use super::super::clock::ClockCache;
use super::super::fingerprint::{Fingerprint, FingerprintKey};
use super::super::{Claims, Credential, CredentialKind, jwt, shape};
use super::authorization;
use super::memo::{Memo, table_hash};
use super::percent;
use super::rules::Rules;

/// Credentials remembered.
pub(super) const MAX_CREDENTIALS: usize = 65_536;
/// Longest value that is decoded. A head is at most so long.
const MAX_DECODED: usize = 16 * 1024;
/// What stands for the missing half of a Basic pair whose other half is a token.
const PLACEHOLDERS: [&[u8]; 4] = [b"", b"x", b"x-oauth-basic", b"api_token"];

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A buffer for decoded secrets: of fixed capacity, so that growing it leaves no copy, and wiped after use.
#[derive(Default)]
struct Scratch(Zeroizing<Vec<u8>>);

impl Scratch {
    fn new(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    /// Takes the buffer, so that what owns it can be used beside it. To be given back to [`Self::wipe`].
    fn take(&mut self) -> Zeroizing<Vec<u8>> {
        std::mem::take(&mut self.0)
    }

    fn wipe(&mut self, mut buffer: Zeroizing<Vec<u8>>) {
        // Only what was used: wiping all of the capacity takes longer than everything else.
        buffer.as_mut_slice().zeroize();
        buffer.clear();
        self.0 = buffer;
    }
}

/// Not `Debug`: it holds keys.
pub(super) struct Store {
    key: FingerprintKey,
    memo: Memo,
    credentials: ClockCache<(Fingerprint, CredentialKind), Arc<Credential>>,
    decoded: Scratch,
    json: Scratch,
}

impl Store {
    pub(super) fn new(key: FingerprintKey) -> Self {
        Self {
            memo: Memo::new(&key),
            key,
            credentials: ClockCache::new(MAX_CREDENTIALS),
            decoded: Scratch::new(MAX_DECODED),
            json: Scratch::new(jwt::MAX_PART),
        }
    }

    pub(super) fn fingerprint(&self, secret: &[u8]) -> Fingerprint {
        self.key.fingerprint(secret)
    }

    pub(super) fn len(&self) -> usize {
        self.credentials.len()
    }

    pub(super) fn evicted(&self) -> u64 {
        self.credentials.evicted()
    }

    fn known(&mut self, fingerprint: Fingerprint, kind: CredentialKind) -> Option<Arc<Credential>> {
        let key = (fingerprint, kind);
        let hash = hash(&key);
        self.credentials
            .get(hash, |held| *held == key)
            .map(|(_, held)| Arc::clone(held))
    }

    /// `asked` is the kind under which it is looked up again; `kind` the one that it turned out to be.
    fn add(
        &mut self,
        fingerprint: Fingerprint,
        asked: CredentialKind,
        kind: CredentialKind,
        hint: Option<&str>,
        claims: Claims,
    ) -> Arc<Credential> {
        let of_jwt = matches!(
            kind,
            CredentialKind::Jwt | CredentialKind::Dpop | CredentialKind::Cookie
        );
        let named = if of_jwt { jwt::identity(&claims) } else { None };
        let credential = Arc::new(Credential {
            kind,
            fingerprint,
            hint: hint.map(Into::into),
            claims,
            default_identity: named.unwrap_or_else(|| fingerprint.to_string()).into(),
        });
        let key = (fingerprint, asked);
        self.credentials
            .insert(hash(&key), key, Arc::clone(&credential));
        credential
    }

    /// A secret that is what it is: token, key, cookie, access key id.
    pub(super) fn token(
        &mut self,
        rules: &Rules,
        asked: CredentialKind,
        secret: &[u8],
    ) -> Arc<Credential> {
        let fingerprint = self.memo.fingerprint(&self.key, secret);
        if let Some(known) = self.known(fingerprint, asked) {
            return known;
        }
        let mut kind = asked;
        let mut claims = Claims::default();
        match asked {
            CredentialKind::Sigv4 => claims.subject = public_name(secret),
            CredentialKind::Basic | CredentialKind::Digest => {}
            CredentialKind::Bearer
            | CredentialKind::Jwt
            | CredentialKind::ApiKey
            | CredentialKind::Dpop
            | CredentialKind::Cookie => {
                let mut json = self.json.take();
                let read = jwt::read(secret, &mut json);
                self.json.wipe(json);
                if let Some(read) = read {
                    claims = read;
                    if matches!(asked, CredentialKind::Bearer | CredentialKind::ApiKey) {
                        kind = CredentialKind::Jwt;
                    }
                }
            }
        }
        self.add(fingerprint, asked, kind, rules.hint(secret), claims)
    }

    /// The same for a percent-encoded value. `None` when it is too long to be decoded, or does not `fit`.
    pub(super) fn encoded_token(
        &mut self,
        rules: &Rules,
        asked: CredentialKind,
        value: &[u8],
        fit: impl Fn(&[u8]) -> Option<&[u8]>,
    ) -> Option<Arc<Credential>> {
        if !value.contains(&b'%') {
            return fit(value.trim_ascii()).map(|secret| self.token(rules, asked, secret));
        }
        if value.len() > MAX_DECODED {
            return None;
        }
        let mut plain = self.decoded.take();
        percent::decode(value, &mut plain);
        let found = fit(plain.trim_ascii()).map(|secret| self.token(rules, asked, secret));
        self.decoded.wipe(plain);
        found
    }

    /// `user:password` in base64 (RFC 7617 §2). `None` when it is not that.
    pub(super) fn basic(&mut self, rules: &Rules, encoded: &[u8]) -> Option<Arc<Credential>> {
        let room = base64::decoded_len_estimate(encoded.len());
        if encoded.is_empty() || room > MAX_DECODED {
            return None;
        }
        let mut plain = self.decoded.take();
        plain.resize(room, 0);
        let found = match BASE64.decode_slice(encoded, plain.as_mut_slice()) {
            Ok(len) => plain.get(..len).and_then(|pair| self.pair(rules, pair)),
            Err(_) => None,
        };
        self.decoded.wipe(plain);
        found
    }

    /// `user:password`, percent-encoded, as in a URL.
    pub(super) fn userinfo(&mut self, rules: &Rules, userinfo: &[u8]) -> Option<Arc<Credential>> {
        if userinfo.len() > MAX_DECODED {
            return None;
        }
        let mut plain = self.decoded.take();
        percent::decode(userinfo, &mut plain);
        let found = self.pair(rules, &plain);
        self.decoded.wipe(plain);
        found
    }

    /// `user` and `password`, each as it is.
    pub(super) fn plain_pair(
        &mut self,
        rules: &Rules,
        user: &[u8],
        password: &[u8],
    ) -> Option<Arc<Credential>> {
        if user.len().saturating_add(password.len()) >= MAX_DECODED {
            return None;
        }
        let mut plain = self.decoded.take();
        plain.extend_from_slice(user);
        plain.push(b':');
        plain.extend_from_slice(password);
        let found = self.pair(rules, &plain);
        self.decoded.wipe(plain);
        found
    }

    fn pair(&mut self, rules: &Rules, pair: &[u8]) -> Option<Arc<Credential>> {
        let colon = pair.iter().position(|byte| *byte == b':');
        let (user, password) = match colon.and_then(|at| pair.split_at_checked(at)) {
            Some((user, rest)) => (user, rest.get(1..).unwrap_or_default()),
            None => (pair, &b""[..]),
        };
        if user.is_empty() && password.is_empty() {
            return None;
        }
        // A token that is known by its beginning is the same credential whether it came as a bearer or, as
        // git and many APIs have it, inside a pair: `x-access-token:ghp_…`, `sk_live_…:`.
        let alone = PLACEHOLDERS
            .iter()
            .any(|word| password.eq_ignore_ascii_case(word));
        let (secret, hint) = match (rules.hint(password), rules.hint(user)) {
            (Some(hint), _) => (password, Some(hint)),
            (None, Some(hint)) if alone => (user, Some(hint)),
            _ => (pair, None),
        };
        let fingerprint = self.memo.fingerprint(&self.key, secret);
        if let Some(known) = self.known(fingerprint, CredentialKind::Basic) {
            return Some(known);
        }
        // The user name is public, unless it is the secret itself.
        let public = !alone && rules.hint(user).is_none() && !shape::is_opaque(user);
        let subject = if public { public_name(user) } else { None };
        let claims = Claims {
            subject,
            ..Claims::default()
        };
        let kind = CredentialKind::Basic;
        Some(self.add(fingerprint, kind, kind, hint, claims))
    }

    /// User and realm of a Digest response (RFC 7616 §3.4): all of it that stays the same. Hashed as
    /// `digest:USER:REALM`.
    pub(super) fn digest(&mut self, value: &[u8]) -> Option<Arc<Credential>> {
        if value.len() > MAX_DECODED {
            return None;
        }
        let user = authorization::parameter(value, b"username");
        // `username*=UTF-8''J%C3%A4s` (RFC 8187).
        let extended = authorization::parameter(value, b"username*")
            .and_then(|text| text.splitn(3, |byte| *byte == b'\'').nth(2));
        let realm = authorization::parameter(value, b"realm").unwrap_or_default();
        let mut text = self.decoded.take();
        text.extend_from_slice(b"digest:");
        match (user, extended) {
            (Some(user), _) => authorization::unescape(user, &mut text),
            (None, Some(user)) => percent::decode(user, &mut text),
            (None, None) => {
                self.decoded.wipe(text);
                return None;
            }
        }
        let end = text.len();
        text.push(b':');
        authorization::unescape(realm, &mut text);
        let fingerprint = self.memo.fingerprint(&self.key, &text);
        let kind = CredentialKind::Digest;
        let known = self.known(fingerprint, kind);
        let subject = text.get(b"digest:".len()..end).and_then(public_name);
        self.decoded.wipe(text);
        Some(known.unwrap_or_else(|| {
            let claims = Claims {
                subject,
                ..Claims::default()
            };
            self.add(fingerprint, kind, kind, None, claims)
        }))
    }
}

fn hash((fingerprint, kind): &(Fingerprint, CredentialKind)) -> u64 {
    table_hash(&fingerprint.0) ^ (*kind as u64)
}

/// A user name or key id, when it is short enough to be one.
fn public_name(name: &[u8]) -> Option<Box<str>> {
    if name.is_empty() || name.len() > jwt::MAX_CLAIM {
        return None;
    }
    let text = String::from_utf8_lossy(name);
    (text.len() <= jwt::MAX_CLAIM).then(|| text.into())
}
