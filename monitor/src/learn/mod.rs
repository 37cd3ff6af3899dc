//! From what was seen to a policy: what identities did becomes what they may do.
//!
//! Pure: no I/O, no clock, no panic on any input. Everything is bounded; what a bound or a doubt leaves out
//! is counted by cause. The same evidence in any order gives the same policy.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "a test may panic: that is how it fails"
    )
)]

mod diff;
mod duties;
mod evidence;
mod generalise;
mod names;
mod places;
mod propose;
mod route;
mod separations;
mod write;

pub use diff::{Difference, difference};
pub use evidence::{Evidence, LeftOut};
pub use propose::{Proposal, propose};

#[cfg(test)]
mod round_trip_tests;
#[cfg(test)]
mod tests;
