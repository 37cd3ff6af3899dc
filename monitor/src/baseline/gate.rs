//! The budget: which evidence becomes an alert. In any span of time there are at most budget × days + C of
//! them, whatever the evidence is. docs/statistics.md has the proof.

use serde::{Deserialize, Serialize};

use super::evidence::MOST;

/// Least evidence worth an alert, in bits.
pub const FLOOR: f64 = 4.0;
/// What the threshold rises by with each window past it, in bits.
pub const STEP: f64 = 2.0;

/// Microseconds of a day; also: parts of a token.
pub(super) const DAY_US: u64 = 86_400_000_000;

/// A bucket of tokens in integers: one token is [`DAY_US`] parts, and each microsecond brings `per_day` parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    parts: u64,
    at_us: i64,
}

impl Bucket {
    /// With `tokens` in it.
    #[must_use]
    pub fn new(tokens: u32, at_us: i64) -> Self {
        Self {
            parts: u64::from(tokens).saturating_mul(DAY_US),
            at_us,
        }
    }

    /// Lets time pass. A clock that goes back brings nothing, and nothing until it is where it was.
    pub(super) fn fill(&mut self, now_us: i64, per_day: u32, capacity: u32) {
        let passed = now_us.saturating_sub(self.at_us);
        if passed > 0 {
            let passed = u64::try_from(passed).unwrap_or(0);
            let more = passed.saturating_mul(u64::from(per_day));
            self.parts = self.parts.saturating_add(more);
            self.at_us = now_us;
        }
        self.parts = self.parts.min(u64::from(capacity).saturating_mul(DAY_US));
    }

    pub(super) fn has_one(&self) -> bool {
        self.parts >= DAY_US
    }

    /// Takes tokens, as far as they are there.
    pub(super) fn take(&mut self, tokens: u64) {
        self.parts = self.parts.saturating_sub(tokens.saturating_mul(DAY_US));
    }

    /// What it holds, in parts of a token, and when that was.
    pub(super) fn parts(&self) -> (u64, i64) {
        (self.parts, self.at_us)
    }

    /// As [`Self::parts`] said.
    pub(super) fn from_parts(parts: u64, at_us: i64) -> Self {
        Self { parts, at_us }
    }

    /// Whole tokens left.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.parts / DAY_US
    }
}

/// What the gate says of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not enough.
    Pass,
    /// Enough, and there is budget for it.
    Alert,
    /// Worth a look, but there is no budget for it: for the digest.
    Digest,
}

/// The gate of one host.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    bucket: Bucket,
    /// In bits; follows the quantile that spends the budget.
    threshold: f64,
    /// When it was last lowered.
    lowered_us: i64,
    #[serde(skip)]
    per_day: u32,
}

impl Gate {
    /// A gate with a full bucket.
    #[must_use]
    pub fn new(per_day: u32, now_us: i64) -> Self {
        Self {
            bucket: Bucket::new(per_day, now_us),
            threshold: FLOOR,
            lowered_us: now_us,
            per_day,
        }
    }

    /// A gate whose tokens are still to come: for when nobody knows what was spent.
    #[must_use]
    pub fn empty(now_us: i64) -> Self {
        Self::new(0, now_us)
    }

    /// Another budget from now on, also after it was read back. A larger one comes with time, not at once.
    pub fn set_budget(&mut self, per_day: u32) {
        self.per_day = per_day;
        self.threshold = if self.threshold.is_finite() {
            self.threshold.max(FLOOR)
        } else {
            FLOOR
        };
    }

    /// C of the bound: what the bucket holds.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.per_day
    }

    /// Evidence that it takes now, in bits.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Alerts that could be raised at once.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.bucket.tokens()
    }

    /// Counts alerts that were raised after the state was saved.
    pub fn spent(&mut self, alerts: u64) {
        self.bucket.take(alerts);
    }

    /// Lets time pass: tokens come, and the threshold sinks by [`STEP`] × budget a day.
    pub fn pass_time(&mut self, now_us: i64) {
        self.bucket.fill(now_us, self.per_day, self.burst());
        let passed = now_us.saturating_sub(self.lowered_us);
        if passed > 0 {
            #[allow(clippy::cast_precision_loss, reason = "microseconds of some days")]
            let days = passed as f64 / DAY_US as f64;
            let sunk = STEP * f64::from(self.per_day) * days;
            self.threshold = (self.threshold - sunk).max(FLOOR);
            self.lowered_us = now_us;
        }
    }

    /// Judges evidence in bits, of an identity with its own bucket.
    pub fn judge(
        &mut self,
        evidence: f64,
        own: &mut Bucket,
        own_per_day: u32,
        now_us: i64,
    ) -> Verdict {
        self.pass_time(now_us);
        own.fill(now_us, own_per_day, own_per_day);
        if evidence.is_nan() || evidence < FLOOR {
            return Verdict::Pass;
        }
        let evidence = evidence.min(MOST);
        // Who has used up what is its own does not raise the threshold for others either.
        if !own.has_one() || evidence < self.threshold {
            return Verdict::Digest;
        }
        self.threshold += STEP;
        if !self.bucket.has_one() {
            return Verdict::Digest;
        }
        self.bucket.take(1);
        own.take(1);
        Verdict::Alert
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
