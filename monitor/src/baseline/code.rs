//! Profiles as bytes, for the store: a version, then each profile as numbers of variable length. What cannot be
//! read is left out, never guessed.

use std::sync::Arc;

use super::Baseline;
use super::evidence::KEPT;
use super::gate::Gate;
use super::profile::{Maturity, Profile};
use super::rate::Gauge;
use super::stream::Stream;
use super::table::Seen;

/// First byte of a part.
const VERSION: u8 = 3;
/// Longest name.
const MAX_NAME: usize = 4096;

/// Parts that the profiles are stored in, each by itself.
pub const PARTS: u8 = 64;

impl Baseline {
    /// The profiles of a part, if any of them changed since it was asked for last.
    pub fn save_part(&mut self, part: u8) -> Option<Vec<u8>> {
        let changed = |entry: &&mut super::profile::Entry| entry.dirty && entry.part == part;
        let mut dirty = false;
        for entry in self.room.iter_mut().filter(changed) {
            entry.dirty = false;
            dirty = true;
        }
        if !dirty {
            return None;
        }
        let mut out = vec![VERSION];
        for entry in self.room.iter().filter(|entry| entry.part == part) {
            let name = entry.name.as_bytes();
            if name.len() > MAX_NAME {
                continue;
            }
            put(&mut out, name.len() as u64);
            out.extend_from_slice(name);
            put(&mut out, entry.group);
            encode(&entry.profile, &mut out);
        }
        Some(out)
    }

    /// Takes back what [`Self::save_part`] gave; what is known already is merged. Returns how many profiles
    /// there were, and whether all of the part could be read.
    pub fn restore_part(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut reader = Reader(bytes);
        if reader.byte() != Some(VERSION) {
            return (0, false);
        }
        let (mut count, mut merged) = (0_usize, false);
        let mut whole = true;
        while !reader.0.is_empty() {
            let Some((name, group, profile)) = self.decode(&mut reader) else {
                whole = false;
                break;
            };
            count = count.saturating_add(1);
            match self.room.find(&name) {
                Some(at) => {
                    let settings = self.settings;
                    if let Some(entry) = self.room.get_mut(at) {
                        entry.profile.merge(&profile, &settings);
                    }
                    self.room.weigh(at);
                    merged = true;
                }
                None => {
                    for (stream, key) in profile.usual(self.settings.usual_after_days) {
                        self.levels.enter(group, stream, key);
                    }
                    let part = self.part_of(&name);
                    let mature = profile.maturity(&self.settings) == Maturity::Mature;
                    let at = self.room.insert(name, profile, group, part);
                    self.note_maturity(at, mature);
                }
            }
            self.shrink();
        }
        if merged {
            self.recount();
        }
        (count, whole)
    }

    /// The part an identity's profile is stored in.
    pub(super) fn part_of(&self, name: &str) -> u8 {
        let hash = self.seed.of(&[name.as_bytes()]);
        u8::try_from(hash % u64::from(PARTS)).unwrap_or(0)
    }

    /// The gate's state.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.gate
    }

    /// Takes the gate's state back. `raised` is how many alerts came after it was saved: they are paid for
    /// now, so that a crash buys none.
    pub fn restore_gate(&mut self, gate: Gate, raised: u64) {
        self.gate = gate;
        self.gate.set_budget(self.settings.budget);
        self.gate.spent(raised);
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<(Arc<str>, u64, Profile)> {
        let length = usize::try_from(reader.number()?).ok()?;
        if length > MAX_NAME {
            return None;
        }
        let name = std::str::from_utf8(reader.take(length)?).ok()?;
        let group = reader.number()?;
        let mut profile = Profile::new(0, &self.settings);
        profile.requests = reader.number()?;
        profile.windows = reader.number()?;
        profile.lossy = reader.number()?;
        profile.held = reader.number()?;
        profile.days = reader.short()?;
        profile.first_day = reader.short()?;
        profile.last_day = reader.short()?;
        profile.remembered_us = i64::try_from(reader.number()?).ok()?;
        let own = i64::try_from(reader.number()?).ok()?;
        let parts = reader.number()?;
        profile.own = super::gate::Bucket::from_parts(parts, own);
        let history = &mut profile.history;
        history.judged = reader.number()?;
        let accumulated = f32::from_bits(u32::try_from(reader.number()?).ok()?);
        history.accumulated = if accumulated.is_finite() {
            accumulated
        } else {
            0.0
        };
        let scores = usize::try_from(reader.number()?).ok()?;
        if scores > KEPT {
            return None;
        }
        history.scores = reader.take(scores)?.to_vec();
        history.next = reader.short().filter(|next| usize::from(*next) < KEPT)?;
        for gauge in &mut profile.rates {
            *gauge = decode_gauge(reader)?;
        }
        for (stream, table) in Stream::ALL.into_iter().zip(&mut profile.tables) {
            table.learnt = reader.number()?;
            table.dropped = reader.number()?;
            table.dropped_once = reader.number()?;
            let values = usize::try_from(reader.number()?).ok()?;
            if values > stream.capacity() {
                return None;
            }
            for _ in 0..values {
                let key = u64::from_le_bytes(reader.take(8)?.try_into().ok()?);
                let seen = Seen {
                    windows: u32::try_from(reader.number()?).ok()?,
                    requests: u32::try_from(reader.number()?).ok()?,
                    days: reader.short()?,
                    held: reader.short()?,
                    first: reader.short()?,
                    last: reader.short()?,
                    told: reader.byte()? != 0,
                    granted: false,
                };
                table.restore(key, seen, stream.capacity());
            }
            table.recount(self.settings.usual_after_days);
        }
        Some((Arc::from(name), group, profile))
    }
}

fn encode(profile: &Profile, out: &mut Vec<u8>) {
    let (parts, at_us) = profile.own.parts();
    for number in [
        profile.requests,
        profile.windows,
        profile.lossy,
        profile.held,
        profile.days.into(),
        profile.first_day.into(),
        profile.last_day.into(),
        u64::try_from(profile.remembered_us).unwrap_or(0),
        u64::try_from(at_us).unwrap_or(0),
        parts,
        profile.history.judged,
        profile.history.accumulated.to_bits().into(),
        profile.history.scores.len() as u64,
    ] {
        put(out, number);
    }
    out.extend_from_slice(&profile.history.scores);
    put(out, profile.history.next.into());
    for gauge in &profile.rates {
        encode_gauge(gauge, out);
    }
    for table in &profile.tables {
        for number in [
            table.learnt,
            table.dropped,
            table.dropped_once,
            table.len() as u64,
        ] {
            put(out, number);
        }
        for (key, seen) in table.iter() {
            out.extend_from_slice(&key.to_le_bytes());
            for number in [
                u64::from(seen.windows),
                seen.requests.into(),
                seen.days.into(),
                seen.held.into(),
                seen.first.into(),
                seen.last.into(),
            ] {
                put(out, number);
            }
            out.push(seen.told.into());
        }
    }
}

fn encode_gauge(gauge: &Gauge, out: &mut Vec<u8>) {
    for number in [
        u64::from(gauge.kept),
        gauge.next.into(),
        gauge.today.into(),
        gauge.held.into(),
        gauge.held_days.into(),
        gauge.told.into(),
    ] {
        put(out, number);
    }
    for day in gauge.days.iter().take(gauge.kept.into()) {
        put(out, (*day).into());
    }
}

fn decode_gauge(reader: &mut Reader<'_>) -> Option<Gauge> {
    let byte = |number: u64| u8::try_from(number).ok();
    let whole = |number: u64| u32::try_from(number).ok();
    let mut gauge = Gauge {
        kept: byte(reader.number()?)?,
        next: byte(reader.number()?)?,
        today: whole(reader.number()?)?,
        held: whole(reader.number()?)?,
        held_days: reader.short()?,
        told: whole(reader.number()?)?,
        ..Gauge::default()
    };
    for at in 0..usize::from(gauge.kept) {
        *gauge.days.get_mut(at)? = reader.short()?;
    }
    Some(gauge)
}

/// LEB128.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        #[allow(clippy::cast_possible_truncation, reason = "the low seven bits")]
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    #[allow(clippy::cast_possible_truncation, reason = "below 128")]
    out.push(number as u8);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            number |= bits.checked_shl(shift).filter(|_| shift < 63 || bits < 2)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn short(&mut self) -> Option<u16> {
        u16::try_from(self.number()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put(&mut out, number);
            assert_eq!(Reader(&out).number(), Some(number));
            out.pop();
            assert_eq!(Reader(&out).number(), None);
        }
        assert_eq!(Reader(&[0xff; 11]).number(), None, "longer than any number");
    }
}
