//! Values as 64 bits: a keyed hash, so that nobody outside can choose values that collide, and a memo of it for
//! strings that are shared between accesses.

use std::sync::Arc;

/// Secret of the hash; the same over restarts, or profiles would mean nothing after one.
#[derive(Clone, Copy)]
pub struct Seed(u64, u64);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed")
    }
}

impl Seed {
    /// From 16 bytes that nobody else knows.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        let all = u128::from_le_bytes(bytes);
        #[allow(clippy::cast_possible_truncation, reason = "both halves")]
        Self(all as u64, (all >> 64) as u64)
    }

    /// Tells keys apart without saying anything of them.
    #[must_use]
    pub fn tag(self) -> u64 {
        self.of(&[b"which key"])
    }

    /// SipHash-1-3 of several texts, each ended; never 0, which stands for what is not known.
    pub(super) fn of(self, parts: &[&[u8]]) -> u64 {
        let mut sip = Sip::new(self);
        for part in parts {
            sip.write(part);
            sip.write(&[0xff]);
        }
        sip.finish().max(1)
    }
}

/// SipHash-1-3 (Aumasson and Bernstein 2012).
struct Sip {
    state: [u64; 4],
    tail: u64,
    filled: u32,
    length: u8,
}

impl Sip {
    fn new(Seed(k0, k1): Seed) -> Self {
        Self {
            state: [
                k0 ^ 0x736f_6d65_7073_6575,
                k1 ^ 0x646f_7261_6e64_6f6d,
                k0 ^ 0x6c79_6765_6e65_7261,
                k1 ^ 0x7465_6462_7974_6573,
            ],
            tail: 0,
            filled: 0,
            length: 0,
        }
    }

    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.state;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.state = [a, b, c, d];
    }

    fn word(&mut self, word: u64) {
        let [a, b, c, d] = self.state;
        self.state = [a, b, c, d ^ word];
        self.round();
        let [a, b, c, d] = self.state;
        self.state = [a ^ word, b, c, d];
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.tail |= u64::from(*byte) << (8 * self.filled);
            self.filled += 1;
            self.length = self.length.wrapping_add(1);
            if self.filled == 8 {
                let word = self.tail;
                (self.tail, self.filled) = (0, 0);
                self.word(word);
            }
        }
    }

    fn finish(mut self) -> u64 {
        let last = self.tail | u64::from(self.length) << 56;
        self.word(last);
        let [a, b, c, d] = self.state;
        self.state = [a, b, c ^ 0xff, d];
        self.round();
        self.round();
        self.round();
        let [a, b, c, d] = self.state;
        a ^ b ^ c ^ d
    }
}

/// Places of a memo.
const PLACES: usize = 256;

/// Remembers what was made of a shared thing, by its address. It holds the thing, so that the address means
/// nothing else meanwhile. Bounded: a new one takes the place of another.
pub(super) struct Memo<T: ?Sized, V> {
    places: Vec<Option<(Arc<T>, V)>>,
}

impl<T: ?Sized, V> std::fmt::Debug for Memo<T, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memo")
    }
}

impl<T: ?Sized, V: Copy> Memo<T, V> {
    pub(super) fn new() -> Self {
        Self {
            places: std::iter::repeat_with(|| None).take(PLACES).collect(),
        }
    }

    pub(super) fn get(&mut self, thing: &Arc<T>, make: impl FnOnce(&T) -> V) -> V {
        let address = Arc::as_ptr(thing).cast::<u8>() as usize as u64;
        #[allow(clippy::cast_possible_truncation, reason = "the upper eight bits")]
        let at = (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize;
        let Some(place) = self.places.get_mut(at) else {
            return make(thing);
        };
        if let Some((held, value)) = place
            && Arc::ptr_eq(held, thing)
        {
            return *value;
        }
        let value = make(thing);
        *place = Some((Arc::clone(thing), value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash is part of the stored form: it must not change. SipHash-1-3 as the standard library's hasher
    /// computes it with both keys 0.
    #[test]
    #[allow(deprecated, reason = "the reference that is at hand")]
    fn the_hash_is_siphash_1_3() {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hasher};
        for text in ["", "a", "GET api.example/v1/x", "0123456789abcdef"] {
            let mut reference = BuildHasherDefault::<DefaultHasher>::new().build_hasher();
            reference.write(text.as_bytes());
            reference.write(&[0xff]);
            assert_eq!(
                Seed::new([0; 16]).of(&[text.as_bytes()]),
                reference.finish()
            );
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let seed = Seed::new([7; 16]);
        assert_ne!(seed.of(&[b"ab", b"c"]), seed.of(&[b"a", b"bc"]));
        assert_ne!(seed.of(&[b"a"]), Seed::new([8; 16]).of(&[b"a"]));
    }

    #[test]
    fn a_memo_asks_once_for_each_thing() {
        let mut memo: Memo<str, u64> = Memo::new();
        let (one, same_text): (Arc<str>, Arc<str>) = (Arc::from("x"), Arc::from("x"));
        assert_eq!(memo.get(&one, |_| 1), 1);
        assert_eq!(memo.get(&one, |_| panic!("asked twice")), 1);
        assert_eq!(memo.get(&same_text, |_| 2), 2);
    }
}
