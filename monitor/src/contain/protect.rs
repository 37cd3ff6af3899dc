//! What containment never touches, whatever a rule says.
//!
//! Pure.

use std::fmt;

use crate::access::Workload;
use crate::policy::workload::WorkloadSelector;

/// Why something is not touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protected {
    /// The first process.
    Init,
    /// The daemon.
    Daemon,
    /// The kernel's own, or a process of which nobody can say what it is.
    Unknown,
    /// The way in for those who would mend it.
    Sshd,
    /// A part of systemd.
    Systemd,
    /// The configuration's `never` names it, by this selector.
    Listed(String),
}

impl fmt::Display for Protected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Init => f.write_str("it is process 1"),
            Self::Daemon => f.write_str("it is this daemon"),
            Self::Unknown => {
                f.write_str("which program it is is not known (the kernel's own have none)")
            }
            Self::Sshd => f.write_str("it is sshd"),
            Self::Systemd => f.write_str("it is a part of systemd"),
            Self::Listed(selector) => write!(f, "containment.never names {selector}"),
        }
    }
}

/// Why the process must not be touched, if it must not. `own` is the daemon's process.
#[must_use]
pub fn protects(
    pid: u32,
    workload: &Workload,
    own: u32,
    never: &[WorkloadSelector],
) -> Option<Protected> {
    if pid == 1 {
        return Some(Protected::Init);
    }
    if pid == own {
        return Some(Protected::Daemon);
    }
    if pid == 0 || workload.exe.is_empty() {
        return Some(Protected::Unknown);
    }
    let program = workload.exe.rsplit('/').next().unwrap_or_default();
    let unit = workload.unit.as_deref().unwrap_or_default();
    // OpenSSH 9.8 split it: sshd, sshd-session, sshd-auth.
    let is_sshd = |name: &str| {
        name.strip_prefix("sshd")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.', '@']))
    };
    if is_sshd(program) || is_sshd(unit) || unit == "ssh.service" || unit.starts_with("ssh@") {
        return Some(Protected::Sshd);
    }
    let is_systemd = |name: &str| name == "systemd" || name.starts_with("systemd-");
    if is_systemd(program) || is_systemd(unit) || unit == "init.scope" {
        return Some(Protected::Systemd);
    }
    never
        .iter()
        .find(|selector| selector.matches(workload))
        .map(|selector| Protected::Listed(selector.to_string()))
}
