//! How the traffic of each workload was understood, and which was not and why.
//!
//! Pure and bounded: workloads, the kinds of each (there are about a hundred), examples. Counts are exact:
//! a workload that has to make room, the one not heard of for longest, goes on in one sum.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod first;
mod kind;
pub mod protocol;
mod record;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
mod turned;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use monitor_ebpf::uncovered;
use serde::{Deserialize, Serialize};

pub use first::First;
pub use kind::{Group, Inside, Kind, Means, Opaque};
pub use record::{CoverageRecord, ExampleRecord, KindRecord, UncoveredRecord};
pub use turned::Turned;

use crate::access::{Peer, Workload};
use turned::Watch;

/// Workloads that are told apart.
pub const MOST_WORKLOADS: usize = 1024;
/// Examples of what was dark, for each workload.
pub const MOST_EXAMPLES: usize = 8;

/// Connections and bytes of one sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Connections: each end on this host counts for its own workload.
    pub connections: u64,
    /// Bytes sent and received, without those of TCP and IP.
    pub bytes: u64,
}

/// Where a connection leads: what its server is called by whoever connects.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// Name that the client asked for in its TLS handshake.
    pub sni: Option<&'a str>,
    /// The server's address.
    pub server: Option<SocketAddr>,
    /// The peer as accesses name it, for unix sockets.
    pub peer: &'a Peer,
}

/// Whose connection it is, and when.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Workload of this end.
    pub workload: &'a Workload,
    /// The server.
    pub destination: Destination<'a>,
    /// Microseconds since 1970.
    pub time_us: i64,
}

/// Numbers for `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoverageStats {
    /// HTTP that was read.
    pub read: Count,
    /// What is not HTTP.
    pub other: Count,
    /// What nobody can say.
    pub dark: Count,
    /// Workloads known.
    pub workloads: usize,
    /// Of these, those with more dark connections than such that were read.
    pub dark_workloads: usize,
    /// Workloads that had to make room.
    pub forgotten: u64,
}

#[derive(Debug, Default)]
struct Example {
    sni: Option<Box<str>>,
    address: Box<str>,
    why: Option<Kind>,
    connections: u64,
    last_us: i64,
}

/// What is known of one workload, or of those that had to make room.
#[derive(Debug, Default)]
struct Entry {
    kinds: Vec<(Kind, Count)>,
    uncovered: [u64; uncovered::COUNT],
    shed: u64,
    examples: Vec<Example>,
    last_us: i64,
    /// Number of the last note: what was not used for longest has the lowest.
    used: u64,
    watch: Watch,
}

/// The table.
#[derive(Debug)]
pub struct Coverage {
    entries: HashMap<Box<str>, Entry>,
    most: usize,
    notes: u64,
    rest: Entry,
    forgotten: u64,
    name: String,
}

impl Default for Coverage {
    fn default() -> Self {
        Self::new(MOST_WORKLOADS)
    }
}

impl Coverage {
    /// An empty table for so many workloads (at least one).
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            entries: HashMap::new(),
            most: most.max(1),
            notes: 0,
            rest: Entry::default(),
            forgotten: 0,
            name: String::new(),
        }
    }

    /// Counts `connections` more that were understood so, and `bytes` more. Says when the workload, which
    /// could be read, has turned dark.
    pub fn note(
        &mut self,
        about: &About<'_>,
        kind: Kind,
        connections: u64,
        bytes: u64,
    ) -> Option<Turned> {
        let entry = self.entry(about.workload, about.time_us);
        let count = entry.count(kind);
        count.connections = count.connections.saturating_add(connections);
        count.bytes = count.bytes.saturating_add(bytes);
        if connections == 0 {
            return None;
        }
        if kind.group() == Group::Dark {
            entry.exemplify(about, kind, connections);
        }
        entry.watch.connection(about, kind)
    }

    /// Takes one connection from one kind to another: more of it is known now than when it was noted.
    pub fn recount(&mut self, about: &About<'_>, from: Kind, to: Kind) {
        let counted = |entry: &Entry| {
            entry
                .kinds
                .iter()
                .any(|(kind, count)| *kind == from && count.connections > 0)
        };
        let entry = self.entry(about.workload, about.time_us);
        // It may have made room meanwhile.
        let entry = if counted(entry) {
            entry
        } else {
            &mut self.rest
        };
        if !counted(entry) {
            return;
        }
        entry.count(from).connections -= 1;
        entry.count(to).connections += 1;
        if from.group() != Group::Dark && to.group() == Group::Dark {
            entry.exemplify(about, to, 1);
        }
    }

    /// Counts bytes that no program could see, by index of [`uncovered::NAMES`].
    pub fn uncovered(&mut self, workload: &Workload, cause: usize, bytes: u64, time_us: i64) {
        let entry = self.entry(workload, time_us);
        if let Some(sum) = entry.uncovered.get_mut(cause) {
            *sum = sum.saturating_add(bytes);
        }
    }

    /// Counts calls whose bytes were cut short to keep the rings fair.
    pub fn shed(&mut self, workload: &Workload, calls: u64, time_us: i64) {
        let entry = self.entry(workload, time_us);
        entry.shed = entry.shed.saturating_add(calls);
    }

    /// Numbers for `status`.
    #[must_use]
    pub fn stats(&self) -> CoverageStats {
        let mut stats = CoverageStats {
            workloads: self.entries.len(),
            forgotten: self.forgotten,
            ..CoverageStats::default()
        };
        for entry in self.entries.values().chain([&self.rest]) {
            let [read, other, dark] = entry.groups();
            for (sum, count) in [
                (&mut stats.read, read),
                (&mut stats.other, other),
                (&mut stats.dark, dark),
            ] {
                sum.connections += count.connections;
                sum.bytes += count.bytes;
            }
        }
        stats.dark_workloads = self.entries.values().filter(|entry| entry.dark()).count();
        stats
    }

    /// Everything, what is darkest first; what had to make room last.
    #[must_use]
    pub fn snapshot(&self) -> Vec<CoverageRecord> {
        let mut all: Vec<CoverageRecord> = self
            .entries
            .iter()
            .map(|(name, entry)| entry.record(Some(name)))
            .collect();
        all.sort_by(|a, b| {
            let key = |record: &CoverageRecord| {
                (
                    record.dark.connections,
                    record.dark.bytes,
                    record.uncovered.iter().map(|by| by.bytes).sum::<u64>(),
                    record.read.connections + record.other.connections,
                )
            };
            key(b)
                .cmp(&key(a))
                .then_with(|| a.workload.cmp(&b.workload))
        });
        if self.forgotten > 0 {
            all.push(self.rest.record(None));
        }
        all
    }

    fn entry(&mut self, workload: &Workload, time_us: i64) -> &mut Entry {
        self.notes += 1;
        self.name.clear();
        let _ = write!(self.name, "{}", workload.label());
        if !self.entries.contains_key(self.name.as_str()) {
            self.make_room();
        }
        let entry = match self.entries.entry_ref(self.name.as_str()) {
            hashbrown::hash_map::EntryRef::Occupied(found) => found.into_mut(),
            hashbrown::hash_map::EntryRef::Vacant(place) => place.insert(Entry::default()),
        };
        entry.used = self.notes;
        entry.last_us = entry.last_us.max(time_us);
        entry
    }

    fn make_room(&mut self) {
        if self.entries.len() < self.most {
            return;
        }
        let oldest = self
            .entries
            .iter()
            .min_by_key(|(_, entry)| entry.used)
            .map(|(name, _)| name.clone());
        if let Some(entry) = oldest.and_then(|name| self.entries.remove(&name)) {
            self.rest.absorb(&entry);
            self.forgotten += 1;
        }
    }
}

impl Entry {
    fn count(&mut self, kind: Kind) -> &mut Count {
        let at = self.kinds.iter().position(|(known, _)| *known == kind);
        let at = at.unwrap_or_else(|| {
            self.kinds.push((kind, Count::default()));
            self.kinds.len() - 1
        });
        // Just found or pushed.
        #[allow(clippy::indexing_slicing, reason = "the position is in bounds")]
        let (_, count) = &mut self.kinds[at];
        count
    }

    /// Sums of what was read, of what is something else, of what is dark.
    fn groups(&self) -> [Count; 3] {
        let mut sums = [Count::default(); 3];
        for (kind, count) in &self.kinds {
            let [read, other, dark] = &mut sums;
            let sum = match kind.group() {
                Group::Read => read,
                Group::Other => other,
                Group::Dark => dark,
            };
            sum.connections = sum.connections.saturating_add(count.connections);
            sum.bytes = sum.bytes.saturating_add(count.bytes);
        }
        sums
    }

    fn dark(&self) -> bool {
        let [read, _, dark] = self.groups();
        dark.connections > read.connections
    }

    fn exemplify(&mut self, about: &About<'_>, kind: Kind, connections: u64) {
        let sni = about.destination.sni;
        let address = about.destination.address();
        let same = |example: &&mut Example| {
            example.why == Some(kind)
                && example.sni.as_deref() == sni
                && *example.address == *address
        };
        if let Some(known) = self.examples.iter_mut().find(same) {
            known.connections = known.connections.saturating_add(connections);
            known.last_us = known.last_us.max(about.time_us);
            return;
        }
        if self.examples.len() >= MOST_EXAMPLES {
            let oldest = (0..)
                .zip(&self.examples)
                .min_by_key(|(_, example)| example.last_us)
                .map_or(0, |(at, _)| at);
            self.examples.swap_remove(oldest);
        }
        self.examples.push(Example {
            sni: sni.map(Into::into),
            address: address.into_boxed_str(),
            why: Some(kind),
            connections,
            last_us: about.time_us,
        });
    }

    fn absorb(&mut self, other: &Self) {
        for (kind, more) in &other.kinds {
            let count = self.count(*kind);
            count.connections = count.connections.saturating_add(more.connections);
            count.bytes = count.bytes.saturating_add(more.bytes);
        }
        for (sum, more) in self.uncovered.iter_mut().zip(other.uncovered) {
            *sum = sum.saturating_add(more);
        }
        self.shed = self.shed.saturating_add(other.shed);
        self.last_us = self.last_us.max(other.last_us);
    }
}

impl Destination<'_> {
    /// `203.0.113.7:443`, `unix:/run/x.sock`, or nothing.
    fn address(&self) -> String {
        match (self.server, self.peer) {
            (Some(address), _) => address.to_string(),
            (None, Peer::Unix(path)) => format!("unix:{path}"),
            (None, Peer::Inet(address)) => address.to_string(),
            (None, Peer::Unknown) => String::new(),
        }
    }

    /// The name, else the address, for people.
    fn called(&self) -> Arc<str> {
        match self.sni {
            Some(sni) => sni.into(),
            None => self.address().into(),
        }
    }
}
