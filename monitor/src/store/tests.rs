#![allow(clippy::unwrap_used, reason = "tests may fail by panic")]

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::*;
use crate::alert::WebhookConfig;
use crate::alert::config::HookUrl;
use crate::alert::secret::SecretSource;
use crate::alert::testing::update;
use crate::judge::{FindingKind, Severity};

pub(super) const SECOND: i64 = 1_000_000;

pub(super) fn route(name: &str) -> Route {
    let url = HookUrl::parse("https://hooks.example/").unwrap();
    Arc::new(WebhookConfig::new(
        name,
        url,
        SecretSource::Env("X".to_owned()),
    ))
}

fn open(dir: &Path) -> Store {
    Store::open(dir, StoreOptions::default()).unwrap()
}

fn small(dir: &Path, change: impl Fn(&mut StoreOptions)) -> Store {
    let mut options = StoreOptions::default();
    change(&mut options);
    Store::open(dir, options).unwrap()
}

fn apply(store: &Store, identity: &str, count: u64, at_us: i64) -> AppliedBatch {
    let batch = Batch::new(vec![update(identity, count, at_us)]);
    store.apply(&batch, &[route("soc")], at_us).unwrap()
}

fn outcome(queued: &Queued, message: &Message, verdict: Verdict, now_us: i64) -> Outcome {
    Outcome {
        endpoint: "soc".to_owned(),
        severity: queued.severity,
        seq: queued.seq,
        message: message.clone(),
        verdict,
        next_update_us: now_us + 60 * SECOND,
    }
}

fn retry(due_us: i64) -> Verdict {
    Verdict::Retry {
        attempts: 1,
        due_us,
        error: "refused".to_owned(),
    }
}

fn only(store: &Store) -> (Queued, Message) {
    let queued = store.queued("soc").unwrap();
    assert_eq!(queued.len(), 1, "{queued:?}");
    let message = store
        .message("soc", queued[0].severity, queued[0].seq)
        .unwrap()
        .unwrap();
    (queued[0], message)
}

#[test]
fn survives_a_restart_with_its_modes() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("deep/state");
    let store = open(&state);
    let alert = apply(&store, "ci-bot", 2, SECOND).alerts.remove(0);
    store.meta_put("census", b"x").unwrap();
    store.close();
    assert!(
        store.list(&AlertQuery::default()).is_err(),
        "closed is closed"
    );
    drop(store);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("state.redb")), 0o600);
    let store = open(&state);
    assert_eq!(store.get(&alert.id).unwrap(), Some(alert.clone()));
    assert_eq!(store.list(&AlertQuery::default()).unwrap(), [alert]);
    assert_eq!(
        store.meta_get("census").unwrap().as_deref(),
        Some(&b"x"[..])
    );
    assert_eq!(store.meta_keys("cen").unwrap(), ["census"]);
    assert!(store.meta_delete("census").unwrap());
    assert!(!store.meta_delete("census").unwrap());
    assert!(matches!(
        store.meta_put("store.batch", b""),
        Err(StoreError::Refused(_))
    ));
    let status = store.status();
    assert_eq!((status.alerts, status.queued, status.healthy), (1, 1, true));
}

#[test]
fn a_second_process_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let error = Store::open(dir.path(), StoreOptions::default()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("hint:"), "{error}");
    drop(first);
    open(dir.path());
    let aside = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(aside, 1, "nothing was set aside");
}

#[test]
fn a_bad_directory_is_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "x").unwrap();
    let error = Store::open(&dir.path().join("file"), StoreOptions::default()).unwrap_err();
    assert!(matches!(error, StoreError::Directory { .. }), "{error}");
}

#[test]
fn growth_folds_within_the_window() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let day = 86_400 * SECOND;
    let first = apply(&store, "a", 2, SECOND).alerts.remove(0);
    let second = apply(&store, "a", 3, day).alerts.remove(0);
    assert_eq!(first.id, second.id);
    assert_eq!(second.count, 5);
    assert_eq!(second.first_seen, "1970-01-01T00:00:01.000000Z");
    assert_eq!(second.last_seen, "1970-01-02T00:00:00.000000Z");
    assert_eq!(second.evidence.len(), 2);
    let third = apply(&store, "a", 1, 2 * day + SECOND).alerts.remove(0);
    assert_ne!(third.id, first.id);
    assert_eq!(third.count, 1);
    let other = apply(&store, "b", 1, 2 * day + SECOND).alerts.remove(0);
    assert_ne!(other.id, third.id);
}

#[test]
fn the_same_batch_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = Batch::new(vec![
        update("a", 2, 1),
        update("b", 1, 1),
        update("a", 1, 2),
    ]);
    let once = store.apply(&batch, &[route("soc")], 1).unwrap();
    let twice = store.apply(&batch, &[route("soc")], 1).unwrap();
    assert!(!once.repeated && twice.repeated);
    assert_eq!(once.alerts, twice.alerts);
    assert_eq!(
        once.alerts
            .iter()
            .map(|alert| alert.count)
            .collect::<Vec<_>>(),
        [3, 1]
    );
    assert_eq!(store.queued("soc").unwrap().len(), 2);
}

#[test]
fn a_first_message_is_due_at_once_and_growth_waits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let now = 1000 * SECOND;
    let alert = apply(&store, "a", 1, now).alerts.remove(0);
    let (queued, message) = only(&store);
    assert_eq!(queued.due_us, now);
    assert_eq!(message.id, format!("{}-1", alert.id));
    store
        .settle(&[outcome(&queued, &message, Verdict::Delivered, now)], now)
        .unwrap();
    assert!(store.queued("soc").unwrap().is_empty());

    // Two growths within the minute are one message at its end, made from the newest state.
    apply(&store, "a", 1, now + SECOND);
    apply(&store, "a", 5, now + 2 * SECOND);
    let (queued, message) = only(&store);
    assert_eq!(queued.due_us, now + 60 * SECOND);
    assert_eq!(message.id, format!("{}-7", alert.id));
    let body: crate::alert::Alert = serde_json::from_str(&message.body).unwrap();
    assert_eq!(body.count, 7);

    // Growth while that one is under way is told a minute after.
    apply(&store, "a", 1, now + 60 * SECOND);
    let sent = now + 61 * SECOND;
    store
        .settle(
            &[outcome(&queued, &message, Verdict::Delivered, sent)],
            sent,
        )
        .unwrap();
    let (queued, message) = only(&store);
    assert_eq!(queued.due_us, sent + 60 * SECOND);
    assert_eq!(message.id, format!("{}-8", alert.id));
}

#[test]
fn a_retry_says_the_same_and_growth_coalesces() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let now = 1000 * SECOND;
    let alert = apply(&store, "a", 1, now).alerts.remove(0);
    let (first, message) = only(&store);
    store
        .settle(
            &[outcome(&first, &message, retry(now + 5 * SECOND), now)],
            now,
        )
        .unwrap();
    for i in 1..50 {
        apply(&store, "a", 1, now + i * SECOND);
    }
    let queued = store.queued("soc").unwrap();
    assert_eq!(queued.len(), 2, "the first state and the newest");
    let again = store
        .message("soc", first.severity, first.seq)
        .unwrap()
        .unwrap();
    assert_eq!(again, message, "same id, same body");
    let growth = queued.iter().find(|q| q.seq != first.seq).unwrap();
    let newest = store
        .message("soc", growth.severity, growth.seq)
        .unwrap()
        .unwrap();
    assert_eq!(newest.id, format!("{}-50", alert.id));

    // A growth message that failed is the same until there is more to say.
    store
        .settle(
            &[outcome(growth, &newest, retry(now + 99 * SECOND), now)],
            now,
        )
        .unwrap();
    assert_eq!(
        store
            .message("soc", growth.severity, growth.seq)
            .unwrap()
            .unwrap(),
        newest
    );
    apply(&store, "a", 1, now + 60 * SECOND);
    let queued = store.queued("soc").unwrap();
    assert_eq!(queued.len(), 2);
    let same = queued.iter().find(|q| q.seq == growth.seq).unwrap();
    assert_eq!(
        (same.attempts, same.due_us),
        (1, now + 99 * SECOND),
        "schedule goes on"
    );
    let more = store
        .message("soc", growth.severity, growth.seq)
        .unwrap()
        .unwrap();
    assert_eq!(more.id, format!("{}-51", alert.id));
}

#[test]
fn an_alert_that_got_worse_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let now = 1000 * SECOND;
    apply(&store, "a", 1, now);
    let (queued, message) = only(&store);
    store
        .settle(&[outcome(&queued, &message, Verdict::Delivered, now)], now)
        .unwrap();
    apply(&store, "a", 1, now + SECOND);
    let (waiting, _) = only(&store);
    assert_eq!(waiting.due_us, now + 60 * SECOND);
    let mut worse = update("a", 1, now + 2 * SECOND);
    worse.severity = Severity::Critical;
    worse.title = "worse".to_owned();
    store
        .apply(&Batch::new(vec![worse]), &[route("soc")], now + 2 * SECOND)
        .unwrap();
    let (urgent, message) = only(&store);
    assert_eq!((urgent.seq, urgent.due_us), (waiting.seq, now + 2 * SECOND));
    assert!(message.body.contains("worse"));
    let old_place = store.message("soc", waiting.severity, waiting.seq).unwrap();
    assert!(old_place.is_some(), "found though its severity rose");
    store
        .settle(&[outcome(&waiting, &message, Verdict::Delivered, now)], now)
        .unwrap();
    assert!(store.queued("soc").unwrap().is_empty(), "and settled");
}

#[test]
fn filters_decide_and_a_late_match_is_a_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut config = WebhookConfig::clone(&route("soc"));
    config.min_severity = Severity::Critical;
    let routes = [Arc::new(config)];
    let now = 1000 * SECOND;
    store
        .apply(&Batch::new(vec![update("a", 1, now)]), &routes, now)
        .unwrap();
    assert!(store.queued("soc").unwrap().is_empty());
    let mut worse = update("a", 1, now + SECOND);
    worse.severity = Severity::Critical;
    store
        .apply(&Batch::new(vec![worse]), &routes, now + SECOND)
        .unwrap();
    assert_eq!(only(&store).0.due_us, now + SECOND);
}

#[test]
fn dead_letters_are_kept_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let store = small(dir.path(), |options| options.max_dead = 3);
    let now = 1000 * SECOND;
    let mut ids = Vec::new();
    for i in 0..5 {
        apply(&store, &i.to_string(), 1, now);
        let (queued, message) = only(&store);
        let dead = Verdict::Dead {
            attempts: 10,
            error: "refused".to_owned(),
        };
        store
            .settle(&[outcome(&queued, &message, dead, now)], now)
            .unwrap();
        ids.push(message.id);
    }
    let letters = store.dead_letters("soc", 10).unwrap();
    assert_eq!(
        letters.iter().map(|l| &l.message).collect::<Vec<_>>(),
        [&ids[2], &ids[3], &ids[4]]
    );
    assert_eq!(
        (letters[0].attempts, letters[0].error.as_str()),
        (10, "refused")
    );
    let totals = store.endpoint_totals();
    assert_eq!(
        (
            totals["soc"].dead,
            totals["soc"].dropped,
            totals["soc"].queued
        ),
        (3, 2, 0)
    );

    let replayed = store.replay("soc", now).unwrap();
    assert_eq!(replayed.len(), 3);
    let again = store
        .message("soc", replayed[0].severity, replayed[0].seq)
        .unwrap()
        .unwrap();
    assert_eq!(again.id, ids[2]);
    assert!(store.dead_letters("soc", 10).unwrap().is_empty());
    store.close();
    let store = small(dir.path(), |options| options.max_dead = 3);
    assert_eq!(store.endpoint_totals()["soc"].queued, 3);
    // A replayed message that fails again keeps its id.
    store
        .settle(&[outcome(&replayed[0], &again, retry(now), now)], now)
        .unwrap();
    let kept = store
        .message("soc", replayed[0].severity, replayed[0].seq)
        .unwrap()
        .unwrap();
    assert_eq!(kept, again);
}

#[test]
fn a_full_queue_gives_up_the_least_severe_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let store = small(dir.path(), |options| options.max_queued = 3);
    let low = |name: &str, severity| {
        let mut update = update(name, 1, SECOND);
        update.severity = severity;
        store
            .apply(&Batch::new(vec![update]), &[route("soc")], SECOND)
            .unwrap();
    };
    low("critical", Severity::Critical);
    for i in 0..4 {
        low(&i.to_string(), Severity::Low);
    }
    low("high", Severity::High);
    let bodies = store
        .queued("soc")
        .unwrap()
        .into_iter()
        .map(|q| {
            store
                .message("soc", q.severity, q.seq)
                .unwrap()
                .unwrap()
                .body
        })
        .map(|body| {
            serde_json::from_str::<crate::alert::Alert>(&body)
                .unwrap()
                .identity
                .unwrap()
        })
        .collect::<Vec<_>>();
    assert_eq!(bodies, ["3", "high", "critical"]);
    let letters = store.dead_letters("soc", 10).unwrap();
    assert_eq!(letters.len(), 3);
    assert_eq!(letters[0].error, "the queue is full");
    assert_eq!(store.endpoint_totals()["soc"].queued, 3);
}

#[test]
fn a_removed_endpoint_leaves_dead_letters() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    apply(&store, "a", 1, SECOND);
    apply(&store, "b", 1, SECOND);
    assert_eq!(store.retire_endpoints(&["soc"], SECOND).unwrap(), 0);
    assert_eq!(store.retire_endpoints(&["other"], SECOND).unwrap(), 2);
    assert!(store.queued("soc").unwrap().is_empty());
    assert_eq!(store.dead_letters("soc", 10).unwrap().len(), 2);
    assert_eq!(store.replay("soc", SECOND).unwrap().len(), 2);
}

#[test]
fn retention_makes_room_where_most_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = small(dir.path(), |options| options.max_alerts = 10);
    let mut canary = update("trap", 1, SECOND);
    canary.key.kind = FindingKind::Canary;
    let trap = store
        .apply(&Batch::new(vec![canary]), &[], SECOND)
        .unwrap()
        .alerts
        .remove(0);
    let mut ids = Vec::new();
    for i in 0..30 {
        let batch = Batch::new(vec![update(&i.to_string(), 1, SECOND * (2 + i))]);
        ids.push(
            store
                .apply(&batch, &[route("soc")], SECOND * (2 + i))
                .unwrap()
                .alerts[0]
                .id
                .clone(),
        );
    }
    let status = store.status();
    assert_eq!((status.alerts, status.evicted), (10, 21));
    assert!(
        store.get(&trap.id).unwrap().is_some(),
        "the canary is not crowded out"
    );
    assert!(store.get(&ids[0]).unwrap().is_none());
    // Evicted or not, each is still told as it was.
    let queued = store.queued("soc").unwrap();
    assert_eq!(queued.len(), 30);
    let first = store
        .message("soc", queued[0].severity, queued[0].seq)
        .unwrap()
        .unwrap();
    assert_eq!(first.id, format!("{}-1", ids[0]));
    // An evicted alert that is seen again is a new one.
    let again = apply(&store, "0", 1, SECOND * 40).alerts.remove(0);
    assert_ne!(again.id, ids[0]);
    store.close();
    let store = small(dir.path(), |options| options.max_alerts = 10);
    assert_eq!(store.status().alerts, 10, "counted anew");
}

#[test]
fn retention_by_age_and_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = small(dir.path(), |options| options.max_alert_bytes = 20_000);
    for i in 0..40 {
        apply(&store, &i.to_string(), 1, SECOND * (1 + i));
    }
    let status = store.status();
    assert!(
        status.alert_bytes <= 20_000 && status.alert_bytes > 10_000,
        "{status:?}"
    );
    let day = 86_400 * SECOND;
    let kept = apply(&store, "late", 1, 91 * day).alerts.remove(0);
    assert_eq!(store.list(&AlertQuery::default()).unwrap(), [kept]);
}

#[test]
fn queries_filter() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for i in 0..5 {
        apply(&store, &i.to_string(), 1, SECOND * (10 + i));
    }
    let mut canary = update("trap", 1, SECOND * 20);
    canary.key.kind = FindingKind::Canary;
    canary.severity = Severity::Critical;
    store
        .apply(&Batch::new(vec![canary]), &[], SECOND * 20)
        .unwrap();
    let names = |query: AlertQuery| {
        let alerts = store.list(&query).unwrap();
        alerts
            .into_iter()
            .map(|alert| alert.identity.unwrap())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(names(AlertQuery::default()), "trap 4 3 2 1 0");
    assert_eq!(
        names(AlertQuery {
            limit: Some(2),
            ..Default::default()
        }),
        "trap 4"
    );
    assert_eq!(
        names(AlertQuery {
            since_us: Some(SECOND * 13),
            ..Default::default()
        }),
        "trap 4 3"
    );
    assert_eq!(
        names(AlertQuery {
            until_us: Some(SECOND * 12),
            ..Default::default()
        }),
        "1 0"
    );
    let kinds = vec![FindingKind::Canary];
    assert_eq!(
        names(AlertQuery {
            kinds,
            ..Default::default()
        }),
        "trap"
    );
    let min_severity = Some(Severity::Critical);
    assert_eq!(
        names(AlertQuery {
            min_severity,
            ..Default::default()
        }),
        "trap"
    );
    assert_eq!(
        names(AlertQuery {
            identity: Some("3".to_owned()),
            ..Default::default()
        }),
        "3"
    );
}
