//! Tests of reading program files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod go;
mod hostile;
mod prologue;
mod real;
mod symbols;

use super::{Elf, ElfError, Reader, Symbol};

/// Reads the headers, then does something.
fn with<T>(
    data: &[u8],
    limit: u64,
    of: impl FnOnce(&Elf, &mut Reader<'_>) -> T,
) -> Result<T, ElfError> {
    let mut reader = Reader::new(&data, limit);
    let elf = Elf::read(&mut reader)?;
    Ok(of(&elf, &mut reader))
}

const PLENTY: u64 = 64 * 1024 * 1024;

/// The `i`-th function of a synthetic file.
fn nth(i: u64) -> Symbol {
    use super::testing::{CODE, STEP};
    Symbol {
        offset: CODE + i * STEP,
        size: 4,
    }
}
