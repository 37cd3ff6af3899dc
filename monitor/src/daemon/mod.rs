//! The running daemon: puts the parts together, and looks after reloads, readiness and the end.

mod audit;
mod backend;
mod compare;
mod error;
mod hub;
mod lint_input;
mod memory;
mod notify;
mod page;
mod policy;
mod reporting;
mod setup;
mod stored;
mod usual;
pub mod wiring;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

pub use error::DaemonError;

use audit::Auditor;
use backend::{Current, Daemon};
use compare::Comparer;
use hub::Hub;

use crate::access::FingerprintKey;
use crate::access::credential::Recogniser;
use crate::access::record::rfc3339;
use crate::alert::{AlertService, Clock, Endpoint, Folder, ServiceOptions, SystemClock};
use crate::census::{self, Census, IdentityRecord};
use crate::config::{self, Config};
use crate::confine::{self, Part};
use crate::contain::Told;
use crate::host::Host;
use crate::judge::{Judge, Remembered};
use crate::pipeline::thread::{Command, Hot, Output, Snapshot, StartError, start};
use crate::pipeline::{Limits, Pipeline};
use crate::report::Ledger;
use crate::serve::records::IdentityStatus;
use crate::serve::{ControlSocket, serve};
use crate::source::asked::AskedFiles;
use crate::source::kernel::{Kernel, KernelSettings, LoadError};
use crate::source::procfs::RealFiles;
use crate::store::{MAX_META, Store, StoreError, StoreOptions};

/// Key of the identities in the store.
const CENSUS: &str = "census";

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What kept it from starting, or from going on.
pub fn run(
    config: Config,
    reload: impl Fn() -> Result<Config, String> + Send + 'static,
) -> Result<(), DaemonError> {
    setup::directory(&config.state_dir, 0o700)?;
    setup::directory(&config.runtime_dir, 0o755)?;
    let writable = setup::writable(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("bailiwick-io")
        // Each thread that serves, and each that it has work for: this one only waits for signals.
        .on_thread_start(move || {
            confine::enter(Part::Serving, &writable);
        })
        .enable_all()
        .build()
        .map_err(|error| DaemonError::Internal(format!("cannot start: {error}")))?;
    runtime.block_on(async_run(config, reload))
}

async fn async_run(
    config: Config,
    reload: impl Fn() -> Result<Config, String> + Send + 'static,
) -> Result<(), DaemonError> {
    // From here on a signal ends or reloads it in order, even while it starts.
    let signals_from_outside = Signals::listen()?;
    setup::conceal();
    let (key, origin) = config::key::fingerprint_key(&config)?;
    report_key(&origin);
    let (policy, policy_files) = setup::policy(&config, &key, 1)?;
    let table = setup::credential_table(&config)?;
    let endpoints = endpoints(&config)?;
    let store = Store::open(&config.state_dir, StoreOptions::default())
        .map_err(|error| DaemonError::Store(error.to_string()))?;
    let clock = Arc::new(SystemClock);
    let started = (rfc3339(clock.now_us()), Instant::now());
    let mut auditor = Auditor::begin(&config, clock.clone())?;
    let options = ServiceOptions {
        audit: auditor.log(),
        ..ServiceOptions::default()
    };
    let alerts = AlertService::start_with(store.clone(), endpoints, clock, options)
        .await
        .map_err(|error| DaemonError::Config(error.to_string()))?;
    // Before the hooks: two daemons on one socket end here.
    let socket = ControlSocket::bind(&config.socket(), &config.socket_group)?;
    let metrics = setup::metrics(&config).await?;
    let viewed = page::listen(&config).await?;

    let mut judge = Judge::new(Arc::clone(&policy), setup::settings(&config));
    let boot = memory::boot();
    memory::restore(&store, &mut judge, &boot);
    let save_every = Duration::from_secs(config.history.save_s.into());
    let comparer = Arc::new(Comparer::new(&table, key.clone()));
    let terms = Arc::new(RwLock::new(stored::Terms::new(&config, &policy)));
    let looked = Arc::new(stored::Counters::default());
    let (tell_use, uses) = stored::queue(Arc::clone(&looked));
    let recogniser = Recogniser::new(table, key.clone())
        .with_proof_allowance(config.dpop.verify_ms_per_second * 1000);
    let mut census = Census::new(census::Limits::default());
    restore(&store, &mut census);
    let watch = reporting::Watch::resume(&store);
    let baseline = usual::restore(&store, &key, &config);
    let limits = Limits {
        connection_memory: (config.capture.max_connection_memory_mib as usize) << 20,
        ..Limits::default()
    };
    let kernel = KernelSettings {
        ring_bytes: u64::from(config.capture.ring_mib) << 20,
        process_bytes_per_second: u64::from(config.capture.process_share_mib_s) << 20,
        cgroup_bytes_per_second: u64::from(config.capture.cgroup_share_mib_s) << 20,
        monitor_pid: std::process::id(),
        secret: random_u64(),
    };
    let (logs, key_logs) = setup::key_logs(&config).unzip();
    let (contain, refusing, contained) = setup::containment(&config, &policy)?;
    let trigger = contain.trigger();
    let probed = Arc::new(OnceLock::new());
    let book = Arc::clone(&probed);
    let way = Arc::new(OnceLock::new());
    let chosen = Arc::clone(&way);
    let (hot, outputs, hooks) = start(config.capture.drain_interval, move || {
        let mut source = Kernel::load(&kernel)?;
        let _ = chosen.set(source.way());
        let probing = setup::probing(&mut source);
        setup::hand_over(&mut source, &refusing);
        // After the hooks: what begins in between is in the records.
        let files = AskedFiles::start(RealFiles::new()).map_err(|error| LoadError::Kernel {
            what: "starting a thread".to_owned(),
            cause: error.to_string(),
        })?;
        let host = Host::new(Box::new(files));
        let folder = Folder::default();
        let mut pipeline = Pipeline::new(source, host, recogniser, judge, census, folder, limits);
        pipeline.learn(baseline);
        if let Some((requests, shared)) = probing {
            let asks = requests.clone();
            pipeline.ask_for_plaintext(move |pid, wish| asks.fallback(pid, wish));
            pipeline.tell_of_images(move |pid| requests.exec(pid));
            let _ = book.set(shared);
        }
        pipeline.contain_by(trigger);
        pipeline.tell_of_uses(tell_use);
        if let Some(logs) = logs {
            pipeline.take_secrets(move || logs.next());
        }
        // All is loaded and open: from here on this thread only decodes and judges.
        confine::enter(Part::Capture, &[]);
        Ok(pipeline)
    })
    .map_err(|error| match error {
        StartError::Source(error) => DaemonError::Kernel(error),
        StartError::Thread(error) => DaemonError::Internal(format!("no thread: {error}")),
        StartError::Died => DaemonError::Internal("the hot thread ended at once".to_owned()),
    })?;
    let Hot {
        commands,
        signals,
        join,
    } = hot;

    setup::trim();
    auditor.started(&hooks);
    auditor.in_force(&config, &policy, &policy_files);
    auditor.settle().await;
    tracing::info!(hooks = hooks.len(), socket = %config.socket().display(), "watching");
    let daemon = Arc::new(Daemon {
        hub: Hub::new(commands.clone(), Arc::clone(&signals)),
        commands,
        comparer,
        looked,
        terms,
        alerts,
        audit: auditor,
        store,
        hooks,
        way,
        probed,
        key_logs,
        current: RwLock::new(Current {
            config,
            policy,
            loaded: started.0.clone(),
            error: None,
        }),
        started,
        snapshot: Mutex::new((Snapshot::default(), 0.0)),
        identities: Mutex::new(IdentityStatus::default()),
        contain,
        watch: Mutex::new(watch),
        boot,
        run_id: random_u64(),
    });

    let (stop, stopped) = watch::channel(false);
    let scraped = metrics.map(|metrics| {
        let daemon = Arc::clone(&daemon);
        tokio::spawn(metrics.run(Arc::new(move || daemon.metrics()), stopped.clone()))
    });
    let viewed = viewed.map(|page| {
        let limits = crate::page::Limits::default();
        tokio::spawn(page.run(Arc::clone(&daemon), limits, stopped.clone()))
    });
    let server = tokio::spawn(serve(
        socket,
        Arc::clone(&daemon),
        crate::serve::Limits::default(),
        stopped,
    ));
    let beside = stored::run(uses, &daemon);
    let relay = tokio::spawn(relay(Arc::clone(&daemon), outputs));
    let contained = tokio::spawn(tell_contained(Arc::clone(&daemon), contained));
    let watchdog = tokio::spawn(notify::watchdog(Arc::clone(&signals)));
    // The threads above have what they need; what is left reads configuration at a reload.
    confine::enter(Part::Main, &[]);
    notify::tell(&[NotifyState::Ready, NotifyState::Status("watching")]);
    let outcome = until_told(
        &daemon,
        &key,
        reload,
        &relay,
        signals_from_outside,
        save_every,
    )
    .await;
    notify::tell(&[NotifyState::Stopping]);
    watchdog.abort();

    // The order of the data: what was captured is judged, stored, and then the socket closes.
    save(&daemon).await;
    usual::save(&daemon, &key).await;
    signals.stop.store(true, Ordering::Relaxed);
    let _ = tokio::task::spawn_blocking(move || join.join()).await;
    let _ = tokio::time::timeout(Duration::from_secs(5), relay).await;
    let ending = Arc::clone(&daemon);
    let _ = tokio::task::spawn_blocking(move || ending.contain.end()).await;
    // Its sender ends with the thread.
    let _ = tokio::time::timeout(Duration::from_secs(5), contained).await;
    // A look that is under way ends within its bound.
    let _ = tokio::time::timeout(Duration::from_secs(5), beside).await;
    let _ = stop.send(true);
    let _ = tokio::time::timeout(Duration::from_secs(2), server).await;
    for served in [scraped, viewed].into_iter().flatten() {
        let _ = tokio::time::timeout(Duration::from_secs(2), served).await;
    }
    let log = daemon.audit.log();
    if let Some(daemon) = Arc::into_inner(daemon) {
        daemon.alerts.shutdown().await;
    }
    // After the last alert.
    if let Some(log) = log {
        let _ = tokio::task::spawn_blocking(move || audit::end(&log)).await;
    }
    tracing::info!("stopped");
    outcome
}

fn report_key(origin: &config::key::KeyOrigin) {
    match origin {
        config::key::KeyOrigin::Created(path) => tracing::info!(
            path = %path.display(),
            "made a new fingerprint key: fingerprints of earlier runs, if any, mean nothing now"
        ),
        config::key::KeyOrigin::Read { from, loose: 0 } => {
            tracing::debug!(from, "fingerprint key read");
        }
        config::key::KeyOrigin::Read { from, loose } => tracing::warn!(
            from,
            "others may read the fingerprint key (mode bits {loose:04o}); chmod 600 it"
        ),
    }
}

fn endpoints(config: &Config) -> Result<Vec<Endpoint>, DaemonError> {
    let environment = crate::alert::secret::SecretEnv::from_process();
    Endpoint::load(&config.webhooks, &environment)
        .map_err(|error| DaemonError::Config(error.to_string()))
}

/// Signals of the service manager or a person.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, DaemonError> {
        let listen = |kind| {
            signal(kind).map_err(|error| DaemonError::Internal(format!("no signals: {error}")))
        };
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }
}

/// Waits for signals; returns at the one that ends the daemon, or when the hot thread is gone.
async fn until_told(
    daemon: &Arc<Daemon>,
    key: &FingerprintKey,
    reload: impl Fn() -> Result<Config, String>,
    relay: &tokio::task::JoinHandle<()>,
    mut from_outside: Signals,
    save_every: Duration,
) -> Result<(), DaemonError> {
    let mut save_tick = tokio::time::interval(save_every);
    let mut life = tokio::time::interval(Duration::from_millis(500));
    save_tick.tick().await;
    loop {
        tokio::select! {
            _ = from_outside.terminate.recv() => return Ok(()),
            _ = from_outside.interrupt.recv() => return Ok(()),
            _ = from_outside.hangup.recv() => {
                notify::tell(&[NotifyState::Reloading, NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Status("reloading"))]);
                take_over(daemon, key, reload()).await;
                notify::tell(&[NotifyState::Ready]);
            }
            _ = save_tick.tick() => {
                save(daemon).await;
                save_history(daemon).await;
                usual::save(daemon, key).await;
            }
            _ = life.tick() => if relay.is_finished() {
                return Err(DaemonError::Internal("the hot thread ended; this is a bug".to_owned()));
            }
        }
    }
}

/// Puts a new configuration in force, or keeps the old one when anything of it is wrong.
async fn take_over(daemon: &Daemon, key: &FingerprintKey, read: Result<Config, String>) {
    let generation = {
        let current = daemon
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        current.policy.generation + 1
    };
    let made = read.map_err(DaemonError::Config).and_then(|config| {
        let (policy, files) = setup::policy(&config, key, generation)?;
        let table = setup::credential_table(&config)?;
        daemon.comparer.replace(&table, key.clone());
        let recogniser = Recogniser::new(table, key.clone())
            .with_proof_allowance(config.dpop.verify_ms_per_second * 1000);
        let judge = Judge::new(Arc::clone(&policy), setup::settings(&config));
        let endpoints = endpoints(&config)?;
        Ok((
            config,
            policy,
            files,
            Box::new((recogniser, judge)),
            endpoints,
        ))
    });
    let result = match made {
        Ok((config, policy, files, rules, endpoints)) => {
            let sent = daemon
                .commands
                .try_send(Command::Rules(rules))
                .and_then(|()| {
                    let learn = Command::Learn(usual::settings(&config));
                    daemon.commands.try_send(learn)
                });
            match (sent, daemon.alerts.reconfigure(endpoints).await) {
                (Ok(()), Ok(())) => Ok((config, policy, files)),
                (Err(_), _) => Err("the hot thread takes no commands".to_owned()),
                (_, Err(error)) => Err(error.to_string()),
            }
        }
        Err(error) => Err(error.to_string()),
    };
    let mut current = daemon
        .current
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    match result {
        Ok((config, policy, files)) => {
            daemon.audit.in_force(&config, &policy, &files);
            *daemon.terms.write().unwrap_or_else(PoisonError::into_inner) =
                stored::Terms::new(&config, &policy);
            tracing::info!(
                generation,
                identities = policy.identities().len(),
                "reloaded"
            );
            if !daemon
                .contain
                .replace(setup::contain_rules(&config, &policy))
            {
                tracing::error!(
                    "containment is too busy to be told: it goes on by the rules before; reload again"
                );
            }
            if current.config.audit != config.audit {
                tracing::warn!("[audit] changed: that takes effect with a restart");
            }
            if current.config.metrics != config.metrics {
                tracing::warn!("[metrics] changed: that takes effect with a restart");
            }
            if current.config.page != config.page {
                tracing::warn!("[page] changed: that takes effect with a restart");
            }
            current.config = config;
            current.policy = policy;
            current.loaded = rfc3339(SystemClock.now_us());
            current.error = None;
        }
        Err(error) => {
            daemon.audit.refused(&error);
            tracing::error!("reload refused, the old configuration stays in force:\n{error}");
            current.error = Some(error);
        }
    }
}

/// Takes what the hot thread says to where it belongs. Ends with the thread.
async fn relay(daemon: Arc<Daemon>, mut outputs: mpsc::Receiver<Output>) {
    let mut previous: Option<(u64, Instant)> = None;
    while let Some(output) = outputs.recv().await {
        match output {
            Output::Live(accesses) => daemon.hub.publish(&accesses),
            Output::Alerts(updates) => {
                if let Err(error) = daemon.alerts.apply(updates).await {
                    tracing::error!(%error, "alerts are not durable yet");
                }
            }
            Output::History(remembered) => write_history(&daemon, remembered, true).await,
            Output::Snapshot(mut snapshot) => {
                daemon.hub.rest();
                if let Some(digest) = snapshot.digest.take() {
                    usual::log_digest(&digest);
                }
                let now = Instant::now();
                let rate = previous.map_or(0.0, |(accesses, at)| {
                    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
                    let more = snapshot.accesses.saturating_sub(accesses) as f64;
                    more / now.duration_since(at).as_secs_f64().max(0.001)
                });
                previous = Some((snapshot.accesses, now));
                daemon.audit.losses(&backend::losses(&snapshot));
                *daemon
                    .identities
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = IdentityStatus {
                    known: snapshot.census.identities as u64,
                    forgotten: snapshot.census.forgotten,
                };
                *daemon
                    .snapshot
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = (*snapshot, rate);
            }
        }
    }
}

/// Makes alerts of what containment did, and has the audit log tell what is over. Ends with its thread.
async fn tell_contained(daemon: Arc<Daemon>, mut acts: mpsc::Receiver<Told>) {
    while let Some(told) = acts.recv().await {
        let update = match told {
            Told::Acted(update) => *update,
            Told::Over(record, why) => {
                daemon.audit.over(&record, why);
                continue;
            }
        };
        daemon.audit.contained(&update);
        if let Err(error) = daemon.alerts.apply(vec![update]).await {
            tracing::error!(%error, "alerts are not durable yet");
        }
    }
}

/// Keeps the identities, and how long this host was watched, over a restart.
async fn save(daemon: &Daemon) {
    let identities = crate::serve::Backend::identities(daemon).await;
    let ledger = daemon.ledger();
    let store = daemon.store.clone();
    let written = tokio::task::spawn_blocking(move || {
        let refused = |error: serde_json::Error| StoreError::Refused(error.to_string());
        let (json, left_out) = census::to_json(identities, MAX_META).map_err(refused)?;
        if left_out > 0 {
            tracing::warn!(
                left_out,
                "identities used longest ago did not fit the store"
            );
        }
        store.meta_put(CENSUS, &json)?;
        store.meta_put(Ledger::KEY, &ledger.to_json().map_err(refused)?)
    });
    if let Ok(Err(error)) = written.await {
        tracing::warn!(%error, "the identities seen are not saved");
    }
}

/// Keeps what is remembered of earlier accesses, in case this process does not end in order.
async fn save_history(daemon: &Daemon) {
    if let Some(remembered) = memory::remembered(daemon).await {
        write_history(daemon, Box::new(remembered), false).await;
    }
}

async fn write_history(daemon: &Daemon, remembered: Box<Remembered>, complete: bool) {
    let (store, boot) = (daemon.store.clone(), Arc::clone(&daemon.boot));
    let write = move || memory::save(&store, &remembered, &boot, complete);
    if tokio::task::spawn_blocking(write).await.is_err() {
        tracing::warn!("what is remembered of earlier accesses is not saved");
    }
}

fn restore(store: &Store, census: &mut Census) {
    let Ok(Some(json)) = store.meta_get(CENSUS) else {
        return;
    };
    match serde_json::from_slice::<Vec<IdentityRecord>>(&json) {
        Ok(records) => {
            census.restore(&records);
        }
        Err(error) => tracing::warn!(%error, "the identities of the last run are not readable"),
    }
}

/// The standard library's own seed for hash tables is random.
fn random_u64() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
