//! Strings that come again and again, kept once.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use super::clock::ClockCache;

/// A bounded interner. A string that was evicted stays valid wherever it is held; it is merely no longer
/// the same allocation as the next one with the same text.
#[derive(Debug)]
pub struct Interner {
    cache: ClockCache<Arc<str>, ()>,
    hasher: DefaultHashBuilder,
}

impl Interner {
    /// Keeps at most `max` strings. Bound the length of what is interned: that is the caller's part.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            cache: ClockCache::new(max),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// The shared form of `text`. Allocates only when it is not held.
    pub fn intern(&mut self, text: &str) -> Arc<str> {
        let hash = self.hasher.hash_one(text);
        if let Some((held, ())) = self.cache.get(hash, |held| **held == *text) {
            return Arc::clone(held);
        }
        let new: Arc<str> = Arc::from(text);
        self.cache.insert(hash, Arc::clone(&new), ());
        new
    }

    /// Strings held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// Strings that had to go.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.cache.evicted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_allocation_a_text() {
        let mut interner = Interner::new(8);
        let one = interner.intern("api.example.com");
        assert!(Arc::ptr_eq(&one, &interner.intern("api.example.com")));
        assert!(!Arc::ptr_eq(&one, &interner.intern("api.example.org")));
        assert_eq!(interner.len(), 2);
    }

    #[test]
    fn bounded() {
        let mut interner = Interner::new(8);
        for i in 0..1000 {
            assert_eq!(&*interner.intern(&i.to_string()), i.to_string());
        }
        assert_eq!(interner.len(), 8);
        assert_eq!(interner.evicted(), 992);
    }
}
