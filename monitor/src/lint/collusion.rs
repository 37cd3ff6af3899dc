//! Collusion numbers: the fewest owners that together can do all parts of a task.
//!
//! A minimum set cover, which is hard in general and small in practice: searched exactly, with more and
//! more owners, up to a bound on the steps. When the bound is met the result says between which
//! numbers it is.

use hashbrown::HashSet;

/// Most parts of one task.
pub const MOST_PARTS: usize = 128;

/// Most steps of one search.
const MOST_STEPS: u32 = 200_000;

/// More different sets than this are not compared with each other.
const MOST_COMPARED: usize = 2_048;

/// How many owners a task takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collusion {
    /// Exactly so many: these ones, by index, in order.
    Exactly(Vec<usize>),
    /// The search was given up: at least so many are needed, and these, by index in order, can.
    Between(usize, Vec<usize>),
    /// Parts that nobody can do, by index in order: no owners are enough.
    Impossible(Vec<usize>),
    /// More than [`MOST_PARTS`] parts: not searched.
    TooLarge,
}

impl Collusion {
    /// The number, when it is known.
    #[must_use]
    pub fn number(&self) -> Option<usize> {
        match self {
            Self::Exactly(owners) => Some(owners.len()),
            Self::Between(..) | Self::Impossible(_) | Self::TooLarge => None,
        }
    }
}

/// The fewest owners for a task of `parts` parts. `holds` has a set for each owner: bit *n* is part *n*;
/// bits beyond the parts are ignored. A task without parts takes nobody.
#[must_use]
pub fn fewest(parts: usize, holds: &[u128]) -> Collusion {
    fewest_within(parts, holds, MOST_STEPS)
}

fn fewest_within(parts: usize, holds: &[u128], steps: u32) -> Collusion {
    if parts > MOST_PARTS {
        return Collusion::TooLarge;
    }
    let all = u32::try_from(MOST_PARTS - parts)
        .ok()
        .and_then(|unused| u128::MAX.checked_shr(unused))
        .unwrap_or(0);
    let union = holds.iter().fold(0, |union, set| union | set) & all;
    if union != all {
        let missing = (0..parts).filter(|at| union & bit(*at) == 0);
        return Collusion::Impossible(missing.collect());
    }
    let useful = useful(holds, all);
    let greedy = greedy(&useful, all);
    let largest = useful.iter().map(|(_, set)| size(*set)).max().unwrap_or(1);
    let mut search = Search {
        sets: &useful,
        left: steps,
        chosen: Vec::new(),
        largest,
    };
    for number in parts.div_ceil(largest.max(1))..greedy.len() {
        search.chosen.clear();
        match search.cover(all, number) {
            Some(true) => return Collusion::Exactly(in_order(search.chosen)),
            Some(false) => {}
            None => return Collusion::Between(number, in_order(greedy)),
        }
    }
    Collusion::Exactly(in_order(greedy))
}

fn bit(at: usize) -> u128 {
    u32::try_from(at)
        .ok()
        .and_then(|at| 1_u128.checked_shl(at))
        .unwrap_or(0)
}

fn size(set: u128) -> usize {
    set.count_ones() as usize
}

fn in_order(mut owners: Vec<usize>) -> Vec<usize> {
    owners.sort_unstable();
    owners
}

/// Each different set once, without those that another one holds.
fn useful(holds: &[u128], all: u128) -> Vec<(usize, u128)> {
    let mut seen = HashSet::new();
    let mut sets: Vec<(usize, u128)> = holds
        .iter()
        .enumerate()
        .map(|(at, set)| (at, set & all))
        .filter(|(_, set)| *set != 0 && seen.insert(*set))
        .collect();
    if sets.len() <= MOST_COMPARED {
        let whole = sets.clone();
        let within = |set: u128, other: u128| set != other && set & other == set;
        sets.retain(|(_, set)| !whole.iter().any(|(_, other)| within(*set, *other)));
    }
    sets
}

/// A cover that need not be the smallest: always the set that adds most.
fn greedy(sets: &[(usize, u128)], all: u128) -> Vec<usize> {
    let mut open = all;
    let mut chosen = Vec::new();
    while open != 0 {
        let adds = |entry: &&(usize, u128)| size(entry.1 & open);
        let Some((owner, set)) = sets.iter().rev().max_by_key(adds) else {
            break;
        };
        if set & open == 0 {
            break;
        }
        open &= !set;
        chosen.push(*owner);
    }
    chosen
}

struct Search<'s> {
    sets: &'s [(usize, u128)],
    left: u32,
    chosen: Vec<usize>,
    largest: usize,
}

impl Search<'_> {
    /// Whether `more` further sets can cover what is open; `None` when the steps ran out. At most
    /// [`MOST_PARTS`] deep.
    fn cover(&mut self, open: u128, more: usize) -> Option<bool> {
        if open == 0 {
            return Some(true);
        }
        if more.saturating_mul(self.largest) < size(open) {
            return Some(false);
        }
        self.left = self.left.checked_sub(1)?;
        // One of the holders of the rarest part must be chosen.
        let rarest = (0..MOST_PARTS)
            .map(bit)
            .filter(|part| open & part != 0)
            .min_by_key(|part| self.sets.iter().filter(|(_, set)| set & part != 0).count())?;
        let sets = self.sets;
        for (owner, set) in sets.iter().filter(|(_, set)| set & rarest != 0) {
            self.chosen.push(*owner);
            if self.cover(open & !set, more.checked_sub(1)?)? {
                return Some(true);
            }
            self.chosen.pop();
        }
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every set of owners, smallest first.
    fn oracle(parts: usize, holds: &[u128]) -> Option<usize> {
        let all = (1_u128 << parts) - 1;
        (0_u32..1 << holds.len())
            .filter(|owners| {
                let union = holds
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| owners & (1 << at) != 0)
                    .fold(0, |union, (_, set)| union | set);
                union & all == all
            })
            .map(|owners| owners.count_ones() as usize)
            .min()
    }

    #[test]
    fn small_tasks() {
        use Collusion::{Exactly, Impossible, TooLarge};
        for (parts, holds, want) in [
            (2, vec![0b01, 0b10], Exactly(vec![0, 1])),
            (2, vec![0b01, 0b11], Exactly(vec![1])),
            (2, vec![0b01], Impossible(vec![1])),
            (2, vec![], Impossible(vec![0, 1])),
            (0, vec![], Exactly(vec![])),
            (3, vec![0b111 << 1, 0b001], Exactly(vec![0, 1])),
            // The greedy choice (the first) is not in the smallest cover.
            (
                6,
                vec![0b011_110, 0b000_111, 0b111_000],
                Exactly(vec![1, 2]),
            ),
            (MOST_PARTS, vec![u128::MAX], Exactly(vec![0])),
            (MOST_PARTS + 1, vec![u128::MAX], TooLarge),
        ] {
            assert_eq!(fewest(parts, &holds), want, "{parts} {holds:?}");
        }
    }

    #[test]
    fn says_when_it_gave_up() {
        // Each owner holds 3 of 24 parts, and no 8 of them fit together.
        let holds: Vec<u128> = (0..24)
            .map(|at| 0b1011_u128 << at | 0b1011 << at >> 24)
            .collect();
        let Collusion::Between(least, owners) = fewest_within(24, &holds, 50) else {
            panic!("given up")
        };
        let most = fewest(24, &holds);
        let number = most.number().unwrap();
        assert!(
            least <= number && number <= owners.len(),
            "{least} {most:?} {owners:?}"
        );
        let union = owners.iter().fold(0, |union, at| union | holds[*at]);
        assert_eq!(union & 0xff_ffff, 0xff_ffff);
        assert_eq!(most, fewest_within(24, &holds, u32::MAX));
    }

    proptest! {
        #[test]
        fn is_the_smallest(
            parts in 0_usize..7,
            holds in prop::collection::vec(0_u128..128, 0..9),
        ) {
            let found = fewest(parts, &holds);
            prop_assert_eq!(found.number(), oracle(parts, &holds), "{:?}", found);
            match found {
                Collusion::Exactly(owners) => {
                    let union = owners.iter().fold(0, |union, at| union | holds[*at]);
                    let all = (1_u128 << parts) - 1;
                    prop_assert_eq!(union & all, all);
                }
                Collusion::Impossible(missing) => {
                    for at in 0..parts {
                        let held = holds.iter().any(|set| set & (1 << at) != 0);
                        prop_assert_eq!(missing.contains(&at), !held);
                    }
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn little_time_gives_bounds(
            holds in prop::collection::vec(0_u128..256, 1..9),
            steps in 0_u32..20,
        ) {
            if let Collusion::Between(least, owners) = fewest_within(8, &holds, steps) {
                let number = oracle(8, &holds).unwrap();
                prop_assert!(least <= number && number <= owners.len());
            }
        }
    }
}
