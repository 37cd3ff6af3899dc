//! The two rules that a baseline has to be better than.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::access::Access;

const DAY_US: i64 = 86_400_000_000;
const HOUR_US: i64 = 3_600_000_000;
/// Values and identities remembered, each.
const MOST: usize = 1 << 20;
/// Requests an hour that are no alarm in any case.
const LEAST_RATE: u64 = 60;
/// How many times the highest hour so far.
const FACTOR: u64 = 3;

/// Distinct days on which identities were seen.
#[derive(Debug, Default)]
struct Days(HashMap<Arc<str>, (u16, i64)>);

impl Days {
    /// How many there were before today; `None` when there is no room to know.
    fn before(&mut self, identity: &Arc<str>, time_us: i64) -> Option<u16> {
        let today = time_us.div_euclid(DAY_US);
        if let Some((days, last)) = self.0.get_mut(identity) {
            if today > *last {
                *last = today;
                *days = days.saturating_add(1);
            }
            return Some(days.saturating_sub(1));
        }
        if self.0.len() >= MOST {
            return None;
        }
        self.0.insert(Arc::clone(identity), (1, today));
        Some(0)
    }
}

/// First-seen: an operation, a program or a network that the identity was never seen with is an alarm, after so
/// many distinct days of it.
#[derive(Debug)]
pub(super) struct FirstSeen {
    after_days: u16,
    days: Days,
    seen: HashSet<(u64, u64)>,
}

impl FirstSeen {
    pub(super) fn new(after_days: u16) -> Self {
        Self {
            after_days,
            days: Days::default(),
            seen: HashSet::new(),
        }
    }

    /// Whether the access is an alarm.
    pub(super) fn see(&mut self, access: &Access, identity: &Arc<str>) -> bool {
        let Some(days) = self.days.before(identity, access.time_us) else {
            return false;
        };
        // With fixed keys: the same in each run.
        let hash = |parts: &[&str]| {
            let mut hasher = DefaultHasher::new();
            parts.hash(&mut hasher);
            hasher.finish()
        };
        let who = hash(&[identity]);
        let program = access.client.as_ref().map(|end| &*end.workload.exe);
        let network = match &access.peer {
            crate::access::Peer::Inet(address) => Some(address.ip().to_string()),
            _ => None,
        };
        let values = [
            Some(hash(&[
                "operation",
                &access.method,
                &access.host,
                &access.route,
            ])),
            program.map(|program| hash(&["program", program])),
            network.map(|network| hash(&["network", &network])),
        ];
        let mut new = false;
        for value in values.into_iter().flatten() {
            let fresh = !self.seen.contains(&(who, value));
            if fresh && self.seen.len() < MOST {
                self.seen.insert((who, value));
                new = true;
            }
        }
        new && days >= self.after_days
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Hours {
    hour: i64,
    requests: u64,
    highest: u64,
    told: bool,
}

/// Plain rate: an hour with more than three times the requests of the identity's busiest hour so far, and more
/// than 60, is an alarm, after so many distinct days of it.
#[derive(Debug)]
pub(super) struct RateThreshold {
    after_days: u16,
    days: Days,
    hours: HashMap<Arc<str>, Hours>,
}

impl RateThreshold {
    pub(super) fn new(after_days: u16) -> Self {
        Self {
            after_days,
            days: Days::default(),
            hours: HashMap::new(),
        }
    }

    /// Whether the access is an alarm.
    pub(super) fn see(&mut self, time_us: i64, identity: &Arc<str>) -> bool {
        let Some(days) = self.days.before(identity, time_us) else {
            return false;
        };
        let hours = self.hours.entry(Arc::clone(identity)).or_default();
        let hour = time_us.div_euclid(HOUR_US);
        if hour > hours.hour {
            hours.highest = hours.highest.max(hours.requests);
            (hours.hour, hours.requests, hours.told) = (hour, 0, false);
        }
        hours.requests = hours.requests.saturating_add(1);
        let most = LEAST_RATE.max(hours.highest.saturating_mul(FACTOR));
        let alarm = days >= self.after_days && hours.requests > most && !hours.told;
        hours.told |= alarm;
        alarm
    }
}
