//! The finder's thread: it is told of processes and hands out plans.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use super::finder::{Finder, FinderCounters, Plan};

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

/// Tells the thread of processes. Cheap, never waits.
#[derive(Clone, Debug)]
pub struct Requests {
    pids: SyncSender<u32>,
    dropped: Arc<AtomicU64>,
}

impl Requests {
    /// A process has replaced its image.
    pub fn exec(&self, pid: u32) {
        if let Err(TrySendError::Full(_)) = self.pids.try_send(pid) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Processes that were not told of because too many waited.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The running thread. It ends once every [`Requests`] is gone, or this is.
#[derive(Debug)]
pub struct Scout {
    /// Plans as they are found. The thread waits while too many lie here.
    pub plans: Receiver<Plan>,
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
        let (pids, requests) = sync_channel(WAITING);
        let (sender, plans) = sync_channel(64);
        let counters = Arc::new(std::sync::Mutex::new(FinderCounters::default()));
        let shown = Arc::clone(&counters);
        let thread = thread::Builder::new()
            .name("scout".to_owned())
            .spawn(move || run(finder, &requests, &sender, &shown))?;
        let requests = Requests {
            pids,
            dropped: Arc::new(AtomicU64::new(0)),
        };
        let scout = Self {
            plans,
            counters,
            thread,
        };
        Ok((requests, scout))
    }
}

fn run(
    mut finder: Finder,
    requests: &Receiver<u32>,
    plans: &SyncSender<Plan>,
    shown: &std::sync::Mutex<FinderCounters>,
) {
    let begin = Instant::now();
    // One queue for each delay: each is in order of time by itself.
    let mut queues = LOOKS.map(|delay| (delay, VecDeque::new()));
    let mut found = Vec::new();
    loop {
        for plan in found.drain(..) {
            if plans.send(plan).is_err() {
                return;
            }
        }
        if let Ok(mut shown) = shown.lock() {
            *shown = finder.counters();
        }
        match requests.recv_timeout(until_next(&queues, begin.elapsed())) {
            Ok(pid) => enqueue(&mut queues, pid, begin.elapsed()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while let Ok(pid) = requests.try_recv() {
            enqueue(&mut queues, pid, begin.elapsed());
            if is_full(&queues) {
                break;
            }
        }
        for pid in due(&mut queues, begin.elapsed()) {
            found.extend(finder.process(pid, begin.elapsed()));
        }
    }
}

type Queues = [(Duration, VecDeque<(Duration, u32)>); LOOKS.len()];

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
