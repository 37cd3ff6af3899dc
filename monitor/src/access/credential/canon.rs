//! The fingerprint that a secret has on the wire, for secrets that were met elsewhere: through the very code that
//! requests go through, so that both can be compared.

use super::rules::Rules;
use super::store::Store;
use super::{CredentialKind, CredentialTable, Fingerprint, FingerprintKey};

/// Fingerprints secrets as the recogniser does. Holds the host's key: cannot be formatted.
#[expect(missing_debug_implementations, reason = "it holds a key")]
pub struct Canon {
    rules: Rules,
    store: Store,
}

impl Canon {
    /// By the rules of `table`, with `key`.
    #[must_use]
    pub fn new(table: &CredentialTable, key: FingerprintKey) -> Self {
        Self {
            rules: Rules::new(table),
            store: Store::new(key),
        }
    }

    /// Of a token, a key, a cookie, an access key id: what stands behind the scheme, without blanks around it.
    pub fn token(&mut self, secret: &[u8]) -> Fingerprint {
        let secret = secret.trim_ascii();
        self.store
            .token(&self.rules, CredentialKind::ApiKey, secret)
            .fingerprint
    }

    /// Of `user:password`. `None` when it is empty or too long.
    pub fn pair(&mut self, user: &[u8], password: &[u8]) -> Option<Fingerprint> {
        self.store
            .plain_pair(&self.rules, user, password)
            .map(|found| found.fingerprint)
    }

    /// Of `user:password` in base64, as behind `Basic`. `None` when it is not that.
    pub fn basic(&mut self, encoded: &[u8]) -> Option<Fingerprint> {
        self.store
            .basic(&self.rules, encoded)
            .map(|found| found.fingerprint)
    }

    /// Of `user:password` in a URL, percent-encoded. `None` when it is empty or too long.
    pub fn userinfo(&mut self, userinfo: &[u8]) -> Option<Fingerprint> {
        self.store
            .userinfo(&self.rules, userinfo)
            .map(|found| found.fingerprint)
    }
}
