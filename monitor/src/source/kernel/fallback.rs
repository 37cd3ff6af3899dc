//! Probes at `SSL_read` and `SSL_write` of single processes: at entry and at return.
//!
//! On Linux ≥ 6.10 a link is for one process: no other meets the breakpoints. Before, such links took only
//! the first thread of the process, so there they are for all, and the programs look who it is. Before 6.6
//! there are none: perf events take their place, one a function, and those are for one process.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya::maps::{Array, HashMap as BpfHashMap, MapData};
use monitor_ebpf::ssl_sockets;

use super::probes::{Link, Means};
use super::sys;

/// Most processes at a time.
pub(super) const MOST_PROCESSES: usize = 256;

/// One function to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SslPoint {
    /// Its first byte, as an offset in the file: at return the stack must be as the caller left it.
    pub entry: u64,
    /// Bits of [`monitor_ebpf::ssl_call`].
    pub call: u64,
}

/// The two programs.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) enter: OwnedFd,
    pub(super) leave: OwnedFd,
    /// How they are attached.
    pub(super) means: Means,
}

/// Where fallback probes are attached. Dropping it detaches all.
pub struct Fallback {
    programs: Programs,
    active: Array<MapData, u32>,
    pids: BpfHashMap<MapData, u32, u32>,
    release: (u32, u32),
    processes: BTreeMap<u32, Vec<Link>>,
}

impl std::fmt::Debug for Fallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fallback")
            .field("programs", &self.programs)
            .field("processes", &self.processes)
            .finish_non_exhaustive()
    }
}

impl Fallback {
    pub(super) fn new(
        programs: Programs,
        active: Array<MapData, u32>,
        pids: BpfHashMap<MapData, u32, u32>,
    ) -> Self {
        let release = rustix::system::uname();
        Self {
            programs,
            active,
            pids,
            release: version(&release.release().to_string_lossy()),
            processes: BTreeMap::new(),
        }
    }

    /// Begins to hear a process: `all` its sockets of which nothing was said, or only those asked for.
    ///
    /// # Errors
    /// There are 256 already, or what the kernel said.
    pub fn admit(&mut self, pid: u32, all: bool) -> io::Result<()> {
        if self.processes.len() >= MOST_PROCESSES && !self.processes.contains_key(&pid) {
            return Err(io::Error::other(format!(
                "{MOST_PROCESSES} processes have such probes already"
            )));
        }
        let map = |error: aya::maps::MapError| io::Error::other(error.to_string());
        let mode = if all {
            ssl_sockets::ALL
        } else {
            ssl_sockets::ASKED
        };
        self.pids.insert(pid, mode, 0).map_err(map)?;
        self.active.set(0, 1, 0).map_err(map)?;
        self.processes.entry(pid).or_default();
        Ok(())
    }

    /// Attaches to functions of one file that an admitted process has mapped.
    ///
    /// # Errors
    /// What the kernel said, or that the process was not admitted.
    pub fn attach(&mut self, pid: u32, path: &Path, points: &[SslPoint]) -> io::Result<()> {
        let links = self
            .processes
            .get_mut(&pid)
            .ok_or(io::ErrorKind::NotFound)?;
        let path = CString::new(path.as_os_str().as_bytes())?;
        if let Means::Perf(kind) = self.programs.means {
            links.extend(by_events(&self.programs, kind, pid, &path, points)?);
            return Ok(());
        }
        let offsets: Vec<u64> = points.iter().map(|point| point.entry).collect();
        let cookies: Vec<u64> = points.iter().map(|point| point.call).collect();
        let pid = if self.release >= (6, 10) { pid } else { 0 };
        let link = |program: &OwnedFd, at_return| {
            let places = sys::Places {
                path: &path,
                offsets: &offsets,
                cookies: &cookies,
                pid,
                at_return,
            };
            sys::link_places(program.as_fd(), &places)
        };
        // What returns before it was seen entering is passed over.
        let leave = link(&self.programs.leave, true)?;
        let enter = link(&self.programs.enter, false)?;
        links.extend([enter, leave].map(Link::from));
        Ok(())
    }

    /// Detaches whatever a process has.
    pub fn release(&mut self, pid: u32) {
        if self.processes.remove(&pid).is_some() {
            // What fails here costs a look-up at a call that nobody probes any more.
            let _ = self.pids.remove(&pid);
            if self.processes.is_empty() {
                let _ = self.active.set(0, 0, 0);
            }
        }
    }

    /// Why a process must not get a probe at a function's return, going by its `/proc/PID/status`.
    ///
    /// Since Linux 6.11 such a probe makes a system call of its own (uretprobe(2)), which filters of
    /// seccomp(2) kill the process for before 6.14; and where return addresses are kept a second time
    /// (shadow stacks), the two must not differ.
    #[must_use]
    pub fn forbidden(&self, status: &str) -> Option<&'static str> {
        forbidden(self.release, status)
    }
}

/// One event a function and moment: all, or none.
fn by_events(
    programs: &Programs,
    kind: u32,
    pid: u32,
    path: &CStr,
    points: &[SslPoint],
) -> io::Result<Vec<Link>> {
    let mut links = Vec::with_capacity(2 * points.len());
    // What returns before it was seen entering is passed over.
    for (program, at_return) in [(&programs.leave, true), (&programs.enter, false)] {
        for point in points {
            let place = sys::Place {
                path,
                offset: point.entry,
                cookie: point.call,
                pid: Some(pid),
                at_return,
            };
            links.push(sys::link_perf(program.as_fd(), kind, &place)?.into());
        }
    }
    Ok(links)
}

fn forbidden(release: (u32, u32), status: &str) -> Option<&'static str> {
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim())
    };
    if value("Seccomp:").is_none_or(|mode| mode != "0") && ((6, 11)..(6, 14)).contains(&release) {
        return Some("its system calls are filtered, and this kernel's return probes make one");
    }
    if value("x86_Thread_features:").is_some_and(|features| features.contains("shstk")) {
        return Some("it has a shadow stack");
    }
    None
}

/// Of `uname -r`.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next()?.parse().ok();
    (next().unwrap_or(0), next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_process_is_put_at_risk() {
        let plain = "Name:\tx\nSeccomp:\t0\nx86_Thread_features:\t\n";
        let filtered = "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        let shadowed = "Seccomp:\t0\nx86_Thread_features:\tshstk \n";
        for release in [(6, 6), (6, 10), (6, 14), (6, 18), (7, 0)] {
            assert_eq!(forbidden(release, plain), None);
            assert_eq!(forbidden(release, filtered), None);
            assert!(forbidden(release, shadowed).is_some());
        }
        for release in [(6, 11), (6, 12), (6, 13)] {
            assert_eq!(forbidden(release, plain), None);
            assert!(forbidden(release, filtered).is_some());
            // Nothing known is no permission.
            assert!(forbidden(release, "").is_some());
        }
    }

    #[test]
    fn releases() {
        assert_eq!(version("6.18.0-rc1+"), (6, 18));
        assert_eq!(version("6.1.0-13-amd64"), (6, 1));
        assert_eq!(version(""), (0, 0));
    }
}
