//! A histogram with fixed buckets, from one with many.

use hdrhistogram::Histogram;

/// Buckets with a bound.
const BUCKETS: usize = 12;

/// Upper bounds of the buckets in microseconds; one without a bound follows.
pub(super) const BOUNDS_US: [u64; BUCKETS] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000,
];

/// Cumulative counts, as Prometheus has them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// Of values up to 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000 and 5000 ms (within the 1 % to which values are kept).
    pub buckets: [u64; BUCKETS],
    /// Of all values.
    pub count: u64,
    /// Their sum in microseconds, within the same 1 %.
    pub sum_us: u64,
}

impl Latency {
    /// From a histogram of microseconds: one walk over what it holds.
    #[must_use]
    pub fn of(all: &Histogram<u64>) -> Self {
        let mut latency = Self::default();
        for step in all.iter_recorded() {
            let (value, count) = (step.value_iterated_to(), step.count_since_last_iteration());
            latency.count += count;
            latency.sum_us = latency.sum_us.saturating_add(value.saturating_mul(count));
            for (bucket, bound) in latency.buckets.iter_mut().zip(BOUNDS_US) {
                // The lowest value that is kept as this one.
                if all.lowest_equivalent(value) <= bound {
                    *bucket += count;
                }
            }
        }
        latency
    }
}
