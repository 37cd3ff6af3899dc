//! The policy that a configuration names, read from the disk: for the daemon, and for commands that need no
//! more of it than what it says.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::access::FingerprintKey;
use crate::audit::FileHash;
use crate::config::Config;
use crate::policy::{Files, Loaded, PolicyError, load};

/// Policy files as the file system has them.
#[derive(Debug)]
struct PolicyFiles;

impl Files for PolicyFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
        match fs::read_dir(path) {
            Ok(entries) => entries
                .map(|e| e.map(|e| e.path()))
                .collect::<io::Result<_>>()
                .map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The same, remembering what the policy's own files held when they were read.
struct Hashing<'a> {
    files: PolicyFiles,
    /// Files and directories of the configuration.
    policy: Vec<PathBuf>,
    seen: &'a RefCell<Vec<FileHash>>,
}

impl Files for Hashing<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let bytes = self.files.read(path)?;
        // Credentials are read through here, too: no hash of those.
        let listed = |wanted: &PathBuf| {
            let inside =
                path.parent() == Some(wanted) && path.extension().is_some_and(|e| e == "toml");
            path == wanted || inside
        };
        if self.policy.iter().any(listed) {
            self.seen.borrow_mut().push(file_hash(path, &bytes));
        }
        Ok(bytes)
    }

    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
        self.files.list(path)
    }
}

/// What a file held.
pub(super) fn file_hash(path: &Path, bytes: &[u8]) -> FileHash {
    let mut sha256 = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(sha256, "{byte:02x}");
    }
    FileHash {
        path: path.display().to_string(),
        sha256,
    }
}

/// Loads the configured policy, and tells what its files held.
pub(super) fn hashed(
    config: &Config,
    key: &FingerprintKey,
) -> Result<(Loaded, Vec<FileHash>), Vec<PolicyError>> {
    let base = base(config);
    let seen = RefCell::new(Vec::new());
    let files = Hashing {
        files: PolicyFiles,
        policy: config.policy.iter().map(|path| base.join(path)).collect(),
        seen: &seen,
    };
    let loaded = load(&config.policy, base, &files, key)?;
    Ok((loaded, seen.into_inner()))
}

/// Directory from which the policy's relative paths count.
pub(super) fn base(config: &Config) -> &Path {
    config
        .file()
        .and_then(Path::parent)
        .unwrap_or(Path::new("."))
}

/// Loads the configured policy.
pub(super) fn configured(
    config: &Config,
    key: &FingerprintKey,
) -> Result<Loaded, Vec<PolicyError>> {
    load(&config.policy, base(config), &PolicyFiles, key)
}

/// As [`configured`], where it does not matter what credentials hash to.
pub(super) fn unkeyed(config: &Config) -> Result<Loaded, Vec<PolicyError>> {
    configured(config, &FingerprintKey::new([0; 32]))
}

/// A policy that no configuration names. As [`unkeyed`].
pub(super) fn at(path: &Path) -> Result<Loaded, Vec<PolicyError>> {
    let key = FingerprintKey::new([0; 32]);
    load(&[path.to_owned()], Path::new("."), &PolicyFiles, &key)
}
