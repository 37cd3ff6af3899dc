//! Where a credential is used, in a form that lasts: the service, the container, the login session. Not the
//! process, which a restart changes, and not the whole family tree, in which everything descends from
//! systemd.

use std::sync::Arc;

use crate::access::Workload;
use crate::access::workload::is_durable;

/// Programs below which different people, or different jobs, are at work.
const HOSTS: [&str; 20] = [
    "sshd",
    "sshd-session",
    "sshd-auth",
    "dropbear",
    "login",
    "agetty",
    "getty",
    "in.telnetd",
    "xrdp-sesman",
    "gdm-session-worker",
    "cron",
    "crond",
    "anacron",
    "atd",
    "tmux",
    "tmux: server",
    "screen",
    "mosh-server",
    "ttyd",
    "su",
];

/// Shells: what they start, a person most likely typed, or a script of theirs.
const SHELLS: [&str; 9] = [
    "sh", "bash", "dash", "zsh", "fish", "ksh", "ash", "busybox", "tcsh",
];

/// Session managers that outlive the login they came from.
const SHARED_SESSIONS: [&str; 3] = ["tmux", "tmux: server", "screen"];

/// One place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// A container.
    Container(Arc<str>),
    /// A unit that is there tomorrow under the same name.
    Unit(Arc<str>),
    /// One login session, or one run of what has no lasting name. Such names come again after a boot.
    Session(Arc<str>),
    /// A program that no unit and no container tells of, and that no shell started: by path, user, and what it
    /// descends from.
    Program {
        exe: Arc<str>,
        user: Arc<str>,
        lineage: Arc<[Arc<str>]>,
    },
    /// All that a person runs: of it one program is as good as another.
    Person(Arc<str>),
}

fn name(exe: &str) -> &str {
    exe.rsplit('/').next().unwrap_or(exe)
}

fn descends(workload: &Workload, from: &[&str]) -> bool {
    let known = |exe: &str| from.contains(&name(exe));
    known(&workload.exe) || workload.lineage.iter().any(|exe| known(exe))
}

impl Place {
    /// Where a workload is at work; `None` when too little is known of it.
    pub(super) fn of(workload: &Workload) -> Option<Self> {
        if let Some(container) = &workload.container {
            return Some(if descends(workload, &HOSTS) {
                Self::Person(Arc::clone(&workload.user))
            } else {
                Self::Container(Arc::clone(container))
            });
        }
        if let Some(unit) = &workload.unit {
            let durable = is_durable(unit);
            // In `ssh.service` or `cron.service` itself anybody may be at work, in a session of its own one.
            let shared = if durable {
                descends(workload, &HOSTS)
            } else {
                descends(workload, &SHARED_SESSIONS)
            };
            return Some(match (shared, durable) {
                (true, _) => Self::Person(Arc::clone(&workload.user)),
                (false, true) => Self::Unit(Arc::clone(unit)),
                (false, false) => Self::Session(Arc::clone(unit)),
            });
        }
        if workload.exe.is_empty() {
            return None;
        }
        let attended = descends(workload, &HOSTS) || descends(workload, &SHELLS);
        Some(if attended {
            Self::Person(Arc::clone(&workload.user))
        } else {
            Self::Program {
                exe: Arc::clone(&workload.exe),
                user: Arc::clone(&workload.user),
                lineage: Arc::clone(&workload.lineage),
            }
        })
    }

    /// The lineage that acts at this place are put down to, with the user where a service has several.
    /// `None` for a person: two people can share an account, a terminal or a jump host.
    pub(super) fn lineage(workload: &Workload) -> Option<(Self, Option<&Arc<str>>)> {
        let place = Self::of(workload)?;
        match place {
            Self::Container(_) | Self::Unit(_) => Some((place, Some(&workload.user))),
            Self::Session(_) | Self::Program { .. } => Some((place, None)),
            Self::Person(_) => None,
        }
    }

    /// Whether its name means the same after a boot.
    pub(super) fn lasts(&self) -> bool {
        !matches!(self, Self::Session(_))
    }

    /// Where one credential is live: of a person, all of their sessions are one place.
    pub(super) fn of_use(workload: &Workload) -> Option<Self> {
        match Self::of(workload)? {
            Self::Session(unit) if unit.contains("session-") || unit.contains("user@") => {
                Some(Self::Person(Arc::clone(&workload.user)))
            }
            place => Some(place),
        }
    }
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
