//! The thread: waits for changes, reads what was appended, notices files that were replaced or cut.

use std::collections::BTreeMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use zeroize::{Zeroize, Zeroizing};

use super::{KeyLogStatus, SharedKeyLogs};
use crate::wire::tls::{KeyLogReader, LoggedSecret};

/// Bytes read at a time.
const PART: usize = 16 * 1024;
/// Most parts of one file before the others have their turn.
const MOST_PARTS: usize = 64;
/// How often files are looked at although nothing was told of them: a directory above may have changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same where changes are not told of.
const POLL_EVERY: Duration = Duration::from_millis(20);
/// After a change others are waited for: a handshake writes up to five lines.
const GATHER: Duration = Duration::from_millis(1);

/// Who takes the secrets is gone.
struct Gone;

pub(super) struct Follower {
    files: Vec<Followed>,
    notices: Option<OwnedFd>,
    /// Directories in which a file is waited for, and their watches.
    directories: BTreeMap<PathBuf, i32>,
    shared: SharedKeyLogs,
    buffer: Zeroizing<Vec<u8>>,
}

struct Followed {
    path: PathBuf,
    open: Option<Open>,
    reader: KeyLogReader,
    trouble: Option<String>,
    /// Nothing is where its path leads; the file that was there is read on.
    moved: bool,
}

struct Open {
    file: File,
    id: (u64, u64),
    /// Where what was not read yet begins.
    at: u64,
    watch: Option<i32>,
}

fn id(of: &Metadata) -> (u64, u64) {
    (of.dev(), of.ino())
}

/// Opens a regular file; anything else (a pipe would wait for its writer) is refused.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

impl Follower {
    pub(super) fn new(paths: impl Iterator<Item = PathBuf>, shared: SharedKeyLogs) -> Self {
        let files = paths.map(|path| Followed {
            path,
            open: None,
            reader: KeyLogReader::default(),
            trouble: None,
            moved: false,
        });
        Self {
            files: files.collect(),
            notices: inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok(),
            directories: BTreeMap::new(),
            shared,
            buffer: Zeroizing::new(vec![0; PART]),
        }
    }

    /// Opens what is there, each at its end.
    pub(super) fn join(&mut self) {
        for file in &mut self.files {
            file.open(self.notices.as_ref(), true);
        }
        self.watch_directories();
        self.publish();
    }

    pub(super) fn run(mut self, stop: &OwnedFd, out: &SyncSender<LoggedSecret>) {
        loop {
            let Ok(more) = self.look(out) else { return };
            let more = self.watch_directories() || more;
            self.publish();
            if !more {
                if !self.wait(stop) {
                    return;
                }
                thread::sleep(GATHER);
            }
        }
    }

    /// Reads what is new. Whether there is more.
    fn look(&mut self, out: &SyncSender<LoggedSecret>) -> Result<bool, Gone> {
        let mut more = false;
        for file in &mut self.files {
            more |= file.look(self.notices.as_ref(), &mut self.buffer, out)?;
        }
        Ok(more)
    }

    /// Waits until something changes, or may have. False at the end.
    fn wait(&self, stop: &OwnedFd) -> bool {
        let told = self
            .files
            .iter()
            .all(|file| file.open.as_ref().is_none_or(|open| open.watch.is_some()));
        let patience = if told && self.notices.is_some() {
            LOOK_EVERY
        } else {
            POLL_EVERY
        };
        let entry = |fd: i32| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        // A negative descriptor is passed over.
        let notices = self.notices.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let mut fds = [entry(stop.as_raw_fd()), entry(notices)];
        let time = libc::c_int::try_from(patience.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: two initialised entries that outlive the call.
        unsafe { libc::poll(fds.as_mut_ptr(), 2, time) };
        let [stop, _] = fds;
        if stop.revents != 0 {
            return false;
        }
        // Which file it was is not asked: all are looked at.
        if let Some(notices) = &self.notices {
            let mut events = [0; 4096];
            while rustix::io::read(notices, &mut events).is_ok_and(|read| read > 0) {}
        }
        true
    }

    /// Watches the directories of files that are not there, and no others. Whether there is a new one: then
    /// a file may have appeared before it was watched.
    fn watch_directories(&mut self) -> bool {
        let Some(notices) = &self.notices else {
            return false;
        };
        let missing = self
            .files
            .iter()
            .filter(|file| file.open.is_none() || file.moved);
        let wanted: Vec<&Path> = missing.filter_map(|file| file.path.parent()).collect();
        self.directories.retain(|directory, watch| {
            let keep = wanted.contains(&directory.as_path());
            if !keep {
                let _ = inotify::remove_watch(notices, *watch);
            }
            keep
        });
        let mut new = false;
        for directory in wanted {
            if !self.directories.contains_key(directory)
                && let Ok(watch) = inotify::add_watch(
                    notices,
                    directory,
                    WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR,
                )
            {
                self.directories.insert(directory.to_owned(), watch);
                new = true;
            }
        }
        new
    }

    fn publish(&self) {
        let list = self.files.iter().map(|file| KeyLogStatus {
            path: file.path.clone(),
            trouble: file.trouble.clone(),
            counts: file.reader.counts(),
        });
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.clear();
        shared.extend(list);
    }
}

impl Followed {
    /// Opens the file that the path leads to now, if there is one: to be read from its beginning, or from
    /// its end.
    fn open(&mut self, notices: Option<&OwnedFd>, at_end: bool) {
        match open(&self.path) {
            Ok((file, metadata)) => {
                self.close(notices);
                let at = if at_end { metadata.len() } else { 0 };
                self.reader.restart(at > 0 && !ends_line(&file, at));
                self.trouble = None;
                let watch = notices.and_then(|notices| watch(notices, &file));
                self.open = Some(Open {
                    file,
                    id: id(&metadata),
                    at,
                    watch,
                });
                tracing::info!(path = %self.path.display(), "key log followed");
            }
            Err(error) => {
                let trouble = error.to_string();
                if self.trouble.as_ref() != Some(&trouble) {
                    if error.kind() == io::ErrorKind::NotFound {
                        tracing::debug!(path = %self.path.display(), "no key log there yet");
                    } else {
                        tracing::warn!(path = %self.path.display(), %error, "a key log cannot be followed");
                    }
                    self.trouble = Some(trouble);
                }
            }
        }
    }

    fn close(&mut self, notices: Option<&OwnedFd>) {
        if let Some(open) = self.open.take()
            && let (Some(notices), Some(watch)) = (notices, open.watch)
        {
            let _ = inotify::remove_watch(notices, watch);
        }
    }

    /// Reads what is new, and notices when the path leads to another file. Whether there is more.
    fn look(
        &mut self,
        notices: Option<&OwnedFd>,
        buffer: &mut [u8],
        out: &SyncSender<LoggedSecret>,
    ) -> Result<bool, Gone> {
        // First: what is written into the old file before it is replaced is in it when the new one is seen.
        let now = std::fs::metadata(&self.path).ok().map(|found| id(&found));
        if self.read(buffer, out)? {
            return Ok(true);
        }
        let same = self.open.as_ref().map(|open| open.id) == now;
        self.moved = now.is_none();
        // A file that was moved away is followed until there is another: its writers still have it.
        if self.open.is_none() || (now.is_some() && !same) {
            self.open(notices, false);
            return self.read(buffer, out);
        }
        Ok(false)
    }

    /// Reads what was appended. Whether there is more.
    fn read(&mut self, buffer: &mut [u8], out: &SyncSender<LoggedSecret>) -> Result<bool, Gone> {
        let Some(open) = &mut self.open else {
            return Ok(false);
        };
        let length = open.file.metadata().map_or(open.at, |found| found.len());
        if length < open.at {
            // It was cut.
            open.at = 0;
            self.reader.restart(false);
        }
        let mut gone = false;
        for _ in 0..MOST_PARTS {
            let read = match open.file.read_at(buffer, open.at) {
                Ok(0) | Err(_) => return Ok(false),
                Ok(read) => read,
            };
            open.at += read as u64;
            if let Some(bytes) = buffer.get_mut(..read) {
                self.reader
                    .feed(bytes, &mut |secret| gone |= out.send(secret).is_err());
                bytes.zeroize();
            }
            if gone {
                return Err(Gone);
            }
        }
        Ok(true)
    }
}

/// Whether the byte before `at` ends a line.
fn ends_line(file: &File, at: u64) -> bool {
    let mut byte = [0];
    let read = file.read_at(&mut byte, at.saturating_sub(1));
    matches!(read, Ok(1)) && byte == *b"\n"
}

/// Watches an open file itself, whatever has become of its path.
fn watch(notices: &OwnedFd, file: &File) -> Option<i32> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let what =
        WatchFlags::MODIFY | WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
    inotify::add_watch(notices, path, what).ok()
}
