//! Where a secret is kept; the configuration never holds one itself.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

/// Longest secret read, in bytes.
const MAX_SECRET: u64 = 64 * 1024;

/// `credential:NAME` (systemd's `LoadCredential=`), `file:PATH` or `env:NAME`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SecretRef {
    /// A file of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

/// A reference that is none. Does not repeat what was written: it may be the secret itself.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadSecretRef {
    /// No known prefix.
    #[error(
        "not a reference to a secret; write \"credential:NAME\", \"file:PATH\" or \"env:NAME\""
    )]
    Scheme,
    /// Nothing behind the prefix, or a name with a `/` or NUL in it.
    #[error(
        "the name behind `{0}:` is empty or has a `/` in it; name it as it is passed to the daemon"
    )]
    Name(&'static str),
    /// A relative path.
    #[error("the path behind `file:` is not absolute; begin it with `/`")]
    Relative,
}

impl TryFrom<String> for SecretRef {
    type Error = BadSecretRef;

    fn try_from(text: String) -> Result<Self, BadSecretRef> {
        let text = Zeroizing::new(text);
        let (scheme, rest) = text.split_once(':').ok_or(BadSecretRef::Scheme)?;
        let named = |what| {
            let good =
                !rest.is_empty() && rest != "." && rest != ".." && !rest.contains(['/', '\0', '=']);
            good.then(|| rest.to_owned())
                .ok_or(BadSecretRef::Name(what))
        };
        match scheme {
            "credential" => named("credential").map(Self::Credential),
            "env" => named("env").map(Self::Env),
            "file" if rest.is_empty() => Err(BadSecretRef::Name("file")),
            "file" if !rest.starts_with('/') => Err(BadSecretRef::Relative),
            "file" => Ok(Self::File(PathBuf::from(rest))),
            _ => Err(BadSecretRef::Scheme),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
        }
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A secret that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// `credential:` without systemd.
    #[error(
        "{0}: $CREDENTIALS_DIRECTORY is not set; hint: start through the systemd unit with LoadCredential=, or use file:PATH"
    )]
    NoCredentials(SecretRef),
    /// The file cannot be read.
    #[error("{reference}: {}: {error}; hint: {}", path.display(), hint(error))]
    Unreadable {
        /// As configured.
        reference: SecretRef,
        /// File tried.
        path: PathBuf,
        /// Cause.
        error: io::Error,
    },
    /// The variable is not set, or not UTF-8.
    #[error("{0}: the variable is not set")]
    NoVariable(SecretRef),
    /// Nothing in it.
    #[error("{0}: the secret is empty")]
    Empty(SecretRef),
    /// Too much in it.
    #[error("{0}: longer than 64 KiB, that is no secret")]
    TooLong(SecretRef),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "create it, or name another file",
        io::ErrorKind::PermissionDenied => {
            "let the daemon's user read it, or pass it with LoadCredential="
        }
        _ => "name a regular file",
    }
}

impl SecretRef {
    /// Reads the secret, without a final line break. Looks at the environment for
    /// `$CREDENTIALS_DIRECTORY` and `env:`.
    ///
    /// # Errors
    /// When it is not there, cannot be read, is empty or longer than 64 KiB.
    pub fn read(&self) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let mut secret =
            self.read_raw(std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from))?;
        if secret.last() == Some(&b'\n') {
            secret.pop();
            if secret.last() == Some(&b'\r') {
                secret.pop();
            }
        }
        if secret.is_empty() {
            Err(SecretError::Empty(self.clone()))
        } else {
            Ok(secret)
        }
    }

    /// Reads the secret as it is, the credentials directory given.
    pub(super) fn read_raw(
        &self,
        credentials: Option<PathBuf>,
    ) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        match self {
            Self::Credential(name) => {
                let dir = credentials.ok_or_else(|| SecretError::NoCredentials(self.clone()))?;
                self.read_file(&dir.join(name))
            }
            Self::File(path) => self.read_file(path),
            Self::Env(name) => std::env::var(name)
                .map(|value| Zeroizing::new(value.into_bytes()))
                .map_err(|_| SecretError::NoVariable(self.clone())),
        }
    }

    fn read_file(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let unreadable = |error| SecretError::Unreadable {
            reference: self.clone(),
            path: path.to_owned(),
            error,
        };
        let file = File::open(path).map_err(unreadable)?;
        // Room for all of it from the start: a buffer that grows leaves copies behind.
        let mut secret = Zeroizing::new(Vec::with_capacity(MAX_SECRET as usize + 2));
        file.take(MAX_SECRET + 1)
            .read_to_end(&mut secret)
            .map_err(unreadable)?;
        if secret.len() as u64 > MAX_SECRET {
            return Err(SecretError::TooLong(self.clone()));
        }
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn parse(text: &str) -> Result<SecretRef, BadSecretRef> {
        SecretRef::try_from(text.to_owned())
    }

    #[test]
    fn references_parse_and_print() {
        for text in ["credential:soc", "file:/etc/x y", "env:TOKEN"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(parse("hunter2"), Err(BadSecretRef::Scheme));
        assert_eq!(parse("https://x"), Err(BadSecretRef::Scheme));
        assert_eq!(
            parse("credential:../x"),
            Err(BadSecretRef::Name("credential"))
        );
        assert_eq!(
            parse("credential:.."),
            Err(BadSecretRef::Name("credential"))
        );
        assert_eq!(parse("env:"), Err(BadSecretRef::Name("env")));
        assert_eq!(parse("file:secret"), Err(BadSecretRef::Relative));
    }

    #[test]
    fn reads_and_trims_one_line_break() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("soc");
        std::fs::write(&path, "s3cret\n\n").unwrap();
        let reference = SecretRef::File(path.clone());
        assert_eq!(**reference.read().unwrap(), *b"s3cret\n");
        let named = SecretRef::Credential("soc".to_owned());
        assert_eq!(
            **named.read_raw(Some(dir.path().to_owned())).unwrap(),
            *b"s3cret\n\n"
        );
        assert!(matches!(
            named.read_raw(None),
            Err(SecretError::NoCredentials(_))
        ));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(reference.read(), Err(SecretError::Empty(_))));
        std::fs::write(&path, vec![b'x'; 64 * 1024 + 1]).unwrap();
        assert!(matches!(reference.read(), Err(SecretError::TooLong(_))));
        let error = SecretRef::File(dir.path().join("none")).read().unwrap_err();
        assert!(error.to_string().contains("hint: create it"), "{error}");
    }
}
