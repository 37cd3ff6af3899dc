//! What the drill tells its client processes (on their standard input) and what they tell it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::technique::Piece;

/// One connection.
#[derive(Serialize, Deserialize)]
pub(crate) struct Script {
    /// Where to.
    pub(crate) to: SocketAddr,
    /// In this order.
    pub(crate) pieces: Vec<Part>,
    /// How long the process stays after the last answer, in ms.
    pub(crate) linger_ms: u64,
}

/// As [`Piece`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) bytes: String,
    pub(crate) bytewise: bool,
    pub(crate) answers: u32,
    pub(crate) pause_ms: u64,
}

/// What a client says when its last answer came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    /// CLOCK_MONOTONIC in ns before the system call that sent the last byte of each piece.
    pub(crate) sent_ns: Vec<u64>,
    /// Answers read.
    pub(crate) answers: u32,
    /// What went wrong.
    pub(crate) error: Option<String>,
}

impl From<&Piece> for Part {
    fn from(piece: &Piece) -> Self {
        Self {
            bytes: piece.bytes.clone(),
            bytewise: piece.bytewise,
            answers: piece.answers,
            pause_ms: u64::try_from(piece.pause.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// CLOCK_MONOTONIC in ns: the same for all processes of one kernel.
pub(crate) fn monotonic_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let ns = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(ns)
}
