//! The files under the database: opened for their owner alone, replaced by rename, so that a
//! database is there whole or not at all.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::StoreError;

/// Corrupt stores that are kept; older ones are removed.
const KEPT_ASIDE: usize = 5;

/// What the store does with files. Tests put a disk that fails in its place.
pub(super) trait Files: Send + Sync + fmt::Debug {
    /// Whether there is a file with something in it.
    fn has_content(&self, path: &Path) -> io::Result<bool>;
    /// Opens or creates a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>>;
    /// Removes a file, if it is there.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Renames, and makes that durable.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Writes a file's content anew, durably, under the same name.
    fn renew(&self, path: &Path) -> io::Result<()>;
    /// Renames to a name of its own that tells the time. Keeps only the newest few of those.
    fn set_aside(&self, path: &Path) -> io::Result<PathBuf>;
}

/// Real files.
#[derive(Debug)]
pub(super) struct OnDisk;

impl Files for OnDisk {
    fn has_content(&self, path: &Path) -> io::Result<bool> {
        match std::fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => Ok(metadata.len() > 0),
            Ok(_) => Err(io::Error::other("not a regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(path)?;
        if file.metadata()?.mode() & 0o077 != 0 {
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        FileBackend::new(file)
            .map(|backend| Box::new(backend) as Box<dyn StorageBackend>)
            .map_err(io::Error::other)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)?;
        sync_directory(to)
    }

    fn renew(&self, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = path.with_file_name(name);
        self.remove(&new)?;
        let mut copy = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        let copied = io::copy(&mut File::open(path)?, &mut copy)
            .and_then(|_| copy.sync_all())
            .and_then(|()| self.rename(&new, path));
        if copied.is_err() {
            // Leaves no half a copy behind, above all on a full disk.
            let _ = self.remove(&new);
        }
        copied
    }

    fn set_aside(&self, path: &Path) -> io::Result<PathBuf> {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let prefix = format!("{name}.corrupt-");
        let stamp = jiff::Timestamp::now()
            .strftime("%Y%m%dT%H%M%S%.6fZ")
            .to_string();
        let aside = path.with_file_name(format!("{prefix}{stamp}"));
        std::fs::rename(path, &aside)?;
        sync_directory(&aside)?;
        if let Err(error) = remove_oldest(path.parent().unwrap_or(Path::new(".")), &prefix) {
            tracing::warn!(%error, "old corrupt stores could not be removed");
        }
        Ok(aside)
    }
}

fn sync_directory(file: &Path) -> io::Result<()> {
    File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn remove_oldest(directory: &Path, prefix: &str) -> io::Result<()> {
    let mut aside = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        if name.to_string_lossy().starts_with(prefix) {
            aside.push(name);
        }
    }
    // The names end in the time.
    aside.sort();
    for name in aside.iter().rev().skip(KEPT_ASIDE) {
        let path = directory.join(name);
        tracing::warn!(file = %path.display(), "an old corrupt store is removed");
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Creates the state directory for its owner alone; warns when others may write to it.
pub(super) fn prepare_directory(directory: &Path) -> Result<(), StoreError> {
    let failed = |error: io::Error, hint| StoreError::Directory {
        path: directory.to_owned(),
        error,
        hint,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| {
            failed(
                error,
                "state_dir must be a directory the daemon's user can make",
            )
        })?;
    let metadata = std::fs::metadata(directory)
        .map_err(|error| failed(error, "state_dir must be readable by the daemon's user"))?;
    if metadata.mode() & 0o022 != 0 {
        tracing::warn!(
            directory = %directory.display(),
            "others may write to the state directory (hint: chmod go-w)"
        );
    }
    rustix::fs::access(
        directory,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    )
    .map_err(|error| {
        failed(
            error.into(),
            "the daemon's user must be able to write to state_dir",
        )
    })
}

/// A backend in a box, that remembers whether reading or syncing failed.
pub(super) struct Boxed {
    pub(super) inner: Box<dyn StorageBackend>,
    pub(super) read_failed: Arc<AtomicBool>,
    pub(super) sync_failed: Arc<AtomicBool>,
}

impl fmt::Debug for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl StorageBackend for Boxed {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner
            .read(offset, out)
            .inspect_err(|_| self.read_failed.store(true, Ordering::SeqCst))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner
            .sync_data()
            .inspect_err(|_| self.sync_failed.store(true, Ordering::SeqCst))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
