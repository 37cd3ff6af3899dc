//! "Did you mean": the nearest of some names.

/// The candidate nearest to `name`, when it is near enough to be a slip: at most a third of the
/// longer one's characters differ (insertion, deletion, exchange, swap of neighbours).
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = candidate.to_lowercase().replace('-', "_");
            let longer = name.chars().count().max(other.chars().count());
            // A name this long is no slip of the pen, and the table below is quadratic.
            if longer > 64 {
                return None;
            }
            let far = distance(&name, &other);
            (far * 3 <= longer).then_some((far, candidate))
        })
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
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
        ];
        assert_eq!(nearest("enviroment", keys), Some("environment"));
        assert_eq!(nearest("plociy", keys), Some("policy"));
        assert_eq!(nearest("state-dir", keys), Some("state_dir"));
        assert_eq!(nearest("StateDir", keys), Some("state_dir"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("", keys), None);
        assert_eq!(nearest(&"x".repeat(100_000), keys), None);
    }

    #[test]
    fn distance_is_the_textbook_one() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
