//! When a message is tried again.

use std::time::Duration;

/// Attempts before a message becomes a dead letter.
pub(crate) const ATTEMPTS: u32 = 10;

/// Delay before each attempt, counted from the one before (Standard Webhooks 1.0, "Deliverability
/// and reliability").
const DELAYS: [Duration; ATTEMPTS as usize] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];

/// Longest `Retry-After` that holds one message back.
pub(crate) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Longest `Retry-After` that holds all of an endpoint's messages back.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Delay before the attempt that follows `failed` failed ones; `None` when there is none left.
/// `jitter` in 0..1 lengthens it by up to a fifth, `scale` multiplies it.
pub(crate) fn delay_after(failed: u32, jitter: f64, scale: f64) -> Option<Duration> {
    let base = DELAYS.get(usize::try_from(failed).ok()?)?;
    Some(base.mul_f64((1.0 + 0.2 * jitter.clamp(0.0, 1.0)) * scale.clamp(0.0, 1000.0)))
}

/// The longest time a message can have to wait, for clocks that were set back.
pub(crate) fn longest(scale: f64) -> Duration {
    DELAYS[DELAYS.len() - 1]
        .mul_f64(1.2 * scale.clamp(0.0, 1000.0))
        .max(LONGEST_RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_specification() {
        let seconds = (0..ATTEMPTS)
            .map(|failed| delay_after(failed, 0.0, 1.0).map(|delay| delay.as_secs()))
            .collect::<Option<Vec<_>>>();
        assert_eq!(
            seconds,
            Some(vec![
                0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400
            ])
        );
        assert_eq!(delay_after(ATTEMPTS, 0.0, 1.0), None);
        assert_eq!(delay_after(1, 1.0, 1.0), Some(Duration::from_secs(6)));
        assert_eq!(delay_after(1, 0.0, 0.001), Some(Duration::from_millis(5)));
    }
}
