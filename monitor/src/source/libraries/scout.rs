//! The finder's thread: it is told of processes and hands out plans.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use super::super::Wish;
use super::finder::{Finder, FinderCounters, Plan};
use crate::confine::{self, Part};

/// Processes that wait to be looked at, and plans that wait to be taken.
const WAITING: usize = 4096;
/// When a process is looked at after it replaced its image: at once for what is linked statically, soon
/// for its libraries, later for those that it loads itself.
const LOOKS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(5),
    Duration::from_millis(100),
    Duration::from_secs(1),
];

/// What the thread is told.
#[derive(Clone, Copy, Debug)]
enum Request {
    /// A process has a new image.
    Exec(u32),
    /// How a process' connections without keys are to be read.
    Fallback(u32, Wish),
}

/// What the thread hands out.
#[derive(Debug)]
pub enum Found {
    /// A file to probe.
    Plan(Plan),
    /// Which fallback probes a process is to have; what it has mapped was looked at.
    Fallback(u32, Wish),
}

/// Tells the thread of processes. Cheap, never waits.
#[derive(Clone, Debug)]
pub struct Requests {
    requests: SyncSender<Request>,
    dropped: Arc<AtomicU64>,
}

impl Requests {
    /// A process has replaced its image.
    pub fn exec(&self, pid: u32) {
        self.send(Request::Exec(pid));
    }

    /// A process has connections that are not read for want of keys, or has none any more. False when too
    /// much waits: ask again.
    #[must_use]
    pub fn fallback(&self, pid: u32, wish: Wish) -> bool {
        self.send(Request::Fallback(pid, wish))
    }

    fn send(&self, request: Request) -> bool {
        match self.requests.try_send(request) {
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                false
            }
            _ => true,
        }
    }

    /// Requests that were not taken because too many waited.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The running thread. It ends once every [`Requests`] is gone, or this is.
#[derive(Debug)]
pub struct Scout {
    /// What was found. The thread waits while too much lies here.
    pub found: Receiver<Found>,
    /// What the finder did, as of its last look.
    pub counters: Arc<std::sync::Mutex<FinderCounters>>,
    /// To wait for its end.
    pub thread: JoinHandle<()>,
}

impl Scout {
    /// Starts it, with a finder that has looked at the whole host ([`Finder::start`]).
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(finder: Finder) -> io::Result<(Requests, Self)> {
        let (told, requests) = sync_channel(WAITING);
        let (sender, found) = sync_channel(64);
        let counters = Arc::new(std::sync::Mutex::new(FinderCounters::default()));
        let shown = Arc::clone(&counters);
        let thread = thread::Builder::new()
            .name("scout".to_owned())
            .spawn(move || {
                confine::enter(Part::Search, &[]);
                run(finder, &requests, &sender, &shown);
            })?;
        let requests = Requests {
            requests: told,
            dropped: Arc::new(AtomicU64::new(0)),
        };
        let scout = Self {
            found,
            counters,
            thread,
        };
        Ok((requests, scout))
    }
}

fn run(
    mut finder: Finder,
    requests: &Receiver<Request>,
    out: &SyncSender<Found>,
    shown: &std::sync::Mutex<FinderCounters>,
) {
    let begin = Instant::now();
    // One queue for each delay: each is in order of time by itself.
    let mut queues = LOOKS.map(|delay| (delay, VecDeque::new()));
    let mut found = Vec::new();
    loop {
        for found in found.drain(..) {
            if out.send(found).is_err() {
                return;
            }
        }
        if let Ok(mut shown) = shown.lock() {
            *shown = finder.counters();
        }
        match requests.recv_timeout(until_next(&queues, begin.elapsed())) {
            Ok(request) => take(
                &mut finder,
                &mut queues,
                request,
                begin.elapsed(),
                &mut found,
            ),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while let Ok(request) = requests.try_recv() {
            take(
                &mut finder,
                &mut queues,
                request,
                begin.elapsed(),
                &mut found,
            );
            if is_full(&queues) {
                break;
            }
        }
        for pid in due(&mut queues, begin.elapsed()) {
            let plans = finder.process(pid, begin.elapsed());
            found.extend(plans.into_iter().map(Found::Plan));
        }
    }
}

type Queues = [(Duration, VecDeque<(Duration, u32)>); LOOKS.len()];

fn take(
    finder: &mut Finder,
    queues: &mut Queues,
    request: Request,
    now: Duration,
    found: &mut Vec<Found>,
) {
    match request {
        Request::Exec(pid) => enqueue(queues, pid, now),
        Request::Fallback(pid, wish) => {
            if wish != Wish::Nothing {
                found.extend(finder.process(pid, now).into_iter().map(Found::Plan));
            }
            found.push(Found::Fallback(pid, wish));
        }
    }
}

/// A queue that is full forgets its oldest: its process was looked at before.
fn enqueue(queues: &mut Queues, pid: u32, now: Duration) {
    for (delay, queue) in queues {
        if queue.len() >= WAITING {
            queue.pop_front();
        }
        queue.push_back((now + *delay, pid));
    }
}

fn is_full(queues: &Queues) -> bool {
    queues.iter().any(|(_, queue)| queue.len() >= WAITING)
}

fn until_next(queues: &Queues, now: Duration) -> Duration {
    let next = queues
        .iter()
        .filter_map(|(_, queue)| queue.front().map(|(at, _)| *at))
        .min();
    next.map_or(Duration::from_secs(3600), |at| at.saturating_sub(now))
}

/// Processes whose time has come, each once.
fn due(queues: &mut Queues, now: Duration) -> Vec<u32> {
    let mut pids = Vec::new();
    for (_, queue) in queues {
        while let Some((_, pid)) = queue.front().copied().filter(|(at, _)| *at <= now) {
            queue.pop_front();
            if pids.last() != Some(&pid) {
                pids.push(pid);
            }
        }
    }
    pids
}
