#![no_main]
//! Any file, and any file with the beginning of a program: everything that is looked for in it.

use bailiwick::source::elf::{Elf, Emulation, Name, Reader, symbols};
use bailiwick::source::libraries::{MOST_READ, examine};
use libfuzzer_sys::fuzz_target;

/// A header for 64-bit little-endian x86-64, with three program headers after it.
const HEAD: [u8; 64] = {
    let mut head = [0; 64];
    let given = [
        (0, 0x7f),
        (1, b'E'),
        (2, b'L'),
        (3, b'F'),
        (4, 2),
        (5, 1),
        (16, 3),
        (18, 62),
    ];
    let tables = [(32, 64), (54, 56), (56, 3), (58, 64)];
    let mut i = 0;
    while i < given.len() {
        head[given[i].0] = given[i].1;
        i += 1;
    }
    i = 0;
    while i < tables.len() {
        head[tables[i].0] = tables[i].1;
        i += 1;
    }
    head
};

fn check(file: &[u8]) {
    let found = examine(&file, "libcrypto.so.3", Emulation::default());
    assert!(found.read <= MOST_READ);
    assert!(found.points.len() <= 64);
    for point in &found.points {
        assert!(point.offset < u64::MAX);
    }
    // With little to spend, little is spent.
    let mut reader = Reader::new(&file, 10_000);
    if let Ok(elf) = Elf::read(&mut reader) {
        let _ = symbols(&elf, &mut reader, &[Name::Exact("SSL_read")]);
    }
    assert!(reader.spent() <= 10_000);
}

fuzz_target!(|data: &[u8]| {
    check(data);
    let mut file = HEAD.to_vec();
    // Where its sections are and how many is the input's to say.
    if let Some((given, rest)) = data.split_first_chunk::<4>() {
        file[40..42].copy_from_slice(&given[..2]);
        file[60] = given[2];
        file[62] = given[3];
        file.extend(rest);
    }
    check(&file);
});
