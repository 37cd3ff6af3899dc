//! What lies beside the code of a running workload: its working directory and its environment, looked through for
//! credentials that are in use.
//!
//! Two nets: the rules, and every word that could be a token, whatever it is called. Both are compared by
//! fingerprint, so nothing is told that is not in use. Bounded in files, bytes, depth and time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, fstat, fstatfs, openat2};
use zeroize::Zeroizing;

use super::engine::{Buffer, Scanner};
use super::finding::Candidate;
use super::{Form, Hit, LiveUse, plain};

/// Bounds of one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Files.
    pub files: u32,
    /// Bytes of all files; of one, an eighth of that.
    pub bytes: u64,
    /// Directories below the working directory.
    pub depth: u32,
    /// Time.
    pub time: std::time::Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            files: 2000,
            bytes: 64 << 20,
            depth: 4,
            time: std::time::Duration::from_secs(2),
        }
    }
}

/// What one look came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
    /// Files and directories that could not be read, or lie on another file system.
    pub unread: u64,
    /// Files that are too large.
    pub large: u64,
    /// Whether a bound ended it.
    pub cut: bool,
}

/// A credential in use, and where it lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// Path below the working directory; name of the variable.
    pub name: String,
    /// From 1; 0 of a variable.
    pub line: u64,
    /// Who uses it.
    pub live: LiveUse,
    /// Permission bits and owner of the file; 0 of a variable.
    pub mode: u32,
    /// Owner of the file.
    pub uid: u32,
}

/// Most that one look tells.
const MOST_SIGHTINGS: usize = 32;
/// Words of one file that are compared.
const MOST_WORDS: usize = 100_000;
/// Entries of one directory that are looked at.
const MOST_ENTRIES: usize = 10_000;
/// Directories that hold what others made, or nothing readable.
const SKIPPED: [&[u8]; 6] = [
    b".git",
    b"node_modules",
    b".hg",
    b".svn",
    b"__pycache__",
    b".cache",
];
/// Longest word that is compared.
const LONGEST_WORD: usize = 4096;
/// Shortest word that is compared.
const SHORTEST_WORD: usize = 16;

/// Says who uses a secret, if anybody does.
pub trait Asked {
    /// By what was hit.
    fn live(&self, candidate: &Candidate) -> Option<LiveUse>;
}

/// Why a working directory is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBeside {
    /// A directory of the system, or one that everybody writes to.
    System,
    /// Another machine's, or a process' (FUSE), which may never answer.
    Remote,
}

/// Directories in which code of its own does not lie: what is in them belongs to the system or to nobody.
const SYSTEM: [&str; 17] = [
    "/", "/bin", "/boot", "/etc", "/home", "/lib", "/mnt", "/opt", "/run", "/sbin", "/srv", "/tmp",
    "/usr", "/usr/bin", "/var", "/var/lib", "/var/tmp",
];

/// Whether a working directory can have code of its own in it. `path` as the process' root has it.
#[must_use]
pub fn is_system(path: &str) -> bool {
    SYSTEM.contains(&path)
        || ["/proc", "/sys", "/dev"].iter().any(|top| {
            path.strip_prefix(top)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
}

/// File systems whose files are on another machine or behind a process (magic numbers of linux/magic.h and of the file
/// systems' own headers).
fn is_remote(magic: u64) -> bool {
    const NFS: u64 = 0x6969;
    const SMB: u64 = 0x517B;
    const SMB2: u64 = 0xFE53_4D42;
    const CIFS: u64 = 0xFF53_4D42;
    const FUSE: u64 = 0x6573_5546;
    const CEPH: u64 = 0x00C3_6400;
    const AFS: u64 = 0x5346_414F;
    const CODA: u64 = 0x7375_7245;
    const V9FS: u64 = 0x0102_1997;
    const PROC: u64 = 0x9FA0;
    const SYSFS: u64 = 0x6265_6572;
    [
        NFS, SMB, SMB2, CIFS, FUSE, CEPH, AFS, CODA, V9FS, PROC, SYSFS,
    ]
    .contains(&magic)
}

/// Whether a file that holds a credential is a place made for it, and not one beside code:
///
/// - one that the policy names for an identity (`file:`), or that the configuration allows;
/// - below the service manager's credentials directory, /run/credentials or /run/secrets;
/// - below /etc or /run, when nobody but its owner may read it;
/// - a hidden file or directory right in the user's home (`~/.netrc`, `~/.config/…`), when nobody but its owner may
///   read it: the store of a program, not part of one.
#[must_use]
pub fn is_kept_apart(
    path: &str,
    mode: u32,
    home: Option<&str>,
    credentials: Option<&str>,
    named: &[String],
) -> bool {
    let below = |top: &str| {
        let top = top.trim_end_matches('/');
        !top.is_empty()
            && path
                .strip_prefix(top)
                .is_some_and(|rest| rest.starts_with('/'))
    };
    let private = mode & 0o077 == 0;
    named.iter().any(|one| one == path)
        || credentials.is_some_and(below)
        || below("/run/credentials")
        || below("/run/secrets")
        || (private && (below("/etc") || below("/run")))
        || (private
            && home.is_some_and(|home| {
                let home = home.trim_end_matches('/');
                !home.is_empty()
                    && path
                        .strip_prefix(home)
                        .is_some_and(|rest| rest.starts_with("/."))
            }))
}

/// Looks through a working directory.
pub struct Look<'a, A> {
    /// Rules.
    pub scanner: &'a Scanner,
    /// Who uses what.
    pub asked: &'a A,
    /// Bounds.
    pub bounds: Bounds,
}

impl<A> std::fmt::Debug for Look<'_, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Look")
    }
}

impl<A: Asked> Look<'_, A> {
    /// Looks through `root` breadth first: what is nearest first. Never leaves its file system, follows no link.
    ///
    /// # Errors
    /// When it is not to be looked at.
    pub fn directory(
        &self,
        root: &OwnedFd,
        buffer: &mut Buffer,
        begun: Instant,
    ) -> Result<(Looked, Vec<Sighting>), NotBeside> {
        let remote = fstatfs(root).map_or(true, |about| is_remote(about.f_type.cast_unsigned()));
        if remote {
            return Err(NotBeside::Remote);
        }
        let mut looked = Looked::default();
        let mut found: Vec<Sighting> = Vec::new();
        let mut queue: VecDeque<(Vec<u8>, u32)> = VecDeque::from([(b".".to_vec(), 0)]);
        while let Some((path, depth)) = queue.pop_front() {
            let directory = open(root, &path, OFlags::DIRECTORY).and_then(|fd| Ok(Dir::new(fd)?));
            let Ok(directory) = directory else {
                looked.unread += 1;
                continue;
            };
            let mut files: Vec<Vec<u8>> = Vec::new();
            for entry in directory.take(MOST_ENTRIES) {
                let Ok(entry) = entry else {
                    looked.unread += 1;
                    break;
                };
                let name = entry.file_name().to_bytes();
                if matches!(name, b"." | b"..") {
                    continue;
                }
                let full = join(&path, name);
                match entry.file_type() {
                    FileType::Directory
                        if depth < self.bounds.depth && !SKIPPED.contains(&name) =>
                    {
                        if queue.len() < MOST_ENTRIES {
                            queue.push_back((full, depth + 1));
                        } else {
                            looked.cut = true;
                        }
                    }
                    FileType::RegularFile => files.push(full),
                    _ => {}
                }
            }
            files.sort();
            for path in files {
                let over = looked.files >= u64::from(self.bounds.files)
                    || looked.bytes >= self.bounds.bytes
                    || begun.elapsed() >= self.bounds.time
                    || found.len() >= MOST_SIGHTINGS;
                if over {
                    looked.cut = true;
                    return Ok((looked, found));
                }
                match self.file(root, &path, buffer, &mut looked, &mut found) {
                    Ok(()) => {}
                    Err(_) => looked.unread += 1,
                }
            }
        }
        Ok((looked, found))
    }

    fn file(
        &self,
        root: &OwnedFd,
        path: &[u8],
        buffer: &mut Buffer,
        looked: &mut Looked,
        found: &mut Vec<Sighting>,
    ) -> io::Result<()> {
        let fd = open(root, path, OFlags::empty())?;
        let about = fstat(&fd)?;
        if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let most = self.bounds.bytes / 8;
        let size = u64::try_from(about.st_size).unwrap_or(u64::MAX);
        if size > most {
            looked.large += 1;
            return Ok(());
        }
        looked.files += 1;
        // Room for all of it from the start: a buffer that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(
            usize::try_from(size).unwrap_or(0).saturating_add(1),
        ));
        File::from(fd).take(most).read_to_end(&mut bytes)?;
        looked.bytes = looked.bytes.saturating_add(bytes.len() as u64);
        let name = String::from_utf8_lossy(path.strip_prefix(b"./").unwrap_or(path)).into_owned();
        let mut tell = |line: u64, live: LiveUse| {
            let again = found
                .iter()
                .any(|known| known.name == name && known.live.identity == live.identity);
            if !again && found.len() < MOST_SIGHTINGS {
                found.push(Sighting {
                    name: name.clone(),
                    line,
                    live,
                    mode: about.st_mode & 0o7777,
                    uid: about.st_uid,
                });
            }
        };
        self.scanner.scan(path, bytes.as_slice(), buffer, |hit| {
            if let Some(live) = self.hit(hit) {
                tell(hit.line, live);
            }
        })?;
        for (at, word) in words(&bytes).take(MOST_WORDS) {
            if let Some(live) = self.word(word) {
                let line = memchr::memchr_iter(b'\n', bytes.get(..at).unwrap_or_default()).count()
                    as u64
                    + 1;
                tell(line, live);
            }
        }
        Ok(())
    }

    /// Looks through an environment (`/proc/PID/environ`): each value as a whole, and what rules and words find in it.
    #[must_use]
    pub fn environment(&self, environ: &[u8], buffer: &mut Buffer) -> Vec<Sighting> {
        let mut found: Vec<Sighting> = Vec::new();
        for variable in environ.split(|byte| *byte == 0).take(4096) {
            let Some(equals) = variable.iter().position(|byte| *byte == b'=') else {
                continue;
            };
            let (name, value) = (
                variable.get(..equals).unwrap_or_default(),
                variable.get(equals + 1..).unwrap_or_default(),
            );
            let mut live = self.whole(value);
            if live.is_none() {
                let told = self.scanner.scan(b"environ", variable, buffer, |hit| {
                    live = live.take().or_else(|| self.hit(hit));
                });
                // Memory does not fail to be read.
                drop(told);
            }
            let live = live.or_else(|| words(value).take(64).find_map(|(_, word)| self.word(word)));
            if let Some(live) = live
                && found.len() < MOST_SIGHTINGS
            {
                found.push(Sighting {
                    name: String::from_utf8_lossy(
                        name.get(..name.len().min(128)).unwrap_or_default(),
                    )
                    .into_owned(),
                    line: 0,
                    live,
                    mode: 0,
                    uid: 0,
                });
            }
        }
        found
    }

    fn hit(&self, hit: &Hit<'_>) -> Option<LiveUse> {
        // A comment that allows a line says that it is no secret: one that is in use is.
        self.asked.live(&Candidate::of(hit)?)
    }

    fn whole(&self, value: &[u8]) -> Option<LiveUse> {
        let value = value.trim_ascii();
        let fits = (8..=LONGEST_WORD).contains(&value.len());
        let candidate = |form| Candidate::from_parts(form, 0, Zeroizing::new(value.to_vec()));
        if !fits {
            return None;
        }
        // `user:password` as such is what Basic has, base64 or not.
        let pair = value
            .contains(&b':')
            .then(|| candidate(Form::Userinfo))
            .flatten();
        self.asked
            .live(&candidate(Form::Token)?)
            .or_else(|| pair.and_then(|pair| self.asked.live(&pair)))
    }

    fn word(&self, word: &[u8]) -> Option<LiveUse> {
        let candidate = Candidate::from_parts(Form::Token, 0, Zeroizing::new(word.to_vec()))?;
        self.asked.live(&candidate)
    }
}

/// Words that could be a token: 16 bytes and more of its characters, and what is behind a `=` or `:` in them; with a
/// digit and a letter, and no mere repetition.
fn words(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let token = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'+' | b'/' | b'=' | b'.' | b'~' | b'-' | b':')
    };
    let mut at = 0;
    let runs = std::iter::from_fn(move || {
        loop {
            let rest = bytes.get(at..)?;
            let start = rest.iter().position(token)?;
            let run = rest.get(start..)?;
            let len = run
                .iter()
                .position(|byte| !token(byte))
                .unwrap_or(run.len());
            let from = at + start;
            at = from + len;
            if (SHORTEST_WORD..=LONGEST_WORD).contains(&len) {
                return Some((from, bytes.get(from..at)?));
            }
        }
    });
    runs.flat_map(|(at, run)| {
        let after = |mark: u8| {
            let cut = run.iter().position(|byte| *byte == mark)? + 1;
            Some((at + cut, run.get(cut..)?))
        };
        // A full stop or colon at the end is the sentence's.
        let trimmed = run
            .strip_suffix(b".")
            .or_else(|| run.strip_suffix(b":"))
            .map(|run| (at, run));
        [Some((at, run)), after(b'='), after(b':'), trimmed]
            .into_iter()
            .flatten()
    })
    .filter(|(_, word)| {
        word.len() >= SHORTEST_WORD
            && word.iter().any(u8::is_ascii_digit)
            && word.iter().any(u8::is_ascii_alphabetic)
            && plain::entropy(word) >= 2.5
    })
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path == b"." {
        name.to_vec()
    } else {
        [path, name].join(&b'/')
    }
}

/// Opens below `root`: whatever stands there meanwhile, no link is followed, no other file system entered, and a pipe
/// does not make this wait.
fn open(root: impl AsFd, path: &[u8], more: OFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY
        | OFlags::CLOEXEC
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::NOFOLLOW
        | more;
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    Ok(openat2(root, path, flags, Mode::empty(), resolve)?)
}

#[cfg(test)]
#[path = "workload_tests.rs"]
mod tests;
