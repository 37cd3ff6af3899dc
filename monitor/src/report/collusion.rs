//! How few together could do a task.

/// Most duties of one separation that are looked at exactly.
const MOST: usize = 12;

/// The fewest sets that together cover `0..width`, by their places; `None` when they do not, or when `width`
/// is beyond what is looked at. Sets are bit masks. Exact: a step for each subset of the duties and each set.
pub(super) fn fewest(width: usize, sets: &[u32]) -> Option<Vec<usize>> {
    if width > MOST {
        return None;
    }
    let full = (1_usize << width) - 1;
    // What covers a subset with the fewest sets: the set added last, and the subset before.
    let mut best: Vec<Option<(usize, usize, usize)>> = vec![None; full.saturating_add(1)];
    if let Some(first) = best.first_mut() {
        *first = Some((0, usize::MAX, 0));
    }
    // A set only adds, so going up sees each subset when its own best is known.
    for covered in 0..=full {
        let Some(Some((count, ..))) = best.get(covered).copied() else {
            continue;
        };
        for (at, set) in sets.iter().enumerate() {
            let next = (covered | *set as usize) & full;
            if next == covered {
                continue;
            }
            let count = count.saturating_add(1);
            if let Some(known) = best.get_mut(next)
                && known.is_none_or(|(fewest, ..)| count < fewest)
            {
                *known = Some((count, at, covered));
            }
        }
    }
    let mut chosen = Vec::new();
    let mut at = full;
    while at != 0 {
        let (_, set, before) = best.get(at).copied()??;
        chosen.push(set);
        at = before;
    }
    chosen.reverse();
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_the_fewest() {
        assert_eq!(fewest(3, &[0b011, 0b100, 0b111]), Some(vec![2]));
        assert_eq!(fewest(3, &[0b001, 0b010, 0b101]), Some(vec![1, 2]));
        assert_eq!(fewest(2, &[0b01]), None);
        assert_eq!(fewest(0, &[]), Some(vec![]));
        assert_eq!(fewest(13, &[u32::MAX]), None);
    }

    proptest! {
        #[test]
        fn agrees_with_trying_all(width in 1_usize..6, sets in proptest::collection::vec(0_u32..64, 0..7)) {
            let full = (1_u32 << width) - 1;
            let tried = (0_u32..1 << sets.len())
                .filter(|choice| {
                    let chosen = sets.iter().enumerate().filter(|(at, _)| choice & (1 << at) != 0);
                    chosen.fold(0, |all, (_, set)| all | set) & full == full
                })
                .map(u32::count_ones)
                .min();
            let found = fewest(width, &sets);
            prop_assert_eq!(found.as_ref().map(|chosen| chosen.len() as u32), tried);
            if let Some(chosen) = found {
                let covered = chosen.iter().fold(0, |all, at| all | sets[*at]);
                prop_assert_eq!(covered & full, full);
            }
        }
    }
}
