//! How much, rather than what: requests, different objects and failures within a window's time, and different
//! objects within a day.
//!
//! Each is compared with the greatest of each of the last days, not with windows: what comes every night is usual,
//! and who does a thousand requests in one day has still shown one day. Beyond the greatest the tail is taken to be
//! heavy (Pareto, exponent [`TAIL`]): eight times as much is nine bits more.

use super::table::HELD_DAYS;

/// Number of rates.
pub(super) const RATES: usize = 4;
/// Days remembered.
const KEPT_DAYS: usize = 28;
/// Bits that a rate adds to a window's surprise at most.
const MOST_BITS: f64 = 20.0;
/// Bits for each doubling beyond the greatest of all days.
const TAIL: f64 = 3.0;
/// Steps of a stored level in one doubling.
const STEPS: f64 = 1024.0;
/// Registers of a count of different things.
const REGISTERS: usize = 64;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Rate {
    /// Requests within a window's time.
    Requests,
    /// Different objects (host and path) within a window's time.
    Objects,
    /// Requests within a window's time that failed, but not for want of permission: those are not looked at.
    Failures,
    /// Different objects within a day (UTC).
    Daily,
}

impl Rate {
    pub(super) const ALL: [Self; RATES] =
        [Self::Requests, Self::Objects, Self::Failures, Self::Daily];

    /// Fewer are never too many.
    fn least(self) -> u32 {
        match self {
            Self::Requests => 32,
            Self::Objects => 12,
            Self::Failures => 8,
            Self::Daily => 48,
        }
    }
}

/// How many of each.
pub(super) type Amounts = [u32; RATES];

/// The greatest of each of the last days.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Gauge {
    /// Levels, oldest anywhere: only the greatest matters.
    pub(super) days: [u16; KEPT_DAYS],
    pub(super) kept: u8,
    pub(super) next: u8,
    /// Greatest learnt today.
    pub(super) today: u32,
    /// Greatest today of windows that were held back.
    pub(super) held: u32,
    /// Days in a row on which windows that were held back had more than the others.
    pub(super) held_days: u16,
    /// What an alert told of; 0: of nothing.
    pub(super) told: u32,
}

impl Gauge {
    fn levels(&self) -> impl Iterator<Item = u16> {
        let today = (self.today > 0).then(|| level(self.today));
        let kept = usize::from(self.kept);
        self.days.iter().copied().take(kept).chain(today)
    }

    /// The greatest of any day, and of how many days.
    pub(super) fn greatest(&self) -> (u32, u16) {
        let most = self.levels().max().unwrap_or(0);
        let days = self.levels().count();
        (amount(most), u16::try_from(days).unwrap_or(u16::MAX))
    }

    /// Surprise in bits. Nothing while nothing is known, and nothing that an alert told of already.
    pub(super) fn surprise(&self, rate: Rate, count: u32) -> f64 {
        let days = self.levels().count();
        if count < rate.least() || days == 0 || count <= self.told.saturating_mul(2) {
            return 0.0;
        }
        let own = level(count);
        let reached = self.levels().filter(|other| *other >= own).count();
        let whole = float(days) + 1.0;
        let bits = if reached > 0 {
            (whole / (float(reached) + 1.0)).log2()
        } else {
            let most = self
                .levels()
                .max()
                .unwrap_or(0)
                .max(level(rate.least()) / 2);
            whole.log2() + TAIL * f64::from(own.saturating_sub(most)) / STEPS
        };
        bits.clamp(0.0, MOST_BITS)
    }

    /// Enters how much there was. What an alert told of is held back, too: told, it surprises no more.
    pub(super) fn enter(&mut self, count: u32, held: bool) {
        let most = if held || (self.told > 0 && count > self.greatest().0) {
            &mut self.held
        } else {
            &mut self.today
        };
        *most = (*most).max(count);
    }

    pub(super) fn tell(&mut self, count: u32) {
        self.told = self.told.max(count);
    }

    /// A day with activity is over; `after` distinct days make a value usual. What was held back counts when it
    /// went on for [`HELD_DAYS`] times as long.
    pub(super) fn turn(&mut self, after: u16) {
        let more = self.held > self.today;
        self.held_days = if more {
            self.held_days.saturating_add(1)
        } else {
            0
        };
        let lasting = u32::from(self.held_days) >= u32::from(after.max(1)) * HELD_DAYS;
        let greatest = if more && lasting {
            self.held
        } else {
            self.today
        };
        (self.today, self.held) = (0, 0);
        if greatest == 0 {
            return;
        }
        if greatest >= self.told {
            self.told = 0;
        }
        let at = usize::from(self.next) % KEPT_DAYS;
        if let Some(place) = self.days.get_mut(at) {
            *place = level(greatest);
        }
        self.next = u8::try_from((at + 1) % KEPT_DAYS).unwrap_or(0);
        let kept = usize::from(self.kept).saturating_add(1).min(KEPT_DAYS);
        self.kept = u8::try_from(kept).unwrap_or(0);
    }
}

/// log₂(1 + count) in [`STEPS`].
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 32,768"
)]
fn level(count: u32) -> u16 {
    ((f64::from(count) + 1.0).log2() * STEPS).round() as u16
}

/// The count that has this level, nearly.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count, saturating"
)]
fn amount(level: u16) -> u32 {
    ((f64::from(level) / STEPS).exp2() - 1.0).round() as u32
}

#[allow(clippy::cast_precision_loss, reason = "at most a few dozen")]
fn float(count: usize) -> f64 {
    count as f64
}

/// A count of different things in 64 bytes, to about an eighth (HyperLogLog, Flajolet and others 2007).
#[derive(Clone, Copy, Debug)]
pub(super) struct Different([u8; REGISTERS]);

impl Default for Different {
    fn default() -> Self {
        Self([0; REGISTERS])
    }
}

impl Different {
    pub(super) fn add(&mut self, hash: u64) {
        #[allow(clippy::cast_possible_truncation, reason = "six bits")]
        let at = (hash as usize) % REGISTERS;
        let rank = u8::try_from((hash >> 6 | 1 << 58).trailing_zeros() + 1).unwrap_or(u8::MAX);
        if let Some(register) = self.0.get_mut(at) {
            *register = (*register).max(rank);
        }
    }

    pub(super) fn count(&self) -> u32 {
        let registers = float(REGISTERS);
        let sum: f64 = self.0.iter().map(|rank| (-f64::from(*rank)).exp2()).sum();
        let empty = self.0.iter().filter(|rank| **rank == 0).count();
        let raw = 0.709 * registers * registers / sum;
        let count = if raw <= 2.5 * registers && empty > 0 {
            registers * (registers / float(empty)).ln()
        } else {
            raw
        };
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count, saturating"
        )]
        {
            count.round() as u32
        }
    }
}

/// What an identity did within a window's time, over windows that closed early, and today.
#[derive(Clone, Debug, Default)]
pub(super) struct Span {
    began_us: i64,
    requests: u32,
    failures: u32,
    objects: Different,
    day: u16,
    daily: Different,
}

impl Span {
    /// A window opens: what is older than its time is over.
    pub(super) fn open(&mut self, now_us: i64, window_us: i64, day: u16) {
        let age = now_us.saturating_sub(self.began_us);
        if age >= window_us || age < 0 {
            self.began_us = now_us;
            (self.requests, self.failures) = (0, 0);
            self.objects = Different::default();
        }
        if day != self.day {
            self.day = day;
            self.daily = Different::default();
        }
    }

    pub(super) fn note(&mut self, object: u64, failed: bool) {
        self.requests = self.requests.saturating_add(1);
        self.failures = self.failures.saturating_add(failed.into());
        self.objects.add(object);
        self.daily.add(object);
    }

    pub(super) fn amounts(&self) -> Amounts {
        [
            self.requests,
            self.objects.count(),
            self.failures,
            self.daily.count(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge(days: &[u32]) -> Gauge {
        let mut gauge = Gauge::default();
        for most in days {
            gauge.enter(*most, false);
            gauge.turn(3);
        }
        gauge
    }

    #[test]
    fn more_than_ever_surprises_by_how_much_more() {
        let gauge = gauge(&[60, 55, 64, 58, 61, 60, 59]);
        let of = |count| gauge.surprise(Rate::Requests, count);
        assert!(of(31) < f64::EPSILON, "too few to speak of");
        assert!(of(58) < 1.0, "{}", of(58));
        assert!((3.0..4.5).contains(&of(70)), "{}", of(70));
        // Eight times as much: nine bits more, and three for seven days.
        assert!((11.5..12.5).contains(&of(519)), "{}", of(519));
        assert!((of(u32::MAX) - MOST_BITS).abs() < f64::EPSILON);
        assert_eq!(gauge.greatest(), (64, 7));
    }

    #[test]
    fn nothing_is_known_on_the_first_day_and_what_was_told_is_not_again() {
        assert!(Gauge::default().surprise(Rate::Requests, 9999) < f64::EPSILON);
        let mut gauge = gauge(&[60; 5]);
        gauge.tell(2000);
        assert!(gauge.surprise(Rate::Requests, 4000) < f64::EPSILON);
        assert!(gauge.surprise(Rate::Requests, 4001) > 15.0);
    }

    /// One day of it does not make it usual, nor do eleven; twelve do, and nothing that was told stands in the way.
    #[test]
    fn what_was_held_back_becomes_usual_when_it_lasts() {
        let mut gauge = gauge(&[60; 5]);
        gauge.tell(2000);
        for day in 1..=12 {
            assert_eq!(gauge.greatest().0, 60, "day {day}");
            gauge.enter(50, false);
            gauge.enter(2000, true);
            gauge.turn(3);
        }
        assert_eq!(gauge.greatest().0, 2000);
        assert_eq!(gauge.told, 0);
    }

    /// What was told is not learnt because it surprises no more.
    #[test]
    fn what_was_told_is_not_learnt_at_once() {
        let mut gauge = gauge(&[60; 5]);
        gauge.tell(2000);
        gauge.enter(2000, false);
        gauge.enter(55, false);
        gauge.turn(3);
        assert_eq!(gauge.greatest().0, 60);
    }

    #[test]
    fn the_oldest_day_makes_room() {
        let mut gauge = gauge(&[9000]);
        for _ in 0..KEPT_DAYS {
            gauge.enter(60, false);
            gauge.turn(3);
        }
        assert_eq!(gauge.greatest(), (60, 28));
    }

    #[test]
    fn different_things_are_counted_to_an_eighth() {
        let seed = super::super::Seed::new([3; 16]);
        for count in [0_u32, 1, 3, 12, 64, 300, 5000, 100_000] {
            let mut different = Different::default();
            for thing in 0..count {
                for _ in 0..2 {
                    different.add(seed.of(&[&thing.to_le_bytes()]));
                }
            }
            let found = f64::from(different.count());
            let off = (found - f64::from(count)).abs();
            assert!(off <= f64::from(count) * 0.4 + 0.5, "{found} for {count}");
        }
    }

    #[test]
    fn a_span_goes_on_over_windows_that_closed_early() {
        let mut span = Span::default();
        span.open(0, 60, 1);
        for object in 0..5 {
            span.note(object << 20 | object, object == 0);
        }
        span.open(30, 60, 1);
        span.note(7 << 20 | 7, false);
        assert_eq!(span.amounts(), [6, 6, 1, 6]);
        span.open(60, 60, 1);
        assert_eq!(span.amounts(), [0, 0, 0, 6]);
        span.open(61, 60, 2);
        assert_eq!(span.amounts(), [0, 0, 0, 0]);
    }
}
