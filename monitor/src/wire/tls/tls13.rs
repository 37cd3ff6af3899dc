//! Keys of TLS 1.3, and the record with which each of them begins.
//!
//! A direction's encrypted records are numbered anew with every key (RFC 8446 §5.3). Where one key ends
//! and the next begins is under encryption, too. It is known when the handshake's own secrets are:
//! its messages are walked through up to Finished, over the bytes that were not captured. Else the
//! first record that the traffic secret opens as its number 0 is the first one.

use std::ops::RangeInclusive;

use super::backlog::{Backlog, Held};
use super::cipher::{Keys, plaintext};
use super::hello::kind;
use super::keyring::{Keyring, Label};
use super::schedule;
use super::session::Session;
use super::suite::Suite;
use super::traffic::inner;
use super::walk::Walk;
use super::{Dir, MAX_TRIALS, SHORT, Secret, Via, outer};

/// Records of unknown kind in front of a first whole one that are counted in.
const MAX_LOOSE: u32 = 4;
/// Least captured plaintext that a first record can be told by.
const LEAST: usize = 16;

/// Which of a direction's keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Epoch {
    Traffic,
    Handshake,
    Early,
}

impl Epoch {
    fn index(self) -> usize {
        self as usize
    }

    fn label(self, dir: Dir) -> Label {
        match (self, dir) {
            (Self::Traffic, Dir::ToServer) => Label::ClientTraffic,
            (Self::Traffic, Dir::ToClient) => Label::ServerTraffic,
            (Self::Handshake, Dir::ToServer) => Label::ClientHandshake,
            (Self::Handshake, Dir::ToClient) => Label::ServerHandshake,
            (Self::Early, _) => Label::ClientEarly,
        }
    }
}

impl Epoch {
    /// Whether a record can be the first of it. A secret without a label may be any epoch's, and the
    /// handshake's opens a record as its number 0 as well.
    fn may_begin(self, plain: &[u8]) -> bool {
        /// Certificate (RFC 8446 §4.4.2), CompressedCertificate (RFC 8879 §4).
        const CERTIFICATE: [u8; 2] = [11, 25];
        // Of a server EncryptedExtensions, of a client a certificate or Finished.
        let first = |message: &u8| {
            [kind::ENCRYPTED_EXTENSIONS, kind::FINISHED].contains(message)
                || CERTIFICATE.contains(message)
        };
        let (content_type, content) = inner(plain).unwrap_or_default();
        let handshake = content_type == outer::HANDSHAKE && content.first().is_some_and(first);
        match self {
            Self::Traffic => !handshake,
            Self::Handshake => handshake || content_type == outer::ALERT,
            Self::Early => true,
        }
    }
}

/// What becomes of early data (0-RTT).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Open,
    Accepted,
    Rejected,
}

/// A client's early data.
#[derive(Default)]
pub(super) struct Early {
    keys: Option<Keys>,
    base: Option<u32>,
    next: u32,
    fate: Fate,
    /// The record of EndOfEarlyData.
    end: Option<u32>,
}

impl Early {
    pub(super) fn accepted(&self) -> bool {
        self.fate == Fate::Accepted && self.keys.is_some()
    }

    pub(super) fn keys(&self) -> Option<(&Keys, u32)> {
        self.keys.as_ref().zip(self.base)
    }
}

/// What is known of a direction, to place a key in.
struct Ground<'a> {
    backlog: &'a Backlog,
    dir: Dir,
    epoch: Epoch,
    /// The key's first record, if it is known.
    base: Option<u32>,
    /// Trials made, of the connection.
    trials: u32,
}

impl Ground<'_> {
    /// The numbers that a record may have under the key; `None`: it is not among its records, or nothing
    /// can be told by it.
    fn testable(&self, held: &Held) -> Option<RangeInclusive<u32>> {
        let head = self.epoch == Epoch::Traffic && held.length > SHORT && held.data.len() >= LEAST;
        if held.outer != outer::DATA || !(held.whole() || head) {
            return None;
        }
        match self.base.map(|base| held.number.wrapping_sub(base)) {
            Some(number) if number > u32::MAX / 2 => None,
            Some(number) => Some(number..=number),
            None => Some(0..=self.loose(held)),
        }
    }

    /// The record that is number 0 under `keys`, if `held` is among its records.
    fn test(&mut self, keys: &Keys, held: &Held, plain: &mut Vec<u8>) -> Option<u32> {
        let whole = held.whole();
        for seq in self.testable(held)? {
            if self.trials >= MAX_TRIALS {
                return None;
            }
            self.trials += 1;
            plain.clear();
            let good = if whole {
                keys.open(seq.into(), held.outer, &held.data, plain)
                    && (seq > 0 || self.epoch.may_begin(plain))
            } else {
                keys.peek(seq.into(), &held.data, held.length, 0, plain);
                plausible(self.dir, plain)
            };
            if good {
                return Some(held.number.wrapping_sub(seq));
            }
        }
        None
    }

    /// Records right in front of one that cannot be tested: the key may begin with any of them.
    fn loose(&self, held: &Held) -> u32 {
        let mut loose = held.lost;
        for before in self
            .backlog
            .iter()
            .filter(|before| before.dir == held.dir && before.record < held.record)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            if loose >= MAX_LOOSE || before.whole() {
                break;
            }
            loose = loose.saturating_add(1).saturating_add(before.lost);
        }
        loose.min(MAX_LOOSE)
    }

    fn records(&self) -> impl Iterator<Item = &Held> {
        let dir = self.dir;
        self.backlog.iter().filter(move |held| held.dir == dir)
    }
}

impl Session {
    pub(super) fn resolve13(&mut self, ring: &mut Keyring) {
        let Some(suite) = self.suite else {
            return;
        };
        for dir in [Dir::ToClient, Dir::ToServer] {
            for epoch in [Epoch::Handshake, Epoch::Early] {
                if self.needs(dir, epoch) {
                    self.find(dir, epoch, suite, ring);
                }
            }
        }
        self.walk(Dir::ToClient, suite);
        self.walk_early();
        self.walk(Dir::ToServer, suite);
        // Last: the walk tells which records need not be tried.
        for dir in [Dir::ToClient, Dir::ToServer] {
            if self.needs(dir, Epoch::Traffic) {
                self.find(dir, Epoch::Traffic, suite, ring);
            }
        }
        for dir in [Dir::ToServer, Dir::ToClient] {
            self.locate(dir);
        }
    }

    /// Early data may have been sent and taken.
    fn early_possible(&self) -> bool {
        let offered = self.client.as_ref().is_some_and(|client| client.early_data);
        offered && self.psk && !self.retried && self.early.fate != Fate::Rejected
    }

    fn needs(&self, dir: Dir, epoch: Epoch) -> bool {
        let half = match dir {
            Dir::ToServer => &self.up,
            Dir::ToClient => &self.down,
        };
        match epoch {
            Epoch::Traffic => half.keys.is_none() && !half.walk.under_way(),
            Epoch::Handshake => {
                half.walk.keys.is_none() && !half.walk.messages.broken && half.base.is_none()
            }
            Epoch::Early => {
                dir == Dir::ToServer && self.early.keys.is_none() && self.early_possible()
            }
        }
    }

    fn find(&mut self, dir: Dir, epoch: Epoch, suite: Suite, ring: &mut Keyring) {
        let label = epoch.label(dir);
        let random = self.random();
        if let Some(secret) = random
            .as_ref()
            .and_then(|random| ring.take(&self.ends, random, None, label))
        {
            if let Some(keys) = schedule::keys(suite, &secret) {
                self.has(dir, epoch, keys, secret, None, Via::Random);
            }
            return;
        }
        let (latest, index) = (ring.latest(), epoch.index());
        let base = self.base_of(dir, epoch);
        let mut ground = Ground {
            backlog: &self.backlog,
            dir,
            epoch,
            base,
            trials: self.counts.trials,
        };
        let tried = |held: &Held| held.tried.get(index).copied().unwrap_or(u64::MAX);
        let after = ground.records().map(tried).min().unwrap_or(latest);
        if after >= latest || ground.trials >= MAX_TRIALS {
            return;
        }
        let mut found = None;
        let mut plain = plaintext();
        let (ends, random) = (&self.ends, random.as_ref());
        let secret = ring.search(ends, random, label, after, |id, secret| {
            let before = ground.trials;
            let backlog = ground.backlog;
            let new = |held: &&Held| held.dir == dir && tried(held) < id;
            // Deriving keys costs more than a trial.
            let mut all = backlog.iter().filter(new);
            if !all.any(|held| ground.testable(held).is_some()) {
                return (0, false);
            }
            let Some(keys) = schedule::keys(suite, secret) else {
                return (0, false);
            };
            let mut held = backlog.iter().filter(new);
            let base = held.find_map(|held| ground.test(&keys, held, &mut plain));
            let fits = base.is_some();
            found = base.map(|base| (keys, base));
            (ground.trials - before, fits)
        });
        self.counts.trials = ground.trials;
        for held in self.backlog.iter_mut().filter(|held| held.dir == dir) {
            if let Some(tried) = held.tried.get_mut(index) {
                *tried = latest;
            }
        }
        if let (Some((keys, base)), Some(secret)) = (found, secret) {
            self.has(dir, epoch, keys, secret, Some(base), Via::Trial);
        }
    }

    /// A key was found, and perhaps its first record.
    fn has(
        &mut self,
        dir: Dir,
        epoch: Epoch,
        keys: Keys,
        secret: Secret,
        base: Option<u32>,
        via: Via,
    ) {
        match epoch {
            Epoch::Traffic => {
                self.via.get_or_insert(via);
                let half = self.half(dir);
                (half.keys, half.secret, half.base) = (Some(keys), Some(secret), base);
            }
            Epoch::Handshake => {
                let walk = &mut self.half(dir).walk;
                (walk.keys, walk.base) = (Some(keys), base);
                walk.next = base.unwrap_or_default();
            }
            Epoch::Early => {
                (self.early.keys, self.early.base) = (Some(keys), base);
                self.early.next = base.unwrap_or_default();
            }
        }
    }

    /// The record with which a key begins, as far as it is known without the key.
    fn base_of(&self, dir: Dir, epoch: Epoch) -> Option<u32> {
        let first = || {
            let mut records = self.backlog.iter();
            let first = records.find(|held| held.dir == dir && held.outer == outer::DATA)?;
            (first.lost == 0).then_some(first.number)
        };
        let half = match dir {
            Dir::ToServer => &self.up,
            Dir::ToClient => &self.down,
        };
        match epoch {
            Epoch::Traffic => half.walk.boundary,
            Epoch::Early => first(),
            Epoch::Handshake => match self.early.end {
                Some(end) if dir == Dir::ToServer => Some(end.wrapping_add(1)),
                _ if dir == Dir::ToServer && self.client.as_ref().is_none_or(|c| c.early_data) => {
                    None
                }
                _ => first(),
            },
        }
    }

    /// Goes through the handshake messages that have come.
    fn walk(&mut self, dir: Dir, suite: Suite) {
        let base = self.base_of(dir, Epoch::Handshake);
        let mut walk = std::mem::take(&mut self.half(dir).walk);
        if walk.base.is_none() && walk.keys.is_some() {
            walk.base = base.or_else(|| self.first_opened(dir, &walk));
            walk.next = walk.base.unwrap_or_default();
        }
        if let (Some(keys), Some(first), None) = (&walk.keys, walk.base, walk.boundary) {
            let mut plain = plaintext();
            while !walk.messages.broken && !walk.messages.finished {
                match self.handshake_record(dir, keys, (first, walk.next), &mut plain) {
                    Step::Wait => break,
                    Step::Broken => walk.messages.broken = true,
                    Step::Read(hole) => {
                        walk.messages.read(&plain, suite.hash.size());
                        walk.messages.skip(hole);
                        walk.next = walk.next.wrapping_add(1);
                    }
                }
            }
            if walk.messages.finished && !walk.messages.broken {
                walk.boundary = Some(walk.next);
            }
        }
        if let Some(encrypted) = walk.messages.encrypted.take() {
            self.alpn = encrypted.alpn.map(Vec::into_boxed_slice);
            self.early.fate = match (self.early.fate, encrypted.early_data) {
                (_, true) => Fate::Accepted,
                (Fate::Open, false) => Fate::Rejected,
                (fate, false) => fate,
            };
        }
        self.half(dir).walk = walk;
    }

    /// The first held record that opens as number 0 under the handshake's key.
    fn first_opened(&mut self, dir: Dir, walk: &Walk) -> Option<u32> {
        let keys = walk.keys.as_ref()?;
        let mut plain = plaintext();
        let handshake = Epoch::Handshake.index();
        for held in self.backlog.iter_mut() {
            let Some(tried) = held.tried.get_mut(handshake) else {
                continue;
            };
            let new = held.dir == dir && held.outer == outer::DATA && *tried != u64::MAX;
            let whole = held.data.len() == usize::from(held.length);
            if !new || !whole || self.counts.trials >= MAX_TRIALS {
                continue;
            }
            *tried = u64::MAX;
            self.counts.trials += 1;
            if keys.open(0, held.outer, &held.data, &mut plain) {
                return Some(held.number);
            }
        }
        None
    }

    /// The handshake's record `number`, whose first is `first`: its content goes to `plain`.
    fn handshake_record(
        &self,
        dir: Dir,
        keys: &Keys,
        (first, number): (u32, u32),
        plain: &mut Vec<u8>,
    ) -> Step {
        let mut records = self.backlog.iter().filter(|held| held.dir == dir);
        let mut at = records.by_ref().skip_while(|held| held.number != number);
        let Some(held) = at.next() else {
            let mut all = self.backlog.iter();
            let past = all.any(|held| {
                held.dir == dir && (1..u32::MAX / 2).contains(&held.number.wrapping_sub(number))
            });
            return if past { Step::Broken } else { Step::Wait };
        };
        let seq = u64::from(number.wrapping_sub(first));
        plain.clear();
        if held.whole() {
            if !keys.open(seq, held.outer, &held.data, plain) {
                return Step::Broken;
            }
            let Some((outer::HANDSHAKE, content)) = inner(plain) else {
                return Step::Broken;
            };
            let length = content.len();
            plain.truncate(length);
            return Step::Read(0);
        }
        // It may still grow as long as it is the last.
        let Some(content) = keys.content(held.length).filter(|_| at.next().is_some()) else {
            return Step::Wait;
        };
        keys.peek(seq, &held.data, held.length, 0, plain);
        Step::Read(content.saturating_sub(plain.len()))
    }

    /// Finds out whether the server took the client's early data, and marks it if so.
    fn walk_early(&mut self) {
        if !self.early_possible() || self.early.end.is_some() {
            return;
        }
        if self.early.base.is_none() && self.early.keys.is_some() {
            self.early.base = self.base_of(Dir::ToServer, Epoch::Early);
            self.early.next = self.early.base.unwrap_or_default();
        }
        let early = &mut self.early;
        let (Some(keys), Some(base)) = (&early.keys, early.base) else {
            return;
        };
        let mut plain = plaintext();
        let up = |held: &&Held| held.dir == Dir::ToServer;
        for held in self.backlog.iter().filter(up) {
            if held.number != early.next {
                continue;
            }
            let seq = u64::from(held.number.wrapping_sub(base));
            plain.clear();
            if !held.whole() {
                if held.length <= SHORT {
                    break;
                }
            } else if !keys.open(seq, held.outer, &held.data, &mut plain) {
                // What is not early data any more: it was rejected, and not ended.
                early.fate = Fate::Rejected;
                return;
            } else if let Some((outer::HANDSHAKE, [kind::END_OF_EARLY_DATA, 0, 0, 0])) =
                inner(&plain)
            {
                early.end = Some(held.number);
                early.fate = Fate::Accepted;
                break;
            }
            early.next = early.next.wrapping_add(1);
        }
        if early.fate == Fate::Accepted {
            let count = early.next.wrapping_sub(base);
            for held in self.backlog.iter_mut() {
                held.early |= held.dir == Dir::ToServer && held.number.wrapping_sub(base) < count;
            }
        }
    }

    /// Finds the record with which a known traffic key begins.
    fn locate(&mut self, dir: Dir) {
        let trials = self.counts.trials;
        let half = match dir {
            Dir::ToServer => &mut self.up,
            Dir::ToClient => &mut self.down,
        };
        let (Some(keys), None) = (&half.keys, half.base) else {
            return;
        };
        if half.walk.boundary.is_some() {
            half.base = half.walk.boundary;
            return;
        }
        let mut ground = Ground {
            backlog: &self.backlog,
            dir,
            epoch: Epoch::Traffic,
            base: None,
            trials,
        };
        let mut plain = plaintext();
        for held in self.backlog.iter() {
            if held.dir == dir && !held.checked && half.base.is_none() {
                half.base = ground.test(keys, held, &mut plain);
            }
        }
        self.counts.trials = ground.trials;
        for held in self.backlog.iter_mut().filter(|held| held.dir == dir) {
            held.checked = true;
        }
    }
}

/// How it goes on through the handshake.
enum Step {
    /// The next record has not come, or not whole.
    Wait,
    /// It cannot be read.
    Broken,
    /// It was; so many bytes of it were not captured.
    Read(usize),
}

/// Whether plaintext is the beginning of HTTP beyond doubt: at least 56 bits of it are as they must be.
fn plausible(dir: Dir, plain: &[u8]) -> bool {
    match dir {
        Dir::ToClient => {
            let status = plain.get(9..12).unwrap_or_default();
            let line = plain.starts_with(b"HTTP/1.1 ") || plain.starts_with(b"HTTP/1.0 ");
            (line && status.len() == 3 && status.iter().all(u8::is_ascii_digit))
                // A SETTINGS frame (RFC 9113 §6.5) of at most 10 settings.
                || matches!(plain, [0, 0, length, 4, 0, 0, 0, 0, 0, ..] if length % 6 == 0 && *length <= 60)
        }
        Dir::ToServer => {
            if plain.starts_with(b"PRI * HTTP/2.0\r\n") {
                return true;
            }
            let line = memchr::memchr(b'\r', plain).and_then(|end| plain.get(..end));
            line.is_some_and(|line| {
                line.first().is_some_and(u8::is_ascii_uppercase)
                    && (line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0"))
                    && line.iter().all(|byte| (0x20..0x7f).contains(byte))
            })
        }
    }
}
