//! A disk that fails, and that loses what was not synced.
#![allow(clippy::unwrap_used, reason = "tests may fail by panic")]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use zeroize::Zeroizing;

use super::disk::{Disk, Files};
use super::note::SigningKey;
use super::tile::CHECKPOINT;

pub(crate) type Content = BTreeMap<String, Vec<u8>>;

pub(crate) fn key() -> SigningKey {
    SigningKey::new("test.example/log", Zeroizing::new([3; 32])).unwrap()
}

/// What happens at one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails, without effect.
    Refused,
    /// It fails, and has had its effect.
    Pretended,
    /// The process ends before it.
    Killed,
}

#[derive(Debug, Default)]
struct Sim {
    durable: Content,
    live: Content,
    /// Names changed since the last sync: a file, or a directory that is gone.
    changes: Vec<(String, Option<Vec<u8>>)>,
    operation: usize,
    fault: Option<(usize, Fault)>,
    dead: bool,
    checkpoints: Vec<String>,
}

/// Shares its content with its clones.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk(Arc<Mutex<Sim>>);

impl SimDisk {
    pub(crate) fn new(content: Content) -> Self {
        let disk = Self::default();
        disk.sim().durable.clone_from(&content);
        disk.sim().live = content;
        disk
    }

    fn sim(&self) -> MutexGuard<'_, Sim> {
        self.0.lock().unwrap()
    }

    pub(crate) fn fail(&self, operation: usize, fault: Fault) {
        self.sim().fault = Some((operation, fault));
    }

    pub(crate) fn operations(&self) -> usize {
        self.sim().operation
    }

    /// All checkpoints that ever stood in their place.
    pub(crate) fn checkpoints(&self) -> Vec<String> {
        self.sim().checkpoints.clone()
    }

    /// What a machine finds whose power was cut: of the names not synced, those whose bit is set in `kept` reached
    /// the disk.
    pub(crate) fn after_power_cut(&self, kept: u64) -> Content {
        let sim = self.sim();
        let mut content = sim.durable.clone();
        for (at, (path, bytes)) in sim.changes.iter().enumerate() {
            if kept >> (at % 64) & 1 == 1 {
                apply(&mut content, path, bytes.as_deref());
            }
        }
        content
    }

    /// What the next process finds when only this one ended.
    pub(crate) fn after_kill(&self) -> Content {
        self.sim().live.clone()
    }

    /// Nothing is done while this lives.
    pub(crate) fn hold(&self) -> impl Drop + '_ {
        Held(self.sim())
    }

    fn step(&self, path: Option<(&str, Option<&[u8]>)>) -> io::Result<()> {
        let mut sim = self.sim();
        let now = sim.operation;
        sim.operation += 1;
        let fault = sim
            .fault
            .filter(|(at, _)| *at == now)
            .map(|(_, fault)| fault);
        if fault == Some(Fault::Killed) {
            sim.dead = true;
        }
        if sim.dead {
            return Err(io::Error::other("the process has ended"));
        }
        if fault == Some(Fault::Refused) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match path {
            Some((path, bytes)) => {
                apply(&mut sim.live, path, bytes);
                if let (CHECKPOINT, Some(bytes)) = (path, bytes) {
                    sim.checkpoints
                        .push(String::from_utf8(bytes.to_vec()).unwrap());
                }
                sim.changes
                    .push((path.to_owned(), bytes.map(<[u8]>::to_vec)));
            }
            None => {
                sim.durable = sim.live.clone();
                sim.changes.clear();
            }
        }
        match fault {
            Some(_) => Err(io::Error::other("it failed, or so it says")),
            None => Ok(()),
        }
    }
}

struct Held<'a>(MutexGuard<'a, Sim>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.dead = false;
    }
}

fn apply(content: &mut Content, path: &str, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            content.insert(path.to_owned(), bytes.to_vec());
        }
        None => content.retain(|name, _| !name.starts_with(&format!("{path}/"))),
    }
}

impl Files for SimDisk {
    fn read(&self, path: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        let bytes = self.sim().live.get(path).cloned();
        assert!(
            bytes
                .as_ref()
                .is_none_or(|bytes| bytes.len() as u64 <= most)
        );
        Ok(bytes)
    }
}

impl Disk for SimDisk {
    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.step(Some((path, Some(bytes))))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.step(None)
    }

    fn remove(&mut self, directory: &str) -> io::Result<()> {
        self.step(Some((directory, None)))
    }

    fn set_aside(&mut self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
