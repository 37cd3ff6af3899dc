//! Bounded memory of what was seen, and rates.

use std::hash::Hash;
use std::time::Duration;

use hashbrown::HashMap;

/// Remembers at least the `half` last used keys and at most twice as many: when the young half is full
/// it becomes the old one, and what the old one had is forgotten.
pub(super) struct Memory<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash, V: Copy> Memory<K, V> {
    pub(super) fn new(half: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            half,
        }
    }

    pub(super) fn get(&mut self, key: K) -> Option<V> {
        if let Some(value) = self.young.get(&key) {
            return Some(*value);
        }
        let value = self.old.remove(&key)?;
        self.put(key, value);
        Some(value)
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

/// A rate with a burst. What is taken may be more than is there; then nothing is, until it is repaid.
pub(super) struct Rate {
    left: i64,
    burst: i64,
    per_second: i64,
    at: Duration,
}

impl Rate {
    pub(super) fn new(burst: i64, per_second: i64) -> Self {
        Self {
            left: burst,
            burst,
            per_second,
            at: Duration::ZERO,
        }
    }

    /// Whether there is anything left now.
    pub(super) fn any(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at);
        let millis = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        let more = millis.saturating_mul(self.per_second) / 1000;
        if more > 0 {
            self.left = self.left.saturating_add(more).min(self.burst);
            self.at = now;
        }
        self.left > 0
    }

    pub(super) fn take(&mut self, n: u64) {
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        self.left = self.left.saturating_sub(n);
    }
}
