//! Looking at alerts without reading their evidence.

use std::collections::BTreeMap;

use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use crate::access::record::rfc3339;
use crate::judge::{FindingKind, Severity};

use super::alerts::parse;
use super::error::Fault;
use super::tables::{ALERTS, DEAD, DeadRow, OUTBOX, OutRow};
use super::{Store, StoreError};

/// A row of an alert, its evidence skipped.
#[derive(Deserialize)]
struct Light {
    alert: Head,
    last_us: i64,
}

#[derive(Deserialize)]
struct Head {
    severity: Severity,
    kind: FindingKind,
}

/// What an alert's id was looked up as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The one alert whose id is this, or begins so.
    Found(String),
    /// Several begin so: some of them.
    Several(Vec<String>),
    /// None begins so: those beside it in order, and the newest.
    None(Vec<String>),
}

/// A message about an alert that did not arrive yet, or never will.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undelivered {
    /// Name of the webhook.
    pub webhook: String,
    /// Whether it was given up.
    pub dead: bool,
    /// Failed attempts.
    pub attempts: u32,
    /// RFC 3339: since when it waits, or when it was given up.
    pub since: String,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// Most messages of one alert that are told of.
const MOST_UNDELIVERED: usize = 100;
/// Most ids that a lookup offers.
const MOST_IDS: usize = 5;

impl Store {
    /// Alerts seen at or after `since_us` (microseconds since 1970), counted.
    ///
    /// # Errors
    /// The store is not available.
    pub fn tally(
        &self,
        since_us: i64,
    ) -> Result<BTreeMap<(FindingKind, Severity), u64>, StoreError> {
        self.read(|txn| {
            let mut all = BTreeMap::new();
            for entry in txn.open_table(ALERTS)?.iter()? {
                let (_, row) = entry?;
                if let Some(row) = parse::<Light>(row.value())
                    && row.last_us >= since_us
                {
                    let count: &mut u64 =
                        all.entry((row.alert.kind, row.alert.severity)).or_default();
                    *count = count.saturating_add(1);
                }
            }
            Ok(all)
        })
    }

    /// The alert that an id, or the beginning of one, names.
    ///
    /// # Errors
    /// The store is not available.
    pub fn look_up(&self, id: &str) -> Result<Lookup, StoreError> {
        self.read(|txn| {
            let alerts = txn.open_table(ALERTS)?;
            if alerts.get(id)?.is_some() {
                return Ok(Lookup::Found(id.to_owned()));
            }
            let key = |entry: Option<Result<(redb::AccessGuard<'_, &str>, _), _>>| {
                entry.transpose().map(|entry| {
                    entry.map(|(key, _): (_, redb::AccessGuard<'_, &[u8]>)| key.value().to_owned())
                })
            };
            let mut begun = Vec::new();
            if !id.is_empty() {
                for entry in alerts.range(id..)?.take(MOST_IDS) {
                    let found = entry?.0.value().to_owned();
                    if !found.starts_with(id) {
                        break;
                    }
                    begun.push(found);
                }
            }
            match &begun[..] {
                [one] => return Ok(Lookup::Found(one.clone())),
                [] => {}
                _ => return Ok(Lookup::Several(begun)),
            }
            let mut near = Vec::new();
            for found in [
                key(alerts.range(..id)?.next_back())?,
                key(alerts.range(id..)?.next())?,
                key(alerts.iter()?.next_back())?,
            ]
            .into_iter()
            .flatten()
            {
                if !near.contains(&found) {
                    near.push(found);
                }
            }
            Ok::<_, Fault>(Lookup::None(near))
        })
    }

    /// Messages about an alert that wait or were given up, at most 100.
    ///
    /// # Errors
    /// The store is not available.
    pub fn undelivered(&self, alert: &str) -> Result<Vec<Undelivered>, StoreError> {
        self.read(|txn| {
            let mut all = Vec::new();
            for entry in txn.open_table(OUTBOX)?.iter()? {
                let (key, row) = entry?;
                if let Some(row) = parse::<OutRow>(row.value())
                    && row.alert == alert
                {
                    all.push(Undelivered {
                        webhook: key.value().0.to_owned(),
                        dead: false,
                        attempts: row.attempts,
                        since: rfc3339(row.queued_us),
                        error: row.error,
                    });
                }
            }
            for entry in txn.open_table(DEAD)?.iter()? {
                let (key, row) = entry?;
                if let Some(row) = parse::<DeadRow>(row.value())
                    && row.alert == alert
                {
                    all.push(Undelivered {
                        webhook: key.value().0.to_owned(),
                        dead: true,
                        attempts: row.attempts,
                        since: rfc3339(row.dead_us),
                        error: Some(row.error),
                    });
                }
            }
            all.truncate(MOST_UNDELIVERED);
            Ok(all)
        })
    }
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
