//! /proc, /sys/fs/cgroup and the user database: what was there before the monitor, and what no record
//! tells.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What /proc says of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Parent process.
    pub ppid: u32,
    /// Real user.
    pub uid: u32,
    /// Path of the executable, as the process' own root sees it; empty when unreadable.
    pub exe: String,
    /// Contents of `/proc/PID/cgroup`.
    pub cgroup: String,
}

/// The host as files show it. Injected, so that tests need none.
pub trait HostFiles: Send {
    /// All processes.
    fn pids(&self) -> Vec<u32>;
    /// One process; `None` when it is gone.
    fn process(&self, pid: u32) -> Option<ProcessFacts>;
    /// All control groups of the unified hierarchy: id and path below its root.
    fn cgroups(&self) -> Vec<(u64, String)>;
    /// Name of a user.
    fn user(&self, uid: u32) -> Option<String>;
}

/// The real ones.
#[derive(Debug)]
pub struct RealFiles {
    proc: PathBuf,
    unified: Option<PathBuf>,
}

/// Most control groups that are read at start.
const MOST_CGROUPS: usize = 65_536;

impl RealFiles {
    /// Finds the mount points.
    #[must_use]
    pub fn new() -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let unified = mounts.lines().find_map(|line| {
            let mut words = line.split(' ');
            let at = words.nth(1)?;
            (words.next()? == "cgroup2").then(|| PathBuf::from(at))
        });
        Self {
            proc: PathBuf::from("/proc"),
            unified,
        }
    }
}

impl Default for RealFiles {
    fn default() -> Self {
        Self::new()
    }
}

impl HostFiles for RealFiles {
    fn pids(&self) -> Vec<u32> {
        let Ok(entries) = fs::read_dir(&self.proc) else {
            return Vec::new();
        };
        let mut pids: Vec<u32> = entries
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.parse().ok())
            .collect();
        pids.sort_unstable();
        pids
    }

    fn process(&self, pid: u32) -> Option<ProcessFacts> {
        let dir = self.proc.join(pid.to_string());
        let status = fs::read_to_string(dir.join("status")).ok()?;
        let number = |key: &str| -> Option<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let exe = fs::read_link(dir.join("exe"))
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default();
        let exe = exe.strip_suffix(" (deleted)").unwrap_or(&exe).to_owned();
        Some(ProcessFacts {
            ppid: number("PPid:")?,
            uid: number("Uid:")?,
            exe,
            cgroup: fs::read_to_string(dir.join("cgroup")).unwrap_or_default(),
        })
    }

    fn cgroups(&self) -> Vec<(u64, String)> {
        let Some(root) = &self.unified else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let mut queue = vec![root.clone()];
        while let Some(dir) = queue.pop() {
            if found.len() >= MOST_CGROUPS {
                break;
            }
            let Ok(meta) = fs::metadata(&dir) else {
                continue;
            };
            // The id of a control group is the inode number of its directory (kernfs).
            found.push((meta.ino(), below(root, &dir)));
            let Ok(entries) = fs::read_dir(&dir) else {
                continue;
            };
            queue.extend(
                entries
                    .flatten()
                    .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
                    .map(|e| e.path()),
            );
        }
        found
    }

    fn user(&self, uid: u32) -> Option<String> {
        let users = fs::read_to_string("/etc/passwd").ok()?;
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse::<u32>().ok()? == uid).then(|| name.to_owned())
        })
    }
}

fn below(root: &Path, dir: &Path) -> String {
    match dir.strip_prefix(root) {
        Ok(path) => format!("/{}", path.display()),
        Err(_) => "/".to_owned(),
    }
}
