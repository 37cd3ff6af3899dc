//! What people say about an alert is kept, and decides what is told.
#![allow(clippy::unwrap_used, reason = "tests may fail by panic")]

use super::tests::{SECOND, route};
use super::*;
use crate::alert::MarkRequest;
use crate::alert::testing::update;
use crate::judge::Severity;

const NOW: i64 = 1000 * SECOND;

/// Stores growth that comes at this second; how many messages wait then.
fn grow(store: &Store, second: i64, severity: Severity) -> usize {
    let at = NOW + second * SECOND;
    let mut growth = update("a", 1, at);
    growth.severity = severity;
    store
        .apply(&Batch::new(vec![growth]), &[route("soc")], at)
        .unwrap();
    store.queued("soc").unwrap().len()
}

/// Sees to it that nothing waits.
fn deliver(store: &Store) {
    for queued in store.queued("soc").unwrap() {
        let message = store.message("soc", queued.severity, queued.seq);
        let outcome = Outcome {
            endpoint: "soc".to_owned(),
            severity: queued.severity,
            seq: queued.seq,
            message: message.unwrap().unwrap(),
            verdict: Verdict::Delivered,
            next_update_us: NOW,
        };
        store.settle(&[outcome], NOW).unwrap();
    }
}

#[test]
fn what_is_known_is_told_again_only_when_it_gets_worse() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    assert_eq!(grow(&store, 0, Severity::High), 1);
    deliver(&store);
    let id = store.list(&AlertQuery::default()).unwrap().remove(0).id;
    let known = MarkRequest::Acknowledge { note: None };
    let marked = store.mark(&id, &known, "ann", NOW).unwrap().unwrap();
    assert_eq!(marked.acknowledged.unwrap().by, "ann");
    assert_eq!(grow(&store, 1, Severity::High), 0, "known");
    assert_eq!(grow(&store, 2, Severity::Critical), 1, "worse");
    deliver(&store);
    assert_eq!(grow(&store, 3, Severity::Critical), 0, "known as well");

    // Over a restart, and with what grew meanwhile.
    store.close();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let alert = store.get(&id).unwrap().unwrap();
    assert_eq!(
        (alert.count, alert.acknowledged.unwrap().by),
        (4, "ann".to_owned())
    );
    let unmark = MarkRequest::Unmark;
    store.mark(&id, &unmark, "ann", NOW).unwrap().unwrap();
    assert_eq!(grow(&store, 4, Severity::Critical), 1, "no longer");
}

#[test]
fn what_is_muted_is_told_when_its_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    grow(&store, 0, Severity::High);
    deliver(&store);
    let id = store.list(&AlertQuery::default()).unwrap().remove(0).id;
    let mute = MarkRequest::Mute {
        until_us: NOW + 100 * SECOND,
    };
    store.mark(&id, &mute, "ann", NOW).unwrap().unwrap();
    assert_eq!(grow(&store, 99, Severity::High), 0);
    assert_eq!(grow(&store, 100, Severity::High), 1);
    let none = store.mark("al_none", &mute, "ann", NOW).unwrap();
    assert!(none.is_none());
}
