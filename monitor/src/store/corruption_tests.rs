//! Whatever is done to the file, the store comes back: whole, or set aside and fresh.
#![allow(clippy::unwrap_used, reason = "tests may fail by panic")]

use std::os::unix::fs::FileExt;

use super::tests::{SECOND, route};
use super::*;
use crate::alert::Alert;
use crate::alert::testing::update;

const ALERTS: usize = 40;

fn all() -> AlertQuery {
    AlertQuery {
        limit: Some(usize::MAX),
        ..AlertQuery::default()
    }
}

fn filled() -> (Vec<u8>, Vec<Alert>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    for i in 0..ALERTS {
        let now_us = SECOND * (1 + i as i64);
        let batch = Batch::new(vec![update(&i.to_string(), 1, now_us)]);
        store.apply(&batch, &[route("soc")], now_us).unwrap();
    }
    let alerts = store.list(&all()).unwrap();
    store.close();
    (
        std::fs::read(dir.path().join("state.redb")).unwrap(),
        alerts,
    )
}

/// Opens what `content` became; says whether it was set aside.
fn comes_back(content: &[u8], alerts: &[Alert], what: &str) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    std::fs::write(&path, content).unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let found = store
        .list(&all())
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let aside = store.status().set_aside;
    if let Some(aside) = &aside {
        assert!(found.is_empty(), "{what}: fresh");
        assert!(
            aside.starts_with(&format!("{}.corrupt-", path.display())),
            "{aside}"
        );
        assert_eq!(
            std::fs::metadata(aside).unwrap().len(),
            content.len() as u64,
            "{what}"
        );
    } else {
        assert_eq!(found, alerts, "{what}: whole");
        assert_eq!(store.queued("soc").unwrap().len(), ALERTS, "{what}");
    }
    let batch = Batch::new(vec![update("after", 1, 99 * SECOND)]);
    store.apply(&batch, &[route("soc")], 99 * SECOND).unwrap();
    drop(store);
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    assert_eq!(store.status().set_aside, None, "{what}: once is enough");
    assert_eq!(store.list(&all()).unwrap().len(), found.len() + 1, "{what}");
    aside.is_some()
}

#[test]
fn truncated() {
    let (content, alerts) = filled();
    assert!(!comes_back(&content, &alerts, "untouched"));
    let mut aside = 0;
    for tenth in 1..10 {
        let len = content.len() * tenth / 10;
        aside += usize::from(comes_back(
            &content[..len],
            &alerts,
            &format!("cut at {len}"),
        ));
    }
    for len in [1, 9, 64, 320, 4096, content.len() - 1] {
        aside += usize::from(comes_back(
            &content[..len],
            &alerts,
            &format!("cut at {len}"),
        ));
    }
    assert!(aside >= 10, "{aside}");
}

#[test]
fn garbage() {
    let (content, alerts) = filled();
    for garbage in [
        &b"hello"[..],
        &[0; 100_000],
        &[0xff; 100_000],
        &content[4096..],
    ] {
        assert!(comes_back(garbage, &alerts, "garbage"));
    }
}

#[test]
fn flipped() {
    let (content, alerts) = filled();
    let mut aside = 0;
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..120 {
        let mut content = content.clone();
        // Single bytes, and runs as from a page that was written elsewhere.
        for _ in 0..[1, 1, 3, 200][round % 4] {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = (seed >> 33) as usize % content.len();
            content[at] ^= (seed >> 20) as u8 | 1;
        }
        aside += usize::from(comes_back(
            &content,
            &alerts,
            &format!("flips of round {round}"),
        ));
    }
    assert!(aside >= 20, "{aside} of 120 were noticed as corrupt");
}

#[test]
fn an_empty_file_is_a_fresh_store() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("state.redb"), b"").unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    assert_eq!(store.status().set_aside, None);
    assert!(store.list(&all()).unwrap().is_empty());
}

#[test]
fn a_link_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    std::fs::write(&other, b"precious").unwrap();
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::os::unix::fs::symlink(&other, state.join("state.redb")).unwrap();
    let store = Store::open(&state, StoreOptions::default()).unwrap();
    assert!(!store.status().healthy);
    assert_eq!(std::fs::read(&other).unwrap(), b"precious");
}

#[test]
fn corrupted_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        cache_bytes: 0,
        ..StoreOptions::default()
    };
    let store = Store::open(dir.path(), options).unwrap();
    for i in 0..ALERTS {
        let batch = Batch::new(vec![update(&i.to_string(), 1, SECOND)]);
        store.apply(&batch, &[route("soc")], SECOND).unwrap();
    }
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(dir.path().join("state.redb"))
        .unwrap();
    let len = file.metadata().unwrap().len();
    file.write_all_at(&vec![0xa5; len as usize - 4096], 4096)
        .unwrap();
    let works = (0..6).any(|i| {
        let batch = Batch::new(vec![update(&format!("after {i}"), 1, SECOND)]);
        store.apply(&batch, &[route("soc")], SECOND).is_ok()
    });
    let status = store.status();
    assert!(works, "{status:?}");
    assert!(status.set_aside.is_some() && status.healthy, "{status:?}");
    assert!(status.errors >= 1);
}

#[test]
fn few_corrupt_files_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..9 {
        std::fs::write(dir.path().join("state.redb"), format!("garbage {i}")).unwrap();
        drop(Store::open(dir.path(), StoreOptions::default()).unwrap());
    }
    let mut aside = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains(".corrupt-"))
        .collect::<Vec<_>>();
    aside.sort();
    assert_eq!(aside.len(), 5);
    assert_eq!(std::fs::read(aside.last().unwrap()).unwrap(), b"garbage 8");
}
