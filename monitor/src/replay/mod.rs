//! Recorded accesses, judged as the daemon would have judged them: the same judging, history, baseline and folding,
//! in the accesses' own time.
//!
//! Time is what the accesses say: it is the newest one's, and never goes back. Between two accesses it stops
//! wherever something is due: a window of the baseline is over, an act's grace has passed. The same accesses with
//! the same rules give the same alerts, byte for byte.
//!
//! Pure: no I/O, no clock, no panic on any input; bounded whatever the accesses are.
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

mod alerts;
pub mod capture;
mod engine;
pub mod eval;
pub mod formats;
pub mod input;
mod shared;
mod summary;

pub use capture::{Capture, CaptureSummary};
pub use engine::{Event, Outcome, Replay, Rules, UNJUDGED, run};
pub use formats::{Format, Item, Reader, Refusal};
pub use shared::Shared;
pub use summary::{BaselineSummary, Refusals, RefusedLines, Summary};

#[cfg(test)]
mod tests;
