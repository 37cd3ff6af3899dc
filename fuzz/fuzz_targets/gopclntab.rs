#![no_main]
//! Any table of Go's functions, in a program that is otherwise in order.

use bailiwick::source::elf::{Elf, GoFunction, Reader, go_function};
use libfuzzer_sys::fuzz_target;

const LIMIT: u64 = 16 * 1024 * 1024;

/// A program without sections: one segment of data that begins with the table, one of code.
fn program(table: &[u8], magic: u8) -> Vec<u8> {
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for number in [0x50_0000_u64, 64, 0] {
        file.extend(number.to_le_bytes());
    }
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 2, 0, 64, 0, 0, 0, 0, 0]);
    let data = 64 + 2 * 56_u64;
    let size = 8 + table.len() as u64;
    for (flags, vaddr) in [(4_u32, 0x40_0000_u64), (5, 0x50_0000)] {
        file.extend(1_u32.to_le_bytes());
        file.extend(flags.to_le_bytes());
        for number in [data, vaddr, vaddr, size, size, 8] {
            file.extend(number.to_le_bytes());
        }
    }
    file.extend([magic, 0xff, 0xff, 0xff, 0, 0, 1, 8]);
    file.extend(table);
    file
}

fuzz_target!(|data: &[u8]| {
    for magic in [0xf0, 0xf1] {
        let file = program(data, magic);
        let mut reader = Reader::new(&file, LIMIT);
        let elf = Elf::read(&mut reader).expect("its headers are in order");
        let found = go_function(&elf, &mut reader, "m.f", "m.");
        assert!(reader.spent() <= LIMIT);
        if let Ok(Some(GoFunction::At(symbol))) = found {
            assert!(symbol.offset < file.len() as u64);
            assert!(symbol.size <= file.len() as u64);
        }
    }
});
