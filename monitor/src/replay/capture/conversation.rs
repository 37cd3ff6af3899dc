//! One TCP connection: its segments in an order in which they can have been sent.
//!
//! A direction's bytes are in order by their numbers. Between the directions, what a segment acknowledges had
//! reached its sender: it is handed on before the segment. So the order does not depend on the order of capture.
//!
//! Missing bytes are waited for: for so many packets or so long once the other end says that it has them (they were
//! sent, and only the capture lacks them), else until they are sent again, or a bound is reached.

use std::net::SocketAddr;

use super::content::{Content, Shared, is_hello, is_record};
use super::flow::{Flow, Run, Since, ahead};
use super::layers::Segment;
use super::teller::Ends;
use crate::wire::{Dir, Piece, direction};

/// How long what was acknowledged, and whatever else was sent already, is waited for: packets of the connection,
const PATIENT_PACKETS: u64 = 64;
/// and nanoseconds.
pub(super) const PATIENT: u64 = 1_000_000_000;
/// The same of what was not acknowledged: it may be sent again.
const RESENT_PACKETS: u64 = 4096;
const RESENT: u64 = 60_000_000_000;
/// Numbers this far from where a closed connection ended belong to another one between the same ends.
const FAR: i32 = 1 << 24;

/// One end of a connection: 0 or 1.
pub(super) type End = usize;

/// A connection.
#[derive(Debug)]
pub(super) struct Conversation {
    addresses: [SocketAddr; 2],
    flows: [Flow; 2],
    client: Option<(End, Ends)>,
    content: Option<Content>,
    /// Packets so far.
    packets: u64,
    /// Number of its latest packet among all.
    pub(super) last: u64,
    /// A reset came, and nothing new since.
    reset: Option<Since>,
    last_end: Option<End>,
    /// Nothing more of it is looked at.
    over: bool,
    counted: bool,
    /// It is in the list of those that wait.
    pub(super) listed: bool,
    /// Heap when last asked.
    pub(super) memory: usize,
}

impl Conversation {
    /// Between these.
    pub(super) fn new(addresses: [SocketAddr; 2]) -> Self {
        Self {
            addresses,
            flows: <[Flow; 2]>::default(),
            client: None,
            content: None,
            packets: 0,
            last: 0,
            reset: None,
            last_end: None,
            over: false,
            counted: false,
            listed: false,
            memory: 0,
        }
    }

    fn flow(&mut self, end: End) -> &mut Flow {
        let [first, second] = &mut self.flows;
        if end == 0 { first } else { second }
    }

    fn flow_of(&self, end: End) -> &Flow {
        let [first, second] = &self.flows;
        if end == 0 { first } else { second }
    }

    /// Whether a segment from `end` cannot be of this connection but begins another one between the same ends.
    pub(super) fn is_succeeded_by(&self, segment: &Segment<'_>, end: End) -> bool {
        let flow = self.flow_of(end);
        let Some(next) = flow.next else {
            return false;
        };
        if segment.syn {
            let begin = segment.seq.wrapping_add(1);
            let again = match flow.fresh {
                true => begin == flow.begun,
                // Its own, late: what follows it was taken for the middle of a connection.
                false => !self.over && (0..FAR).contains(&ahead(next, begin)),
            };
            return !again;
        }
        self.over && !segment.data.is_empty() && ahead(segment.seq, next).saturating_abs() > FAR
    }

    /// Takes a segment from `end`, captured at `now` (ns since 1970; never goes back).
    pub(super) fn take(
        &mut self,
        segment: &Segment<'_>,
        end: End,
        time: u64,
        now: u64,
        shared: &mut Shared,
    ) {
        self.packets += 1;
        if self.over {
            shared.counts.again += u64::try_from(segment.data.len()).unwrap_or(u64::MAX);
            return;
        }
        let since = Since {
            packet: self.packets,
            time: now,
        };
        if segment.rst {
            // Its bytes, if it has any, say why (RFC 9293 §3.5.3).
            self.reset = self.reset.or(Some(since));
            return self.pump(now, false, shared);
        }
        let off = segment.seq.wrapping_add(u32::from(segment.syn));
        if segment.syn {
            self.name(match segment.ack {
                None => end,
                Some(_) => 1 - end,
            });
            self.flow(end).begin(off);
            if let Some(ack) = segment.ack {
                self.flow(1 - end).begin(ack);
            }
        }
        if let Some(ack) = segment.ack {
            self.flow(1 - end).acknowledge(ack);
        }
        let run = Run {
            off,
            data: segment.data,
            hole: segment.hole,
            ack: segment.ack,
            time,
        };
        shared.counts.uncaptured += u64::from(segment.hole);
        if segment.fin && self.flow(end).fin.is_none() {
            self.flow(end).fin = Some(off.wrapping_add(run.length()));
        }
        if run.length() > 0 {
            self.arrive(run, end, since, shared);
        }
        self.pump(now, false, shared);
    }

    /// Takes a segment's bytes: at once, if their turn has come.
    fn arrive(&mut self, run: Run<'_>, end: End, since: Since, shared: &mut Shared) {
        let flow = self.flow_of(end);
        if flow.ended {
            shared.counts.again += u64::from(run.length());
            return;
        }
        let news = flow.news(run);
        let in_turn = flow.first().is_none() && flow.next == Some(news.off);
        if news.length() > 0 {
            self.reset = None;
        }
        if in_turn && news.length() > 0 && self.acknowledged(end, run.ack) {
            shared.counts.again += u64::from(run.length() - news.length());
            let after = news.off.wrapping_add(news.length());
            self.flow(end).next = Some(after);
            self.hand_on(news, end, shared);
        } else {
            let again = self.flow(end).keep(run, since);
            shared.counts.again += u64::from(again);
        }
    }

    /// Whether what a segment from `end` acknowledges has been handed on.
    fn acknowledged(&self, end: End, ack: Option<u32>) -> bool {
        let Some(ack) = ack else {
            return true;
        };
        let other = self.flow_of(1 - end);
        let needed = needed(other, ack);
        other.next.is_some_and(|next| ahead(next, needed) >= 0)
    }

    /// Hands on what can be. `all`: nothing more is waited for.
    pub(super) fn pump(&mut self, now: u64, all: bool, shared: &mut Shared) {
        while !self.over && self.step(now, all, shared) {}
        let Some(reset) = self.reset else {
            return;
        };
        if all || self.overdue(reset, now, PATIENT_PACKETS, PATIENT) {
            self.close(now, shared);
        }
    }

    /// One step of [`Self::pump`]: whether there was one. Each takes a run out of what is held, ends a direction,
    /// or brings a direction up to what it holds.
    fn step(&mut self, now: u64, all: bool, shared: &mut Shared) -> bool {
        for end in [0, 1] {
            let flow = self.flow_of(end);
            if flow.ready() && self.acknowledged(end, flow.first().and_then(|held| held.ack)) {
                self.hand_on_first(end, shared);
                return true;
            }
            if !flow.ended && flow.next.is_some() && flow.next == flow.fin {
                self.end(end, shared);
                return true;
            }
        }
        // What is missing comes first: what waits for an acknowledged byte may have it then.
        for ready in [false, true] {
            for end in [0, 1] {
                if self.flow_of(end).ready() == ready && self.is_vain(end, now, all) {
                    self.give_up(end, shared);
                    return true;
                }
            }
        }
        false
    }

    /// Whether what the first held run of a direction waits for will not come.
    fn is_vain(&self, end: End, now: u64, all: bool) -> bool {
        let flow = self.flow_of(end);
        let Some(first) = flow.first() else {
            return false;
        };
        let resent = match (flow.next, flow.acked) {
            // Sent, and received.
            (Some(next), Some(acked)) if ahead(acked, next) > 0 => false,
            (Some(next), _) => next != first.off,
            (None, _) => false,
        };
        let (packets, time) = if resent {
            (RESENT_PACKETS, RESENT)
        } else {
            (PATIENT_PACKETS, PATIENT)
        };
        all || flow.full() || self.overdue(first.since, now, packets, time)
    }

    fn overdue(&self, since: Since, now: u64, packets: u64, time: u64) -> bool {
        self.packets.saturating_sub(since.packet) >= packets
            || now.saturating_sub(since.time) >= time
    }

    /// Waits no longer for what the first held run of a direction waits for.
    fn give_up(&mut self, end: End, shared: &mut Shared) {
        let Some((first, ack)) = self
            .flow_of(end)
            .first()
            .map(|first| (first.off, first.ack))
        else {
            return;
        };
        match self.flow_of(end).next {
            None => self.flow(end).join(),
            Some(next) if next != first => {
                // What was sent before the capture began is no loss of it.
                let flow = self.flow(end);
                flow.jump(first);
                if flow.told || flow.fresh {
                    shared.counts.lost += u64::from(first.wrapping_sub(next));
                }
                if let Some(content) = &mut self.content {
                    content.lost();
                }
            }
            Some(_) => {
                // What it answers is missing, and nothing lies behind that.
                let other = self.flow_of(1 - end);
                let needed = ack.map(|ack| needed(other, ack));
                let next = other.next;
                // What is said to be far ahead is not believed.
                let near = |at: &u32| next.is_none_or(|next| (1..FAR).contains(&ahead(*at, next)));
                if let Some(needed) = needed.filter(near)
                    && other.first().is_none()
                {
                    if let Some(next) = next {
                        shared.counts.lost += u64::from(needed.wrapping_sub(next));
                        if let Some(content) = &mut self.content {
                            content.lost();
                        }
                    }
                    self.flow(1 - end).jump(needed);
                }
                self.hand_on_first(end, shared);
            }
        }
    }

    fn hand_on_first(&mut self, end: End, shared: &mut Shared) {
        if let Some(held) = self.flow(end).take() {
            self.hand_on(held.run(), end, shared);
        }
    }

    /// Bytes whose turn has come.
    fn hand_on(&mut self, run: Run<'_>, end: End, shared: &mut Shared) {
        self.flow(end).told = true;
        if !std::mem::replace(&mut self.counted, true) {
            shared.counts.connections += 1;
            let fresh = self.flows.iter().all(|flow| flow.fresh);
            shared.counts.midway += u64::from(!fresh);
        }
        if self.client.is_none() {
            if self.content.is_none() && is_record(run.data) && !is_hello(run.data) {
                self.content = Some(Content::late(&mut shared.counts));
            }
            if let Some(Content::Late) = self.content {
                return;
            }
            match side(run.data) {
                Some(Dir::ToServer) => self.name(end),
                Some(Dir::ToClient) => self.name(1 - end),
                None => shared.counts.undecided += 1,
            }
        }
        let Some((client, ends)) = &self.client else {
            return;
        };
        let piece = Piece {
            dir: if end == *client {
                Dir::ToServer
            } else {
                Dir::ToClient
            },
            off: run.off,
            data: run.data,
            hole: run.hole,
            time: run.time,
            start: self.last_end != Some(end),
        };
        self.last_end = Some(end);
        match &mut self.content {
            Some(content) => content.take(piece, ends, shared),
            none => {
                // Only what was there from its beginning begins at a known place.
                let [first, second] = &self.flows;
                let fresh = first.fresh && second.fresh;
                let begun = match client {
                    0 => (first.begun, second.begun),
                    _ => (second.begun, first.begun),
                };
                let bases = fresh.then_some(begun);
                let mut content = Content::new(bases, &piece, &mut shared.counts);
                content.take(piece, ends, shared);
                *none = Some(content);
            }
        }
    }

    fn name(&mut self, client: End) {
        if self.client.is_none() {
            let [first, second] = self.addresses;
            let ends = match client {
                0 => Ends::new(first, second),
                _ => Ends::new(second, first),
            };
            self.client = Some((client, ends));
        }
    }

    /// A direction is whole.
    fn end(&mut self, end: End, shared: &mut Shared) {
        let flow = self.flow(end);
        flow.ended = true;
        flow.clear();
        if let (Some(content), Some((client, ends))) = (&mut self.content, &self.client) {
            let dir = if end == *client {
                Dir::ToServer
            } else {
                Dir::ToClient
            };
            content.end(dir, ends, shared);
        }
        if self.flows.iter().all(|flow| flow.ended) {
            self.finish(shared);
        }
    }

    /// The connection is over: what waits is handed on.
    pub(super) fn close(&mut self, now: u64, shared: &mut Shared) {
        while !self.over && self.step(now, true, shared) {}
        self.finish(shared);
    }

    fn finish(&mut self, shared: &mut Shared) {
        if let (Some(content), Some((_, ends))) = (&mut self.content, &self.client) {
            content.close(ends, shared);
        }
        self.over = true;
        self.content = None;
        for flow in &mut self.flows {
            flow.clear();
        }
    }

    /// Secrets have come for it.
    pub(super) fn offer(&mut self, now: u64, shared: &mut Shared) {
        if let (Some(content), Some((_, ends))) = (&mut self.content, &self.client) {
            content.offer(now, ends, shared);
        }
    }

    /// Nothing more of it is looked at.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Something of it waits: it is to be looked at again, whatever comes.
    pub(super) fn waits(&self) -> bool {
        let held = self.flows.iter().any(|flow| flow.first().is_some());
        !self.over && (held || self.reset.is_some())
    }

    /// Bytes of heap.
    pub(super) fn heap(&self) -> usize {
        let content = self.content.as_ref().map_or(0, Content::memory);
        content + self.flows.iter().map(Flow::memory).sum::<usize>()
    }
}

/// Up to where a direction must have come for what acknowledges `ack`: its end has a number, but no byte.
fn needed(flow: &Flow, ack: u32) -> u32 {
    let before = ack.wrapping_sub(1);
    if flow.fin == Some(before) {
        before
    } else {
        ack
    }
}

/// Which way a message that begins so travels.
fn side(data: &[u8]) -> Option<Dir> {
    if data.len() > 5 && is_hello(data) {
        return Some(Dir::ToServer);
    }
    direction(data)
}
