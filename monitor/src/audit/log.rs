//! Entries on their way into the log: a bounded queue, and the thread that writes.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::disk::Disk;
use super::entry::{Entry, to_json};
use super::writer::Writer;
use crate::access::record::rfc3339;
use crate::alert::Clock;
use crate::confine::{self, Part};

/// Entries that may wait.
pub const QUEUE: usize = 16 * 1024;
/// Bytes of theirs.
const QUEUE_BYTES: usize = 8 << 20;
/// How long entries are gathered before they are written: the age of a checkpoint is at most this and the time of
/// the writing.
const GATHER: Duration = Duration::from_millis(200);
/// Entries of one commit, and their bytes, before it waits no longer.
const COMMIT: usize = 4096;
const COMMIT_BYTES: usize = 2 << 20;
/// Wait before a commit that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often it is written down that the daemon is alive.
const ALIVE: Duration = Duration::from_secs(30);

/// How the log stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditStatus {
    /// Entries in it, signed.
    pub entries: u64,
    /// Entries that wait.
    pub waiting: u64,
    /// Entries for which there was no room.
    pub dropped: u64,
    /// Why nothing can be written now.
    pub error: Option<String>,
}

enum Message {
    Entry(Vec<u8>),
    /// Told once everything before it is on the disk.
    Flush(SyncSender<()>),
    End,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    bytes: AtomicUsize,
    ending: AtomicBool,
    dropped: AtomicU64,
    entries: AtomicU64,
    /// The newest checkpoint.
    newest: RwLock<Option<Arc<str>>>,
    error: Mutex<Option<String>>,
    join: Mutex<Option<JoinHandle<()>>>,
}

/// Adds entries to the log. Clones add to the same one.
#[derive(Clone)]
pub struct Log {
    to: SyncSender<Message>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("shared", &self.shared).finish()
    }
}

/// Told each new checkpoint, and now and then the newest again.
pub type Remember = dyn FnMut(&str) + Send;

impl Log {
    /// Starts the thread `bailiwick-log`.
    ///
    /// # Errors
    /// There is no thread.
    pub fn start<D: Disk + 'static>(
        writer: Writer<D>,
        clock: Arc<dyn Clock>,
        remember: Box<Remember>,
    ) -> std::io::Result<Self> {
        let (to, from) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let mut thread = Thread {
            writer,
            shared: Arc::clone(&shared),
            clock: Arc::clone(&clock),
            told: 0,
            remember,
            remembered: Instant::now(),
            failing: false,
            flushes: Vec::new(),
        };
        thread.publish();
        let join = std::thread::Builder::new()
            .name("bailiwick-log".to_owned())
            .spawn(move || {
                confine::enter(Part::AuditLog, &[]);
                thread.run(&from);
            })?;
        *lock(&shared.join) = Some(join);
        Ok(Self { to, shared, clock })
    }

    /// Adds an entry. Never waits: what finds no room is counted, and the log says so once there is some.
    pub fn append(&self, entry: Entry) {
        let bytes = to_json(entry, rfc3339(self.clock.now_us()));
        let length = bytes.len();
        let shared = &self.shared;
        let before = shared.bytes.fetch_add(length, Ordering::Relaxed);
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        let room = before.saturating_add(length) <= QUEUE_BYTES;
        let sent = room && self.to.try_send(Message::Entry(bytes)).is_ok();
        if !sent {
            shared.taken(1, length);
            shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was added before is signed and on the disk, at most so long; whether it is.
    #[must_use]
    pub fn flush(&self, patience: Duration) -> bool {
        let (done, told) = sync_channel(1);
        self.to.try_send(Message::Flush(done)).is_ok() && told.recv_timeout(patience).is_ok()
    }

    /// The newest checkpoint, a signed note.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Arc<str>> {
        let newest = self.shared.newest.read();
        newest.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counters.
    #[must_use]
    pub fn status(&self) -> AuditStatus {
        let shared = &self.shared;
        AuditStatus {
            entries: shared.entries.load(Ordering::Relaxed),
            waiting: shared.waiting.load(Ordering::Relaxed) as u64,
            dropped: shared.dropped.load(Ordering::Relaxed),
            error: lock(&shared.error).clone(),
        }
    }

    /// Writes what waits and ends the thread; blocks until then. What is added later is dropped.
    pub fn close(&self) {
        let join = lock(&self.shared.join).take();
        if let Some(join) = join {
            self.shared.ending.store(true, Ordering::Relaxed);
            // With a full queue the thread needs no waking.
            let _ = self.to.try_send(Message::End);
            let _ = join.join();
        }
    }
}

impl Shared {
    fn taken(&self, entries: usize, bytes: usize) {
        self.waiting.fetch_sub(entries, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Thread<D> {
    writer: Writer<D>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    /// Dropped entries that the log tells of.
    told: u64,
    remember: Box<Remember>,
    remembered: Instant,
    failing: bool,
    /// Who waits for the next commit.
    flushes: Vec<SyncSender<()>>,
}

impl<D: Disk> Thread<D> {
    fn run(&mut self, from: &Receiver<Message>) {
        // What was pushed before the start.
        self.commit();
        loop {
            let pending = self.writer.pending().0;
            let mut ending = self.shared.ending.load(Ordering::Relaxed);
            if pending >= COMMIT && !ending {
                // The disk fails, and takes nothing more: what the queue has no room for is counted.
                std::thread::sleep(RETRY);
            } else {
                ending |= match from.recv_timeout(if pending > 0 { RETRY } else { ALIVE }) {
                    Ok(message) => self.gather(message, from),
                    Err(RecvTimeoutError::Timeout) => false,
                    Err(RecvTimeoutError::Disconnected) => true,
                };
            }
            if ending {
                return self.finish(from);
            }
            self.tell_dropped();
            self.commit();
            if self.remembered.elapsed() >= ALIVE {
                self.remember();
            }
        }
    }

    /// Writes what is there. A disk that fails keeps the daemon from ending for a moment only.
    fn finish(&mut self, from: &Receiver<Message>) {
        for message in from.try_iter() {
            if let Message::Entry(bytes) = message {
                self.push(bytes);
            }
        }
        self.tell_dropped();
        if !self.commit() {
            std::thread::sleep(RETRY);
            if !self.commit() {
                let entries = self.writer.pending().0;
                tracing::error!(entries, "entries of the audit log are lost");
            }
        }
    }

    /// Takes what comes until it is time to write; whether the end was among it.
    fn gather(&mut self, first: Message, from: &Receiver<Message>) -> bool {
        let until = Instant::now() + GATHER;
        let mut message = first;
        loop {
            match message {
                Message::Entry(bytes) => self.push(bytes),
                Message::Flush(done) => {
                    self.flushes.push(done);
                    return false;
                }
                Message::End => return true,
            }
            let (count, bytes) = self.writer.pending();
            if count >= COMMIT || bytes >= COMMIT_BYTES {
                return false;
            }
            let wait = until.saturating_duration_since(Instant::now());
            message = match from.recv_timeout(wait) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => return true,
            };
        }
    }

    fn push(&mut self, bytes: Vec<u8>) {
        self.shared.taken(1, bytes.len());
        if !self.writer.push(bytes) {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn tell_dropped(&mut self) {
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        let count = dropped - self.told;
        if count > 0 {
            let entry = Entry::Loss {
                cause: "audit".to_owned(),
                count,
                unit: "entries".to_owned(),
            };
            if self
                .writer
                .push(to_json(entry, rfc3339(self.clock.now_us())))
            {
                self.told = dropped;
            }
        }
    }

    /// Whether everything is on the disk.
    fn commit(&mut self) -> bool {
        let before = self.writer.size();
        match self.writer.commit() {
            Ok(()) => {
                if self.failing {
                    tracing::info!("the audit log is written again");
                    self.failing = false;
                }
                *lock(&self.shared.error) = None;
                if self.writer.size() != before {
                    self.publish();
                    self.remember();
                }
                for done in self.flushes.drain(..) {
                    // It may not wait any more.
                    let _ = done.try_send(());
                }
                true
            }
            Err(error) => {
                if !self.failing {
                    tracing::error!(%error, "the audit log cannot be written: it is tried again each second");
                    self.failing = true;
                }
                *lock(&self.shared.error) = Some(error.to_string());
                false
            }
        }
    }

    fn publish(&self) {
        let checkpoint = self.writer.checkpoint();
        if !checkpoint.is_empty() {
            let mut newest = self
                .shared
                .newest
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            *newest = Some(checkpoint.into());
        }
        self.shared
            .entries
            .store(self.writer.size(), Ordering::Relaxed);
    }

    fn remember(&mut self) {
        (self.remember)(self.writer.checkpoint());
        self.remembered = Instant::now();
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
