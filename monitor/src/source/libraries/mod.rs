//! Which program files get probes, and where in them.
//!
//! A [`Finder`] looks at the files that processes have mapped for execution and at the TLS libraries
//! that each root directory has, once each, and hands out a [`Plan`] for each that has something. It
//! attaches nothing. All I/O is behind [`LibraryFiles`]; it belongs on a thread of its own ([`Scout`]),
//! for disks may be slow and files large.
//!
//! Files may be hostile: only regular ones are opened, through what is mapped itself or below the root
//! of the process that named them; none of a file system that a process answers for; each is read up
//! to a bound ([`MOST_READ`]), and all together up to a rate.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod bounds;
mod cache;
mod examine;
mod files;
mod finder;
mod maps;
mod scout;
mod table;
#[cfg(test)]
mod tests;

pub use cache::libraries;
pub use examine::{Examination, MOST_READ, Missing, Point, examine};
pub use files::{FileId, LibraryFiles, ProgramFile, RealLibraryFiles, Root, Version};
pub use finder::{Finder, FinderCounters, Plan};
pub use maps::{Mapped, Silent, mapped};
pub use scout::{Found, Requests, Scout};
pub use table::ProbeKind;
