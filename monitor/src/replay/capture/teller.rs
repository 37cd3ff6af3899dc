//! From decoded exchanges to accesses.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::access::credential::{Found, Recognised, Recogniser};
use crate::access::{Access, Peer, Tls};
use crate::pipeline::{ANOMALIES, count};
use crate::wire::{Anomaly, Exchanges, RequestHead, ResponseHead, Unanswered};

/// Spare buffers kept for requests to come.
const SPARE: usize = 256;

/// Who is at the ends of a connection: addresses are all that a capture knows.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    peer: Peer,
    local: bool,
}

impl Ends {
    pub(super) fn new(client: SocketAddr, server: SocketAddr) -> Self {
        let (from, to) = (client.ip().to_canonical(), server.ip().to_canonical());
        Self {
            peer: Peer::Inet(SocketAddr::new(to, server.port())),
            local: to.is_loopback() || from == to,
        }
    }
}

/// What is kept between a request and its response.
#[derive(Debug)]
pub(super) struct Pending {
    said: Box<Recognised>,
    time: u64,
    resynchronised: bool,
}

/// Makes accesses.
#[derive(Debug)]
pub(super) struct Teller {
    recogniser: Recogniser,
    #[expect(clippy::vec_box, reason = "they come and go as boxes")]
    spare: Vec<Box<Recognised>>,
    no_duties: Arc<[Arc<str>]>,
    /// Accesses made and not taken yet.
    pub(super) made: Vec<Access>,
    /// Requests without a response.
    pub(super) unanswered: u64,
    /// Credentials of one request beyond those that are told of.
    pub(super) more_credentials: u64,
    /// What the decoder met, as [`ANOMALIES`].
    pub(super) anomalies: [u64; ANOMALIES.len()],
}

impl Teller {
    pub(super) fn new(recogniser: Recogniser) -> Self {
        Self {
            recogniser,
            spare: Vec::new(),
            no_duties: Arc::from([]),
            made: Vec::new(),
            unanswered: 0,
            more_credentials: 0,
            anomalies: [0; ANOMALIES.len()],
        }
    }

    /// It is so many nanoseconds since 1970.
    pub(super) fn tick(&mut self, now: u64) {
        self.recogniser.tick(now);
    }

    fn finish(
        &mut self,
        pending: Pending,
        answer: Option<&ResponseHead<'_>>,
        ends: &Ends,
        tls: &Option<Arc<Tls>>,
    ) {
        let Pending {
            mut said,
            time,
            resynchronised,
        } = pending;
        self.more_credentials += u64::from(said.more);
        let found = std::mem::take(&mut said.found);
        let mut access = Access {
            time_us: i64::try_from(time / 1000).unwrap_or(i64::MAX),
            peer: ends.peer.clone(),
            local: ends.local,
            path: said.path.clone(),
            status: answer.map(|answer| answer.status),
            grpc_status: answer.and_then(|answer| answer.grpc_status),
            duration_us: answer
                .filter(|answer| answer.time >= time)
                .map(|answer| (answer.time - time) / 1000),
            tls: tls.clone(),
            resynchronised,
            unknown_fields: said.unknown_fields,
            ..Access::said(&said, &self.no_duties)
        };
        // As in live traffic: the most telling credential comes last.
        let mut found = found.into_iter();
        let first = found.next();
        for more in found {
            let mut access = access.clone();
            credit(&mut access, more);
            self.made.push(access);
        }
        if let Some(first) = first {
            credit(&mut access, first);
        }
        self.made.push(access);
        said.proof = None;
        if self.spare.len() < SPARE {
            self.spare.push(said);
        }
    }
}

fn credit(access: &mut Access, found: Found) {
    access.location = Some(found.location);
    access.credential = Some(found.credential);
}

/// Receives what one connection's decoder says.
pub(super) struct Receiver<'a> {
    pub(super) teller: &'a mut Teller,
    pub(super) ends: &'a Ends,
    pub(super) tls: &'a Option<Arc<Tls>>,
}

impl Receiver<'_> {
    fn over(&mut self, pending: Pending, answer: Option<&ResponseHead<'_>>) {
        self.teller.finish(pending, answer, self.ends, self.tls);
    }
}

impl Exchanges for Receiver<'_> {
    type Pending = Pending;

    fn request(&mut self, head: &RequestHead<'_>) -> Pending {
        let mut said = self.teller.spare.pop().unwrap_or_default();
        self.teller.recogniser.recognise(head, &mut said);
        Pending {
            said,
            time: head.time,
            resynchronised: head.resynchronised,
        }
    }

    fn response(&mut self, pending: Pending, head: &ResponseHead<'_>) {
        self.over(pending, Some(head));
    }

    fn unanswered(&mut self, pending: Pending, _: Unanswered) {
        self.teller.unanswered += 1;
        self.over(pending, None);
    }

    fn anomaly(&mut self, cause: Anomaly) {
        count(&mut self.teller.anomalies, cause);
    }
}
