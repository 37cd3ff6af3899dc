//! One tap a socket: what one end of a connection saw, put back into the order in which it saw it.
//!
//! A socket's records are numbered. They come from several per-CPU rings, so a record can be met
//! before its predecessor: it is held until the predecessor comes, or until it is clear that it never
//! will (the ring was full).

use monitor_ebpf::{Data, TlsData, data_flag, dir};

use super::cover::Covered;
use crate::access::Endpoint;
use crate::wire::{Dir, direction};

/// Most bytes held back per socket.
const MOST_HELD_BYTES: usize = 64 << 10;
/// Most records held back per socket.
const MOST_HELD: usize = 256;

/// Which end of its connection a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// Which part of which TLS record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) record: u32,
    pub(super) at: u16,
    pub(super) length: u16,
    pub(super) outer: u8,
}

impl Place {
    pub(super) fn of(record: &TlsData) -> Self {
        Self {
            record: record.record,
            at: record.at,
            length: record.length,
            outer: record.outer,
        }
    }
}

/// A record and its bytes, kept.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) data: Data,
    /// For TLS.
    pub(super) place: Option<Place>,
    pub(super) bytes: Vec<u8>,
    /// When it came, ns.
    since: u64,
}

#[derive(Debug)]
pub(super) struct Tap {
    /// Index of its connection.
    pub(super) connection: u32,
    pub(super) side: Option<Side>,
    /// Process of the last record, resolved.
    pub(super) endpoint: Option<Endpoint>,
    pub(super) exec_id: u32,
    /// The source was told that nothing more is wanted.
    pub(super) left: bool,
    pub(super) covered: Covered,
    next: u32,
    held: Vec<Held>,
    held_bytes: usize,
}

/// What to do with a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Now.
    Now,
    /// It was kept; a predecessor is missing.
    Later,
    /// There was no room to keep it: lost.
    Lost,
}

impl Tap {
    pub(super) fn new(connection: u32, side: Option<Side>) -> Self {
        Self {
            connection,
            side,
            endpoint: None,
            exec_id: 0,
            left: false,
            covered: Covered::default(),
            next: 0,
            held: Vec::new(),
            held_bytes: 0,
        }
    }

    /// Whether records wait.
    pub(super) fn waiting(&self) -> bool {
        !self.held.is_empty()
    }

    /// Says whether a record's turn has come.
    pub(super) fn arrive(
        &mut self,
        data: &Data,
        place: Option<Place>,
        bytes: &[u8],
        now: u64,
    ) -> Turn {
        if data.seq.wrapping_sub(self.next) as i32 <= 0 {
            // Its turn; or an older number again, from two threads in one socket.
            if data.seq == self.next {
                self.next = self.next.wrapping_add(1);
            }
            return Turn::Now;
        }
        if self.held.len() >= MOST_HELD || self.held_bytes + bytes.len() > MOST_HELD_BYTES {
            return Turn::Lost;
        }
        self.held_bytes += bytes.len();
        self.held.push(Held {
            data: *data,
            place,
            bytes: bytes.to_vec(),
            since: now,
        });
        Turn::Later
    }

    /// Takes a held record whose turn has come, or that has waited since before `limit` (its predecessors
    /// are lost).
    pub(super) fn release(&mut self, limit: u64) -> Option<Held> {
        let index = (0..self.held.len()).min_by_key(|i| {
            self.held
                .get(*i)
                .map(|h| h.data.seq.wrapping_sub(self.next))
        })?;
        let held = self.held.get(index)?;
        let due = held.data.seq == self.next || held.since < limit;
        if !due {
            return None;
        }
        let held = self.held.swap_remove(index);
        self.held_bytes = self.held_bytes.saturating_sub(held.bytes.len());
        self.next = held.data.seq.wrapping_add(1);
        Some(held)
    }

    /// Number of the next record.
    pub(super) fn expected(&self) -> u32 {
        self.next
    }

    /// A socket met in the middle begins with this record.
    pub(super) fn expect(&mut self, seq: u32) {
        self.next = seq;
    }

    /// Whether all of the first `records` records were seen.
    pub(super) fn reached(&self, records: u32) -> bool {
        self.next.wrapping_sub(records) as i32 >= 0 && self.held.is_empty()
    }
}

/// Which end a socket is, by what a message in this direction begins with; `None` while undecided.
pub(super) fn side_of(data: &Data, bytes: &[u8]) -> Option<Side> {
    if data.header.flags & data_flag::START == 0 {
        return None;
    }
    let sent = data.header.dir == dir::TX;
    Some(match (direction(bytes)?, sent) {
        (Dir::ToServer, true) | (Dir::ToClient, false) => Side::Client,
        (Dir::ToServer, false) | (Dir::ToClient, true) => Side::Server,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u32) -> Data {
        Data {
            seq,
            ..Data::default()
        }
    }

    #[test]
    fn records_come_back_in_their_order() {
        let mut tap = Tap::new(0, None);
        assert_eq!(tap.arrive(&record(1), None, b"b", 1), Turn::Later);
        assert_eq!(tap.arrive(&record(2), None, b"c", 1), Turn::Later);
        assert!(tap.release(0).is_none());
        assert_eq!(tap.arrive(&record(0), None, b"a", 1), Turn::Now);
        assert_eq!(tap.release(0).map(|h| h.data.seq), Some(1));
        assert_eq!(tap.release(0).map(|h| h.data.seq), Some(2));
        assert!(!tap.waiting());
        assert_eq!(tap.held_bytes, 0);
    }

    #[test]
    fn a_lost_record_is_given_up_in_the_end() {
        let mut tap = Tap::new(0, None);
        assert_eq!(tap.arrive(&record(3), None, b"d", 7), Turn::Later);
        assert!(tap.release(7).is_none());
        assert_eq!(tap.release(8).map(|h| h.data.seq), Some(3));
        assert_eq!(tap.arrive(&record(4), None, b"e", 9), Turn::Now);
    }

    #[test]
    fn a_closed_socket_waits_for_its_last_record() {
        let mut tap = Tap::new(0, None);
        assert!(!tap.reached(1));
        assert_eq!(tap.arrive(&record(0), None, b"a", 4), Turn::Now);
        assert!(tap.reached(1));
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut tap = Tap::new(0, None);
        let lost = (1..2000).filter(|n| tap.arrive(&record(*n), None, &[0; 1000], 1) == Turn::Lost);
        assert!(lost.count() > 1900);
        assert!(tap.held_bytes <= MOST_HELD_BYTES);
    }

    #[test]
    fn sides_follow_the_first_message() {
        let data = |dir| {
            let mut data = Data::default();
            data.header.dir = dir;
            data.header.flags = data_flag::START;
            data
        };
        assert_eq!(
            side_of(&data(dir::TX), b"GET / HTTP/1.1"),
            Some(Side::Client)
        );
        assert_eq!(
            side_of(&data(dir::RX), b"GET / HTTP/1.1"),
            Some(Side::Server)
        );
        assert_eq!(side_of(&data(dir::RX), b"HTTP/1.1 200"), Some(Side::Client));
        assert_eq!(side_of(&data(dir::TX), b"HTTP/1.1 200"), Some(Side::Server));
        assert_eq!(side_of(&data(dir::TX), b"\x16\x03\x01"), None);
        // Frames of HTTP/2: `:method: GET`, and `:status: 200` behind a PING.
        let asked = b"\0\0\x01\x01\x05\0\0\0\x07\x82";
        let answered = b"\0\0\x08\x06\0\0\0\0\0PINGPING\0\0\x01\x01\x05\0\0\0\x07\x88";
        assert_eq!(side_of(&data(dir::RX), asked), Some(Side::Server));
        assert_eq!(side_of(&data(dir::TX), asked), Some(Side::Client));
        assert_eq!(side_of(&data(dir::RX), answered), Some(Side::Client));
    }
}
