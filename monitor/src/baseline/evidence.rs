//! From a window's surprise to evidence against the identity's own recent windows.

/// Scores kept of an identity's recent windows.
pub(super) const KEPT: usize = 192;
/// Scores that a new one is compared with at least.
pub(super) const FEWEST: usize = 16;
/// Bits that accumulated evidence is clipped to.
pub(super) const MOST_ACCUMULATED: f64 = 20.0;
/// Bits that the excess over all earlier windows is clipped to.
pub(super) const MOST_EXCESS: f64 = 20.0;
/// Most evidence there is, in bits.
pub(super) const MOST: f64 = MOST_ACCUMULATED + MOST_EXCESS;
/// Steps of a stored score in one bit.
const STEPS: f64 = 3.0;

/// Scores of recent windows, in thirds of a bit, and what has accumulated.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct History {
    pub(super) scores: Vec<u8>,
    pub(super) next: u16,
    /// log₂ of the e-values' product, clipped to 0 … [`MOST_ACCUMULATED`].
    pub(super) accumulated: f32,
    /// Windows judged so far: numbers the draws that break ties.
    pub(super) judged: u64,
}

impl History {
    /// Evidence of a window with this surprise, in bits, if there is enough to compare it with: what has
    /// accumulated, this window included, and half of what it exceeds every kept window by.
    pub(super) fn judge(&mut self, score: f64, salt: u64) -> Option<f64> {
        self.judged = self.judged.wrapping_add(1);
        if self.scores.len() < FEWEST {
            return None;
        }
        let step = quantise(score);
        let above = self.scores.iter().filter(|other| **other > step).count();
        let same = self.scores.iter().filter(|other| **other == step).count();
        let most = self.scores.iter().copied().max().unwrap_or(0);
        let p = smoothed(above, same, self.scores.len(), draw(salt, self.judged));
        let sum = f64::from(self.accumulated) + e_value(p).log2();
        let sum = sum.clamp(0.0, MOST_ACCUMULATED);
        #[allow(clippy::cast_possible_truncation, reason = "0 to 20")]
        {
            self.accumulated = sum as f32;
        }
        let excess = f64::from(step.saturating_sub(most)) / STEPS / 2.0;
        Some(sum + excess.clamp(0.0, MOST_EXCESS))
    }

    /// Remembers the score of a window that was learnt.
    pub(super) fn remember(&mut self, score: f64) {
        let step = quantise(score);
        let at = usize::from(self.next);
        if self.scores.len() < KEPT {
            if self.scores.capacity() == self.scores.len() {
                self.scores.reserve_exact(16);
            }
            self.scores.push(step);
        } else if let Some(place) = self.scores.get_mut(at) {
            *place = step;
        }
        self.next = u16::try_from(at.saturating_add(1) % KEPT).unwrap_or(0);
    }

    /// An alert told of it: what accumulated is spent.
    pub(super) fn spend(&mut self) {
        self.accumulated = 0.0;
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a byte"
)]
fn quantise(score: f64) -> u8 {
    (score * STEPS).clamp(0.0, 255.0) as u8
}

/// Smoothed conformal p-value: uniform on (0, 1] if the windows are exchangeable.
fn smoothed(above: usize, same: usize, kept: usize, draw: f64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "at most a few hundred")]
    let (above, same, kept) = (above as f64, same as f64, kept as f64);
    ((above + draw * (same + 1.0)) / (kept + 1.0)).clamp(1e-9, 1.0)
}

/// ∫₀¹ κ p^(κ−1) dκ: the mixture of all power calibrators, an e-value whatever p's distribution under the
/// null, as long as it is not smaller than uniform (Vovk and Wang 2021).
fn e_value(p: f64) -> f64 {
    let log = p.ln();
    // Near 1 the formula is 0/0; its limit is ½.
    if log > -1e-4 {
        return 0.5;
    }
    (1.0 - p + p * log) / (p * log * log)
}

/// A number in (0, 1] that is the same for the same input (SplitMix64).
fn draw(salt: u64, number: u64) -> f64 {
    let mut z = salt ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    let unit = (z >> 11) as f64 / (1_u64 << 53) as f64;
    1.0 - unit
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calibrator's integral over p is 1: an e-value.
    #[test]
    fn the_mixture_is_an_e_value() {
        // Substituting p = exp(−x); beyond x = 2000 lies 1/2000 of it.
        let steps = 4_000_000;
        let width = 2000.0 / f64::from(steps);
        let sum: f64 = (0..steps)
            .map(|at| {
                let x = (f64::from(at) + 0.5) * width;
                // e(p)·p, in a form that does not underflow.
                let p = (-x).exp();
                if x < 1e-4 {
                    0.5 * p * width
                } else {
                    (1.0 - p - p * x) / (x * x) * width
                }
            })
            .sum();
        assert!((sum - 1.0).abs() < 2e-3, "{sum}");
        assert!(
            (e_value(0.999_95) - 0.5).abs() < 1e-3,
            "{}",
            e_value(0.999_95)
        );
    }

    /// Exchangeable windows: p is uniform, ties or not.
    #[test]
    fn p_values_are_uniform() {
        for kinds in [2_u64, 5, 1000] {
            let mut state = 7_u64;
            let mut next = || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 33) % kinds
            };
            let mut below = [0_u32; 4];
            for round in 0..20_000 {
                let kept: Vec<u64> = (0..40).map(|_| next()).collect();
                let new = next();
                let above = kept.iter().filter(|v| **v > new).count();
                let same = kept.iter().filter(|v| **v == new).count();
                let p = smoothed(above, same, 40, draw(3, round));
                for (count, limit) in below.iter_mut().zip([0.05, 0.25, 0.5, 0.9]) {
                    *count += u32::from(p <= limit);
                }
            }
            for (count, limit) in below.iter().zip([0.05, 0.25, 0.5, 0.9]) {
                let share = f64::from(*count) / 20_000.0;
                assert!(
                    (share - limit).abs() < 0.02,
                    "{kinds} kinds: {share} ≤ {limit}"
                );
            }
        }
    }

    #[test]
    fn ordinary_windows_accumulate_nothing() {
        let mut history = History::default();
        let mut most: f64 = 0.0;
        for number in 0..2_000_u32 {
            let score = 4.0 + f64::from(number * 7919 % 13) / 4.0;
            if let Some(evidence) = history.judge(score, 1) {
                most = most.max(evidence);
            }
            history.remember(score);
        }
        assert!(most < 8.0, "{most}");
        let strange = history.judge(40.0, 1).unwrap();
        assert!(strange > 14.0 && strange <= MOST, "{strange}");
        assert!(history.scores.len() == KEPT && history.scores.capacity() <= KEPT);
    }
}
