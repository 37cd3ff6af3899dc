#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use super::*;
use crate::alert::testing::update;
use crate::store::alerts::Batch;
use crate::store::sim::Disk;
use crate::store::tests::route;

/// Three alerts, first seen at 1, 2 and 3 seconds; ids in order.
fn store() -> (Store, Vec<String>) {
    let store = Store::on(&Disk::default());
    let mut ids = Vec::new();
    for n in 1..=3 {
        let batch = Batch::new(vec![update(&format!("id-{n}"), 1, n * 1_000_000)]);
        let done = store.apply(&batch, &[route("soc")], n * 1_000_000).unwrap();
        ids.push(done.alerts[0].id.clone());
    }
    (store, ids)
}

#[test]
fn counts_what_was_seen_since() {
    let (store, _) = store();
    let key = (FindingKind::Environment, Severity::High);
    assert_eq!(store.tally(0).unwrap()[&key], 3);
    assert_eq!(store.tally(2_000_000).unwrap()[&key], 2);
    assert!(store.tally(4_000_000).unwrap().is_empty());
}

#[test]
fn an_id_or_its_beginning_finds_the_alert() {
    let (store, ids) = store();
    assert_eq!(
        store.look_up(&ids[1]).unwrap(),
        Lookup::Found(ids[1].clone())
    );
    let common = ids[0]
        .chars()
        .zip(ids[1].chars())
        .take_while(|(a, b)| a == b)
        .count();
    let beginning = &ids[1][..=common];
    let expected = if ids[2].starts_with(beginning) {
        Lookup::Several(ids[1..].to_vec())
    } else {
        Lookup::Found(ids[1].clone())
    };
    assert_eq!(store.look_up(beginning).unwrap(), expected);
    assert_eq!(
        store.look_up(&ids[0][..1]).unwrap(),
        Lookup::Several(ids.clone())
    );
    let Lookup::None(near) = store.look_up("zzz").unwrap() else {
        panic!("found zzz");
    };
    assert_eq!(near, [ids[2].clone()]);
    assert!(matches!(store.look_up("").unwrap(), Lookup::None(_)));
}

#[test]
fn what_was_not_delivered_is_told() {
    let (store, ids) = store();
    let waiting = store.undelivered(&ids[0]).unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!((&*waiting[0].webhook, waiting[0].dead), ("soc", false));
    assert!(store.undelivered("other").unwrap().is_empty());
}
