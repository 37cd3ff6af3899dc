//! "Did you mean": the nearest of some names.
//!
//! Pure: no I/O, no clock, no panic on any input.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

/// Longest name, in characters, that is compared: a longer one is no slip of the pen, and the table
/// of distances is quadratic.
const LONGEST: usize = 64;

/// The known name that a mistyped one probably meant, as a hint.
#[must_use]
pub fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(name, candidates).map(|near| format!("did you mean `{near}`?"))
}

/// The candidate nearest to `name`, when it is near enough to be a slip: at most a third of its
/// characters, rounded up, differ (insertion, deletion, exchange, swap of neighbours). Case does not
/// count, nor whether it is `-` or `_`. Of equally near ones the first by the alphabet.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = folded(name)?;
    let most = name.len().div_ceil(3);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = folded(candidate)?;
            if other.len().abs_diff(name.len()) > most {
                return None;
            }
            let far = distance(&name, &other);
            (far <= most).then_some((far, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// What of a name is compared; `None` when it is too long.
fn folded(name: &str) -> Option<Vec<char>> {
    let chars: Vec<char> = name
        .chars()
        .flat_map(char::to_lowercase)
        .map(|c| if c == '-' { '_' } else { c })
        .take(LONGEST + 1)
        .collect();
    (chars.len() <= LONGEST).then_some(chars)
}

/// Optimal string alignment distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let at = |row: &[usize], i: usize| row.get(i).copied().unwrap_or(usize::MAX / 2);
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let change = usize::from(x != y);
            let mut best = (at(&last, j) + change)
                .min(at(&last, j + 1) + 1)
                .min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    at(&last, b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let keys = [
            "environment",
            "policy",
            "state_dir",
            "runtime_dir",
            "webhook",
            "duties",
            "workloads",
            "owner",
        ];
        for (wrong, want) in [
            ("enviroment", Some("environment")),
            ("plociy", Some("policy")),
            ("state-dir", Some("state_dir")),
            ("StateDir", Some("state_dir")),
            ("dutys", Some("duties")),
            ("onwer", Some("owner")),
            ("OWNER", Some("owner")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, keys), want, "{wrong}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), keys), None);
        assert_eq!(nearest("bat", ["cat", "bad"]), Some("bad"));
        assert_eq!(
            did_you_mean("dutys", keys).as_deref(),
            Some("did you mean `duties`?")
        );
    }

    #[test]
    fn distance_is_the_textbook_one() {
        let of = |a: &str, b: &str| {
            let [a, b] = [a, b].map(|text| text.chars().collect::<Vec<_>>());
            distance(&a, &b)
        };
        assert_eq!(of("kitten", "sitting"), 3);
        assert_eq!(of("ab", "ba"), 1);
        assert_eq!(of("", "abc"), 3);
        assert_eq!(of("same", "same"), 0);
    }
}
