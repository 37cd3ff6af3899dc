//! What is granted, what is used of it, and how well that is separated: `bailiwick report`; and one alert as
//! a story: `bailiwick explain`.
//!
//! Pure: models are built from the policy and from what the daemon remembers; [`text`] and [`html`] only
//! write down what the models hold.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

pub mod build;
pub mod html;
mod identities;
pub mod ledger;
pub(crate) mod lines;
pub mod model;
mod rules;
pub mod score;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
pub mod trend;
pub(crate) mod words;

pub use build::{ApprovalMemory, Inputs, NotRecorded, Tally, build};
pub use ledger::{Ledger, Totals};
pub use model::{ApprovalCounts, Report};

/// Most rows of a list.
pub const MOST_ROWS: usize = 1000;
