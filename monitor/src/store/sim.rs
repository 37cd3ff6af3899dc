//! A disk that fails on demand and forgets what was not synced.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use redb::{BackendError, StorageBackend};

use super::files::Files;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The n-th change fails half done, later ones succeed.
    Once(u64),
    /// All changes from the n-th on fail, until [`Disk::heal`].
    From(u64),
    /// The disk is full from the n-th change on: nothing new goes in, until healed.
    Full(u64),
    /// The n-th read fails, later ones succeed.
    Read(u64),
    /// All reads from the n-th on fail, until healed.
    Reads(u64),
    /// Power is lost at the n-th change.
    Crash(u64),
}

/// Contents of one file.
#[derive(Debug, Default, Clone)]
struct Node {
    /// What reading gives.
    seen: Vec<u8>,
    /// What is on the platter for sure.
    durable: Vec<u8>,
    /// Changes since the last sync, in order.
    pending: Vec<Change>,
    /// Changes whose sync failed: no later sync of the same file writes them.
    limbo: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Len(u64),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                let end = *offset as usize + data.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*offset as usize..end].copy_from_slice(data);
            }
            Self::Len(len) => to.resize(*len as usize, 0),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<PathBuf, usize>,
    nodes: Vec<Node>,
    changes: u64,
    reads: u64,
    trouble: Option<Trouble>,
    dead: bool,
    seed: u64,
    aside: u64,
}

/// The disk; clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    pub(crate) fn new(trouble: Option<Trouble>, seed: u64) -> Self {
        let disk = Self::default();
        disk.state().trouble = trouble;
        disk.state().seed = seed;
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn heal(&self) {
        self.state().trouble = None;
    }

    /// Sets trouble from here on; counts start again.
    pub(crate) fn trouble(&self, trouble: Trouble) {
        let mut state = self.state();
        state.changes = 0;
        state.reads = 0;
        state.trouble = Some(trouble);
    }

    pub(super) fn has_crashed(&self) -> bool {
        self.state().dead
    }

    pub(super) fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Files set aside.
    pub(super) fn aside(&self) -> u64 {
        self.state().aside
    }

    /// The disk after a power cut: of what was not synced, any subset of whole or torn writes.
    pub(super) fn after_power_cut(&self) -> Self {
        let mut state = self.state();
        let mut seed = state.seed | 1;
        let mut random = move || {
            // xorshift64
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let mut nodes = state.nodes.clone();
        for node in &mut nodes {
            let mut content = std::mem::take(&mut node.durable);
            for change in node.limbo.drain(..).chain(node.pending.drain(..)) {
                match (random() % 4, &change) {
                    (0 | 1, _) => {}
                    (2, Change::Write(offset, data)) if data.len() > 512 => {
                        // Torn at a sector.
                        let sectors = (random() as usize % (data.len() / 512)) * 512;
                        Change::Write(*offset, data[..sectors].to_vec()).apply(&mut content);
                    }
                    _ => change.apply(&mut content),
                }
            }
            node.seen.clone_from(&content);
            node.durable = content;
        }
        let names = std::mem::take(&mut state.names);
        state.dead = true;
        let aside = state.aside;
        Self(Arc::new(Mutex::new(State {
            names,
            nodes,
            aside,
            seed: random(),
            ..State::default()
        })))
    }
}

impl State {
    /// Counts a change; says whether it must fail, and after how much of it.
    fn change(&mut self, grows: bool) -> Result<(), io::Error> {
        if self.dead {
            return Err(io::Error::other("no power"));
        }
        self.changes += 1;
        let n = self.changes;
        match self.trouble {
            Some(Trouble::Once(at)) if n == at => Err(io::Error::from_raw_os_error(libc::EIO)),
            Some(Trouble::From(at)) if n >= at => Err(io::Error::from_raw_os_error(libc::EIO)),
            Some(Trouble::Full(at)) if n >= at && grows => {
                Err(io::Error::from_raw_os_error(libc::ENOSPC))
            }
            Some(Trouble::Crash(at)) if n >= at => {
                self.dead = true;
                Err(io::Error::other("no power"))
            }
            _ => Ok(()),
        }
    }

    fn read(&mut self) -> Result<(), io::Error> {
        if self.dead {
            return Err(io::Error::other("no power"));
        }
        self.reads += 1;
        match self.trouble {
            Some(Trouble::Read(at)) if self.reads == at => {
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
            Some(Trouble::Reads(at)) if self.reads >= at => {
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
            _ => Ok(()),
        }
    }

    fn node(&mut self, path: &Path) -> Option<&mut Node> {
        let at = *self.names.get(path)?;
        self.nodes.get_mut(at)
    }
}

impl Files for Disk {
    fn has_content(&self, path: &Path) -> io::Result<bool> {
        Ok(self
            .state()
            .node(path)
            .is_some_and(|node| !node.seen.is_empty()))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>> {
        let mut state = self.state();
        let next = state.nodes.len();
        let at = *state.names.entry(path.to_owned()).or_insert(next);
        if at == next {
            state.nodes.push(Node::default());
        }
        drop(state);
        Ok(Box::new(Handle {
            disk: self.clone(),
            at,
        }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().names.remove(path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change(false)?;
        let at = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), at);
        Ok(())
    }

    fn renew(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.read()?;
        state.change(true)?;
        let seen = state
            .node(path)
            .ok_or(io::ErrorKind::NotFound)?
            .seen
            .clone();
        state.change(false)?;
        let at = state.nodes.len();
        state.nodes.push(Node {
            durable: seen.clone(),
            seen,
            ..Node::default()
        });
        state.names.insert(path.to_owned(), at);
        Ok(())
    }

    fn set_aside(&self, path: &Path) -> io::Result<PathBuf> {
        let mut state = self.state();
        state.change(false)?;
        let at = state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        state.aside += 1;
        let aside = PathBuf::from(format!("{}.corrupt-{}", path.display(), state.aside));
        state.names.insert(aside.clone(), at);
        Ok(aside)
    }
}

#[derive(Debug)]
struct Handle {
    disk: Disk,
    at: usize,
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().nodes[self.at].seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.read()?;
        let range = offset as usize..offset as usize + out.len();
        let seen = state.nodes[self.at]
            .seen
            .get(range)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(seen);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let grows = len > state.nodes[self.at].seen.len() as u64;
        state.change(grows)?;
        let node = &mut state.nodes[self.at];
        let change = Change::Len(len);
        change.apply(&mut node.seen);
        node.pending.push(change);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let result = state.change(false);
        let node = &mut state.nodes[self.at];
        let pending = std::mem::take(&mut node.pending);
        match result {
            Ok(()) => {
                for change in pending {
                    change.apply(&mut node.durable);
                }
            }
            // The kernel reports a failed write-back once and calls the pages clean.
            Err(_) => node.limbo.extend(pending),
        }
        result
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let result = state.change(true);
        // A failed write may have written half of it; a full disk wrote nothing new.
        let done = match &result {
            Ok(()) => data,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => &[],
            Err(_) => &data[..data.len() / 2],
        };
        if !done.is_empty() {
            let node = &mut state.nodes[self.at];
            let change = Change::Write(offset, done.to_vec());
            change.apply(&mut node.seen);
            node.pending.push(change);
        }
        result
    }

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn try_lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }
}
