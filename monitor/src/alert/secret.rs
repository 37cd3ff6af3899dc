//! Signing secrets: reading them, and keeping them from view.

use std::fmt;

use base64::Engine;
use zeroize::Zeroizing;

use crate::secret;
pub use crate::secret::{SecretEnv, SecretSource};

/// Prefix of a secret that is written in base64 (Standard Webhooks 1.0, "Signature scheme").
const PREFIX: &str = "whsec_";
/// Shorter keys get a warning; the specification asks for 24 to 64 bytes.
const SHORTEST_GOOD: usize = 24;

/// Why there is no signing secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It could not be had.
    #[error("{0}{more}", more = make_one(.0))]
    Source(#[from] secret::SecretError),
    /// Read, but not a secret.
    #[error("{from}: {what}\nhint: openssl rand -base64 32 | sed 's/^/{PREFIX}/'")]
    Bad {
        /// Source.
        from: SecretSource,
        /// What is wrong with it; never the value.
        what: &'static str,
    },
}

/// What to add to the hint about a file that is not there.
fn make_one(error: &secret::SecretError) -> &'static str {
    match error {
        secret::SecretError::Unreadable {
            from: SecretSource::File(_),
            error,
            ..
        } if error.kind() == std::io::ErrorKind::NotFound => {
            "; openssl rand -base64 32 | sed 's/^/whsec_/' makes one"
        }
        _ => "",
    }
}

/// A signing key. Zeroised when dropped, never formatted.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// `whsec_` and base64, else the bytes as they are; whitespace around it is dropped.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &[u8]) -> Result<Self, &'static str> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return Err("the secret is empty");
        }
        let key = match text.strip_prefix(PREFIX.as_bytes()) {
            Some(encoded) => base64::engine::general_purpose::STANDARD
                .decode(encoded)
                .map_err(|_| "what follows whsec_ is no base64")?,
            None => text.to_vec(),
        };
        if key.is_empty() {
            return Err("the secret is empty");
        }
        Ok(Self(Zeroizing::new(key)))
    }

    /// Reads one from where it is.
    ///
    /// # Errors
    /// Which source, which file, why, and what to do.
    pub fn read(from: &SecretSource, env: &SecretEnv) -> Result<Self, SecretError> {
        let text = from.read(env)?;
        let secret = Self::new(&text).map_err(|what| SecretError::Bad {
            from: from.clone(),
            what,
        })?;
        if secret.0.len() < SHORTEST_GOOD {
            tracing::warn!(
                secret = %from,
                bytes = secret.0.len(),
                "a webhook secret is short; {SHORTEST_GOOD} bytes or more are asked for"
            );
        }
        Ok(secret)
    }

    /// The key.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may fail by panic")]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        assert_eq!(
            Secret::new(b"whsec_c2VjcmV0\n").unwrap().expose(),
            b"secret"
        );
        assert_eq!(
            Secret::new(b" plain text \n").unwrap().expose(),
            b"plain text"
        );
        assert!(Secret::new(b"whsec_%%").is_err());
        assert!(Secret::new(b"whsec_").is_err());
        assert!(Secret::new(b" \n").is_err());
        assert_eq!(format!("{:?}", Secret::new(b"plain").unwrap()), "Secret(…)");
    }

    #[test]
    fn reads_and_says_why_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("soc"),
            "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("bad"), "whsec_%planted%").unwrap();
        let env = SecretEnv {
            credentials_directory: Some(dir.path().to_owned()),
        };
        let read = |from: SecretSource| Secret::read(&from, &env).map_err(|e| e.to_string());
        assert_eq!(
            read(SecretSource::Credential("soc".to_owned()))
                .unwrap()
                .expose(),
            b"secretsecretsecretsecret"
        );
        let error = read(SecretSource::Credential("bad".to_owned())).unwrap_err();
        assert!(error.contains("no base64\nhint: openssl"), "{error}");
        assert!(!error.contains("planted"), "{error}");
        let error = read(SecretSource::Credential("other".to_owned())).unwrap_err();
        assert!(
            error.ends_with("LoadCredential=other:/PATH/TO/SECRET"),
            "{error}"
        );
        let error = read(SecretSource::File(dir.path().join("none"))).unwrap_err();
        assert!(error.ends_with("makes one"), "{error}");
    }
}
