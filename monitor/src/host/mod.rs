//! Who is who on this host: processes, their images, users and control groups, kept current from the
//! source's events, so that a process that lived five milliseconds still has its name.
//!
//! The table is seeded from /proc once, follows births, images and deaths, and asks /proc again only
//! for a process that no event told of. Dead processes stay for a few seconds: their last bytes may
//! still be under way.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod groups;

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use monitor_ebpf::{Cgroup, Exec, Exit, Fork, exec_flag};

use crate::access::Workload;
use crate::access::intern::Interner;
use crate::access::workload::lineage;
use crate::source::procfs::{HostFiles, ProcessFacts};
use groups::{Groups, Place};

/// Most processes known at a time.
const MOST_PROCESSES: usize = 65_536;
/// Most distinct workloads kept for sharing.
const MOST_WORKLOADS: usize = 16_384;
/// How far up unknown ancestors are looked for.
const MOST_ANCESTORS: usize = 64;
/// How long a dead process is remembered, in ns.
const MEMORY_OF_THE_DEAD: u64 = 10_000_000_000;

/// One image of a process.
#[derive(Debug)]
struct Image {
    exec_id: u32,
    exe: Arc<str>,
    workload: Option<Arc<Workload>>,
}

#[derive(Debug)]
struct Process {
    start: u64,
    /// 0: not known.
    parent: u32,
    uid: u32,
    cgroup: u64,
    place: Option<Place>,
    /// Executables of the ancestors, nearest first.
    lineage: Arc<[Arc<str>]>,
    /// What the lineage of its children is, once one was born.
    passed_on: Option<Arc<[Arc<str>]>>,
    /// Newest last; older ones only as long as their bytes may be under way.
    images: Vec<Image>,
    dead: bool,
}

/// The table.
pub struct Host {
    files: Box<dyn HostFiles>,
    processes: HashMap<u32, Process>,
    deaths: VecDeque<(u64, u32, u64)>,
    groups: Groups,
    users: HashMap<u32, Arc<str>>,
    names: Interner,
    workloads: HashMap<Workload, Arc<Workload>>,
    unknown: Arc<Workload>,
    evicted: u64,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("processes", &self.processes.len())
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Reads what is there now. Call it after the hooks are attached: nothing falls between.
    #[must_use]
    pub fn new(files: Box<dyn HostFiles>) -> Self {
        let mut host = Self {
            groups: Groups::new(files.cgroups()),
            files,
            processes: HashMap::new(),
            deaths: VecDeque::new(),
            users: HashMap::new(),
            names: Interner::new(MOST_WORKLOADS),
            workloads: HashMap::new(),
            unknown: Arc::new(Workload::default()),
            evicted: 0,
        };
        for pid in host.files.pids() {
            host.learn(pid, 0);
        }
        host
    }

    /// Processes known now, and how many had to make room.
    #[must_use]
    pub fn sizes(&self) -> (usize, u64) {
        (self.processes.len(), self.evicted)
    }

    /// A process replaced its image.
    pub fn exec(&mut self, record: &Exec) {
        let exe = self.exec_path(record);
        let image = Image {
            exec_id: record.exec_id,
            exe,
            workload: None,
        };
        if !self.processes.contains_key(&record.tgid) {
            let lineage = self.lineage_of_child(record.ppid);
            self.insert(
                record.tgid,
                new_process(
                    record.start,
                    record.ppid,
                    record.uid,
                    record.cgroup,
                    lineage,
                ),
            );
        }
        let Some(process) = self.processes.get_mut(&record.tgid) else {
            return;
        };
        process.uid = record.uid;
        if process.cgroup != record.cgroup {
            process.cgroup = record.cgroup;
            process.place = None;
        }
        process.passed_on = None;
        if process.images.len() >= 4 {
            process.images.remove(0);
        }
        process.images.push(image);
    }

    /// A process was born: the child of its parent, with the same image.
    pub fn fork(&mut self, record: &Fork) {
        if !self.processes.contains_key(&record.ppid) {
            self.learn(record.ppid, 0);
        }
        let lineage = self.lineage_of_child(record.ppid);
        let mut child = new_process(
            record.start,
            record.ppid,
            record.uid,
            record.cgroup,
            lineage,
        );
        if let Some(parent) = self.processes.get(&record.ppid) {
            if parent.cgroup == record.cgroup {
                child.place = parent.place.clone();
            }
            if let Some(image) = parent.images.last() {
                child.images.push(Image {
                    exec_id: record.exec_id,
                    exe: Arc::clone(&image.exe),
                    workload: None,
                });
            }
        }
        self.insert(record.tgid, child);
    }

    /// A process ended.
    pub fn exit(&mut self, record: &Exit) {
        if let Some(process) = self.processes.get_mut(&record.tgid)
            && !process.dead
        {
            process.dead = true;
            self.deaths
                .push_back((record.time, record.tgid, process.start));
        }
    }

    /// A control group was made.
    pub fn cgroup(&mut self, record: &Cgroup) {
        let path = record
            .path
            .get(..record.header.len as usize)
            .unwrap_or_default();
        let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
        self.groups
            .insert(record.id, &String::from_utf8_lossy(path));
    }

    /// A socket of the process was opened while it was in this control group.
    pub fn moved(&mut self, tgid: u32, cgroup: u64) {
        if let Some(process) = self.processes.get_mut(&tgid)
            && process.cgroup != cgroup
        {
            process.cgroup = cgroup;
            process.place = None;
            for image in &mut process.images {
                image.workload = None;
            }
        }
    }

    /// Forgets the long dead. `now` is CLOCK_MONOTONIC in ns.
    pub fn sweep(&mut self, now: u64) {
        while let Some(&(died, tgid, start)) = self.deaths.front() {
            if now.saturating_sub(died) < MEMORY_OF_THE_DEAD {
                break;
            }
            self.deaths.pop_front();
            if self
                .processes
                .get(&tgid)
                .is_some_and(|p| p.start == start && p.dead)
            {
                self.processes.remove(&tgid);
            }
        }
    }

    /// The process that started it; 0 when that is not known.
    #[must_use]
    pub fn parent(&self, tgid: u32) -> u32 {
        self.processes
            .get(&tgid)
            .map_or(0, |process| process.parent)
    }

    /// What process `tgid` is, in its image `exec_id`.
    pub fn workload(&mut self, tgid: u32, exec_id: u32) -> Arc<Workload> {
        if tgid == 0 {
            return Arc::clone(&self.unknown);
        }
        if !self.processes.contains_key(&tgid) {
            self.learn(tgid, exec_id);
        }
        let Some(process) = self.processes.get(&tgid) else {
            return Arc::clone(&self.unknown);
        };
        // A process from before the monitor has an image without a number.
        let position = process
            .images
            .iter()
            .rposition(|image| image.exec_id == exec_id)
            .or_else(|| process.images.len().checked_sub(1));
        let Some(position) = position else {
            return Arc::clone(&self.unknown);
        };
        if let Some(workload) = process
            .images
            .get(position)
            .and_then(|image| image.workload.as_ref())
        {
            return Arc::clone(workload);
        }
        self.resolve(tgid, position)
    }

    fn resolve(&mut self, tgid: u32, position: usize) -> Arc<Workload> {
        let Some(process) = self.processes.get(&tgid) else {
            return Arc::clone(&self.unknown);
        };
        let (uid, cgroup, known) = (process.uid, process.cgroup, process.place.clone());
        let lineage = Arc::clone(&process.lineage);
        let exe = process
            .images
            .get(position)
            .map_or_else(|| Arc::from(""), |i| Arc::clone(&i.exe));
        let place = known.unwrap_or_else(|| self.place(tgid, cgroup));
        let user = self.user(uid);
        let (unit, container) = (place.unit.clone(), place.container.clone());
        let workload = self.shared(Workload {
            exe,
            unit,
            container,
            user,
            lineage,
        });
        if let Some(process) = self.processes.get_mut(&tgid) {
            process.place = Some(place);
            if let Some(image) = process.images.get_mut(position) {
                image.workload = Some(Arc::clone(&workload));
            }
        }
        workload
    }

    /// Unit and container: from the unified hierarchy by id, else from what /proc says (where the
    /// older hierarchies hold the units).
    fn place(&self, tgid: u32, cgroup: u64) -> Place {
        if let Some(place) = self.groups.get(cgroup) {
            return place;
        }
        self.files
            .process(tgid)
            .map(|facts| Place::from_proc(&facts.cgroup))
            .unwrap_or_default()
    }

    fn shared(&mut self, workload: Workload) -> Arc<Workload> {
        if let Some(known) = self.workloads.get(&workload) {
            return Arc::clone(known);
        }
        if self.workloads.len() >= MOST_WORKLOADS {
            // Those still in use are shared by their processes; the table only saves memory.
            self.workloads
                .retain(|_, shared| Arc::strong_count(shared) > 1);
            if self.workloads.len() >= MOST_WORKLOADS {
                self.workloads.clear();
            }
        }
        let shared = Arc::new(workload.clone());
        self.workloads.insert(workload, Arc::clone(&shared));
        shared
    }

    fn user(&mut self, uid: u32) -> Arc<str> {
        if let Some(name) = self.users.get(&uid) {
            return Arc::clone(name);
        }
        if self.users.len() >= 4096 {
            self.users.clear();
        }
        let name: Arc<str> = self
            .files
            .user(uid)
            .unwrap_or_else(|| uid.to_string())
            .into();
        self.users.insert(uid, Arc::clone(&name));
        name
    }

    /// Reads a process from /proc, and its ancestors if they are not known either.
    fn learn(&mut self, pid: u32, exec_id: u32) {
        let mut chain: Vec<(u32, ProcessFacts)> = Vec::new();
        let mut at = pid;
        while at != 0 && !self.processes.contains_key(&at) && chain.len() < MOST_ANCESTORS {
            let Some(facts) = self.files.process(at) else {
                break;
            };
            let parent = facts.ppid;
            chain.push((at, facts));
            at = parent;
        }
        for (at, facts) in chain.into_iter().rev() {
            let lineage = self.lineage_of_child(facts.ppid);
            let mut process = new_process(0, facts.ppid, facts.uid, 0, lineage);
            process.place = Some(Place::from_proc(&facts.cgroup));
            let exe = self.names.intern(&facts.exe);
            process.images.push(Image {
                exec_id,
                exe,
                workload: None,
            });
            self.insert(at, process);
        }
    }

    fn insert(&mut self, tgid: u32, process: Process) {
        if self.processes.len() >= MOST_PROCESSES {
            let before = self.processes.len();
            self.processes.retain(|_, process| !process.dead);
            if self.processes.len() >= MOST_PROCESSES {
                self.processes.clear();
            }
            self.evicted += (before - self.processes.len()) as u64;
        }
        self.processes.insert(tgid, process);
    }

    /// The executables above a child of `ppid`, nearest first; the same one in a row counts once.
    fn lineage_of_child(&mut self, ppid: u32) -> Arc<[Arc<str>]> {
        let Some(parent) = self.processes.get_mut(&ppid) else {
            return Arc::from([]);
        };
        if let Some(lineage) = &parent.passed_on {
            return Arc::clone(lineage);
        }
        let own = parent.images.last().map(|image| Arc::clone(&image.exe));
        let lineage = lineage(own.into_iter().chain(parent.lineage.iter().cloned()));
        parent.passed_on = Some(Arc::clone(&lineage));
        lineage
    }

    /// The path in an exec record, first component first.
    fn exec_path(&mut self, record: &Exec) -> Arc<str> {
        let bytes = record
            .path
            .get(..record.header.len as usize)
            .unwrap_or_default();
        if record.header.flags & exec_flag::WALKED == 0 {
            let given = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
            return self.names.intern(&String::from_utf8_lossy(given));
        }
        let mut path = String::new();
        for component in bytes
            .split(|byte| *byte == 0)
            .rev()
            .filter(|c| !c.is_empty())
        {
            path.push('/');
            path.push_str(&String::from_utf8_lossy(component));
        }
        self.names.intern(&path)
    }
}

fn new_process(
    start: u64,
    parent: u32,
    uid: u32,
    cgroup: u64,
    lineage: Arc<[Arc<str>]>,
) -> Process {
    Process {
        start,
        parent,
        uid,
        cgroup,
        place: None,
        lineage,
        passed_on: None,
        images: Vec::new(),
        dead: false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
