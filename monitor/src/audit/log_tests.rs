#![allow(clippy::unwrap_used, reason = "tests may fail by panic")]

use super::*;
use crate::alert::SystemClock;
use crate::audit::disk::Files as _;
use crate::audit::note::Checkpoint;
use crate::audit::testing::{Fault, SimDisk, key};
use crate::audit::verify::verify;

fn start(disk: &SimDisk) -> (Log, Arc<Mutex<Vec<String>>>) {
    let writer = Writer::open(disk.clone(), key(), None)
        .map_err(|refused| refused.error)
        .unwrap();
    let remembered = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&remembered);
    let log = Log::start(
        writer,
        Arc::new(SystemClock),
        Box::new(move |note| lock(&kept).push(note.to_owned())),
    )
    .unwrap();
    (log, remembered)
}

/// The types of a log's entries, in order.
fn types(disk: &SimDisk) -> Vec<String> {
    let mut all = Vec::new();
    verify(disk, key().public(), &[], |_, entry| {
        let value: serde_json::Value = serde_json::from_slice(entry).unwrap();
        let text = |name: &str| value.get(name).map(ToString::to_string).unwrap_or_default();
        all.push(format!(
            "{} {}",
            text("type").trim_matches('"'),
            text("count")
        ));
    })
    .unwrap();
    all
}

#[test]
fn a_checkpoint_follows_within_a_second() {
    let disk = SimDisk::default();
    let (log, _) = start(&disk);
    let begun = Instant::now();
    log.append(Entry::Stop {});
    while log.status().entries == 0 {
        assert!(begun.elapsed() < Duration::from_secs(1));
        std::thread::sleep(Duration::from_millis(5));
    }
    let note = log.checkpoint().unwrap();
    assert_eq!(Checkpoint::open(&note, key().public()).unwrap().size, 1);
    log.close();
    assert_eq!(types(&disk), ["stop "]);
}

#[test]
fn a_flush_ends_when_everything_before_it_is_signed() {
    let disk = SimDisk::default();
    let (log, _) = start(&disk);
    for count in 1..=3 {
        log.append(Entry::Stop {});
        assert!(log.flush(Duration::from_secs(10)));
        assert_eq!(log.status().entries, count);
    }
    let held = disk.hold();
    log.append(Entry::Stop {});
    assert!(!log.flush(Duration::from_millis(50)));
    drop(held);
    log.close();
    assert!(!log.flush(Duration::from_secs(10)));
    assert_eq!(types(&disk).len(), 4);
}

#[test]
fn what_waits_is_written_at_the_end_and_remembered() {
    let disk = SimDisk::default();
    let (log, remembered) = start(&disk);
    for _ in 0..5000 {
        log.append(Entry::Stop {});
    }
    log.close();
    let status = log.status();
    assert_eq!(
        (status.entries, status.waiting, status.dropped),
        (5000, 0, 0)
    );
    assert_eq!(types(&disk).len(), 5000);
    let newest = log.checkpoint().unwrap();
    assert_eq!(lock(&remembered).last().map(String::as_str), Some(&*newest));
    assert_eq!(
        disk.read("checkpoint", 4096).unwrap().as_deref(),
        Some(newest.as_bytes())
    );
    // After the end it is counted, and does not wait.
    log.append(Entry::Stop {});
    assert_eq!(log.status().dropped, 1);
    log.close();
}

#[test]
fn a_disk_that_fails_for_a_moment_loses_nothing() {
    let disk = SimDisk::default();
    disk.fail(2, Fault::Refused);
    let (log, _) = start(&disk);
    for _ in 0..10 {
        log.append(Entry::Stop {});
    }
    let begun = Instant::now();
    while log.status().entries < 10 {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            log.status()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(log.status().error, None);
    log.close();
    assert_eq!(types(&disk).len(), 10);
}

#[test]
fn a_disk_that_fails_for_good_delays_the_end_by_a_moment() {
    let disk = SimDisk::default();
    disk.fail(2, Fault::Killed);
    let (log, _) = start(&disk);
    for _ in 0..3 * QUEUE {
        log.append(Entry::Stop {});
    }
    let begun = Instant::now();
    while log.status().error.is_none() {
        assert!(begun.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
    let begun = Instant::now();
    log.close();
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(log.status().entries, 0);
}

#[test]
fn more_than_there_is_room_for_is_counted_and_said() {
    let disk = SimDisk::default();
    let (log, _) = start(&disk);
    // Held so that the thread stands at its first operation.
    let held = disk.hold();
    for _ in 0..3 * QUEUE {
        log.append(Entry::Stop {});
    }
    let dropped = log.status().dropped;
    assert!(dropped > 0);
    assert!(log.status().waiting <= QUEUE as u64 + 1);
    drop(held);
    log.close();
    let all = types(&disk);
    let told: u64 = all
        .iter()
        .filter_map(|line| line.strip_prefix("loss "))
        .map(|count| count.parse::<u64>().unwrap())
        .sum();
    let stops = all.iter().filter(|line| *line == "stop ").count();
    assert_eq!(told, dropped);
    assert_eq!(stops as u64 + dropped, 3 * QUEUE as u64);
}
