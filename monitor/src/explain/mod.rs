//! One alert as a story: what happened, who it was, what would have been normal, and what to do now.
//!
//! Pure: a story is built from the alert, the policy and what the daemon still holds.
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

mod build;
mod clause;
mod meaning;
pub mod model;
mod steps;
pub mod text;

pub use build::{Inputs, Webhook, build};
pub use model::Story;
