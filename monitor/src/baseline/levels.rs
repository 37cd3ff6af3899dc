//! What is usual beyond one identity: for its peers, and on the host.

use hashbrown::HashMap;

use super::novelty::Level;
use super::stream::Stream;

/// Both levels above an identity's own profile. Each usual value of a profile is in both, once.
#[derive(Debug, Default)]
pub(super) struct Levels {
    groups: HashMap<u64, Level>,
    host: Level,
}

impl Levels {
    /// The peers with this number; none of them has anything usual otherwise.
    pub(super) fn peers(&self, group: u64) -> Option<&Level> {
        self.groups.get(&group)
    }

    pub(super) fn host(&self) -> &Level {
        &self.host
    }

    /// A value became usual for one of the group.
    pub(super) fn enter(&mut self, group: u64, stream: Stream, key: u64) {
        self.groups.entry(group).or_default().add(stream, key);
        self.host.add(stream, key);
    }

    /// It is not any more.
    pub(super) fn leave(&mut self, group: u64, stream: Stream, key: u64) {
        self.leave_group(group, stream, key);
        self.host.remove(stream, key);
    }

    /// An identity with such values has other peers now.
    pub(super) fn change_group(
        &mut self,
        (before, after): (u64, u64),
        values: impl Iterator<Item = (Stream, u64)>,
    ) {
        for (stream, key) in values {
            self.leave_group(before, stream, key);
            self.groups.entry(after).or_default().add(stream, key);
        }
    }

    fn leave_group(&mut self, group: u64, stream: Stream, key: u64) {
        if let Some(level) = self.groups.get_mut(&group) {
            level.remove(stream, key);
            if level.is_empty() {
                self.groups.remove(&group);
            }
        }
    }
}
