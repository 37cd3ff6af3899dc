//! Each file once.

use std::path::PathBuf;
use std::time::Duration;

use super::super::elf::Emulation;
use super::bounds::{Memory, Rate};
use super::examine::{Missing, Point, examine};
use super::files::{FileId, LibraryFiles, ProgramFile, Root, Version};
use super::maps::{Mapped, Silent, mapped};
use super::{cache, table};

/// Files whose examination is remembered.
const FILES: usize = 16_384;
/// Mappings that are not opened again for a while.
const RECENT: usize = 16_384;
/// For how long: an inode number can be given to another file.
const RECENTLY: Duration = Duration::from_secs(10);
/// Root directories whose libraries were looked at.
const ROOTS: usize = 4096;
/// Libraries of one root directory.
const MOST_LIBRARIES: usize = 64;
/// Processes that are looked at at the start.
const MOST_PROCESSES: usize = 65_536;
/// Where libraries are that no cache lists (musl).
const USUAL: [&str; 6] = [
    "/lib/libcrypto.so.3",
    "/usr/lib/libcrypto.so.3",
    "/lib/libssl.so.3",
    "/usr/lib/libssl.so.3",
    "/usr/lib/libgnutls.so.30",
    "/usr/lib/libssl3.so",
];

/// Where probes go in one file. It stays open, and attachable, as long as this lives; drop it once
/// attached: an open file holds its file system mounted.
pub struct Plan {
    /// Which file. A plan for the same file replaces an earlier one: the file was changed, or is
    /// another with the same number.
    pub id: FileId,
    /// Its path as the process that led to it sees it, for people.
    pub path: String,
    /// An earlier plan is for the very same file, seen through another overlay: its probes serve this
    /// one too. Do not attach these as well, or everything is told twice.
    pub same_as: Option<FileId>,
    /// Where to; may be empty, if only something missing is to be told.
    pub points: Vec<Point>,
    /// What could not be found, and why.
    pub missing: Vec<Missing>,
    file: Box<dyn ProgramFile>,
}

impl Plan {
    /// The path to attach by: leads to this very file as long as the plan lives.
    #[must_use]
    pub fn attach_path(&self) -> PathBuf {
        self.file.path()
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan")
            .field("id", &self.id)
            .field("path", &self.path)
            .field("same_as", &self.same_as)
            .field("points", &self.points)
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}

/// What was done and what was left, since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FinderCounters {
    /// Processes looked at.
    pub processes: u64,
    /// Processes not looked at because there were too many at a time.
    pub processes_skipped: u64,
    /// Files examined.
    pub files: u64,
    /// Files left for later because there were too many, or too much to read, at a time.
    pub files_deferred: u64,
    /// Files that could not be opened.
    pub unopened: u64,
    /// Files not opened because a process answers for their file system.
    pub fuse: u64,
    /// Files that are not what they say they are.
    pub malformed: u64,
    /// Bytes read of them all.
    pub bytes: u64,
}

/// Finds files to probe.
pub struct Finder {
    files: Box<dyn LibraryFiles>,
    emulation: Emulation,
    examined: Memory<FileId, Version>,
    recent: Memory<(u32, u32, u64), Duration>,
    roots: Memory<FileId, ()>,
    planned: Memory<(u64, Version), Planned>,
    file_rate: Rate,
    byte_rate: Rate,
    process_rate: Rate,
    counters: FinderCounters,
}

impl std::fmt::Debug for Finder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Finder")
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl Finder {
    /// Nothing is looked at yet.
    #[must_use]
    pub fn new(files: Box<dyn LibraryFiles>) -> Self {
        Self {
            emulation: Emulation::of(&files.kernel()),
            files,
            examined: Memory::new(FILES),
            recent: Memory::new(RECENT),
            roots: Memory::new(ROOTS),
            planned: Memory::new(FILES),
            file_rate: Rate::new(16_384, 200),
            byte_rate: Rate::new(4 << 30, 64 << 20),
            process_rate: Rate::new(4096, 1000),
            counters: FinderCounters::default(),
        }
    }

    /// The host's own libraries, and whatever all processes have mapped now. `now` counts from any
    /// moment, the same for all calls.
    pub fn start(&mut self, now: Duration) -> Vec<Plan> {
        let mut plans = Vec::new();
        self.libraries(Root::Host, now, &mut plans);
        let mut pids = self.files.pids();
        pids.sort_unstable();
        let skipped = pids.len().saturating_sub(MOST_PROCESSES);
        self.counters.processes_skipped += skipped as u64;
        for pid in pids.into_iter().take(MOST_PROCESSES) {
            self.look_at(pid, now, &mut plans);
        }
        plans
    }

    /// What one process has mapped now, and the libraries of its root directory. To be called when it
    /// has replaced its image and again a little later, when its libraries are loaded; each file is
    /// examined once.
    pub fn process(&mut self, pid: u32, now: Duration) -> Vec<Plan> {
        let mut plans = Vec::new();
        if self.process_rate.any(now) {
            self.process_rate.take(1);
            self.look_at(pid, now, &mut plans);
        } else {
            self.counters.processes_skipped += 1;
        }
        plans
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> FinderCounters {
        self.counters
    }

    fn look_at(&mut self, pid: u32, now: Duration, plans: &mut Vec<Plan>) {
        let Some(maps) = self.files.maps(pid) else {
            return;
        };
        self.counters.processes += 1;
        let recent = &mut self.recent;
        let fresh: Vec<Mapped> = mapped(&maps)
            .into_iter()
            .filter(|mapped| {
                let seen = recent.get(key(mapped));
                seen.is_none_or(|at| now.saturating_sub(at) >= RECENTLY)
            })
            .collect();
        if fresh.is_empty() {
            return;
        }
        let silent = Silent::of(&self.files.mounts(pid).unwrap_or_default());
        for mapped in fresh {
            if silent.has(&mapped) {
                self.counters.fuse += 1;
                self.recent.put(key(&mapped), now);
                continue;
            }
            let settled = match self.files.mapped(pid, &mapped) {
                Ok(file) => self.examine(file, &mapped.path, now, plans),
                Err(_) => {
                    self.counters.unopened += 1;
                    true
                }
            };
            if settled {
                self.recent.put(key(&mapped), now);
            }
        }
        if silent.root_answers() {
            self.libraries(Root::Of(pid), now, plans);
        }
    }

    /// The TLS libraries of a root directory, so that the first program that loads one is not missed.
    fn libraries(&mut self, root: Root, now: Duration, plans: &mut Vec<Plan>) {
        let Some(id) = self.files.root(root) else {
            return;
        };
        if self.roots.get(id).is_some() {
            return;
        }
        self.roots.put(id, ());
        let cache = self.files.cache(root).unwrap_or_default();
        let wanted = |name: &str| table::family(name).is_some();
        let mut paths = cache::libraries(&cache, MOST_LIBRARIES, wanted);
        if paths.is_empty() {
            paths = USUAL.map(str::to_owned).to_vec();
        }
        for path in paths {
            // Listed, but not there any more: nothing to tell of.
            if let Ok(file) = self.files.below(root, &path) {
                self.examine(file, &path, now, plans);
            }
        }
    }

    /// Whether the file is dealt with; otherwise it is to come again.
    fn examine(
        &mut self,
        file: Box<dyn ProgramFile>,
        path: &str,
        now: Duration,
        plans: &mut Vec<Plan>,
    ) -> bool {
        let (id, version) = (file.id(), file.version());
        if self.examined.get(id) == Some(version) {
            return true;
        }
        if !self.file_rate.any(now) || !self.byte_rate.any(now) {
            self.counters.files_deferred += 1;
            return false;
        }
        let called = path.rsplit('/').next().unwrap_or(path);
        let found = examine(&*file, called, self.emulation);
        self.file_rate.take(1);
        self.byte_rate.take(found.read);
        self.counters.files += 1;
        self.counters.bytes += found.read;
        self.counters.malformed += u64::from(found.malformed);
        self.examined.put(id, version);
        if !found.points.is_empty() || !found.missing.is_empty() {
            let layered = file.layered();
            plans.push(Plan {
                id,
                same_as: self.earlier(id, version, layered),
                path: path.to_owned(),
                points: found.points,
                missing: found.missing,
                file,
            });
        }
        true
    }
}

impl Finder {
    /// Overlays give a file of a shared layer a device of their own each; number and times are those of
    /// the file below. Without an overlay the same would be a snapshot's file: another one.
    fn earlier(&mut self, id: FileId, version: Version, layered: bool) -> Option<FileId> {
        let key = (id.ino, version);
        match self.planned.get(key) {
            Some(first) if first.id == id => None,
            Some(first) if layered || first.layered => Some(first.id),
            _ => {
                self.planned.put(key, Planned { id, layered });
                None
            }
        }
    }
}

/// A file that a plan was made for.
#[derive(Clone, Copy)]
struct Planned {
    id: FileId,
    layered: bool,
}

fn key(mapped: &Mapped) -> (u32, u32, u64) {
    let (major, minor) = mapped.device;
    (major, minor, mapped.inode)
}
