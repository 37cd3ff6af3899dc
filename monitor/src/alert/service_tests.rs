//! Delivery from end to end under tokio's paused time: only the network is played.
#![allow(clippy::unwrap_used, reason = "tests may fail by panic")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::config::{HookUrl, WebhookConfig};
use super::secret::{Secret, SecretSource};
use super::testing::{TokioClock, update};
use super::webhook::{Answer, Reply, Request, Transport, sign};
use super::*;
use crate::judge::Severity;
use crate::store::sim::{Disk, Trouble};
use crate::store::{Store, StoreOptions};

/// 2026-11-23T18:57:18Z.
const NOW_US: i64 = 1_795_460_238_000_000;

type Script = Box<dyn Fn(usize, &Request) -> Option<Result<Reply, String>> + Send + Sync>;

/// Answers as the script says (`None` is never), and remembers what was sent and when.
struct Played {
    script: Script,
    sent: Mutex<Vec<(Instant, Request)>>,
}

impl Transport for Played {
    fn post(&self, request: Request) -> Answer<'_> {
        let number = {
            let mut sent = self.sent.lock().unwrap();
            sent.push((Instant::now(), request.clone()));
            sent.len() - 1
        };
        Box::pin(async move {
            match (self.script)(number, &request) {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

impl Played {
    fn sent(&self) -> Vec<(Instant, Request)> {
        self.sent.lock().unwrap().clone()
    }

    fn ids(&self) -> Vec<String> {
        self.sent()
            .into_iter()
            .map(|(_, request)| request.id)
            .collect()
    }
}

fn status(status: u16) -> Option<Result<Reply, String>> {
    Some(Ok(Reply {
        status,
        retry_after: None,
        quote: String::new(),
    }))
}

fn later(status: u16, after: &str) -> Option<Result<Reply, String>> {
    let retry_after = Some(after.to_owned());
    Some(Ok(Reply {
        status,
        retry_after,
        quote: String::new(),
    }))
}

fn refused() -> Option<Result<Reply, String>> {
    Some(Err("connection refused".to_owned()))
}

fn secret() -> Secret {
    Secret::new(b"whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0").unwrap()
}

fn endpoint_with(
    name: &str,
    change: impl Fn(&mut WebhookConfig),
    script: impl Fn(usize, &Request) -> Option<Result<Reply, String>> + Send + Sync + 'static,
) -> (Endpoint, Arc<Played>) {
    let url = HookUrl::parse("https://hooks.example/").unwrap();
    let mut config = WebhookConfig::new(name, url, SecretSource::Env("X".to_owned()));
    change(&mut config);
    let played = Arc::new(Played {
        script: Box::new(script),
        sent: Mutex::default(),
    });
    let transport: Arc<dyn Transport> = Arc::clone(&played) as _;
    (
        Endpoint::with_transport(config, secret(), transport),
        played,
    )
}

fn endpoint(
    name: &str,
    script: impl Fn(usize, &Request) -> Option<Result<Reply, String>> + Send + Sync + 'static,
) -> (Endpoint, Arc<Played>) {
    endpoint_with(name, |_| (), script)
}

async fn start(store: &Store, endpoints: Vec<Endpoint>) -> AlertService {
    let clock = Arc::new(TokioClock::new(NOW_US));
    AlertService::start(store.clone(), endpoints, clock)
        .await
        .unwrap()
}

fn store() -> (Disk, Store) {
    let disk = Disk::new(None, 1);
    let store = Store::on(&disk);
    (disk, store)
}

/// Waits, in paused time, until `done` or an hour has gone by. The time stands still while the store works,
/// in whatever thread, so it does not matter how quick that is.
async fn until(done: impl Fn() -> bool) {
    for _ in 0..36_000 {
        if done() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("it did not come to pass");
}

#[tokio::test(start_paused = true)]
async fn follows_the_schedule_and_gives_up() {
    let (_disk, store) = store();
    let (endpoint, played) = endpoint("soc", |_, _| status(500));
    let service = start(&store, vec![endpoint]).await;
    let begun = Instant::now();
    let applied = service
        .apply(vec![update("ci-bot", 1, NOW_US)])
        .await
        .unwrap();
    sleep(Duration::from_secs(5 * 86_400)).await;

    let sent = played.sent();
    assert_eq!(sent.len(), 10);
    let mut last = begun;
    for ((at, request), seconds) in sent.iter().zip([
        0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400,
    ]) {
        let waited = at.duration_since(last).as_secs_f64();
        let seconds = f64::from(seconds);
        assert!(
            waited >= seconds && waited <= seconds * 1.2 + 0.1,
            "{waited} for {seconds}"
        );
        last = *at;
        assert_eq!(request.id, format!("{}-1", applied.alerts[0].id));
        assert_eq!(request.body, sent[0].1.body);
        let since = i64::try_from(at.duration_since(begun).as_secs()).unwrap();
        assert!(
            (request.timestamp - NOW_US / 1_000_000 - since).abs() <= 1,
            "of this attempt"
        );
        let expected = sign(&secret(), &request.id, request.timestamp, &request.body);
        assert_eq!(request.signature.as_deref(), Some(&*expected));
    }
    let body: Alert = serde_json::from_slice(&sent[0].1.body).unwrap();
    assert_eq!(body, *applied.alerts[0]);
    let status = service.status();
    assert_eq!(status.endpoints[0].dead_letters, 1);
    assert_eq!(
        (status.endpoints[0].queued, status.endpoints[0].failed),
        (0, 10)
    );
    assert!(
        status.endpoints[0]
            .last_error
            .as_ref()
            .unwrap()
            .ends_with("answered 500")
    );
    let letter = &store.dead_letters("soc", 10).unwrap()[0];
    assert_eq!(
        (letter.attempts, letter.error.as_str()),
        (10, "answered 500")
    );
    service.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn dead_letters_replay_under_their_id() {
    let (_disk, store) = store();
    let (endpoint, played) = endpoint("soc", |n, _| if n < 10 { refused() } else { status(204) });
    let service = start(&store, vec![endpoint]).await;
    service
        .apply(vec![update("ci-bot", 1, NOW_US)])
        .await
        .unwrap();
    sleep(Duration::from_secs(5 * 86_400)).await;
    assert_eq!(service.status().endpoints[0].dead_letters, 1);
    assert!(service.replay_dead_letters("nobody").await.is_err());
    assert_eq!(service.replay_dead_letters("soc").await.unwrap(), 1);
    until(|| service.status().endpoints[0].delivered == 1).await;
    until(|| service.status().endpoints[0].queued == 0).await;
    let sent = played.sent();
    assert_eq!(sent.len(), 11);
    assert_eq!(
        (&sent[10].1.id, &sent[10].1.body),
        (&sent[0].1.id, &sent[0].1.body)
    );
    assert_eq!(service.status().endpoints[0].dead_letters, 0);
}

#[tokio::test(start_paused = true)]
async fn retry_after_holds_the_endpoint_back() {
    let (_disk, store) = store();
    let (endpoint, played) = endpoint("soc", |n, _| match n {
        0 => later(503, "120"),
        1 => later(429, "Mon, 23 Nov 2026 19:10:00 GMT"),
        _ => status(200),
    });
    let service = start(&store, vec![endpoint]).await;
    let begun = Instant::now();
    service.apply(vec![update("a", 1, NOW_US)]).await.unwrap();
    until(|| played.sent().len() == 1).await;
    service.apply(vec![update("b", 1, NOW_US)]).await.unwrap();
    until(|| played.sent().len() == 4).await;
    let at = played
        .sent()
        .iter()
        .map(|(at, _)| at.duration_since(begun).as_secs_f64())
        .collect::<Vec<_>>();
    assert!(at[1] >= 119.9 && at[1] < 150.0, "{at:?}");
    // 18:57:18 + 762 s is 19:10:00.
    assert!(at[2] >= 761.9 && at[2] < 764.0, "{at:?}");
    assert_eq!(
        played
            .ids()
            .iter()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn a_hostile_retry_after_is_bounded() {
    let (_disk, store) = store();
    let (endpoint, played) = endpoint("soc", |n, _| {
        if n == 0 {
            later(503, "999999999999")
        } else {
            status(200)
        }
    });
    let service = start(&store, vec![endpoint]).await;
    let begun = Instant::now();
    service.apply(vec![update("a", 1, NOW_US)]).await.unwrap();
    until(|| played.sent().len() == 1).await;
    service.apply(vec![update("b", 1, NOW_US)]).await.unwrap();
    sleep(Duration::from_secs(3 * 86_400)).await;
    let sent = played.sent();
    assert_eq!(sent.len(), 3);
    let other = sent[1].0.duration_since(begun).as_secs();
    assert!((3590..3700).contains(&other), "{other}");
    let same = sent[2].0.duration_since(begun).as_secs();
    assert!((86_390..86_500).contains(&same), "{same}");
    assert_eq!(sent[2].1.id, sent[0].1.id);
}

#[tokio::test(start_paused = true)]
async fn gone_disables_until_someone_enables() {
    let (_disk, store) = store();
    let (gone, played) = endpoint("soc", |_, _| status(410));
    let service = start(&store, vec![gone.clone()]).await;
    service.apply(vec![update("a", 1, NOW_US)]).await.unwrap();
    until(|| service.status().endpoints[0].disabled.is_some()).await;
    service.apply(vec![update("b", 1, NOW_US)]).await.unwrap();
    sleep(Duration::from_secs(3 * 86_400)).await;
    assert_eq!(played.sent().len(), 1, "not called again");
    let status_now = service.status();
    assert_eq!(status_now.endpoints[0].queued, 2, "and nothing is lost");
    assert_eq!(
        status_now.endpoints[0].disabled.as_deref(),
        Some("answered 410")
    );
    let failed = service.send_test(Some("soc")).await;
    assert_eq!(failed, [("soc".to_owned(), Err("answered 410".to_owned()))]);
    assert!(service.status().endpoints[0].disabled.is_some());
    drop(service);

    // After a restart as well.
    let (well, played) = endpoint("soc", |_, _| status(200));
    let service = start(&store, vec![well]).await;
    sleep(Duration::from_secs(3600)).await;
    assert!(played.sent().is_empty());
    assert!(service.status().endpoints[0].disabled.is_some());
    let tested = service.send_test(None).await;
    assert_eq!(tested, [("soc".to_owned(), Ok(200))]);
    assert!(played.ids()[0].starts_with("test_"));
    until(|| service.status().endpoints[0].delivered == 2).await;
    // Both are written down: what is not is sent again after the next start.
    until(|| service.status().endpoints[0].queued == 0).await;
    assert!(service.status().endpoints[0].disabled.is_none());
    drop(service);

    // And a reload enables, too.
    let service = start(&store, vec![gone]).await;
    service.apply(vec![update("c", 1, NOW_US)]).await.unwrap();
    until(|| service.status().endpoints[0].disabled.is_some()).await;
    let (well, played) = endpoint("soc", |_, _| status(200));
    service.reconfigure(vec![well]).await.unwrap();
    until(|| service.status().endpoints[0].delivered == 1).await;
    assert_eq!(played.sent().len(), 1);
    assert!(store.meta_keys("endpoint-disabled:").unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn enabled_before_the_refusal_is_written_down() {
    let (disk, store) = store();
    let full = disk.clone();
    let (gone, _) = endpoint("soc", move |_, _| {
        full.trouble(Trouble::Full(1));
        status(410)
    });
    let service = start(&store, vec![gone]).await;
    service.apply(vec![update("a", 1, NOW_US)]).await.unwrap();
    until(|| service.status().endpoints[0].disabled.is_some()).await;
    let (well, played) = endpoint("soc", |_, _| status(200));
    service.reconfigure(vec![well]).await.unwrap();
    disk.heal();
    until(|| service.status().endpoints[0].queued == 0).await;
    assert_eq!(played.sent().len(), 1);
    assert!(store.meta_keys("endpoint-disabled:").unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_delays_no_other() {
    let (_disk, store) = store();
    let (dead, dead_played) = endpoint("dead", |_, _| None);
    let (well, played) = endpoint("well", |_, _| status(200));
    let service = start(&store, vec![dead, well]).await;
    let begun = Instant::now();
    for i in 0..50 {
        service
            .apply(vec![update(&i.to_string(), 1, NOW_US)])
            .await
            .unwrap();
    }
    until(|| played.sent().len() == 50).await;
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    sleep(Duration::from_secs(30)).await;
    let status = service.status();
    let dead = &status.endpoints[0];
    assert_eq!(
        (dead.name.as_str(), dead.delivered, dead.queued),
        ("dead", 0, 50)
    );
    assert!(
        dead.last_error
            .as_ref()
            .unwrap()
            .ends_with("no answer in time"),
        "{dead:?}"
    );
    assert!(dead.oldest_seconds.unwrap() >= 30);
    assert!(dead_played.sent().len() < 10, "a few at a time");
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_an_outage_to_end_comes_at_once_after_it() {
    let (_disk, store) = store();
    let away = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let script_away = Arc::clone(&away);
    let (endpoint, _played) = endpoint("soc", move |_, _| {
        if script_away.load(std::sync::atomic::Ordering::SeqCst) {
            refused()
        } else {
            status(200)
        }
    });
    let service = start(&store, vec![endpoint]).await;
    for i in 0..20 {
        service
            .apply(vec![update(&i.to_string(), 1, NOW_US)])
            .await
            .unwrap();
    }
    // By now the next attempts are hours away.
    sleep(Duration::from_secs(3 * 3600)).await;
    away.store(false, std::sync::atomic::Ordering::SeqCst);
    service.apply(vec![update("new", 1, NOW_US)]).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(service.status().endpoints[0].delivered, 21);
}

#[tokio::test(start_paused = true)]
async fn growth_is_told_once_a_minute_with_ids_of_its_own() {
    let (_disk, store) = store();
    let (endpoint, played) = endpoint("soc", |_, _| status(200));
    let service = start(&store, vec![endpoint]).await;
    let begun = Instant::now();
    for _ in 0..300 {
        service.apply(vec![update("a", 2, NOW_US)]).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(120)).await;
    let sent = played.sent();
    assert!((6..=7).contains(&sent.len()), "{}", sent.len());
    for pair in sent.windows(2) {
        let apart = pair[1].0.duration_since(pair[0].0);
        assert!(apart >= Duration::from_millis(59_900), "{apart:?}");
    }
    assert!(
        sent[0].0.duration_since(begun) < Duration::from_secs(1),
        "the first at once"
    );
    let last: Alert = serde_json::from_slice(&sent.last().unwrap().1.body).unwrap();
    assert_eq!(last.count, 600, "the last state is told");
    assert_eq!(sent.last().unwrap().1.id, format!("{}-600", last.id));
    let ids = played
        .ids()
        .into_iter()
        .collect::<std::collections::BTreeSet<_>>();
    assert_eq!(ids.len(), sent.len());
    assert_eq!(service.status().endpoints[0].queued, 0);
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_kept_and_the_worst_goes_first() {
    let (_disk, store) = store();
    let (endpoint, played) = endpoint_with("soc", |c| c.rate = 60, |_, _| status(200));
    let service = start(&store, vec![endpoint]).await;
    let begun = Instant::now();
    let mut updates = (0..40)
        .map(|i| update(&format!("low-{i}"), 1, NOW_US + i))
        .collect::<Vec<_>>();
    for update in &mut updates {
        update.severity = Severity::Low;
    }
    service.apply(updates).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    let before = played.sent().len();
    assert!(
        (10..=14).contains(&before),
        "a burst of ten seconds' worth: {before}"
    );
    let mut worst = update("worst", 1, NOW_US);
    worst.severity = Severity::Critical;
    service.apply(vec![worst]).await.unwrap();
    until(|| played.sent().len() == 41).await;
    let took = begun.elapsed().as_secs();
    assert!((29..=33).contains(&took), "{took}");
    let bodies = played.sent().into_iter().map(|(_, request)| request.body);
    let place = bodies
        .into_iter()
        .position(|body| String::from_utf8(body).unwrap().contains("\"worst\""))
        .unwrap();
    assert!(place <= before + 1, "{place} after {before}");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_blocks_nothing_and_loses_nothing() {
    let (disk, store) = store();
    let (endpoint, played) = endpoint("soc", |_, _| status(200));
    let service = start(&store, vec![endpoint]).await;
    let mut events = service.subscribe();
    service
        .apply(vec![update("before", 1, NOW_US)])
        .await
        .unwrap();
    until(|| service.status().endpoints[0].delivered == 1).await;
    until(|| service.status().endpoints[0].queued == 0).await;
    disk.trouble(Trouble::Full(1));
    let begun = Instant::now();
    for i in 0..200 {
        let error = service
            .apply(vec![update(&(i % 50).to_string(), 1, NOW_US)])
            .await
            .unwrap_err();
        let ApplyError::Buffered { error, .. } = error;
        assert!(error.contains("hint:"), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
    let status = service.status();
    assert!(status.buffered >= 50 && !status.store.healthy, "{status:?}");
    assert!(status.store.errors > 0);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(
        played.sent().len(),
        1,
        "nothing is sent that is not durable"
    );
    assert_eq!(
        events.try_recv().unwrap().identity.as_deref(),
        Some("before")
    );
    assert!(events.try_recv().is_err());

    disk.heal();
    until(|| service.status().endpoints[0].delivered >= 51).await;
    let status = service.status();
    assert_eq!(status.buffered, 0);
    assert!(status.store.healthy);
    let total: u64 = service
        .list(&Default::default())
        .unwrap()
        .iter()
        .map(|alert| alert.count)
        .sum();
    assert_eq!(total, 201);
    assert!(events.try_recv().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_restart_delivers_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let (dead, played) = endpoint("soc", |_, _| refused());
    let (other, _) = endpoint("other", |_, _| refused());
    let service = start(&store, vec![dead, other]).await;
    let applied = service
        .apply(vec![update("a", 1, NOW_US), update("b", 1, NOW_US)])
        .await
        .unwrap();
    until(|| played.sent().len() >= 2).await;
    service.shutdown().await;
    drop(store);

    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let (well, played) = endpoint("soc", |_, _| status(200));
    let service = start(&store, vec![well]).await;
    until(|| service.status().endpoints[0].delivered == 2).await;
    let mut ids = played.ids();
    ids.sort();
    let mut expected = applied
        .alerts
        .iter()
        .map(|a| format!("{}-1", a.id))
        .collect::<Vec<_>>();
    expected.sort();
    assert_eq!(ids, expected);
    assert_eq!(
        service.get(&applied.alerts[0].id).unwrap().unwrap(),
        *applied.alerts[0]
    );
    // What the endpoint that is gone did not get is kept.
    assert_eq!(store.dead_letters("other", 10).unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn reconfiguration_keeps_queues_and_refuses_doubles() {
    let (_disk, store) = store();
    let (one, played) = endpoint("one", |_, _| status(200));
    let (two, _) = endpoint("two", |_, _| refused());
    let service = start(&store, vec![one.clone(), two]).await;
    assert!(
        service
            .reconfigure(vec![one.clone(), one.clone()])
            .await
            .is_err()
    );
    assert_eq!(service.status().endpoints.len(), 2, "unchanged");
    service.apply(vec![update("a", 1, NOW_US)]).await.unwrap();
    until(|| played.sent().len() == 1).await;
    let (two, second) = endpoint("two", |_, _| status(200));
    let (three, third) = endpoint("three", |_, _| status(200));
    service.reconfigure(vec![two, three]).await.unwrap();
    until(|| second.sent().len() == 1).await;
    service.apply(vec![update("b", 1, NOW_US)]).await.unwrap();
    until(|| third.sent().len() == 1 && second.sent().len() == 2).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(played.sent().len(), 1, "the removed one hears nothing more");
    let test = service.send_test(Some("one")).await;
    assert!(
        test[0].1.as_ref().unwrap_err().contains("three, two"),
        "{test:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_an_attempt_loses_no_message() {
    let (_disk, store) = store();
    let (endpoint, played) = endpoint("soc", |n, _| {
        assert!(n > 0, "played panic");
        status(200)
    });
    let service = start(&store, vec![endpoint]).await;
    service.apply(vec![update("a", 1, NOW_US)]).await.unwrap();
    until(|| service.status().endpoints[0].delivered == 1).await;
    assert_eq!(played.sent().len(), 2);
}
