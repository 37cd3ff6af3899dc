//! What must survive: one redb database, `state.redb` in the state directory.
//!
//! Every write is one transaction that is on disk (fsync) when the call returns. All calls block:
//! use them off the async threads. A store that cannot be written to (full disk, I/O error) says
//! so and tries again at the next call; a corrupt one is renamed to `state.redb.corrupt-TIME` and
//! a fresh one begun, at the start and while running.

mod alerts;
mod error;
mod evict;
mod files;
mod look;
mod meta;
mod open;
mod outbox;
mod peek;
mod query;
mod settle;
mod tables;

#[cfg(test)]
mod corruption_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod mark_tests;
#[cfg(test)]
pub(crate) mod sim;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};

pub use alerts::{AppliedBatch, Batch, Route};
pub use error::StoreError;
pub use look::{Lookup, Undelivered};
pub use meta::MAX_META;
pub use outbox::{DeadLetter, Message, Queued};
pub use peek::peek_meta;
pub use query::AlertQuery;
pub(crate) use settle::{Change, Outcome, Verdict, disabled_key};

use error::{Fault, classify};
use files::{Files, OnDisk};
use tables::Totals;

/// Bounds of what is kept.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Most alerts.
    pub max_alerts: u64,
    /// Most bytes of alerts.
    pub max_alert_bytes: u64,
    /// Alerts and dead letters not touched for this long go.
    pub max_age: Duration,
    /// Most messages that wait for one endpoint; beyond, the least severe oldest becomes a dead
    /// letter.
    pub max_queued: u64,
    /// Most dead letters of one endpoint; beyond, the oldest is dropped and counted.
    pub max_dead: u64,
    /// An alert seen again within this time is the same alert.
    pub fold_window: Duration,
    /// Memory for cached pages.
    pub cache_bytes: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            max_alerts: 100_000,
            max_alert_bytes: 256 << 20,
            max_age: Duration::from_secs(90 * 86_400),
            max_queued: 10_000,
            max_dead: 10_000,
            fold_window: Duration::from_secs(86_400),
            cache_bytes: 4 << 20,
        }
    }
}

/// How the store is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct StoreStatus {
    /// Whether the last call could use it.
    pub healthy: bool,
    /// Calls that failed, since the start.
    pub errors: u64,
    /// The last failure, while unhealthy.
    pub last_error: Option<String>,
    /// Where the last corrupt store was set aside to, since the start.
    pub set_aside: Option<String>,
    /// Alerts kept.
    pub alerts: u64,
    /// Their bytes.
    pub alert_bytes: u64,
    /// Alerts that went for age or room, since the start.
    pub evicted: u64,
    /// Messages that wait, of all endpoints.
    pub queued: u64,
    /// Dead letters, of all endpoints.
    pub dead: u64,
    /// Dead letters dropped for age or room, since the start.
    pub dropped: u64,
}

/// The database. Cheap to clone: all clones are the same store.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    options: StoreOptions,
    files: Box<dyn Files>,
    /// Readers share it; only (re)opening takes it whole.
    db: RwLock<Option<Database>>,
    /// Held by whoever writes or (re)opens: one at a time, perhaps for as long as a disk hangs.
    writer: Mutex<()>,
    /// As of the last commit; held for moments only.
    totals: Mutex<Totals>,
    /// Times in a row that the open database turned out corrupt.
    suspect: AtomicU32,
    /// An fsync failed: what the file reads like may not be what is on the disk.
    unsynced: Arc<AtomicBool>,
    /// Counts (re)openings: what was remembered of the content may be stale after one.
    generation: AtomicU64,
    errors: AtomicU64,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    last_error: Option<String>,
    set_aside: Option<PathBuf>,
    closed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens or creates `state.redb` in `directory`, which is created (0700) when missing.
    ///
    /// A corrupt store is set aside. With a full disk or a failing one the store opens in a state
    /// in which every call fails until one succeeds: nothing here stops the daemon.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it, [`StoreError::Directory`] when the
    /// directory cannot be had or written to.
    pub fn open(directory: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        files::prepare_directory(directory)?;
        Self::open_with(directory.join("state.redb"), options, Box::new(OnDisk))
    }

    /// A store on a disk that fails on demand.
    #[cfg(test)]
    pub(crate) fn on(disk: &sim::Disk) -> Self {
        let opened = Self::open_with(
            PathBuf::from("/state.redb"),
            StoreOptions::default(),
            Box::new(disk.clone()),
        );
        opened.unwrap_or_else(|error| panic!("{error}"))
    }

    fn open_with(
        path: PathBuf,
        options: StoreOptions,
        files: Box<dyn Files>,
    ) -> Result<Self, StoreError> {
        let store = Self(Arc::new(Inner {
            path,
            options,
            files,
            db: RwLock::new(None),
            writer: Mutex::new(()),
            totals: Mutex::new(Totals::default()),
            suspect: AtomicU32::new(0),
            unsynced: Arc::new(AtomicBool::new(false)),
            generation: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            health: Mutex::new(Health::default()),
        }));
        let opened = store.ensure_open(&lock(&store.0.writer));
        match opened {
            Ok(()) => Ok(store),
            Err(error @ (StoreError::Locked { .. } | StoreError::Directory { .. })) => Err(error),
            Err(error) => {
                store.failed(&error);
                Ok(store)
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Its bounds.
    #[must_use]
    pub fn options(&self) -> &StoreOptions {
        &self.0.options
    }

    /// Grows whenever the file was (re)opened: queues remembered from before must be read again.
    pub(crate) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::SeqCst)
    }

    /// Whether it works, and what it holds.
    #[must_use]
    pub fn status(&self) -> StoreStatus {
        let mut status = lock(&self.0.totals).status();
        let health = lock(&self.0.health);
        status.errors = self.0.errors.load(Ordering::Relaxed);
        status.healthy = health.last_error.is_none() && !health.closed;
        status.last_error.clone_from(&health.last_error);
        status.set_aside = health
            .set_aside
            .as_ref()
            .map(|path| path.display().to_string());
        status
    }

    /// Messages and dead letters of each endpoint.
    pub(crate) fn endpoint_totals(&self) -> BTreeMap<String, tables::EndpointTotals> {
        lock(&self.0.totals).endpoints.clone()
    }

    /// Closes the file in good order. Later calls fail.
    pub fn close(&self) {
        let _writer = lock(&self.0.writer);
        lock(&self.0.health).closed = true;
        self.drop_database();
    }

    /// One durable transaction. `body` may run again in a later call, never twice in this one;
    /// the totals it leaves are kept only when it is committed.
    fn write<T>(
        &self,
        body: impl FnOnce(&WriteTransaction, &mut Totals) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let writer = lock(&self.0.writer);
        self.check_closed()?;
        if let Err(error) = self.ensure_open(&writer) {
            self.failed(&error);
            return Err(error);
        }
        let mut totals = lock(&self.0.totals).clone();
        let result = self.with_database(|db| {
            let txn = db.begin_write()?;
            let value = body(&txn, &mut totals)?;
            txn.commit()?;
            Ok(value)
        });
        match result {
            Ok(value) => {
                *lock(&self.0.totals) = totals;
                self.succeeded();
                Ok(value)
            }
            Err(fault) => Err(self.broken(fault, &writer)),
        }
    }

    /// One consistent view.
    fn read<T>(
        &self,
        body: impl FnOnce(&ReadTransaction) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.check_closed()?;
        if self
            .0
            .db
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
        {
            let writer = lock(&self.0.writer);
            if let Err(error) = self.ensure_open(&writer) {
                self.failed(&error);
                return Err(error);
            }
        }
        let result = self.with_database(|db| {
            let txn = db.begin_read()?;
            body(&txn)
        });
        result.map_err(|fault| self.broken(fault, &lock(&self.0.writer)))
    }

    /// Runs `body` on the open database; a panic inside (redb asserts what no good file breaks)
    /// is a fault like another.
    fn with_database<T>(
        &self,
        body: impl FnOnce(&Database) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let db = self.0.db.read().unwrap_or_else(PoisonError::into_inner);
        let Some(db) = db.as_ref() else {
            return Err(Fault::closed());
        };
        catch_unwind(AssertUnwindSafe(|| body(db)))
            .unwrap_or_else(|panic| Err(Fault::panic(&*panic)))
    }

    /// After a fault the database is closed: redb refuses to go on after an I/O error, and what
    /// is corrupt is looked at anew by the next opening.
    fn broken(&self, fault: Fault, _writer: &MutexGuard<'_, ()>) -> StoreError {
        if let Fault::Corrupt(_) = fault {
            self.0.suspect.fetch_add(1, Ordering::SeqCst);
        }
        if !matches!(fault, Fault::Refused(_)) {
            self.drop_database();
        }
        let error = classify(&self.0.path, fault);
        self.failed(&error);
        error
    }

    fn drop_database(&self) {
        let db = self
            .0
            .db
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // Closing writes too, and may assert on what is broken.
        let _ = catch_unwind(AssertUnwindSafe(move || drop(db)));
    }

    fn check_closed(&self) -> Result<(), StoreError> {
        if lock(&self.0.health).closed {
            return Err(classify(&self.0.path, Fault::closed()));
        }
        Ok(())
    }

    fn failed(&self, error: &StoreError) {
        if matches!(error, StoreError::Refused(_)) {
            return;
        }
        self.0.errors.fetch_add(1, Ordering::Relaxed);
        let text = error.to_string();
        let mut health = lock(&self.0.health);
        if health.last_error.as_ref() != Some(&text) {
            tracing::error!(store = %self.0.path.display(), "{text}");
            health.last_error = Some(text);
        }
    }

    fn succeeded(&self) {
        self.0.suspect.store(0, Ordering::SeqCst);
        let mut health = lock(&self.0.health);
        if health.last_error.take().is_some() {
            tracing::warn!(store = %self.0.path.display(), "the store works again");
        }
    }
}

/// Which alerts crowd each other out: kind and whether policy names the identity.
pub(crate) fn class_of(kind: crate::judge::FindingKind, named: bool) -> u8 {
    // It fits: `tables::CLASSES` is checked.
    (kind as u8) * 2 + u8::from(named)
}
