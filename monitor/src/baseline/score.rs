//! What the baseline would say of accesses, for who measures it.

use super::Baseline;
use super::profile::Window;
use super::stream::Stream;
use crate::access::Access;

/// How much accesses surprise, in bits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Surprise {
    /// As a window that held them all.
    pub window: f64,
    /// The mean of each by itself.
    pub mean: f64,
    /// The mean of how much likelier each is for the identity's peers, as far as it counts.
    pub contrast: f64,
}

impl Baseline {
    /// How much these accesses would surprise if they were the identity's. Nothing of them is learnt. `None`: it
    /// has no profile.
    pub fn surprise(&mut self, identity: &str, accesses: &[Access]) -> Option<Surprise> {
        let at = self.room.find(identity)?;
        let (mut window, mut sum, mut contrast) = (Window::default(), 0.0, 0.0);
        for access in accesses {
            let sight = self.sights.of(access);
            let entry = self.room.get(at)?;
            let peers = self.levels.peers(entry.group);
            for (stream, key) in Stream::ALL.into_iter().zip(sight.values) {
                let profile = &entry.profile;
                let look = profile.look(stream, key, &self.settings, peers, self.levels.host());
                window.look(stream, look);
                sum += look.bits;
                contrast += look.contrast.unwrap_or_default();
            }
        }
        #[allow(clippy::cast_precision_loss, reason = "a mean of some accesses")]
        let count = accesses.len().max(1) as f64;
        Some(Surprise {
            window: window.score(),
            mean: sum / count,
            contrast: contrast / count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::access;
    use super::super::{Baseline, Seed, Settings};

    #[test]
    fn what_was_never_done_surprises_more_and_is_not_learnt() {
        const DAY: i64 = 86_400_000_000;
        let mut baseline = Baseline::new(Settings::default(), Seed::new([1; 16]), 0);
        let one = |path: &str, time: i64| {
            let mut access = access("ci", "GET", "api.example", path, "/usr/bin/x");
            access.time_us = time;
            access
        };
        assert_eq!(baseline.surprise("ci", &[]), None);
        for day in 0..10 {
            baseline.observe(&one("/a", day * DAY));
            baseline.tick(day * DAY + DAY / 2, 0);
        }
        let usual = baseline.surprise("ci", &[one("/a", 9 * DAY)]).unwrap();
        let new = [one("/a", 9 * DAY), one("/b", 9 * DAY)];
        let first = baseline.surprise("ci", &new).unwrap();
        assert!(first.window > usual.window + 3.0, "{usual:?} {first:?}");
        assert!(first.mean > usual.mean && first.mean < first.window);
        assert_eq!(baseline.surprise("ci", &new), Some(first), "it was learnt");
    }
}
