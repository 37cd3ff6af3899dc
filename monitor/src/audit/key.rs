//! The key that signs a log, and what is known of the log beside it: both in `state_dir`, for the daemon alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::note::{NoteError, SigningKey};

/// Name of the key's file in `state_dir`.
pub const KEY_FILE: &str = "audit.key";
/// Name of the file with what is known of the log.
pub const STATE_FILE: &str = "audit.json";
/// Longest of them, in bytes.
const MAX_FILE: u64 = 128 * 1024;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file.
    #[error("{}: {error}; hint: state_dir must be a directory the daemon may write to", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What is in it.
    #[error("{}: {error}; hint: move the file away to have a new key made, and a new log begun", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        error: NoteError,
    },
}

/// What is known of the log that is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its directory.
    pub directory: PathBuf,
    /// Its newest checkpoint; empty while it has none.
    pub checkpoint: String,
}

/// Where key and knowledge are.
#[derive(Clone, Debug)]
pub struct KeyStore(PathBuf);

impl KeyStore {
    /// In this `state_dir`.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self(state_dir.to_owned())
    }

    /// The key, when there is one.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn key(&self) -> Result<Option<SigningKey>, KeyError> {
        let path = self.0.join(KEY_FILE);
        let text = match read(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(KeyError::File { path, error }),
        };
        match SigningKey::parse(&text) {
            Ok(key) => Ok(Some(key)),
            Err(error) => Err(KeyError::Malformed { path, error }),
        }
    }

    /// Makes a key for a log of a new name, not yet kept: `HOST/bailiwick/` and 8 random digits.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn fresh(&self, host: &str) -> Result<SigningKey, KeyError> {
        let path = self.0.join(KEY_FILE);
        let mut seed = Zeroizing::new([0; 32]);
        let mut tail = [0; 4];
        let random = SystemRandom::new();
        if random.fill(&mut *seed).is_err() || random.fill(&mut tail).is_err() {
            let error = io::Error::other("the system has no random bytes");
            return Err(KeyError::File { path, error });
        }
        let plain = |c: &char| c.is_ascii_alphanumeric() || ".-_".contains(*c);
        let host: String = host.chars().filter(plain).take(64).collect();
        let host = if host.is_empty() { "host" } else { &host };
        let name = format!("{host}/bailiwick/{:08x}", u32::from_be_bytes(tail));
        SigningKey::new(&name, seed).map_err(|error| KeyError::Malformed { path, error })
    }

    /// Keeps a key in the place of the one before, which is gone then.
    ///
    /// # Errors
    /// It is not on the disk.
    pub fn keep(&self, key: &SigningKey) -> Result<(), KeyError> {
        let text = key.secret_text();
        self.replace(KEY_FILE, text.as_bytes(), true)
            .map_err(|error| KeyError::File {
                path: self.0.join(KEY_FILE),
                error,
            })
    }

    /// What is known of the log.
    #[must_use]
    pub fn known(&self) -> Option<Known> {
        let text = read(&self.0.join(STATE_FILE)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// When it was last remembered, microseconds since 1970: the daemon was alive then.
    #[must_use]
    pub fn alive_us(&self) -> Option<i64> {
        let modified = fs::metadata(self.0.join(STATE_FILE))
            .ok()?
            .modified()
            .ok()?;
        let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_micros()).ok()
    }

    /// Remembers the log's newest checkpoint. Not waited for: an older one still serves.
    ///
    /// # Errors
    /// It could not be written.
    pub fn remember(&self, known: &Known) -> io::Result<()> {
        let json = serde_json::to_vec(known)?;
        self.replace(STATE_FILE, &json, false)
    }

    fn replace(&self, name: &str, bytes: &[u8], sync: bool) -> io::Result<()> {
        let temporary = self.0.join(format!(".{name}.new"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        if sync {
            file.sync_all()?;
        }
        fs::rename(&temporary, self.0.join(name))?;
        if sync {
            File::open(&self.0)?.sync_all()?;
        }
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(File::open(path)?, MAX_FILE), &mut text)?;
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may fail by panic")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_kept_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::new(dir.path());
        assert!(store.key().unwrap().is_none());
        let key = store.fresh("web 1.example+").unwrap();
        assert!(key.public().name().starts_with("web1.example/bailiwick/"));
        store.keep(&key).unwrap();
        let path = dir.path().join(KEY_FILE);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(store.key().unwrap().unwrap().public(), key.public());
        assert_ne!(store.fresh("").unwrap().public(), key.public());
        fs::write(&path, "nonsense").unwrap();
        let error = store.key().unwrap_err().to_string();
        assert!(
            error.contains("hint:") && !error.contains("nonsense"),
            "{error}"
        );
    }

    #[test]
    fn what_is_known_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::new(dir.path());
        assert_eq!(store.known(), None);
        let known = Known {
            directory: "/var/lib/bailiwick/audit".into(),
            checkpoint: "a\n1\nb\n\n— c d\n".to_owned(),
        };
        store.remember(&known).unwrap();
        assert_eq!(store.known(), Some(known));
        fs::write(dir.path().join(STATE_FILE), "{").unwrap();
        assert_eq!(store.known(), None);
    }
}
