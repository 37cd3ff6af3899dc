//! One direction of a connection: its segments in order.
//!
//! Where segments overlap, the first copy that was captured wins, whatever a later one says.

/// Most bytes held for one direction until what is missing in front of them comes.
pub(super) const MOST_BYTES: usize = 1 << 20;
/// Most segments.
pub(super) const MOST_HELD: usize = 1024;

/// When something was captured: by number among the connection's packets, and in ns since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Since {
    pub(super) packet: u64,
    pub(super) time: u64,
}

/// A run of bytes, and of bytes behind them that were not captured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub(super) off: u32,
    pub(super) data: &'a [u8],
    pub(super) hole: u32,
    /// What the segment acknowledges.
    pub(super) ack: Option<u32>,
    /// Nanoseconds since 1970 of the packet.
    pub(super) time: u64,
}

impl Run<'_> {
    pub(super) fn length(&self) -> u32 {
        length(self.data.len()).saturating_add(self.hole)
    }

    /// Parts it after so many bytes.
    fn split(self, at: u32) -> (Self, Self) {
        let of_data = usize::try_from(at)
            .unwrap_or(usize::MAX)
            .min(self.data.len());
        let (front, back) = self.data.split_at_checked(of_data).unwrap_or_default();
        let of_hole = at.saturating_sub(length(of_data)).min(self.hole);
        let front = Self {
            data: front,
            hole: of_hole,
            ..self
        };
        let back = Self {
            off: self.off.wrapping_add(front.length()),
            data: back,
            hole: self.hole - of_hole,
            ..self
        };
        (front, back)
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// How far `to` lies ahead of `from`; negative: behind. Numbers wrap at 2³².
pub(super) fn ahead(to: u32, from: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}

/// A run that is kept.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) off: u32,
    data: Vec<u8>,
    hole: u32,
    pub(super) ack: Option<u32>,
    time: u64,
    pub(super) since: Since,
}

impl Held {
    pub(super) fn run(&self) -> Run<'_> {
        Run {
            off: self.off,
            data: &self.data,
            hole: self.hole,
            ack: self.ack,
            time: self.time,
        }
    }

    fn end(&self) -> u32 {
        self.off.wrapping_add(self.run().length())
    }
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Where what has not been handed on begins; `None`: where the direction begins is not known yet.
    pub(super) next: Option<u32>,
    /// Its beginning was seen,
    pub(super) fresh: bool,
    /// and has this number.
    pub(super) begun: u32,
    /// What came early, in order, without overlaps; all of it lies at `next` or ahead.
    held: Vec<Held>,
    bytes: usize,
    /// Where it ends.
    pub(super) fin: Option<u32>,
    /// It has been handed on up to there.
    pub(super) ended: bool,
    /// Up to where the other end says that it has it.
    pub(super) acked: Option<u32>,
    /// The least that it said: the direction had come that far when the capture began.
    least: Option<u32>,
    /// Something of it was handed on.
    pub(super) told: bool,
}

impl Flow {
    /// Its first byte has this number.
    pub(super) fn begin(&mut self, off: u32) {
        if self.next.is_none() {
            self.next = Some(off);
            (self.fresh, self.begun) = (true, off);
            self.drop_old();
        }
    }

    /// Moves on to `off`, over bytes that did not come.
    pub(super) fn jump(&mut self, off: u32) {
        self.next = Some(off);
        self.drop_old();
    }

    pub(super) fn acknowledge(&mut self, ack: u32) {
        if self.acked.is_none_or(|acked| ahead(ack, acked) > 0) {
            self.acked = Some(ack);
        }
        if self.least.is_none_or(|least| ahead(ack, least) < 0) {
            self.least = Some(ack);
        }
    }

    /// Joins it in the middle: where the other end said it was, or where what is held begins.
    pub(super) fn join(&mut self) {
        let first = self.first().map(|held| held.off);
        if let Some(first) = first {
            let least = self.least.filter(|least| ahead(*least, first) < 0);
            self.jump(least.unwrap_or(first));
        }
    }

    /// The new part of a run, with respect to what was handed on.
    pub(super) fn news<'a>(&self, run: Run<'a>) -> Run<'a> {
        match self.next.map(|next| ahead(next, run.off)) {
            Some(old @ 1..) => run.split(old.unsigned_abs()).1,
            _ => run,
        }
    }

    /// Keeps what is new of a run. Returns how many bytes were there already.
    pub(super) fn keep(&mut self, run: Run<'_>, since: Since) -> u32 {
        let mut rest = self.news(run);
        let mut again = run.length() - rest.length();
        let mut at = self
            .held
            .partition_point(|held| ahead(held.end(), rest.off) <= 0);
        while rest.length() > 0 {
            let Some(held) = self.held.get(at) else {
                self.put(at, rest, since);
                break;
            };
            match ahead(held.off, rest.off) {
                free @ 1.. => {
                    let (front, back) = rest.split(free.unsigned_abs());
                    self.put(at, front, since);
                    rest = back;
                }
                _ => {
                    let there = ahead(held.end(), rest.off).unsigned_abs();
                    let (front, back) = rest.split(there);
                    again = again.saturating_add(front.length());
                    rest = back;
                }
            }
            at += 1;
        }
        again
    }

    fn put(&mut self, at: usize, run: Run<'_>, since: Since) {
        if at > self.held.len() {
            return;
        }
        self.bytes += run.data.len();
        self.held.insert(
            at,
            Held {
                off: run.off,
                data: run.data.to_vec(),
                hole: run.hole,
                ack: run.ack,
                time: run.time,
                since,
            },
        );
    }

    /// There is no room for more.
    pub(super) fn full(&self) -> bool {
        self.bytes > MOST_BYTES || self.held.len() > MOST_HELD
    }

    pub(super) fn first(&self) -> Option<&Held> {
        self.held.first()
    }

    /// Nothing is missing in front of what is held.
    pub(super) fn ready(&self) -> bool {
        self.next.is_some() && self.first().map(|held| held.off) == self.next
    }

    /// Takes the first that is held; it counts as handed on.
    pub(super) fn take(&mut self) -> Option<Held> {
        if self.held.is_empty() {
            return None;
        }
        let held = self.held.remove(0);
        self.bytes = self.bytes.saturating_sub(held.data.len());
        self.next = Some(held.end());
        if self.held.is_empty() {
            self.held = Vec::new();
        }
        Some(held)
    }

    /// Nothing more will be taken in: frees what is held.
    pub(super) fn clear(&mut self) {
        self.held = Vec::new();
        self.bytes = 0;
    }

    fn drop_old(&mut self) {
        let Some(next) = self.next else {
            return;
        };
        // Of runs without overlaps only one can lie across.
        self.held.retain(|held| ahead(held.end(), next) > 0);
        if let Some(first) = self.held.first_mut()
            && ahead(next, first.off) > 0
        {
            let (_, back) = first.run().split(ahead(next, first.off).unsigned_abs());
            let (off, hole, data) = (back.off, back.hole, back.data.to_vec());
            (first.off, first.hole, first.data) = (off, hole, data);
        }
        self.bytes = self.held.iter().map(|held| held.data.len()).sum();
    }

    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        self.bytes + self.held.capacity() * size_of::<Held>()
    }
}
