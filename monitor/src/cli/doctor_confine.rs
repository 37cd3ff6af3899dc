//! What the running daemon has given up, as the kernel shows it of each of its threads.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::{Host, Probe};
use crate::confine;

/// What the daemon's threads may write to and run is bounded by Landlock where there is any.
pub(super) fn landlock() -> Probe {
    match confine::landlock() {
        Some(version) => Probe::ok("Landlock", format!("version {version}")),
        None => Probe::warn(
            "Landlock",
            "not in this kernel, or not in force: the daemon's threads are bounded by capabilities and filters alone",
            "Linux 5.13 or later has it; `lsm=` on the kernel's command line must name landlock",
        ),
    }
}

/// The daemon behind a socket; nothing when there is none, which another probe says.
pub(super) fn daemon(host: &Host, socket: &Path) -> Option<Probe> {
    let stream = UnixStream::connect(socket).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    given_up(host, peer.pid.as_raw_nonzero().get())
}

/// What the threads of a process hold that serve or decode, and how many have a filter.
fn given_up(host: &Host, pid: i32) -> Option<Probe> {
    const NAME: &str = "given up by the daemon";
    let (mut threads, mut filtered, mut holding) = (0, 0, Vec::new());
    for entry in fs::read_dir(host.proc.join(format!("{pid}/task"))).ok()? {
        let Ok(status) = fs::read_to_string(entry.ok()?.path().join("status")) else {
            // It has ended.
            continue;
        };
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        threads += 1;
        filtered += usize::from(field("Seccomp") == Some("2"));
        let name = field("Name").unwrap_or_default();
        let none = field("CapPrm").and_then(|hex| u64::from_str_radix(hex, 16).ok()) == Some(0);
        if !none && ["bailiwick-io", "bailiwick-hot"].contains(&name) {
            holding.push(name.to_owned());
        }
    }
    if threads == 0 {
        return None;
    }
    if holding.is_empty() && filtered == threads {
        return Some(Probe::ok(
            NAME,
            format!(
                "threads that decode or serve hold no capability; system calls are filtered in all {threads}"
            ),
        ));
    }
    holding.sort();
    holding.dedup();
    let mut detail = format!("system calls are filtered in {filtered} of {threads} threads");
    if !holding.is_empty() {
        detail.push_str(&format!(
            "; capabilities are held by {}",
            holding.join(", ")
        ));
    }
    Some(Probe::warn(
        NAME,
        detail,
        "the daemon's log says at its start what could not be given up, and why",
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::Outcome;
    use super::*;

    fn threads(all: &[(&str, &str, &str)]) -> Option<Probe> {
        let dir = tempfile::tempdir().unwrap();
        for (number, (name, permitted, filter)) in all.iter().enumerate() {
            let task = dir.path().join(format!("7/task/{number}"));
            fs::create_dir_all(&task).unwrap();
            let text = format!("Name:\t{name}\nCapPrm:\t{permitted}\nSeccomp:\t{filter}\n");
            fs::write(task.join("status"), text).unwrap();
        }
        let host = Host {
            proc: dir.path().to_owned(),
            sys: dir.path().to_owned(),
        };
        given_up(&host, 7)
    }

    #[test]
    fn what_is_held_is_told() {
        const NONE: &str = "0000000000000000";
        const SOME: &str = "0000000000080000";
        let well = threads(&[("bailiwick-hot", NONE, "2"), ("prober", SOME, "2")]).unwrap();
        assert_eq!(well.outcome, Outcome::Ok, "{well:?}");
        assert!(well.detail.contains("all 2"), "{well:?}");
        let held = threads(&[("bailiwick-io", SOME, "2"), ("bailiwick-hot", NONE, "0")]).unwrap();
        assert_eq!(held.outcome, Outcome::Warn);
        assert!(
            held.detail.contains("1 of 2") && held.detail.contains("by bailiwick-io"),
            "{held:?}"
        );
        assert!(threads(&[]).is_none());
    }
}
