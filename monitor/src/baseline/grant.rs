//! Grants: somebody said that what an alert told of is meant.

use super::stream::Stream;
use super::{Baseline, day_of};
use crate::access::Access;

impl Baseline {
    /// What an alert told of this access is usual from now on, or is not for that reason any more.
    pub fn grant(&mut self, access: &Access, granted: bool) {
        let Some(at) = access
            .identity
            .as_deref()
            .and_then(|name| self.room.find(name))
        else {
            return;
        };
        let sight = self.sights.of(access);
        let (after, day) = (self.settings.usual_after_days, day_of(access.time_us));
        let Some(entry) = self.room.get_mut(at) else {
            return;
        };
        let group = entry.group;
        for ((stream, key), table) in Stream::ALL
            .into_iter()
            .zip(sight.values)
            .zip(&mut entry.profile.tables)
        {
            if key == 0 {
                continue;
            }
            let change = table.grant((key, day), granted, stream.capacity(), after);
            if let Some(dropped) = change.dropped {
                self.levels.leave(group, stream, dropped);
            }
            if change.became {
                self.levels.enter(group, stream, key);
            }
            if change.ceased {
                self.levels.leave(group, stream, key);
            }
        }
        self.room.weigh(at);
    }
}
