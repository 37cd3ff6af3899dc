//! Secrets that have come and are not joined to a connection yet, and connections that wait for some.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use arrayvec::ArrayVec;
use hashbrown::HashMap;

use super::{MAX_ENDS, Secret};

/// Most secrets that wait; the oldest goes first.
pub const MAX_PENDING: usize = 8_192;
/// Nanoseconds that a secret waits for its connection.
pub const SECRET_LIFE: u64 = 30_000_000_000;
/// Nanoseconds that it waits if the socket it was derived for waits, too.
pub const HINTED_LIFE: u64 = 600_000_000_000;
/// Nanoseconds that a secret is kept for the socket it was derived for, which may not have been met yet.
pub(super) const RESERVED: u64 = 50_000_000;
/// Most connections whose wish for secrets is known.
pub const MAX_WAITING: usize = 16_384;
/// Most connections that a secret without a random is offered to.
pub const MAX_OFFERS: usize = 32;
/// Most trials of one secret.
pub const MAX_SECRET_TRIALS: u32 = 128;
/// Most secrets looked at in one search.
const MAX_CANDIDATES: usize = 64;
/// Most secrets of one connection that are left over.
const MAX_LEFT: usize = 16;
/// Joined secrets remembered, to tell the other end's copy.
const MAX_RECENT: usize = 8_192;

/// What a secret is for. Names of the key log format in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// Master secret of TLS 1.2 (`CLIENT_RANDOM`).
    Master12,
    /// `CLIENT_HANDSHAKE_TRAFFIC_SECRET`.
    ClientHandshake,
    /// `SERVER_HANDSHAKE_TRAFFIC_SECRET`.
    ServerHandshake,
    /// `CLIENT_TRAFFIC_SECRET_0`.
    ClientTraffic,
    /// `SERVER_TRAFFIC_SECRET_0`.
    ServerTraffic,
    /// `CLIENT_EARLY_TRAFFIC_SECRET`.
    ClientEarly,
    /// `EXPORTER_SECRET`: of no use here.
    Exporter,
}

/// A secret, as a probe or a key log brings it.
#[derive(Debug)]
pub struct NewSecret {
    /// What it is for.
    pub label: Label,
    /// The connection's client random, if it came along.
    pub client_random: Option<[u8; 32]>,
    /// Its server random (TLS 1.2).
    pub server_random: Option<[u8; 32]>,
    /// The secret: 48 bytes for TLS 1.2, else as long as the suite's hash.
    pub value: Secret,
    /// Process that derived it; 0 if unknown.
    pub tgid: u32,
    /// Cookie of the TLS socket that its thread used last; 0 if unknown.
    pub socket_hint: u64,
    /// Nanoseconds (CLOCK_MONOTONIC).
    pub time: u64,
}

/// Counts for the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyringStats {
    /// Secrets that wait now.
    pub pending: usize,
    /// Connections that wait now.
    pub waiting: usize,
    /// Secrets taken in.
    pub added: u64,
    /// Copies: the other end's, or read twice.
    pub duplicates: u64,
    /// Joined to a connection.
    pub joined: u64,
    /// Not needed: the connection had all it needs.
    pub unneeded: u64,
    /// Waited in vain.
    pub expired: u64,
    /// Gave room to newer ones.
    pub evicted: u64,
    /// Tried too often.
    pub tired: u64,
    /// Trial decryptions of all connections.
    pub trials: u64,
    /// Connections that found no room to wait.
    pub unheard: u64,
}

/// Process and socket cookie of one end of a connection.
pub(super) type End = (u32, u64);
/// Sockets of a connection's ends.
type Sockets = ArrayVec<u64, MAX_ENDS>;
/// Connections to offer a secret to, by the number that [`super::Session::new`] was given.
pub type Offers = ArrayVec<u64, MAX_OFFERS>;

struct Entry {
    label: Label,
    client_random: Option<[u8; 32]>,
    server_random: Option<[u8; 32]>,
    value: Secret,
    owners: ArrayVec<End, MAX_ENDS>,
    time: u64,
    mark: u64,
    trials: u32,
}

struct Interest {
    random: Option<[u8; 32]>,
    ends: ArrayVec<End, MAX_ENDS>,
}

/// One per monitor.
pub struct Keyring {
    entries: HashMap<u64, Entry>,
    /// Ids by arrival.
    order: VecDeque<u64>,
    by_random: HashMap<[u8; 32], Vec<u64>>,
    by_process: HashMap<u32, Vec<u64>>,
    by_socket: HashMap<u64, Vec<u64>>,
    by_mark: HashMap<u64, u64>,
    /// Marks of joined secrets, with the sockets of the connection that took each.
    recent: HashMap<u64, Sockets>,
    recent_order: VecDeque<u64>,
    hasher: RandomState,
    last: u64,
    /// The latest time that was heard of.
    now: u64,
    /// Young secrets are left to the sockets that they were derived for.
    pub(super) reserving: bool,
    interests: HashMap<u64, Interest>,
    waiting_random: HashMap<[u8; 32], u64>,
    waiting_process: HashMap<u32, Vec<u64>>,
    waiting_socket: HashMap<u64, u64>,
    stats: KeyringStats,
    /// Plaintext of the record at hand; kept for its memory.
    pub(super) scratch: Vec<u8>,
}

impl Default for Keyring {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            by_random: HashMap::new(),
            by_process: HashMap::new(),
            by_socket: HashMap::new(),
            by_mark: HashMap::new(),
            recent: HashMap::new(),
            recent_order: VecDeque::new(),
            hasher: RandomState::default(),
            last: 0,
            now: 0,
            reserving: true,
            interests: HashMap::new(),
            waiting_random: HashMap::new(),
            waiting_process: HashMap::new(),
            waiting_socket: HashMap::new(),
            stats: KeyringStats::default(),
            scratch: Vec::new(),
        }
    }

    /// Takes a secret in. Returns the connections that wait for such a one: [`super::Session::offer`] is
    /// to be called for each. A connection not among them finds it by itself when its records come.
    pub fn add(&mut self, new: NewSecret) -> Offers {
        self.now = self.now.max(new.time);
        self.expire(new.time);
        if new.label == Label::Exporter || new.value.expose().is_empty() {
            return Offers::new();
        }
        let mark = self.mark(&new);
        let owner = (new.tgid, new.socket_hint);
        if self
            .recent
            .get(&mark)
            .is_some_and(|sockets| owner.1 == 0 || sockets.contains(&owner.1))
        {
            self.stats.duplicates += 1;
            return Offers::new();
        }
        let random = new.client_random;
        if let Some(id) = self.by_mark.get(&mark).copied() {
            self.stats.duplicates += 1;
            self.merge(id, random, owner);
        } else {
            while self.entries.len() >= MAX_PENDING
                && let Some(oldest) = self.order.pop_front()
            {
                self.stats.evicted += u64::from(self.remove(oldest).is_some());
            }
            self.insert(new, mark, owner);
        }
        self.offers(random, owner)
    }

    fn insert(&mut self, new: NewSecret, mark: u64, owner: End) {
        self.stats.added += 1;
        let id = self.put_in(Entry {
            label: new.label,
            client_random: new.client_random,
            server_random: new.server_random,
            value: new.value,
            owners: ArrayVec::new(),
            time: new.time,
            mark,
            trials: 0,
        });
        self.own(id, owner);
    }

    /// Gives an entry without owners a number.
    fn put_in(&mut self, entry: Entry) -> u64 {
        self.last += 1;
        let id = self.last;
        // Ids that are gone are passed over in `order`; it must not be all of them.
        if self.order.len() > 2 * MAX_PENDING {
            let entries = &self.entries;
            self.order.retain(|id| entries.contains_key(id));
        }
        self.order.push_back(id);
        self.by_mark.insert(entry.mark, id);
        if let Some(random) = entry.client_random {
            self.by_random.entry(random).or_default().push(id);
        }
        self.entries.insert(id, entry);
        id
    }

    /// Says who derived a secret.
    fn own(&mut self, id: u64, owner: End) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if owner == (0, 0) || entry.owners.contains(&owner) || entry.owners.is_full() {
            return;
        }
        entry.owners.push(owner);
        let (tgid, socket) = owner;
        let ids = self.by_process.entry(tgid).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
        if socket != 0 {
            self.by_socket.entry(socket).or_default().push(id);
        }
    }

    /// Another end's copy of a secret that waits. It is as new to that end's connection, which is another
    /// one if a relay stands between the two.
    fn merge(&mut self, id: u64, random: Option<[u8; 32]>, owner: End) {
        let Some(mut entry) = self.remove(id) else {
            return;
        };
        entry.client_random = entry.client_random.or(random);
        let owners = std::mem::take(&mut entry.owners);
        let id = self.put_in(entry);
        for owner in owners.into_iter().chain([owner]) {
            self.own(id, owner);
        }
    }

    /// Names a secret without telling it; differs in every run.
    fn mark(&self, new: &NewSecret) -> u64 {
        let random = match new.label {
            Label::Master12 => new.client_random,
            _ => None,
        };
        self.hasher
            .hash_one((new.label, random, new.value.expose()))
    }

    fn offers(&self, random: Option<[u8; 32]>, (tgid, socket): End) -> Offers {
        let mut offers = Offers::new();
        if let Some(random) = random {
            offers.extend(self.waiting_random.get(&random).copied());
            if !offers.is_empty() {
                return offers;
            }
        }
        if socket != 0 {
            // Others look for it by themselves, if this was a wrong guess.
            offers.extend(self.waiting_socket.get(&socket).copied());
            return offers;
        }
        for id in self.waiting_process.get(&tgid).into_iter().flatten().rev() {
            if offers.is_full() {
                break;
            }
            if !offers.contains(id) {
                offers.push(*id);
            }
        }
        offers
    }

    /// Forgets secrets that waited too long. `now`: nanoseconds (CLOCK_MONOTONIC).
    pub fn expire(&mut self, now: u64) {
        self.now = self.now.max(now);
        for _ in 0..self.order.len() {
            let Some(id) = self.order.front().copied() else {
                return;
            };
            if let Some(entry) = self.entries.get(&id) {
                let age = now.saturating_sub(entry.time);
                if age < SECRET_LIFE {
                    return;
                }
                if self.is_hinted(entry) && age < HINTED_LIFE {
                    // An idle connection's; it goes to the back of the queue.
                    self.order.rotate_left(1);
                    continue;
                }
                self.remove(id);
                self.stats.expired += 1;
            }
            self.order.pop_front();
        }
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.by_mark.remove(&entry.mark);
        if let Some(random) = entry.client_random {
            drop_from(&mut self.by_random, &random, id);
        }
        for (tgid, socket) in &entry.owners {
            drop_from(&mut self.by_process, tgid, id);
            drop_from(&mut self.by_socket, socket, id);
        }
        Some(entry)
    }

    /// Gives a secret to the connection with these ends. One that was derived for another socket as well
    /// stays for that: a relay carries one TLS connection over two of TCP.
    fn join(&mut self, id: u64, ends: &[End]) -> Option<Secret> {
        let mut entry = self.remove(id)?;
        self.stats.joined += 1;
        let owners = std::mem::take(&mut entry.owners);
        let mut others = owners
            .into_iter()
            .filter(|owner| is_other(*owner, ends))
            .peekable();
        if others.peek().is_none() {
            self.remember(entry.mark, ends);
            return Some(entry.value);
        }
        let value = Secret::new(entry.value.expose());
        let id = self.put_in(entry);
        for owner in others {
            self.own(id, owner);
        }
        value
    }

    fn remember(&mut self, mark: u64, ends: &[End]) {
        if self.recent_order.len() >= MAX_RECENT
            && let Some(oldest) = self.recent_order.pop_front()
        {
            self.recent.remove(&oldest);
        }
        let sockets = ends.iter().map(|end| end.1).take(MAX_ENDS).collect();
        if self.recent.insert(mark, sockets).is_none() {
            self.recent_order.push_back(mark);
        }
    }

    /// Takes the secret that came with this client random and, if it came with one, this server random.
    pub(super) fn take(
        &mut self,
        ends: &[End],
        client_random: &[u8; 32],
        server_random: Option<&[u8; 32]>,
        label: Label,
    ) -> Option<Secret> {
        let ids = self.by_random.get(client_random)?;
        let id = ids.iter().rev().copied().find(|id| {
            self.entries.get(id).is_some_and(|entry| {
                let other = entry.server_random.as_ref().zip(server_random);
                entry.label == label && other.is_none_or(|(a, b)| a == b)
            })
        })?;
        self.join(id, ends)
    }

    /// Number of the newest secret: those up to it have been looked at by who remembers it.
    pub(super) fn latest(&self) -> u64 {
        self.last
    }

    /// Whether a secret was derived for a socket so lately that this may not have been met yet.
    fn is_reserved(&self, entry: &Entry) -> bool {
        let young = self.now.saturating_sub(entry.time) < RESERVED;
        self.reserving && young && entry.owners.iter().any(|owner| owner.1 != 0)
    }

    /// Looks for a secret of this label among those of the processes in `ends`: those derived for its
    /// sockets first, then the newest first; those derived for another socket that waits, only when that
    /// has tried them. `fits` is given number and secret and returns trials made and
    /// whether it is the one; then it is taken.
    pub(super) fn search(
        &mut self,
        ends: &[End],
        random: Option<&[u8; 32]>,
        label: Label,
        after: u64,
        mut fits: impl FnMut(u64, &Secret) -> (u32, bool),
    ) -> Option<Secret> {
        let mut ids: ArrayVec<u64, MAX_CANDIDATES> = ArrayVec::new();
        let hinted = ends.iter().filter_map(|end| self.by_socket.get(&end.1));
        let others = ends.iter().filter_map(|end| self.by_process.get(&end.0));
        let all = hinted
            .map(|ids| (true, ids))
            .chain(others.map(|ids| (false, ids)));
        for (ours, list) in all {
            let new = list.iter().rev().take_while(|id| **id > after);
            for id in new.take(4 * MAX_CANDIDATES) {
                let Some(entry) = self.entries.get(id) else {
                    continue;
                };
                // One that came with another connection's random is not tried, nor one that another
                // waiting connection has the first right to.
                let other = entry.client_random.as_ref().zip(random);
                let elsewhere = !ours
                    && (self.is_reserved(entry) || (entry.trials == 0 && self.is_hinted(entry)));
                let fits = entry.label == label && other.is_none_or(|(a, b)| a == b) && !elsewhere;
                if fits && !ids.is_full() && !ids.contains(id) {
                    ids.push(*id);
                }
            }
        }
        for id in ids {
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            if entry.trials >= MAX_SECRET_TRIALS {
                continue;
            }
            let (trials, found) = fits(id, &entry.value);
            entry.trials += trials;
            self.stats.trials += u64::from(trials);
            if found {
                return self.join(id, ends);
            }
            if entry.trials >= MAX_SECRET_TRIALS {
                self.stats.tired += 1;
            }
        }
        None
    }

    /// Whether a socket that it was derived for waits for secrets.
    fn is_hinted(&self, entry: &Entry) -> bool {
        let mut sockets = entry.owners.iter().map(|owner| owner.1);
        sockets.any(|socket| self.waiting_socket.contains_key(&socket))
    }

    /// Forgets what is left of a connection's secrets: it has all it needs. A secret of another random, or
    /// that another socket may be in need of, stays: which socket it was derived for is a guess.
    pub(super) fn discard(&mut self, ends: &[End], random: Option<&[u8; 32]>) {
        let mut ids: ArrayVec<u64, MAX_LEFT> = ArrayVec::new();
        let same_random = random.and_then(|random| self.by_random.get(random));
        let same_sockets = ends.iter().filter_map(|end| self.by_socket.get(&end.1));
        for id in same_random.into_iter().chain(same_sockets).flatten() {
            let ours = self.entries.get(id).is_some_and(|entry| {
                let other = entry.client_random.as_ref().zip(random);
                let others = entry.owners.iter().any(|owner| is_other(*owner, ends));
                other.is_none_or(|(a, b)| a == b) && !others
            });
            if ours && !ids.is_full() && !ids.contains(id) {
                ids.push(*id);
            }
        }
        for id in ids {
            if let Some(entry) = self.remove(id) {
                self.stats.unneeded += 1;
                self.remember(entry.mark, ends);
            }
        }
    }

    /// A connection wants secrets.
    pub(super) fn wait(&mut self, id: u64, random: Option<[u8; 32]>, ends: &[End]) {
        self.forget(id);
        if self.interests.len() >= MAX_WAITING {
            self.stats.unheard += 1;
            return;
        }
        if let Some(random) = random {
            self.waiting_random.insert(random, id);
        }
        for (tgid, socket) in ends {
            let ids = self.waiting_process.entry(*tgid).or_default();
            if !ids.contains(&id) {
                ids.push(id);
            }
            if *socket != 0 {
                self.waiting_socket.insert(*socket, id);
            }
        }
        let ends = ends.iter().copied().take(MAX_ENDS).collect();
        self.interests.insert(id, Interest { random, ends });
    }

    /// It does not any more.
    pub(super) fn forget(&mut self, id: u64) {
        let Some(interest) = self.interests.remove(&id) else {
            return;
        };
        if let Some(random) = interest.random
            && self.waiting_random.get(&random) == Some(&id)
        {
            self.waiting_random.remove(&random);
        }
        for (tgid, socket) in &interest.ends {
            drop_from(&mut self.waiting_process, tgid, id);
            if self.waiting_socket.get(socket) == Some(&id) {
                self.waiting_socket.remove(socket);
            }
        }
    }

    /// Counts.
    #[must_use]
    pub fn stats(&self) -> KeyringStats {
        KeyringStats {
            pending: self.entries.len(),
            waiting: self.interests.len(),
            ..self.stats
        }
    }

    /// Bytes of heap, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.entries.capacity() * (size_of::<Entry>() + 8)
            + self.order.capacity() * 8
            + self.interests.capacity() * (size_of::<Interest>() + 8)
            + (self.by_random.capacity() + self.waiting_random.capacity()) * 56
            + self.recent.capacity() * (size_of::<Sockets>() + 8)
            + self.recent_order.capacity() * 8
            + self.scratch.capacity()
    }
}

/// Whether an owner's socket is known and none of these ends'.
fn is_other(owner: End, ends: &[End]) -> bool {
    owner.1 != 0 && ends.iter().all(|end| end.1 != owner.1)
}

impl Drop for Keyring {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.scratch);
    }
}

fn drop_from<K: Eq + std::hash::Hash>(map: &mut HashMap<K, Vec<u64>>, key: &K, id: u64) {
    if let Some(ids) = map.get_mut(key) {
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}
