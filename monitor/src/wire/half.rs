//! What is known of one direction of a connection.

use super::Dir;
use super::body::Body;
use super::buffer::Buffer;
use super::framing::Extent;
use super::startline::{self, Outlook};
use super::stream::Stream;

/// Where a direction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Between messages.
    Start,
    /// In a head that is being gathered.
    Head,
    /// In a body.
    Body(Body),
    /// In the rest of a PROXY protocol header, so many bytes long.
    Preamble(u16),
    /// It is not known where the next message begins.
    Lost,
    /// No more will come.
    Ended,
}

impl From<Extent> for State {
    fn from(extent: Extent) -> Self {
        match extent {
            Extent::Empty => Self::Start,
            Extent::Body(body) => Self::Body(body),
            Extent::Unknown => Self::Lost,
        }
    }
}

/// Where and when a piece or a head began.
#[derive(Clone, Copy, Default)]
pub(super) struct At {
    pub(super) off: u32,
    pub(super) time: u64,
    /// The direction had turned.
    pub(super) start: bool,
}

/// One direction.
pub(super) struct Half {
    pub(super) stream: Stream,
    pub(super) state: State,
    /// Beginning of the head that is being gathered.
    pub(super) head: Buffer,
    /// Where it began; or the last head did.
    pub(super) at: At,
    /// Up to where its end has been looked for.
    pub(super) scanned: usize,
    /// Its first line is complete and good.
    pub(super) line: bool,
    /// Nothing has been seen yet: a PROXY protocol header may come.
    pub(super) first: bool,
    /// The next message is the first after bytes that were skipped.
    pub(super) resync: bool,
    /// A message has been recognised, or the direction's beginning was seen.
    pub(super) synced: bool,
    /// Whole messages were missed while requests were in flight.
    pub(super) missed: bool,
    /// Nothing of the body has come.
    pub(super) untouched: bool,
    /// The body may be left out: the server refused it.
    pub(super) optional: bool,
}

impl Half {
    pub(super) fn new(dir: Dir, base: Option<u32>) -> Self {
        Self {
            stream: Stream::new(base),
            state: if base.is_some() {
                State::Start
            } else {
                State::Lost
            },
            head: Buffer::default(),
            at: At::default(),
            scanned: 0,
            line: false,
            first: base.is_some() && dir == Dir::ToServer,
            resync: false,
            synced: base.is_some(),
            missed: false,
            untouched: false,
            optional: false,
        }
    }

    /// Sets the state behind a head.
    pub(super) fn follow(&mut self, state: State) {
        self.state = state;
        self.untouched = true;
        self.optional = false;
    }

    /// Loses the thread.
    pub(super) fn lose(&mut self) {
        self.take_head();
        self.state = State::Lost;
        self.resync = false;
        self.first = false;
    }

    /// Begins to gather a head.
    pub(super) fn gather(&mut self, line: bool) {
        self.state = State::Head;
        self.scanned = 0;
        self.line = line;
    }

    /// A PROXY protocol header was read, but for so many bytes.
    pub(super) fn pass_preamble(&mut self, left: u16) {
        self.first = false;
        self.state = if left > 0 {
            State::Preamble(left)
        } else {
            State::Start
        };
    }

    /// Takes what was gathered of a head.
    pub(super) fn take_head(&mut self) -> Buffer {
        (self.scanned, self.line) = (0, false);
        std::mem::take(&mut self.head)
    }

    /// Skips up to `gap` missing bytes that are not needed; returns how many.
    pub(super) fn skip(&mut self, gap: u32) -> u32 {
        match &mut self.state {
            State::Body(body) => {
                self.untouched = false;
                let (skipped, done) = body.skip(gap);
                if done {
                    self.state = State::Start;
                }
                skipped
            }
            State::Preamble(left) => {
                let skipped = u16::try_from(gap).unwrap_or(u16::MAX).min(*left);
                *left -= skipped;
                if *left == 0 {
                    self.state = State::Start;
                }
                u32::from(skipped)
            }
            State::Ended => gap,
            State::Start | State::Head | State::Lost => 0,
        }
    }

    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        self.head.capacity() + self.stream.memory()
    }
}

/// What the first bytes of a message in a direction promise.
pub(super) fn outlook(dir: Dir, bytes: &[u8]) -> Outlook {
    match dir {
        Dir::ToServer => startline::request_outlook(bytes),
        Dir::ToClient => startline::response_outlook(bytes),
    }
}
