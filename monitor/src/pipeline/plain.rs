//! Connections whose keys cannot be had: their plaintext comes from probes at the calls of their TLS
//! library, for as long as they are open.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use monitor_ebpf::{Data, advice, data_flag, dir};

use super::State;
use super::links::Link;
use super::taps::{Side, side_of};
use super::turns::Turns;
use crate::access::Tls;
use crate::source::Wish;
use crate::wire::{Connection, Dir, Piece};

/// Most processes that are remembered to have connections without keys.
const MOST_SUSPECTS: usize = 1024;
/// How long probes stay after the last connection that needs them, in ns: the next may be near.
const LINGER: u64 = 3_000_000_000;
/// Most processes that are asked for at a time.
const MOST_PROCESSES: usize = 256;

/// The plaintext of a link.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Probed {
    /// The socket whose plaintext is used, 0 before any came. The two ends count from different bytes, so
    /// it is one.
    sock: u64,
    /// Number of its next record.
    next: u32,
    /// The source was told that all of it is wanted.
    whole: bool,
}

/// Says what is wanted of a process; false: too much waits.
pub(super) type Ask = Box<dyn Fn(u32, Wish) -> bool + Send>;

/// Sockets without keys, and their processes.
#[derive(Default)]
pub(super) struct Keyless {
    ask: Option<Ask>,
    sockets: HashMap<u64, u32>,
    processes: HashMap<u32, usize>,
    /// What is still to be asked: processes, and since when they need nothing any more.
    asks: VecDeque<u32>,
    idle: VecDeque<(u32, u64)>,
    /// Processes that are probed, as far as was asked.
    probed: HashMap<u32, Wish>,
    /// Processes of which a connection had no keys: their next ones are probed from the beginning.
    suspects: HashSet<u32>,
}

impl std::fmt::Debug for Keyless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyless")
            .field("sockets", &self.sockets.len())
            .field("processes", &self.processes.len())
            .finish_non_exhaustive()
    }
}

impl Keyless {
    pub(super) fn ask_by(&mut self, ask: Ask) {
        self.ask = Some(ask);
    }

    /// A socket's plaintext is wanted of the process that uses it.
    fn want(&mut self, sock: u64, tgid: u32) {
        let room = self.processes.len() < MOST_PROCESSES || self.processes.contains_key(&tgid);
        if self.ask.is_none() || tgid == 0 || !room || self.sockets.contains_key(&sock) {
            return;
        }
        self.sockets.insert(sock, tgid);
        let count = self.processes.entry(tgid).or_default();
        *count += 1;
        if *count == 1 {
            self.asks.push_back(tgid);
        }
    }

    /// Whether its plaintext was asked for.
    fn has(&self, sock: u64) -> bool {
        self.sockets.contains_key(&sock)
    }

    /// A connection of this process had no keys.
    pub(super) fn suspect(&mut self, tgid: u32) {
        if self.suspects.len() >= MOST_SUSPECTS {
            self.suspects.clear();
        }
        if self.suspects.insert(tgid) && self.processes.contains_key(&tgid) {
            self.asks.push_back(tgid);
        }
    }

    /// Whether one had none.
    pub(super) fn suspects(&self, tgid: u32) -> bool {
        self.suspects.contains(&tgid)
    }

    /// A process ended.
    pub(super) fn ended(&mut self, tgid: u32) {
        self.suspects.remove(&tgid);
    }

    /// A socket is gone at `now` (ns), or is read by its keys.
    pub(super) fn gone(&mut self, sock: u64, now: u64) {
        let Some(tgid) = self.sockets.remove(&sock) else {
            return;
        };
        if let Some(count) = self.processes.get_mut(&tgid) {
            *count -= 1;
            if *count == 0 {
                self.processes.remove(&tgid);
                self.idle.push_back((tgid, now));
            }
        }
    }

    /// Asks for what changed, as far as it is heard now (ns).
    pub(super) fn settle(&mut self, now: u64) {
        let Some(ask) = &self.ask else { return };
        while let Some(tgid) = self.asks.front().copied() {
            let wish = if self.suspects.contains(&tgid) {
                Wish::All
            } else {
                Wish::Asked
            };
            let changed = self.probed.get(&tgid) != Some(&wish);
            if self.processes.contains_key(&tgid) && changed {
                if !ask(tgid, wish) {
                    return;
                }
                self.probed.insert(tgid, wish);
            }
            self.asks.pop_front();
        }
        while let Some((tgid, since)) = self.idle.front().copied() {
            if now.saturating_sub(since) < LINGER {
                return;
            }
            let unwanted = !self.processes.contains_key(&tgid) && self.probed.contains_key(&tgid);
            // Idle since then, not since later.
            let newer = self.idle.iter().skip(1).any(|(other, _)| *other == tgid);
            if unwanted && !newer {
                if !ask(tgid, Wish::Nothing) {
                    return;
                }
                self.probed.remove(&tgid);
            }
            self.idle.pop_front();
        }
    }
}

impl Link {
    /// Its bytes are encrypted, and will be told of in clear.
    fn begin_plain(&mut self) {
        self.wire = Connection::inside_tls(None, false);
        self.turns = Turns::default();
        self.probed = Some(Probed::default());
        self.ends.tls = Some(self.probed_tls());
    }

    /// What is known of its TLS.
    fn probed_tls(&self) -> Arc<Tls> {
        let session = self.tls.as_ref().map(|secure| &secure.session);
        Arc::new(Tls {
            version: session
                .and_then(|session| session.version())
                .map(|version| version.to_string()),
            sni: session.and_then(|session| session.sni().map(str::to_owned)),
            alpn: session
                .and_then(|session| session.alpn())
                .map(|alpn| String::from_utf8_lossy(alpn).into_owned()),
            via: "probes".to_owned(),
            ja4: session.and_then(|session| session.ja4().map(str::to_owned)),
        })
    }
}

impl State {
    /// A connection that was encrypted when it was first seen.
    pub(super) fn late(&mut self, record: &Data) {
        let Some(tap) = self.taps.get(&record.sock) else {
            return;
        };
        if let Some(link) = self.links.get_mut(tap.connection)
            && link.tls.is_none()
        {
            link.late_tls = true;
            self.advice
                .push((record.sock, advice::LEAVE | advice::PLAIN));
        }
    }

    /// A socket's plaintext is wanted: asks for it, once.
    pub(super) fn want_plain(&mut self, sock: u64) {
        let tap = self.taps.get(&sock);
        let end = tap.and_then(|tap| Some((tap.endpoint.as_ref()?.pid, tap.connection)));
        let Some((pid, index)) = end else {
            return;
        };
        let fresh = |link: &mut Link| link.tls.is_some();
        if self.links.get_mut(index).is_some_and(fresh) {
            self.keyless.suspect(pid);
        }
        self.keyless.want(sock, pid);
    }

    /// Plaintext of a socket.
    pub(super) fn plain(&mut self, record: &Data, bytes: &[u8]) {
        // A library's connection may outlive its socket, or be another where it was: then it is nobody's.
        let Some(tap) = self.taps.get_mut(&record.sock) else {
            return;
        };
        let Some(link) = self.links.get_mut(tap.connection) else {
            return;
        };
        // Its keys came after all.
        if link.probed.is_none() && link.tls_is_read() {
            return;
        }
        if link.probed.is_none() {
            // Sockets that nobody asked for are told of together with those of a process without keys.
            if !self.keyless.has(record.sock) && !self.keyless.suspects(record.tgid) {
                return;
            }
            link.close(&mut self.analyst);
            link.begin_plain();
        }
        let begins = side_of(record, bytes);
        if !self.meet(record, begins) {
            return;
        }
        let Some(tap) = self.taps.get_mut(&record.sock) else {
            return;
        };
        let (index, side) = (tap.connection, tap.side);
        let Some(link) = self.links.get_mut(index) else {
            return;
        };
        let Some(probed) = &mut link.probed else {
            return;
        };
        if probed.sock == 0 {
            *probed = Probed {
                sock: record.sock,
                next: record.seq,
                whole: false,
            };
        }
        if probed.sock != record.sock {
            return;
        }
        let lost = record.seq.wrapping_sub(probed.next);
        if lost < 1 << 31 {
            probed.next = record.seq.wrapping_add(1);
        }
        if (1..1 << 31).contains(&lost) {
            self.losses.gaps += u64::from(lost);
            link.wire.lost_records();
        }
        let sent = record.header.dir == dir::TX;
        let piece = Piece {
            dir: if sent == (side == Some(Side::Client)) {
                Dir::ToServer
            } else {
                Dir::ToClient
            },
            off: record.off,
            data: bytes,
            hole: record.full.saturating_sub(record.header.len),
            time: record.time,
            start: record.header.flags & data_flag::START != 0,
        };
        if link.feed(&piece, &mut self.analyst) {
            self.early.push(index);
        }
        let multiplexed = link.wire.multiplexes();
        if let Some(probed) = &mut link.probed
            && multiplexed
            && !std::mem::replace(&mut probed.whole, true)
        {
            self.advice.push((
                record.sock,
                advice::LEAVE | advice::PLAIN | advice::WHOLE_TX | advice::WHOLE_RX,
            ));
        }
        self.look_after(index);
    }
}

#[cfg(test)]
#[path = "plain_tests.rs"]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
