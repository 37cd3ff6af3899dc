//! Counts how connections were understood, each end for its own workload.

use hashbrown::HashMap;
use monitor_ebpf::{Close, Data, close_flag, uncovered};

use super::State;
use super::analyst::Analyst;
use super::links::Link;
use super::taps::Tap;
use crate::coverage::protocol::Protocol;
use crate::coverage::{About, Coverage, Destination, Inside, Kind, Means, Opaque};
use crate::source::SourceCounters;
use crate::wire::Version;
use crate::wire::tls::State as Seen;

/// How often open connections are counted, in ns.
const OPEN_EVERY: u64 = 10_000_000_000;
/// What accesses say of TLS that was read by means of keys.
const BY_KEYS: &str = "keys";

/// What was counted of one socket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Covered {
    /// Bytes by direction: what the last [`Close`] told, exactly,
    totals: [u64; 2],
    /// and what the records that came up held, a lower bound.
    seen: [u64; 2],
    /// Bytes that were counted.
    bytes: u64,
    /// As what it was counted.
    kind: Option<Kind>,
}

impl Covered {
    /// A record came up.
    pub(super) fn record(&mut self, record: &Data) {
        if let Some(sum) = self.seen.get_mut(usize::from(record.header.dir & 1)) {
            *sum = sum.saturating_add(u64::from(record.full));
        }
    }

    /// Bytes in both directions, as far as known.
    fn carried(&self) -> u64 {
        let ways = self.totals.iter().zip(self.seen);
        // The totals can be ahead of the records, and the records of the totals.
        ways.map(|(total, seen)| seen.max(*total)).sum()
    }
}

/// By process: bytes by cause, calls cut short.
type Processes = HashMap<u32, ([u64; uncovered::COUNT], u64)>;

/// What was counted of processes.
#[derive(Debug, Default)]
pub(super) struct Counted {
    processes: Processes,
    /// What the source said last. It reads its counters as they are, ahead of the events that say who a
    /// process is; by the next time those have come.
    waiting: Processes,
    /// When open connections were counted, ns.
    open_at: u64,
}

/// Where a socket stands.
#[derive(Clone, Copy)]
enum Stage {
    /// More may come.
    Open,
    /// Nothing more will; so many records were sent up.
    Over(u32),
}

impl Link {
    /// How it was understood so far; `None`: nothing can be said yet.
    fn understood(&self, over: bool) -> Option<Kind> {
        let inside = || match self.wire.spoken() {
            Some(Version::Http2) => Inside::Http2,
            Some(_) => Inside::Http1,
            None => Inside::Other(self.first.protocol().unwrap_or(Protocol::Other)),
        };
        let via = self.ends.tls.as_ref().map(|tls| tls.via.as_str());
        if via.is_some_and(|via| via != BY_KEYS) {
            return Some(Kind::Tls(Means::Probes, inside()));
        }
        if let Some(secure) = &self.tls {
            let unread = secure.session.unread();
            return match secure.session.state() {
                Seen::Reading { .. } => Some(Kind::Tls(Means::Keys, inside())),
                // Nothing waits for keys.
                Seen::Handshake if !unread => over.then_some(Kind::Opaque(Opaque::Unfinished)),
                Seen::Handshake => over.then_some(Kind::Opaque(Opaque::NoKeys)),
                Seen::Opaque(why) => Some(Kind::Opaque(why.into())),
            };
        }
        match (self.wire.spoken(), self.first.protocol()) {
            _ if self.late_tls => Some(Kind::Opaque(Opaque::JoinedLate)),
            (Some(Version::Http2), _) => Some(Kind::Http2),
            (Some(_), _) => Some(Kind::Http1),
            (None, Some(protocol)) => Some(Kind::Protocol(protocol)),
            (None, None) if !self.first.any() => None,
            (None, None) if self.bases.is_none() => Some(Kind::JoinedLate),
            (None, None) => Some(Kind::Protocol(Protocol::Other)),
        }
    }
}

fn cover(tap: &mut Tap, link: &Link, coverage: &mut Coverage, analyst: &mut Analyst, stage: Stage) {
    let carried = tap.covered.carried();
    let Some(endpoint) = tap.endpoint.as_ref().filter(|_| carried > 0) else {
        return;
    };
    let kind = match (link.understood(matches!(stage, Stage::Over(_))), stage) {
        (Some(kind), _) => kind,
        (None, Stage::Open) => return,
        // The program saw it and nothing came up: no buffer was ever had, or all was shed.
        (None, Stage::Over(0)) => Kind::Uncovered,
        (None, Stage::Over(_)) => Kind::Lost,
    };
    let about = About {
        workload: &endpoint.workload,
        destination: Destination {
            sni: link.tls.as_ref().and_then(|secure| secure.session.sni()),
            server: link.ends.server_address(),
            peer: &link.ends.peer,
        },
        time_us: analyst.wall_us(analyst.now),
    };
    let new = match tap.covered.kind {
        None => 1,
        Some(old) => {
            if old != kind {
                coverage.recount(&about, old, kind);
            }
            0
        }
    };
    let bytes = carried.saturating_sub(tap.covered.bytes);
    tap.covered.kind = Some(kind);
    tap.covered.bytes = carried;
    if new == 0 && bytes == 0 {
        return;
    }
    if let Some(turned) = coverage.note(&about, kind, new, bytes)
        && let Some((finding, words)) = analyst.judging.judge.coverage_lost(about.workload, &turned)
    {
        let judging = &mut analyst.judging;
        judging.tally.findings += 1;
        judging.tally.by_kind.note(finding);
        let operation = kind.to_string();
        judging
            .folder
            .observe_workload(finding, words, about.workload, &operation, about.time_us);
    }
}

impl State {
    /// A socket told how much it has carried: it closes, or goes on.
    pub(super) fn cover(&mut self, close: &Close) {
        let Some(tap) = self.taps.get_mut(&close.sock) else {
            return;
        };
        let Some(link) = self.links.get_mut(tap.connection) else {
            return;
        };
        tap.covered.totals = close.bytes;
        let stage = if close.header.flags & close_flag::GONE != 0 {
            Stage::Over(close.seq)
        } else {
            Stage::Open
        };
        cover(tap, link, &mut self.coverage, &mut self.analyst, stage);
    }

    /// Counts what is open, now and then.
    pub(super) fn cover_now_and_then(&mut self, now: u64) {
        if now.saturating_sub(self.counted.open_at) >= OPEN_EVERY {
            self.counted.open_at = now;
            self.cover_open();
        }
    }

    /// Counts all connections that are open.
    pub(super) fn cover_open(&mut self) {
        for tap in self.taps.values_mut() {
            if let Some(link) = self.links.get_mut(tap.connection) {
                cover(
                    tap,
                    link,
                    &mut self.coverage,
                    &mut self.analyst,
                    Stage::Open,
                );
            }
        }
    }

    /// Counts connections (sorted) that will not be followed any more, as far as they are known.
    pub(super) fn cover_given_up(&mut self, doomed: &[u32]) {
        for tap in self.taps.values_mut() {
            if doomed.binary_search(&tap.connection).is_ok()
                && let Some(link) = self.links.get_mut(tap.connection)
            {
                let stage = Stage::Over(tap.expected());
                cover(tap, link, &mut self.coverage, &mut self.analyst, stage);
            }
        }
    }

    /// Takes over what the source counted by process when this was called last.
    pub(super) fn cover_processes(&mut self, counters: &SourceCounters) {
        let mut now = Processes::new();
        for entry in &counters.uncovered {
            let cause = uncovered::NAMES
                .iter()
                .position(|name| *name == entry.cause);
            let (causes, _) = now.entry(entry.pid).or_default();
            if let Some(sum) = cause.and_then(|cause| causes.get_mut(cause)) {
                *sum = entry.bytes;
            }
        }
        for entry in &counters.shed {
            now.entry(entry.pid).or_default().1 = entry.short + entry.counted;
        }
        let now = std::mem::replace(&mut self.counted.waiting, now);
        let time_us = self.analyst.wall_us(self.analyst.now);
        for (pid, (causes, shed)) in &now {
            let (old_causes, old_shed) =
                self.counted.processes.get(pid).copied().unwrap_or_default();
            // A lower number is another process', or of a counter that had made room.
            let more = |now: u64, old: u64| now.checked_sub(old).unwrap_or(now);
            if *causes == old_causes && *shed == old_shed {
                continue;
            }
            let workload = self.host.workload(*pid, u32::MAX);
            for (cause, (bytes, old)) in causes.iter().zip(old_causes).enumerate() {
                match more(*bytes, old) {
                    0 => {}
                    more => self.coverage.uncovered(&workload, cause, more, time_us),
                }
            }
            match more(*shed, old_shed) {
                0 => {}
                more => self.coverage.shed(&workload, more, time_us),
            }
        }
        self.counted.processes = now;
    }
}
