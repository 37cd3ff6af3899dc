//! Tests of the discovery.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod examine;
mod fake;
mod finder;
mod real;
mod tables;
