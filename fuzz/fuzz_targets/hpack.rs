//! Header blocks in any bytes: no panic, bounded memory. And a decoder that missed some of them says
//! nothing that one that saw all does not say, too.
#![no_main]

use bailiwick::wire::hpack::{Decoder, Fields, MAX_FIELDS, MAX_OUTPUT};
use libfuzzer_sys::fuzz_target;

const CAP: usize = 4096;

fn fields(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields
        .iter()
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect()
}

// Blocks, how many of them the second decoder misses, and which one later on.
fuzz_target!(|input: (Vec<Vec<u8>>, u8, u8)| {
    let (blocks, midway, lost) = input;
    let mut all = Decoder::new(1 << 16);
    let mut some = Decoder::midway(CAP);
    let (mut one, mut two) = (Fields::default(), Fields::default());
    for (at, block) in blocks.iter().enumerate() {
        let whole = all.decode(block, &mut one);
        assert!(all.memory() <= 2 << 16 && some.memory() <= 2 * CAP);
        assert!(one.iter().count() <= MAX_FIELDS);
        assert!(one.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>() <= MAX_OUTPUT);
        if whole.is_err() {
            // Its receiver closes the connection: what comes behind it means nothing.
            return;
        }
        if at < usize::from(midway) {
            continue;
        }
        if at == usize::from(lost) {
            some.lose();
            continue;
        }
        // Every index that is good for the one is good, or unknown, for the other.
        assert!(some.decode(block, &mut two).is_ok());
        if !one.overfull() && !two.overfull() && one.unknown_fields() == 0 {
            let known = fields(&two);
            let truth = fields(&one);
            let mut rest = truth.iter();
            assert!(known.iter().all(|field| rest.any(|other| other == field)));
            assert_eq!(known.len() + usize::from(two.unknown_fields()), truth.len());
        }
    }
});
