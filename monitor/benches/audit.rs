//! What the audit log takes: entries a second through its own thread to the disk, and the age that its checkpoint
//! reaches.
//!
//! `cargo bench -p bailiwick --bench audit [-- DIR]`. DIR is where it writes; else a temporary directory.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]
#![allow(clippy::print_stdout, reason = "its figures are its output")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bailiwick::alert::SystemClock;
use bailiwick::audit::disk::Directory;
use bailiwick::audit::note::Checkpoint;
use bailiwick::audit::{Entry, Log, Place, verify};
use bailiwick::judge::{FindingKind, Severity};

const SECONDS: u64 = 10;
const RATE: u64 = 5_000;

fn alert(n: u64) -> Entry {
    Entry::Alert {
        change: "begun".to_owned(),
        id: format!("al_01KB29W7J0B5MZ8Q4T{n:08}"),
        kind: FindingKind::Environment,
        severity: Severity::High,
        title: "ci-bot used in prod, where it does not belong".to_owned(),
        identity: Some("ci-bot".to_owned()),
        owner: Some("team-ci".to_owned()),
        workload: Some("unit:ci.service".to_owned()),
        operation: "POST api.pay.example/v1/payments/{id}".to_owned(),
        environment: Some("prod".to_owned()),
        clause: "identities.ci-bot.environments".to_owned(),
        count: n,
        first_seen: "2026-11-24T09:00:00.000000Z".to_owned(),
        last_seen: "2026-11-24T09:00:00.000000Z".to_owned(),
    }
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("only measures: cargo bench -p bailiwick --bench audit");
        return;
    }
    let named = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    let dir = match &named {
        Some(dir) => tempfile::tempdir_in(dir).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let place = Place {
        state_dir: dir.path().to_owned(),
        directory: dir.path().join("audit"),
        group: None,
        host: "bench".to_owned(),
    };
    let begun = place.begin("2026-11-24T09:00:00Z").unwrap();
    let key = begun.writer.key().public().clone();
    let log = Log::start(begun.writer, Arc::new(SystemClock), Box::new(|_| {})).unwrap();

    // At the rate that is promised: how old an entry is when a checkpoint has it.
    let start = Instant::now();
    let mut added = 0;
    let mut oldest = Duration::ZERO;
    let mut waiting = std::collections::VecDeque::new();
    while start.elapsed() < Duration::from_secs(SECONDS) {
        let due = u64::try_from(start.elapsed().as_micros()).unwrap() * RATE / 1_000_000;
        while added < due {
            log.append(alert(added));
            added += 1;
            waiting.push_back((added, Instant::now()));
        }
        let signed = log.status().entries;
        while let Some((number, at)) = waiting.front() {
            // The first entry says that the log begins.
            if *number + 1 > signed {
                break;
            }
            oldest = oldest.max(at.elapsed());
            waiting.pop_front();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    println!(
        "{RATE} entries a second for {SECONDS} s: {} dropped, the oldest entry without a checkpoint {} ms",
        log.status().dropped,
        oldest.as_millis()
    );
    assert_eq!(log.status().dropped, 0);
    assert!(oldest < Duration::from_secs(1), "over a second");

    // As fast as it goes.
    let start = Instant::now();
    let before = log.status().entries;
    let mut n = added;
    while start.elapsed() < Duration::from_secs(SECONDS) {
        if log.status().waiting < 8_000 {
            log.append(alert(n));
            n += 1;
        } else {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    log.close();
    let written = log.status().entries - before;
    println!(
        "as fast as it goes: {:.0} entries a second, signed and on the disk",
        written as f64 / start.elapsed().as_secs_f64()
    );

    check(&place.directory, &key);
}

fn check(directory: &Path, key: &bailiwick::audit::note::VerifierKey) {
    let start = Instant::now();
    let Checkpoint { size, .. } = verify(&Directory::new(directory), key, &[], |_, _| {}).unwrap();
    println!(
        "verified {size} entries in {:.2} s",
        start.elapsed().as_secs_f64()
    );
}
