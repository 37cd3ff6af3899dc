//! The thread that contains, and how others reach it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::acts::Acts;
use super::config::{Containment, Mode};
use super::keeper::{Keeper, NotUndone};
use super::record::{ContainmentRecord, ContainmentStatus};
use super::{Sockets, Violation};
use crate::access::Access;
use crate::alert::AlertUpdate;
use crate::confine::{self, Part};
use crate::judge::{Finding, Severity};
use crate::policy::Policy;
use crate::serve::records::Loss;

/// Messages that may wait.
const QUEUE: usize = 256;
/// Violations among them: the rest of the room is for people.
const VIOLATIONS: usize = 192;
/// How often what has had its time is looked for.
const TICK: Duration = Duration::from_millis(250);

/// What is followed.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The configuration.
    pub containment: Arc<Containment>,
    /// Which addresses an environment has.
    pub policy: Arc<Policy>,
    /// Severity of an act's alert.
    pub severity: Severity,
}

impl Rules {
    /// Kinds of finding that some rule follows, as bits.
    fn wanted(&self) -> u64 {
        if self.containment.mode == Mode::Off {
            return 0;
        }
        let kinds = self.containment.rules.iter().flat_map(|rule| &rule.kinds);
        kinds.fold(0, |bits, kind| bits | bit(*kind as u32))
    }
}

fn bit(kind: u32) -> u64 {
    1_u64.checked_shl(kind).unwrap_or(0)
}

enum Message {
    Violation(Box<Violation>),
    Rules(Box<Rules>),
    List(oneshot::Sender<Vec<ContainmentRecord>>),
    Undo(
        String,
        oneshot::Sender<Result<ContainmentRecord, NotUndone>>,
    ),
    End,
}

/// Hands violations over, from the judging thread. Costs one load for a finding that no rule follows.
#[derive(Clone)]
pub struct Trigger {
    to: SyncSender<Message>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    wanted: AtomicU64,
    waiting: AtomicUsize,
    dropped: AtomicU64,
    status: Mutex<ContainmentStatus>,
}

impl std::fmt::Debug for Trigger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trigger")
    }
}

impl Trigger {
    /// A finding on an access that came through these sockets. Never waits; what finds no room is counted.
    pub fn see(&self, finding: Finding, access: &Access, sockets: &Sockets) {
        if self.shared.wanted.load(Ordering::Relaxed) & bit(finding.kind as u32) == 0 {
            return;
        }
        let room = self.shared.waiting.load(Ordering::Relaxed) < VIOLATIONS;
        if room {
            self.shared.waiting.fetch_add(1, Ordering::Relaxed);
            let violation = Box::new(Violation {
                finding,
                access: access.clone(),
                sockets: *sockets,
            });
            if self.to.try_send(Message::Violation(violation)).is_ok() {
                return;
            }
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// A trigger that wants one kind, and what it handed over since it was asked last.
#[cfg(test)]
pub(crate) fn heard(kind: crate::judge::FindingKind) -> (Trigger, impl Fn() -> Vec<Violation>) {
    let (to, from) = sync_channel(QUEUE);
    let shared = Arc::new(Shared::default());
    shared.wanted.store(bit(kind as u32), Ordering::Relaxed);
    let took = move || {
        let violations = from.try_iter().filter_map(|message| match message {
            Message::Violation(violation) => Some(*violation),
            _ => None,
        });
        violations.collect()
    };
    (Trigger { to, shared }, took)
}

/// The running thread.
pub struct Handle {
    trigger: Trigger,
    join: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

/// Starts the thread `bailiwick-act`. `acts` is made in it; `tell` takes alerts and says whether it could.
///
/// # Errors
/// When there is no thread.
pub fn start<A: Acts + Send + 'static>(
    acts: A,
    rules: Rules,
    tell: impl FnMut(AlertUpdate) -> bool + Send + 'static,
) -> std::io::Result<Handle> {
    let (to, from) = sync_channel(QUEUE);
    let shared = Arc::new(Shared::default());
    shared.wanted.store(rules.wanted(), Ordering::Relaxed);
    let keeper = Keeper::new(acts, rules, std::process::id(), tell);
    shared.publish(keeper.status());
    let inner = Arc::clone(&shared);
    let join = std::thread::Builder::new()
        .name("bailiwick-act".to_owned())
        .spawn(move || {
            confine::enter(Part::Act, &[]);
            run(keeper, &from, &inner);
        })?;
    Ok(Handle {
        trigger: Trigger { to, shared },
        join: Mutex::new(Some(join)),
    })
}

fn run<A: Acts>(mut keeper: Keeper<A>, from: &Receiver<Message>, shared: &Shared) {
    loop {
        match from.recv_timeout(TICK) {
            Ok(Message::Violation(violation)) => {
                shared.waiting.fetch_sub(1, Ordering::Relaxed);
                keeper.violation(&violation);
            }
            Ok(Message::Rules(rules)) => {
                shared.wanted.store(rules.wanted(), Ordering::Relaxed);
                keeper.replace(*rules);
            }
            Ok(Message::List(answer)) => {
                keeper.expire();
                let _ = answer.send(keeper.list());
            }
            Ok(Message::Undo(id, answer)) => {
                let _ = answer.send(keeper.undo(&id));
            }
            Err(RecvTimeoutError::Timeout) => keeper.expire(),
            Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => {
                keeper.finish();
                shared.publish(keeper.status());
                return;
            }
        }
        shared.publish(keeper.status());
    }
}

impl Shared {
    fn publish(&self, status: ContainmentStatus) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

impl Handle {
    /// For the judging thread.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        self.trigger.clone()
    }

    /// Counters.
    #[must_use]
    pub fn status(&self) -> ContainmentStatus {
        let shared = &self.trigger.shared;
        let mut status = shared
            .status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let dropped = shared.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            status.declined.push(Loss {
                cause: "dropped".to_owned(),
                count: dropped,
                unit: "violations".to_owned(),
            });
        }
        status
    }

    /// Follows other rules from now on; whether the thread could be told.
    #[must_use]
    pub fn replace(&self, rules: Rules) -> bool {
        self.trigger
            .to
            .try_send(Message::Rules(Box::new(rules)))
            .is_ok()
    }

    /// All acts remembered, oldest first; `None` when the thread is too busy, or gone.
    pub async fn list(&self) -> Option<Vec<ContainmentRecord>> {
        let (answer, answered) = oneshot::channel();
        self.trigger.to.try_send(Message::List(answer)).ok()?;
        answered.await.ok()
    }

    /// Undoes an act; `None` as for [`Self::list`].
    pub async fn undo(&self, id: String) -> Option<Result<ContainmentRecord, NotUndone>> {
        let (answer, answered) = oneshot::channel();
        self.trigger.to.try_send(Message::Undo(id, answer)).ok()?;
        answered.await.ok()
    }

    /// Ends the thread and what ends with it. Waits for it.
    pub fn end(&self) {
        let join = self
            .join
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(join) = join {
            // It takes what waits first; a send can only fail when it is gone.
            let _ = self.trigger.to.send(Message::End);
            let _ = join.join();
        }
    }
}
