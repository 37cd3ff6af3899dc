//! The host's fingerprint key on disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::{Zeroize, Zeroizing};

use super::Config;
use crate::access::FingerprintKey;
use crate::secret::{SecretEnv, SecretError};

/// Name of the file in `state_dir`.
const FILE: &str = "fingerprint.key";
/// Bytes of a key.
const LEN: usize = 32;

/// Where the key came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    /// Made now: fingerprints of earlier runs, if any, mean nothing any more.
    Created(PathBuf),
    /// Read; `loose` when others than the owner may read the file.
    Read {
        /// As configured, or the path.
        from: String,
        /// Mode bits beyond 0600, 0 when none.
        loose: u32,
    },
}

/// A key that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The configured place.
    #[error("fingerprint_key: {0}")]
    Secret(#[from] SecretError),
    /// Not a key.
    #[error(
        "{0}: a fingerprint key is 32 bytes, or 64 hexadecimal digits; hint: remove the file to have a new key made, which changes every fingerprint"
    )]
    Malformed(String),
    /// The default file.
    #[error("{}: {error}; hint: state_dir must be a directory the daemon may write to", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Reads the fingerprint key; makes one when none is configured and `<state_dir>/fingerprint.key` is not
/// there yet (32 random bytes, mode 0600, on disk before this returns). `state_dir` must exist.
///
/// # Errors
/// When the key cannot be read or made, or is none.
pub fn fingerprint_key(config: &Config) -> Result<(FingerprintKey, KeyOrigin), KeyError> {
    if let Some(place) = &config.fingerprint_key {
        let raw = place.read(&SecretEnv::from_process())?;
        let loose = match place {
            super::SecretSource::File(path) => fs::metadata(path).map_or(0, |meta| loose(&meta)),
            // systemd guards its own directory.
            _ => 0,
        };
        let key = decode(&raw).ok_or_else(|| KeyError::Malformed(place.to_string()))?;
        return Ok((
            key,
            KeyOrigin::Read {
                from: place.to_string(),
                loose,
            },
        ));
    }
    let path = config.state_dir.join(FILE);
    let failed = |error| KeyError::File {
        path: path.clone(),
        error,
    };
    match File::open(&path) {
        Ok(file) => read(&path, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match create(&config.state_dir, &path) {
                Ok(key) => Ok((key, KeyOrigin::Created(path))),
                // Another daemon was faster: its key is the one.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    read(&path, File::open(&path).map_err(failed)?)
                }
                Err(error) => Err(failed(error)),
            }
        }
        Err(error) => Err(failed(error)),
    }
}

/// Reads the fingerprint key, and never makes one. `None`: there is none yet.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn existing_key(config: &Config) -> Result<Option<FingerprintKey>, KeyError> {
    let path = config.state_dir.join(FILE);
    if config.fingerprint_key.is_none() && matches!(path.try_exists(), Ok(false)) {
        return Ok(None);
    }
    if config.fingerprint_key.is_none() {
        let file = File::open(&path).map_err(|error| KeyError::File {
            path: path.clone(),
            error,
        })?;
        return read(&path, file).map(|(key, _)| Some(key));
    }
    fingerprint_key(config).map(|(key, _)| Some(key))
}

fn read(path: &Path, file: File) -> Result<(FingerprintKey, KeyOrigin), KeyError> {
    let failed = |error| KeyError::File {
        path: path.to_owned(),
        error,
    };
    let loose = loose(&file.metadata().map_err(failed)?);
    let mut raw = Zeroizing::new(Vec::with_capacity(256));
    file.take(256).read_to_end(&mut raw).map_err(failed)?;
    let key = decode(&raw).ok_or_else(|| KeyError::Malformed(path.display().to_string()))?;
    Ok((
        key,
        KeyOrigin::Read {
            from: path.display().to_string(),
            loose,
        },
    ))
}

fn loose(meta: &fs::Metadata) -> u32 {
    meta.mode() & 0o077
}

/// 32 raw bytes, or 64 hexadecimal digits and perhaps a line break. All zeros are a file that was
/// never written, not a key.
fn decode(raw: &[u8]) -> Option<FingerprintKey> {
    let mut key = [0; LEN];
    if raw.len() == LEN {
        key.copy_from_slice(raw);
    } else {
        let text = std::str::from_utf8(raw).ok()?.trim_end();
        if text.len() != 2 * LEN || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        for (slot, at) in key.iter_mut().zip((0..).step_by(2)) {
            *slot = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
        }
    }
    let made = (key != [0; LEN]).then(|| FingerprintKey::new(key));
    key.zeroize();
    made
}

/// Writes the key beside its place and links it there: a crash leaves no half key, and an existing one
/// is never replaced.
fn create(dir: &Path, path: &Path) -> io::Result<FingerprintKey> {
    let mut key = [0; LEN];
    // Unlike urandom it waits until the kernel has been seeded, once after boot.
    File::open("/dev/random")?.read_exact(&mut key)?;
    let temporary = dir.join(format!(".{FILE}.{}", std::process::id()));
    let result = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&key)?;
        file.sync_all()?;
        fs::hard_link(&temporary, path)
    })();
    // The name only; when it was never made there is nothing to remove.
    drop(fs::remove_file(&temporary));
    result?;
    File::open(dir)?.sync_all()?;
    let made = FingerprintKey::new(key);
    key.zeroize();
    Ok(made)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::SecretSource;

    fn config(dir: &Path) -> Config {
        Config {
            state_dir: dir.to_owned(),
            ..Config::default()
        }
    }

    #[test]
    fn is_made_once_and_then_read() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let path = dir.path().join(FILE);
        let (made, origin) = fingerprint_key(&config).unwrap();
        assert_eq!(origin, KeyOrigin::Created(path.clone()));
        let meta = fs::metadata(&path).unwrap();
        assert_eq!((meta.len(), meta.mode() & 0o7777), (32, 0o600));
        let (again, origin) = fingerprint_key(&config).unwrap();
        assert!(matches!(origin, KeyOrigin::Read { loose: 0, .. }));
        assert_eq!(made.fingerprint(b"x"), again.fingerprint(b"x"));
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no temporary file is left"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let (_, origin) = fingerprint_key(&config).unwrap();
        assert!(matches!(origin, KeyOrigin::Read { loose: 0o044, .. }));
    }

    #[test]
    fn a_look_makes_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        assert!(existing_key(&config).unwrap().is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let (made, _) = fingerprint_key(&config).unwrap();
        let read = existing_key(&config).unwrap().unwrap();
        assert_eq!(made.fingerprint(b"x"), read.fingerprint(b"x"));
    }

    #[test]
    fn hex_and_raw_are_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let mut config = config(dir.path());
        config.fingerprint_key = Some(SecretSource::File(path.clone()));
        // A raw key that ends in a line break is a key all the same.
        fs::write(&path, [0x0a; 32]).unwrap();
        let raw = fingerprint_key(&config).unwrap().0.fingerprint(b"x");
        fs::write(&path, format!("{}\n", "0A".repeat(32))).unwrap();
        assert_eq!(fingerprint_key(&config).unwrap().0.fingerprint(b"x"), raw);
    }

    #[test]
    fn what_is_no_key_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let path = dir.path().join(FILE);
        for bad in [&b""[..], &[0; 32], b"short", &[1; 33], &[b'g'; 64]] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(
                fingerprint_key(&config),
                Err(KeyError::Malformed(_))
            ));
            assert_eq!(fs::read(&path).unwrap(), bad);
        }
        let gone = Config {
            state_dir: dir.path().join("none"),
            ..Config::default()
        };
        let error = fingerprint_key(&gone).unwrap_err().to_string();
        assert!(error.contains("hint:"), "{error}");
    }
}
