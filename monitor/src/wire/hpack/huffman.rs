//! Strings in the static Huffman code (RFC 7541 §5.2 and appendix B).
//!
//! The code is canonical: codes of one length are consecutive and in the order of their symbols, shorter
//! ones come first. So the lengths say everything, and the tables are computed from them at compile time.

use super::Error;

/// Length in bits of each symbol's code; the last is the end of a string.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];
/// Symbol that ends a string and never stands in one.
const END: u16 = 256;
/// Longest code.
const LONGEST: usize = 30;
/// Codes up to this length are found by one look-up.
const SHORT: u32 = 8;

/// The code in the form that decoding needs.
struct Code {
    /// Symbols by length, then by value.
    symbols: [u16; 257],
    /// By length: the number of symbols with a shorter code.
    before: [u16; LONGEST + 1],
    /// By length: the first code, left-aligned in 32 bits.
    first: [u32; LONGEST + 1],
    /// By length: what lies behind its last code, left-aligned, as are all longer codes.
    limit: [u64; LONGEST + 1],
    /// Symbol and length by the next 8 bits; length 0 for longer codes.
    short: [(u8, u8); 1 << SHORT],
}

#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated at compile time, where a bad index is an error"
)]
const fn code() -> Code {
    let mut code = Code {
        symbols: [0; 257],
        before: [0; LONGEST + 1],
        first: [0; LONGEST + 1],
        limit: [0; LONGEST + 1],
        short: [(0, 0); 1 << SHORT],
    };
    let mut used = 0;
    let mut next: u64 = 0;
    let mut length = 1;
    while length <= LONGEST {
        code.before[length] = used as u16;
        code.first[length] = next as u32;
        let step: u64 = 1 << (32 - length);
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                code.symbols[used] = symbol as u16;
                used += 1;
                if length <= SHORT as usize {
                    let mut at = next >> (32 - SHORT);
                    while at < (next + step) >> (32 - SHORT) {
                        code.short[at as usize] = (symbol as u8, length as u8);
                        at += 1;
                    }
                }
                next += step;
            }
            symbol += 1;
        }
        code.limit[length] = next;
        length += 1;
    }
    // The code is complete: every sequence of bits begins with one.
    assert!(used == LENGTHS.len() && next == 1 << 32);
    code
}

static CODE: Code = code();

/// The symbol that the left-aligned `window` begins with, and the length of its code.
#[inline]
fn symbol(window: u32) -> (u16, u32) {
    let at = (window >> (32 - SHORT)) as usize;
    if let Some(&(symbol, length @ 1..)) = CODE.short.get(at) {
        return (u16::from(symbol), u32::from(length));
    }
    let lengths = CODE
        .limit
        .iter()
        .zip(CODE.first)
        .zip(CODE.before)
        .zip(0_u32..);
    for (((limit, first), before), length) in lengths.skip(SHORT as usize + 1) {
        if u64::from(window) < *limit {
            let rank = window.wrapping_sub(first) >> (32 - length);
            let at = usize::from(before) + rank as usize;
            return (CODE.symbols.get(at).copied().unwrap_or(END), length);
        }
    }
    (END, 30)
}

/// Longest string that so many bytes can stand for: the shortest code has five bits.
pub(super) fn longest(bytes: usize) -> usize {
    bytes.saturating_mul(8) / 5
}

/// Appends the string that `coded` stands for to `out`, which has room for it ([`longest`]).
///
/// The last byte is filled up with the first bits of the end's code, that is with ones: fewer than 8 of
/// them, and the end itself is an error (RFC 7541 §5.2).
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let mut rest = coded.iter();
    let (mut held, mut bits) = (0_u64, 0_u32);
    loop {
        while bits <= 32 {
            let Some(byte) = rest.next() else { break };
            held = held << 8 | u64::from(*byte);
            bits += 8;
        }
        if bits == 0 {
            return Ok(());
        }
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the bits above were taken before"
        )]
        let window = match bits.checked_sub(32) {
            Some(below) => (held >> below) as u32,
            None => (held << (32 - bits)) as u32 | u32::MAX >> bits,
        };
        let (symbol, length) = symbol(window);
        if length > bits {
            return if bits < 8 && window == u32::MAX {
                Ok(())
            } else {
                Err(Error::Huffman)
            };
        }
        out.push(u8::try_from(symbol).map_err(|_| Error::Huffman)?);
        bits -= length;
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes a string in the code: for tests only.
    pub(in crate::wire) fn encode(text: &[u8], out: &mut Vec<u8>) {
        let (mut held, mut bits) = (0_u64, 0);
        for byte in text {
            let rank = CODE
                .symbols
                .iter()
                .position(|s| *s == u16::from(*byte))
                .unwrap();
            let length = usize::from(LENGTHS[usize::from(*byte)]);
            let ahead = (rank - usize::from(CODE.before[length])) as u64;
            let code = u64::from(CODE.first[length] >> (32 - length)) + ahead;
            (held, bits) = (held << length | code, bits + length);
            while bits >= 8 {
                bits -= 8;
                out.push((held >> bits) as u8);
            }
        }
        if bits > 0 {
            out.push((held << (8 - bits)) as u8 | u8::MAX >> bits);
        }
    }

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(longest(coded.len()));
        let room = out.capacity();
        decode(coded, &mut out)?;
        assert_eq!(out.capacity(), room, "it has not grown");
        Ok(out)
    }

    /// From RFC 7541 appendix B: codes with their lengths.
    #[test]
    fn codes() {
        for (symbol, code, length) in [
            (b'0', 0x0_u32, 5),
            (b'a', 0x3, 5),
            (b' ', 0x14, 6),
            (b':', 0x5c, 7),
            (b'Z', 0xfd, 8),
            (b'!', 0x3f8, 10),
            (0, 0x1ff8, 13),
            (b'\\', 0x7fff0, 19),
            (249, 0x0fff_fffe, 28),
            (10, 0x3fff_fffc, 30),
            (22, 0x3fff_fffe, 30),
        ] {
            let window = code << (32 - length);
            assert_eq!(
                super::symbol(window),
                (u16::from(symbol), length),
                "{symbol}"
            );
            let last = window | u32::MAX >> length;
            assert_eq!(super::symbol(last), (u16::from(symbol), length), "{symbol}");
        }
        assert_eq!(super::symbol(u32::MAX), (END, 30));
    }

    #[test]
    fn padding() {
        assert_eq!(decoded(&[]), Ok(vec![]));
        // `a` and three ones.
        assert_eq!(decoded(&[0b0001_1111]), Ok(vec![b'a']));
        // Padding with a zero in it, a whole byte of padding, and the end itself.
        assert_eq!(decoded(&[0b0001_1110]), Err(Error::Huffman));
        assert_eq!(decoded(&[0b0001_1111, 0xff]), Err(Error::Huffman));
        assert_eq!(decoded(&[0xff]), Err(Error::Huffman));
        assert_eq!(decoded(&[0xff; 4]), Err(Error::Huffman));
        // Eight bits are a symbol, not padding.
        assert_eq!(decoded(&[0xfd]), Ok(vec![b'Z']));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut coded = Vec::new();
            encode(&text, &mut coded);
            prop_assert_eq!(decoded(&coded), Ok(text));
        }

        #[test]
        fn one_way_to_write_a_string(coded in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(text) = decoded(&coded) {
                let mut again = Vec::new();
                encode(&text, &mut again);
                prop_assert_eq!(again, coded);
            }
        }
    }
}
