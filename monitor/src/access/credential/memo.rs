//! Long tokens are not hashed again and again.
//!
//! BLAKE3 of a JWT of 800 bytes takes 13 compressions; a client sends the same token a thousand times a
//! second. So a long token is looked up by a cheaper key first. That look-up must not be wrong: a token made
//! to collide with another's would be taken for the other's credential. Hence no ordinary hash, but
//!
//! 1. NH (Black, Halevi, Krawczyk, Krovetz, Rogaway: UMAC, CRYPTO '99), twice, on overlapping keys: for two
//!    different texts of one length, chosen without knowledge of the key, the chance to collide is 2⁻¹²⁸.
//!    The key is derived from this host's and never leaves; what is seen from outside is at most whether a
//!    look-up was quick.
//! 2. NH is no one-way function, so its result is not kept: length and result go through one keyed BLAKE3
//!    compression, of which 128 bits are the key of the table.
//!
//! A collision among those has the chance that two fingerprints have anyway.

use zeroize::{Zeroize, Zeroizing};

use super::super::clock::ClockCache;
use super::super::fingerprint::{Fingerprint, FingerprintKey};

/// Shorter secrets are hashed directly: up to here that is as quick.
const SHORT: usize = 128;
/// Longer ones too: the key has to be as long as the text.
const LONG: usize = 4096;
/// Tokens remembered.
const ENTRIES: usize = 8192;

/// Not `Debug`: it holds keys.
pub(super) struct Memo {
    key: Zeroizing<Vec<u64>>,
    one_way: Zeroizing<[u8; 32]>,
    known: ClockCache<[u8; 16], Fingerprint>,
}

impl Memo {
    pub(super) fn new(key: &FingerprintKey) -> Self {
        // Two words more for the second pass.
        let mut bytes = Zeroizing::new(vec![0; LONG + 16]);
        key.derive("bailiwick 2026-11 memo NH key", &mut bytes);
        let mut words = Vec::with_capacity(bytes.len() / 8);
        words.extend(bytes.chunks_exact(8).map(word));
        let mut one_way = Zeroizing::new([0; 32]);
        key.derive("bailiwick 2026-11 memo table key", &mut *one_way);
        Self {
            key: Zeroizing::new(words),
            one_way,
            known: ClockCache::new(ENTRIES),
        }
    }

    /// The fingerprint of a secret.
    pub(super) fn fingerprint(&mut self, key: &FingerprintKey, secret: &[u8]) -> Fingerprint {
        if secret.len() <= SHORT || secret.len() > LONG {
            return key.fingerprint(secret);
        }
        let name = self.name(secret);
        let hash = table_hash(&name);
        if let Some((_, fingerprint)) = self.known.get(hash, |held| *held == name) {
            return *fingerprint;
        }
        let fingerprint = key.fingerprint(secret);
        self.known.insert(hash, name, fingerprint);
        fingerprint
    }

    fn name(&self, secret: &[u8]) -> [u8; 16] {
        let (mut one, mut two) = (0_u128, 0_u128);
        let mut add = |left: u64, right: u64, key: &[u64]| {
            if let [a, b, c, d] = key {
                let product =
                    |a, b| u128::from(left.wrapping_add(a)) * u128::from(right.wrapping_add(b));
                one = one.wrapping_add(product(*a, *b));
                two = two.wrapping_add(product(*c, *d));
            }
        };
        let mut keys = self.key.windows(4).step_by(2);
        let chunks = secret.chunks_exact(16);
        let tail = chunks.remainder();
        for (chunk, key) in chunks.zip(&mut keys) {
            let (left, right) = chunk.split_at(8);
            add(word(left), word(right), key);
        }
        if let (false, Some(key)) = (tail.is_empty(), keys.next()) {
            let mut last = [0; 16];
            last.iter_mut()
                .zip(tail)
                .for_each(|(slot, byte)| *slot = *byte);
            let (left, right) = last.split_at(8);
            add(word(left), word(right), key);
            last.zeroize();
        }
        let mut text = [0; 40];
        let parts = (secret.len() as u64).to_le_bytes().into_iter();
        let parts = parts.chain(one.to_le_bytes()).chain(two.to_le_bytes());
        text.iter_mut()
            .zip(parts)
            .for_each(|(slot, byte)| *slot = byte);
        let hash = blake3::keyed_hash(&self.one_way, &text);
        text.zeroize();
        let mut name = [0; 16];
        name.iter_mut()
            .zip(hash.as_bytes())
            .for_each(|(slot, byte)| *slot = *byte);
        name
    }
}

/// Little-endian, of 8 bytes.
fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

/// Keyed hashes need no further hashing.
pub(super) fn table_hash(bytes: &[u8; 16]) -> u64 {
    let (first, _) = bytes.split_at(8);
    word(first)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn says_what_the_hash_says() {
        let key = FingerprintKey::new([3; 32]);
        let mut memo = Memo::new(&key);
        for len in [
            0, 1, 64, 128, 129, 200, 207, 208, 800, 4095, 4096, 4097, 9000,
        ] {
            let secret: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            for _ in 0..3 {
                assert_eq!(
                    memo.fingerprint(&key, &secret),
                    key.fingerprint(&secret),
                    "{len}"
                );
            }
        }
    }

    #[test]
    fn every_bit_and_the_length_count() {
        let memo = Memo::new(&FingerprintKey::new([3; 32]));
        let mut seen = HashSet::new();
        let base = vec![0_u8; 333];
        assert!(seen.insert(memo.name(&base)));
        for at in 0..base.len() {
            for bit in 0..8 {
                let mut other = base.clone();
                if let Some(byte) = other.get_mut(at) {
                    *byte ^= 1 << bit;
                }
                assert!(seen.insert(memo.name(&other)), "byte {at} bit {bit}");
            }
        }
        // Zeroes at the end are not lost in the padding.
        for len in 334..400 {
            assert!(seen.insert(memo.name(&vec![0; len])), "{len}");
        }
    }

    #[test]
    fn depends_on_the_key() {
        let one = Memo::new(&FingerprintKey::new([1; 32]));
        let two = Memo::new(&FingerprintKey::new([2; 32]));
        assert_ne!(one.name(&[5; 300]), two.name(&[5; 300]));
    }

    #[test]
    fn bounded() {
        let key = FingerprintKey::new([3; 32]);
        let mut memo = Memo::new(&key);
        for i in 0..20_000_u32 {
            let mut secret = vec![7; 200];
            secret.extend(i.to_le_bytes());
            memo.fingerprint(&key, &secret);
        }
        assert_eq!(memo.known.len(), ENTRIES);
    }
}
