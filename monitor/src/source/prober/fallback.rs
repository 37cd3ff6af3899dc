//! Processes whose connections have no keys: which of their files have `SSL_read` and `SSL_write`, and
//! probes there for as long as they are wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::super::Wish;
use super::super::kernel::{Fallback, SslPoint};
use super::super::libraries::{
    FileId, LibraryFiles, Mapped, Plan, RealLibraryFiles, Silent, mapped,
};

/// Most files of which the functions are remembered.
const MOST_FILES: usize = 4096;

/// What one process has, in the book.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FallbackEntry {
    /// Files that are probed in it.
    pub files: Vec<String>,
    /// Why something is not.
    pub trouble: Option<String>,
}

/// The processes, and the functions that files have.
pub(super) struct Fallbacks {
    probes: Option<Fallback>,
    files: RealLibraryFiles,
    functions: BTreeMap<FileId, Vec<SslPoint>>,
    processes: BTreeMap<u32, Process>,
}

#[derive(Default)]
struct Process {
    attached: BTreeSet<FileId>,
    entry: FallbackEntry,
}

impl Fallbacks {
    pub(super) fn new(probes: Option<Fallback>) -> Self {
        Self {
            probes,
            files: RealLibraryFiles::new(),
            functions: BTreeMap::new(),
            processes: BTreeMap::new(),
        }
    }

    /// Remembers what a file has. Processes that wait for such a one get it.
    pub(super) fn learn(&mut self, plan: &Plan) {
        let points: Vec<SslPoint> = plan
            .points
            .iter()
            .filter_map(|point| {
                let call = point.kind.ssl_call()?;
                let entry = point.entry;
                Some(SslPoint { entry, call })
            })
            .collect();
        if points.is_empty() {
            // The file may have been another before.
            self.functions.remove(&plan.id);
            return;
        }
        if self.functions.len() < MOST_FILES || self.functions.contains_key(&plan.id) {
            self.functions.insert(plan.id, points);
        }
        for pid in self.processes.keys().copied().collect::<Vec<_>>() {
            self.attach(pid);
        }
    }

    /// A process is to be heard, or not any more.
    pub(super) fn wish(&mut self, pid: u32, wish: Wish) {
        if wish == Wish::Nothing {
            self.release(pid);
        } else {
            self.want(pid, wish == Wish::All);
        }
    }

    fn want(&mut self, pid: u32, all: bool) {
        let Some(probes) = &mut self.probes else {
            return;
        };
        if let Some(process) = self.processes.get(&pid) {
            if process.entry.trouble.is_none() {
                // Its failure costs the first requests of connections.
                let _ = probes.admit(pid, all);
            }
            return;
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status"));
        let refused = match status {
            Ok(status) => probes.forbidden(&status).map(str::to_owned),
            // It is gone.
            Err(_) => return,
        };
        let trouble =
            refused.or_else(|| probes.admit(pid, all).err().map(|error| error.to_string()));
        if let Some(trouble) = &trouble {
            tracing::info!(pid, trouble, "connections without keys stay closed");
        }
        let mut process = Process::default();
        process.entry.trouble = trouble;
        let open = process.entry.trouble.is_none();
        self.processes.insert(pid, process);
        if open {
            self.attach(pid);
        }
    }

    fn release(&mut self, pid: u32) {
        let Some(process) = self.processes.remove(&pid) else {
            return;
        };
        if let Some(probes) = &mut self.probes {
            probes.release(pid);
        }
        if !process.attached.is_empty() {
            tracing::debug!(pid, "fallback probes detached");
        }
    }

    /// For the book.
    pub(super) fn entries(&self) -> BTreeMap<u32, FallbackEntry> {
        self.processes
            .iter()
            .map(|(pid, process)| (*pid, process.entry.clone()))
            .collect()
    }

    /// Attaches to what the process has mapped and is not attached to yet.
    fn attach(&mut self, pid: u32) {
        let (Some(probes), Some(process)) = (&mut self.probes, self.processes.get_mut(&pid)) else {
            return;
        };
        if process.entry.trouble.is_some() {
            return;
        }
        let silent = Silent::of(&self.files.mounts(pid).unwrap_or_default());
        let all = mapped(&self.files.maps(pid).unwrap_or_default());
        for mapping in all.iter().filter(|mapping| !silent.has(mapping)) {
            let mapping: &Mapped = mapping;
            let Ok(file) = self.files.mapped(pid, mapping) else {
                continue;
            };
            let id = file.id();
            let Some(points) = self.functions.get(&id) else {
                continue;
            };
            if !process.attached.insert(id) {
                continue;
            }
            match probes.attach(pid, &file.path(), points) {
                Ok(()) => {
                    tracing::debug!(pid, file = mapping.path, "fallback probes attached");
                    process.entry.files.push(mapping.path.clone());
                }
                Err(error) => {
                    tracing::warn!(pid, file = mapping.path, %error, "no fallback probes");
                    process.entry.trouble = Some(format!("{}: {error}", mapping.path));
                }
            }
        }
    }
}
