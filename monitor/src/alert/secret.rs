//! Signing secrets: where they are, reading them, and keeping them from view.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use serde::{Deserialize, Deserializer};
use zeroize::{Zeroize, Zeroizing};

/// Prefix of a secret that is written in base64 (Standard Webhooks 1.0, "Signature scheme").
const PREFIX: &str = "whsec_";
/// Longest secret file that is read.
const LONGEST: u64 = 4096;
/// Shorter keys get a warning; the specification asks for 24 to 64 bytes.
const SHORTEST_GOOD: usize = 24;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A systemd credential (`LoadCredential=NAME:PATH`).
    Credential(String),
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

impl SecretSource {
    /// Parses `credential:NAME`, `file:PATH` or `env:NAME`.
    ///
    /// # Errors
    /// A message with a hint that does not repeat the text, which may be a secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("credential", name))
                if !name.is_empty() && !name.contains('/') && !name.starts_with('.') =>
            {
                Ok(Self::Credential(name.to_owned()))
            }
            Some(("credential", _)) => Err("a credential's name is a plain file name\n\
                 hint: secret = \"credential:soc\" with LoadCredential=soc:/etc/bailiwick/soc.key"
                .to_owned()),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::File(path.into())),
            Some(("file", _)) => Err("a secret's file needs an absolute path\n\
                 hint: secret = \"file:/etc/bailiwick/soc.key\""
                .to_owned()),
            Some(("env", name)) if !name.is_empty() && !name.contains(['=', '\0']) => {
                Ok(Self::Env(name.to_owned()))
            }
            _ => Err("this does not say where the secret is; \
                 a secret itself does not belong into the configuration\n\
                 hint: secret = \"credential:NAME\", \"file:/PATH\" or \"env:NAME\""
                .to_owned()),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
        }
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Where sources are looked up.
#[derive(Clone, Debug, Default)]
pub struct SecretEnv {
    /// `$CREDENTIALS_DIRECTORY`, set by systemd.
    pub credentials_directory: Option<PathBuf>,
}

impl SecretEnv {
    /// As this process was started.
    #[must_use]
    pub fn from_process() -> Self {
        Self {
            credentials_directory: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        }
    }
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Not started by systemd, or without credentials.
    #[error(
        "{from}: there is no $CREDENTIALS_DIRECTORY\n\
         hint: systemd sets it with LoadCredential=; started by hand, use file:PATH or env:NAME"
    )]
    NoCredentials {
        /// Source.
        from: SecretSource,
    },
    /// Could not be read.
    #[error("{from}: cannot read {}: {error}\nhint: {hint}", path.display())]
    Read {
        /// Source.
        from: SecretSource,
        /// File.
        path: PathBuf,
        /// Cause.
        error: std::io::Error,
        /// What to do.
        hint: String,
    },
    /// The variable is not set, or is not UTF-8.
    #[error(
        "{from}: the environment variable {name} is not set\n\
         hint: set it for the daemon, or use credential:NAME"
    )]
    NotSet {
        /// Source.
        from: SecretSource,
        /// Variable.
        name: String,
    },
    /// Read, but not a secret.
    #[error("{from}: {what}\nhint: openssl rand -base64 32 | sed 's/^/{PREFIX}/'")]
    Bad {
        /// Source.
        from: SecretSource,
        /// What is wrong with it; never the value.
        what: &'static str,
    },
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
        let text = match from {
            SecretSource::Credential(name) => {
                let directory = env
                    .credentials_directory
                    .as_deref()
                    .ok_or_else(|| SecretError::NoCredentials { from: from.clone() })?;
                read_file(from, &directory.join(name))?
            }
            SecretSource::File(path) => read_file(from, path)?,
            SecretSource::Env(name) => {
                let not_set = || SecretError::NotSet {
                    from: from.clone(),
                    name: name.clone(),
                };
                let text = std::env::var(name).map_err(|_| not_set())?;
                Zeroizing::new(text.into_bytes())
            }
        };
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

fn read_file(from: &SecretSource, path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let failed = |error: std::io::Error| {
        let hint = match (error.kind(), from) {
            (std::io::ErrorKind::NotFound, SecretSource::Credential(name)) => {
                format!("the unit needs LoadCredential={name}:/PATH/TO/SECRET")
            }
            (std::io::ErrorKind::NotFound, _) => {
                "openssl rand -base64 32 | sed 's/^/whsec_/' makes one".to_owned()
            }
            (std::io::ErrorKind::PermissionDenied, _) => {
                "the daemon's user must be able to read it; LoadCredential= reads as root"
                    .to_owned()
            }
            _ => "it should be a small regular file".to_owned(),
        };
        SecretError::Read {
            from: from.clone(),
            path: path.to_owned(),
            error,
            hint,
        }
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST as usize + 1));
    if let Err(error) = file.take(LONGEST + 1).read_to_end(&mut text) {
        text.zeroize();
        return Err(failed(error));
    }
    if text.len() as u64 > LONGEST {
        return Err(SecretError::Bad {
            from: from.clone(),
            what: "longer than 4096 bytes",
        });
    }
    Ok(text)
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
    fn sources_parse() {
        assert_eq!(
            SecretSource::parse("env:X").unwrap(),
            SecretSource::Env("X".to_owned())
        );
        for bad in [
            "",
            "soc",
            "whsec_AAAA",
            "file:relative",
            "credential:",
            "credential:../x",
            "env:",
        ] {
            let error = SecretSource::parse(bad).unwrap_err();
            assert!(error.contains("hint:"), "{error}");
            assert!(!error.contains("whsec_AAAA"), "{error}");
        }
    }

    #[test]
    fn reads_and_says_why_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("soc"),
            "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("long"), "x".repeat(5000)).unwrap();
        let env = SecretEnv {
            credentials_directory: Some(dir.path().to_owned()),
        };
        let read = |text: &str, env: &SecretEnv| {
            Secret::read(&SecretSource::parse(text).unwrap(), env).map_err(|e| e.to_string())
        };
        assert_eq!(
            read("credential:soc", &env).unwrap().expose(),
            b"secretsecretsecretsecret"
        );
        let error = read("credential:other", &env).unwrap_err();
        assert!(error.contains("LoadCredential=other:"), "{error}");
        let error = read("credential:soc", &SecretEnv::default()).unwrap_err();
        assert!(error.contains("no $CREDENTIALS_DIRECTORY"), "{error}");
        let error = read("env:BAILIWICK_TEST_UNSET_VARIABLE", &env).unwrap_err();
        assert!(error.contains("is not set"), "{error}");
        let error = read(&format!("file:{}/long", dir.path().display()), &env).unwrap_err();
        assert!(error.contains("longer than 4096"), "{error}");
        let error = read(&format!("file:{}", dir.path().display()), &env).unwrap_err();
        assert!(error.contains("cannot read"), "{error}");
    }
}
