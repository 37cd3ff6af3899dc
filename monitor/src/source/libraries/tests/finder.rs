use std::time::Duration;

use super::super::super::Wish;
use super::super::bounds::{Memory, Rate};
use super::super::{FileId, Finder, Found, Plan, ProbeKind, Scout};
use super::fake::Fake;

const NOW: Duration = Duration::ZERO;
const LATER: Duration = Duration::from_secs(60);

fn inodes(plans: &[Plan]) -> Vec<u64> {
    plans.iter().map(|plan| plan.id.ino).collect()
}

#[test]
fn each_file_once() {
    let host = Fake::default();
    host.file(5, "EVP_KDF_derive");
    host.file(6, "nothing");
    host.process(100, &[("08:01", 5), ("08:01", 6)]);
    host.process(200, &[("08:01", 6), ("08:01", 5)]);
    let mut finder = Finder::new(Box::new(host.clone()));
    let plans = finder.start(NOW);
    assert_eq!(inodes(&plans), [5]);
    assert_eq!(plans[0].points[0].kind, ProbeKind::OpensslKdfDerive);
    assert_eq!(plans[0].path, "/lib/5.so");
    assert_eq!(plans[0].attach_path().to_str(), Some("/open/5"));
    assert_eq!(host.opened(), [5, 6]);
    assert!(finder.process(200, NOW).is_empty());
    assert_eq!(host.opened(), [0; 0]);
    // After a while files are opened again, but examined only if they have changed.
    assert!(finder.process(200, LATER).is_empty());
    assert_eq!(host.opened(), [6, 5]);
    assert_eq!(finder.counters().files, 2);
    assert_eq!(finder.counters().processes, 4);
}

#[test]
fn a_file_that_was_replaced_is_seen() {
    let host = Fake::default();
    host.file(5, "nothing");
    host.process(100, &[("08:01", 5)]);
    let mut finder = Finder::new(Box::new(host.clone()));
    assert!(finder.start(NOW).is_empty());
    host.file(5, "SSL_read");
    let plans = finder.process(100, LATER);
    assert_eq!(plans[0].points[0].kind, ProbeKind::SslRead);
    // The same contents anew: perhaps another file of the same number. The plan comes again.
    host.file(5, "SSL_read");
    assert_eq!(inodes(&finder.process(100, 2 * LATER)), [5]);
    assert!(finder.process(100, 3 * LATER).is_empty());
}

#[test]
fn libraries_of_each_root_before_anything_loads_them() {
    let host = Fake::default();
    let crypto = |ino| vec![("/usr/lib/libcrypto.so.3".to_owned(), ino)];
    host.file(5, "EVP_KDF_derive");
    host.file(50, "EVP_KDF_derive");
    {
        let mut state = host.0.lock().unwrap();
        state.roots.insert(None, (1, crypto(5)));
        // Two containers of one root, and a process of the host's.
        state.roots.insert(Some(200), (2, crypto(50)));
        state.roots.insert(Some(201), (2, crypto(50)));
        state.roots.insert(Some(300), (1, crypto(5)));
    }
    let mut finder = Finder::new(Box::new(host.clone()));
    assert_eq!(inodes(&finder.start(NOW)), [5]);
    for (pid, ino) in [(200, 70), (201, 71), (300, 72)] {
        host.file(ino, "nothing");
        host.process(pid, &[("00:33", ino)]);
    }
    assert_eq!(inodes(&finder.process(200, NOW)), [50]);
    host.opened();
    assert!(finder.process(201, NOW).is_empty());
    assert!(finder.process(300, NOW).is_empty());
    assert_eq!(host.opened(), [71, 72]);
}

#[test]
fn one_file_through_two_overlays_is_one_file() {
    let host = Fake::default();
    host.file(5, "EVP_KDF_derive");
    let mut finder = Finder::new(Box::new(host.clone()));
    let mut seen = |pid, device: &str| {
        host.process(pid, &[(device, 5)]);
        let plans = finder.process(pid, NOW);
        let short = plans.iter().map(|plan| (plan.id.dev, plan.same_as));
        short.collect::<Vec<_>>()
    };
    let first = FileId { dev: 0x60, ino: 5 };
    assert_eq!(seen(100, "00:60"), [(0x60, None)]);
    assert_eq!(seen(200, "00:61"), [(0x61, Some(first))]);
    // The same number and times without an overlay: a snapshot, and its file another.
    host.file(5, "EVP_KDF_derive");
    assert_eq!(seen(300, "00:20"), [(0x20, None)]);
    assert_eq!(seen(400, "00:21"), [(0x21, None)]);
}

#[test]
fn file_systems_that_never_answer_are_not_touched() {
    let host = Fake::default();
    host.file(5, "EVP_KDF_derive");
    host.process(100, &[("00:32", 5)]);
    let mut finder = Finder::new(Box::new(host.clone()));
    assert!(finder.process(100, NOW).is_empty());
    assert_eq!(host.opened(), [0; 0]);
    assert_eq!(finder.counters().fuse, 1);
    // Nor is a root that is one, or that is no mount at all.
    {
        let mut state = host.0.lock().unwrap();
        let libraries = vec![("/usr/lib/libcrypto.so.3".to_owned(), 5)];
        state.roots.insert(Some(100), (7, libraries));
        let fuse = "22 1 0:32 / / rw - fuse.overlayfs x rw\n";
        state.mounts.insert(100, fuse.to_owned());
    }
    host.file(6, "nothing");
    for mounts in ["22 1 0:50 / / rw - fuse.overlayfs x rw\n", ""] {
        host.process(100, &[("08:01", 6)]);
        host.0.lock().unwrap().mounts.insert(100, mounts.to_owned());
        assert!(finder.process(100, LATER).is_empty());
        assert!(!host.opened().contains(&5));
    }
}

#[test]
fn too_much_at_a_time_is_put_off_and_counted() {
    let host = Fake::default();
    let mut finder = Finder::new(Box::new(host.clone()));
    host.file(5, "nothing");
    host.process(100, &[("08:01", 5)]);
    for _ in 0..5000 {
        finder.process(100, NOW);
    }
    let counters = finder.counters();
    assert_eq!(
        (counters.processes, counters.processes_skipped),
        (4096, 904)
    );
    finder.process(100, Duration::from_millis(10));
    assert_eq!(finder.counters().processes, 4097);

    // Files: 16,384 at once, then 200 a second. What was put off comes when it is asked for again.
    let files: Vec<(&str, u64)> = (10_000..14_000).map(|ino| ("08:01", ino)).collect();
    for ino in 10_000..27_000 {
        host.0.lock().unwrap().files.insert(ino, (Vec::new(), 0));
    }
    let mut finder = Finder::new(Box::new(host.clone()));
    for round in 0..5_u64 {
        let files: Vec<_> = files.iter().map(|(d, i)| (*d, i + round * 4000)).collect();
        host.process(100, &files);
        finder.process(100, NOW);
    }
    let counters = finder.counters();
    assert_eq!(counters.files, 16_384);
    assert_eq!(counters.files_deferred, 17_000 - 16_384);
    assert_eq!(counters.unopened, 3000);
    finder.process(100, Duration::from_secs(1));
    assert_eq!(finder.counters().files, 16_384 + 200);
}

#[test]
fn memory_is_bounded_and_keeps_what_is_used() {
    let mut memory = Memory::new(10);
    for i in 0..1000_u32 {
        memory.put(i, i);
        assert!(memory.len() <= 20);
        assert_eq!(memory.get(0), Some(0));
        assert_eq!(memory.get(i.saturating_sub(2)), Some(i.saturating_sub(2)));
    }
    assert_eq!(memory.get(500), None);
}

#[test]
fn rates() {
    let mut rate = Rate::new(10, 1000);
    assert!(rate.any(NOW));
    rate.take(30);
    assert!(!rate.any(Duration::from_millis(20)));
    assert!(rate.any(Duration::from_millis(21)));
    // Small steps add up.
    rate.take(1);
    assert!(!rate.any(Duration::from_micros(21_500)));
    assert!(rate.any(Duration::from_micros(22_000)));
    // Never more than the burst.
    assert!(rate.any(LATER));
    rate.take(10);
    assert!(!rate.any(LATER));
}

#[test]
fn thread_looks_again_at_what_it_is_told() {
    let host = Fake::default();
    host.file(5, "EVP_KDF_derive");
    host.file(6, "SSL_read");
    host.process(100, &[("08:01", 5)]);
    let mut finder = Finder::new(Box::new(host.clone()));
    let first: Vec<_> = finder.start(NOW).iter().map(|plan| plan.id.ino).collect();
    assert_eq!(first, [5]);
    let (requests, scout) = Scout::start(finder).unwrap();
    let told = || scout.found.recv().unwrap();
    let next = || match told() {
        Found::Plan(plan) => plan,
        other => panic!("{other:?}"),
    };
    // Its library comes only after the first look.
    host.process(200, &[("08:01", 5)]);
    host.process_later(200, &[("08:01", 5), ("08:01", 6)]);
    requests.exec(200);
    assert_eq!(next().id.ino, 6);
    // A process that needs more is looked at first.
    host.file(7, "SSL_write");
    host.process(300, &[("08:01", 7)]);
    assert!(requests.fallback(300, Wish::Asked));
    assert!(requests.fallback(300, Wish::Nothing));
    assert_eq!(next().id.ino, 7);
    assert!(matches!(told(), Found::Fallback(300, Wish::Asked)));
    assert!(matches!(told(), Found::Fallback(300, Wish::Nothing)));
    assert_eq!(requests.dropped(), 0);
    drop(requests);
    scout.thread.join().unwrap();
    assert_eq!(scout.counters.lock().unwrap().files, 3);
}
