//! The hot path, from the source's events to verdicts: one thread owns all of it, takes no lock and
//! never waits. What it has to say leaves over bounded channels.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod analyst;
mod cover;
mod ends;
pub(crate) mod judging;
mod links;
mod over;
mod plain;
mod secure;
mod taps;

pub mod thread;
mod turns;
mod uses;

use hashbrown::HashMap;
use monitor_ebpf::{Close, Data, Open, advice, close_flag, data_flag, dir};

use analyst::Analyst;
pub(crate) use analyst::count;
pub use analyst::{ANOMALIES, Counters, Numbered};
use cover::Counted;
use judging::Judging;
use links::{Link, Links};
use plain::Keyless;
use secure::{Secrets, side_of_hello};
use taps::{Place, Side, Tap, Turn, side_of};
pub use uses::CredentialUse;

use crate::access::Endpoint;
use crate::access::credential::Recogniser;
use crate::alert::fold::Folder;
use crate::baseline::Baseline;
use crate::census::Census;
use crate::coverage::Coverage;
use crate::host::Host;
use crate::judge::Judge;
use crate::source::{Event, Source, Wish};
use crate::wire::tls::LoggedSecret;
use crate::wire::{Dir, Piece};

/// How long a record that was overtaken is waited for, in ns. The task that makes it can be preempted
/// at any point, so it can be late by whatever the scheduler does.
const PATIENT: u64 = 500_000_000;
/// The same while records are being lost: then the missing one most likely is.
const IMPATIENT: u64 = 5_000_000;
/// How long after a loss that is assumed, in ns.
const LOSS_MATTERS: u64 = 1_000_000_000;

/// Time between two looks at the baseline's windows, in ns.
const REST_EVERY: u64 = 250_000_000;
/// Secrets from key logs that are taken in one pass.
const LOGGED_PER_PASS: usize = 1024;

/// Bounds of the pipeline.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Heap that all connections' decoders may hold together, in bytes.
    pub connection_memory: usize,
    /// Connections followed at a time.
    pub connections: usize,
    /// Events taken from the source in one pass: few enough that the control ring, which is emptied
    /// between passes, cannot fill meanwhile.
    pub events_per_pass: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connection_memory: 32 << 20,
            connections: 65_536,
            events_per_pass: 8_192,
        }
    }
}

/// What the pipeline lost or gave up, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipelineLosses {
    /// Sockets whose open record never came.
    pub strays: u64,
    /// Records that could not be held until their predecessor came.
    pub unheld: u64,
    /// Records given up as lost between two that came.
    pub gaps: u64,
    /// Connections given up, oldest first, to keep within bounds.
    pub evicted: u64,
    /// Records on connections of which neither end is known to be the client.
    pub undecided: u64,
}

/// The whole pipeline.
pub struct Pipeline<S> {
    source: S,
    state: State,
}

struct State {
    host: Host,
    taps: HashMap<u64, Tap>,
    links: Links,
    secrets: Secrets,
    keyless: Keyless,
    analyst: Analyst,
    coverage: Coverage,
    /// What each process had lost when last asked, and when all connections were last counted.
    counted: Counted,
    limits: Limits,
    losses: PipelineLosses,
    pass: u64,
    /// When the baseline's windows were looked at last, ns.
    rested: u64,
    /// Records that the source had lost when last asked, and when that number last grew.
    lost: u64,
    lost_at: u64,
    /// Sockets with records that wait.
    waiting: Vec<u64>,
    /// Links whose decoder waits for bytes of the other end.
    unsettled: Vec<u32>,
    /// Links with bytes whose turn has not come.
    early: Vec<u32>,
    /// Links with exchanges whose other end has no name yet.
    unnamed: Vec<u32>,
    closes: Vec<(Close, u64)>,
    /// What to tell the source about sockets.
    advice: Vec<(u64, u32)>,
    memory: usize,
    /// Told of each process with a new image.
    hear: Box<dyn Fn(u32) + Send>,
    /// Told of processes that use credentials.
    used: Box<dyn Fn(CredentialUse) + Send>,
    /// Secrets from key logs.
    logged: Option<Box<dyn FnMut() -> Option<LoggedSecret> + Send>>,
}

impl<S> std::fmt::Debug for Pipeline<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline")
            .field("links", &self.state.links.len())
            .finish_non_exhaustive()
    }
}

impl<S: Source> Pipeline<S> {
    /// Puts the parts together.
    pub fn new(
        source: S,
        host: Host,
        recogniser: Recogniser,
        judge: Judge,
        census: Census,
        folder: Folder,
        limits: Limits,
    ) -> Self {
        let state = State {
            host,
            taps: HashMap::new(),
            links: Links::default(),
            secrets: Secrets::default(),
            keyless: Keyless::default(),
            analyst: Analyst::new(recogniser, Judging::new(judge, census, folder)),
            coverage: Coverage::default(),
            counted: Counted::default(),
            limits,
            losses: PipelineLosses::default(),
            pass: 0,
            rested: 0,
            lost: 0,
            lost_at: 0,
            waiting: Vec::new(),
            unsettled: Vec::new(),
            early: Vec::new(),
            unnamed: Vec::new(),
            closes: Vec::new(),
            advice: Vec::new(),
            memory: 0,
            hear: Box::new(|_| {}),
            used: Box::new(|_| {}),
            logged: None,
        };
        Self { source, state }
    }

    /// Learns what is usual, and tells of what is not.
    pub fn learn(&mut self, baseline: Baseline) {
        self.state.analyst.judging.baseline = Some(Box::new(baseline));
    }

    /// Tells `hear` of each process that replaced its image. It must not wait.
    pub fn tell_of_images(&mut self, hear: impl Fn(u32) + Send + 'static) {
        self.state.hear = Box::new(hear);
    }

    /// Tells `hear` of processes that use credentials. It must not wait.
    pub fn tell_of_uses(&mut self, hear: impl Fn(CredentialUse) + Send + 'static) {
        self.state.analyst.uses.on = true;
        self.state.used = Box::new(hear);
    }

    /// Says to `ask` what is wanted of a process with connections without keys. It must not wait; when it
    /// returns false it is asked again.
    pub fn ask_for_plaintext(&mut self, ask: impl Fn(u32, Wish) -> bool + Send + 'static) {
        self.state.keyless.ask_by(Box::new(ask));
    }

    /// Hands findings to containment.
    pub fn contain_by(&mut self, trigger: crate::contain::Trigger) {
        self.state.analyst.judging.contain = Some(trigger);
    }

    /// Takes secrets from `next`, too, in every pass. It must not wait.
    pub fn take_secrets(&mut self, next: impl FnMut() -> Option<LoggedSecret> + Send + 'static) {
        self.state.logged = Some(Box::new(next));
    }

    /// Takes what the source has and works it off. `now` is CLOCK_MONOTONIC in ns, `wall_offset` what
    /// to add to it for the time since 1970. Returns how many events there were.
    pub fn pass(&mut self, now: u64, wall_offset: i64) -> usize {
        let state = &mut self.state;
        state.pass += 1;
        state.analyst.now = now;
        state.analyst.wall_offset = wall_offset;
        state.analyst.recogniser.tick(now);
        state.take_logged();
        let events = self
            .source
            .drain(state.limits.events_per_pass, &mut |event| {
                state.event(event);
            });
        if state.waits() {
            let lost = self.source.lost();
            if lost != state.lost {
                state.lost = lost;
                state.lost_at = now;
                let now_us = state.analyst.wall_us(now);
                state.analyst.judging.judge.lost(now_us);
            }
            let losing = state.lost > 0 && now.saturating_sub(state.lost_at) < LOSS_MATTERS;
            let limit = now.saturating_sub(if losing { IMPATIENT } else { PATIENT });
            state.settle(limit);
            state.finish_closed(limit);
        }
        state.analyst.look_back();
        if now.saturating_sub(state.rested) >= REST_EVERY
            && state.analyst.judging.baseline.is_some()
        {
            state.rested = now;
            let own = state.losses.gaps + state.losses.unheld + state.losses.evicted;
            state.analyst.rest(self.source.lost().saturating_add(own));
        }
        state.expire_secrets(now);
        state.cover_now_and_then(now);
        for (sock, advice) in std::mem::take(&mut state.advice) {
            if advice & advice::PLAIN == 0 {
                state.keyless.gone(sock, now);
            } else {
                state.want_plain(sock);
            }
            self.source.advise(sock, advice);
        }
        for (pid, workload) in state.analyst.uses.take() {
            let parent = state.host.parent(pid);
            (state.used)(CredentialUse {
                pid,
                parent,
                workload,
            });
        }
        state.keep_within_bounds();
        state.keyless.settle(now);
        state.host.sweep(now);
        events
    }
}

impl State {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Data(record, bytes) => self.data(record, None, bytes),
            Event::Tls(record, bytes) => self.data(&record.data, Some(Place::of(record)), bytes),
            Event::Plain(record, bytes) => self.plain(record, bytes),
            Event::Open(record) => self.open(record),
            Event::Close(record) if record.header.flags & close_flag::PROGRESS != 0 => {
                self.cover(record);
            }
            Event::Close(record) => self.closes.push((*record, self.analyst.now)),
            Event::Exec(record) => {
                self.host.exec(record);
                (self.hear)(record.tgid);
            }
            Event::Fork(record) => self.host.fork(record),
            Event::Exit(record) => {
                self.keyless.ended(record.tgid);
                self.host.exit(record);
            }
            Event::Cgroup(record) => self.host.cgroup(record),
            Event::Key(record) => self.key(record),
        }
    }

    fn waits(&self) -> bool {
        !(self.waiting.is_empty()
            && self.early.is_empty()
            && self.unnamed.is_empty()
            && self.unsettled.is_empty()
            && self.closes.is_empty())
    }

    fn open(&mut self, record: &Open) {
        if self.taps.contains_key(&record.sock) {
            return;
        }
        self.host.moved(record.tgid, record.cgroup);
        let (index, side) = self.links.open(record);
        let mut tap = Tap::new(index, side);
        let workload = self.host.workload(record.tgid, record.exec_id);
        tap.exec_id = record.exec_id;
        tap.endpoint = Some(Endpoint {
            pid: record.tgid,
            workload,
        });
        if let Some(link) = self.links.get_mut(index) {
            link.last = self.pass;
            link.ends.name(tap.side, &tap.endpoint);
            link.name(&mut self.analyst, 0);
        }
        self.taps.insert(record.sock, tap);
    }

    fn data(&mut self, record: &Data, place: Option<Place>, bytes: &[u8]) {
        let tap = match self.taps.get_mut(&record.sock) {
            Some(tap) => tap,
            None => {
                self.losses.strays += 1;
                let link = self.links.stray(record.sock);
                let mut tap = Tap::new(link, None);
                tap.expect(record.seq);
                tap.exec_id = record.exec_id;
                tap.endpoint = Some(Endpoint {
                    pid: record.tgid,
                    workload: self.host.workload(record.tgid, record.exec_id),
                });
                self.taps.entry(record.sock).or_insert(tap)
            }
        };
        tap.covered.record(record);
        let waited = tap.waiting();
        match tap.arrive(record, place, bytes, self.analyst.now) {
            Turn::Now => {
                self.process(record, place, bytes);
                if waited {
                    self.release(record.sock, 0);
                }
            }
            Turn::Later => {
                if !waited {
                    self.waiting.push(record.sock);
                }
            }
            Turn::Lost => self.losses.unheld += 1,
        }
    }

    fn release(&mut self, sock: u64, limit: u64) {
        while let Some(tap) = self.taps.get_mut(&sock) {
            let expected = tap.expected();
            let Some(held) = tap.release(limit) else {
                return;
            };
            let missing = held.data.seq.wrapping_sub(expected);
            if missing > 0 {
                self.losses.gaps += u64::from(missing);
                let index = self.taps.get(&sock).map(|tap| tap.connection);
                if let Some(link) = index.and_then(|index| self.links.get_mut(index)) {
                    link.wire.lost_records();
                    link.doubt_tls(held.data.sock);
                }
            }
            self.process(&held.data, held.place, &held.bytes);
        }
    }

    /// A record whose turn has come.
    fn process(&mut self, record: &Data, place: Option<Place>, bytes: &[u8]) {
        if record.header.flags & data_flag::LATE != 0 {
            return self.late(record);
        }
        let begins = match place {
            Some(place) => side_of_hello(record, place, bytes),
            None => side_of(record, bytes),
        };
        if !self.meet(record, begins) {
            return;
        }
        let Some(index) = self.taps.get(&record.sock).map(|tap| tap.connection) else {
            return;
        };
        let led = |link: &mut Link| link.sequenced || link.lead == record.sock;
        if !self.links.get_mut(index).is_some_and(led) {
            return;
        }
        match place {
            Some(place) => self.tls_part(record, place, bytes),
            None => self.clear_part(record, bytes),
        }
        self.look_after(index);
    }

    /// Who is at a record's socket, and which end it is: what the record `begins` with tells, if it is not
    /// known yet. False when it does not.
    fn meet(&mut self, record: &Data, begins: Option<Side>) -> bool {
        let Some(tap) = self.taps.get_mut(&record.sock) else {
            return false;
        };
        let Some(link) = self.links.get_mut(tap.connection) else {
            return false;
        };
        link.last = self.pass;
        link.first.seen();
        if tap.side.is_none() {
            let Some(side) = begins else {
                self.losses.undecided += 1;
                return false;
            };
            tap.side = Some(side);
            link.ends.name(tap.side, &tap.endpoint);
            if link.lead == record.sock {
                link.lead_side = Some(side);
                if side == Side::Server {
                    link.ends.swap_addresses();
                }
            }
        }
        let same = tap
            .endpoint
            .as_ref()
            .is_some_and(|end| end.pid == record.tgid && tap.exec_id == record.exec_id);
        if !same {
            let workload = self.host.workload(record.tgid, record.exec_id);
            tap.exec_id = record.exec_id;
            tap.endpoint = Some(Endpoint {
                pid: record.tgid,
                workload,
            });
            link.ends.name(tap.side, &tap.endpoint);
        }
        link.name(&mut self.analyst, 0);
        true
    }

    /// A link was fed: what it waits for, and what it holds.
    fn look_after(&mut self, index: u32) {
        let now = self.analyst.now;
        let Some(link) = self.links.get_mut(index) else {
            return;
        };
        if link.waits() {
            if link.ends.taps > 1 && link.sequenced {
                if link.waits_since == 0 {
                    link.waits_since = now;
                    self.unsettled.push(index);
                }
            } else {
                link.settle(&mut self.analyst, &mut self.secrets.ring);
            }
        }
        link.list_unnamed(index, &mut self.unnamed);
        let memory = link.heap();
        self.memory = self.memory + memory - link.memory;
        link.memory = memory;
    }

    /// Bytes in clear text whose turn has come.
    fn clear_part(&mut self, record: &Data, bytes: &[u8]) {
        let Some(tap) = self.taps.get_mut(&record.sock) else {
            return;
        };
        let Some(link) = self.links.get_mut(tap.connection) else {
            return;
        };
        if link.tls.is_some() || link.probed.is_some() {
            return;
        }
        let sent = record.header.dir == dir::TX;
        let piece = Piece {
            dir: if sent == (tap.side == Some(Side::Client)) {
                Dir::ToServer
            } else {
                Dir::ToClient
            },
            off: record.off,
            data: bytes,
            hole: record.full.saturating_sub(record.header.len),
            time: record.time,
            start: record.header.flags & monitor_ebpf::data_flag::START != 0,
        };
        let index = tap.connection;
        if link.is_news(&piece) && link.wire.left_http() && !tap.left {
            // What follows a CONNECT may be TLS, which comes in records of its own kind; this is not. Nor
            // is it the other end's copy of the answer to CONNECT.
            tap.left = true;
            self.advice.push((record.sock, advice::LEAVE));
        }
        if link.feed(&piece, &mut self.analyst) {
            self.early.push(index);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
