//! What is usual for an identity, and what is not: learnt profiles, surprise, evidence, and a budget of alerts.
//!
//! An access becomes one value in each of eight streams. The accesses of an identity within a short time make a
//! window; when it closes, its surprise is compared with the identity's own recent windows, and what that comes to
//! goes through a gate that lets at most so many alerts a day pass, whatever the traffic does. docs/statistics.md
//! has the model, the proof and the constants.
//!
//! Pure: no I/O, no clock, no panic on any input; the same input gives the same output. Bounded in bytes.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "a test may panic: that is how it fails"
    )
)]

mod code;
mod digest;
mod evidence;
pub mod gate;
mod grant;
mod hash;
mod levels;
mod novelty;
mod profile;
mod rate;
mod room;
mod score;
mod sight;
mod status;
mod stream;
mod table;
#[cfg(test)]
mod testing;
mod windows;
mod words;

use std::collections::VecDeque;
use std::sync::Arc;

pub use code::PARTS;
pub use digest::{Digest, DigestEntry};
pub use hash::Seed;
pub use profile::{MOST_MISSING, Maturity, Profile};
pub use score::Surprise;
pub use status::{BaselineStatus, Standing};
pub use stream::{STREAMS, Stream};
pub use table::{HELD_DAYS, Seen, Table};

use crate::access::Access;
use crate::judge::{FindingKind, Words};
use gate::Gate;
use levels::Levels;
use profile::{Tuple, Window};
use room::Room;
use sight::Sights;

/// What the configuration says about baselines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether anything is learnt at all.
    pub enabled: bool,
    /// Alerts a day of the whole host, and how many of them can come at once.
    pub budget: u32,
    /// The same for one identity.
    pub per_identity: u32,
    /// Bytes of all profiles together.
    pub bytes: usize,
    /// Distinct days after which a value is usual.
    pub usual_after_days: u16,
    /// Distinct days with activity before a profile is mature.
    pub mature_after_days: u16,
    /// Windows without losses before a profile is mature.
    pub mature_after_windows: u32,
    /// Seconds of a window at most.
    pub window_s: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            budget: 3,
            per_identity: 1,
            bytes: 64 << 20,
            usual_after_days: 3,
            mature_after_days: 7,
            mature_after_windows: 50,
            window_s: 60,
        }
    }
}

/// Windows looked at in one tick: the hot thread must not stop long.
const MOST_ENDS: usize = 4096;

/// An alert: the access that surprised most, and what to say of it.
#[derive(Debug)]
pub struct Unusual {
    /// The access.
    pub access: Access,
    /// Its words.
    pub words: Words,
}

/// Profiles of all identities, and the gate.
#[derive(Debug)]
pub struct Baseline {
    settings: Settings,
    seed: Seed,
    sights: Sights,
    room: Room,
    levels: Levels,
    gate: Gate,
    digest: Digest,
    /// Ends of open windows, soonest first.
    ends: VecDeque<(i64, u32, u64)>,
    /// The last number given to a place in `ends`.
    ticket: u64,
    waiting: VecDeque<Unusual>,
    #[expect(clippy::vec_box, reason = "they come and go as boxes")]
    spare: Vec<Box<Window>>,
    lost: u64,
    lost_us: i64,
    alerts: u64,
    mature: u64,
}

impl Baseline {
    /// An empty one. `seed` must be the same over restarts, `now_us` is microseconds since 1970.
    #[must_use]
    pub fn new(settings: Settings, seed: Seed, now_us: i64) -> Self {
        Self {
            sights: Sights::new(seed),
            room: Room::new(settings.bytes),
            levels: Levels::default(),
            gate: Gate::new(settings.budget, now_us),
            digest: Digest::default(),
            ends: VecDeque::new(),
            ticket: 0,
            waiting: VecDeque::new(),
            spare: Vec::new(),
            lost: 0,
            lost_us: i64::MIN,
            alerts: 0,
            mature: 0,
            settings,
            seed,
        }
    }

    /// Other settings from now on. What was learnt stays.
    pub fn configure(&mut self, settings: Settings) {
        let before = std::mem::replace(&mut self.settings, settings);
        self.gate.set_budget(settings.budget);
        self.room.set_bytes(settings.bytes);
        if before.usual_after_days != settings.usual_after_days {
            self.recount();
        }
        self.shrink();
    }

    /// Takes note of one access that was judged. One that the server refused, whose identity is not sure, or
    /// that broke a rule about behaviour is none that could be usual, and is told of elsewhere.
    pub fn observe(&mut self, access: &Access) {
        if !self.settings.enabled || access.refused() || access.unknown_fields > 0 {
            return;
        }
        let Some(name) = &access.identity else { return };
        if access.findings.iter().any(tells_of_behaviour) {
            return;
        }
        let sight = self.sights.of(access);
        let failed = access.failed();
        let at = self.place(name, access);
        let Some(entry) = self.room.get_mut(at) else {
            return;
        };
        if entry.window.is_none() {
            self.open(at, access, &sight);
        }
        let Some(entry) = self.room.get_mut(at) else {
            return;
        };
        entry.span.note(sight.object, failed);
        let Some(window) = entry.window.as_deref_mut() else {
            return;
        };
        window.requests = window.requests.saturating_add(1);
        window.last_us = window.last_us.max(access.time_us);
        let same = |tuple: &&mut Tuple| tuple.hash == sight.hash;
        match window.tuples.iter_mut().find(same) {
            Some(tuple) => tuple.requests = tuple.requests.saturating_add(1),
            None => self.add(at, access, &sight),
        }
        let full = |entry: &profile::Entry| entry.window.as_ref().is_some_and(|w| w.is_full());
        if self.room.get(at).is_some_and(full) {
            self.close(at, access.time_us);
        }
        if self.room.bytes() > self.room.most_bytes() {
            self.shrink();
        }
    }

    /// Closes the windows whose time is over. `lost` is how much the capture lost since its start: a window in
    /// which it grew says nothing about what was not in it.
    pub fn tick(&mut self, now_us: i64, lost: u64) {
        if lost != self.lost {
            self.lost = lost;
            self.lost_us = now_us;
        }
        self.gate.pass_time(now_us);
        self.digest.turn(day_of(now_us));
        let length = self.window_us();
        for _ in 0..MOST_ENDS {
            let Some((end, at, ticket)) = self.ends.front().copied() else {
                break;
            };
            // A clock that went back far must not keep windows open.
            if end > now_us && end <= now_us.saturating_add(length.saturating_mul(2)) {
                break;
            }
            self.ends.pop_front();
            let Some(entry) = self.room.get_mut(at).filter(|e| e.ticket == ticket) else {
                continue;
            };
            let open = entry.window.as_ref().map(|window| window.opened_us);
            let end = open.map(|opened| opened.saturating_add(length));
            match end {
                // It closed early and another one is open.
                Some(end) if end > now_us && end <= now_us.saturating_add(length) => {
                    self.ends.push_back((end, at, ticket));
                }
                Some(_) => {
                    entry.ticket = 0;
                    self.close(at, now_us);
                }
                None => entry.ticket = 0,
            }
        }
        self.shrink();
    }

    /// The next alert that waits.
    pub fn next_unusual(&mut self) -> Option<Unusual> {
        self.waiting.pop_front()
    }

    /// When the next window's time is over, in microseconds since 1970; `None`: none is open.
    #[must_use]
    pub fn next_end_us(&self) -> Option<i64> {
        self.ends.front().map(|(end, ..)| *end)
    }

    fn window_us(&self) -> i64 {
        i64::from(self.settings.window_s).saturating_mul(1_000_000)
    }

    fn place(&mut self, name: &Arc<str>, access: &Access) -> u32 {
        if let Some(at) = self.room.known(name) {
            return at;
        }
        let profile = Profile::new(access.time_us, &self.settings);
        let (group, part) = (self.sights.group(access), self.part_of(name));
        self.room.add(name, profile, group, part)
    }

    /// The identity has other peers now, if that is so.
    fn move_to(&mut self, at: u32, group: u64) {
        let Some(entry) = self.room.get_mut(at) else {
            return;
        };
        let before = std::mem::replace(&mut entry.group, group);
        if before == group {
            return;
        }
        let after = self.settings.usual_after_days;
        let values = entry.profile.usual(after);
        self.levels.change_group((before, group), values);
    }

    fn note_maturity(&mut self, at: u32, mature: bool) {
        let Some(entry) = self.room.get_mut(at) else {
            return;
        };
        let before = std::mem::replace(&mut entry.mature, mature);
        self.mature = self.mature.saturating_sub(before.into());
        self.mature = self.mature.saturating_add(mature.into());
    }

    /// Forgets until the bound holds.
    fn shrink(&mut self) {
        while let Some(entry) = self.room.shrink() {
            self.mature = self.mature.saturating_sub(entry.mature.into());
            let after = self.settings.usual_after_days;
            for (stream, key) in entry.profile.usual(after) {
                self.levels.leave(entry.group, stream, key);
            }
        }
    }

    /// Counts again what is usual for whom.
    fn recount(&mut self) {
        self.levels = Levels::default();
        let after = self.settings.usual_after_days;
        for entry in self.room.iter_mut() {
            for table in &mut entry.profile.tables {
                table.recount(after);
            }
            for (stream, key) in entry.profile.usual(after) {
                self.levels.enter(entry.group, stream, key);
            }
        }
    }
}

/// Whether a finding says what an identity did, rather than how its credential travelled.
fn tells_of_behaviour(kind: FindingKind) -> bool {
    !matches!(
        kind,
        FindingKind::Cleartext | FindingKind::CredentialInUrl | FindingKind::ExpiredToken
    )
}

/// Days since 1970.
fn day_of(us: i64) -> u16 {
    let day = us.max(0) / 86_400_000_000;
    u16::try_from(day).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
