//! The values one identity was seen with in one stream: bounded, what was dropped is counted.

/// What is known of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Learnt windows that it was in.
    pub windows: u32,
    /// Requests that had it, learnt or not.
    pub requests: u32,
    /// Distinct days on which it was in a learnt window.
    pub days: u16,
    /// Distinct days on which it was only in windows that were held back.
    pub held: u16,
    /// First day, since 1970.
    pub first: u16,
    /// Last day, since 1970.
    pub last: u16,
    /// An alert told of it.
    pub told: bool,
    /// Somebody said that it is meant. Not stored with the profile: whoever restores it says so again.
    pub granted: bool,
}

/// How many days of held-back windows count as one: what nobody objects to for this long becomes usual in the
/// end, or a lasting change would be unusual for ever.
pub const HELD_DAYS: u32 = 4;

impl Seen {
    /// Whether the value is usual, when `after` distinct days make it so.
    #[must_use]
    pub fn usual(&self, after: u16) -> bool {
        let standing = u32::from(self.days) * HELD_DAYS + u32::from(self.held);
        self.granted || standing >= u32::from(after.max(1)) * HELD_DAYS
    }
}

/// How one value of a window is entered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) key: u64,
    pub(super) requests: u32,
    pub(super) day: u16,
    /// The window is past half the gate.
    pub(super) held: bool,
}

/// What entering a value changed of what is usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) became_usual: bool,
    /// A usual value that had to make room.
    pub(super) dropped: Option<u64>,
}

/// What granting changed of what is usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) became: bool,
    pub(super) ceased: bool,
    /// A usual value that had to make room.
    pub(super) dropped: Option<u64>,
}

/// Values by their hash. See [`Seen`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    keys: Vec<u64>,
    seen: Vec<Seen>,
    /// Windows × values that were learnt, also of those dropped since.
    pub(super) learnt: u64,
    /// Windows of usual values, as the predictive counts them.
    pub(super) mass: u64,
    /// Usual values.
    pub(super) usual: u32,
    /// Values dropped that had been in one window only.
    pub(super) dropped_once: u64,
    /// Windows of dropped values.
    pub(super) dropped: u64,
}

impl Table {
    /// What is known of a value.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<&Seen> {
        let at = self.keys.iter().position(|other| *other == key)?;
        self.seen.get(at)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Seen)> {
        self.keys.iter().copied().zip(&self.seen)
    }

    /// Heap it holds.
    pub(super) fn bytes(&self) -> usize {
        self.keys.capacity() * size_of::<u64>() + self.seen.capacity() * size_of::<Seen>()
    }

    /// Good–Turing: how likely the next value is one never seen. 1 while nothing was.
    #[must_use]
    pub fn missing(&self) -> f64 {
        if self.learnt == 0 {
            return 1.0;
        }
        let once = self.seen.iter().filter(|seen| seen.windows == 1).count() as u64;
        ratio(once.saturating_add(self.dropped_once), self.learnt).min(1.0)
    }

    /// Enters a value of a window; at most `capacity` are kept, `after` distinct days make one usual.
    pub(super) fn enter(&mut self, sighting: Sighting, capacity: usize, after: u16) -> Change {
        let mut change = Change::default();
        let at = match self.keys.iter().position(|key| *key == sighting.key) {
            Some(at) => at,
            None => {
                change.dropped = self.make_room(capacity, after);
                grow(&mut self.keys, capacity);
                grow(&mut self.seen, capacity);
                self.keys.push(sighting.key);
                self.seen.push(Seen {
                    first: sighting.day,
                    ..Seen::default()
                });
                self.seen.len().saturating_sub(1)
            }
        };
        let Some(seen) = self.seen.get_mut(at) else {
            return change;
        };
        let was = seen.usual(after);
        let new_day = sighting.day > seen.last || seen.requests == 0;
        seen.last = seen.last.max(sighting.day);
        seen.requests = seen.requests.saturating_add(sighting.requests);
        if sighting.held || (seen.told && !was) {
            seen.held = seen.held.saturating_add(u16::from(new_day));
        } else {
            seen.days = seen.days.saturating_add(u16::from(new_day));
            seen.windows = seen.windows.saturating_add(1);
            self.learnt = self.learnt.saturating_add(1);
        }
        let is = seen.usual(after);
        if is && !was {
            change.became_usual = true;
            self.usual = self.usual.saturating_add(1);
            self.mass = self.mass.saturating_add(u64::from(seen.windows));
        } else if is && !sighting.held {
            self.mass = self.mass.saturating_add(1);
        }
        change
    }

    /// Notes that an alert told of the value, if it is kept.
    pub(super) fn tell(&mut self, key: u64) {
        if let Some(at) = self.keys.iter().position(|other| *other == key)
            && let Some(seen) = self.seen.get_mut(at)
        {
            seen.told = true;
        }
    }

    /// Makes a value that an alert told of usual at once, or takes that back. One that had to make room meanwhile
    /// comes back.
    pub(super) fn grant(
        &mut self,
        (key, day): (u64, u16),
        granted: bool,
        capacity: usize,
        after: u16,
    ) -> Granted {
        let mut change = Granted::default();
        let at = self.keys.iter().position(|other| *other == key);
        if at.is_none() && granted {
            change.dropped = self.make_room(capacity, after);
            let seen = Seen {
                first: day,
                last: day,
                told: true,
                ..Seen::default()
            };
            self.restore(key, seen, capacity);
        }
        let at = at.or_else(|| self.keys.iter().position(|other| *other == key));
        let Some(seen) = at.and_then(|at| self.seen.get_mut(at)) else {
            return change;
        };
        // What no alert told of was usual anyway, or is none of the alert's matter.
        if !seen.told {
            return change;
        }
        let was = seen.usual(after);
        seen.granted = granted;
        let is = seen.usual(after);
        (change.became, change.ceased) = (is && !was, was && !is);
        if change.became || change.ceased {
            self.recount(after);
        }
        change
    }

    /// Drops the value that says least if the table is full. Not-yet-usual ones go first, so a flood of values
    /// drops itself. Returns the key when it was a usual one.
    fn make_room(&mut self, capacity: usize, after: u16) -> Option<u64> {
        if self.keys.len() < capacity {
            return None;
        }
        let (at, seen) = self
            .seen
            .iter()
            .enumerate()
            .min_by_key(|(_, seen)| (seen.usual(after), seen.days, seen.windows, seen.last))?;
        let seen = *seen;
        let key = self.keys.get(at).copied()?;
        self.keys.swap_remove(at);
        self.seen.swap_remove(at);
        self.dropped = self.dropped.saturating_add(u64::from(seen.windows));
        self.dropped_once = self
            .dropped_once
            .saturating_add(u64::from(seen.windows == 1));
        if !seen.usual(after) {
            return None;
        }
        self.usual = self.usual.saturating_sub(1);
        self.mass = self.mass.saturating_sub(u64::from(seen.windows));
        Some(key)
    }

    /// Counts again what is usual, after another rule came or values were read back.
    pub(super) fn recount(&mut self, after: u16) {
        let usual = self.seen.iter().filter(|seen| seen.usual(after));
        (self.usual, self.mass) = usual.fold((0, 0), |(n, mass), seen| {
            (n + 1, mass + u64::from(seen.windows))
        });
    }

    /// Takes in what another table knows of the same identity. Of days only the larger number is kept: both may
    /// have seen the same ones.
    pub(super) fn merge(&mut self, other: &Self, capacity: usize, after: u16) {
        for (key, theirs) in other.iter() {
            match self.keys.iter().position(|mine| *mine == key) {
                Some(at) => {
                    if let Some(mine) = self.seen.get_mut(at) {
                        mine.windows = mine.windows.saturating_add(theirs.windows);
                        mine.requests = mine.requests.saturating_add(theirs.requests);
                        mine.days = mine.days.max(theirs.days);
                        mine.held = mine.held.max(theirs.held);
                        mine.first = mine.first.min(theirs.first);
                        mine.last = mine.last.max(theirs.last);
                        mine.told |= theirs.told;
                    }
                }
                None => {
                    self.make_room(capacity, after);
                    self.restore(key, *theirs, capacity);
                }
            }
        }
        self.learnt = self.learnt.saturating_add(other.learnt);
        self.dropped = self.dropped.saturating_add(other.dropped);
        self.dropped_once = self.dropped_once.saturating_add(other.dropped_once);
        self.recount(after);
    }

    /// Puts a value back as it was stored, while there is room.
    pub(super) fn restore(&mut self, key: u64, seen: Seen, capacity: usize) {
        if self.keys.len() < capacity {
            grow(&mut self.keys, capacity);
            grow(&mut self.seen, capacity);
            self.keys.push(key);
            self.seen.push(seen);
        }
    }
}

/// Room for one more, by a half and never beyond the bound: most tables stay small.
fn grow<T>(list: &mut Vec<T>, capacity: usize) {
    if list.len() == list.capacity() {
        let left = capacity.saturating_sub(list.len()).max(1);
        let room = (list.len() / 2).max(2).min(left);
        list.reserve_exact(room);
    }
}

#[allow(clippy::cast_precision_loss, reason = "a ratio for judging")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
