//! The async side: takes updates in, makes them durable, and runs the lanes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::store::{AlertQuery, Change, Outcome, Route, Store, StoreError, disabled_key};

use super::endpoint::EndpointError;
use super::intake::Intake;
use super::outbox::{Context, Lane, post};
use super::status::AlertStatus;
use super::{Alert, AlertUpdate, Clock, Endpoint, config, settle};

/// Alerts that a subscriber may lag behind.
const EVENTS: usize = 1024;
/// First and longest wait between attempts at a store that fails.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// What tests change.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// Multiplies the retry schedule.
    pub schedule_scale: f64,
    /// How long [`AlertService::shutdown`] waits for attempts under way.
    pub grace: Duration,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            schedule_scale: 1.0,
            grace: Duration::from_secs(5),
        }
    }
}

/// What [`AlertService::apply`] made durable.
#[derive(Debug, Default)]
pub struct Applied {
    /// The alerts begun or grown, as they are now.
    pub alerts: Vec<Arc<Alert>>,
}

/// Why updates are not durable yet.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// They wait in memory, bounded, and are tried again by themselves.
    #[error("{waiting} alert updates wait in memory, not durable yet: {error}")]
    Buffered {
        /// Updates that wait.
        waiting: usize,
        /// What the store says.
        error: String,
    },
}

/// Stores alerts and delivers them. Runs inside a tokio runtime; see the module's functions.
pub struct AlertService {
    shared: Arc<Shared>,
    tasks: Mutex<Tasks>,
}

impl std::fmt::Debug for AlertService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlertService")
            .field("store", &self.shared.store)
            .finish_non_exhaustive()
    }
}

struct Tasks {
    /// Aborted when dropped.
    lanes: JoinSet<()>,
    keeper: JoinSet<()>,
    settler: JoinHandle<()>,
}

pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    options: ServiceOptions,
    intake: tokio::sync::Mutex<Intake>,
    retry: Mutex<Retry>,
    buffered: AtomicUsize,
    stored: AtomicU64,
    lanes: RwLock<BTreeMap<String, Arc<Lane>>>,
    /// `None` once shut down, so that the settler ends.
    outcomes: Mutex<Option<mpsc::UnboundedSender<Outcome>>>,
    events: broadcast::Sender<Arc<Alert>>,
    /// The store's generation at which the lanes were read.
    generation: AtomicU64,
    /// Grows before lanes are changed, so that whoever reads them anew notices.
    changed: AtomicU64,
}

#[derive(Default)]
struct Retry {
    wait: Duration,
    not_before: Option<Instant>,
    error: String,
}

impl AlertService {
    /// Begins to deliver what waits. What waits for endpoints that are not among `endpoints`
    /// becomes dead letters, kept under their names.
    ///
    /// # Errors
    /// Two endpoints with one name, or too many.
    pub async fn start(
        store: Store,
        endpoints: Vec<Endpoint>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EndpointError> {
        Self::start_with(store, endpoints, clock, ServiceOptions::default()).await
    }

    /// As [`Self::start`], with other options.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(
        store: Store,
        endpoints: Vec<Endpoint>,
        clock: Arc<dyn Clock>,
        options: ServiceOptions,
    ) -> Result<Self, EndpointError> {
        check(&endpoints)?;
        let (outcomes, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            store,
            clock,
            options,
            intake: tokio::sync::Mutex::default(),
            retry: Mutex::default(),
            buffered: AtomicUsize::new(0),
            stored: AtomicU64::new(0),
            lanes: RwLock::default(),
            outcomes: Mutex::new(Some(outcomes)),
            events: broadcast::channel(EVENTS).0,
            generation: AtomicU64::new(0),
            changed: AtomicU64::new(0),
        });
        let settler = tokio::spawn(settle::run(Arc::clone(&shared), receiver));
        let mut keeper = JoinSet::new();
        keeper.spawn(keep(Arc::clone(&shared)));
        let tasks = Tasks {
            lanes: JoinSet::new(),
            keeper,
            settler,
        };
        let service = Self {
            shared,
            tasks: Mutex::new(tasks),
        };
        service.set_lanes(endpoints, false).await;
        Ok(service)
    }

    /// Makes updates durable: when it returns `Ok` they are on disk, and will be told to every
    /// endpoint that wants them.
    ///
    /// # Errors
    /// The store is not available. The updates (and earlier ones) wait in memory and are tried
    /// again, so the caller must not give them again.
    pub async fn apply(&self, updates: Vec<AlertUpdate>) -> Result<Applied, ApplyError> {
        let mut intake = self.shared.intake.lock().await;
        for update in updates {
            intake.add(update);
        }
        self.shared.buffered.store(intake.len(), Ordering::Relaxed);
        if self.shared.retry_is_due() {
            self.shared.flush(&mut intake).await
        } else {
            self.shared.waiting(&intake)
        }
    }

    /// Another set of endpoints. Those that stay keep their queues; all are enabled.
    ///
    /// # Errors
    /// Two endpoints with one name, or too many; nothing was changed.
    pub async fn reconfigure(&self, endpoints: Vec<Endpoint>) -> Result<(), EndpointError> {
        check(&endpoints)?;
        self.set_lanes(endpoints, true).await;
        Ok(())
    }

    /// Alerts, those begun last first. Blocks on the disk.
    ///
    /// # Errors
    /// The store is not available.
    pub fn list(&self, query: &AlertQuery) -> Result<Vec<Alert>, StoreError> {
        self.shared.store.list(query)
    }

    /// One alert. Blocks on the disk.
    ///
    /// # Errors
    /// The store is not available.
    pub fn get(&self, id: &str) -> Result<Option<Alert>, StoreError> {
        self.shared.store.get(id)
    }

    /// Every alert that is begun or grows, once it is durable.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Alert>> {
        self.shared.events.subscribe()
    }

    /// How everything stands.
    #[must_use]
    pub fn status(&self) -> AlertStatus {
        let shared = &self.shared;
        let now_us = shared.clock.now_us();
        let totals = shared.store.endpoint_totals();
        let endpoints = shared.lanes().into_values().map(|lane| {
            let mut status = lane.status(now_us);
            if let Some(totals) = totals.get(&status.name) {
                status.dead_letters = totals.dead;
                status.dropped = totals.dropped;
            }
            status
        });
        AlertStatus {
            endpoints: endpoints.collect(),
            store: shared.store.status(),
            buffered: shared.buffered.load(Ordering::Relaxed),
            stored: shared.stored.load(Ordering::Relaxed),
        }
    }

    /// Sends a signed test message to one endpoint or to all, at once and once. The status of a
    /// success, else what went wrong. A success enables an endpoint that was disabled.
    pub async fn send_test(&self, endpoint: Option<&str>) -> Vec<(String, Result<u16, String>)> {
        let mut lanes = self.shared.lanes();
        if let Some(name) = endpoint {
            lanes.retain(|have, _| have == name);
            if lanes.is_empty() {
                let names = self
                    .shared
                    .lanes()
                    .into_keys()
                    .collect::<Vec<_>>()
                    .join(", ");
                let error = format!("no webhook has this name\nhint: configured are: {names}");
                return vec![(name.to_owned(), Err(error))];
            }
        }
        let mut tests = JoinSet::new();
        for (name, lane) in lanes {
            let shared = Arc::clone(&self.shared);
            tests.spawn(async move {
                let result = shared.test(&name, &lane).await;
                (name, result)
            });
        }
        let mut results = tests.join_all().await;
        results.sort();
        results
    }

    /// Puts an endpoint's dead letters back into its queue; the names are those of the
    /// configuration. Returns how many.
    ///
    /// # Errors
    /// The store is not available, or there is no such endpoint.
    pub async fn replay_dead_letters(&self, endpoint: &str) -> Result<usize, StoreError> {
        let Some(lane) = self.shared.lanes().remove(endpoint) else {
            return Err(StoreError::Refused(format!(
                "no webhook is named {endpoint:?}"
            )));
        };
        let now_us = self.shared.clock.now_us();
        let name = endpoint.to_owned();
        let queued = self
            .shared
            .blocking(move |store| store.replay(&name, now_us))
            .await?;
        let count = queued.len();
        self.shared.changed.fetch_add(1, Ordering::SeqCst);
        if let Some(context) = self.shared.context() {
            for queued in queued {
                lane.put(queued, &context);
            }
        }
        Ok(count)
    }

    /// Stops sending, waits a little for what is under way, writes down what became of it, and
    /// closes the store. What was not delivered is delivered after the next start.
    pub async fn shutdown(self) {
        for lane in self.shared.lanes().values() {
            lane.stop();
        }
        let grace = self.shared.options.grace;
        let Tasks {
            mut lanes,
            mut keeper,
            settler,
        } = self
            .tasks
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        keeper.shutdown().await;
        let all = async { while lanes.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            tracing::warn!(
                "attempts under way are given up; they are repeated after the next start"
            );
            lanes.shutdown().await;
        }
        self.shared
            .outcomes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let abort = settler.abort_handle();
        if tokio::time::timeout(grace, settler).await.is_err() {
            abort.abort();
        }
        let mut intake = self.shared.intake.lock().await;
        if let Err(error) = self.shared.flush(&mut intake).await {
            tracing::error!(%error, "alerts are lost");
        }
        let _ = self
            .shared
            .blocking(|store| {
                store.close();
                Ok(())
            })
            .await;
    }

    async fn set_lanes(&self, endpoints: Vec<Endpoint>, enable: bool) {
        let shared = &self.shared;
        let names = endpoints
            .iter()
            .map(|e| e.name().to_owned())
            .collect::<Vec<_>>();
        let mut old = shared.lanes();
        let mut new = BTreeMap::new();
        let mut added = Vec::new();
        for endpoint in endpoints {
            let name = endpoint.name().to_owned();
            if enable {
                shared.enabled(&name).await;
            }
            let lane = match old.remove(&name) {
                Some(lane) => {
                    lane.replace(endpoint);
                    lane
                }
                None => {
                    let disabled = if enable {
                        None
                    } else {
                        shared.disabled(&name).await
                    };
                    let lane = Arc::new(Lane::new(endpoint, disabled));
                    added.push(Arc::clone(&lane));
                    lane
                }
            };
            new.insert(name, lane);
        }
        *shared.lanes.write().unwrap_or_else(PoisonError::into_inner) = new;
        for lane in old.values() {
            lane.stop();
        }
        let now_us = shared.clock.now_us();
        let retired = shared
            .blocking(move |store| {
                let names = names.iter().map(String::as_str).collect::<Vec<_>>();
                store.retire_endpoints(&names, now_us)
            })
            .await;
        if let Ok(retired @ 1..) = retired {
            tracing::warn!(
                retired,
                "messages for webhooks that are not configured any more are kept as dead letters"
            );
        }
        let Some(context) = shared.context() else {
            return;
        };
        shared.reload().await;
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.lanes.try_join_next().is_some() {}
        for lane in added {
            tasks.lanes.spawn(lane.run(context.clone()));
        }
    }
}

impl Shared {
    fn lanes(&self) -> BTreeMap<String, Arc<Lane>> {
        self.lanes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn context(&self) -> Option<Context> {
        let outcomes = self
            .outcomes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        Some(Context {
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            outcomes,
            scale: self.options.schedule_scale,
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || call(&store)).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::Refused(format!(
                "the store's thread ended: {error}"
            ))),
        }
    }

    fn retry_is_due(&self) -> bool {
        let retry = self.retry.lock().unwrap_or_else(PoisonError::into_inner);
        retry.not_before.is_none_or(|then| then <= Instant::now())
    }

    fn waiting(&self, intake: &Intake) -> Result<Applied, ApplyError> {
        let retry = self.retry.lock().unwrap_or_else(PoisonError::into_inner);
        Err(ApplyError::Buffered {
            waiting: intake.len(),
            error: retry.error.clone(),
        })
    }

    /// Gives the store what waits.
    async fn flush(&self, intake: &mut Intake) -> Result<Applied, ApplyError> {
        let mut applied = Applied::default();
        // The batch stays in the intake until it is known to be durable: should this future be
        // dropped meanwhile, it is given again, and recognised.
        while let Some(batch) = intake.batch() {
            let routes = self
                .lanes()
                .values()
                .map(|lane| lane.endpoint().config)
                .collect::<Vec<Route>>();
            let now_us = self.clock.now_us();
            let count = batch.updates.len();
            match self
                .blocking(move |store| store.apply(&batch, &routes, now_us))
                .await
            {
                Ok(stored) => {
                    intake.stored();
                    self.buffered.store(intake.len(), Ordering::Relaxed);
                    self.stored.fetch_add(count as u64, Ordering::Relaxed);
                    *self.retry.lock().unwrap_or_else(PoisonError::into_inner) = Retry::default();
                    if stored.repeated || self.is_stale() {
                        self.reload().await;
                    }
                    self.change(stored.changes);
                    for alert in stored.alerts {
                        let alert = Arc::new(alert);
                        // Nobody may be listening.
                        let _ = self.events.send(Arc::clone(&alert));
                        applied.alerts.push(alert);
                    }
                }
                Err(error) => {
                    let mut retry = self.retry.lock().unwrap_or_else(PoisonError::into_inner);
                    retry.wait = (retry.wait * 2).clamp(FIRST_RETRY, LONGEST_RETRY);
                    retry.not_before = Some(Instant::now() + retry.wait);
                    retry.error = error.to_string();
                    drop(retry);
                    return self.waiting(intake);
                }
            }
        }
        Ok(applied)
    }

    fn change(&self, changes: Vec<Change>) {
        let Some(context) = self.context() else {
            return;
        };
        let lanes = self.lanes();
        for change in changes {
            match change {
                Change::Put { endpoint, queued } => {
                    if let Some(lane) = lanes.get(&endpoint) {
                        lane.put(queued, &context);
                    }
                }
                Change::Remove { endpoint, seq } => {
                    if let Some(lane) = lanes.get(&endpoint) {
                        lane.remove(seq);
                    }
                }
            }
        }
    }

    /// Outcomes were written down.
    pub(super) async fn settled(&self, outcomes: &[Outcome], changes: Vec<Change>) {
        let lanes = self.lanes();
        for outcome in outcomes {
            if let Some(lane) = lanes.get(&outcome.endpoint) {
                lane.settled(outcome.seq);
            }
        }
        self.change(changes);
        if self.is_stale() {
            self.reload().await;
        }
    }

    fn is_stale(&self) -> bool {
        self.generation.load(Ordering::SeqCst) != self.store.generation()
    }

    /// Reads all lanes' queues anew.
    async fn reload(&self) {
        let Some(context) = self.context() else {
            return;
        };
        loop {
            let generation = self.store.generation();
            // What is committed before this is in what is read below; a lane that is changed
            // after it may lose that change to the older reading, so it is read again.
            let changed = self.changed.load(Ordering::SeqCst);
            for (name, lane) in self.lanes() {
                match self.blocking(move |store| store.queued(&name)).await {
                    Ok(all) => lane.reset(all, &context),
                    // Still stale: the keeper comes back to it.
                    Err(_) => return,
                }
            }
            if self.changed.load(Ordering::SeqCst) == changed {
                // One that was reopened meanwhile is stale again, and noticed.
                self.generation.store(generation, Ordering::SeqCst);
                return;
            }
        }
    }

    async fn test(&self, name: &str, lane: &Lane) -> Result<u16, String> {
        let endpoint = lane.endpoint();
        let now_us = self.clock.now_us();
        let body = serde_json::json!({
            "type": "test",
            "v": 1,
            "time": super::evidence::rfc3339(now_us),
            "message": "a test of this webhook: nothing has happened",
        });
        let request = endpoint.request(format!("test_{now_us}"), body.to_string(), now_us);
        let reply = post(&endpoint, request).await?;
        if !(200..300).contains(&reply.status) {
            let quote = if reply.quote.is_empty() { "" } else { ": " };
            return Err(format!("answered {}{quote}{}", reply.status, reply.quote));
        }
        if lane.enable() {
            tracing::info!(webhook = name, "the endpoint answers and is enabled again");
            self.enabled(name).await;
        }
        Ok(reply.status)
    }

    /// Forgets that an endpoint is disabled.
    async fn enabled(&self, name: &str) {
        let key = disabled_key(name);
        let done = self
            .blocking(move |store| match store.meta_get(&key)? {
                Some(_) => store.meta_delete(&key),
                None => Ok(false),
            })
            .await;
        if let Err(error) = done {
            tracing::warn!(webhook = name, %error, "it could not be stored that it is enabled");
        }
    }

    async fn disabled(&self, name: &str) -> Option<String> {
        let key = disabled_key(name);
        let found = self
            .blocking(move |store| store.meta_get(&key))
            .await
            .ok()
            .flatten();
        found.map(|error| String::from_utf8_lossy(&error).into_owned())
    }
}

/// Tries again what the store could not take, and reads the lanes anew after it was reopened.
async fn keep(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(FIRST_RETRY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if shared.buffered.load(Ordering::Relaxed) > 0 && shared.retry_is_due() {
            let mut intake = shared.intake.lock().await;
            // Whoever wants to know asks for the status.
            let _ = shared.flush(&mut intake).await;
        }
        if shared.is_stale() {
            shared.reload().await;
        }
    }
}

fn check(endpoints: &[Endpoint]) -> Result<(), EndpointError> {
    let configs = endpoints
        .iter()
        .map(|e| config::WebhookConfig::clone(&e.config))
        .collect::<Vec<_>>();
    config::validate(&configs)?;
    Ok(())
}
