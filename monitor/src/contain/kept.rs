//! What was done, as long as it is remembered.

use std::collections::VecDeque;

use super::acts::Range;
use super::record::ContainmentRecord;

/// Most acts remembered; those in force are never forgotten, and bounded by their rate.
pub(super) const MOST: usize = 256;

/// What an act was about, so that it is not done twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Sockets, by their cookies.
    Sockets(Vec<u64>),
    /// A control group and what it may not reach.
    Group { group: u64, ranges: Vec<Range> },
    /// A process.
    Process { pid: u32, start_ticks: u64 },
}

/// How an act stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Done,
    InForce,
    Would,
    Failed,
    Undone,
    Expired,
    Ended,
}

impl State {
    /// Name in JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::InForce => "in-force",
            Self::Would => "would",
            Self::Failed => "failed",
            Self::Undone => "undone",
            Self::Expired => "expired",
            Self::Ended => "ended",
        }
    }
}

/// One act.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: String,
    pub(super) rule: usize,
    pub(super) key: Key,
    pub(super) pid: u32,
    pub(super) state: State,
    /// End of a refusal, microseconds since 1970.
    pub(super) until_us: Option<i64>,
    pub(super) record: ContainmentRecord,
}

impl Kept {
    /// Sets the state, also in what is shown.
    pub(super) fn turn(&mut self, state: State) {
        self.state = state;
        state.name().clone_into(&mut self.record.state);
        if state != State::InForce {
            self.record.undo = None;
        }
    }

    /// Whether the act still covers what it covered.
    fn covers(&self, now_us: i64) -> bool {
        matches!(
            self.state,
            State::Done | State::InForce | State::Would | State::Failed
        ) && self.until_us.is_none_or(|until| until > now_us)
    }
}

/// All that are remembered, oldest first.
#[derive(Debug, Default)]
pub(super) struct Book(VecDeque<Kept>);

impl Book {
    pub(super) fn push(&mut self, kept: Kept) {
        self.0.push_back(kept);
        if self.0.len() > MOST
            && let Some(at) = self.0.iter().position(|old| old.state != State::InForce)
        {
            self.0.remove(at);
        }
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Kept> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Kept> {
        self.0.iter_mut()
    }

    pub(super) fn find(&mut self, id: &str) -> Option<&mut Kept> {
        self.0.iter_mut().find(|kept| kept.id == id)
    }

    /// Whether what `fits` says of a key was done by that rule and still holds.
    pub(super) fn holds(&self, rule: usize, now_us: i64, fits: impl Fn(&Kept) -> bool) -> bool {
        self.0
            .iter()
            .any(|kept| kept.rule == rule && kept.covers(now_us) && fits(kept))
    }

    /// The rules were replaced: their numbers mean nothing any more.
    pub(super) fn renumber(&mut self) {
        for kept in &mut self.0 {
            kept.rule = usize::MAX;
        }
    }

    pub(super) fn in_force(&self) -> u64 {
        self.0
            .iter()
            .filter(|kept| kept.state == State::InForce)
            .count() as u64
    }
}
