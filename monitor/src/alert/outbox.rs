//! One lane for each endpoint: what waits for it, and the task that sends it.
//!
//! A lane knows of its messages only when they are due; what they say stays in the store. Lanes
//! share nothing but the store, so a slow or dead endpoint delays no other.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use crate::store::{Message, Outcome, Queued, Store, Verdict};

use super::evidence::rfc3339;
use super::schedule::{LONGEST_PAUSE, LONGEST_RETRY_AFTER, delay_after, longest};
use super::status::EndpointStatus;
use super::webhook::{Reply, retry_after};
use super::{Clock, Endpoint};

/// Messages under way at once, while the endpoint answers.
const IN_FLIGHT: usize = 4;
/// Outcomes not yet written down, beyond which nothing more is sent.
pub(super) const UNSETTLED: usize = 32;
/// Failures to reach the endpoint in a row that make an outage: the first success after one brings
/// forward what waits because of it.
const OUTAGE: u32 = 3;
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
}

/// One endpoint's.
pub(super) struct Lane {
    endpoint: Mutex<Endpoint>,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    items: HashMap<u64, Item>,
    /// (due, sequence) of what is neither ready nor under way.
    waiting: BTreeSet<(i64, u64)>,
    /// What is due: the worst first, then by time.
    ready: BTreeSet<(Reverse<u8>, i64, u64)>,
    under_way: usize,
    unsettled: usize,
    stopping: bool,
    disabled: Option<String>,
    paused_until_us: i64,
    /// Failures in a row to reach the endpoint.
    unreachable: u32,
    bucket: Bucket,
    delivered: u64,
    failed: u64,
    last_error: Option<(i64, String)>,
    last_delivery_us: Option<i64>,
}

#[derive(Clone, Copy)]
struct Item {
    queued: Queued,
    place: Place,
    /// It waits because the endpoint could not be reached.
    outage: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Waiting,
    Ready,
    UnderWay,
}

/// Messages a minute.
#[derive(Default)]
struct Bucket {
    tokens: f64,
    filled_us: Option<i64>,
}

impl Bucket {
    /// Takes one, or says how long until there is one.
    fn take(&mut self, rate: u32, now_us: i64) -> Result<(), Duration> {
        let a_second = f64::from(rate) / 60.0;
        let most = (a_second * 10.0).max(1.0);
        self.tokens = match self.filled_us {
            // A clock set back fills nothing.
            Some(then) => {
                let seconds = now_us.saturating_sub(then).max(0) as f64 / 1e6;
                (self.tokens + seconds * a_second).min(most)
            }
            None => most,
        };
        self.filled_us = Some(now_us);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / a_second))
    }
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

impl State {
    fn put(&mut self, queued: Queued, now_us: i64, scale: f64) {
        let latest = now_us.saturating_add(micros(longest(scale.max(1.0))));
        let queued = Queued {
            due_us: queued.due_us.min(latest),
            ..queued
        };
        let old = self.unplace(queued.seq);
        let under_way = old.is_some_and(|item| item.place == Place::UnderWay);
        let outage = old.is_some_and(|item| item.outage);
        let place = if under_way {
            Place::UnderWay
        } else {
            Place::Waiting
        };
        if place == Place::Waiting {
            self.waiting.insert((queued.due_us, queued.seq));
        }
        self.items.insert(
            queued.seq,
            Item {
                queued,
                place,
                outage,
            },
        );
    }

    /// Takes an item out of where it is listed; it stays in `items`.
    fn unplace(&mut self, seq: u64) -> Option<Item> {
        let item = *self.items.get(&seq)?;
        let Queued {
            due_us, severity, ..
        } = item.queued;
        self.waiting.remove(&(due_us, seq));
        self.ready.remove(&(Reverse(severity), due_us, seq));
        Some(item)
    }

    fn remove(&mut self, seq: u64) {
        self.unplace(seq);
        self.items.remove(&seq);
    }

    /// Lists what has become due.
    fn promote(&mut self, now_us: i64) {
        while let Some(&(due_us, seq)) = self.waiting.first() {
            if due_us > now_us {
                break;
            }
            self.waiting.pop_first();
            if let Some(item) = self.items.get_mut(&seq) {
                item.place = Place::Ready;
                self.ready
                    .insert((Reverse(item.queued.severity), due_us, seq));
            }
        }
    }

    /// Puts an item back to wait until `due_us`.
    fn postpone(&mut self, seq: u64, due_us: i64) {
        self.unplace(seq);
        if let Some(item) = self.items.get_mut(&seq) {
            item.place = Place::Waiting;
            item.queued.due_us = due_us;
            self.waiting.insert((due_us, seq));
        }
    }

    /// The endpoint is back: what waits because it was away need not wait longer.
    fn bring_forward(&mut self, now_us: i64) {
        let away = self.items.values_mut().filter(|item| item.outage);
        let mut seqs = Vec::new();
        for item in away {
            item.outage = false;
            if item.place == Place::Waiting {
                seqs.push(item.queued.seq);
            }
        }
        for seq in seqs {
            self.postpone(seq, now_us);
        }
    }
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

impl State {
    fn judge(
        &mut self,
        queued: Queued,
        result: Result<Reply, String>,
        now_us: i64,
        scale: f64,
    ) -> Verdict {
        let (error, away, after) = match result {
            Ok(reply) if (200..300).contains(&reply.status) => {
                self.delivered += 1;
                self.last_delivery_us = Some(now_us);
                if self.unreachable >= OUTAGE {
                    self.bring_forward(now_us);
                }
                self.unreachable = 0;
                return Verdict::Delivered;
            }
            Ok(reply) => {
                let away = matches!(reply.status, 429 | 502..=504);
                let after = reply
                    .retry_after
                    .as_deref()
                    .and_then(|at| retry_after(at, now_us));
                let quote = if reply.quote.is_empty() { "" } else { ": " };
                let text = format!("answered {}{quote}{}", reply.status, reply.quote);
                if reply.status == 410 {
                    self.failed += 1;
                    self.last_error = Some((now_us, text.clone()));
                    self.disabled = Some(text.clone());
                    return Verdict::Disabled { error: text };
                }
                (text, away, after)
            }
            Err(error) => (error, true, None),
        };
        self.failed += 1;
        self.last_error = Some((now_us, error.clone()));
        self.unreachable = if away {
            self.unreachable.saturating_add(1)
        } else {
            0
        };
        if let Some(item) = self.items.get_mut(&queued.seq) {
            item.outage = away;
        }
        if let Some(after) = after {
            let pause_us = now_us.saturating_add(micros(after.min(LONGEST_PAUSE)));
            self.paused_until_us = self.paused_until_us.max(pause_us);
        }
        let attempts = queued.attempts.saturating_add(1);
        match delay_after(attempts, jitter(), scale) {
            Some(delay) => {
                let delay = delay.max(after.unwrap_or(Duration::ZERO).min(LONGEST_RETRY_AFTER));
                let due_us = now_us.saturating_add(micros(delay));
                Verdict::Retry {
                    attempts,
                    due_us,
                    error,
                }
            }
            None => Verdict::Dead { attempts, error },
        }
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
    );
    let result = post(&endpoint, request).await;
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

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A little more than asked for, since timers count in milliseconds; never longer than a nap.
fn wait_of(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0).saturating_add(500)).min(NAP)
}

/// In 0..1. Spreads attempts; nothing depends on nobody guessing it.
fn jitter() -> f64 {
    use std::hash::BuildHasher;
    let bits = std::collections::hash_map::RandomState::new().hash_one(0_u8) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}
