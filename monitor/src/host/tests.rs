use monitor_ebpf::{Header, PATH_BYTES, kind};

use super::*;

struct Files;

impl HostFiles for Files {
    fn pids(&self) -> Vec<u32> {
        vec![1, 50]
    }

    fn process(&self, pid: u32) -> Option<ProcessFacts> {
        let facts = |ppid, exe: &str, cgroup: &str| ProcessFacts {
            ppid,
            uid: 0,
            exe: exe.to_owned(),
            cgroup: cgroup.to_owned(),
        };
        match pid {
            1 => Some(facts(0, "/lib/systemd/systemd", "0::/init.scope\n")),
            50 => Some(facts(1, "/usr/bin/runner", "0::/system.slice/ci.service\n")),
            60 => Some(facts(50, "/bin/late", "0::/system.slice/ci.service\n")),
            _ => None,
        }
    }

    fn cgroups(&self) -> Vec<(u64, String)> {
        vec![
            (1, "/".to_owned()),
            (77, "/system.slice/ci.service".to_owned()),
        ]
    }

    fn user(&self, uid: u32) -> Option<String> {
        (uid == 0).then(|| "root".to_owned())
    }
}

fn exec(tgid: u32, ppid: u32, exec_id: u32, components: &[u8]) -> Exec {
    let mut path = [0; PATH_BYTES];
    path[..components.len()].copy_from_slice(components);
    Exec {
        header: Header {
            kind: kind::EXEC,
            flags: exec_flag::WALKED,
            len: components.len() as u32,
            ..Header::default()
        },
        time: 0,
        cgroup: 77,
        start: 9,
        tgid,
        ppid,
        uid: 0,
        exec_id,
        path,
    }
}

fn fork(tgid: u32, ppid: u32) -> Fork {
    Fork {
        tgid,
        ppid,
        cgroup: 77,
        start: 9,
        exec_id: 1,
        ..Fork::default()
    }
}

#[test]
fn a_process_that_lived_and_died_between_two_drains_has_its_name() {
    let mut host = Host::new(Box::new(Files));
    host.fork(&fork(100, 50));
    host.exec(&exec(100, 50, 2, b"curl\0bin\0usr\0"));
    host.exit(&Exit {
        tgid: 100,
        time: 5,
        ..Exit::default()
    });
    let workload = host.workload(100, 2);
    assert_eq!(&*workload.exe, "/usr/bin/curl");
    assert_eq!(workload.unit.as_deref(), Some("ci.service"));
    assert_eq!(&*workload.user, "root");
    let lineage: Vec<&str> = workload.lineage.iter().map(|name| &**name).collect();
    assert_eq!(lineage, ["/usr/bin/runner", "/lib/systemd/systemd"]);
    host.sweep(6 + MEMORY_OF_THE_DEAD);
    assert_eq!(host.sizes().0, 2);
}

#[test]
fn bytes_of_an_earlier_image_are_its_own() {
    let mut host = Host::new(Box::new(Files));
    host.fork(&fork(100, 50));
    host.exec(&exec(100, 50, 2, b"first\0"));
    host.exec(&exec(100, 50, 3, b"second\0"));
    assert_eq!(&*host.workload(100, 2).exe, "/first");
    assert_eq!(&*host.workload(100, 3).exe, "/second");
}

#[test]
fn an_unannounced_process_is_looked_up_and_a_gone_one_is_unknown() {
    let mut host = Host::new(Box::new(Files));
    assert_eq!(&*host.workload(60, 4).exe, "/bin/late");
    assert_eq!(&*host.workload(61, 4).exe, "");
}

#[test]
fn equal_workloads_are_one() {
    let mut host = Host::new(Box::new(Files));
    for pid in [100, 101] {
        host.fork(&fork(pid, 50));
        host.exec(&exec(pid, 50, 2, b"curl\0bin\0usr\0"));
    }
    assert!(Arc::ptr_eq(&host.workload(100, 2), &host.workload(101, 2)));
}

#[test]
fn a_pid_used_again_is_another_process() {
    let mut host = Host::new(Box::new(Files));
    host.fork(&fork(100, 50));
    host.exit(&Exit {
        tgid: 100,
        time: 5,
        ..Exit::default()
    });
    host.fork(&Fork {
        start: 10,
        ..fork(100, 1)
    });
    host.sweep(6 + MEMORY_OF_THE_DEAD);
    assert_eq!(&*host.workload(100, 1).exe, "/lib/systemd/systemd");
}
