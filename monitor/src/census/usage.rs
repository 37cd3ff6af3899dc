//! What an identity that the policy names made use of: its duties, and the environments it went to.
//!
//! Bounded; what was not used longest makes room. Kept for named identities alone: nothing is granted to
//! the others.

use std::sync::Arc;

use super::entry::{micros, rfc3339};
use super::record::{DutyUseRecord, PlaceUseRecord, UsageRecord};
use super::seen::Item;
use crate::access::Access;
use crate::judge::FindingKind;
use crate::policy::identity::MOST_DUTIES;

/// Environments kept of one identity.
const MAX_PLACES: usize = 8;

const DAY_US: i64 = 86_400_000_000;

/// The use of one duty.
#[derive(Clone, Debug)]
struct DutyUse {
    name: Arc<str>,
    /// Microseconds since 1970.
    last_us: i64,
    count: u64,
    /// Distinct days, in UTC.
    days: u32,
}

/// Accesses to one environment.
#[derive(Clone, Debug)]
struct PlaceUse {
    name: Arc<str>,
    last_us: i64,
    count: u64,
    /// Of these, accesses that the identity was not for, or by a workload of another environment.
    crossings: u64,
    /// The last of them.
    crossed_us: i64,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    duties: Vec<DutyUse>,
    places: Vec<PlaceUse>,
}

impl Usage {
    /// Takes note of an access that was not refused; returns by how many bytes this grew (negative: shrank).
    pub(super) fn learn(&mut self, access: &Access) -> isize {
        let mut grown = 0;
        for duty in access.duties.iter() {
            grown += self.duty(duty, access.time_us);
        }
        if let Some(environment) = &access.environment {
            let crossed = access.findings.contains(FindingKind::Environment)
                || access.findings.contains(FindingKind::WorkloadEnvironment);
            grown += self.place(environment, access.time_us, crossed);
        }
        grown
    }

    fn duty(&mut self, name: &Arc<str>, now_us: i64) -> isize {
        let found = position(&self.duties, |duty| &duty.name, name);
        if let Some(duty) = found.and_then(|at| self.duties.get_mut(at)) {
            if !Arc::ptr_eq(&duty.name, name) {
                duty.name = name.clone();
            }
            // A late access of the day before belongs to a day that was counted, nearly always.
            if now_us.div_euclid(DAY_US) > duty.last_us.div_euclid(DAY_US) {
                duty.days = duty.days.saturating_add(1);
            }
            duty.count = duty.count.saturating_add(1);
            duty.last_us = duty.last_us.max(now_us);
            return 0;
        }
        let new = DutyUse {
            name: name.clone(),
            last_us: now_us,
            count: 1,
            days: 1,
        };
        add(&mut self.duties, new, MOST_DUTIES, |duty| {
            (duty.last_us, &duty.name)
        })
    }

    fn place(&mut self, name: &Arc<str>, now_us: i64, crossed: bool) -> isize {
        let found = position(&self.places, |place| &place.name, name);
        if let Some(place) = found.and_then(|at| self.places.get_mut(at)) {
            if !Arc::ptr_eq(&place.name, name) {
                place.name = name.clone();
            }
            place.count = place.count.saturating_add(1);
            place.last_us = place.last_us.max(now_us);
            if crossed {
                place.crossings = place.crossings.saturating_add(1);
                place.crossed_us = place.crossed_us.max(now_us);
            }
            return 0;
        }
        let new = PlaceUse {
            name: name.clone(),
            last_us: now_us,
            count: 1,
            crossings: u64::from(crossed),
            crossed_us: if crossed { now_us } else { 0 },
        };
        add(&mut self.places, new, MAX_PLACES, |place| {
            (place.last_us, &place.name)
        })
    }

    /// Bytes held, the own ones included.
    pub(super) fn heap(&self) -> usize {
        size_of::<Self>()
            + self.duties.capacity() * size_of::<DutyUse>()
            + self.places.capacity() * size_of::<PlaceUse>()
            + self
                .duties
                .iter()
                .map(|duty| duty.name.heap())
                .sum::<usize>()
            + self
                .places
                .iter()
                .map(|place| place.name.heap())
                .sum::<usize>()
    }

    pub(super) fn record(&self) -> UsageRecord {
        let mut duties: Vec<&DutyUse> = self.duties.iter().collect();
        duties.sort_by(|a, b| a.name.cmp(&b.name));
        let mut places: Vec<&PlaceUse> = self.places.iter().collect();
        places.sort_by(|a, b| a.name.cmp(&b.name));
        UsageRecord {
            v: UsageRecord::VERSION,
            duties: duties
                .into_iter()
                .map(|duty| DutyUseRecord {
                    duty: duty.name.to_string(),
                    count: duty.count,
                    days: duty.days,
                    last_used: rfc3339(duty.last_us),
                })
                .collect(),
            environments: places
                .into_iter()
                .map(|place| PlaceUseRecord {
                    environment: place.name.to_string(),
                    count: place.count,
                    last_used: rfc3339(place.last_us),
                    crossings: place.crossings,
                    last_crossing: (place.crossings > 0).then(|| rfc3339(place.crossed_us)),
                })
                .collect(),
        }
    }

    /// Undoes [`record`](Self::record); nothing of a version that is not known.
    pub(super) fn restore(record: &UsageRecord) -> Option<Self> {
        if record.v != UsageRecord::VERSION {
            return None;
        }
        Some(Self {
            duties: record
                .duties
                .iter()
                .take(MOST_DUTIES)
                .map(|duty| DutyUse {
                    name: duty.duty.as_str().into(),
                    last_us: micros(&duty.last_used),
                    count: duty.count,
                    days: duty.days,
                })
                .collect(),
            places: record
                .environments
                .iter()
                .take(MAX_PLACES)
                .map(|place| PlaceUse {
                    name: place.environment.as_str().into(),
                    last_us: micros(&place.last_used),
                    count: place.count,
                    crossings: place.crossings,
                    crossed_us: place.last_crossing.as_deref().map_or(0, micros),
                })
                .collect(),
        })
    }
}

/// By address, which is how nearly all are found, else by value.
fn position<T>(items: &[T], name_of: impl Fn(&T) -> &Arc<str>, name: &Arc<str>) -> Option<usize> {
    let same = items
        .iter()
        .position(|item| Arc::ptr_eq(name_of(item), name));
    same.or_else(|| items.iter().position(|item| *name_of(item) == *name))
}

/// Adds an item, in the place of the one used longest ago when there is no room; returns by how many bytes
/// this grew.
fn add<T>(items: &mut Vec<T>, new: T, bound: usize, key: impl Fn(&T) -> (i64, &Arc<str>)) -> isize {
    let gained = key(&new).1.heap().cast_signed();
    if items.len() < bound {
        let before = items.capacity();
        // Few identities have many duties, and there are many identities.
        items.reserve_exact(1);
        let room = items.capacity().saturating_sub(before) * size_of::<T>();
        items.push(new);
        return room.cast_signed().saturating_add(gained);
    }
    let Some(oldest) = items.iter_mut().min_by_key(|item| key(item).0) else {
        return 0;
    };
    let lost = key(oldest).1.heap().cast_signed();
    *oldest = new;
    gained.saturating_sub(lost)
}
