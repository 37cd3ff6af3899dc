//! A disk that fails at every possible point: what was acknowledged is there afterwards.
#![allow(clippy::unwrap_used, reason = "tests may fail by panic")]

use std::collections::BTreeMap;

use super::sim::{Disk, Trouble};
use super::tests::{SECOND, route};
use super::*;
use crate::alert::testing::update;

/// Batches given to the store in one run.
const BATCHES: u64 = 8;

fn open(disk: &Disk) -> Store {
    let options = StoreOptions {
        cache_bytes: 1 << 20,
        ..StoreOptions::default()
    };
    Store::open_with(
        PathBuf::from("/state.redb"),
        options,
        Box::new(disk.clone()),
    )
    .unwrap()
}

/// What a run did: counts per identity that were acknowledged, and those still unsure.
#[derive(Default, Debug)]
struct Run {
    acknowledged: BTreeMap<String, u64>,
    unsure: BTreeMap<String, u64>,
    delivered: Vec<String>,
    /// Deliveries whose settling was not acknowledged.
    perhaps_delivered: Vec<String>,
}

/// Alerts come, some grow, some are delivered. A batch that fails is given again, up to `patience`
/// times, as the intake does.
fn run(disk: &Disk, patience: u32) -> (Run, Store) {
    let mut run = Run::default();
    let store = open(disk);
    for i in 0..BATCHES {
        let now_us = SECOND * (1 + i as i64);
        // Each second one grows an earlier alert.
        let names = [format!("own-{i}"), format!("shared-{}", i / 2)];
        let batch = Batch::new(
            names
                .iter()
                .map(|name| update(name, 1 + i, now_us))
                .collect(),
        );
        let mut done = false;
        for _ in 0..=patience {
            if store.apply(&batch, &[route("soc")], now_us).is_ok() {
                done = true;
                break;
            }
        }
        for name in names {
            let counts = if done {
                &mut run.acknowledged
            } else {
                &mut run.unsure
            };
            *counts.entry(name).or_default() += 1 + i;
        }
        if !done {
            break;
        }
        if i % 3 == 2 {
            deliver(&store, &mut run, patience, now_us);
        }
    }
    (run, store)
}

fn deliver(store: &Store, run: &mut Run, patience: u32, now_us: i64) {
    let Ok(queued) = store.queued("soc") else {
        return;
    };
    let Some(queued) = queued.first() else { return };
    let Ok(Some(message)) = store.message("soc", queued.severity, queued.seq) else {
        return;
    };
    let id = message.id.clone();
    let outcome = Outcome {
        endpoint: "soc".to_owned(),
        severity: queued.severity,
        seq: queued.seq,
        message,
        verdict: Verdict::Delivered,
        next_update_us: now_us,
    };
    let outcomes = [outcome];
    let settled = (0..=patience).any(|_| store.settle(&outcomes, now_us).is_ok());
    if settled {
        &mut run.delivered
    } else {
        &mut run.perhaps_delivered
    }
    .push(id);
}

/// Every acknowledged count is there, nothing is counted twice, and each alert waits for its
/// endpoint unless its newest state was delivered.
fn check(disk: &Disk, run: &Run, what: &str) {
    let store = open(disk);
    let alerts = store
        .list(&AlertQuery {
            limit: Some(usize::MAX),
            ..AlertQuery::default()
        })
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(disk.aside(), 0, "{what}: nothing was corrupt");
    let found = alerts
        .iter()
        .map(|alert| (alert.identity.clone().unwrap(), alert.count))
        .collect::<BTreeMap<_, _>>();
    assert_eq!(found.len(), alerts.len(), "{what}: no alert twice");
    for (name, count) in &run.acknowledged {
        let unsure = run.unsure.get(name).copied().unwrap_or(0);
        let found = found.get(name).copied().unwrap_or(0);
        assert!(
            found == *count || found == count + unsure,
            "{what}: {name} has {found}, acknowledged were {count}"
        );
    }
    let waiting = store.queued("soc").unwrap();
    let waiting = waiting
        .iter()
        .map(|q| store.message("soc", q.severity, q.seq).unwrap().unwrap().id)
        .collect::<Vec<_>>();
    for alert in &alerts {
        let id = format!("{}-{}", alert.id, alert.count);
        let delivered = run.delivered.contains(&id) || run.perhaps_delivered.contains(&id);
        assert!(
            waiting.contains(&id) || delivered,
            "{what}: {id} is told to nobody"
        );
    }
    for id in &run.delivered {
        assert!(!waiting.contains(id), "{what}: {id} was settled");
    }
    // And it goes on.
    let batch = Batch::new(vec![update("after", 1, 99 * SECOND)]);
    store.apply(&batch, &[route("soc")], 99 * SECOND).unwrap();
}

/// Changes of a run without trouble.
fn changes() -> u64 {
    let disk = Disk::new(None, 1);
    let (run, store) = run(&disk, 0);
    assert_eq!(run.acknowledged.len() as u64, BATCHES + BATCHES / 2);
    drop(store);
    let changes = disk.changes();
    check(&disk.after_power_cut(), &run, "no trouble");
    assert!(changes > 60, "{changes}");
    changes
}

#[test]
fn power_is_lost_at_every_change() {
    for at in 1..=changes() {
        for seed in 1..4 {
            let disk = Disk::new(Some(Trouble::Crash(at)), seed * 7919 + at);
            let (run, store) = run(&disk, 0);
            drop(store);
            assert!(disk.has_crashed() || at > disk.changes());
            let what = format!("power lost at change {at}, seed {seed}");
            check(&disk.after_power_cut(), &run, &what);
        }
    }
}

#[test]
fn every_change_fails_once() {
    for at in 1..=changes() {
        let disk = Disk::new(Some(Trouble::Once(at)), at);
        let (run, store) = run(&disk, 3);
        let what = format!("change {at} fails once");
        assert!(run.unsure.is_empty(), "{what}: it works again: {run:?}");
        assert!(store.status().healthy, "{what}");
        drop(store);
        // Also after a power cut: a failed fsync must not leave a hole behind.
        check(&disk.after_power_cut(), &run, &what);
    }
}

#[test]
fn the_disk_fails_from_every_change_on_and_heals() {
    for at in (1..=changes()).step_by(2) {
        for trouble in [Trouble::From(at), Trouble::Full(at)] {
            let disk = Disk::new(Some(trouble), at);
            let (mut run, store) = run(&disk, 1);
            let what = format!("{trouble:?}");
            if !run.unsure.is_empty() {
                let status = store.status();
                assert!(!status.healthy && status.errors > 0, "{what}: {status:?}");
                assert!(status.last_error.is_some());
            }
            disk.heal();
            // The store the daemon holds works again; the unsure may be there by then.
            let batch = Batch::new(vec![update("healed", 1, 50 * SECOND)]);
            store.apply(&batch, &[route("soc")], 50 * SECOND).unwrap();
            assert!(store.status().healthy, "{what}");
            run.acknowledged.insert("healed".to_owned(), 1);
            drop(store);
            check(&disk.after_power_cut(), &run, &what);
        }
    }
}

#[test]
fn a_read_that_fails_once_loses_nothing() {
    let disk = Disk::new(None, 5);
    let (before, store) = run(&disk, 0);
    drop(store);
    for at in 1..60 {
        disk.trouble(Trouble::Read(at));
        let store = open(&disk);
        let _ = store.list(&AlertQuery::default());
        let batch = Batch::new(vec![update("read", 1, 60 * SECOND)]);
        let applied = (0..3).any(|_| store.apply(&batch, &[], 60 * SECOND).is_ok());
        assert!(applied, "read {at}");
        drop(store);
    }
    disk.heal();
    let store = open(&disk);
    assert_eq!(disk.aside(), 0);
    for name in before.acknowledged.keys() {
        let query = AlertQuery {
            identity: Some(name.clone()),
            ..AlertQuery::default()
        };
        assert_eq!(store.list(&query).unwrap().len(), 1, "{name}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_set_aside() {
    let disk = Disk::new(None, 5);
    drop(run(&disk, 0));
    disk.trouble(Trouble::Reads(1));
    let store = open(&disk);
    assert_eq!(disk.aside(), 1);
    disk.heal();
    let batch = Batch::new(vec![update("fresh", 1, SECOND)]);
    store.apply(&batch, &[], SECOND).unwrap();
    assert_eq!(store.list(&AlertQuery::default()).unwrap().len(), 1);
}
