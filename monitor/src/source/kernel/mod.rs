//! The live kernel: loads the programs, attaches them, drains their rings.

mod fallback;
pub mod load;
pub mod offsets;
pub mod probes;
mod record;
mod refusing;
mod ring;
mod slots;
mod sys;

pub use fallback::{Fallback, SslPoint};
pub use load::{Kernel, KernelSettings, LoadError};
pub use probes::{Hook, ProbeError, ProbeId, Probes};
pub use refusing::Refusing;
