//! The policy that a configuration names, read from the disk: for the daemon, and for commands that need no
//! more of it than what it says.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::access::FingerprintKey;
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
