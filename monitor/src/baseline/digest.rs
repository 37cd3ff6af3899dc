//! What was past the gate's floor and found no budget: ranked, bounded, one day at a time.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::access::record::rfc3339;
use crate::judge::words::Quoted;

/// Entries kept of a day.
pub(super) const MOST_ENTRIES: usize = 32;

/// One identity's greatest evidence of a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DigestEntry {
    /// Which identity.
    pub identity: String,
    /// Evidence in bits.
    pub evidence: f64,
    /// Times this day.
    pub count: u64,
    /// `METHOD host/route by EXECUTABLE`.
    pub what: String,
    /// RFC 3339.
    pub time: String,
}

/// The digest of a day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Digest {
    /// Days since 1970.
    pub day: u16,
    /// Greatest evidence first.
    pub entries: Vec<DigestEntry>,
    /// Times that found no place here, because there were greater ones.
    pub left_out: u64,
    /// Of the day before, for the log; taken once.
    #[serde(skip)]
    pub(super) closed: Option<Box<Digest>>,
}

impl Digest {
    /// Begins another day if it has come.
    pub(super) fn turn(&mut self, day: u16) {
        if day <= self.day {
            return;
        }
        let old = std::mem::replace(
            self,
            Self {
                day,
                ..Self::default()
            },
        );
        if !old.entries.is_empty() {
            self.closed = Some(Box::new(Self {
                closed: None,
                ..old
            }));
        } else {
            self.closed = old.closed;
        }
    }

    pub(super) fn offer(&mut self, access: &Access, evidence: f64) {
        let Some(identity) = access.identity.as_deref() else {
            return;
        };
        let known = self
            .entries
            .iter_mut()
            .find(|entry| entry.identity == identity);
        if let Some(entry) = known {
            entry.count = entry.count.saturating_add(1);
            if evidence > entry.evidence {
                entry.evidence = evidence;
                entry.what = what(access);
                entry.time = rfc3339(access.time_us);
            }
        } else {
            let full = self.entries.len() >= MOST_ENTRIES;
            if full {
                self.left_out = self.left_out.saturating_add(1);
                let least = self.entries.last().map_or(0.0, |entry| entry.evidence);
                if evidence <= least {
                    return;
                }
                self.entries.pop();
            }
            self.entries.push(DigestEntry {
                identity: identity.to_owned(),
                evidence,
                count: 1,
                what: what(access),
                time: rfc3339(access.time_us),
            });
        }
        self.entries
            .sort_by(|a, b| b.evidence.total_cmp(&a.evidence));
    }
}

pub(super) fn what(access: &Access) -> String {
    let gap = if access.route.starts_with('/') {
        ""
    } else {
        " "
    };
    let mut out = format!(
        "{} {}{gap}{}",
        Quoted(&access.method),
        Quoted(&access.host),
        Quoted(&access.route)
    );
    if let Some(client) = &access.client
        && !client.workload.exe.is_empty()
    {
        let _ = write!(out, " by {}", Quoted(&client.workload.exe));
    }
    out
}
