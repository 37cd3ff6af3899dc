//! One TLS connection: its handshake in clear, its keys, and what its records say.

use std::fmt;

use arrayvec::ArrayVec;

use super::backlog::{Backlog, Held};
use super::cipher::Keys;
use super::hello::Gather;
use super::keyring::{End, Keyring, SECRET_LIFE};
use super::record::{Intake, Part, Place};
use super::suite::Suite;
use super::tls13::Early;
use super::traffic::Reader;
use super::walk::Walk;
use super::{
    Chunk, Counts, Dir, MAX_ENDS, MAX_RECORD, Plain, Secret, State, Version, Via, Why, outer,
};

/// Nanoseconds without a record after which waiting for keys begins anew.
const IDLE: u64 = 5_000_000_000;
/// Nanoseconds after which a connection whose backlog is full is given up.
const FULL: u64 = 2_000_000_000;
/// Nanoseconds without keys after which they will hardly come.
const STARVING: u64 = 1_000_000_000;
/// Backlog that an idle connection may keep for longer, in bytes of heap.
const SMALL: usize = 12 * 1024;

/// What is kept of a ClientHello.
pub(super) struct Client {
    pub(super) random: [u8; 32],
    pub(super) early_data: bool,
}

/// One direction.
pub(super) struct Half {
    pub(super) intake: Intake,
    /// Gathers the hello; none when it is there.
    pub(super) gather: Option<Gather>,
    /// Records of ChangeCipherSpec so far: they have no number in TLS 1.3.
    pub(super) changes: u32,
    /// Keys of application data.
    pub(super) keys: Option<Keys>,
    /// The secret they came from (TLS 1.3).
    pub(super) secret: Option<Secret>,
    /// The record whose sequence number under `keys` is 0.
    pub(super) base: Option<u32>,
    /// What was held has been read: records are read as they come.
    pub(super) open: bool,
    /// Records were dropped in front of what is read next.
    pub(super) skipped: u32,
    /// Handshake messages under encryption (TLS 1.3).
    pub(super) walk: Walk,
    pub(super) reader: Reader,
}

impl Half {
    fn new() -> Self {
        Self {
            intake: Intake::default(),
            gather: Some(Gather::default()),
            changes: 0,
            keys: None,
            secret: None,
            base: None,
            open: false,
            skipped: 0,
            walk: Walk::default(),
            reader: Reader::default(),
        }
    }

    /// Its records can be decrypted.
    pub(super) fn ready(&self) -> bool {
        self.keys.is_some() && self.base.is_some()
    }

    fn memory(&self) -> usize {
        self.intake.memory()
            + self.gather.as_ref().map_or(0, Gather::memory)
            + self.walk.memory()
            + self.reader.memory()
    }
}

/// One TLS connection. Holds at most 192 KiB of heap (an attacker's; in practice 10 KiB while its keys
/// are waited for), and next to none once they are there: 4 slots of locked memory.
pub struct Session {
    id: u64,
    pub(super) ends: ArrayVec<End, MAX_ENDS>,
    pub(super) client: Option<Client>,
    /// The client's hello was not captured.
    pub(super) no_client: bool,
    pub(super) server_random: [u8; 32],
    pub(super) encrypt_then_mac: bool,
    /// A HelloRetryRequest came.
    pub(super) retried: bool,
    pub(super) psk: bool,
    pub(super) suite: Option<Suite>,
    pub(super) version: Option<Version>,
    pub(super) sni: Option<Box<str>>,
    pub(super) alpn: Option<Box<[u8]>>,
    pub(super) ja4: Option<Box<str>>,
    pub(super) opaque: Option<Why>,
    pub(super) via: Option<Via>,
    pub(super) up: Half,
    pub(super) down: Half,
    pub(super) early: Early,
    pub(super) backlog: Backlog,
    /// The backlog was full at some time.
    pub(super) full: bool,
    /// Waiting for keys began.
    pub(super) since: u64,
    last_time: u64,
    /// Direction of the last application data.
    pub(super) last_data: Option<Dir>,
    pub(super) counts: Counts,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("state", &self.state())
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A connection, by a number of the caller's choice that [`Keyring::add`] returns.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self {
            id,
            ends: ArrayVec::new(),
            client: None,
            no_client: false,
            server_random: [0; 32],
            encrypt_then_mac: false,
            retried: false,
            psk: false,
            suite: None,
            version: None,
            sni: None,
            alpn: None,
            ja4: None,
            opaque: None,
            via: None,
            up: Half::new(),
            down: Half::new(),
            early: Early::default(),
            backlog: Backlog::default(),
            full: false,
            since: 0,
            last_time: 0,
            last_data: None,
            counts: Counts::default(),
        }
    }

    /// Says that one end is a process on this host, with the cookie of its socket. Without any end,
    /// secrets join by the client's random alone.
    pub fn tap(&mut self, tgid: u32, socket: u64, ring: &mut Keyring) {
        let end = (tgid, socket);
        if self.ends.is_full() || self.ends.contains(&end) {
            return;
        }
        self.ends.push(end);
        if self.wants() && (self.client.is_some() || self.suite.is_some()) {
            self.wait(ring);
        }
    }

    /// Takes a chunk; plaintext goes to `out`.
    pub fn chunk(&mut self, chunk: &Chunk<'_>, ring: &mut Keyring, out: &mut dyn Plain) {
        if self.opaque.is_some() {
            return;
        }
        if chunk.length > MAX_RECORD {
            return self.darken(Why::Broken, ring);
        }
        if chunk.time > self.last_time {
            if chunk.time - self.last_time > IDLE {
                self.since = chunk.time;
            }
            self.last_time = chunk.time;
        }
        let dir = chunk.dir;
        match self.half(dir).intake.place(chunk) {
            Place::Old => return,
            Place::Now(part) => self.part(dir, part, ring, out),
            Place::Ahead => {
                if !self.half(dir).intake.keep(chunk) {
                    self.catch_up(dir, true, ring, out);
                    match self.half(dir).intake.place(chunk) {
                        Place::Old => {}
                        Place::Now(part) => self.part(dir, part, ring, out),
                        Place::Ahead => {
                            self.half(dir).intake.keep(chunk);
                        }
                    }
                }
            }
        }
        self.catch_up(dir, false, ring, out);
        self.give_up(chunk.time, ring);
    }

    /// Looks for secrets in the keyring. To be called when [`Keyring::add`] says so.
    pub fn offer(&mut self, ring: &mut Keyring, out: &mut dyn Plain) {
        if self.wants() {
            self.resolve(ring, out);
        }
    }

    /// Looks through all secrets once more, those too that were left to other sockets at first. To be
    /// called now and then, for a connection that goes on waiting.
    pub fn look_again(&mut self, ring: &mut Keyring, out: &mut dyn Plain) {
        if self.wants() && !self.backlog.is_empty() {
            for held in self.backlog.iter_mut() {
                held.tried = [0; 3];
            }
            self.resolve(ring, out);
        }
    }

    /// Something waits for chunks that may be under way.
    #[must_use]
    pub fn waiting(&self) -> bool {
        [&self.up, &self.down]
            .iter()
            .any(|half| half.intake.waiting() || half.reader.waiting())
    }

    /// Stops waiting: what is missing is missing. As [`super::super::Connection::settle`].
    pub fn settle(&mut self, ring: &mut Keyring, out: &mut dyn Plain) {
        for dir in [Dir::ToServer, Dir::ToClient] {
            self.catch_up(dir, true, ring, out);
            self.finish(dir, out);
        }
    }

    /// It has carried application data for longer than any library takes from deriving its keys to using
    /// them, and no keys came. `now`: nanoseconds (CLOCK_MONOTONIC).
    #[must_use]
    pub fn starves(&self, now: u64) -> bool {
        let unread = !self.backlog.is_empty() && !self.up.open && !self.down.open;
        self.wants() && unread && now.saturating_sub(self.since) > STARVING
    }

    /// Frees what an idle connection holds for keys that do not come. `now`: nanoseconds
    /// (CLOCK_MONOTONIC). To be called now and then.
    pub fn expire(&mut self, now: u64, ring: &mut Keyring) {
        let late = now.saturating_sub(self.since) > SECRET_LIFE;
        if self.wants() && late && self.backlog.memory() > SMALL {
            self.darken(Why::NoKeys, ring);
        }
    }

    /// The connection is closed: what was held is read, as far as it can be, or dropped; secrets go.
    pub fn close(&mut self, ring: &mut Keyring, out: &mut dyn Plain) {
        // It is the last time that anything can be found.
        ring.reserving = false;
        self.look_again(ring, out);
        ring.reserving = true;
        self.settle(ring, out);
        if !self.full {
            self.full = true;
            self.drain(ring, out);
        }
        let why = self.opaque;
        self.darken(Why::NoKeys, ring);
        self.opaque = why;
    }

    /// For the coverage.
    #[must_use]
    pub fn state(&self) -> State {
        match (self.opaque, self.version, self.suite, self.via) {
            (Some(why), ..) => State::Opaque(why),
            (None, Some(version), Some(suite), Some(via)) if self.up.open || self.down.open => {
                State::Reading {
                    version,
                    cipher: suite.cipher,
                    via,
                }
            }
            _ if self.full => State::Opaque(Why::NoKeys),
            _ => State::Handshake,
        }
    }

    /// Records of application data wait for keys.
    #[must_use]
    pub fn unread(&self) -> bool {
        self.full || !self.backlog.is_empty()
    }

    /// Server name that the client asked for, in lower case.
    #[must_use]
    pub fn sni(&self) -> Option<&str> {
        self.sni.as_deref()
    }

    /// Protocol agreed upon; in TLS 1.3, without handshake secrets, the only one that was offered.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// Version, once the server chose it.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Fingerprint of the client ([`super::ja4`]).
    #[must_use]
    pub fn ja4(&self) -> Option<&str> {
        self.ja4.as_deref()
    }

    /// Counts.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes of heap.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.backlog.memory()
            + self.up.memory()
            + self.down.memory()
            + [&self.sni, &self.ja4]
                .into_iter()
                .flatten()
                .map(|text| text.len())
                .sum::<usize>()
            + self.alpn.as_ref().map_or(0, |name| name.len())
    }

    pub(super) fn half(&mut self, dir: Dir) -> &mut Half {
        match dir {
            Dir::ToServer => &mut self.up,
            Dir::ToClient => &mut self.down,
        }
    }

    pub(super) fn is_13(&self) -> bool {
        self.version == Some(Version::Tls13)
    }

    pub(super) fn random(&self) -> Option<[u8; 32]> {
        self.client.as_ref().map(|client| client.random)
    }

    /// Keys may still be of use.
    fn wants(&self) -> bool {
        self.opaque.is_none() && !(self.up.open && self.down.open)
    }

    pub(super) fn wait(&self, ring: &mut Keyring) {
        ring.wait(self.id, self.random(), &self.ends);
    }

    /// Nothing of it will be read any more.
    pub(super) fn darken(&mut self, why: Why, ring: &mut Keyring) {
        self.opaque = Some(why);
        self.up = Half::new();
        self.down = Half::new();
        self.early = Early::default();
        self.backlog = Backlog::default();
        ring.forget(self.id);
    }

    /// Whether waiting for keys has become vain.
    fn give_up(&mut self, now: u64, ring: &mut Keyring) {
        if !self.wants() || self.backlog.is_empty() || self.up.open || self.down.open {
            return;
        }
        let waited = now.saturating_sub(self.since);
        if waited > SECRET_LIFE || (self.full && waited > FULL) {
            self.darken(Why::NoKeys, ring);
        }
    }

    fn catch_up(&mut self, dir: Dir, force: bool, ring: &mut Keyring, out: &mut dyn Plain) {
        // The intake is taken out for the loop: its parts borrow from what it held.
        while self.opaque.is_none() && self.half(dir).intake.waiting() {
            let mut intake = std::mem::take(&mut self.half(dir).intake);
            let went_on = intake.ready(force, |part| self.part(dir, part, ring, out));
            if self.opaque.is_none() {
                self.half(dir).intake = intake;
            }
            if !went_on {
                return;
            }
        }
    }

    fn part(&mut self, dir: Dir, part: Part<'_>, ring: &mut Keyring, out: &mut dyn Plain) {
        if part.passed.is_none() {
            self.counts.lost += u64::from(part.lost);
        }
        if self.half(dir).gather.is_some() && !self.opens(dir, &part, ring) {
            return;
        }
        match part.outer {
            outer::CHANGE_CIPHER_SPEC if part.first => self.change_cipher(dir, &part, ring, out),
            outer::CHANGE_CIPHER_SPEC => {}
            outer::HANDSHAKE if self.half(dir).gather.is_some() => {
                self.gather(dir, &part, ring, out);
            }
            outer::HANDSHAKE | outer::ALERT | outer::DATA => self.body(dir, &part, ring, out),
            _ => self.darken(Why::Broken, ring),
        }
    }

    /// A record that is encrypted, or, in TLS 1.2, may be.
    fn body(&mut self, dir: Dir, part: &Part<'_>, ring: &mut Keyring, out: &mut dyn Plain) {
        let tls12 = self.version == Some(Version::Tls12);
        let half = self.half(dir);
        let number = part.record.wrapping_sub(half.changes);
        if part.outer != outer::DATA && !(tls12 && half.base.is_some()) {
            // In clear.
            return;
        }
        if half.open {
            self.traffic(dir, number, part, false, ring, out);
            return;
        }
        if !self.backlog.push(dir, number, part) {
            if part.first {
                self.counts.unread_before_key += 1;
                let half = self.half(dir);
                half.skipped = half.skipped.saturating_add(1);
            }
            if !part.first && !self.full {
                return;
            }
            self.full = true;
        }
        self.resolve(ring, out);
    }

    /// Looks for keys, and reads what can be read with them.
    pub(super) fn resolve(&mut self, ring: &mut Keyring, out: &mut dyn Plain) {
        match self.version {
            Some(Version::Tls12) => self.resolve12(ring),
            Some(Version::Tls13) => self.resolve13(ring),
            _ => return,
        }
        self.drain(ring, out);
    }

    /// Reads held records that can be read, in the order of their arrival.
    fn drain(&mut self, ring: &mut Keyring, out: &mut dyn Plain) {
        let up = self.up.ready();
        // An answer is not read before what it answers, as long as that may still be read.
        let down = self.down.ready() && (up || self.early.accepted() || self.full);
        let early = self.early.accepted();
        let new = [(up || early) && !self.up.open, down && !self.down.open];
        if new == [false; 2] {
            return;
        }
        let taken = self.backlog.take(|held| match held.dir {
            Dir::ToServer => up || (early && held.early),
            Dir::ToClient => down,
        });
        self.up.open |= up;
        self.down.open |= down;
        for held in &taken {
            self.held(held, ring, out);
        }
        for half in [&mut self.up, &mut self.down] {
            if half.open && std::mem::take(&mut half.skipped) > 0 {
                half.reader.lose();
            }
        }
        if self.up.open && self.down.open {
            ring.discard(&self.ends, self.random().as_ref());
            ring.forget(self.id);
            self.early = Early::default();
            for half in [&mut self.up, &mut self.down] {
                half.walk = Walk::default();
            }
        }
    }

    fn held(&mut self, held: &Held, ring: &mut Keyring, out: &mut dyn Plain) {
        let half = self.half(held.dir);
        // Records of the handshake go by; those of it that were lost are no loss.
        let ahead = half
            .base
            .map_or(u32::MAX, |base| held.number.wrapping_sub(base));
        if ahead > u32::MAX / 2 && !held.early {
            return;
        }
        half.reader.turn |= held.turned;
        let part = Part {
            record: held.record,
            length: held.length,
            outer: held.outer,
            first: true,
            pos: 0,
            data: &held.data,
            time: held.time,
            lost: held.lost.min(ahead),
            passed: held.passed.filter(|_| held.lost <= ahead),
        };
        self.traffic(held.dir, held.number, &part, held.early, ring, out);
    }
}
