//! How much a value surprises: hierarchical Pitman–Yor predictive, one table per value and level.
//!
//! ```text
//! P(v | level) = max(c_v − d, 0) / (N + θ)  +  (θ + d·K) / (N + θ) · P(v | level above)
//! ```
//!
//! for the identity (c: learnt windows with v; N: their sum, K: how many values, usual ones only), its peers and the
//! host (c: identities that v is usual for). Above the host every value of a stream is as likely as any other.
//! docs/statistics.md explains the constants.

use hashbrown::HashMap;

use super::stream::{STREAMS, Stream};
use super::table::{Table, ratio};

/// Discount: how much mass a value gives to those not seen yet.
pub(super) const DISCOUNT: f64 = 0.5;
/// Concentration: the weight of the level above before anything was seen.
pub(super) const CONCENTRATION: f64 = 1.0;

/// What is usual for how many identities: of a group of peers, or of the host.
#[derive(Debug, Default)]
pub(super) struct Level {
    counts: HashMap<(u8, u64), u32>,
    mass: [u64; STREAMS],
    kinds: [u64; STREAMS],
}

impl Level {
    pub(super) fn add(&mut self, stream: Stream, key: u64) {
        let count = self.counts.entry((stream as u8, key)).or_insert(0);
        *count = count.saturating_add(1);
        let first = *count == 1;
        if let Some(mass) = self.mass.get_mut(stream as usize) {
            *mass = mass.saturating_add(1);
        }
        if first && let Some(kinds) = self.kinds.get_mut(stream as usize) {
            *kinds = kinds.saturating_add(1);
        }
    }

    pub(super) fn remove(&mut self, stream: Stream, key: u64) {
        let at = (stream as u8, key);
        let Some(count) = self.counts.get_mut(&at) else {
            return;
        };
        *count = count.saturating_sub(1);
        let last = *count == 0;
        if last {
            self.counts.remove(&at);
        }
        if let Some(mass) = self.mass.get_mut(stream as usize) {
            *mass = mass.saturating_sub(1);
        }
        if last && let Some(kinds) = self.kinds.get_mut(stream as usize) {
            *kinds = kinds.saturating_sub(1);
        }
    }

    /// Identities that the value is usual for.
    pub(super) fn count(&self, stream: Stream, key: u64) -> u32 {
        self.counts
            .get(&(stream as u8, key))
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    fn probability(&self, stream: Stream, key: u64, above: f64) -> f64 {
        let mass = self.mass.get(stream as usize).copied().unwrap_or_default();
        let kinds = self.kinds.get(stream as usize).copied().unwrap_or_default();
        let count = u64::from(self.count(stream, key));
        predict(count, mass, kinds, above)
    }
}

/// The formula above for one level.
fn predict(count: u64, mass: u64, kinds: u64, above: f64) -> f64 {
    let whole = float(mass) + CONCENTRATION;
    let own = (float(count) - DISCOUNT).max(0.0);
    let left = CONCENTRATION + DISCOUNT * float(kinds);
    (own + left * above) / whole
}

/// What a value says about who is at work, in bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bits {
    /// −log₂ of how likely it is for the identity.
    pub(super) surprise: f64,
    /// log₂ of how much likelier it is for the identity's peers. Not positive where the identity does it more
    /// often than they do; for what it never did the same, however rare that is elsewhere.
    pub(super) contrast: f64,
}

/// How a value looks to the identity with this table.
pub(super) fn bits(
    stream: Stream,
    key: u64,
    table: &Table,
    after: u16,
    peers: Option<&Level>,
    host: &Level,
) -> Bits {
    let host = host.probability(stream, key, stream.base());
    let peers = peers.map_or(host, |peers| peers.probability(stream, key, host));
    let count = table
        .get(key)
        .filter(|seen| seen.usual(after))
        .map_or(0, |seen| u64::from(seen.windows.max(1)));
    let own = predict(count, table.mass, u64::from(table.usual), peers);
    let log = |probability: f64| probability.clamp(f64::MIN_POSITIVE, 1.0).log2();
    Bits {
        surprise: -log(own),
        contrast: log(peers) - log(own),
    }
}

fn float(count: u64) -> f64 {
    ratio(count, 1)
}

#[cfg(test)]
mod tests {
    use super::super::table::Sighting;
    use super::*;

    fn table(values: &[(u64, u32)]) -> Table {
        let mut table = Table::default();
        for (key, windows) in values {
            for _ in 0..*windows {
                let sighting = Sighting {
                    key: *key,
                    requests: 1,
                    day: 1,
                    held: false,
                };
                table.enter(sighting, 64, 1);
            }
        }
        table
    }

    /// What all values together get, those never seen included, is one.
    #[test]
    fn the_predictive_is_a_distribution() {
        let mut host = Level::default();
        for key in [1, 1, 2, 3] {
            host.add(Stream::Environment, key);
        }
        let mut peers = Level::default();
        for key in [1, 2] {
            peers.add(Stream::Environment, key);
        }
        let own = table(&[(1, 40), (7, 2)]);
        // The base is uniform over so many values.
        let universe = (1.0 / Stream::Environment.base()) as u64;
        let sum: f64 = (1..=universe)
            .map(|key| {
                let bits = bits(Stream::Environment, key, &own, 1, Some(&peers), &host);
                (-bits.surprise).exp2()
            })
            .sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }

    /// A first use of what peers do is mild, of what nobody does strong.
    #[test]
    fn what_peers_do_is_mild() {
        let own = table(&[(1, 500), (2, 300)]);
        let (mut peers, mut host) = (Level::default(), Level::default());
        for key in [1, 2, 3, 3, 3, 3] {
            peers.add(Stream::Operation, key);
            host.add(Stream::Operation, key);
        }
        let of = |key| bits(Stream::Operation, key, &own, 1, Some(&peers), &host).surprise;
        assert!(of(1) < 1.5, "{}", of(1));
        assert!(
            of(1) < of(3) && of(3) + 8.0 < of(99),
            "{} {}",
            of(3),
            of(99)
        );
    }

    /// What the identity never did contrasts alike, whether peers do it or nobody; its own ways not at all.
    #[test]
    fn contrast_does_not_mind_rarity() {
        let own = table(&[(1, 500), (2, 300)]);
        let (mut peers, mut host) = (Level::default(), Level::default());
        for key in [1, 2, 3, 3, 3, 3] {
            peers.add(Stream::Operation, key);
            host.add(Stream::Operation, key);
        }
        let of = |key| bits(Stream::Operation, key, &own, 1, Some(&peers), &host).contrast;
        assert!(of(1) < 0.0 && of(2) < 0.0, "{} {}", of(1), of(2));
        assert!(
            of(3) > 5.0 && (of(3) - of(99)).abs() < 1e-9,
            "{} {}",
            of(3),
            of(99)
        );
    }

    #[test]
    fn a_level_forgets_what_left_it() {
        let mut level = Level::default();
        level.add(Stream::Host, 5);
        level.add(Stream::Host, 5);
        level.remove(Stream::Host, 5);
        assert_eq!(level.count(Stream::Host, 5), 1);
        level.remove(Stream::Host, 5);
        level.remove(Stream::Host, 5);
        assert!(level.is_empty() && level.mass == [0; STREAMS] && level.kinds == [0; STREAMS]);
    }
}
