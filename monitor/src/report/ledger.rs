//! How long this host was watched, and what of its traffic was understood, day by day.

use serde::{Deserialize, Serialize};

/// Days kept.
pub const MOST_DAYS: usize = 400;

const DAY_US: i64 = 86_400_000_000;

/// Counters since the daemon's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Requests understood.
    pub requests: u64,
    /// Of these, with a credential.
    pub with_credential: u64,
    /// Of these, of identities that the policy names.
    pub named: u64,
    /// Connections that were read.
    pub read: u64,
    /// Connections that are not HTTP.
    pub other: u64,
    /// Connections that nobody could say anything of.
    pub dark: u64,
}

impl Totals {
    fn each(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            requests: with(self.requests, other.requests),
            with_credential: with(self.with_credential, other.with_credential),
            named: with(self.named, other.named),
            read: with(self.read, other.read),
            other: with(self.other, other.other),
            dark: with(self.dark, other.dark),
        }
    }

    /// What came since `before`. A counter that went back (a connection that was understood better moves)
    /// adds nothing.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        self.each(before, u64::saturating_sub)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.each(other, u64::saturating_add)
    }
}

/// One day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// Days since 1970-01-01, in UTC.
    pub day: i64,
    /// Seconds that the daemon was running.
    pub watched_s: u64,
    /// What it counted.
    #[serde(flatten)]
    pub totals: Totals,
}

/// All days that are remembered. Saved under the key [`Ledger::KEY`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Version of this form: 1.
    pub v: u32,
    /// When the first daemon with this store began, microseconds since 1970.
    pub since_us: i64,
    /// Oldest first, at most [`MOST_DAYS`]; days without a daemon are missing.
    pub days: Vec<Day>,
}

impl Ledger {
    /// Where it is in the store.
    pub const KEY: &'static str = "report.ledger";
    const VERSION: u32 = 1;

    /// One that begins now.
    #[must_use]
    pub fn new(now_us: i64) -> Self {
        Self {
            v: Self::VERSION,
            since_us: now_us,
            days: Vec::new(),
        }
    }

    /// Reads what [`to_json`](Self::to_json) wrote; `None` for anything else.
    #[must_use]
    pub fn parse(json: &[u8]) -> Option<Self> {
        let mut ledger: Self = serde_json::from_slice(json).ok()?;
        if ledger.v != Self::VERSION {
            return None;
        }
        ledger.bound();
        Some(ledger)
    }

    /// For the store.
    ///
    /// # Errors
    /// None in practice: it is numbers.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Adds what was counted in the last `watched_s` seconds. Belongs to the day of `now_us` as a whole: it
    /// is called each minute.
    pub fn add(&mut self, now_us: i64, watched_s: u64, counted: Totals) {
        let day = now_us.div_euclid(DAY_US);
        if self.days.last().is_none_or(|last| last.day != day) {
            // A clock that was set back goes on with the day it finds.
            let known = self.days.iter().position(|known| known.day == day);
            let entry = known.map_or_else(
                || Day {
                    day,
                    ..Day::default()
                },
                |at| self.days.remove(at),
            );
            self.days.push(entry);
        }
        if let Some(last) = self.days.last_mut() {
            last.watched_s = last.watched_s.saturating_add(watched_s);
            last.totals = last.totals.plus(counted);
        }
        self.bound();
    }

    fn bound(&mut self) {
        let over = self.days.len().saturating_sub(MOST_DAYS);
        self.days.drain(..over);
    }

    /// Seconds watched and what was counted on the days from that of `since_us` on.
    #[must_use]
    pub fn from(&self, since_us: i64) -> (u64, Totals) {
        let first = since_us.div_euclid(DAY_US);
        let days = self.days.iter().filter(|day| day.day >= first);
        days.fold((0, Totals::default()), |(seconds, totals), day| {
            (
                seconds.saturating_add(day.watched_s),
                totals.plus(day.totals),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn requests(requests: u64) -> Totals {
        Totals {
            requests,
            ..Totals::default()
        }
    }

    #[test]
    fn days_add_up_from_any_day_on() {
        let mut ledger = Ledger::new(5);
        ledger.add(5, 60, requests(1));
        ledger.add(70, 60, requests(2));
        ledger.add(DAY_US * 3, 60, requests(4));
        assert_eq!(ledger.from(0), (180, requests(7)));
        assert_eq!(ledger.from(DAY_US), (60, requests(4)));
        assert_eq!(ledger.from(DAY_US * 4), (0, requests(0)));
        let json = ledger.to_json().unwrap();
        assert_eq!(Ledger::parse(&json).unwrap(), ledger);
        assert_eq!(Ledger::parse(b"{\"v\":2,\"since_us\":0,\"days\":[]}"), None);
        assert_eq!(Ledger::parse(b"nonsense"), None);
    }

    #[test]
    fn is_bounded_and_survives_a_clock_set_back() {
        let mut ledger = Ledger::new(0);
        for day in 0..500 {
            ledger.add(day * DAY_US, 1, requests(1));
        }
        assert_eq!(ledger.days.len(), MOST_DAYS);
        ledger.add(499 * DAY_US - 1, 1, requests(1));
        assert_eq!(ledger.days.len(), MOST_DAYS);
        assert_eq!(ledger.from(0), (401, requests(401)));
        assert_eq!(requests(3).since(requests(5)), requests(0));
    }
}
