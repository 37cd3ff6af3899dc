//! How a log is begun, gone on with, closed for another one, or set aside because it is not what it was.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk as _, Files as _, OwnDirectory};
use super::entry::{Entry, Written, to_json};
use super::key::{KeyError, KeyStore, Known};
use super::note::{Checkpoint, SigningKey};
use super::read::Reader;
use super::tile::CHECKPOINT;
use super::writer::{Refused, Writer};
use super::{Audit, PUBLIC_KEY};

/// Where a log is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where its key is.
    pub state_dir: PathBuf,
    /// Its directory.
    pub directory: PathBuf,
    /// Group that may read it.
    pub group: Option<u32>,
    /// Name of this host, for the log's.
    pub host: String,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Its directory.
    #[error(
        "audit log: cannot use {}: {error}\nhint: [audit] directory must be one that the daemon may write to, and group one \
         that it is in",
        path.display()
    )]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Its key.
    #[error("audit log: {0}")]
    Key(#[from] KeyError),
    /// Its group.
    #[error(
        "audit log: there is no group {0:?}\nhint: [audit] group is a name of /etc/group, or a number"
    )]
    Group(String),
}

impl AuditError {
    /// sysexits code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Directory { error, .. } | Self::Key(KeyError::File { error, .. })
                if error.kind() == io::ErrorKind::PermissionDenied =>
            {
                77
            }
            Self::Group(_) => 78,
            _ => 69,
        }
    }
}

/// The directory of a log, as configured.
#[must_use]
pub fn directory(audit: &Audit, state_dir: &Path) -> PathBuf {
    audit
        .directory
        .clone()
        .unwrap_or_else(|| state_dir.join("audit"))
}

/// A log that can be added to.
#[derive(Debug)]
pub struct Begun {
    /// It. The entries that tell of its beginning are pending.
    pub writer: Writer<OwnDirectory>,
    /// Where its newest checkpoint is remembered.
    pub store: KeyStore,
    /// Its newest entry; `None` for a new log.
    pub last: Option<Written>,
    /// When the daemon before was last known to be alive, microseconds since 1970.
    pub alive_us: Option<i64>,
}

impl Place {
    fn disk(&self, directory: &Path) -> Result<OwnDirectory, AuditError> {
        OwnDirectory::open(directory, self.group).map_err(|error| failed(directory, error))
    }

    /// Opens the log, or begins one. `now` is the time, RFC 3339.
    ///
    /// # Errors
    /// Directory or key cannot be used.
    pub fn begin(&self, now: &str) -> Result<Begun, AuditError> {
        let store = KeyStore::new(&self.state_dir);
        let known = store.known();
        let elsewhere = known
            .as_ref()
            .is_some_and(|known| known.directory != self.directory);
        let (writer, opened) = match (store.key()?, known) {
            (Some(key), Some(known)) if elsewhere => self.move_on(&store, key, &known, now)?,
            (Some(key), known) => self.go_on(&store, key, known, now)?,
            (None, _) => self.found_first(&store, now)?,
        };
        self.finish(store, writer, opened, now)
    }

    fn finish(
        &self,
        store: KeyStore,
        mut writer: Writer<OwnDirectory>,
        opened: Option<Entry>,
        now: &str,
    ) -> Result<Begun, AuditError> {
        let last = writer
            .size()
            .checked_sub(1)
            .and_then(|index| {
                let reader = Reader::new(writer.disk(), writer.size());
                reader.entry(index).ok().flatten()
            })
            .and_then(|entry| serde_json::from_slice(&entry).ok());
        if let Some(opened) = opened {
            // An entry is far shorter than what fits.
            let _ = writer.push(to_json(opened, now.to_owned()));
        }
        let public = format!("{}\n", writer.key().public());
        let there = writer.disk().read(PUBLIC_KEY, 4096).ok().flatten();
        if there.as_deref() != Some(public.as_bytes()) {
            writer
                .disk_mut()
                .write(PUBLIC_KEY, public.as_bytes())
                .map_err(|error| failed(&self.directory, error))?;
        }
        let alive_us = store.alive_us();
        // At once: a log that is deleted before its first checkpoint is noticed, too.
        let known = Known {
            directory: self.directory.clone(),
            checkpoint: writer.checkpoint().to_owned(),
        };
        if let Err(error) = store.remember(&known) {
            tracing::warn!(%error, "the audit log's checkpoint is not remembered");
        }
        Ok(Begun {
            writer,
            store,
            last,
            alive_us,
        })
    }

    /// The usual case; a log that is not what it was is set aside.
    fn go_on(
        &self,
        store: &KeyStore,
        key: SigningKey,
        known: Option<Known>,
        now: &str,
    ) -> Result<(Writer<OwnDirectory>, Option<Entry>), AuditError> {
        let note = known.map(|known| known.checkpoint).unwrap_or_default();
        // One of another key says nothing of this log.
        let seen = Checkpoint::open(&note, key.public()).ok();
        match Writer::open(self.disk(&self.directory)?, key, seen.as_ref()) {
            Ok(writer) => {
                let opened = (writer.size() == 0).then(|| first("first start"));
                Ok((writer, opened))
            }
            Err(refused) => {
                let Refused { disk, key, error } = *refused;
                tracing::error!(
                    directory = %self.directory.display(),
                    "the audit log is not what this daemon wrote: {error}; it is set aside and a new one begun"
                );
                let opened = Entry::Opened {
                    reason: format!("the log before cannot be gone on with: {error}"),
                    previous: Some(key.public().to_string()),
                    previous_checkpoint: (!note.is_empty()).then_some(note),
                };
                self.anew(store, disk, now).map(|new| (new, Some(opened)))
            }
        }
    }

    /// There is no key: the first start, or the key was lost.
    fn found_first(
        &self,
        store: &KeyStore,
        now: &str,
    ) -> Result<(Writer<OwnDirectory>, Option<Entry>), AuditError> {
        let disk = self.disk(&self.directory)?;
        let old = disk.read(CHECKPOINT, super::note::MAX_NOTE as u64);
        let reason = match old {
            Ok(None) => "first start",
            _ => "there was a log, and not its key",
        };
        self.anew(store, disk, now)
            .map(|new| (new, Some(first(reason))))
    }

    /// Another directory is configured: the log before is closed, and names this one.
    fn move_on(
        &self,
        store: &KeyStore,
        old: SigningKey,
        known: &Known,
        now: &str,
    ) -> Result<(Writer<OwnDirectory>, Option<Entry>), AuditError> {
        let next = store.fresh(&self.host)?;
        let previous = old.public().to_string();
        let seen = Checkpoint::open(&known.checkpoint, old.public()).ok();
        let closed = if known.directory.is_dir() {
            let disk = self.disk(&known.directory)?;
            Writer::open(disk, old, seen.as_ref())
                .map_err(|refused| refused.error.to_string())
                .and_then(|mut writer| {
                    let entry = Entry::Closed {
                        next: next.public().to_string(),
                        directory: self.directory.display().to_string(),
                    };
                    let _ = writer.push(to_json(entry, now.to_owned()));
                    writer.commit().map_err(|error| error.to_string())?;
                    Ok(writer.checkpoint().to_owned())
                })
        } else {
            Err("its directory is gone".to_owned())
        };
        let (reason, checkpoint) = match closed {
            Ok(checkpoint) => ("another directory is configured".to_owned(), checkpoint),
            Err(error) => {
                tracing::error!(directory = %known.directory.display(), error, "the audit log before could not be closed");
                let reason = format!(
                    "another directory is configured; the log before was not closed: {error}"
                );
                (reason, known.checkpoint.clone())
            }
        };
        let opened = Entry::Opened {
            reason,
            previous: Some(previous),
            previous_checkpoint: (!checkpoint.is_empty()).then_some(checkpoint),
        };
        let disk = self.disk(&self.directory)?;
        let writer = self.with_key(store, disk, next, now)?;
        Ok((writer, Some(opened)))
    }

    fn anew(
        &self,
        store: &KeyStore,
        disk: OwnDirectory,
        now: &str,
    ) -> Result<Writer<OwnDirectory>, AuditError> {
        let key = store.fresh(&self.host)?;
        self.with_key(store, disk, key, now)
    }

    /// An empty log with this key; what is in its place is set aside.
    fn with_key(
        &self,
        store: &KeyStore,
        mut disk: OwnDirectory,
        key: SigningKey,
        now: &str,
    ) -> Result<Writer<OwnDirectory>, AuditError> {
        let empty = matches!(
            disk.read(CHECKPOINT, super::note::MAX_NOTE as u64),
            Ok(None)
        ) && !self.directory.join("tile").exists();
        if !empty {
            let name = format!("set-aside-{}", now.replace(':', ""));
            disk.set_aside(&name)
                .map_err(|error| failed(&self.directory, error))?;
        }
        // The key first: a log without its key could not be gone on with.
        store.keep(&key)?;
        Writer::open(disk, key, None)
            .map_err(|refused| failed(&self.directory, io::Error::other(refused.error.to_string())))
    }
}

fn first(reason: &str) -> Entry {
    Entry::Opened {
        reason: reason.to_owned(),
        previous: None,
        previous_checkpoint: None,
    }
}

fn failed(path: &Path, error: io::Error) -> AuditError {
    AuditError::Directory {
        path: path.to_owned(),
        error,
    }
}

#[cfg(test)]
#[path = "begin_tests.rs"]
mod tests;
