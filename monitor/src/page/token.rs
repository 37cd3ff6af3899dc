//! What a viewer must show: 32 random bytes, in a file that only the daemon's user may read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Name of the file in `runtime_dir`.
pub(super) const FILE: &str = "page.token";
/// Random bytes.
const BYTES: usize = 32;
/// Characters of their base64url form.
const LEN: usize = 43;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub struct TokenError {
    /// The file.
    pub path: PathBuf,
    /// What the system said, or what is wrong with the file.
    pub error: io::Error,
}

/// A token. Wiped when dropped; printed only by [`Token::expose`].
pub struct Token(Zeroizing<String>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// The token of `runtime_dir`, made if there is none: a page that is open stays open when the daemon is
    /// restarted. A file that others may read, or that somebody else owns, is replaced.
    ///
    /// # Errors
    /// What the system says.
    pub fn keep(runtime_dir: &Path) -> Result<Self, TokenError> {
        match Self::read(runtime_dir) {
            Ok(token) => Ok(token),
            Err(_) => Self::make(runtime_dir).map_err(|error| TokenError {
                path: runtime_dir.join(FILE),
                error,
            }),
        }
    }

    /// The token of the daemon that keeps its socket there.
    ///
    /// # Errors
    /// What the system says, and `InvalidData` for a file that a daemon would not use.
    pub fn read(runtime_dir: &Path) -> Result<Self, TokenError> {
        let path = runtime_dir.join(FILE);
        read(&path).map_err(|error| TokenError { path, error })
    }

    fn make(dir: &Path) -> io::Result<Self> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        // Unlike urandom it waits until the kernel has been seeded, once after boot.
        File::open("/dev/random")?.read_exact(&mut *bytes)?;
        let token = Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes)));
        let hidden = dir.join(format!(".{FILE}.{}", std::process::id()));
        drop(fs::remove_file(&hidden));
        let written = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&hidden)?;
            file.write_all(token.0.as_bytes())?;
            file.write_all(b"\n")?;
            fs::rename(&hidden, dir.join(FILE))
        })();
        if written.is_err() {
            drop(fs::remove_file(&hidden));
        }
        written.map(|()| token)
    }

    /// Whether this is it. Takes as long for a wrong one, wherever it differs.
    #[must_use]
    pub fn is(&self, shown: &str) -> bool {
        // Equality of hashes is in constant time, and says nothing of the text.
        blake3::hash(self.0.as_bytes()) == blake3::hash(shown.as_bytes())
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

fn read(path: &Path) -> io::Result<Token> {
    let wrong = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.mode() & 0o077 != 0 {
        return Err(wrong("is not a file that only its owner may read"));
    }
    // Root asks for what the service's user keeps.
    let user = rustix::process::geteuid();
    let of_dir = path.parent().map(fs::metadata).transpose()?;
    let owner = |uid| of_dir.is_some_and(|dir| user.is_root() && dir.uid() == uid);
    if meta.uid() != user.as_raw() && !owner(meta.uid()) {
        return Err(wrong("belongs to somebody else"));
    }
    let mut text = Zeroizing::new(String::with_capacity(LEN + 2));
    file.take(LEN as u64 + 2).read_to_string(&mut text)?;
    let token = text.trim_end();
    let whole = URL_SAFE_NO_PAD
        .decode(token)
        .map(Zeroizing::new)
        .is_ok_and(|bytes| bytes.len() == BYTES);
    if !whole {
        return Err(wrong("holds no token"));
    }
    Ok(Token(Zeroizing::new(token.to_owned())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_kept_and_nobody_else_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Token::read(dir.path()).is_err());
        let first = Token::keep(dir.path()).unwrap();
        let path = dir.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(first.expose().len(), LEN);
        assert!(Token::keep(dir.path()).unwrap().is(first.expose()));
        assert!(!first.is(""));
        assert!(!first.is(&first.expose()[1..]));
        assert!(!first.is(&format!("{}x", first.expose())));
        assert_eq!(format!("{first:?}"), "Token");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Token::read(dir.path()).is_err(), "others could read it");
        let second = Token::keep(dir.path()).unwrap();
        assert!(!second.is(first.expose()), "what others read is no secret");
        fs::write(&path, "short\n").unwrap();
        assert!(!Token::keep(dir.path()).unwrap().is("short"));
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(Token::read(dir.path()).is_err(), "links are not followed");
    }
}
