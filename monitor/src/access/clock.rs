//! A bounded map with second-chance (clock) eviction.
//!
//! The caller hashes and compares, so a look-up by a borrowed or compound key builds no key. Eviction is
//! deterministic: it depends on the order of calls alone, never on the order of a hash table.

use hashbrown::HashTable;

#[derive(Debug)]
struct Slot<K, V> {
    hash: u64,
    /// Looked up since the hand last passed: spared once.
    used: bool,
    key: K,
    value: V,
}

/// At most `max` entries. A look-up is O(1); an insertion is O(1) amortised.
#[derive(Debug)]
pub struct ClockCache<K, V> {
    index: HashTable<u32>,
    slots: Vec<Slot<K, V>>,
    hand: usize,
    max: usize,
    evicted: u64,
}

impl<K, V> ClockCache<K, V> {
    /// An empty cache for at most `max` entries (at least 1, at most 2³¹).
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            index: HashTable::new(),
            slots: Vec::new(),
            hand: 0,
            max: max.clamp(1, 1 << 31),
            evicted: 0,
        }
    }

    /// Entries held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Entries that had to go to make room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The value under a key, which is thereby marked as used.
    pub fn get(&mut self, hash: u64, eq: impl Fn(&K) -> bool) -> Option<(&K, &mut V)> {
        let slots = &self.slots;
        let at = *self.index.find(hash, |at| {
            slots
                .get(*at as usize)
                .is_some_and(|slot| slot.hash == hash && eq(&slot.key))
        })?;
        let slot = self.slots.get_mut(at as usize)?;
        slot.used = true;
        Some((&slot.key, &mut slot.value))
    }

    /// As [`Self::get`]; what is not there is made first. Always something, since [`Self::new`] bounds `max`.
    pub fn get_or_insert_with(
        &mut self,
        hash: u64,
        eq: impl Fn(&K) -> bool,
        make: impl FnOnce() -> (K, V),
    ) -> Option<(&K, &mut V)> {
        let slots = &self.slots;
        let found = self.index.find(hash, |at| {
            slots
                .get(*at as usize)
                .is_some_and(|slot| slot.hash == hash && eq(&slot.key))
        });
        let at = match found {
            Some(at) => *at as usize,
            None => {
                let (key, value) = make();
                self.insert(hash, key, value);
                // The newest is the last.
                self.slots.len().checked_sub(1)?
            }
        };
        let slot = self.slots.get_mut(at)?;
        slot.used = true;
        Some((&slot.key, &mut slot.value))
    }

    /// Adds an entry whose key is not present, and returns what had to go for it.
    pub fn insert(&mut self, hash: u64, key: K, value: V) -> Option<(K, V)> {
        let out = if self.slots.len() >= self.max {
            self.evict(|_| true)
        } else {
            None
        };
        let at = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(Slot {
            hash,
            used: false,
            key,
            value,
        });
        let slots = &self.slots;
        self.index.insert_unique(hash, at, |at| {
            slots.get(*at as usize).map_or(0, |slot| slot.hash)
        });
        out
    }

    /// Takes out the entry next in line among those that `may` go. `None` when none may.
    pub fn evict(&mut self, may: impl Fn(&K) -> bool) -> Option<(K, V)> {
        // Two rounds suffice: the first takes every mark away.
        for _ in 0..self.slots.len().saturating_mul(2) {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let at = self.hand;
            let slot = self.slots.get_mut(at)?;
            if slot.used || !may(&slot.key) {
                slot.used = false;
                self.hand += 1;
                continue;
            }
            self.evicted = self.evicted.saturating_add(1);
            return self.take(at);
        }
        None
    }

    /// Removes the slot at `at`; the last slot takes its place.
    fn take(&mut self, at: usize) -> Option<(K, V)> {
        let hash = self.slots.get(at)?.hash;
        if let Ok(entry) = self.index.find_entry(hash, |i| *i as usize == at) {
            entry.remove();
        }
        let last = self.slots.len().checked_sub(1)?;
        let slot = self.slots.swap_remove(at);
        if last != at
            && let Some(moved) = self.slots.get(at)
            && let Some(i) = self.index.find_mut(moved.hash, |i| *i as usize == last)
            && let Ok(new) = u32::try_from(at)
        {
            *i = new;
        }
        Some((slot.key, slot.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(key: u32) -> u64 {
        // Few distinct hashes, so that collisions are the rule.
        u64::from(key % 7)
    }

    #[test]
    fn keeps_what_is_used() {
        let mut cache = ClockCache::new(4);
        for key in 0..4 {
            cache.insert(hash(key), key, key * 10);
        }
        for key in 4..1000 {
            assert_eq!(
                cache.get(hash(2), |k| *k == 2).map(|(_, v)| *v),
                Some(20),
                "at {key}"
            );
            assert!(cache.insert(hash(key), key, key * 10).is_some());
            assert_eq!(cache.len(), 4);
            assert_eq!(
                cache.get(hash(key), |k| *k == key).map(|(_, v)| *v),
                Some(key * 10)
            );
        }
        assert_eq!(cache.evicted(), 996);
    }

    #[test]
    fn finds_every_entry_and_no_other() {
        let mut cache = ClockCache::new(100);
        for key in 0..10_000_u32 {
            cache.insert(hash(key), key, key);
        }
        let held: Vec<u32> = (0..10_000)
            .filter(|key| cache.get(hash(*key), |k| k == key).is_some())
            .collect();
        assert_eq!(held.len(), 100);
        assert_eq!(cache.evict(|_| false), None);
        assert!(cache.evict(|key| held.contains(key)).is_some());
        assert_eq!(cache.len(), 99);
    }

    #[test]
    fn the_same_calls_evict_the_same() {
        let run = || {
            let mut cache = ClockCache::new(16);
            let mut gone = Vec::new();
            for key in 0..500_u32 {
                cache.get(hash(key / 2), |k| *k == key / 2);
                gone.extend(cache.insert(hash(key), key, ()));
            }
            gone
        };
        assert_eq!(run(), run());
    }
}
