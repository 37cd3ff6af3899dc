//! Tables, their rows, and what is counted about them.

use std::collections::BTreeMap;

use redb::{Database, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::judge::FindingKind;

use super::StoreStatus;
use super::error::Fault;
use super::outbox::Message;

/// A kind of finding, and whether policy names the identity. A store written when there were fewer kinds has
/// no rows of the others.
pub(super) const CLASSES: usize = FindingKind::ALL.len() * 2;

/// A class is a byte.
const _: () = assert!(CLASSES <= u8::MAX as usize);

/// Alert id → [`AlertRow`].
pub(super) const ALERTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("alerts");
/// (class, alert id) → bytes of its row.
pub(super) const BY_CLASS: TableDefinition<'_, (u8, &str), u32> =
    TableDefinition::new("alerts_by_class");
/// Digest of the fold key → (alert id, last seen). The alerts that still grow.
pub(super) const OPEN: TableDefinition<'_, &[u8; 32], (&str, i64)> =
    TableDefinition::new("open_alerts");
/// (endpoint, severity, sequence) → [`OutRow`].
pub(super) const OUTBOX: TableDefinition<'_, (&str, u8, u64), &[u8]> =
    TableDefinition::new("outbox");
/// (alert id, endpoint) → key of the outbox row that tells the alert's growth.
pub(super) const SLOTS: TableDefinition<'_, (&str, &str), (u8, u64)> =
    TableDefinition::new("outbox_slots");
/// (endpoint, sequence) → [`DeadRow`].
pub(super) const DEAD: TableDefinition<'_, (&str, u64), &[u8]> =
    TableDefinition::new("dead_letters");
/// Small things by name.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// Number of the layout, in [`META`].
pub(super) const FORMAT_KEY: &str = "store.format";
const FORMAT: &[u8] = b"1";

/// An alert as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AlertRow {
    pub(super) alert: Alert,
    pub(super) first_us: i64,
    pub(super) last_us: i64,
    /// When the newest message about it was due.
    pub(super) told_us: i64,
    /// Digest of its fold key, in hex.
    pub(super) key: String,
    pub(super) class: u8,
}

/// A message that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OutRow {
    pub(super) alert: String,
    /// The first message about the alert, or one that is replayed: never merged with growth once
    /// it was sent.
    pub(super) first: bool,
    pub(super) attempts: u32,
    pub(super) due_us: i64,
    pub(super) queued_us: i64,
    /// What is sent, once it was; until then it is made from the alert when its time has come.
    pub(super) message: Option<Message>,
    pub(super) error: Option<String>,
}

/// A message that was given up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DeadRow {
    pub(super) alert: String,
    pub(super) severity: u8,
    pub(super) message: Message,
    pub(super) attempts: u32,
    pub(super) queued_us: i64,
    pub(super) dead_us: i64,
    pub(super) error: String,
}

/// What is counted, in step with the tables.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    pub(super) classes: [(u64, u64); CLASSES],
    pub(super) endpoints: BTreeMap<String, EndpointTotals>,
    pub(super) next_seq: u64,
    pub(super) evicted: u64,
    pub(super) dropped: u64,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            classes: [(0, 0); CLASSES],
            endpoints: BTreeMap::new(),
            next_seq: 0,
            evicted: 0,
            dropped: 0,
        }
    }
}

/// Of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndpointTotals {
    /// Messages that wait.
    pub(crate) queued: u64,
    /// Dead letters.
    pub(crate) dead: u64,
    /// Dead letters dropped since the start.
    pub(crate) dropped: u64,
}

impl Totals {
    pub(super) fn alerts(&self) -> (u64, u64) {
        self.classes
            .iter()
            .fold((0, 0), |sum, class| (sum.0 + class.0, sum.1 + class.1))
    }

    pub(super) fn status(&self) -> StoreStatus {
        let (alerts, alert_bytes) = self.alerts();
        StoreStatus {
            alerts,
            alert_bytes,
            evicted: self.evicted,
            queued: self
                .endpoints
                .values()
                .map(|endpoint| endpoint.queued)
                .sum(),
            dead: self.endpoints.values().map(|endpoint| endpoint.dead).sum(),
            dropped: self.dropped,
            ..StoreStatus::default()
        }
    }

    pub(super) fn endpoint(&mut self, name: &str) -> &mut EndpointTotals {
        if !self.endpoints.contains_key(name) {
            self.endpoints
                .insert(name.to_owned(), EndpointTotals::default());
        }
        self.endpoints.entry(name.to_owned()).or_default()
    }

    pub(super) fn take_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq
    }
}

/// Creates what is missing and counts what is there; `before` has the counters that run on.
pub(super) fn load(db: &Database, before: &Totals) -> Result<Totals, Fault> {
    let txn = db.begin_write()?;
    let mut totals = Totals {
        evicted: before.evicted,
        dropped: before.dropped,
        next_seq: before.next_seq,
        ..Totals::default()
    };
    for (name, endpoint) in &before.endpoints {
        totals.endpoint(name).dropped = endpoint.dropped;
    }
    {
        let mut meta = txn.open_table(META)?;
        let format = meta.get(FORMAT_KEY)?.map(|value| value.value().to_vec());
        match format {
            Some(format) if format == FORMAT => {}
            Some(format) => {
                return Err(Fault::Corrupt(format!(
                    "written by another version (layout {:?})",
                    String::from_utf8_lossy(&format)
                )));
            }
            None => {
                meta.insert(FORMAT_KEY, FORMAT)?;
            }
        }
        txn.open_table(ALERTS)?;
        txn.open_table(OPEN)?;
        txn.open_table(SLOTS)?;
        for entry in txn.open_table(BY_CLASS)?.iter()? {
            let (key, bytes) = entry?;
            if let Some(class) = totals.classes.get_mut(usize::from(key.value().0)) {
                class.0 += 1;
                class.1 += u64::from(bytes.value());
            }
        }
        for entry in txn.open_table(OUTBOX)?.iter()? {
            let (key, _) = entry?;
            let (name, _, seq) = key.value();
            totals.endpoint(name).queued += 1;
            totals.next_seq = totals.next_seq.max(seq);
        }
        for entry in txn.open_table(DEAD)?.iter()? {
            let (key, _) = entry?;
            let (name, seq) = key.value();
            totals.endpoint(name).dead += 1;
            totals.next_seq = totals.next_seq.max(seq);
        }
    }
    txn.commit()?;
    Ok(totals)
}
