//! The live kernel: loads the programs, attaches them, drains their rings.

pub mod load;
pub mod offsets;
mod record;
mod ring;

pub use load::{Kernel, KernelSettings, LoadError};
