//! Notices that a workload that could be read turned dark.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::{About, Group, Kind};

/// Connections that cannot be read before it is said, in [`WINDOW`].
pub(super) const ENOUGH: usize = 3;
/// Microseconds within which they come.
pub(super) const WINDOW: i64 = 10 * 60 * 1_000_000;
/// Microseconds for which it counts that something could be read.
pub(super) const DAY: i64 = 24 * 60 * 60 * 1_000_000;
/// Destinations remembered, for each workload.
const MOST_DESTINATIONS: usize = 32;

/// A workload that could be read has turned dark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned {
    /// How the connection that showed it was not understood.
    pub kind: Kind,
    /// Where that one leads.
    pub destination: Arc<str>,
    /// Whether this very destination could be read before; else anything of the workload could.
    pub same_destination: bool,
    /// Connections within the window that could not be read.
    pub dark: u64,
    /// Connections that had been read.
    pub read: u64,
    /// Microseconds since the last of them.
    pub since_read_us: i64,
}

/// What is remembered of one workload.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Destinations that were read (by hash), with the time of the last.
    read: Vec<(u64, i64)>,
    reads: u64,
    last_read: Option<i64>,
    /// Last time that something was dark beside what was read: then a dark one more means nothing.
    mixed: Option<i64>,
    /// Times of dark connections since the last one that was read.
    run: ArrayVec<i64, ENOUGH>,
    /// Dark connections to destinations that had been read.
    known: ArrayVec<(u64, i64), 8>,
}

impl Watch {
    /// Takes note of one more connection.
    pub(super) fn connection(&mut self, about: &About<'_>, kind: Kind) -> Option<Turned> {
        let now = about.time_us;
        if kind.group() == Group::Read {
            self.can_be_read(hash(about), now);
            None
        } else if kind.is_turned() {
            self.cannot_be_read(about, kind, now)
        } else {
            None
        }
    }

    fn can_be_read(&mut self, to: u64, now: i64) {
        self.reads = self.reads.saturating_add(1);
        self.last_read = Some(now);
        if let Some(last) = self.run.last() {
            self.mixed = Some(*last);
            self.run.clear();
        }
        self.known.retain(|(known, _)| *known != to);
        if let Some((_, last)) = self.read.iter_mut().find(|(known, _)| *known == to) {
            *last = now;
            return;
        }
        if self.read.len() >= MOST_DESTINATIONS
            && let Some(oldest) =
                (0..self.read.len()).min_by_key(|at| self.read.get(*at).map(|(_, last)| *last))
        {
            self.read.swap_remove(oldest);
        }
        self.read.push((to, now));
    }

    fn cannot_be_read(&mut self, about: &About<'_>, kind: Kind, now: i64) -> Option<Turned> {
        let lately = |then: i64| now.saturating_sub(then) <= DAY;
        let last_read = self.last_read.filter(|last| lately(*last))?;
        let to = hash(about);
        let same = self
            .read
            .iter()
            .any(|(known, last)| *known == to && lately(*last));
        if same {
            if self.known.is_full() {
                self.known.remove(0);
            }
            self.known.push((to, now));
        }
        if self.run.is_full() {
            self.run.remove(0);
        }
        self.run.push(now);
        let within = |then: i64| now.saturating_sub(then) <= WINDOW;
        let known = self.known.iter().filter(|(_, then)| within(*then)).count();
        let run = self.run.iter().filter(|then| within(**then)).count();
        let pure = !self.mixed.is_some_and(lately);
        let (found, dark) = if same && known >= ENOUGH {
            (true, known)
        } else {
            (pure && run >= ENOUGH, run)
        };
        found.then(|| Turned {
            kind,
            destination: about.destination.called(),
            same_destination: same,
            dark: dark as u64,
            read: self.reads,
            since_read_us: now.saturating_sub(last_read),
        })
    }
}

/// Of where a connection leads. A collision makes two destinations one: no harm beyond that.
fn hash(about: &About<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match (about.destination.sni, about.destination.server) {
        (Some(sni), _) => sni.hash(&mut hasher),
        (None, Some(address)) => address.hash(&mut hasher),
        (None, None) => about.destination.address().hash(&mut hasher),
    }
    hasher.finish()
}
