#![no_main]
//! Any code: the point chosen is at an instruction, reached by whole ones, and one that is emulated
//! wherever it is not the entry.

use bailiwick::source::elf::{Arguments, Emulation, Machine, choose, instruction_length};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|code: &[u8]| {
    if let Some(length) = instruction_length(code) {
        assert!((1..=15).contains(&length) && length <= code.len());
    }
    for arguments in [
        Arguments::Registers,
        Arguments::RegistersAndStack,
        Arguments::Go,
    ] {
        for long_nops in [false, true] {
            let emulation = Emulation { long_nops };
            let point = choose(Machine::X86_64, code, arguments, emulation);
            let delta = point.delta as usize;
            let mut at = 0;
            while at < delta {
                at += instruction_length(&code[at..]).expect("what was walked is known");
            }
            assert_eq!(at, delta);
            assert!(delta < 64 && (point.emulated || delta == 0));
            let arm = choose(Machine::Aarch64, code, arguments, emulation);
            assert_eq!(arm.delta, 0);
        }
    }
});
