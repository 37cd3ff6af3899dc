#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::source::btf_fixture::{COMMON, FUNCTIONS_6_1, kernel as kernel_with};

/// A host made of files.
struct Fake {
    dir: tempfile::TempDir,
}

impl Fake {
    fn new() -> Self {
        let fake = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fake.write("proc/sys/kernel/osrelease", "6.18.44-test\n");
        fake.write("proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n");
        fake.write(
            "proc/self/mountinfo",
            "22 1 0:20 / /proc rw - proc proc rw\n",
        );
        fake.write("sys/fs/cgroup/cgroup.controllers", "cpu\n");
        fake
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn host(&self) -> Host {
        Host {
            proc: self.dir.path().join("proc"),
            sys: self.dir.path().join("sys"),
        }
    }
}

#[test]
fn kernels() {
    let fake = Fake::new();
    assert_eq!(kernel(&fake.host()).outcome, Outcome::Ok);
    for (release, outcome) in [
        ("6.3.0", Outcome::Ok),
        ("5.10.0-44-amd64", Outcome::Ok),
        ("7.0-rc1", Outcome::Ok),
        ("odd", Outcome::Warn),
    ] {
        fake.write("proc/sys/kernel/osrelease", release);
        let probe = kernel(&fake.host());
        assert_eq!(probe.outcome, outcome, "{release}");
        assert_eq!(probe.hint.is_some(), outcome != Outcome::Ok);
    }
}

#[test]
fn privileges() {
    let fake = Fake::new();
    let with = |set: u64| {
        fake.write("proc/self/status", &format!("CapEff:\t{set:016x}\n"));
        (capabilities(&fake.host()), processes(&fake.host()).outcome)
    };
    let (probe, others) = with(0);
    assert_eq!(
        (probe.outcome, probe.exit, others),
        (Outcome::Fail, Exit::NoPermission, Outcome::Warn)
    );
    assert_eq!(probe.detail, "CAP_BPF and CAP_PERFMON missing");
    let (probe, _) = with(1 << CAP_BPF);
    assert_eq!(probe.detail, "CAP_PERFMON missing");
    let (probe, others) = with(1 << CAP_BPF | 1 << CAP_PERFMON);
    assert_eq!((probe.outcome, others), (Outcome::Ok, Outcome::Warn));
    let (probe, others) = with(1 << CAP_BPF | 1 << CAP_PERFMON | 1 << CAP_SYS_PTRACE);
    assert_eq!((probe.outcome, others), (Outcome::Ok, Outcome::Ok));
}

#[test]
fn btf_and_the_way() {
    let fake = Fake::new();
    let missing = btf(&fake.host());
    assert_eq!(
        (missing.outcome, missing.exit),
        (Outcome::Fail, Exit::Unavailable)
    );
    let path = fake.dir.path().join("sys/kernel/btf/vmlinux");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let with = |blob: Vec<u8>| {
        fs::write(&path, blob).unwrap();
        assert_eq!(btf(&fake.host()).outcome, Outcome::Ok);
        way(&fake.host())
    };
    let mut tracepoints = COMMON.to_vec();
    let old = with(kernel_with(&tracepoints, &FUNCTIONS_6_1));
    assert_eq!(old.outcome, Outcome::Warn);
    assert!(old.detail.contains("kTLS"), "{}", old.detail);
    let neither = with(kernel_with(&tracepoints, &[]));
    assert_eq!(
        (neither.outcome, neither.exit),
        (Outcome::Fail, Exit::Unavailable)
    );
    assert!(neither.detail.contains("tcp_sendmsg"), "{}", neither.detail);
    tracepoints.extend(["sock_send_length", "sock_recv_length"]);
    let new = with(kernel_with(&tracepoints, &[]));
    assert_eq!((new.outcome, &*new.detail), (Outcome::Ok, "by tracepoints"));
    let garbage = with(b"garbage".to_vec());
    assert_eq!(
        (garbage.outcome, garbage.exit),
        (Outcome::Fail, Exit::Unavailable)
    );
}

#[test]
fn lockdown_modes() {
    let fake = Fake::new();
    assert_eq!(lockdown(&fake.host()).outcome, Outcome::Ok);
    for (text, outcome) in [
        ("[none] integrity confidentiality\n", Outcome::Ok),
        ("none [integrity] confidentiality\n", Outcome::Ok),
        ("none integrity [confidentiality]\n", Outcome::Fail),
        ("?\n", Outcome::Warn),
    ] {
        fake.write("sys/kernel/security/lockdown", text);
        assert_eq!(lockdown(&fake.host()).outcome, outcome, "{text}");
    }
}

#[test]
fn locked_memory_matters_on_old_kernels_only() {
    let fake = Fake::new();
    assert_eq!(memlock(&fake.host()).outcome, Outcome::Ok);
    fake.write("proc/sys/kernel/osrelease", "5.10.0");
    fake.write(
        "proc/self/limits",
        "Limit  Soft\nMax locked memory         65536                65536                bytes\n",
    );
    assert_eq!(
        memlock(&fake.host()).detail,
        "RLIMIT_MEMLOCK is 65536 bytes"
    );
    fake.write(
        "proc/self/limits",
        "Max locked memory         unlimited            unlimited            bytes\n",
    );
    assert_eq!(memlock(&fake.host()).outcome, Outcome::Ok);
}

#[test]
fn a_daemon_that_answers() {
    let fake = Fake::new();
    let socket = fake.dir.path().join("control.sock");
    assert_eq!(daemon(&socket).outcome, Outcome::Warn);
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert_eq!(daemon(&socket).outcome, Outcome::Ok);
}

#[test]
fn every_trouble_has_a_hint() {
    let empty = Host {
        proc: "/nonexistent".into(),
        sys: "/nonexistent".into(),
    };
    for probe in probes(&empty, Path::new("/nonexistent/control.sock")) {
        assert_eq!(
            probe.hint.is_some(),
            probe.outcome != Outcome::Ok,
            "{}",
            probe.name
        );
        assert_eq!(
            probe.exit != Exit::Success,
            probe.outcome == Outcome::Fail,
            "{}",
            probe.name
        );
    }
}
