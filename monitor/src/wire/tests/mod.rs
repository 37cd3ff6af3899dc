//! Tests of the wire as a whole.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod conversations;
mod heads;
mod http2;
mod http2_losses;
mod http2_talk;
mod losses;
mod recorder;
mod splits;
