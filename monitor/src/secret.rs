//! Where a secret is kept; the configuration never holds one itself.

pub mod locked;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

/// Longest secret read from a file, in bytes.
const MAX_SECRET: u64 = 4096;

/// `credential:NAME` (systemd's `LoadCredential=`), `file:PATH` or `env:NAME`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SecretSource {
    /// A file of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

/// A reference that is none. Does not repeat what was written: it may be the secret itself.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadSecretSource {
    /// No known prefix.
    #[error(
        "not a reference to a secret; write \"credential:NAME\", \"file:PATH\" or \"env:NAME\""
    )]
    Scheme,
    /// Nothing behind the prefix, or a name that no credential or variable can have.
    #[error(
        "the name behind `{0}:` is empty or not a plain name; name it as it is passed to the daemon"
    )]
    Name(&'static str),
    /// A relative path.
    #[error("the path behind `file:` is not absolute; begin it with `/`")]
    Relative,
}

impl TryFrom<String> for SecretSource {
    type Error = BadSecretSource;

    fn try_from(text: String) -> Result<Self, BadSecretSource> {
        let text = Zeroizing::new(text);
        let (scheme, rest) = text.split_once(':').ok_or(BadSecretSource::Scheme)?;
        let named = |what, forbidden: &[char]| {
            let good = !rest.is_empty() && rest != "." && rest != ".." && !rest.contains(forbidden);
            good.then(|| rest.to_owned())
                .ok_or(BadSecretSource::Name(what))
        };
        match scheme {
            "credential" => named("credential", &['/', '\0']).map(Self::Credential),
            "env" => named("env", &['=', '\0']).map(Self::Env),
            "file" if rest.is_empty() => Err(BadSecretSource::Name("file")),
            "file" if !rest.starts_with('/') => Err(BadSecretSource::Relative),
            "file" => Ok(Self::File(PathBuf::from(rest))),
            _ => Err(BadSecretSource::Scheme),
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

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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

/// A secret that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Not started by systemd, or without credentials.
    #[error(
        "{0}: there is no $CREDENTIALS_DIRECTORY\n\
         hint: systemd sets it with LoadCredential=; started by hand, use file:PATH"
    )]
    NoCredentials(SecretSource),
    /// The file cannot be read.
    #[error("{from}: cannot read {}: {error}\nhint: {}", path.display(), hint(from, error))]
    Unreadable {
        /// As configured.
        from: SecretSource,
        /// File tried.
        path: PathBuf,
        /// Cause.
        error: io::Error,
    },
    /// The variable is not set, or not UTF-8.
    #[error(
        "{0}: the environment variable is not set\n\
         hint: set it for the daemon, or use credential:NAME"
    )]
    NotSet(SecretSource),
    /// Too much in it.
    #[error("{0}: longer than {MAX_SECRET} bytes\nhint: name the file that holds the secret alone")]
    TooLong(SecretSource),
}

fn hint(from: &SecretSource, error: &io::Error) -> String {
    match (error.kind(), from) {
        (io::ErrorKind::NotFound, SecretSource::Credential(name)) => {
            format!("the unit needs LoadCredential={name}:/PATH/TO/SECRET")
        }
        (io::ErrorKind::NotFound, _) => "create it, or name another file".to_owned(),
        (io::ErrorKind::PermissionDenied, _) => {
            "the daemon's user must be able to read it; LoadCredential= reads as root".to_owned()
        }
        _ => "it should be a small regular file".to_owned(),
    }
}

impl SecretSource {
    /// Reads the secret as it is: nothing is trimmed, and it may be empty.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or is a file longer than 4096 bytes.
    pub fn read(&self, env: &SecretEnv) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        match self {
            Self::Credential(name) => {
                let directory = env
                    .credentials_directory
                    .as_deref()
                    .ok_or_else(|| SecretError::NoCredentials(self.clone()))?;
                self.read_file(&directory.join(name))
            }
            Self::File(path) => self.read_file(path),
            Self::Env(name) => std::env::var(name)
                .map(|value| Zeroizing::new(value.into_bytes()))
                .map_err(|_| SecretError::NotSet(self.clone())),
        }
    }

    fn read_file(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let unreadable = |error| SecretError::Unreadable {
            from: self.clone(),
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

    fn parse(text: &str) -> Result<SecretSource, BadSecretSource> {
        SecretSource::try_from(text.to_owned())
    }

    #[test]
    fn references_parse_and_print() {
        for text in ["credential:soc", "file:/etc/x y", "env:TOKEN"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(parse("hunter2"), Err(BadSecretSource::Scheme));
        assert_eq!(parse("https://x"), Err(BadSecretSource::Scheme));
        assert_eq!(
            parse("credential:../x"),
            Err(BadSecretSource::Name("credential"))
        );
        assert_eq!(
            parse("credential:.."),
            Err(BadSecretSource::Name("credential"))
        );
        assert_eq!(parse("env:"), Err(BadSecretSource::Name("env")));
        assert_eq!(parse("file:secret"), Err(BadSecretSource::Relative));
    }

    #[test]
    fn an_error_does_not_repeat_what_was_written() {
        for bad in [
            "",
            "soc",
            "whsec_AAAA",
            "file:whsec_AAAA",
            "credential:",
            "env:=whsec_AAAA",
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains("; "), "no advice: {error}");
            assert!(!error.contains("whsec_AAAA"), "{error}");
        }
    }

    #[test]
    fn reads_as_it_is_and_says_why_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("soc"), "s3cret\n\n").unwrap();
        std::fs::write(dir.path().join("long"), "x".repeat(4097)).unwrap();
        let env = SecretEnv {
            credentials_directory: Some(dir.path().to_owned()),
        };
        let read = |text: &str, env: &SecretEnv| {
            parse(text)
                .unwrap()
                .read(env)
                .map_err(|error| error.to_string())
        };
        let at = dir.path().display();
        assert_eq!(**read("credential:soc", &env).unwrap(), *b"s3cret\n\n");
        assert_eq!(
            **read(&format!("file:{at}/soc"), &env).unwrap(),
            *b"s3cret\n\n"
        );
        for (text, env, want) in [
            (
                "credential:other",
                &env,
                "hint: the unit needs LoadCredential=other:",
            ),
            (
                "credential:soc",
                &SecretEnv::default(),
                "no $CREDENTIALS_DIRECTORY",
            ),
            ("env:BAILIWICK_TEST_UNSET_VARIABLE", &env, "is not set"),
            (&format!("file:{at}/long"), &env, "longer than 4096 bytes"),
            (&format!("file:{at}"), &env, "cannot read"),
            (&format!("file:{at}/none"), &env, "hint: create it"),
        ] {
            let error = read(text, env).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }
}
