//! The live kernel: loads the programs, attaches them, drains their rings.

mod fallback;
mod figures;
pub mod hooks;
pub mod load;
pub mod offsets;
pub mod probes;
mod record;
mod refusing;
pub mod requests;
mod ring;
mod slots;
mod sys;

pub use fallback::{Fallback, SslPoint};
pub use figures::Figure;
pub use load::{Kernel, KernelSettings, LoadError};
pub use probes::{Hook, ProbeError, ProbeId, Probes};
pub use refusing::Refusing;
