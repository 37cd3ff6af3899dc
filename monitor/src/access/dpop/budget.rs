//! What signatures may cost.

/// An allowance of microseconds a second, spent on estimates of what each signature costs: pure code
/// has no clock to measure with. Up to one second's allowance is saved.
#[derive(Debug)]
pub(super) struct Budget {
    allowance_us: u64,
    left_us: u64,
    now_ns: u64,
}

impl Budget {
    pub(super) fn new(allowance_us: u32) -> Self {
        Self {
            allowance_us: allowance_us.into(),
            left_us: allowance_us.into(),
            now_ns: 0,
        }
    }

    pub(super) fn tick(&mut self, now_ns: u64) {
        let passed = now_ns.saturating_sub(self.now_ns).min(1_000_000_000);
        let earned = passed.saturating_mul(self.allowance_us) / 1_000_000_000;
        // Else short steps would earn nothing.
        if earned > 0 || passed == 1_000_000_000 {
            self.now_ns = now_ns;
            self.left_us = (self.left_us + earned).min(self.allowance_us);
        }
    }

    pub(super) fn take(&mut self, cost_us: u32) -> bool {
        match self.left_us.checked_sub(cost_us.into()) {
            Some(left) => {
                self.left_us = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earns_with_time_and_saves_a_second() {
        let mut budget = Budget::new(1000);
        budget.tick(5_000_000_000);
        assert!(budget.take(600) && !budget.take(600) && budget.take(400));
        // In steps that each earn less than a microsecond.
        for step in 1..=1_000_u64 {
            budget.tick(5_000_000_000 + step * 100_000);
        }
        assert!(budget.take(100) && !budget.take(1));
        budget.tick(u64::MAX);
        assert!(budget.take(1000) && !budget.take(1));
        budget.tick(0);
        assert!(!budget.take(1), "a clock that goes back earns nothing");
    }

    #[test]
    fn none_at_all() {
        let mut budget = Budget::new(0);
        budget.tick(u64::MAX);
        assert!(!budget.take(1));
    }
}
