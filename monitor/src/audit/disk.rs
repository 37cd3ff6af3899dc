//! The files of a log, and how they come to be on the disk.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

/// Reads files of a log; paths count from its directory.
pub trait Files {
    /// A file's bytes; `None` when it is not there.
    ///
    /// # Errors
    /// It cannot be read, is no plain file, or is longer than `most` bytes.
    fn read(&self, path: &str, most: u64) -> io::Result<Option<Vec<u8>>>;
}

impl<F: Files + ?Sized> Files for &F {
    fn read(&self, path: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        (**self).read(path, most)
    }
}

/// Writes them. A trait so that tests can fail, and lose what was not synced.
pub trait Disk: Files + Send {
    /// Puts a whole file in its place, which another may have had. Its bytes are on the disk when this
    /// returns; under its name only after [`Disk::sync`].
    ///
    /// # Errors
    /// It could not be written; what was in its place still is.
    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Waits until all names are on the disk.
    ///
    /// # Errors
    /// They may not be.
    fn sync(&mut self) -> io::Result<()>;

    /// Removes a directory of partial tiles.
    ///
    /// # Errors
    /// It is still there.
    fn remove(&mut self, directory: &str) -> io::Result<()>;

    /// Moves everything of the log into a directory of this name beside it.
    ///
    /// # Errors
    /// It could not be moved.
    fn set_aside(&mut self, name: &str) -> io::Result<()>;
}

/// A log's directory that is only read.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// Of this path.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl Files for Directory {
    fn read(&self, path: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        // What lies there may be a pipe or a device: neither is waited for.
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(self.0.join(path));
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no plain file"));
        }
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(io::Error::other(format!("it is longer than {most} bytes")));
        }
        Ok(Some(bytes))
    }
}

/// A log's directory that the daemon writes to.
#[derive(Debug)]
pub struct OwnDirectory {
    files: Directory,
    /// Group that may read.
    group: Option<u32>,
    /// Locked: two daemons in one log would undo each other's work.
    _lock: File,
    /// Directories with names that are not on the disk yet.
    unsynced: BTreeSet<PathBuf>,
}

const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

impl OwnDirectory {
    /// Makes the directory when it is missing, and gives it, and what is in it already, to the group.
    ///
    /// # Errors
    /// It cannot be made, or its group not be set.
    pub fn open(path: &Path, group: Option<u32>) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(path)?;
        let lock = File::open(path)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(io::Error::other("another daemon writes to it"));
        }
        let own = Self {
            files: Directory::new(path),
            group,
            _lock: lock,
            unsynced: BTreeSet::new(),
        };
        own.hand_over(path)?;
        Ok(own)
    }

    /// Sets group and modes of the whole directory, if the directory itself has not got them.
    fn hand_over(&self, top: &Path) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt as _;
        let meta = fs::metadata(top)?;
        let fits = self.group.is_none_or(|group| meta.gid() == group);
        if fits && meta.mode() & 0o7777 == DIRECTORY_MODE {
            return Ok(());
        }
        // The top comes last, so that a hand-over that broke off is begun again.
        let mut directories = vec![top.to_owned()];
        let mut next = 0;
        while let Some(directory) = directories.get(next).cloned() {
            next += 1;
            for entry in fs::read_dir(&directory)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    directories.push(entry.path());
                } else if kind.is_file() {
                    self.own(&File::open(entry.path())?, FILE_MODE)?;
                }
            }
        }
        for directory in directories.iter().rev() {
            self.own(&File::open(directory)?, DIRECTORY_MODE)?;
        }
        Ok(())
    }

    fn own(&self, file: &File, mode: u32) -> io::Result<()> {
        if let Some(group) = self.group {
            fchown(file, None, Some(group))?;
        }
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
    }

    /// Makes the directories above a file.
    fn make_room(&mut self, path: &Path) -> io::Result<()> {
        let Some(parent) = path.parent() else {
            return Ok(());
        };
        if parent.is_dir() {
            return Ok(());
        }
        self.make_room(parent)?;
        fs::create_dir(parent)?;
        self.own(&File::open(parent)?, DIRECTORY_MODE)?;
        if let Some(above) = parent.parent() {
            self.unsynced.insert(above.to_owned());
        }
        Ok(())
    }
}

impl Files for OwnDirectory {
    fn read(&self, path: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        self.files.read(path, most)
    }
}

impl Disk for OwnDirectory {
    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.files.0.join(path);
        self.make_room(&path)?;
        let temporary = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        let written = file
            .write_all(bytes)
            .and_then(|()| self.own(&file, FILE_MODE))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            // Its room may be needed on a full disk.
            let _ = fs::remove_file(&temporary);
        }
        written?;
        if let Some(parent) = path.parent() {
            self.unsynced.insert(parent.to_owned());
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        while let Some(directory) = self.unsynced.first() {
            File::open(directory)?.sync_all()?;
            self.unsynced.pop_first();
        }
        Ok(())
    }

    fn remove(&mut self, directory: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.files.0.join(directory)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn set_aside(&mut self, name: &str) -> io::Result<()> {
        let top = self.files.0.clone();
        let aside = top.join(name);
        fs::create_dir(&aside)?;
        self.own(&File::open(&aside)?, DIRECTORY_MODE)?;
        for part in [super::tile::CHECKPOINT, super::PUBLIC_KEY, "tile"] {
            match fs::rename(top.join(part), aside.join(part)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.unsynced.insert(aside);
        self.unsynced.insert(top);
        self.sync()
    }
}
