//! `kill -9` at random points while alerts flow: every alert that was acknowledged reaches the
//! receiver at least once, and what reaches it twice has the same `webhook-id` and body.
//!
//! The test runs itself again as the child that is killed.

mod receiver;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bailiwick::alert::config::HookUrl;
use bailiwick::alert::secret::{SecretEnv, SecretSource};
use bailiwick::alert::{
    AlertService, AlertUpdate, Endpoint, FoldKey, ServiceOptions, SystemClock, WebhookConfig,
};
use bailiwick::judge::{FindingKind, Severity};
use bailiwick::store::{AlertQuery, Store, StoreOptions};

use receiver::{Receiver, plain};

const CHILD: &str = "BAILIWICK_CRASH_CHILD";
const KILLS: u32 = 100;

fn update(identity: String, at_us: i64) -> AlertUpdate {
    AlertUpdate {
        key: FoldKey {
            kind: FindingKind::Environment,
            identity: Some(identity.into()),
            workload: Some("unit:ci.service".into()),
            clause: "identities.ci-bot.environments".into(),
        },
        count: 1,
        first_us: at_us,
        last_us: at_us,
        severity: Severity::High,
        title: "ci-bot used a prod host".to_owned(),
        normal: "dev".to_owned(),
        action: "rotate the key".to_owned(),
        techniques: &["T1078"],
        owner: Some("team-ci".into()),
        operation: "GET api.example/{id}".to_owned(),
        environment: Some("prod".into()),
        evidence: Vec::new(),
    }
}

async fn service(state: &Path, url: &str) -> AlertService {
    let secret = state.with_file_name("secret");
    let url = HookUrl::parse(url).expect("a URL");
    let mut config = WebhookConfig::new("soc", url, SecretSource::File(secret));
    config.rate = 60_000;
    config.update_every = Duration::from_millis(50);
    let endpoints = Endpoint::load(&[config], &SecretEnv::default()).expect("endpoints");
    let store = Store::open(state, StoreOptions::default()).expect("a store");
    // Retries within the test's time, and never a dead letter for want of patience.
    let options = ServiceOptions {
        schedule_scale: 0.0005,
        grace: Duration::from_secs(2),
        ..ServiceOptions::default()
    };
    AlertService::start_with(store, endpoints, Arc::new(SystemClock), options)
        .await
        .expect("started")
}

/// Takes alerts in for ever, and says which are durable: one line for each, `id count`.
fn child(state: &Path, url: &str) -> ! {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let service = service(state, url).await;
        let mut out = std::io::stdout();
        let run = std::process::id();
        for round in 0_u64.. {
            let now_us = bailiwick::alert::Clock::now_us(&SystemClock);
            // One of its own, one that all rounds and children share and that grows.
            let updates = vec![
                update(format!("own-{run}-{round}"), now_us),
                update("shared".into(), now_us),
            ];
            let applied = service.apply(updates).await.expect("durable");
            let mut lines = String::new();
            for alert in &applied.alerts {
                lines.push_str(&format!("durable {} {}\n", alert.id, alert.count));
            }
            out.write_all(lines.as_bytes())
                .and_then(|()| out.flush())
                .expect("told");
        }
    });
    std::process::exit(0)
}

fn rest(out: &mut impl Read, acknowledged: &mut BTreeMap<String, u64>) {
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        let mut words = line.split(' ');
        // The child may have been killed within a line: only whole ones count.
        if let (Some("durable"), Some(id), Some(count), None) =
            (words.next(), words.next(), words.next(), words.next())
            && id.len() == 29
            && let Ok(count) = count.parse::<u64>()
        {
            let known = acknowledged.entry(id.to_owned()).or_default();
            *known = (*known).max(count);
        }
    }
}

#[test]
fn killed_a_hundred_times_it_loses_nothing_acknowledged() {
    if let Ok(arguments) = std::env::var(CHILD) {
        let (state, url) = arguments.split_once(' ').expect("two arguments");
        child(Path::new(state), url);
    }
    let begun = Instant::now();
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("state");
    std::fs::write(dir.path().join("secret"), "a secret that is long enough").expect("written");
    // Some deliveries fail, so that retries are under way when the end comes.
    let receiver = Receiver::new(|number, _| match number % 7 {
        3 => plain("500 Oops"),
        _ => plain("200 OK"),
    });
    let mut acknowledged = BTreeMap::new();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..KILLS {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args([
                "--exact",
                "killed_a_hundred_times_it_loses_nothing_acknowledged",
                "--nocapture",
            ])
            .env(CHILD, format!("{} {}", state.display(), receiver.url()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        let mut out = process.stdout.take().expect("its output");
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // From before the store is open to well into the flow.
        std::thread::sleep(Duration::from_millis(5 + (seed >> 33) % 350));
        process.kill().expect("killed");
        process.wait().expect("gone");
        rest(&mut out, &mut acknowledged);
    }
    assert!(
        acknowledged.len() > 100,
        "alerts flowed: {}",
        acknowledged.len()
    );

    // One that may live delivers what is left.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let alerts = runtime.block_on(async {
        let service = service(&state, &receiver.url()).await;
        let waiting = Instant::now();
        loop {
            let status = service.status();
            if status.endpoints[0].queued == 0 {
                assert_eq!(status.endpoints[0].dead_letters, 0);
                assert_eq!(status.store.set_aside, None);
                break;
            }
            assert!(waiting.elapsed() < Duration::from_secs(60), "{status:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let query = AlertQuery {
            limit: Some(usize::MAX),
            ..AlertQuery::default()
        };
        let alerts = service.list(&query).expect("a list");
        service.shutdown().await;
        alerts
    });
    assert_eq!(
        std::fs::read_dir(&state).expect("a directory").count(),
        1,
        "nothing was set aside or left over"
    );

    let mut messages = BTreeMap::<String, BTreeSet<String>>::new();
    let mut told = BTreeMap::<String, u64>::new();
    let received = receiver.received();
    for request in &received {
        let id = request.header("webhook-id").expect("an id");
        messages
            .entry(id.to_owned())
            .or_default()
            .insert(request.body.clone());
        let (alert, count) = id.rsplit_once('-').expect("alert and count");
        let count = count.parse().expect("a count");
        let known = told.entry(alert.to_owned()).or_default();
        *known = (*known).max(count);
    }
    for (alert, count) in &acknowledged {
        let told = told.get(alert).copied().unwrap_or(0);
        assert!(
            told >= *count,
            "{alert}: {count} were acknowledged, {told} told"
        );
    }
    for (id, bodies) in &messages {
        assert_eq!(bodies.len(), 1, "{id} has one body");
    }
    let shared = alerts
        .iter()
        .filter(|alert| alert.identity.as_deref() == Some("shared"));
    assert_eq!(shared.count(), 1);
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{KILLS} kills, {} alerts acknowledged, {} stored, {} messages received, {} of them again, in {:?}",
        acknowledged.len(),
        alerts.len(),
        received.len(),
        received.len() - messages.len(),
        begun.elapsed()
    )
    .expect("told");
}
