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
mod hash;
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
mod words;

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

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
use gate::{Gate, Verdict};
use novelty::Level;
use profile::{Exhibit, Learnt, Tuple, Window};
use room::Room;
use sight::{Sight, Sights};

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

/// Windows kept for reuse.
const SPARE: usize = 64;
/// Windows looked at in one tick: the hot thread must not stop long.
const MOST_ENDS: usize = 4096;
/// Alerts waiting to be taken; the gate lets fewer pass in any case.
const MOST_WAITING: usize = 1024;
/// How long after a loss windows count as touched by it, in microseconds.
const LOSS_US: i64 = 2_000_000;

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
    groups: HashMap<u64, Level>,
    host: Level,
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
            groups: HashMap::new(),
            host: Level::default(),
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

    fn open(&mut self, at: u32, access: &Access, sight: &Sight) {
        let end = access.time_us.saturating_add(self.window_us());
        let group = self.sights.group(access);
        self.move_to(at, group);
        let mut window = self.spare.pop().unwrap_or_default();
        window.begin(access.time_us);
        let length = self.window_us();
        let Some(entry) = self.room.get_mut(at) else {
            return;
        };
        let day = day_of(access.time_us);
        entry.span.open(access.time_us, length, day);
        if entry.mature {
            window.first = Some(Box::new((access.clone(), sight.values)));
        }
        entry.window = Some(window);
        if entry.ticket == 0 {
            self.ticket = self.ticket.wrapping_add(1).max(1);
            entry.ticket = self.ticket;
            self.ends.push_back((end, at, self.ticket));
        }
        // Places of forgotten profiles go when they are the larger part.
        if self.ends.len() > self.room.len().saturating_mul(2).saturating_add(SPARE) {
            let room = &self.room;
            self.ends
                .retain(|(_, at, ticket)| room.get(*at).is_some_and(|e| e.ticket == *ticket));
        }
    }

    /// A combination of values that the window has not seen.
    fn add(&mut self, at: u32, access: &Access, sight: &Sight) {
        let settings = self.settings;
        let Some(entry) = self.room.get_mut(at) else {
            return;
        };
        let Some(window) = entry.window.as_deref_mut() else {
            return;
        };
        let peers = self.groups.get(&entry.group);
        let (mut novel, mut sum) = (0_u8, 0.0);
        for ((stream, key), most) in Stream::ALL
            .into_iter()
            .zip(sight.values)
            .zip(&mut window.bits)
        {
            // What a clause grants is mentioned by policy.
            if sight.granted && matches!(stream, Stream::Operation | Stream::Host) {
                continue;
            }
            let look = entry
                .profile
                .look(stream, key, &settings, peers, &self.host);
            *most = most.max(look.bits);
            window.told |= look.told;
            if look.novel {
                novel |= 1 << stream as u8;
                sum += look.bits;
            }
        }
        window.tuples.push(Tuple {
            hash: sight.hash,
            values: sight.values,
            requests: 1,
        });
        let greatest = window.exhibit.as_ref().map_or(0.0, |exhibit| exhibit.bits);
        if sum > greatest && entry.profile.windows > 0 {
            window.exhibit = Some(Box::new(Exhibit {
                access: access.clone(),
                values: sight.values,
                novel,
                amounts: rate::Amounts::default(),
                excess: 0,
                bits: sum,
            }));
        }
        self.room.weigh(at);
    }

    /// Judges a window and learns it.
    fn close(&mut self, at: u32, now_us: i64) {
        let settings = self.settings;
        let Some(entry) = self.room.get_mut(at) else {
            return;
        };
        let Some(mut window) = entry.window.take() else {
            return;
        };
        let lossy = self.lost_us >= window.opened_us.saturating_sub(LOSS_US);
        let maturity = entry.profile.maturity(&settings);
        let amounts = entry.span.amounts();
        let (excess, bits) = entry.profile.excess(&amounts);
        window.rates = bits;
        let score = window.score();
        let mut exhibit = window.exhibit.take();
        if excess != 0 && exhibit.is_none() {
            exhibit = window.first.take().map(|first| {
                let (access, values) = *first;
                Box::new(Exhibit {
                    access,
                    values,
                    novel: 0,
                    amounts,
                    excess,
                    bits,
                })
            });
        }
        if let Some(exhibit) = &mut exhibit {
            (exhibit.amounts, exhibit.excess) = (amounts, excess);
        }
        let mut told: Option<Box<Exhibit>> = None;
        let mut held = false;
        self.gate.pass_time(now_us);
        if maturity == Maturity::Mature
            && let Some(evidence) = {
                let salt = self.seed.of(&[entry.name.as_bytes()]);
                entry.profile.history.judge(score, salt)
            }
        {
            held = evidence > self.gate.threshold() / 2.0;
            if let Some(exhibit) = exhibit {
                let own = &mut entry.profile.own;
                match self
                    .gate
                    .judge(evidence, own, settings.per_identity, now_us)
                {
                    Verdict::Pass => {}
                    Verdict::Alert => {
                        entry.profile.history.spend();
                        told = Some(exhibit);
                    }
                    Verdict::Digest => self.digest.offer(&exhibit.access, evidence),
                }
            }
        }
        if let Some(exhibit) = &told {
            self.alert(at, exhibit);
        }
        let Some(entry) = self.room.get_mut(at) else {
            return;
        };
        let profile = &mut entry.profile;
        let how = match (held, lossy) {
            (true, _) => Learnt::Held,
            (false, true) => Learnt::Lossy,
            (false, false) => Learnt::Whole,
        };
        let (group, groups, host) = (entry.group, &mut self.groups, &mut self.host);
        let day = day_of(window.last_us);
        let after = settings.usual_after_days;
        profile.learn_rates(&amounts, day, how == Learnt::Held, after);
        profile.learn(&window, day, how, &settings, |stream, key, change| {
            if let Some(dropped) = change.dropped {
                leave(groups, host, group, stream, dropped);
            }
            if change.became_usual {
                groups.entry(group).or_default().add(stream, key);
                host.add(stream, key);
            }
        });
        if let Some(exhibit) = told {
            for (bit, (key, table)) in exhibit.values.iter().zip(&mut profile.tables).enumerate() {
                if exhibit.novel & (1 << bit) != 0 {
                    table.tell(*key);
                }
            }
            for (bit, (count, gauge)) in amounts.iter().zip(&mut profile.rates).enumerate() {
                if exhibit.excess & (1 << bit) != 0 {
                    gauge.tell(*count);
                }
            }
        }
        let calibrates = matches!(maturity, Maturity::Calibrating | Maturity::Mature);
        if calibrates && how == Learnt::Whole && profile.remembers(now_us, &settings) {
            profile.history.remember(score);
            profile.remembered_us = now_us;
        }
        entry.dirty = true;
        let mature = entry.profile.maturity(&settings) == Maturity::Mature;
        self.note_maturity(at, mature);
        if self.spare.len() < SPARE {
            self.spare.push(window);
        }
        self.room.weigh(at);
    }

    /// What an alert told of this access is usual from now on, or is not for that reason any more.
    pub fn grant(&mut self, access: &Access, granted: bool) {
        let Some(at) = access
            .identity
            .as_deref()
            .and_then(|name| self.room.find(name))
        else {
            return;
        };
        let sight = self.sights.of(access);
        let (after, day) = (self.settings.usual_after_days, day_of(access.time_us));
        let Some(entry) = self.room.get_mut(at) else {
            return;
        };
        let group = entry.group;
        for ((stream, key), table) in Stream::ALL
            .into_iter()
            .zip(sight.values)
            .zip(&mut entry.profile.tables)
        {
            if key == 0 {
                continue;
            }
            let change = table.grant((key, day), granted, stream.capacity(), after);
            if let Some(dropped) = change.dropped {
                leave(&mut self.groups, &mut self.host, group, stream, dropped);
            }
            if change.became {
                self.groups.entry(group).or_default().add(stream, key);
                self.host.add(stream, key);
            }
            if change.ceased {
                leave(&mut self.groups, &mut self.host, group, stream, key);
            }
        }
        self.room.weigh(at);
    }

    fn alert(&mut self, at: u32, exhibit: &Exhibit) {
        let Some(entry) = self.room.get(at) else {
            return;
        };
        self.alerts = self.alerts.saturating_add(1);
        if self.waiting.len() < MOST_WAITING {
            let words = words::of(
                entry,
                exhibit,
                &self.room,
                (self.settings.usual_after_days, self.settings.window_s),
            );
            let mut access = exhibit.access.clone();
            access.findings.insert(FindingKind::Unusual);
            self.waiting.push_back(Unusual { access, words });
        }
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
        for (stream, key) in usual(&entry.profile, after) {
            leave_group(&mut self.groups, before, stream, key);
            self.groups.entry(group).or_default().add(stream, key);
        }
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
            for (stream, key) in usual(&entry.profile, after) {
                leave(&mut self.groups, &mut self.host, entry.group, stream, key);
            }
        }
    }

    /// Counts again what is usual for whom.
    fn recount(&mut self) {
        self.groups.clear();
        self.host = Level::default();
        let after = self.settings.usual_after_days;
        for entry in self.room.iter_mut() {
            for table in &mut entry.profile.tables {
                table.recount(after);
            }
            for (stream, key) in usual(&entry.profile, after) {
                self.groups.entry(entry.group).or_default().add(stream, key);
                self.host.add(stream, key);
            }
        }
    }
}

/// The values that are usual for a profile.
fn usual(profile: &Profile, after: u16) -> impl Iterator<Item = (Stream, u64)> {
    Stream::ALL
        .into_iter()
        .zip(&profile.tables)
        .flat_map(move |(stream, table)| {
            table
                .iter()
                .filter(move |(_, seen)| seen.usual(after))
                .map(move |(key, _)| (stream, key))
        })
}

fn leave(groups: &mut HashMap<u64, Level>, host: &mut Level, group: u64, stream: Stream, key: u64) {
    leave_group(groups, group, stream, key);
    host.remove(stream, key);
}

fn leave_group(groups: &mut HashMap<u64, Level>, group: u64, stream: Stream, key: u64) {
    if let Some(level) = groups.get_mut(&group) {
        level.remove(stream, key);
        if level.is_empty() {
            groups.remove(&group);
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
