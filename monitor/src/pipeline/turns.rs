//! Which end's bytes come next, when both ends of a connection are here.
//!
//! Each direction is told of by its sender, and the two may write into rings of different processors:
//! a response can be met before its request, and the next request before the response that the client
//! had read before it sent it. In HTTP/1 a message that turns the direction waits for its turn: a request until
//! no other is in flight, a response until one is. Pieces that do not turn it follow their own.

use std::collections::VecDeque;

use crate::wire::{Connection, Dir, Piece};

/// Most pieces kept per connection.
const MOST: usize = 512;
/// Most bytes kept per connection.
const MOST_BYTES: usize = 32 << 10;

#[derive(Debug)]
pub(super) struct Kept {
    dir: Dir,
    off: u32,
    data: Vec<u8>,
    hole: u32,
    time: u64,
    start: bool,
    since: u64,
}

impl Kept {
    pub(super) fn piece(&self) -> Piece<'_> {
        Piece {
            dir: self.dir,
            off: self.off,
            data: &self.data,
            hole: self.hole,
            time: self.time,
            start: self.start,
        }
    }
}

/// Pieces that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Turns {
    up: VecDeque<Kept>,
    down: VecDeque<Kept>,
    bytes: usize,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waits {
    /// For nothing: each message says to which request it belongs (HTTP/2).
    No,
    /// For the response to so many requests.
    For(usize),
}

impl Waits {
    pub(super) fn of<P>(wire: &Connection<P>) -> Self {
        if wire.multiplexes() {
            Self::No
        } else {
            Self::For(wire.in_flight())
        }
    }
}

fn may(dir: Dir, start: bool, waits: Waits) -> bool {
    match waits {
        Waits::No => true,
        Waits::For(in_flight) => !start || (dir == Dir::ToServer) == (in_flight == 0),
    }
}

impl Turns {
    pub(super) fn is_empty(&self) -> bool {
        self.up.is_empty() && self.down.is_empty()
    }

    /// Whether a piece must wait.
    pub(super) fn must_wait(&self, piece: &Piece<'_>, waits: Waits) -> bool {
        let own = if piece.dir == Dir::ToServer {
            &self.up
        } else {
            &self.down
        };
        !own.is_empty() || !may(piece.dir, piece.start, waits)
    }

    /// Whether there is no room for more.
    pub(super) fn full(&self) -> bool {
        self.bytes >= MOST_BYTES || self.up.len() + self.down.len() >= MOST
    }

    /// Keeps a piece that came at `now` (ns).
    pub(super) fn keep(&mut self, piece: &Piece<'_>, now: u64) {
        let kept = Kept {
            dir: piece.dir,
            off: piece.off,
            data: piece.data.to_vec(),
            hole: piece.hole,
            time: piece.time,
            start: piece.start,
            since: now,
        };
        self.bytes += kept.data.len();
        let own = if piece.dir == Dir::ToServer {
            &mut self.up
        } else {
            &mut self.down
        };
        own.push_back(kept);
    }

    /// A piece whose turn has come, or that has waited since before `limit` (ns).
    pub(super) fn next(&mut self, waits: Waits, limit: u64) -> Option<Kept> {
        let ready = |queue: &VecDeque<Kept>, late: bool| {
            queue.front().is_some_and(|kept| {
                if late {
                    kept.since < limit
                } else {
                    may(kept.dir, kept.start, waits)
                }
            })
        };
        // What nobody waits for any more comes last, so that it cannot overtake.
        let queue = if ready(&self.up, false) {
            &mut self.up
        } else if ready(&self.down, false) {
            &mut self.down
        } else if ready(&self.up, true) {
            &mut self.up
        } else if ready(&self.down, true) {
            &mut self.down
        } else {
            return None;
        };
        let kept = queue.pop_front()?;
        self.bytes = self.bytes.saturating_sub(kept.data.len());
        Some(kept)
    }
}
