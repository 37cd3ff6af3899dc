#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{KeyLogs, SharedKeyLogs, read, start};
use crate::wire::tls::Label;

const RANDOM: &str = "cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7";

fn line(secret: u8) -> String {
    let value = format!("{secret:02x}").repeat(32);
    format!("CLIENT_TRAFFIC_SECRET_0 {RANDOM} {value}\n")
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// The first bytes of the next secrets, as far as they come within two seconds.
fn next(logs: &KeyLogs, count: usize) -> Vec<u8> {
    let begin = Instant::now();
    let mut out = Vec::new();
    while out.len() < count && begin.elapsed() < Duration::from_secs(2) {
        match logs.next() {
            Some(secret) => {
                assert_eq!(secret.label, Label::ClientTraffic);
                out.push(secret.value.expose()[0]);
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    out
}

fn following(path: &Path) -> (KeyLogs, SharedKeyLogs) {
    start(&[PathBuf::from(path)]).unwrap()
}

#[test]
fn from_its_end_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    append(&path, &line(1));
    let (logs, shared) = following(&path);
    assert_eq!(read(&shared)[0].trouble, None);
    append(&path, &line(2));
    assert_eq!(next(&logs, 1), [2]);
    // A line in two halves.
    let text = line(3);
    append(&path, &text[..40]);
    std::thread::sleep(Duration::from_millis(30));
    append(&path, &text[40..]);
    append(&path, "nonsense\n");
    append(&path, &line(4));
    assert_eq!(next(&logs, 2), [3, 4]);
    assert!(logs.next().is_none());
    let begin = Instant::now();
    while read(&shared)[0].counts.secrets < 3 && begin.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let counts = read(&shared)[0].counts;
    assert_eq!((counts.secrets, counts.ignored), (3, 1));
}

#[test]
fn joined_within_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    append(&path, "CLIENT_TRAFFIC_SECRET_0 cb34");
    let (logs, _) = following(&path);
    append(&path, &line(1));
    append(&path, &line(2));
    assert_eq!(next(&logs, 1), [2]);
}

#[test]
fn one_that_is_not_there_yet_is_read_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let (logs, shared) = following(&path);
    assert!(read(&shared)[0].trouble.is_some());
    let begin = Instant::now();
    append(&path, &line(1));
    assert_eq!(next(&logs, 1), [1]);
    assert!(begin.elapsed() < Duration::from_millis(900), "told at once");
}

#[test]
fn replaced_and_cut() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    append(&path, &line(1));
    let (logs, _) = following(&path);
    // Moved away: its writer goes on for a while.
    let old = dir.path().join("keys.1");
    fs::rename(&path, &old).unwrap();
    append(&old, &line(2));
    assert_eq!(next(&logs, 1), [2]);
    let begin = Instant::now();
    append(&path, &line(3));
    assert_eq!(next(&logs, 1), [3]);
    assert!(begin.elapsed() < Duration::from_millis(900), "told at once");
    // Replaced in one step.
    let other = dir.path().join("other");
    append(&other, &line(4));
    fs::rename(&other, &path).unwrap();
    assert_eq!(next(&logs, 1), [4]);
    // Cut, and written anew.
    append(&path, &line(5));
    assert_eq!(next(&logs, 1), [5]);
    File::create(&path).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    append(&path, &line(6));
    assert_eq!(next(&logs, 1), [6]);
    // Removed, and made again.
    fs::remove_file(&path).unwrap();
    append(&path, &line(7));
    assert_eq!(next(&logs, 1), [7]);
}

#[test]
fn what_is_no_file_is_refused_and_looked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    fs::create_dir(&path).unwrap();
    let (logs, shared) = following(&path);
    let trouble = read(&shared)[0].trouble.clone().unwrap();
    assert!(trouble.contains("regular"), "{trouble}");
    fs::remove_dir(&path).unwrap();
    append(&path, &line(1));
    assert_eq!(next(&logs, 1), [1]);
}

#[test]
fn more_than_can_wait_wait_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let (logs, _) = following(&path);
    let many: usize = 3 * super::WAITING;
    let text: String = (0..many)
        .map(|n| line(u8::try_from(n % 251).unwrap()))
        .collect();
    append(&path, &text);
    std::thread::sleep(Duration::from_millis(100));
    let all = next(&logs, many);
    assert_eq!(all.len(), many);
    assert!(
        all.iter()
            .zip(0..)
            .all(|(got, n)| usize::from(*got) == n % 251)
    );
}

#[test]
fn the_thread_ends_with_its_receiver() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let (sender, secrets) = std::sync::mpsc::sync_channel(1);
    let (stopped, stop) = rustix::pipe::pipe().unwrap();
    let follower = super::Follower::new([path].into_iter(), SharedKeyLogs::default());
    let thread = std::thread::Builder::new()
        .spawn(move || follower.run(&stopped, &sender))
        .unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert!(!thread.is_finished());
    drop((secrets, stop));
    let begin = Instant::now();
    while !thread.is_finished() {
        assert!(begin.elapsed() < Duration::from_millis(900), "told at once");
        std::thread::sleep(Duration::from_millis(1));
    }
}
