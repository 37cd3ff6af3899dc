//! Requests in flight on one connection, oldest first.

use std::collections::VecDeque;

use super::{Anomaly, Exchanges, Unanswered};

/// Most requests in flight.
const MAX_IN_FLIGHT: usize = 256;
/// Most heap for them, in bytes: large `P` make it fewer.
const MAX_BYTES: usize = 14 * 1024;

/// What the response of a request means for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its response has no body.
    Head,
    /// A 2xx makes the connection a tunnel.
    Connect,
    /// Any other method.
    Other,
}

impl Kind {
    pub(super) fn of(method: &str) -> Self {
        match method {
            "HEAD" => Self::Head,
            "CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }
}

/// A request whose response has not come.
pub(super) struct InFlight<P> {
    pub(super) pending: P,
    pub(super) kind: Kind,
    /// It was sent after the client had received something: earlier ones may be answered.
    pub(super) turned: bool,
    /// Requests in front of it may have been missed.
    pub(super) resynchronised: bool,
    /// It waits for leave to send its body.
    pub(super) expects_continue: bool,
    /// Records were lost after it.
    pub(super) lossy: bool,
    /// Requests between it and the one in front may have been missed: responses cannot be counted
    /// off. Set by [`Queue::push`].
    doubtful: bool,
}

impl<P> InFlight<P> {
    pub(super) fn new(pending: P, kind: Kind) -> Self {
        Self {
            pending,
            kind,
            turned: false,
            resynchronised: false,
            expects_continue: false,
            lossy: false,
            doubtful: false,
        }
    }
}

/// Whose response has come.
pub(super) enum Answered<P> {
    /// This request's.
    Request(InFlight<P>),
    /// One that was over the bound; `Kind` is `Other` only when it is sure.
    Overflown(Kind),
    /// Nobody's.
    None,
}

/// Requests in flight. The first lies inline: without pipelining there is no heap.
pub(super) struct Queue<P> {
    oldest: Option<InFlight<P>>,
    more: VecDeque<InFlight<P>>,
    /// Requests behind them that were over the bound, still to be answered.
    over: u32,
    over_kind: Kind,
}

impl<P> Queue<P> {
    pub(super) const fn new() -> Self {
        Self {
            oldest: None,
            more: VecDeque::new(),
            over: 0,
            over_kind: Kind::Other,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.oldest.is_none() && self.over == 0
    }

    /// Adds a request. One over the bound is counted, so that those behind it keep their place.
    pub(super) fn push<X: Exchanges<Pending = P>>(&mut self, mut new: InFlight<P>, sink: &mut X) {
        let last = self.more.back().or(self.oldest.as_ref());
        new.doubtful = last.is_some_and(|last| last.doubtful)
            || (new.resynchronised && !new.turned && last.is_some());
        let bound = (MAX_BYTES / size_of::<InFlight<P>>().max(1)).min(MAX_IN_FLIGHT - 1);
        if self.over > 0 || (self.oldest.is_some() && self.more.len() >= bound) {
            self.over = self.over.saturating_add(1);
            if new.kind != Kind::Other {
                self.over_kind = new.kind;
            }
            sink.anomaly(Anomaly::Pipeline);
            sink.unanswered(new.pending, Unanswered::Overflow);
        } else if self.oldest.is_none() {
            self.oldest = Some(new);
        } else {
            if self.more.len() == self.more.capacity() {
                let room = bound.saturating_sub(self.more.len());
                self.more.reserve_exact(self.more.len().max(4).min(room));
            }
            self.more.push_back(new);
        }
    }

    /// Takes the request that a response answers.
    pub(super) fn answered<X: Exchanges<Pending = P>>(&mut self, sink: &mut X) -> Answered<P> {
        match self.oldest.take() {
            Some(request) if request.doubtful => {
                sink.unanswered(request.pending, Unanswered::Lost);
                self.give_up(Unanswered::Lost, sink);
                Answered::None
            }
            Some(request) => {
                self.oldest = self.more.pop_front();
                Answered::Request(request)
            }
            None if self.over > 0 => {
                self.over -= 1;
                let kind = self.over_kind;
                if self.over == 0 {
                    self.over_kind = Kind::Other;
                }
                Answered::Overflown(kind)
            }
            None => Answered::None,
        }
    }

    /// Responses were missed. Gives up those requests that were sent before the client last turned
    /// from receiving to sending; their number.
    pub(super) fn keep_last_turn<X: Exchanges<Pending = P>>(&mut self, sink: &mut X) -> usize {
        let Some(last) = self.more.iter().rposition(|request| request.turned) else {
            return 0;
        };
        let earlier = self
            .oldest
            .take()
            .into_iter()
            .chain(self.more.drain(..last));
        for request in earlier {
            sink.unanswered(request.pending, Unanswered::Lost);
        }
        self.oldest = self.more.pop_front();
        last + 1
    }

    /// Records were lost.
    pub(super) fn doubt(&mut self) {
        for request in self.oldest.iter_mut().chain(&mut self.more) {
            request.lossy = true;
        }
    }

    /// The oldest, if any.
    pub(super) fn oldest(&self) -> Option<&InFlight<P>> {
        self.oldest.as_ref()
    }

    /// Whether a tunnel may have been asked for.
    pub(super) fn may_leave(&self) -> bool {
        self.oldest
            .iter()
            .chain(&self.more)
            .any(|request| request.kind == Kind::Connect)
    }

    /// Gives all of them up.
    pub(super) fn give_up<X: Exchanges<Pending = P>>(&mut self, why: Unanswered, sink: &mut X) {
        for request in self.oldest.take().into_iter().chain(self.more.drain(..)) {
            sink.unanswered(request.pending, why);
        }
        (self.over, self.over_kind) = (0, Kind::Other);
    }

    /// Frees what is not in use.
    pub(super) fn shrink(&mut self) {
        self.more.shrink_to_fit();
    }

    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        self.more.capacity() * size_of::<InFlight<P>>()
    }
}
