//! Opening program files: the only I/O of the discovery.

use std::fs::File;
use std::io;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, fstatfs, openat, openat2,
};

use super::super::elf::ReadAt;
use super::cache::LARGEST_CACHE;
use super::maps::Mapped;

/// A file, wherever it is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Device, as `fstat` tells it.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
}

/// What changes when a file's contents do, or when its inode number is given to another. Nobody can
/// set the time of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// Size in bytes.
    pub size: u64,
    /// Last modification, in ns since 1970.
    pub modified: i128,
    /// Last change of contents or attributes, in ns since 1970.
    pub changed: i128,
}

/// Whose root directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Root {
    /// This process' own.
    Host,
    /// Another process'.
    Of(u32),
}

/// An open program file.
pub trait ProgramFile: ReadAt + Send {
    /// Which one.
    fn id(&self) -> FileId;
    /// As it was when it was opened.
    fn version(&self) -> Version;
    /// It is seen through an overlay: other overlays may show the same file as another.
    fn layered(&self) -> bool;
    /// A path that leads to exactly this file as long as it is open, whatever becomes of processes and
    /// names: for attaching.
    fn path(&self) -> PathBuf;
}

/// Where program files come from. Injected, so that tests need neither processes nor privileges.
pub trait LibraryFiles: Send {
    /// Release of the kernel, as `uname -r`.
    fn kernel(&self) -> String;
    /// All processes.
    fn pids(&self) -> Vec<u32>;
    /// `/proc/PID/maps`; `None` when the process is gone.
    fn maps(&self, pid: u32) -> Option<String>;
    /// `/proc/PID/mountinfo`.
    fn mounts(&self, pid: u32) -> Option<String>;
    /// Opens a file that a process has mapped; never called for one that [`super::Silent`] has.
    ///
    /// # Errors
    /// It is gone, or no regular file.
    fn mapped(&self, pid: u32, mapped: &Mapped) -> io::Result<Box<dyn ProgramFile>>;
    /// Which directory a root is.
    fn root(&self, root: Root) -> Option<FileId>;
    /// `etc/ld.so.cache` below a root, at most 8 MiB.
    fn cache(&self, root: Root) -> Option<Vec<u8>>;
    /// Opens a file below a root; symbolic links do not lead out of it.
    ///
    /// # Errors
    /// There is none, or no regular file.
    fn below(&self, root: Root, path: &str) -> io::Result<Box<dyn ProgramFile>>;
}

/// The real ones.
#[derive(Debug)]
pub struct RealLibraryFiles {
    proc: PathBuf,
}

/// `OVERLAYFS_SUPER_MAGIC` (include/uapi/linux/magic.h).
const OVERLAY: i64 = 0x794c_7630;
/// Longest file of /proc that is read, in bytes: 65,530 mappings, Linux's default bound.
const LONGEST_TABLE: u64 = 16 * 1024 * 1024;

impl RealLibraryFiles {
    /// Of the /proc that is mounted.
    #[must_use]
    pub fn new() -> Self {
        Self {
            proc: PathBuf::from("/proc"),
        }
    }

    /// Of another directory that looks like it.
    #[cfg(test)]
    pub(super) fn at(proc: &Path) -> Self {
        Self {
            proc: proc.to_owned(),
        }
    }

    fn text(&self, pid: u32, name: &str) -> Option<String> {
        let file = File::open(self.proc.join(format!("{pid}/{name}"))).ok()?;
        let mut bytes = Vec::new();
        file.take(LONGEST_TABLE).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn root_directory(&self, root: Root) -> io::Result<OwnedFd> {
        let path = match root {
            Root::Host => PathBuf::from("/"),
            Root::Of(pid) => self.proc.join(format!("{pid}/root")),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(CWD, path, flags, Mode::empty())?)
    }

    /// Looks a path up; symbolic links do not lead out of the root.
    fn below_root(&self, root: Root, path: &str, more: ResolveFlags) -> io::Result<OwnedFd> {
        let directory = self.root_directory(root)?;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        Ok(openat2(directory, path, flags, Mode::empty(), resolve)?)
    }

    /// A mapped file by its name, if what has the name is still the same.
    pub(super) fn named(&self, pid: u32, mapped: &Mapped) -> io::Result<OwnedFd> {
        let found = self.below_root(Root::Of(pid), &mapped.path, ResolveFlags::empty())?;
        if fstat(&found)?.st_ino == mapped.inode {
            Ok(found)
        } else {
            Err(io::Error::from(io::ErrorKind::NotFound))
        }
    }
}

/// Below another's root no mount is entered: what is mounted there may never answer.
fn within(root: Root) -> ResolveFlags {
    match root {
        Root::Host => ResolveFlags::empty(),
        Root::Of(_) => ResolveFlags::NO_XDEV,
    }
}

impl Default for RealLibraryFiles {
    fn default() -> Self {
        Self::new()
    }
}

impl LibraryFiles for RealLibraryFiles {
    fn kernel(&self) -> String {
        let name = rustix::system::uname();
        name.release().to_string_lossy().into_owned()
    }

    fn pids(&self) -> Vec<u32> {
        let Ok(entries) = std::fs::read_dir(&self.proc) else {
            return Vec::new();
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        names
            .filter_map(|name| name.to_str()?.parse().ok())
            .collect()
    }

    fn maps(&self, pid: u32) -> Option<String> {
        self.text(pid, "maps")
    }

    fn mounts(&self, pid: u32) -> Option<String> {
        self.text(pid, "mountinfo")
    }

    fn mapped(&self, pid: u32, mapped: &Mapped) -> io::Result<Box<dyn ProgramFile>> {
        let path = self.proc.join(format!("{pid}/map_files/{}", mapped.range));
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match openat(CWD, path, flags, Mode::empty()) {
            Ok(found) => open(found.as_fd()),
            // What is mapped may only be opened with CAP_CHECKPOINT_RESTORE (Linux 5.9) or
            // CAP_SYS_ADMIN; without it the same inode is looked for by its name.
            Err(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) => {
                open(self.named(pid, mapped)?.as_fd())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn root(&self, root: Root) -> Option<FileId> {
        let directory = self.root_directory(root).ok()?;
        Some(identity(&fstat(&directory).ok()?))
    }

    fn cache(&self, root: Root) -> Option<Vec<u8>> {
        let found = self
            .below_root(root, "etc/ld.so.cache", within(root))
            .ok()?;
        let file = reopen(found.as_fd()).ok()?;
        let mut bytes = Vec::new();
        let limit = LARGEST_CACHE as u64;
        file.take(limit).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn below(&self, root: Root, path: &str) -> io::Result<Box<dyn ProgramFile>> {
        open(self.below_root(root, path, within(root))?.as_fd())
    }
}

fn identity(stat: &Stat) -> FileId {
    FileId {
        dev: stat.st_dev,
        ino: stat.st_ino,
    }
}

/// Opens for reading what was only looked up so far, if it is a regular file: opening a device or a
/// pipe can have consequences.
fn reopen(found: BorrowedFd<'_>) -> io::Result<File> {
    if FileType::from_raw_mode(fstat(found)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(openat(CWD, by_number(found.as_raw_fd()), flags, Mode::empty())?.into())
}

fn by_number(fd: i32) -> PathBuf {
    Path::new("/proc/self/fd").join(fd.to_string())
}

fn open(found: BorrowedFd<'_>) -> io::Result<Box<dyn ProgramFile>> {
    let file = reopen(found)?;
    let stat = fstat(&file)?;
    let nanoseconds = |s: i64, ns: u64| i128::from(s) * 1_000_000_000 + i128::from(ns);
    let version = Version {
        size: u64::try_from(stat.st_size).unwrap_or(0),
        modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
        changed: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
    };
    let id = identity(&stat);
    let layered = fstatfs(&file)?.f_type == OVERLAY;
    Ok(Box::new(OpenFile {
        file,
        id,
        version,
        layered,
    }))
}

struct OpenFile {
    file: File,
    id: FileId,
    version: Version,
    layered: bool,
}

impl ReadAt for OpenFile {
    fn size(&self) -> u64 {
        self.version.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        match self.file.read_at(into, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.file.read_at(into, offset)
            }
            other => other,
        }
    }
}

impl ProgramFile for OpenFile {
    fn id(&self) -> FileId {
        self.id
    }

    fn version(&self) -> Version {
        self.version
    }

    fn layered(&self) -> bool {
        self.layered
    }

    fn path(&self) -> PathBuf {
        by_number(self.file.as_raw_fd())
    }
}
