//! What is wrong with a policy that can be used: separations that separate nothing.
//!
//! Pure: no I/O, no clock, no panic on any input. docs/policy.md lists the rules.

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

pub mod collusion;
