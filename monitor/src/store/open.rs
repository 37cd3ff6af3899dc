//! Opening: check, set aside what is corrupt, begin afresh.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use redb::{Builder, Database};

use super::error::{Fault, classify};
use super::files::Boxed;
use super::tables::{self, Totals};
use super::{Store, StoreError, lock};

/// Attempts to open a file that cannot be read before it counts as lost.
const READ_ATTEMPTS: u32 = 3;
/// Corruption found this often in a row while running, though the check at opening found none.
const SUSPECT: u32 = 2;

impl Store {
    /// Opens the database unless it is open, and brings the totals up to date.
    pub(super) fn ensure_open(&self, _writer: &MutexGuard<'_, ()>) -> Result<(), StoreError> {
        if self
            .0
            .db
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
        {
            return Ok(());
        }
        let path = self.0.path.as_path();
        if self.0.suspect.load(Ordering::SeqCst) >= SUSPECT {
            self.set_aside("it was found corrupt again after it passed its check")?;
        }
        let before = lock(&self.0.totals).clone();
        let mut unreadable = 0;
        let (db, content) = loop {
            let exists = self
                .0
                .files
                .has_content(path)
                .map_err(|error| directory_error(path, error))?;
            if !exists {
                break self.create(&before)?;
            }
            // After a failed fsync the kernel may call pages clean that never reached the disk: a
            // later fsync would not write them. A copy has none of those.
            if self.0.unsynced.load(Ordering::SeqCst) {
                self.0
                    .files
                    .renew(path)
                    .map_err(|error| classify(path, Fault::Io(error)))?;
                self.0.unsynced.store(false, Ordering::SeqCst);
            }
            let (result, read_failed) = self.open_file(path, &before);
            match result {
                Ok(opened) => break opened,
                Err(fault) if fault.is_corrupt_at_open() => self.set_aside(&describe(&fault))?,
                Err(fault @ Fault::Io(_)) if read_failed => {
                    unreadable += 1;
                    if unreadable == READ_ATTEMPTS {
                        self.set_aside(&describe(&fault))?;
                    }
                }
                Err(fault) => return Err(classify(path, fault)),
            }
        };
        *lock(&self.0.totals) = content;
        *self.0.db.write().unwrap_or_else(PoisonError::into_inner) = Some(db);
        self.0.generation.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// A fresh database, built beside and renamed when it is whole.
    fn create(&self, totals: &Totals) -> Result<(Database, Totals), StoreError> {
        let path = self.0.path.as_path();
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = path.with_file_name(name);
        let files = &self.0.files;
        files
            .remove(&new)
            .map_err(|error| directory_error(&new, error))?;
        let created = match self.open_file(&new, totals).0 {
            Ok(created) => created,
            Err(fault) => {
                // Leaves no half a database behind, above all on a full disk.
                let _ = files.remove(&new);
                return Err(classify(&new, fault));
            }
        };
        if let Err(error) = files.rename(&new, path) {
            let _ = catch_unwind(AssertUnwindSafe(move || drop(created)));
            let _ = files.remove(&new);
            return Err(classify(path, Fault::Io(error)));
        }
        Ok(created)
    }

    fn open_file(&self, path: &Path, totals: &Totals) -> (Result<(Database, Totals), Fault>, bool) {
        let backend = match self.0.files.open(path) {
            Ok(backend) => backend,
            Err(error) => return (Err(Fault::Io(error)), false),
        };
        let read_failed = Arc::new(AtomicBool::new(false));
        let backend = Boxed {
            inner: backend,
            read_failed: Arc::clone(&read_failed),
            sync_failed: Arc::clone(&self.0.unsynced),
        };
        let result = catch_unwind(AssertUnwindSafe(|| {
            let db = Builder::new()
                .set_cache_size(self.0.options.cache_bytes)
                .set_check_integrity_on_open(true)
                .create_with_backend(backend)?;
            let totals = tables::load(&db, totals)?;
            Ok((db, totals))
        }));
        let result = result.unwrap_or_else(|panic| Err(Fault::panic(&*panic)));
        (result, read_failed.load(Ordering::SeqCst))
    }

    fn set_aside(&self, cause: &str) -> Result<(), StoreError> {
        let path = self.0.path.as_path();
        let aside = self
            .0
            .files
            .set_aside(path)
            .map_err(|error| classify(path, Fault::Io(error)))?;
        tracing::error!(
            store = %path.display(),
            aside = %aside.display(),
            cause,
            "THE STORE IS CORRUPT. It was set aside and a fresh one begun: alerts that waited for \
             delivery are in the file set aside only"
        );
        self.0.suspect.store(0, Ordering::SeqCst);
        lock(&self.0.health).set_aside = Some(aside);
        Ok(())
    }
}

fn describe(fault: &Fault) -> String {
    match fault {
        Fault::Io(error) => error.to_string(),
        Fault::Corrupt(cause) | Fault::Closed(cause) | Fault::Refused(cause) => cause.clone(),
        Fault::Locked => "open elsewhere".to_owned(),
    }
}

fn directory_error(path: &Path, error: std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::Directory {
                path: path.to_owned(),
                error,
                hint: "the daemon's user must be able to write to state_dir",
            }
        }
        _ => classify(path, Fault::Io(error)),
    }
}
