//! Which credential is live where.
//!
//! A credential that one place uses is the rule; its entry is looked at and moved on, no more. Of one with
//! several places each is remembered with its first and last use. They are two holders when their uses
//! interleave: a restart, a deployment, a move do not do that. Who serves requests with a credential and sends
//! some itself passes them on: a gateway, no holder.

use std::sync::Arc;

use super::acts::Act;
use super::place::Place;
use crate::access::{Access, Fingerprint, Workload};

/// Sets of two entries.
const SETS: usize = 1 << 13;
/// Places of one credential that are remembered.
const HOLDERS: usize = 4;
/// Servers of one credential that are remembered.
const RELAYS: usize = 4;
/// Uses further apart are not at the same time, in µs.
pub(super) const WINDOW_US: i64 = 600_000_000;
/// How long a deployment may take: workloads that are alike but for container or unit may overlap so long.
const SETTLING_US: i64 = 120_000_000;
/// How often a holder's newest use is kept as evidence, in µs.
const EVIDENCE_US: i64 = 1_000_000;

/// Uses at one place.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) workload: Arc<Workload>,
    pub(super) place: Option<Arc<Place>>,
    pub(super) first_us: i64,
    pub(super) last_us: i64,
    /// One of its newest uses, once there are two places.
    act: Option<Arc<Act>>,
    /// When this place was last told of.
    told_us: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Relay {
    pub(super) workload: Arc<Workload>,
    pub(super) place: Option<Arc<Place>>,
    pub(super) last_us: i64,
}

impl Relay {
    /// Whether this server is the client. Of a person, only the same program is.
    fn is(&self, client: &Workload, place: Option<&Place>) -> bool {
        let same = place.is_some() && self.place.as_deref() == place;
        same && (!matches!(place, Some(Place::Person(_))) || self.workload.exe == client.exe)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) print: Fingerprint,
    pub(super) last_us: i64,
    pub(super) holder: Option<Holder>,
    /// Further places.
    pub(super) more: Vec<Holder>,
    pub(super) relays: Vec<Relay>,
}

/// Two places of one credential.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    /// The one that came second, by an access of its own.
    pub(super) act: Arc<Act>,
    /// The one that was first.
    pub(super) first: Arc<Workload>,
    /// An access of that one, where one was kept.
    pub(super) beside: Option<Arc<Act>>,
    pub(super) first_last_us: i64,
}

#[derive(Debug)]
pub(super) struct Credentials {
    sets: Box<[[Option<Entry>; 2]]>,
    /// Entries that had to go while they mattered.
    pub(super) forgotten: u64,
}

fn near(one: i64, other: i64) -> bool {
    one.saturating_sub(other).saturating_abs() <= WINDOW_US
}

/// Same program of the same user: it may be the same one, started anew elsewhere.
fn alike(one: &Workload, other: &Workload) -> bool {
    one.exe == other.exe && one.user == other.user
}

impl Holder {
    pub(super) fn new(workload: &Arc<Workload>, place: Option<&Arc<Place>>, time_us: i64) -> Self {
        Self {
            workload: Arc::clone(workload),
            place: place.cloned(),
            first_us: time_us,
            last_us: time_us,
            act: None,
            told_us: i64::MIN,
        }
    }

    fn used(&mut self, time_us: i64) {
        if time_us > self.last_us {
            // A long pause begins a new stay.
            if !near(time_us, self.last_us) {
                self.first_us = time_us;
            }
            self.last_us = time_us;
        } else if time_us < self.first_us && near(time_us, self.first_us) {
            self.first_us = time_us;
        }
    }

    fn interleaves(&self, other: &Self) -> bool {
        let settling = if alike(&self.workload, &other.workload) {
            SETTLING_US
        } else {
            0
        };
        let outlasts = |first: &Self, second: &Self| {
            first.first_us <= second.first_us
                && first.last_us > second.first_us.saturating_add(settling)
        };
        // Both, when they began at one moment.
        (outlasts(self, other) || outlasts(other, self)) && near(self.last_us, other.last_us)
    }
}

impl Credentials {
    pub(super) fn new() -> Self {
        Self {
            sets: (0..SETS).map(|_| [None, None]).collect(),
            forgotten: 0,
        }
    }

    fn set(&mut self, print: Fingerprint) -> Option<&mut [Option<Entry>; 2]> {
        let Fingerprint([low, high, ..]) = print;
        self.sets
            .get_mut(usize::from(u16::from_le_bytes([low, high])) % SETS)
    }

    fn entry(&mut self, print: Fingerprint, time_us: i64) -> Option<&mut Entry> {
        let set = self.set(print)?;
        let is = |slot: &Option<Entry>| slot.as_ref().is_some_and(|entry| entry.print == print);
        let mut lost = false;
        if !set.first().is_some_and(is) {
            let [newer, older] = set;
            std::mem::swap(newer, older);
            if !is(newer) {
                let old = newer.take();
                lost = old.is_some_and(|old| near(old.last_us, time_us));
                *newer = Some(Entry {
                    print,
                    last_us: time_us,
                    holder: None,
                    more: Vec::new(),
                    relays: Vec::new(),
                });
            }
        }
        self.forgotten += u64::from(lost);
        self.set(print)?.first_mut()?.as_mut()
    }

    /// Notes a use; says whether another place uses the credential, too. `place` tells places apart; `keep` makes
    /// an act of the access; `allowed` says whether its owner knows of both.
    pub(super) fn note(
        &mut self,
        access: &Access,
        mut place: impl FnMut(&Arc<Workload>) -> Option<Arc<Place>>,
        keep: impl Fn() -> Arc<Act>,
        allowed: impl Fn(&Workload, &Workload) -> bool,
    ) -> Option<Shared> {
        // What the server refused is no use: nobody verified it.
        let credential = access.credential.as_ref().filter(|_| !access.refused())?;
        let client = access.client.as_ref().map(|client| &client.workload);
        let server = access.server.as_ref().map(|server| &server.workload);
        if client.is_none() && server.is_none() {
            return None;
        }
        let time = access.time_us;
        let entry = self.entry(credential.fingerprint, time)?;
        entry.last_us = entry.last_us.max(time);
        if let Some(server) = server {
            entry.served(server, time, &mut place);
        }
        let client = client.filter(|client| !client.exe.is_empty())?;
        entry.uses(client, time, place, keep, allowed)
    }

    /// Whether the workload served requests with the credential lately.
    pub(super) fn relays(&mut self, print: Fingerprint, client: &Workload, place: &Place) -> bool {
        let Some(set) = self.set(print) else {
            return false;
        };
        let entry = set.iter().flatten().find(|entry| entry.print == print);
        let mut relays = entry.into_iter().flat_map(|entry| &entry.relays);
        relays.any(|relay| relay.is(client, Some(place)))
    }

    /// Entries that may still matter.
    pub(super) fn live(&self, since_us: i64) -> impl Iterator<Item = &Entry> {
        let all = self.sets.iter().flatten().flatten();
        all.filter(move |entry| entry.last_us >= since_us)
    }

    /// Puts an entry back.
    pub(super) fn restore(&mut self, entry: Entry) {
        if let Some(slot) = self.entry(entry.print, entry.last_us) {
            *slot = entry;
        }
    }
}

impl Entry {
    fn served(
        &mut self,
        server: &Arc<Workload>,
        time: i64,
        place: &mut impl FnMut(&Arc<Workload>) -> Option<Arc<Place>>,
    ) {
        let known = self
            .relays
            .iter_mut()
            .find(|relay| Arc::ptr_eq(&relay.workload, server));
        if let Some(relay) = known {
            relay.last_us = relay.last_us.max(time);
            return;
        }
        let place = place(server);
        let other = |relay: &Relay| relay.place != place || relay.workload.exe != server.exe;
        self.relays
            .retain(|relay| near(relay.last_us, time) && other(relay));
        if self.relays.len() >= RELAYS {
            self.relays.remove(0);
        }
        self.relays.push(Relay {
            workload: Arc::clone(server),
            place,
            last_us: time,
        });
    }

    fn passes_on(&self, holder: &Holder) -> bool {
        let near = |relay: &&Relay| near(relay.last_us, holder.last_us);
        let mut relays = self.relays.iter().filter(near);
        relays.any(|relay| relay.is(&holder.workload, holder.place.as_deref()))
    }

    fn uses(
        &mut self,
        client: &Arc<Workload>,
        time: i64,
        mut place: impl FnMut(&Arc<Workload>) -> Option<Arc<Place>>,
        keep: impl Fn() -> Arc<Act>,
        allowed: impl Fn(&Workload, &Workload) -> bool,
    ) -> Option<Shared> {
        // Nearly always.
        if self.more.is_empty()
            && let Some(holder) = &mut self.holder
            && Arc::ptr_eq(&holder.workload, client)
        {
            holder.used(time);
            return None;
        }
        let own = place(client)?;
        let is = |holder: &Holder| holder.place.as_deref() == Some(&*own);
        let stale = |holder: &Holder| !near(holder.last_us, time);
        if self
            .holder
            .as_ref()
            .is_none_or(|holder| stale(holder) && !is(holder))
        {
            // The oldest that is left is the first one.
            self.more.retain(|holder| !stale(holder) || is(holder));
            self.holder = if self.more.is_empty() {
                None
            } else {
                Some(self.more.remove(0))
            };
        }
        let Some(holder) = &mut self.holder else {
            self.holder = Some(Holder::new(client, Some(&own), time));
            return None;
        };
        if is(holder) && self.more.is_empty() {
            holder.workload = Arc::clone(client);
            holder.used(time);
            return None;
        }
        if !is(holder) && !self.more.iter().any(is) {
            if self.more.len() >= HOLDERS - 1 {
                self.more.remove(0);
            }
            self.more.push(Holder::new(client, Some(&own), time));
        }
        let mut all = self.holder.iter_mut().chain(&mut self.more);
        let mine = all.find(|holder| is(holder))?;
        mine.used(time);
        let kept = mine.act.as_ref().map(|act| act.time_us());
        if kept.is_none_or(|kept| time.saturating_sub(kept) > EVIDENCE_US) {
            mine.act = Some(keep());
        }
        self.judge(&is, time, allowed)
    }

    fn judge(
        &mut self,
        is: &impl Fn(&Holder) -> bool,
        time: i64,
        allowed: impl Fn(&Workload, &Workload) -> bool,
    ) -> Option<Shared> {
        let all = || self.holder.iter().chain(&self.more);
        let mine = all().find(|holder| is(holder))?;
        if self.passes_on(mine) {
            return None;
        }
        let other = all().find(|other| {
            !is(other)
                && other.interleaves(mine)
                && !self.passes_on(other)
                && !allowed(&other.workload, &mine.workload)
        })?;
        let (first, second) = if other.first_us <= mine.first_us {
            (other, mine)
        } else {
            (mine, other)
        };
        if near(second.told_us, time) {
            return None;
        }
        let found = Shared {
            // Whoever was second was kept: there were two places when it came.
            act: Arc::clone(second.act.as_ref().or(mine.act.as_ref())?),
            first: Arc::clone(&first.workload),
            beside: first.act.clone(),
            first_last_us: first.last_us,
        };
        let second = second.place.clone();
        let mut all = self.holder.iter_mut().chain(&mut self.more);
        if let Some(second) = all.find(|holder| holder.place == second) {
            second.told_us = time;
        }
        Some(found)
    }
}
