//! Packets that somebody captured become accesses: by the decoder that live traffic goes through, without a kernel.
//!
//! [`Packets`] reads files, [`Capture`] takes what they hold. Who the processes at both ends are is not known; the
//! server's address stands for the other end, as where a client is watched.
//!
//! Whatever the packets are: memory is bounded, nothing panics, what cannot be read is counted by cause
//! ([`CaptureSummary`]). The same packets give the same accesses.

mod container;
mod content;
mod conversation;
mod counts;
mod flow;
mod interfaces;
mod keys;
mod layers;
mod records;
mod teller;

use std::collections::VecDeque;
use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::access::Access;
use crate::access::credential::Recogniser;
use crate::pipeline::ANOMALIES;
use content::Shared;
use conversation::{Conversation, PATIENT};
use layers::segment;
use teller::Teller;

pub use container::{Fault, Item, LONGEST, Packet, Packets, is_capture};
pub use counts::CaptureSummary;
pub use layers::{LinkType, Other, Segment};

/// Bounds of a capture.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections followed at a time, those that are over and only remembered among them.
    pub connections: usize,
    /// Heap that they may hold together, in bytes.
    pub memory: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 65_536,
            memory: 64 << 20,
        }
    }
}

/// Makes accesses of packets.
#[derive(Debug)]
pub struct Capture {
    shared: Shared,
    bounds: Bounds,
    table: HashMap<[SocketAddr; 2], usize>,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    /// Connections that wait for something, by when they are looked at again.
    due: VecDeque<(u64, Name)>,
    by_random: HashMap<[u8; 32], Name>,
    /// Heap of all connections.
    memory: usize,
    born: u64,
    /// Nanoseconds since 1970: the latest packet's, or later.
    now: u64,
}

#[derive(Debug)]
struct Slot {
    name: Name,
    between: [SocketAddr; 2],
    conversation: Conversation,
}

/// A connection's place, and its number among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    at: usize,
    born: u64,
}

impl Capture {
    /// Nothing was captured yet.
    #[must_use]
    pub fn new(recogniser: Recogniser, bounds: Bounds) -> Self {
        Self {
            shared: Shared::new(Teller::new(recogniser)),
            bounds,
            table: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            due: VecDeque::new(),
            by_random: HashMap::new(),
            memory: 0,
            born: 0,
            now: 0,
        }
    }

    /// Takes part of a key log, or its end when there is nothing more.
    pub fn key_log(&mut self, text: &[u8]) {
        let randoms = match text {
            [] => self.shared.keys.end(),
            text => self.shared.keys.read(text),
        };
        for random in randoms {
            let Some(name) = self.by_random.get(&random).copied() else {
                continue;
            };
            let now = self.now;
            self.with(name, |conversation, shared| {
                conversation.offer(now, shared);
            });
        }
    }

    /// Takes what comes next of a file.
    pub fn item(&mut self, item: &Item<'_>) {
        match item {
            Item::Packet(packet) => self.packet(packet),
            Item::Secrets(text) => {
                self.key_log(text);
                self.key_log(&[]);
            }
            Item::Unreadable => self.shared.counts.unreadable("block"),
        }
    }

    /// A file could not be read to its end.
    pub fn damaged(&mut self, why: &Fault) {
        self.shared.counts.damage(match why {
            Fault::Io(_) => "unreadable",
            Fault::Cut => "cut",
            Fault::Damaged => "damaged",
        });
    }

    /// Takes a packet.
    pub fn packet(&mut self, packet: &Packet<'_>) {
        let counts = &mut self.shared.counts;
        counts.packets += 1;
        let time = packet.time.unwrap_or(self.now).max(1);
        if time > self.now {
            self.now = time;
            self.shared.teller.tick(time);
            self.look_after_waiting();
        }
        match segment(packet.link, packet.data, packet.length) {
            Ok(segment) if segment.from != segment.to => self.segment(&segment, time),
            Ok(_) => self.shared.counts.without_segment(Other::Malformed),
            Err(why) => self.shared.counts.without_segment(why),
        }
    }

    /// The accesses that were made since it was last asked.
    pub fn take(&mut self) -> impl Iterator<Item = Access> {
        self.shared.teller.made.drain(..)
    }

    /// There are no more packets: the accesses that are still to be made, by time.
    #[must_use]
    pub fn end(&mut self) -> Vec<Access> {
        let mut names: Vec<Name> = self.slots.iter().flatten().map(|slot| slot.name).collect();
        names.sort_unstable_by_key(|name| name.born);
        for name in names {
            self.remove(name);
        }
        let mut made = std::mem::take(&mut self.shared.teller.made);
        made.sort_by_key(|access| access.time_us);
        made
    }

    /// What was read, and what could not be. `host_key`: the recogniser's key is the host's.
    #[must_use]
    pub fn summary(&self, host_key: bool) -> CaptureSummary {
        let Shared {
            teller,
            keys,
            counts,
            ..
        } = &self.shared;
        let (secrets, secrets_left_out, lines) = keys.counts();
        let anomalies = ANOMALIES.iter().zip(teller.anomalies);
        let counts = counts.clone();
        CaptureSummary {
            packets: counts.packets,
            segments: counts.segments,
            unread_packets: counts.unread_packets,
            connections: counts.connections,
            midway: counts.midway,
            evicted: counts.evicted,
            undecided: counts.undecided,
            lost_bytes: counts.lost,
            uncaptured_bytes: counts.uncaptured,
            repeated_bytes: counts.again,
            tls: counts.tls,
            unread_tls: counts.unread_tls,
            tls_lost: counts.tls_lost,
            secrets,
            secrets_left_out: secrets_left_out.saturating_add(lines.unheld),
            secrets_malformed: lines.malformed,
            unanswered: teller.unanswered,
            more_credentials: teller.more_credentials,
            anomalies: anomalies
                .filter(|(_, count)| *count > 0)
                .map(|((_, name), count)| (*name, count))
                .collect(),
            damaged: counts.damaged,
            host_key,
        }
    }

    /// Heap that connections hold, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Connections that are followed or remembered.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.table.len()
    }

    fn segment(&mut self, segment: &Segment<'_>, time: u64) {
        self.shared.counts.segments += 1;
        let first = segment.from < segment.to;
        let (between, end) = if first {
            ([segment.from, segment.to], 0)
        } else {
            ([segment.to, segment.from], 1)
        };
        let mut name = self.find(between);
        if let Some(old) = name
            && let Some(Some(slot)) = self.slots.get(old.at)
            && slot.conversation.is_succeeded_by(segment, end)
        {
            self.remove(old);
            name = None;
        }
        let name = match name {
            Some(name) => name,
            // Acknowledgements and ends of what was never seen begin nothing.
            None if !segment.syn && segment.data.is_empty() && segment.hole == 0 => return,
            None => self.add(between),
        };
        let (now, number) = (self.now, self.shared.counts.segments);
        self.with(name, |conversation, shared| {
            conversation.last = number;
            conversation.take(segment, end, time, now, shared);
        });
        for random in self.shared.met.drain(..) {
            self.by_random.insert(random, name);
        }
        self.list(name);
        self.keep_within_bounds();
    }

    fn find(&self, between: [SocketAddr; 2]) -> Option<Name> {
        let at = *self.table.get(&between)?;
        self.slots.get(at)?.as_ref().map(|slot| slot.name)
    }

    fn add(&mut self, between: [SocketAddr; 2]) -> Name {
        self.born += 1;
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let name = Name {
            at,
            born: self.born,
        };
        if let Some(place) = self.slots.get_mut(at) {
            *place = Some(Slot {
                name,
                between,
                conversation: Conversation::new(between),
            });
        }
        self.table.insert(between, at);
        name
    }

    /// Works on a connection, if it is still there, and counts what it then holds.
    fn with(&mut self, name: Name, work: impl FnOnce(&mut Conversation, &mut Shared)) {
        let Some(Some(slot)) = self.slots.get_mut(name.at) else {
            return;
        };
        if slot.name != name {
            return;
        }
        let conversation = &mut slot.conversation;
        work(conversation, &mut self.shared);
        let heap = conversation.heap();
        self.memory = self.memory.saturating_sub(conversation.memory) + heap;
        conversation.memory = heap;
    }

    /// Ends a connection and forgets it.
    fn remove(&mut self, name: Name) {
        let now = self.now;
        self.with(name, |conversation, shared| conversation.close(now, shared));
        let Some(place) = self.slots.get_mut(name.at) else {
            return;
        };
        if let Some(slot) = place.take_if(|slot| slot.name == name) {
            self.memory = self.memory.saturating_sub(slot.conversation.memory);
            self.table.remove(&slot.between);
            self.free.push(name.at);
        }
    }

    /// Notes a connection that waits.
    fn list(&mut self, name: Name) {
        let at = self.now.saturating_add(PATIENT);
        if let Some(Some(slot)) = self.slots.get_mut(name.at)
            && slot.name == name
            && slot.conversation.waits()
            && !std::mem::replace(&mut slot.conversation.listed, true)
        {
            self.due.push_back((at, name));
        }
    }

    fn look_after_waiting(&mut self) {
        let now = self.now;
        while let Some((at, name)) = self.due.front().copied()
            && at <= now
        {
            self.due.pop_front();
            self.with(name, |conversation, shared| {
                conversation.listed = false;
                conversation.pump(now, false, shared);
            });
            self.list(name);
        }
    }

    /// Gives up the connections that were idle longest.
    fn keep_within_bounds(&mut self) {
        if self.by_random.len() > 2 * self.bounds.connections {
            let slots = &self.slots;
            self.by_random.retain(
                |_, name| matches!(slots.get(name.at), Some(Some(slot)) if slot.name == *name),
            );
        }
        if self.table.len() <= self.bounds.connections && self.memory <= self.bounds.memory {
            return;
        }
        let slots = self.slots.iter().flatten();
        let mut by_age: Vec<(u64, Name)> = slots
            .map(|slot| (slot.conversation.last, slot.name))
            .collect();
        by_age.sort_unstable_by_key(|(last, _)| *last);
        by_age.truncate(by_age.len() / 8 + 1);
        for (_, name) in by_age {
            let mut alive = false;
            self.with(name, |conversation, _| alive = !conversation.is_over());
            self.shared.counts.evicted += u64::from(alive);
            self.remove(name);
        }
    }
}

#[cfg(test)]
mod tests;
