//! What can go wrong with the store, inside and as told.

use std::io;
use std::path::{Path, PathBuf};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the database open.
    #[error(
        "{}: another process has this store open\n\
         hint: only one daemon can use a state_dir; stop the other one or give this one its own",
        path.display()
    )]
    Locked {
        /// Database.
        path: PathBuf,
    },
    /// The state directory cannot be had.
    #[error("{}: {error}\nhint: {hint}", path.display())]
    Directory {
        /// Directory or file.
        path: PathBuf,
        /// Cause.
        error: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The file cannot be read or written now. Tried again by later calls.
    #[error("{}: {cause}\nhint: {hint}", path.display())]
    Unavailable {
        /// Database.
        path: PathBuf,
        /// Cause.
        cause: String,
        /// What to do.
        hint: &'static str,
    },
    /// The content makes no sense. The next call checks it, and sets it aside if it is so.
    #[error("{}: the store is corrupt: {cause}\nhint: it is set aside and a fresh one begun", path.display())]
    Corrupt {
        /// Database.
        path: PathBuf,
        /// Cause.
        cause: String,
    },
    /// The caller asked for what the store does not do; nothing is wrong with it.
    #[error("{0}")]
    Refused(String),
}

/// A failure inside a transaction.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    /// Open elsewhere.
    Locked,
    /// The content is wrong.
    Corrupt(String),
    /// The database went away or was used after a failure.
    Closed(String),
    /// The caller's mistake.
    Refused(String),
}

impl Fault {
    pub(super) fn closed() -> Self {
        Self::Closed("the store is closed".to_owned())
    }

    pub(super) fn from_redb(error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::Io(error) => Self::Io(error),
            redb::Error::DatabaseAlreadyOpen => Self::Locked,
            error @ (redb::Error::PreviousIo
            | redb::Error::DatabaseClosed
            | redb::Error::LockPoisoned(_)
            | redb::Error::Backend(_)
            | redb::Error::Unsupported
            | redb::Error::TransactionPoisoned) => Self::Closed(error.to_string()),
            error => Self::Corrupt(error.to_string()),
        }
    }

    pub(super) fn panic(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("panic");
        Self::Corrupt(text.chars().take(200).collect())
    }

    /// Whether an opening that failed so will never succeed with this file.
    pub(super) fn is_corrupt_at_open(&self) -> bool {
        match self {
            Self::Corrupt(_) => true,
            Self::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ),
            Self::Locked | Self::Closed(_) | Self::Refused(_) => false,
        }
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::from_redb(error)
            }
        }
    )*};
}

from_redb!(
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::TransactionError,
    redb::DatabaseError
);

pub(super) fn classify(path: &Path, fault: Fault) -> StoreError {
    let path = path.to_owned();
    match fault {
        Fault::Locked => StoreError::Locked { path },
        Fault::Corrupt(cause) => StoreError::Corrupt { path, cause },
        Fault::Refused(what) => StoreError::Refused(what),
        Fault::Closed(cause) => StoreError::Unavailable {
            path,
            cause,
            hint: "it is opened again at the next attempt",
        },
        Fault::Io(error) => {
            let hint = match error.kind() {
                io::ErrorKind::StorageFull => {
                    "the disk is full: make room; alerts wait in memory until then"
                }
                io::ErrorKind::QuotaExceeded => {
                    "the quota is used up: make room; alerts wait in memory until then"
                }
                io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
                io::ErrorKind::PermissionDenied => "the daemon's user must own the state_dir",
                _ => "alerts wait in memory while it is tried again; look at the disk",
            };
            StoreError::Unavailable {
                path,
                cause: error.to_string(),
                hint,
            }
        }
    }
}
