//! The audit log: what happened, in a form in which nobody can change it afterwards without it being seen.
//!
//! A tiled transparency log (C2SP tlog-tiles: [`tile`]) whose tree hashes are RFC 6962's ([`tree`]), with checkpoints
//! that are signed notes ([`note`]). [`Log`] is how the daemon adds entries: it hands them to a thread of its own, which
//! groups, writes and signs them ([`writer`]). Checking ([`verify()`], [`proof`]) needs the files and the public key only.
//!
//! The tree is ours: the crates `tlog_tiles` and `signed_note` bring second versions of six crates that are in the tree
//! already, and assert where a file that others wrote is not as it should be.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

pub mod begin;
pub mod disk;
pub mod entry;
pub mod key;
pub mod log;
pub mod note;
pub mod proof;
pub mod read;
pub mod tile;
pub mod tree;
pub mod verify;
pub mod writer;

#[cfg(test)]
pub(crate) mod testing;

use std::path::PathBuf;

pub use begin::{AuditError, Place};
pub use entry::{Entry, FileHash, Written};
pub use log::{AuditStatus, Log};
pub use verify::verify;

/// Name of the file in a log's directory that has its public key: to be copied from, not to be trusted.
pub const PUBLIC_KEY: &str = "key";

/// `[audit]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Whether there is a log.
    pub enabled: bool,
    /// Where; `None`: `audit` in `state_dir`.
    pub directory: Option<PathBuf>,
    /// Group that may read it, by name or number.
    pub group: Option<String>,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            enabled: true,
            directory: None,
            group: None,
        }
    }
}
