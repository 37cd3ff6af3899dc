//! Where in a program file functions begin, and on which instruction a probe is cheap.
//!
//! Pure: the file is anything that can be read at an offset. It may be hostile: every read is counted
//! against a budget, nothing is read whole, every loop and table has a bound, and nothing panics.
//! Formats: System V ABI (gABI 4.2), the GNU hash section as glibc's loader reads it, Go's
//! `runtime/symtab.go` and `internal/abi`.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod file;
mod gopclntab;
mod prologue;
mod reader;
mod symbols;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use file::{Elf, Machine};
pub use gopclntab::{GoError, GoFunction, function as go_function, is_go};
pub use prologue::{Arguments, Emulation, ProbePoint, choose, inner, length as instruction_length};
pub use reader::{ReadAt, Reader};
pub use symbols::{MOST_PER_NAME, Name, Symbol, symbols};

/// Why a file could not be read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ElfError {
    /// Another kind of file.
    #[error("not an ELF file")]
    NotElf,
    /// ELF, but not 64-bit little-endian for x86-64 or aarch64.
    #[error("{0}")]
    Unsupported(&'static str),
    /// It contradicts itself.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// Reading failed.
    #[error("reading failed: {0}")]
    Io(std::io::ErrorKind),
    /// More would have to be read than one file is given.
    #[error("more than {0} bytes would have to be read")]
    TooMuch(u64),
}
