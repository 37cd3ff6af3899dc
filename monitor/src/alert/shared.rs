//! What the service, its lanes and its settler share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{MutexGuard, broadcast, mpsc};
use tokio::time::Instant;

use crate::audit::Entry;
use crate::store::{Change, Outcome, Route, Store, StoreError, Verdict, disabled_key};

use super::intake::Intake;
use super::outbox::{Context, Lane, post};
use super::service::{Applied, ApplyError, ServiceOptions};
use super::{Alert, Clock};

/// Alerts that a subscriber may lag behind.
const EVENTS: usize = 1024;
/// First and longest wait between attempts at a store that fails.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) options: ServiceOptions,
    pub(super) intake: tokio::sync::Mutex<Intake>,
    pub(super) retry: Mutex<Retry>,
    pub(super) buffered: AtomicUsize,
    pub(super) stored: AtomicU64,
    pub(super) lanes: RwLock<BTreeMap<String, Arc<Lane>>>,
    /// `None` once shut down, so that the settler ends.
    pub(super) outcomes: Mutex<Option<mpsc::UnboundedSender<Outcome>>>,
    pub(super) events: broadcast::Sender<Arc<Alert>>,
    /// The store's generation at which the lanes were read.
    pub(super) generation: AtomicU64,
    /// Grows before lanes are changed, so that whoever reads them anew notices.
    pub(super) changed: AtomicU64,
    /// Held while it is written down that endpoints are disabled or enabled, so that the last word is the
    /// one that their lanes have.
    pub(super) marks: tokio::sync::Mutex<()>,
}

#[derive(Default)]
pub(super) struct Retry {
    wait: Duration,
    not_before: Option<Instant>,
    error: String,
}

impl Shared {
    pub(super) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        options: ServiceOptions,
        outcomes: mpsc::UnboundedSender<Outcome>,
    ) -> Self {
        Self {
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
            marks: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn lanes(&self) -> BTreeMap<String, Arc<Lane>> {
        self.lanes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn context(&self) -> Option<Context> {
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
            audit: self.options.audit.clone(),
        })
    }

    pub(super) async fn blocking<T: Send + 'static>(
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

    pub(super) fn retry_is_due(&self) -> bool {
        let retry = self.retry.lock().unwrap_or_else(PoisonError::into_inner);
        retry.not_before.is_none_or(|then| then <= Instant::now())
    }

    pub(super) fn waiting(&self, intake: &Intake) -> Result<Applied, ApplyError> {
        let retry = self.retry.lock().unwrap_or_else(PoisonError::into_inner);
        Err(ApplyError::Buffered {
            waiting: intake.len(),
            error: retry.error.clone(),
        })
    }

    /// Gives the store what waits.
    pub(super) async fn flush(&self, intake: &mut Intake) -> Result<Applied, ApplyError> {
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
                        self.audit(&alert, &stored.news);
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

    /// Has the audit log tell what became of an alert.
    fn audit(&self, alert: &Alert, news: &[(String, &'static str)]) {
        let Some(log) = &self.options.audit else {
            return;
        };
        for (id, change) in news {
            if *id == alert.id {
                log.append(Entry::alert(alert, change));
            }
        }
    }

    /// The newest checkpoint of the audit log.
    pub(super) fn checkpoint(&self) -> Option<Arc<str>> {
        self.options.audit.as_ref()?.checkpoint()
    }

    pub(super) fn change(&self, changes: Vec<Change>) {
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
    async fn settled(&self, outcomes: &[Outcome], changes: Vec<Change>) {
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

    pub(super) fn is_stale(&self) -> bool {
        self.generation.load(Ordering::SeqCst) != self.store.generation()
    }

    /// Reads all lanes' queues anew.
    pub(super) async fn reload(&self) {
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

    pub(super) async fn test(&self, name: &str, lane: &Lane) -> Result<u16, String> {
        let endpoint = lane.endpoint();
        let now_us = self.clock.now_us();
        let request = endpoint.test_request(now_us, self.checkpoint().as_deref());
        let reply = post(&endpoint, request).await?;
        if !(200..300).contains(&reply.status) {
            let quote = if reply.quote.is_empty() { "" } else { ": " };
            return Err(format!("answered {}{quote}{}", reply.status, reply.quote));
        }
        let marks = self.marks.lock().await;
        if lane.enable() {
            tracing::info!(webhook = name, "the endpoint answers and is enabled again");
            self.enabled(name, &marks).await;
        }
        Ok(reply.status)
    }

    /// Writes outcomes down. An endpoint that was enabled after it had refused stays so.
    pub(super) async fn settle(&self, outcomes: &Arc<Vec<Outcome>>) -> Result<(), StoreError> {
        let marks = self.marks.lock().await;
        let given = Arc::clone(outcomes);
        let now_us = self.clock.now_us();
        let changes = self
            .blocking(move |store| store.settle(&given, now_us))
            .await?;
        let lanes = self.lanes();
        for Outcome {
            endpoint, verdict, ..
        } in &**outcomes
        {
            let refused = matches!(verdict, Verdict::Disabled { .. });
            if refused && lanes.get(endpoint).is_some_and(|lane| !lane.disabled()) {
                self.enabled(endpoint, &marks).await;
            }
        }
        drop(marks);
        self.settled(outcomes, changes).await;
        Ok(())
    }

    /// Forgets that an endpoint is disabled; its lane knows that it is not.
    pub(super) async fn enabled(&self, name: &str, _: &MutexGuard<'_, ()>) {
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

    pub(super) async fn disabled(&self, name: &str) -> Option<String> {
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
pub(super) async fn keep(shared: Arc<Shared>) {
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
