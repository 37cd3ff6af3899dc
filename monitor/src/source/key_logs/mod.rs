//! Key logs (`SSLKEYLOGFILE`) that are followed for the secrets that programs write into them: for
//! whatever has no function to probe.
//!
//! A thread of its own, which sleeps until a file changes. Files belong to others and may be hostile: only
//! regular ones are read, nothing of them is shown, and a secret that nobody waits for is forgotten after a
//! while like any other.

mod follow;
#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use crate::confine::{self, Part};
use crate::wire::tls::{KeyLogCounts, LoggedSecret};
use follow::Follower;

/// Most files.
pub const MOST_FILES: usize = 64;
/// Secrets that can wait to be taken; the thread waits when there are more.
const WAITING: usize = 4096;

/// One followed file, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLogStatus {
    /// As configured.
    pub path: PathBuf,
    /// Why it is not followed now; it is looked for again and again.
    pub trouble: Option<String>,
    /// What its lines were.
    pub counts: KeyLogCounts,
}

/// Figures of all files, shared with who shows them.
pub type SharedKeyLogs = Arc<Mutex<Vec<KeyLogStatus>>>;

/// A copy of the figures as they are now.
#[must_use]
pub fn read(shared: &SharedKeyLogs) -> Vec<KeyLogStatus> {
    shared
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// The secrets' way out of the thread, which ends when this is dropped.
#[derive(Debug)]
pub struct KeyLogs {
    secrets: Receiver<LoggedSecret>,
    _stop: OwnedFd,
}

impl KeyLogs {
    /// A secret that was read since, the oldest first. Never waits.
    #[must_use]
    pub fn next(&self) -> Option<LoggedSecret> {
        self.secrets.try_recv().ok()
    }
}

/// Begins to follow files: those that are there from their end, others from their beginning when they
/// appear. Beyond [`MOST_FILES`] none is followed.
///
/// # Errors
/// No thread or no pipe can be had.
pub fn start(paths: &[PathBuf]) -> io::Result<(KeyLogs, SharedKeyLogs)> {
    let (sender, secrets) = sync_channel(WAITING);
    let (stopped, stop) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let paths = paths.iter().take(MOST_FILES);
    let shared = SharedKeyLogs::default();
    let mut follower = Follower::new(paths.cloned(), Arc::clone(&shared));
    // Where their ends are is settled before anything that begins after this.
    follower.join();
    thread::Builder::new()
        .name("key-logs".to_owned())
        .spawn(move || {
            confine::enter(Part::KeyLogs, &[]);
            follower.run(&stopped, &sender);
        })?;
    let logs = KeyLogs {
        secrets,
        _stop: stop,
    };
    Ok((logs, shared))
}
