//! What is known of one identity, and the window that is open now.

use std::sync::Arc;

use super::Settings;
use super::evidence::{FEWEST, History, KEPT};
use super::gate::Bucket;
use super::novelty::Level;
use super::rate::{Amounts, Gauge, RATES, Rate, Span};
use super::stream::{STREAMS, Stream};
use super::table::{Change, Sighting, Table};
use crate::access::Access;

/// Distinct combinations of values in a window at most; then it closes.
pub(super) const MOST_TUPLES: usize = 32;
/// Requests in a window at most; then it closes.
pub(super) const MOST_REQUESTS: u32 = 256;
/// Most missing mass (Good–Turing) of a mature profile's operations.
pub const MOST_MISSING: f64 = 0.05;

/// One access as values, 0 where nothing is known.
pub(super) type Values = [u64; STREAMS];

/// Accesses of a window with the same values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuple {
    pub(super) hash: u64,
    pub(super) values: Values,
    pub(super) requests: u32,
}

/// The access of a window that surprised most.
#[derive(Debug)]
pub(super) struct Exhibit {
    pub(super) access: Access,
    pub(super) values: Values,
    /// Streams whose value is not usual, one bit each.
    pub(super) novel: u8,
    /// How much was done until the window closed.
    pub(super) amounts: Amounts,
    /// Rates that were never so high, one bit each.
    pub(super) excess: u8,
    pub(super) bits: f64,
}

impl Exhibit {
    /// An access of which nothing is said yet.
    pub(super) fn of(access: Access, values: Values) -> Self {
        Self {
            access,
            values,
            novel: 0,
            amounts: Amounts::default(),
            excess: 0,
            bits: 0.0,
        }
    }
}

/// Activity of an identity over a short time.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub(super) opened_us: i64,
    pub(super) last_us: i64,
    pub(super) requests: u32,
    pub(super) tuples: Vec<Tuple>,
    /// Greatest surprise of each stream.
    pub(super) bits: [f64; STREAMS],
    /// Greatest contrast of each stream.
    pub(super) contrasts: [Option<f64>; STREAMS],
    pub(super) exhibit: Option<Box<Exhibit>>,
    /// Its first access: what an alert about rates shows. Only for profiles that can raise one.
    pub(super) first: Option<Box<(Access, Values)>>,
    /// Surprise of how much was done, in bits.
    pub(super) rates: f64,
    /// Values that an alert told of already and that are not usual yet were in it.
    pub(super) told: bool,
}

impl Window {
    pub(super) fn begin(&mut self, now_us: i64) {
        self.opened_us = now_us;
        self.last_us = now_us;
        self.requests = 0;
        self.tuples.clear();
        self.bits = [0.0; STREAMS];
        self.contrasts = [None; STREAMS];
        self.exhibit = None;
        self.first = None;
        self.rates = 0.0;
        self.told = false;
    }

    /// Takes note of what the profile says of a value.
    pub(super) fn look(&mut self, stream: Stream, look: Look) {
        let at = stream as usize;
        let greatest = self.bits.get_mut(at).zip(self.contrasts.get_mut(at));
        let Some((bits, contrast)) = greatest else {
            return;
        };
        *bits = bits.max(look.bits);
        let most = |before: f64| look.contrast.map_or(before, |now| now.max(before));
        *contrast = contrast.map(most).or(look.contrast);
    }

    /// How strange it is all in all, in bits.
    pub(super) fn score(&self) -> f64 {
        let contrasts = self.contrasts.iter().flatten();
        (self.bits.iter().chain(contrasts).sum::<f64>() / 2.0).max(0.0) + self.rates
    }

    pub(super) fn is_full(&self) -> bool {
        self.tuples.len() >= MOST_TUPLES || self.requests >= MOST_REQUESTS
    }
}

/// Why a profile is silent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Maturity {
    /// Too few distinct days.
    Days,
    /// Too few windows.
    Windows,
    /// Its operations are too often new: this share.
    Novel(f64),
    /// Not yet enough recent windows to compare with.
    Calibrating,
    /// It is not: it can raise alerts.
    Mature,
}

/// A profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub(super) tables: [Table; STREAMS],
    pub(super) rates: [Gauge; RATES],
    pub(super) history: History,
    /// Requests that were observed.
    pub(super) requests: u64,
    /// Windows that were learnt and lost nothing.
    pub(super) windows: u64,
    /// Windows that were learnt although something was lost on the host meanwhile.
    pub(super) lossy: u64,
    /// Windows that were held back.
    pub(super) held: u64,
    /// Distinct days with activity.
    pub(super) days: u16,
    pub(super) first_day: u16,
    pub(super) last_day: u16,
    /// When a score was remembered last.
    pub(super) remembered_us: i64,
    /// The identity's own share of the budget.
    pub(super) own: Bucket,
}

impl Profile {
    pub(super) fn new(now_us: i64, settings: &Settings) -> Self {
        Self {
            tables: std::array::from_fn(|_| Table::default()),
            rates: std::array::from_fn(|_| Gauge::default()),
            history: History::default(),
            requests: 0,
            windows: 0,
            lossy: 0,
            held: 0,
            days: 0,
            first_day: 0,
            last_day: 0,
            remembered_us: 0,
            own: Bucket::new(settings.per_identity, now_us),
        }
    }

    /// Whether it may raise alerts, or why not yet.
    #[must_use]
    pub fn maturity(&self, settings: &Settings) -> Maturity {
        if self.days < settings.mature_after_days {
            return Maturity::Days;
        }
        if self.windows < u64::from(settings.mature_after_windows) {
            return Maturity::Windows;
        }
        let missing = self.missing();
        if missing > MOST_MISSING {
            return Maturity::Novel(missing);
        }
        if self.history.scores.len() < FEWEST {
            return Maturity::Calibrating;
        }
        Maturity::Mature
    }

    /// How likely the next operation is one never seen (Good–Turing).
    #[must_use]
    pub fn missing(&self) -> f64 {
        self.table(Stream::Operation).map_or(1.0, Table::missing)
    }

    /// The values that are usual, when `after` distinct days make them so.
    pub(super) fn usual(&self, after: u16) -> impl Iterator<Item = (Stream, u64)> {
        Stream::ALL
            .into_iter()
            .zip(&self.tables)
            .flat_map(move |(stream, table)| {
                table
                    .iter()
                    .filter(move |(_, seen)| seen.usual(after))
                    .map(move |(key, _)| (stream, key))
            })
    }

    pub(super) fn table(&self, stream: Stream) -> Option<&Table> {
        self.tables.get(stream as usize)
    }

    /// Surprise of a value in bits, as far as the stream counts, and whether it is new and not told of.
    pub(super) fn look(
        &self,
        stream: Stream,
        key: u64,
        settings: &Settings,
        peers: Option<&Level>,
        host: &Level,
    ) -> Look {
        let Some(table) = self.table(stream).filter(|_| key != 0) else {
            return Look::default();
        };
        if self.days < stream.least_days() {
            return Look::default();
        }
        let seen = table.get(key);
        let usual = seen.is_some_and(|seen| seen.usual(settings.usual_after_days));
        if !usual && seen.is_some_and(|seen| seen.told) {
            return Look {
                told: true,
                ..Look::default()
            };
        }
        let after = settings.usual_after_days;
        let bits = super::novelty::bits(stream, key, table, after, peers, host);
        let most = stream.most_bits();
        Look {
            bits: bits.surprise.min(most),
            contrast: Some((bits.contrast + LEAD).clamp(-most, most)),
            novel: !usual,
            told: false,
        }
    }

    /// Which rates were never so high, one bit each, and the surprise of all in bits.
    pub(super) fn excess(&self, amounts: &Amounts) -> (u8, f64) {
        let gauges = Rate::ALL.into_iter().zip(&self.rates).zip(amounts);
        gauges.fold((0, 0.0), |(bits, sum), ((rate, gauge), count)| {
            let surprise = gauge.surprise(rate, *count);
            let novel = surprise > 0.0 && *count > gauge.greatest().0;
            (bits | u8::from(novel) << rate as u8, sum + surprise)
        })
    }

    /// Learns how much was done until a window closed; `day` is that of the window.
    pub(super) fn learn_rates(&mut self, amounts: &Amounts, day: u16, held: bool, after: u16) {
        let turns = self.days > 0 && day > self.last_day;
        for (gauge, count) in self.rates.iter_mut().zip(amounts) {
            if turns {
                gauge.turn(after);
            }
            gauge.enter(*count, held);
        }
    }

    /// Learns a window, or only notes on which days its values were there. Says what became usual and what
    /// usual things were dropped.
    pub(super) fn learn(
        &mut self,
        window: &Window,
        day: u16,
        how: Learnt,
        settings: &Settings,
        mut changed: impl FnMut(Stream, u64, Change),
    ) {
        let day = day.max(self.last_day);
        let held = how == Learnt::Held;
        if self.days == 0 {
            self.first_day = day;
        }
        if !held && (self.days == 0 || day > self.last_day) {
            self.days = self.days.saturating_add(1);
        }
        self.last_day = day;
        self.requests = self.requests.saturating_add(u64::from(window.requests));
        let counter = match how {
            Learnt::Whole => &mut self.windows,
            Learnt::Lossy => &mut self.lossy,
            Learnt::Held => &mut self.held,
        };
        *counter = counter.saturating_add(1);
        for (stream, table) in Stream::ALL.into_iter().zip(&mut self.tables) {
            let value = |tuple: &Tuple| tuple.values.get(stream as usize).copied().unwrap_or(0);
            for (at, tuple) in window.tuples.iter().enumerate() {
                let key = value(tuple);
                let before = window.tuples.iter().take(at);
                if key == 0 || before.clone().any(|other| value(other) == key) {
                    continue;
                }
                let same = window.tuples.iter().filter(|other| value(other) == key);
                let sighting = Sighting {
                    key,
                    requests: same.fold(0, |sum, other| sum.saturating_add(other.requests)),
                    day,
                    held,
                };
                let change = table.enter(sighting, stream.capacity(), settings.usual_after_days);
                if change != Change::default() {
                    changed(stream, key, change);
                }
            }
        }
    }

    /// Whether it is time to remember another score: recent windows of hours, not the last few of a busy
    /// minute.
    pub(super) fn remembers(&self, now_us: i64, settings: &Settings) -> bool {
        let window = i64::from(settings.window_s) * 1_000_000;
        let pause = if self.history.scores.len() < KEPT / 3 {
            window
        } else {
            window.saturating_mul(5)
        };
        now_us.saturating_sub(self.remembered_us) >= pause || now_us < self.remembered_us
    }

    /// Takes in what another host, or an older copy, knows of the same identity.
    pub fn merge(&mut self, other: &Self, settings: &Settings) {
        let after = settings.usual_after_days;
        for (stream, (mine, theirs)) in Stream::ALL
            .into_iter()
            .zip(self.tables.iter_mut().zip(&other.tables))
        {
            mine.merge(theirs, stream.capacity(), after);
        }
        let first = [(self.days, self.first_day), (other.days, other.first_day)];
        let first = first.iter().filter(|(days, _)| *days > 0);
        self.first_day = first.map(|(_, day)| *day).min().unwrap_or(0);
        let kept = |rates: &[Gauge]| rates.iter().map(|gauge| gauge.kept).max();
        if kept(&other.rates) > kept(&self.rates) {
            self.rates.clone_from(&other.rates);
        }
        self.requests = self.requests.saturating_add(other.requests);
        self.windows = self.windows.saturating_add(other.windows);
        self.lossy = self.lossy.saturating_add(other.lossy);
        self.held = self.held.saturating_add(other.held);
        self.days = self.days.max(other.days);
        self.last_day = self.last_day.max(other.last_day);
        if other.history.scores.len() > self.history.scores.len() {
            self.history = other.history.clone();
        }
    }

    /// Heap it holds, apart from its window.
    pub(super) fn heap(&self) -> usize {
        let tables: usize = self.tables.iter().map(Table::bytes).sum();
        // What the levels above keep of each usual value.
        let usual: usize = self.tables.iter().map(|table| table.usual as usize).sum();
        tables + self.history.scores.capacity() + usual * LEVEL_BYTES
    }
}

/// What a usual value costs in the maps of peers and host, at their worst load.
const LEVEL_BYTES: usize = 2 * 2 * 24;

/// How a window is learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learnt {
    /// Nothing of it was lost.
    Whole,
    /// What was seen in it is learnt, but that something was not in it says nothing.
    Lossy,
    /// Past half the gate: only the days of its values are noted.
    Held,
}

/// Bits by which a value may be less likely for the peers than for the identity and still contrast: what is rare
/// for it counts before it is new.
const LEAD: f64 = 3.0;

/// What a profile says of a value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    pub(super) bits: f64,
    /// How much likelier it is for the peers, in bits from [`LEAD`] less than as likely.
    pub(super) contrast: Option<f64>,
    pub(super) novel: bool,
    pub(super) told: bool,
}

/// A place in the room.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    pub(super) hash: u64,
    /// Which part of the store it is kept in.
    pub(super) part: u8,
    /// Its peers: the identities with the same number.
    pub(super) group: u64,
    pub(super) profile: Profile,
    pub(super) window: Option<Box<Window>>,
    /// How much it did within a window's time and today.
    pub(super) span: Span,
    /// Number of its window's end in the queue; 0: none.
    pub(super) ticket: u64,
    pub(super) dirty: bool,
    pub(super) settled: bool,
    pub(super) mature: bool,
    pub(super) newer: u32,
    pub(super) older: u32,
    pub(super) bytes: usize,
}

impl Entry {
    pub(super) fn weigh(&self) -> usize {
        let window = self.window.as_ref().map_or(0, |window| {
            let exhibit = window.exhibit.as_ref().map_or(0, |exhibit| {
                size_of::<Exhibit>() + exhibit.access.path.capacity()
            });
            let first = window.first.as_ref().map_or(0, |first| {
                size_of::<(Access, Values)>() + first.0.path.capacity()
            });
            size_of::<Window>() + window.tuples.capacity() * size_of::<Tuple>() + exhibit + first
        });
        // The box, its place, its place in the index and in the queue; and what the allocator adds.
        size_of::<Self>() + 96 + self.name.len() + self.profile.heap() + window
    }
}
