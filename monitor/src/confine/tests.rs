//! Each part tries what it must not, in a thread of its own, and is refused; and what it must, and is not.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use super::*;

const ALL: [Part; 10] = [
    Part::Capture,
    Part::Serving,
    Part::Main,
    Part::HostFiles,
    Part::Search,
    Part::Probe,
    Part::KeyLogs,
    Part::Scan,
    Part::Act,
    Part::AuditLog,
];

/// Runs something as a part would, and returns what came of it.
fn within<T: Send + 'static>(
    part: Part,
    writable: Vec<PathBuf>,
    act: impl FnOnce() -> T + Send + 'static,
) -> T {
    std::thread::spawn(move || {
        let kept = confine(part, &writable);
        assert!(
            kept.0.is_empty() || landlock().is_none(),
            "{}: {kept}",
            part.name()
        );
        act()
    })
    .join()
    .unwrap()
}

fn refused<T>(result: io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == ErrorKind::PermissionDenied)
}

/// `bpf(command, …)` without anything; → the error.
fn bpf(command: libc::c_long) -> Option<i32> {
    // SAFETY: no attributes are passed: the kernel reads nothing.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::null::<u8>(), 0) };
    assert_eq!(result, -1);
    io::Error::last_os_error().raw_os_error()
}

#[test]
fn no_part_runs_a_program() {
    for part in ALL {
        // Capture may not even open the pipes and files that this needs; either way it is refused.
        let ran = within(part, Vec::new(), || Command::new("/bin/true").status());
        assert!(refused(ran), "{}", part.name());
    }
    assert!(Command::new("/bin/true").status().unwrap().success());
}

#[test]
fn parts_hold_what_they_keep_and_no_more() {
    for part in ALL {
        let before = capabilities(None).unwrap();
        let held = within(part, Vec::new(), || capabilities(None).unwrap());
        assert_eq!(
            held.permitted,
            before.permitted & part.kept(),
            "{}",
            part.name()
        );
        assert_eq!(
            held.effective,
            before.effective & part.kept(),
            "{}",
            part.name()
        );
        assert!(held.inheritable.is_empty());
    }
    assert!(Part::Capture.kept().is_empty() && Part::Serving.kept().is_empty());
}

#[test]
fn what_was_given_up_does_not_come_back() {
    let again = within(Part::Serving, Vec::new(), || {
        let mut sets = capabilities(None).unwrap();
        sets.permitted |= CapabilitySet::SYS_ADMIN;
        sets.effective |= CapabilitySet::SYS_ADMIN;
        set_capabilities(None, sets)
    });
    assert_eq!(again, Err(rustix::io::Errno::PERM));
    // A thread that it starts is bound as it is.
    let (ran, held) = within(Part::Serving, Vec::new(), || {
        std::thread::spawn(|| {
            (
                Command::new("/bin/true").status(),
                capabilities(None).unwrap(),
            )
        })
        .join()
        .unwrap()
    });
    assert!(refused(ran) && held.permitted.is_empty());
}

#[test]
fn capture_opens_nothing_and_connects_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let opened = File::open(&file).unwrap();
    let results = within(Part::Capture, vec![dir.path().to_owned()], move || {
        let mut text = String::new();
        io::Read::read_to_string(&mut &opened, &mut text).unwrap();
        assert_eq!(text, "x", "what is open stays open");
        [
            refused(File::open(&file)),
            refused(fs::write(&file, "y")),
            refused(fs::remove_file(&file)),
            refused(UdpSocket::bind("127.0.0.1:0")),
            refused(TcpListener::bind("127.0.0.1:0")),
            refused(fs::read_link("/proc/1/exe")) || !rustix::process::geteuid().is_root(),
        ]
    });
    assert_eq!(results, [true; 6]);
}

#[test]
fn capture_reads_maps_but_loads_no_programs() {
    const LOOKUP: libc::c_long = 1;
    const PROG_LOAD: libc::c_long = 5;
    let (lookup, load) = within(Part::Capture, Vec::new(), || (bpf(LOOKUP), bpf(PROG_LOAD)));
    assert_eq!(load, Some(libc::EPERM));
    // The attributes are missing, which only one that may ask is told.
    assert_eq!(lookup, Some(libc::EINVAL));
}

#[test]
fn who_parses_or_serves_loads_no_programs() {
    for part in ALL {
        let error = within(part, Vec::new(), || bpf(0));
        let may = matches!(part, Part::Probe | Part::Act);
        if rustix::process::geteuid().is_root() {
            assert_eq!(error == Some(libc::EPERM), !may, "{}", part.name());
        }
    }
}

#[test]
fn serving_writes_below_its_directories_alone() {
    let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (inside, outside) = (own.path().join("a"), other.path().join("a"));
    fs::write(&outside, "kept").unwrap();
    let results = within(Part::Serving, vec![own.path().to_owned()], {
        let outside = outside.clone();
        move || {
            let listener = TcpListener::bind("127.0.0.1:0");
            fs::write(&inside, "x").unwrap();
            fs::rename(&inside, inside.with_extension("b")).unwrap();
            (
                listener.is_ok(),
                fs::read_to_string(&outside).unwrap(),
                fs::write(&outside, "gone").is_err(),
                fs::remove_file(&outside).is_err(),
            )
        }
    });
    if landlock().is_some() {
        assert_eq!(results, (true, "kept".to_owned(), true, true));
        assert_eq!(fs::read_to_string(&outside).unwrap(), "kept");
    } else {
        // Said by the log and by `doctor`; there is nothing to test here.
        assert!(results.0);
    }
}

#[test]
fn readers_of_files_have_no_network() {
    for part in [
        Part::HostFiles,
        Part::Search,
        Part::KeyLogs,
        Part::Scan,
        Part::Probe,
    ] {
        let (bound, read) = within(part, Vec::new(), || {
            (
                UdpSocket::bind("127.0.0.1:0"),
                fs::read_to_string("/etc/passwd"),
            )
        });
        assert!(refused(bound), "{}", part.name());
        assert!(read.is_ok(), "{}", part.name());
    }
}

#[test]
fn host_files_alone_shows_other_users_processes() {
    // Only root can have a process of another user.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut other = Command::new("/bin/sleep")
        .arg("60")
        .uid(65534)
        .spawn()
        .unwrap();
    let exe = format!("/proc/{}/exe", other.id());
    let look = |part| {
        let exe = exe.clone();
        within(part, Vec::new(), move || fs::read_link(exe))
    };
    let (shown, hidden) = (look(Part::HostFiles), look(Part::Serving));
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(shown.is_ok(), "{shown:?}");
    assert!(refused(hidden));
}
