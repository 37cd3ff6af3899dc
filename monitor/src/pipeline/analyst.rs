//! From a decoded exchange to judged accesses: the receiver of what a link's decoder says.

use std::collections::VecDeque;
use std::sync::Arc;

use hdrhistogram::Histogram;

use super::ends::Ends;
use super::judging::Judging;
use super::uses::Uses;
use crate::access::Access;
use crate::access::credential::{Found, Recognised, Recogniser};
use crate::access::dpop::Proof;
use crate::access::share::{share, share_end, share_some};
use crate::judge::Sighted;
use crate::wire::{Anomaly, Exchanges, RequestHead, ResponseHead, Unanswered};

/// Accesses remembered for those who begin to look.
const RECENT: usize = 256;
/// Spare buffers kept for requests to come.
const SPARE: usize = 256;
/// Accesses handed to viewers in one pass at most; more are counted.
const MOST_LIVE: usize = 16_384;

/// An access and its number since the start.
pub type Numbered = (u64, Access);

/// What is kept between a request and its response.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// Large, and handed from stage to stage: by address.
    said: Box<Recognised>,
    time: u64,
    resynchronised: bool,
}

/// Counts of what was seen, since the start.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Requests without a response, by why: closed, lost, overflow.
    pub unanswered: [u64; 3],
    /// Decoder's anomalies, by [`Anomaly`].
    pub anomalies: [u64; ANOMALIES.len()],
    /// Credentials in one request beyond those that are reported.
    pub more_credentials: u64,
    /// Accesses that viewers missed because they came too fast.
    pub unseen: u64,
}

/// Anomalies and their names, in the order of [`Counters::anomalies`].
pub const ANOMALIES: [(Anomaly, &str); 16] = [
    (Anomaly::Gap, "gap"),
    (Anomaly::HeadTooLong, "head_too_long"),
    (Anomaly::BadRequest, "bad_request"),
    (Anomaly::BadResponse, "bad_response"),
    (Anomaly::BadChunk, "bad_chunk"),
    (Anomaly::BadFraming, "bad_framing"),
    (Anomaly::Orphan, "orphan"),
    (Anomaly::JoinedMidway, "joined_midway"),
    (Anomaly::Pipeline, "pipeline"),
    (Anomaly::Resynchronised, "resynchronised"),
    (Anomaly::Unseen, "unseen"),
    (Anomaly::LeftHttp, "left_http"),
    (Anomaly::BadFrame, "bad_frame"),
    (Anomaly::BadFields, "bad_fields"),
    (Anomaly::UnknownFields, "unknown_fields"),
    (Anomaly::Push, "push"),
];

/// Counts an anomaly, in the order of [`ANOMALIES`].
pub(crate) fn count(counts: &mut [u64; ANOMALIES.len()], cause: Anomaly) {
    let at = ANOMALIES.iter().position(|(anomaly, _)| *anomaly == cause);
    if let Some(slot) = at.and_then(|at| counts.get_mut(at)) {
        *slot += 1;
    }
}

/// Everything behind the decoder, owned by the hot thread.
pub(super) struct Analyst {
    pub(super) recogniser: Recogniser,
    pub(super) judging: Judging,
    pub(super) uses: Uses,
    pub(super) counters: Counters,
    /// Newest last. A new one is written over the oldest.
    pub(super) recent: VecDeque<Numbered>,
    /// Accesses of this pass, when someone looks.
    pub(super) live: Vec<Numbered>,
    pub(super) watched: bool,
    /// Nanoseconds to add to CLOCK_MONOTONIC for the time since 1970.
    pub(super) wall_offset: i64,
    /// CLOCK_MONOTONIC at the beginning of the pass, ns.
    pub(super) now: u64,
    /// When findings were handed over last, ns.
    pub(super) reported: u64,
    /// Microseconds from the response's first byte to the verdict.
    pub(super) delay: Option<Histogram<u64>>,
    /// Shared by all accesses that no duty grants.
    no_duties: Arc<[Arc<str>]>,
    #[expect(clippy::vec_box, reason = "they come and go as boxes")]
    spare: Vec<Box<Recognised>>,
}

impl Analyst {
    pub(super) fn new(recogniser: Recogniser, judging: Judging) -> Self {
        Self {
            recogniser,
            judging,
            uses: Uses::default(),
            counters: Counters::default(),
            recent: VecDeque::with_capacity(RECENT),
            live: Vec::new(),
            watched: false,
            wall_offset: 0,
            now: 0,
            reported: 0,
            delay: Histogram::new_with_bounds(1, 60_000_000, 2).ok(),
            no_duties: Arc::from([]),
            spare: Vec::new(),
        }
    }

    /// Microseconds since 1970 of CLOCK_MONOTONIC in ns.
    pub(super) fn wall_us(&self, stamp: u64) -> i64 {
        i64::try_from(stamp)
            .unwrap_or(i64::MAX)
            .saturating_add(self.wall_offset)
            / 1000
    }

    /// A request with a proof began.
    fn sighted(&mut self, said: &mut Recognised, time: u64, ends: &Ends) {
        let Some(proof) = said.proof.as_deref_mut() else {
            return;
        };
        let stamp = if time == 0 { self.now } else { time };
        let sighted = Sighted {
            time_us: self.wall_us(stamp),
            token: said
                .found
                .get(said.bound)
                .map(|found| found.credential.fingerprint),
            role: ends.role,
            client: ends.client.as_ref(),
            server: ends.server.as_ref(),
            peer: &ends.peer,
        };
        self.judging.judge.sighted(proof, &sighted);
    }

    /// An exchange is over: says who did what, and judges it.
    pub(super) fn finish(&mut self, exchange: Finished, ends: &Ends) {
        let Finished {
            pending, answer, ..
        } = exchange;
        let status = answer.map(|answer| answer.status);
        let answered = answer.map_or(0, |answer| answer.time);
        let duration_us = status
            .filter(|_| answered != 0 && pending.time != 0)
            .map(|_| answered.saturating_sub(pending.time) / 1000);
        if let Some(delay) = &mut self.delay
            && answered != 0
        {
            delay.saturating_record(self.now.saturating_sub(answered) / 1000);
        }
        let stamp = if pending.time == 0 {
            self.now
        } else {
            pending.time
        };
        self.counters.more_credentials += u64::from(pending.said.more);
        let over = Over {
            time_us: self.wall_us(stamp),
            status,
            grpc_status: answer.and_then(|answer| answer.grpc_status),
            duration_us,
            resynchronised: pending.resynchronised,
        };
        let mut said = pending.said;
        let mut proof = said.proof.take();
        let mut found = std::mem::take(&mut said.found).into_iter().enumerate();
        let first = found.next();
        for (at, more) in found {
            let own = if at == said.bound { proof.take() } else { None };
            self.conclude(&over, &said, Some(more), own, ends);
        }
        // The proof, where it was not taken before.
        self.conclude(&over, &said, first.map(|(_, first)| first), proof, ends);
        if self.spare.len() < SPARE {
            self.spare.push(said);
        }
    }

    /// Closes windows that are over, and folds what the baseline found since. `lost`: so far, in records.
    pub(super) fn rest(&mut self, lost: u64) {
        let now_us = self.wall_us(self.now);
        self.judging.rest(now_us, lost);
    }

    /// Judges, counts and remembers an access: in the place of the oldest one that is remembered.
    fn conclude(
        &mut self,
        over: &Over,
        said: &Recognised,
        found: Option<Found>,
        proof: Option<Box<Proof>>,
        ends: &Ends,
    ) {
        if self.recent.len() < RECENT {
            self.recent
                .push_back((0, Access::said(said, &self.no_duties)));
        } else {
            self.recent.rotate_left(1);
        }
        let Some((number, access)) = self.recent.back_mut() else {
            return;
        };
        write(access, over, said, ends);
        (access.location, access.credential) = found
            .map(|found| (found.location, found.credential))
            .unzip();
        access.proof = proof;
        *number = self.judging.conclude(access, &ends.sockets, |_, _| ());
        self.uses.note(access);
        if self.watched {
            if self.live.len() < MOST_LIVE {
                self.live.push((*number, access.clone()));
            } else {
                self.counters.unseen += 1;
            }
        }
    }

    /// Concludes what has waited long enough.
    pub(super) fn look_back(&mut self) {
        self.judging.look_back(self.wall_us(self.now));
    }
}

/// What an exchange came to.
struct Over {
    time_us: i64,
    status: Option<u16>,
    grpc_status: Option<u32>,
    duration_us: Option<u64>,
    resynchronised: bool,
}

/// Writes what the exchange and its ends say over whatever stood there. Who it was is set apart, and the rest by
/// judging.
fn write(access: &mut Access, over: &Over, said: &Recognised, ends: &Ends) {
    access.time_us = over.time_us;
    access.role = ends.role;
    share_end(&mut access.client, &ends.client);
    share_end(&mut access.server, &ends.server);
    access.peer.clone_from(&ends.peer);
    access.local = ends.local;
    access.protocol = said.protocol;
    share(&mut access.method, &said.method);
    share(&mut access.host, &said.host);
    access.path.clone_from(&said.path);
    share(&mut access.route, &said.route);
    access.status = over.status;
    access.grpc_status = over.grpc_status;
    access.duration_us = over.duration_us;
    share_some(&mut access.tls, ends.tls.as_ref());
    access.resynchronised = over.resynchronised;
    access.unknown_fields = said.unknown_fields;
}

/// What is kept of a response.
#[derive(Clone, Copy, Debug)]
struct Answer {
    status: u16,
    grpc_status: Option<u32>,
    /// Of its first byte, ns.
    time: u64,
}

/// An exchange that is over.
#[derive(Debug)]
pub(super) struct Finished {
    pending: Pending,
    answer: Option<Answer>,
    /// When it was over for the monitor, ns.
    pub(super) since: u64,
}

/// Most exchanges of one link that wait for its other end's name.
const MOST_UNNAMED: usize = 64;

/// Exchanges of a link whose other end must be on this host but has not been told of yet.
///
/// The program that tells of an end runs when its send or receive returns. A sender can be preempted
/// there for milliseconds, long after its peer has read, answered and told of both.
pub(super) type Unnamed = VecDeque<Finished>;

/// Receives what one link's decoder says.
pub(super) struct Receiver<'a> {
    pub(super) analyst: &'a mut Analyst,
    pub(super) ends: &'a Ends,
    pub(super) unnamed: &'a mut Unnamed,
}

impl Receiver<'_> {
    fn over(&mut self, exchange: Finished) {
        if self.ends.awaited() {
            self.unnamed.push_back(exchange);
            if self.unnamed.len() <= MOST_UNNAMED {
                return;
            }
        } else if self.unnamed.is_empty() {
            return self.analyst.finish(exchange, self.ends);
        } else {
            self.unnamed.push_back(exchange);
        }
        if let Some(oldest) = self.unnamed.pop_front() {
            self.analyst.finish(oldest, self.ends);
        }
    }

    /// Finishes what has waited since before `limit` (ns), and everything once nobody is awaited.
    pub(super) fn name(&mut self, limit: u64) {
        let awaited = self.ends.awaited();
        while let Some(oldest) = self.unnamed.front() {
            if awaited && oldest.since >= limit {
                return;
            }
            if let Some(oldest) = self.unnamed.pop_front() {
                self.analyst.finish(oldest, self.ends);
            }
        }
    }
}

impl Exchanges for Receiver<'_> {
    type Pending = Pending;

    fn request(&mut self, head: &RequestHead<'_>) -> Pending {
        let mut said = self.analyst.spare.pop().unwrap_or_default();
        self.analyst.recogniser.recognise(head, &mut said);
        self.analyst.sighted(&mut said, head.time, self.ends);
        Pending {
            said,
            time: head.time,
            resynchronised: head.resynchronised,
        }
    }

    fn response(&mut self, pending: Pending, head: &ResponseHead<'_>) {
        self.over(Finished {
            pending,
            answer: Some(Answer {
                status: head.status,
                grpc_status: head.grpc_status,
                time: head.time,
            }),
            since: self.analyst.now,
        });
    }

    fn unanswered(&mut self, pending: Pending, why: Unanswered) {
        let index = match why {
            Unanswered::Closed => 0,
            Unanswered::Lost => 1,
            Unanswered::Overflow => 2,
        };
        if let Some(slot) = self.analyst.counters.unanswered.get_mut(index) {
            *slot += 1;
        }
        self.over(Finished {
            pending,
            answer: None,
            since: self.analyst.now,
        });
    }

    fn anomaly(&mut self, cause: Anomaly) {
        count(&mut self.analyst.counters.anomalies, cause);
    }
}
