//! The acts, done by the system.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::{ClockId, clock_gettime};

use super::acts::{ActError, Acts, GroupNow, ProcessNow, Range};
use super::real_refuse::Refusals;
use super::{Socket, netlink};
use crate::access::Workload;
use crate::access::workload::Cgroup;
use crate::source::kernel::Refusing;
use crate::source::procfs::{HostFiles, RealFiles};

/// Most processes of a control group that are looked at.
const MOST_MEMBERS: usize = 4096;
/// Most control groups below one.
const MOST_GROUPS: usize = 1024;

/// Where the kernel side of refusals is put once it is there.
pub type RefusingSlot = Arc<Mutex<Option<Refusing>>>;

/// The real acts.
pub struct RealActs {
    files: RealFiles,
    unified: Option<PathBuf>,
    slot: RefusingSlot,
    refusals: Refusals,
    /// Processes that were stopped, by act.
    stopped: BTreeMap<String, (OwnedFd, u32, u64)>,
}

impl std::fmt::Debug for RealActs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RealActs")
            .field("unified", &self.unified)
            .finish_non_exhaustive()
    }
}

impl RealActs {
    /// Acts on this host. Refusals work once `slot` is filled.
    #[must_use]
    pub fn new(slot: RefusingSlot) -> Self {
        Self {
            files: RealFiles::new(),
            unified: unified(),
            slot,
            refusals: Refusals::default(),
            stopped: BTreeMap::new(),
        }
    }

    fn directory(&self, path: &str) -> Option<PathBuf> {
        let root = self.unified.as_ref()?;
        Some(root.join(path.trim_start_matches('/')))
    }
}

/// Where the unified hierarchy is mounted.
fn unified() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let at = words.nth(1)?;
        (words.next()? == "cgroup2").then(|| PathBuf::from(at))
    })
}

/// The unified control group in the contents of `/proc/PID/cgroup`.
fn unified_path(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// State and birth (clock ticks since boot) in the contents of `/proc/PID/stat` (proc_pid_stat(5)).
fn state_and_start(stat: &str) -> Option<(char, u64)> {
    // The name before may hold anything, also `)`.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (state, start) = state_and_start(&stat)?;
    (!matches!(state, 'Z' | 'X' | 'x')).then_some(start)
}

fn micros(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec
        .saturating_mul(1_000_000)
        .saturating_add(time.tv_nsec / 1000)
}

fn system(what: &'static str, need: &'static str, error: &io::Error) -> ActError {
    match error.raw_os_error() {
        Some(libc::ESRCH) => ActError::Gone,
        Some(libc::EPERM | libc::EACCES) => ActError::Privilege { what, need },
        _ => ActError::System {
            what,
            cause: error.to_string(),
        },
    }
}

const STOPPING: &str = "stopping a process";

impl Acts for RealActs {
    fn now_us(&self) -> i64 {
        micros(ClockId::Realtime)
    }

    fn process(&mut self, pid: u32) -> Option<ProcessNow> {
        let start_ticks = start_of(pid)?;
        let facts = self.files.process(pid)?;
        // The same one from the first reading to the last.
        if start_of(pid)? != start_ticks {
            return None;
        }
        let group = Cgroup::from_proc(facts.cgroup.as_bytes());
        let booted = micros(ClockId::Realtime).saturating_sub(micros(ClockId::Boottime));
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let since = u128::from(start_ticks) * 1_000_000 / u128::from(per_second);
        Some(ProcessNow {
            pid,
            start_ticks,
            born_us: booted.saturating_add(i64::try_from(since).unwrap_or(i64::MAX)),
            workload: Workload {
                exe: facts.exe.into(),
                unit: group.unit.map(Arc::from),
                container: group.container.map(Arc::from),
                user: self
                    .files
                    .user(facts.uid)
                    .unwrap_or_else(|| facts.uid.to_string())
                    .into(),
                ..Workload::default()
            },
        })
    }

    fn group(&mut self, pid: u32) -> Result<GroupNow, ActError> {
        use std::os::unix::fs::MetadataExt;
        const WHAT: &str = "reading its control group";
        let read = |pid: &str| {
            fs::read_to_string(format!("/proc/{pid}/cgroup"))
                .ok()
                .and_then(|text| unified_path(&text).map(str::to_owned))
        };
        let path = read(&pid.to_string()).ok_or(ActError::Gone)?;
        let own = read("self").unwrap_or_else(|| "/".to_owned());
        let directory = self.directory(&path).ok_or(ActError::Unsupported(
            "this host has no unified hierarchy of control groups (cgroup v2)",
        ))?;
        let id = fs::metadata(&directory)
            .map_err(|error| system(WHAT, "more rights on it", &error))?
            .ino();
        let mut members = Vec::new();
        // The root is not touched in any case, whoever is in it.
        let mut queue = if path == "/" {
            Vec::new()
        } else {
            vec![directory]
        };
        let mut groups = 0;
        while let Some(at) = queue.pop() {
            groups += 1;
            let pids = fs::read_to_string(at.join("cgroup.procs")).unwrap_or_default();
            for pid in pids.lines().filter_map(|line| line.parse().ok()) {
                if members.len() >= MOST_MEMBERS {
                    return Err(ActError::Unsupported(
                        "its control group has more than 4096 processes to look at",
                    ));
                }
                members.extend(self.process(pid));
            }
            if groups > MOST_GROUPS {
                return Err(ActError::Unsupported(
                    "its control group has more than 1024 below it to look at",
                ));
            }
            let below = fs::read_dir(&at).into_iter().flatten().flatten();
            queue.extend(
                below
                    .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                    .map(|entry| entry.path()),
            );
        }
        Ok(GroupNow {
            id,
            path,
            members,
            own,
        })
    }

    fn reset(&mut self, socket: &Socket) -> Result<(), ActError> {
        netlink::destroy(socket)
    }

    fn refuse(
        &mut self,
        id: &str,
        group: &GroupNow,
        ranges: &[Range],
        time: Duration,
    ) -> Result<(), ActError> {
        let directory = self.directory(&group.path).ok_or(ActError::Gone)?;
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let refusing = slot.as_mut().ok_or(ActError::Unsupported(
            "the kernel side of refusals could not be read",
        ))?;
        let now = u64::try_from(micros(ClockId::Monotonic)).unwrap_or(0) * 1000;
        let until = now.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        let place: (u64, &Path) = (group.id, &directory);
        self.refusals.add(refusing, id, place, ranges, until)
    }

    fn release(&mut self, id: &str) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(refusing) = slot.as_mut() {
            self.refusals.remove(refusing, id);
        }
    }

    fn stop(&mut self, id: &str, process: &ProcessNow) -> Result<(), ActError> {
        let failed = |error: rustix::io::Errno| system(STOPPING, "CAP_KILL", &error.into());
        let pid = i32::try_from(process.pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(ActError::Gone)?;
        let handle = pidfd_open(pid, PidfdFlags::empty()).map_err(failed)?;
        // The handle names one process for good; which one it is, /proc tells, as long as that one lives.
        if start_of(process.pid) != Some(process.start_ticks) {
            return Err(ActError::Gone);
        }
        pidfd_send_signal(handle.as_fd(), Signal::STOP).map_err(failed)?;
        self.stopped
            .insert(id.to_owned(), (handle, process.pid, process.start_ticks));
        Ok(())
    }

    fn resume(&mut self, id: &str) -> Result<(), ActError> {
        let (handle, ..) = self.stopped.get(id).ok_or(ActError::Gone)?;
        pidfd_send_signal(handle.as_fd(), Signal::CONT)
            .map_err(|error| system("letting it go on", "CAP_KILL", &error.into()))?;
        self.stopped.remove(id);
        Ok(())
    }

    fn lives(&mut self, id: &str) -> bool {
        let lives = self
            .stopped
            .get(id)
            .is_some_and(|(_, pid, start)| start_of(*pid) == Some(*start));
        if !lives {
            self.stopped.remove(id);
        }
        lives
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_the_name() {
        let rest = "1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2";
        let stat = |name: &str| format!("42 ({name}) S {rest}");
        assert_eq!(state_and_start(&stat("sh")), Some(('S', 98765)));
        assert_eq!(state_and_start(&stat("a) R (b")), Some(('S', 98765)));
        assert_eq!(state_and_start("42 (sh) S 1"), None);
        assert_eq!(state_and_start(""), None);
    }

    #[test]
    fn the_unified_group_is_found_among_others() {
        assert_eq!(unified_path("1:cpu:/x\n0::/a/b\n"), Some("/a/b"));
        assert_eq!(unified_path("1:cpu:/x\n"), None);
    }

    #[test]
    fn this_process_is_itself() {
        let mut acts = RealActs::new(RefusingSlot::default());
        let own = acts.process(std::process::id()).unwrap();
        assert_eq!(
            &*own.workload.exe,
            std::env::current_exe().unwrap().to_str().unwrap()
        );
        let now = acts.now_us();
        assert!(own.born_us < now && own.born_us > now - 3_600_000_000);
        assert!(acts.process(u32::MAX).is_none());
    }
}
