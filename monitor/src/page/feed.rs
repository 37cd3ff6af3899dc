//! What all viewers share: accesses, alerts and the daemon's state, gathered ten times a second and written
//! down once. Runs while there is a viewer, and a while longer, so that one who comes back finds what passed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{Mutex, broadcast};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::MissedTickBehavior;

use super::flow::{Flow, TURN_S, workload};
use super::{Numbered, Viewed};
use crate::access::record::AccessRecord;
use crate::alert::Alert;

/// Between two batches.
const TICK: Duration = Duration::from_millis(100);
/// Ticks in a second.
const SECOND: u64 = 10;
/// Ticks without a viewer before it stops.
const LINGER: u64 = 30 * SECOND;
/// Accesses kept for viewers who come back.
pub(super) const RING: usize = 2048;
/// Accesses of a batch that filters look at; more are counted only.
const MOST_ROWS: usize = 1024;
/// Accesses of a batch that one viewer is sent.
pub(super) const MOST_SENT: usize = 40;
/// Messages a viewer may fall behind.
const BEHIND: usize = 16;
/// Alerts taken from the channel in a tick.
const MOST_ALERTS: usize = 256;

/// An access on its way to viewers.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) number: u64,
    pub(super) record: Arc<AccessRecord>,
    /// A request for the page itself, which is not shown: each would make the next.
    pub(super) own: bool,
}

/// Accesses of a tick.
#[derive(Debug)]
pub(super) struct Batch {
    /// Number of the last access before it.
    pub(super) before: u64,
    /// Number of its last access.
    pub(super) last: u64,
    /// Those looked at, in order.
    pub(super) rows: Vec<Row>,
    /// What a viewer without a filter is sent.
    pub(super) plain: Option<Bytes>,
}

/// What viewers get.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// Accesses.
    Accesses(Arc<Batch>),
    /// Anything else: event and data.
    Other(&'static str, Bytes),
}

#[derive(Serialize)]
struct Rows<'a> {
    rows: Vec<RowRecord<'a>>,
    /// Passed the filter, but came too fast to be sent.
    not_shown: u64,
    /// Came too fast to be looked at.
    not_seen: u64,
}

#[derive(Serialize)]
struct RowRecord<'a> {
    n: u64,
    /// The client's name, as in alerts.
    workload: String,
    access: &'a AccessRecord,
}

/// Accesses as data of an event. All of `rows` when there are few; else those with findings first, and the
/// newest of the others.
pub(super) fn rows(rows: &[&Row], most: usize, not_seen: u64) -> Bytes {
    let marked = |row: &&&Row| !row.record.findings.is_empty();
    let mut chosen: Vec<&Row> = if rows.len() <= most {
        rows.to_vec()
    } else {
        let bad = rows.iter().rev().filter(marked);
        let good = rows.iter().rev().filter(|row| !marked(row));
        bad.chain(good).take(most).copied().collect()
    };
    chosen.sort_by_key(|row| row.number);
    json(&Rows {
        not_shown: (rows.len() - chosen.len()) as u64,
        not_seen,
        rows: chosen
            .into_iter()
            .map(|row| RowRecord {
                n: row.number,
                workload: workload(&row.record),
                access: &row.record,
            })
            .collect(),
    })
}

/// Never fails for what is sent here: keys are text, and no number is beyond JSON's.
pub(super) fn json(value: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}

/// An alert without its evidence, which its story has.
pub(super) fn brief(alert: &Alert) -> Alert {
    Alert {
        evidence: Vec::new(),
        ..alert.clone()
    }
}

struct State {
    ring: VecDeque<Row>,
    /// Number of the newest access.
    last: u64,
    flow: Flow,
    running: Option<JoinHandle<()>>,
}

/// Shared by all viewers of one daemon.
pub(super) struct Feed<B> {
    backend: Arc<B>,
    /// Where the page is served, as a peer of accesses.
    own_peer: Option<String>,
    sender: broadcast::Sender<Message>,
    state: Mutex<State>,
}

/// Where a viewer begins.
pub(super) struct Begin {
    pub(super) receiver: broadcast::Receiver<Message>,
    /// What is kept, in order.
    pub(super) past: Vec<Row>,
    /// Number of the newest access.
    pub(super) last: u64,
    /// The map as it is now.
    pub(super) map: Bytes,
}

impl<B: Viewed> Feed<B> {
    pub(super) fn new(backend: Arc<B>, own_peer: Option<String>) -> Self {
        Self {
            backend,
            own_peer,
            sender: broadcast::channel(BEHIND).0,
            state: Mutex::new(State {
                ring: VecDeque::new(),
                last: 0,
                flow: Flow::default(),
                running: None,
            }),
        }
    }

    pub(super) fn backend(&self) -> &Arc<B> {
        &self.backend
    }

    pub(super) fn viewers(&self) -> usize {
        self.sender.receiver_count()
    }

    /// One viewer more.
    pub(super) async fn join(self: &Arc<Self>) -> Begin {
        let mut state = self.state.lock().await;
        let idle = state.running.as_ref().is_none_or(JoinHandle::is_finished);
        if idle {
            // Subscribed first: what comes while the past is asked for is in the channel.
            let accesses = self.backend.subscribe_numbered();
            let alerts = self.backend.subscribe_alerts();
            let recent = self.backend.recent_numbered(RING).await;
            self.take(&mut state, recent);
            state.running = Some(tokio::spawn(Arc::clone(self).run(accesses, alerts)));
        }
        Begin {
            receiver: self.sender.subscribe(),
            past: state.ring.iter().cloned().collect(),
            last: state.last,
            map: json(&state.flow.record()),
        }
    }

    /// Stops, and waits for it.
    pub(super) async fn end(&self) {
        let running = self.state.lock().await.running.take();
        if let Some(task) = running {
            task.abort();
            drop(task.await);
        }
    }

    /// Takes accesses in; those that are known already are left out. Comes with those that are new.
    fn take(&self, state: &mut State, accesses: Vec<Numbered>) -> Vec<Row> {
        let mut new = Vec::new();
        for (number, record) in accesses {
            if number <= state.last {
                continue;
            }
            state.last = number;
            let row = Row {
                own: self.is_own(&record),
                number,
                record,
            };
            if !row.own {
                state.flow.note(&row.record);
            }
            if new.len() < MOST_ROWS {
                new.push(row);
            }
        }
        for row in &new {
            if state.ring.len() == RING {
                state.ring.pop_front();
            }
            state.ring.push_back(row.clone());
        }
        new
    }

    fn is_own(&self, access: &AccessRecord) -> bool {
        let by_process = access
            .server
            .as_ref()
            .is_some_and(|server| server.pid == std::process::id());
        by_process || (access.peer.is_some() && access.peer == self.own_peer)
    }

    async fn run(
        self: Arc<Self>,
        mut accesses: broadcast::Receiver<Numbered>,
        mut alerts: broadcast::Receiver<Arc<Alert>>,
    ) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut alone = 0;
        for count in 1_u64.. {
            tick.tick().await;
            let mut state = self.state.lock().await;
            self.gather(&mut state, &mut accesses);
            self.tell_alerts(&mut alerts);
            if count % (TURN_S * SECOND) == 0 {
                state.flow.turn();
            }
            if self.sender.receiver_count() == 0 {
                alone += 1;
                if alone > LINGER {
                    // Under the lock: whoever joins now starts it again.
                    state.running = None;
                    return;
                }
                continue;
            }
            alone = 0;
            if count % (2 * SECOND) == 1 {
                self.tell("map", json(&state.flow.record()));
            }
            drop(state);
            if count % SECOND == 1 {
                let backend = Arc::clone(&self.backend);
                if let Ok(status) = spawn_blocking(move || backend.status()).await {
                    self.tell("status", json(&status));
                }
            }
        }
    }

    fn tell(&self, event: &'static str, data: Bytes) {
        drop(self.sender.send(Message::Other(event, data)));
    }

    fn gather(&self, state: &mut State, accesses: &mut broadcast::Receiver<Numbered>) {
        let before = state.last;
        let mut found = Vec::new();
        // What comes meanwhile is for the next tick.
        for _ in 0..accesses.len() {
            match accesses.try_recv() {
                Ok(access) => found.push(access),
                // Their numbers tell how many.
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let new = self.take(state, found);
        if state.last == before || self.sender.receiver_count() == 0 {
            return;
        }
        let not_seen = state.last - before - new.len() as u64;
        let shown: Vec<&Row> = new.iter().filter(|row| !row.own).collect();
        let plain = (!shown.is_empty() || not_seen > 0).then(|| rows(&shown, MOST_SENT, not_seen));
        let batch = Batch {
            before,
            last: state.last,
            plain,
            rows: new,
        };
        drop(self.sender.send(Message::Accesses(Arc::new(batch))));
    }

    fn tell_alerts(&self, alerts: &mut broadcast::Receiver<Arc<Alert>>) {
        // Of an alert that changed several times only the last state counts.
        let mut changed: BTreeMap<String, Arc<Alert>> = BTreeMap::new();
        for _ in 0..MOST_ALERTS {
            match alerts.try_recv() {
                Ok(alert) => drop(changed.insert(alert.id.clone(), alert)),
                Err(TryRecvError::Lagged(_)) => self.tell("refresh", Bytes::from_static(b"{}")),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if !changed.is_empty() {
            let all: Vec<Alert> = changed.values().map(|alert| brief(alert)).collect();
            self.tell("alerts", json(&all));
        }
    }
}
