//! What each thread of the daemon gives up once it has what it needs: capabilities, system calls, files.
//!
//! Capabilities, filters of system calls and Landlock are a thread's own on Linux, and a new thread has those of the one
//! that started it. So a part enters its confinement in its own thread, first thing. Nothing here can be taken back.

mod calls;
mod files;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// A part of the daemon with threads of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Reads the rings, decodes what went over the wire, judges.
    Capture,
    /// The control socket, webhooks, metrics, the store.
    Serving,
    /// Waits for signals; reads configuration and policy at a reload.
    Main,
    /// Answers the capturing thread's questions about processes.
    HostFiles,
    /// Looks for TLS libraries in other processes' files.
    Search,
    /// Attaches probes.
    Probe,
    /// Follows key logs.
    KeyLogs,
    /// Looks for credentials beside workloads' code.
    Scan,
    /// Containment.
    Act,
    /// Writes the audit log.
    AuditLog,
}

impl Part {
    /// Capabilities that it keeps, of those that it has.
    const fn kept(self) -> CapabilitySet {
        /// To read what belongs to others.
        const READ: CapabilitySet = CapabilitySet::DAC_READ_SEARCH.union(CapabilitySet::SYS_PTRACE);
        /// To have programs in the kernel. Before Linux 6.6 probes are perf events, which takes CAP_SYS_ADMIN.
        const KERNEL: CapabilitySet = CapabilitySet::BPF
            .union(CapabilitySet::PERFMON)
            .union(CapabilitySet::SYS_ADMIN);
        match self {
            Self::Capture | Self::Serving => CapabilitySet::empty(),
            // Its files can be for a group that the daemon's user is not in.
            Self::AuditLog => CapabilitySet::CHOWN,
            Self::Main | Self::KeyLogs => CapabilitySet::DAC_READ_SEARCH,
            Self::HostFiles | Self::Scan => READ,
            // /proc/PID/map_files takes that one, where it is there.
            Self::Search => READ.union(CapabilitySet::CHECKPOINT_RESTORE),
            Self::Probe => READ.union(KERNEL),
            Self::Act => READ
                .union(KERNEL)
                .union(CapabilitySet::NET_ADMIN)
                .union(CapabilitySet::KILL),
        }
    }

    /// What the log calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Serving => "serving",
            Self::Main => "main",
            Self::HostFiles => "host files",
            Self::Search => "library search",
            Self::Probe => "probes",
            Self::KeyLogs => "key logs",
            Self::Scan => "scan",
            Self::Act => "containment",
            Self::AuditLog => "audit log",
        }
    }
}

/// What could not be given up, and why.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kept(pub Vec<(&'static str, String)>);

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (what, why)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "; " };
            write!(f, "{comma}{what}: {why}")?;
        }
        Ok(())
    }
}

/// Confines the calling thread, and every thread that it starts from now on, and logs what could not be given up, the
/// first time only: the daemon runs all the same. `writable` are the directories that `Part::Serving` may write
/// below; no other part has a use for them.
pub fn enter(part: Part, writable: &[PathBuf]) -> Kept {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let kept = confine(part, writable);
    if !kept.0.is_empty() && !TOLD.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            part = part.name(),
            "less is given up than could be: {kept}\nhint: `bailiwick doctor` shows what this kernel has"
        );
    }
    kept
}

fn confine(part: Part, writable: &[PathBuf]) -> Kept {
    let mut kept = Kept::default();
    let reads_maps_freely = part != Part::Capture || maps_need_no_capability();
    let capabilities = if reads_maps_freely {
        part.kept()
    } else {
        kept.0.push((
            "capabilities",
            "this kernel lets nobody read a map without CAP_BPF (kernel.unprivileged_bpf_disabled, Linux before 5.19)"
                .to_owned(),
        ));
        part.kept().union(CapabilitySet::BPF)
    };
    // Files first: the filter takes Landlock's own calls away from nobody, but a thread that may open nothing
    // cannot name what it may write to.
    if let Err(why) = files::restrict(part, writable) {
        kept.0.push(("files", why));
    }
    if let Err(why) = calls::restrict(part) {
        kept.0.push(("system calls", why));
    }
    if let Err(error) = keep(capabilities) {
        kept.0.push(("capabilities", error.to_string()));
    }
    kept
}

/// Gives up all capabilities but these, for good.
fn keep(wanted: CapabilitySet) -> rustix::io::Result<()> {
    let held = capabilities(None)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: held.effective & wanted,
            permitted: held.permitted & wanted,
            // What is inheritable passes through execve alone, which no part may call.
            inheritable: CapabilitySet::empty(),
        },
    )
}

/// Whether this kernel lets a thread without capabilities read maps that it has open. Found out by asking, in a
/// thread that gives its own up: a map that is not there is another error than one that may not be read.
fn maps_need_no_capability() -> bool {
    /// include/uapi/linux/bpf.h
    const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
    let ask = || {
        keep(CapabilitySet::empty()).ok()?;
        // The beginning of `union bpf_attr`: a descriptor that is none, and two addresses.
        let mut attributes = [u64::from(u32::MAX), 0, 0, 0];
        // SAFETY: the kernel reads 32 bytes at an address that holds as many, and finds no map.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_MAP_LOOKUP_ELEM,
                attributes.as_mut_ptr(),
                size_of_val(&attributes),
            )
        };
        let error = std::io::Error::last_os_error().raw_os_error();
        Some(result == 0 || error != Some(libc::EPERM))
    };
    std::thread::Builder::new()
        .spawn(ask)
        .ok()
        .and_then(|thread| thread.join().ok().flatten())
        .unwrap_or(false)
}

/// Version of Landlock's interface that this kernel has; `None` when it has none, or none in force.
#[must_use]
pub fn landlock() -> Option<u32> {
    const LANDLOCK_CREATE_RULESET_VERSION: libc::c_long = 1;
    // SAFETY: asking for the version takes no attributes: a null address and no bytes.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0_usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(version).ok().filter(|version| *version > 0)
}
