//! The life of a window: it opens with an access, gathers, and is judged and learnt when it closes.

use super::gate::{FLOOR, Verdict};
use super::profile::{Exhibit, Learnt, Maturity, Tuple};
use super::sight::Sight;
use super::stream::Stream;
use super::{Baseline, Unusual, day_of, words};
use crate::access::Access;
use crate::judge::FindingKind;

/// Windows kept for reuse.
pub(super) const SPARE: usize = 64;
/// Alerts waiting to be taken; the gate lets fewer pass in any case.
const MOST_WAITING: usize = 1024;
/// How long after a loss windows count as touched by it, in microseconds.
const LOSS_US: i64 = 2_000_000;

impl Baseline {
    pub(super) fn open(&mut self, at: u32, access: &Access, sight: &Sight) {
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
    pub(super) fn add(&mut self, at: u32, access: &Access, sight: &Sight) {
        let settings = self.settings;
        let Some(entry) = self.room.get_mut(at) else {
            return;
        };
        let Some(window) = entry.window.as_deref_mut() else {
            return;
        };
        let peers = self.levels.peers(entry.group);
        let (mut novel, mut sum) = (0_u8, 0.0);
        for (stream, key) in Stream::ALL.into_iter().zip(sight.values) {
            // What a clause grants is mentioned by policy.
            if sight.granted && matches!(stream, Stream::Operation | Stream::Host) {
                continue;
            }
            let look = entry
                .profile
                .look(stream, key, &settings, peers, self.levels.host());
            window.look(stream, look);
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
                novel,
                bits: sum,
                ..Exhibit::of(access.clone(), sight.values)
            }));
        }
        self.room.weigh(at);
    }

    /// Judges a window and learns it.
    pub(super) fn close(&mut self, at: u32, now_us: i64) {
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
            let first = window.first.take();
            exhibit = first.map(|first| Box::new(Exhibit::of(first.0, first.1)));
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
            // Whatever could be told of is not learnt; while much is, nor is what comes half as far.
            held = evidence > (self.gate.threshold() / 2.0).max(FLOOR);
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
        let (group, levels) = (entry.group, &mut self.levels);
        let day = day_of(window.last_us);
        let after = settings.usual_after_days;
        profile.learn_rates(&amounts, day, how == Learnt::Held, after);
        profile.learn(&window, day, how, &settings, |stream, key, change| {
            if let Some(dropped) = change.dropped {
                levels.leave(group, stream, dropped);
            }
            if change.became_usual {
                levels.enter(group, stream, key);
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
}
