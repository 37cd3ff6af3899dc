//! When nothing was watched, or not everything: nothing is concluded from absence there.

/// Most gaps told apart; beyond, the two oldest become one.
const MOST: usize = 32;

/// From and to, in µs since 1970.
pub(super) type Gap = (i64, i64);

/// Gaps, oldest first, that do not touch each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Gaps(Vec<Gap>);

impl Gaps {
    /// Notes one.
    pub(super) fn note(&mut self, from_us: i64, to_us: i64) {
        let (mut from, mut to) = (from_us.min(to_us), from_us.max(to_us));
        self.0.retain(|gap| {
            let apart = gap.1 < from || to < gap.0;
            if !apart {
                from = from.min(gap.0);
                to = to.max(gap.1);
            }
            apart
        });
        let at = self.0.partition_point(|gap| gap.0 < from);
        self.0.insert(at, (from, to));
        if self.0.len() > MOST {
            let oldest = self.0.remove(0);
            if let Some(next) = self.0.first_mut() {
                next.0 = oldest.0;
            }
        }
    }

    /// The newest gap that touches a time.
    pub(super) fn within(&self, from_us: i64, to_us: i64) -> Option<Gap> {
        let touches = |gap: &&Gap| gap.0 <= to_us && from_us <= gap.1;
        self.0.iter().rev().find(touches).copied()
    }

    pub(super) fn all(&self) -> &[Gap] {
        &self.0
    }

    /// Forgets what ended before.
    pub(super) fn expire(&mut self, before_us: i64) {
        self.0.retain(|gap| gap.1 >= before_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_join_and_are_found() {
        let mut gaps = Gaps::default();
        gaps.note(i64::MIN, 10);
        gaps.note(30, 40);
        gaps.note(20, 20);
        assert_eq!(gaps.all(), [(i64::MIN, 10), (20, 20), (30, 40)]);
        assert_eq!(gaps.within(11, 19), None);
        assert_eq!(gaps.within(11, 25), Some((20, 20)));
        assert_eq!(gaps.within(0, 100), Some((30, 40)));
        gaps.note(15, 35);
        assert_eq!(gaps.all(), [(i64::MIN, 10), (15, 40)]);
        gaps.expire(11);
        assert_eq!(gaps.all(), [(15, 40)]);
    }

    #[test]
    fn gaps_are_bounded() {
        let mut gaps = Gaps::default();
        for n in 0..1000 {
            gaps.note(n * 10, n * 10 + 1);
        }
        assert_eq!(gaps.all().len(), MOST);
        assert_eq!(gaps.within(0, 0), Some((0, 9681)));
        assert_eq!(gaps.within(9995, 9999), None);
    }
}
