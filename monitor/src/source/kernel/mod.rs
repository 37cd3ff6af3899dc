//! The live kernel: loads the programs, attaches them, drains their rings.

pub mod load;
pub mod offsets;
mod record;

pub use load::{Kernel, KernelSettings, LoadError};
