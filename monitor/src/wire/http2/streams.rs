//! Requests in flight by stream.

use crate::wire::{Anomaly, Exchanges, ResponseHead, Unanswered};

/// Most streams that are followed.
pub(super) const MAX_STREAMS: usize = 256;

/// A stream on which a request was seen, or an answer whose request may still come: two directions are
/// not always met in the order in which they were sent.
pub(super) struct Stream<P> {
    pub(super) id: u32,
    /// The request; none while it has not been seen.
    pub(super) pending: Option<P>,
    /// Status of the final response, once it was seen.
    pub(super) status: Option<u16>,
    pub(super) grpc_status: Option<u32>,
    /// When the response began, ns.
    pub(super) time: u64,
    /// The answer is complete when `grpc-status` is known.
    pub(super) grpc: bool,
    /// CONNECT: on success the stream leaves HTTP.
    pub(super) connect: bool,
    /// The answer is complete; only the request is missing.
    pub(super) done: bool,
}

impl<P> Stream<P> {
    pub(super) fn new(id: u32) -> Self {
        Self {
            id,
            pending: None,
            status: None,
            grpc_status: None,
            time: 0,
            grpc: false,
            connect: false,
            done: false,
        }
    }

    /// All that is told of the answer is known.
    pub(super) fn answered(&self) -> bool {
        self.status.is_some() && (!self.grpc || self.grpc_status.is_some())
    }

    /// Tells what became of it.
    fn conclude<X: Exchanges<Pending = P>>(
        self,
        headers: &[httparse::Header<'_>],
        otherwise: Unanswered,
        sink: &mut X,
    ) {
        match (self.pending, self.status) {
            (Some(pending), Some(status)) => {
                sink.response(
                    pending,
                    &ResponseHead {
                        status,
                        headers,
                        time: self.time,
                        grpc_status: self.grpc_status,
                    },
                );
                if self.connect && (200..300).contains(&status) {
                    sink.anomaly(Anomaly::LeftHttp);
                }
            }
            (Some(pending), None) => sink.unanswered(pending, otherwise),
            (None, _) => sink.anomaly(Anomaly::Orphan),
        }
    }
}

/// The streams of a connection, by id.
pub(super) struct Streams<P> {
    list: Vec<Stream<P>>,
    /// Highest id of a request.
    pub(super) highest: u32,
}

impl<P> Streams<P> {
    pub(super) const fn new() -> Self {
        Self {
            list: Vec::new(),
            highest: 0,
        }
    }

    /// Requests without an answer.
    pub(super) fn in_flight(&self) -> usize {
        self.list.iter().filter(|one| one.pending.is_some()).count()
    }

    fn find(&self, id: u32) -> Result<usize, usize> {
        self.list.binary_search_by_key(&id, |stream| stream.id)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Stream<P>> {
        let at = self.find(id).ok()?;
        self.list.get_mut(at)
    }

    /// The stream, made if it is not there. The oldest goes when there are too many.
    pub(super) fn open<X: Exchanges<Pending = P>>(
        &mut self,
        id: u32,
        sink: &mut X,
    ) -> Option<&mut Stream<P>> {
        let at = match self.find(id) {
            Ok(at) => at,
            Err(mut at) => {
                if self.list.len() >= MAX_STREAMS {
                    let oldest = self.list.remove(0);
                    at = at.saturating_sub(1);
                    if oldest.pending.is_some() && oldest.status.is_none() {
                        sink.anomaly(Anomaly::Pipeline);
                    }
                    oldest.conclude(&[], Unanswered::Overflow, sink);
                }
                if self.list.len() == self.list.capacity() {
                    let room = MAX_STREAMS.saturating_sub(self.list.len());
                    self.list.reserve_exact(self.list.len().max(4).min(room));
                }
                self.list.insert(at, Stream::new(id));
                at
            }
        };
        self.list.get_mut(at)
    }

    /// A request was seen. Ids grow (RFC 9113 §5.1.1): answers on lower ones have none.
    pub(super) fn asked<X: Exchanges<Pending = P>>(&mut self, id: u32, sink: &mut X) {
        self.highest = self.highest.max(id);
        let gone = |stream: &mut Stream<P>| stream.id < id && stream.pending.is_none();
        for orphan in self.list.extract_if(.., gone) {
            orphan.conclude(&[], Unanswered::Lost, sink);
        }
    }

    /// The answer on a stream is complete. `headers`: of the block that made it so; none if it was
    /// something else. `otherwise`: why there is none, if there is none.
    pub(super) fn finish<X: Exchanges<Pending = P>>(
        &mut self,
        id: u32,
        headers: &[httparse::Header<'_>],
        otherwise: Unanswered,
        sink: &mut X,
    ) {
        let Ok(at) = self.find(id) else { return };
        match self.list.get_mut(at) {
            Some(stream) if stream.pending.is_none() => stream.done = true,
            _ => self.list.remove(at).conclude(headers, otherwise, sink),
        }
        if self.list.is_empty() && self.list.capacity() > 8 {
            self.list = Vec::new();
        }
    }

    /// The server says that it has not acted upon streams above `last` (RFC 9113 §6.8).
    pub(super) fn refused<X: Exchanges<Pending = P>>(&mut self, last: u32, sink: &mut X) {
        let refused = |stream: &mut Stream<P>| {
            stream.id > last && stream.pending.is_some() && stream.status.is_none()
        };
        for stream in self.list.extract_if(.., refused) {
            stream.conclude(&[], Unanswered::Closed, sink);
        }
    }

    /// Nothing more will come.
    pub(super) fn give_up<X: Exchanges<Pending = P>>(&mut self, why: Unanswered, sink: &mut X) {
        for stream in std::mem::take(&mut self.list) {
            stream.conclude(&[], why, sink);
        }
    }

    pub(super) fn shrink(&mut self) {
        self.list.shrink_to_fit();
    }

    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        self.list.capacity() * size_of::<Stream<P>>()
    }
}
