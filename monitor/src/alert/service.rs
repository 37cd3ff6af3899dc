//! The async side: takes updates in, makes them durable, and runs the lanes.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

use crate::audit;
use crate::store::{AlertQuery, Lookup, Store, StoreError};

use super::endpoint::EndpointError;
use super::outbox::Lane;
use super::shared::{Shared, keep};
use super::status::AlertStatus;
use super::{Alert, AlertUpdate, Clock, Endpoint, MarkRequest, NotMarked, config, settle};

/// What tests change.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// Multiplies the retry schedule.
    pub schedule_scale: f64,
    /// How long [`AlertService::shutdown`] waits for attempts under way.
    pub grace: Duration,
    /// Told of alerts that are begun or get worse; its newest checkpoint goes along with each message.
    pub audit: Option<audit::Log>,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            schedule_scale: 1.0,
            grace: Duration::from_secs(5),
            audit: None,
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
    settler: JoinSet<()>,
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
        let shared = Arc::new(Shared::new(store, clock, options, outcomes));
        let mut settler = JoinSet::new();
        settler.spawn(settle::run(Arc::clone(&shared), receiver));
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

    /// Writes a mark on an alert, whose id may be given by its beginning, and shows it to subscribers.
    ///
    /// # Errors
    /// There is no such alert, the mark cannot be, or the store is not available.
    pub async fn mark(
        &self,
        id: String,
        mark: MarkRequest,
        by: String,
    ) -> Result<Arc<Alert>, NotMarked> {
        let now_us = self.shared.clock.now_us();
        mark.check(now_us)
            .map_err(|(what, hint)| NotMarked::Refused(what, hint))?;
        // While it is held, nothing grows: who subscribed hears of growth and marks in their order.
        let _intake = self.shared.intake.lock().await;
        let asked = id.clone();
        let found = self
            .shared
            .blocking(move |store| store.look_up(&asked))
            .await?;
        let id = match found {
            Lookup::Found(id) => id,
            Lookup::Several(_) => return Err(NotMarked::Several(id)),
            Lookup::None(_) => return Err(NotMarked::Unknown(id)),
        };
        let full = id.clone();
        let marked = self
            .shared
            .blocking(move |store| store.mark(&full, &mark, &by, now_us))
            .await?;
        let alert = Arc::new(marked.ok_or(NotMarked::Unknown(id))?);
        // Nobody may be listening.
        let _ = self.shared.events.send(Arc::clone(&alert));
        Ok(alert)
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
            mut settler,
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
        if tokio::time::timeout(grace, settler.join_next())
            .await
            .is_err()
        {
            settler.shutdown().await;
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
        let marks = shared.marks.lock().await;
        for endpoint in endpoints {
            let name = endpoint.name().to_owned();
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
            if enable {
                shared.enabled(&name, &marks).await;
            }
            new.insert(name, lane);
        }
        drop(marks);
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

fn check(endpoints: &[Endpoint]) -> Result<(), EndpointError> {
    let configs = endpoints
        .iter()
        .map(|e| config::WebhookConfig::clone(&e.config))
        .collect::<Vec<_>>();
    config::validate(&configs)?;
    Ok(())
}
