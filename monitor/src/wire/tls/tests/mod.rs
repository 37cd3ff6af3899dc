//! Tests of TLS as a whole.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cuts;
mod handshakes;
mod hellos;
mod keylog;
mod keys;
mod peers;
mod tape;
mod traces;
