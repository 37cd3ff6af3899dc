//! One lane for each endpoint: what waits for it, and the task that sends it.
//!
//! A lane knows of its messages only when they are due; what they say stays in the store. Lanes
//! share nothing but the store, so a slow or dead endpoint delays no other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use crate::access::record::rfc3339;
use crate::audit;
use crate::store::{Message, Outcome, Queued, Store, Verdict};

use super::lane::{Place, State, micros};
use super::schedule::LONGEST_PAUSE;
use super::status::EndpointStatus;
use super::webhook::Reply;
use super::{Clock, Endpoint};

/// Messages under way at once, while the endpoint answers.
const IN_FLIGHT: usize = 4;
/// Outcomes not yet written down, beyond which nothing more is sent.
pub(super) const UNSETTLED: usize = 32;
/// Longest sleep, so that a clock that was set is noticed.
const NAP: Duration = Duration::from_secs(60);
/// Wait before a message that the store could not give is asked for again.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// What every lane needs.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) outcomes: UnboundedSender<Outcome>,
    /// Multiplies the retry schedule; 1 but in tests.
    pub(super) scale: f64,
    /// Whose newest checkpoint goes along.
    pub(super) audit: Option<audit::Log>,
}

/// One endpoint's.
pub(super) struct Lane {
    endpoint: Mutex<Endpoint>,
    state: Mutex<State>,
    wake: Notify,
}

/// What an attempt came to.
enum Attempt {
    /// There is no such message any more.
    Gone,
    /// The store could not say what to send.
    NoMessage,
    /// Sent.
    Answered(Message, Result<Reply, String>),
}

impl Lane {
    pub(super) fn new(endpoint: Endpoint, disabled: Option<String>) -> Self {
        Self {
            endpoint: Mutex::new(endpoint),
            state: Mutex::new(State {
                disabled,
                ..State::default()
            }),
            wake: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.endpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Another configuration under the same name; enables it.
    pub(super) fn replace(&self, endpoint: Endpoint) {
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner) = endpoint;
        self.enable();
    }

    /// Takes up sending again. Returns whether it was disabled.
    pub(super) fn enable(&self) -> bool {
        let mut state = self.state();
        state.paused_until_us = i64::MIN;
        let was = state.disabled.take().is_some();
        drop(state);
        self.wake.notify_one();
        was
    }

    /// Whether it waits for someone to enable it.
    pub(super) fn disabled(&self) -> bool {
        self.state().disabled.is_some()
    }

    /// Sends nothing more; the task ends when what is under way has ended.
    pub(super) fn stop(&self) {
        self.state().stopping = true;
        self.wake.notify_one();
    }

    pub(super) fn put(&self, queued: Queued, context: &Context) {
        self.state()
            .put(queued, context.clock.now_us(), context.scale);
        self.wake.notify_one();
    }

    pub(super) fn remove(&self, seq: u64) {
        self.state().remove(seq);
        self.wake.notify_one();
    }

    /// An outcome is written down.
    pub(super) fn settled(&self, seq: u64) {
        let mut state = self.state();
        state.unsettled = state.unsettled.saturating_sub(1);
        if let Some(item) = state.items.get_mut(&seq) {
            item.place = Place::Waiting;
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Everything that waits, read anew.
    pub(super) fn reset(&self, all: Vec<Queued>, context: &Context) {
        let now_us = context.clock.now_us();
        let mut state = self.state();
        let mut gone = std::mem::take(&mut state.items);
        state.waiting.clear();
        state.ready.clear();
        for queued in all {
            if let Some(item) = gone.remove(&queued.seq) {
                state.items.insert(queued.seq, item);
            }
            state.put(queued, now_us, context.scale);
        }
        drop(state);
        self.wake.notify_one();
    }

    pub(super) fn status(&self, now_us: i64) -> EndpointStatus {
        let endpoint = self.endpoint();
        let state = self.state();
        let oldest_us = state.items.values().map(|item| item.queued.queued_us).min();
        let seconds =
            |then: i64| u64::try_from(now_us.saturating_sub(then)).unwrap_or(0) / 1_000_000;
        EndpointStatus {
            name: endpoint.config.name.clone(),
            url: endpoint.config.url.to_string(),
            queued: state.items.len(),
            oldest_seconds: oldest_us.map(seconds),
            delivered: state.delivered,
            failed: state.failed,
            dead_letters: 0,
            dropped: 0,
            disabled: state.disabled.clone(),
            last_error: state
                .last_error
                .as_ref()
                .map(|(at_us, text)| format!("{} {text}", rfc3339(*at_us))),
            last_delivery: state.last_delivery_us.map(rfc3339),
        }
    }

    /// Sends what is due until it is told to stop.
    pub(super) async fn run(self: Arc<Self>, context: Context) {
        let mut sends = JoinSet::new();
        let mut seqs = HashMap::new();
        loop {
            let wait = loop {
                match self.next(context.clock.now_us()) {
                    Ok(queued) => {
                        let endpoint = self.endpoint();
                        let task = sends.spawn(attempt(endpoint, context.clone(), queued));
                        seqs.insert(task.id(), queued.seq);
                    }
                    Err(wait) => break wait,
                }
            };
            if sends.is_empty() && self.state().stopping {
                return;
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
                Some(done) = sends.join_next_with_id(), if !sends.is_empty() => {
                    let (id, attempt) = match done {
                        Ok((id, attempt)) => (id, attempt),
                        // Nothing in it should panic; if it does, the message is not lost.
                        Err(error) => (error.id(), Attempt::NoMessage),
                    };
                    if let Some(seq) = seqs.remove(&id) {
                        self.finish(seq, attempt, &context);
                    }
                }
            }
        }
    }

    /// The message to send now, or how long to wait for one.
    fn next(&self, now_us: i64) -> Result<Queued, Duration> {
        let rate = self.endpoint().config.rate;
        let mut state = self.state();
        let in_flight = if state.unreachable > 0 { 1 } else { IN_FLIGHT };
        if state.stopping
            || state.disabled.is_some()
            || state.under_way >= in_flight
            || state.unsettled >= UNSETTLED
        {
            return Err(NAP);
        }
        // Not longer than it can have been set to, should the clock have been set back.
        let pause_us = state
            .paused_until_us
            .saturating_sub(now_us)
            .min(micros(LONGEST_PAUSE));
        if pause_us > 0 {
            return Err(wait_of(pause_us));
        }
        state.promote(now_us);
        let Some(&(severity, due_us, seq)) = state.ready.first() else {
            let next_us = state
                .waiting
                .first()
                .map(|(due_us, _)| due_us.saturating_sub(now_us));
            return Err(next_us.map_or(NAP, wait_of));
        };
        state
            .bucket
            .take(rate, now_us)
            .map_err(|wait| wait.min(NAP))?;
        state.ready.remove(&(severity, due_us, seq));
        let Some(item) = state.items.get_mut(&seq) else {
            return Err(Duration::ZERO);
        };
        item.place = Place::UnderWay;
        let queued = item.queued;
        state.under_way += 1;
        Ok(queued)
    }

    fn finish(&self, seq: u64, attempt: Attempt, context: &Context) {
        let now_us = context.clock.now_us();
        let endpoint = self.endpoint();
        let mut state = self.state();
        state.under_way = state.under_way.saturating_sub(1);
        let (message, result) = match attempt {
            Attempt::Gone => {
                state.remove(seq);
                return;
            }
            Attempt::NoMessage => {
                state.postpone(seq, now_us.saturating_add(micros(STORE_RETRY)));
                return;
            }
            Attempt::Answered(message, result) => (message, result),
        };
        let Some(queued) = state.items.get(&seq).map(|item| item.queued) else {
            return;
        };
        let verdict = state.judge(queued, result, now_us, context.scale);
        match &verdict {
            Verdict::Disabled { .. } => tracing::error!(
                webhook = endpoint.name(),
                "the endpoint answered 410 Gone and is disabled (hint: `bailiwick send-test` or a \
                 reload enables it again)"
            ),
            Verdict::Retry {
                attempts, error, ..
            } => tracing::warn!(
                webhook = endpoint.name(),
                message = message.id,
                attempts,
                error,
                "a message was not delivered and will be tried again"
            ),
            Verdict::Delivered | Verdict::Dead { .. } => {}
        }
        state.unsettled += 1;
        drop(state);
        // The receiver goes only when everything ends.
        let _ = context.outcomes.send(Outcome {
            endpoint: endpoint.name().to_owned(),
            severity: queued.severity,
            seq,
            message,
            verdict,
            next_update_us: now_us.saturating_add(micros(endpoint.config.update_every)),
        });
    }
}

async fn attempt(endpoint: Endpoint, context: Context, queued: Queued) -> Attempt {
    let store = context.store.clone();
    let name = endpoint.name().to_owned();
    let found =
        tokio::task::spawn_blocking(move || store.message(&name, queued.severity, queued.seq));
    let message = match found.await {
        Ok(Ok(Some(message))) => message,
        Ok(Ok(None)) => return Attempt::Gone,
        Ok(Err(_)) | Err(_) => return Attempt::NoMessage,
    };
    let request = endpoint.request(
        message.id.clone(),
        message.body.clone(),
        context.clock.now_us(),
        context
            .audit
            .as_ref()
            .and_then(audit::Log::checkpoint)
            .as_deref(),
    );
    let result = match request {
        Ok(request) => post(&endpoint, request).await,
        Err(error) => Err(error),
    };
    Attempt::Answered(message, result)
}

/// One attempt, bounded in time whatever the transport does.
pub(super) async fn post(
    endpoint: &Endpoint,
    request: super::webhook::Request,
) -> Result<Reply, String> {
    let patience = request.timeout + Duration::from_secs(1);
    tokio::time::timeout(patience, endpoint.transport.post(request))
        .await
        .unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

/// A little more than asked for, since timers count in milliseconds; never longer than a nap.
fn wait_of(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0).saturating_add(500)).min(NAP)
}
