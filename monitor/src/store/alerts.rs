//! Updates become alerts and messages, in one transaction.

use std::collections::HashSet;
use std::sync::Arc;

use redb::{ReadableTable, WriteTransaction};
use rustls::crypto::SecureRandom;

use crate::alert::config::WebhookConfig;
use crate::alert::endpoint::wants;
use crate::alert::growth::alert_id;
use crate::alert::marks::{MarkRequest, is_quiet};
use crate::alert::{Alert, AlertUpdate};

use super::error::Fault;
use super::evict;
use super::outbox::{self, Queued, severity_rank};
use super::settle::Change;
use super::tables::{ALERTS, AlertRow, BY_CLASS, META, OPEN, OUTBOX, OutRow, SLOTS, Totals};
use super::{Store, StoreError, class_of};

/// Where the id of the newest batch is kept.
const BATCH_KEY: &str = "store.batch";

/// Updates that are stored together, or not at all.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Of its own for every batch: one whose commit failed may have reached the disk all the
    /// same, and is recognised by it when it comes again.
    pub id: [u8; 16],
    /// In order.
    pub updates: Vec<AlertUpdate>,
}

impl Batch {
    /// A batch with a random id.
    #[must_use]
    pub fn new(updates: Vec<AlertUpdate>) -> Self {
        Self {
            id: random(),
            updates,
        }
    }
}

/// An endpoint, as far as the store needs to know it.
pub type Route = Arc<WebhookConfig>;

/// What a batch came to.
#[derive(Debug, Default)]
pub struct AppliedBatch {
    /// The alerts that were begun or grew, as they are now; each once.
    pub alerts: Vec<Alert>,
    /// What became of some of them, by id: `begun` or `worse`; `again` when that may have happened at an attempt before.
    pub news: Vec<(String, &'static str)>,
    /// What to change in the remembered queues.
    pub(crate) changes: Vec<Change>,
    /// The batch had been stored before: queues must be read again.
    pub(crate) repeated: bool,
}

impl Store {
    /// Stores a batch. Durable when it returns.
    ///
    /// # Errors
    /// The store is not available; the batch can be given again.
    pub fn apply(
        &self,
        batch: &Batch,
        routes: &[Route],
        now_us: i64,
    ) -> Result<AppliedBatch, StoreError> {
        let options = self.options();
        self.write(|txn, totals| {
            let mut applied = AppliedBatch::default();
            {
                let mut meta = txn.open_table(META)?;
                let newest = meta.get(BATCH_KEY)?.map(|id| id.value().to_vec());
                applied.repeated = newest.as_deref() == Some(&batch.id);
                if !applied.repeated {
                    meta.insert(BATCH_KEY, batch.id.as_slice())?;
                }
            }
            let mut seen = HashSet::new();
            let mut ids = Vec::new();
            for update in &batch.updates {
                let id = if applied.repeated {
                    let id = open_alert(txn, &update.key.digest())?.map(|(id, _)| id);
                    applied.news.extend(id.clone().map(|id| (id, "again")));
                    id
                } else {
                    let changes = &mut applied.changes;
                    let mut fold = Fold {
                        txn,
                        totals,
                        routes,
                        options,
                        now_us,
                        changes,
                    };
                    let (id, news) = fold.apply(update)?;
                    applied.news.extend(news.map(|news| (id.clone(), news)));
                    Some(id)
                };
                if let Some(id) = id
                    && seen.insert(id.clone())
                {
                    ids.push(id);
                }
            }
            evict::make_room(txn, totals, options, now_us)?;
            let alerts = txn.open_table(ALERTS)?;
            for id in ids {
                if let Some(row) = alerts.get(&*id)?
                    && let Some(row) = parse::<AlertRow>(row.value())
                {
                    applied.alerts.push(row.alert);
                }
            }
            Ok(applied)
        })
    }
}

impl Store {
    /// Writes a mark on the alert with this id; `None` when there is none. Durable when it returns.
    ///
    /// # Errors
    /// The store is not available.
    pub fn mark(
        &self,
        id: &str,
        mark: &MarkRequest,
        by: &str,
        now_us: i64,
    ) -> Result<Option<Alert>, StoreError> {
        self.write(|txn, totals| {
            let found = txn
                .open_table(ALERTS)?
                .get(id)?
                .map(|row| row.value().to_vec());
            let Some(mut row) = found.and_then(|row| parse::<AlertRow>(&row)) else {
                return Ok(None);
            };
            mark.apply(&mut row.alert, by, now_us);
            keep(txn, totals, &row)?;
            Ok(Some(row.alert))
        })
    }
}

fn open_alert(txn: &WriteTransaction, key: &[u8; 32]) -> Result<Option<(String, i64)>, Fault> {
    let open = txn.open_table(OPEN)?;
    let found = open.get(key)?.map(|found| {
        let (id, last_us) = found.value();
        (id.to_owned(), last_us)
    });
    Ok(found)
}

/// Writes an alert's row and counts it.
fn keep(txn: &WriteTransaction, totals: &mut Totals, row: &AlertRow) -> Result<(), Fault> {
    let id = row.alert.id.as_str();
    let bytes = to_bytes(row)?;
    let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    txn.open_table(ALERTS)?.insert(id, bytes.as_slice())?;
    let mut by_class = txn.open_table(BY_CLASS)?;
    let before = by_class
        .insert((row.class, id), size)?
        .map(|size| size.value());
    if let Some(class) = totals.classes.get_mut(usize::from(row.class)) {
        class.0 += u64::from(before.is_none());
        class.1 = (class.1 + u64::from(size)).saturating_sub(u64::from(before.unwrap_or(0)));
    }
    Ok(())
}

struct Fold<'a> {
    txn: &'a WriteTransaction,
    totals: &'a mut Totals,
    routes: &'a [Route],
    options: &'a super::StoreOptions,
    now_us: i64,
    changes: &'a mut Vec<Change>,
}

impl Fold<'_> {
    /// The alert's id, and what became of it when that is more than growth.
    fn apply(&mut self, update: &AlertUpdate) -> Result<(String, Option<&'static str>), Fault> {
        let digest = update.key.digest();
        let window = i64::try_from(self.options.fold_window.as_micros()).unwrap_or(i64::MAX);
        let old = match open_alert(self.txn, &digest)? {
            Some((id, last_us)) if update.first_us.saturating_sub(last_us) <= window => {
                let alerts = self.txn.open_table(ALERTS)?;
                alerts
                    .get(&*id)?
                    .and_then(|row| parse::<AlertRow>(row.value()))
            }
            _ => None,
        };
        let mut row = match &old {
            Some(old) => grown(old.clone(), update),
            None => begun(update, self.now_us, &digest),
        };
        self.route(&mut row, old.as_ref().map(|row| &row.alert))?;
        self.store(&row, &digest)?;
        let news = match &old {
            None => Some("begun"),
            Some(old) if row.alert.severity > old.alert.severity => Some("worse"),
            Some(_) => None,
        };
        Ok((row.alert.id, news))
    }

    fn store(&mut self, row: &AlertRow, digest: &[u8; 32]) -> Result<(), Fault> {
        keep(self.txn, self.totals, row)?;
        self.txn
            .open_table(OPEN)?
            .insert(digest, (row.alert.id.as_str(), row.last_us))?;
        Ok(())
    }

    /// Sees to it that every endpoint that wants the alert will be told of it as it is now.
    fn route(&mut self, row: &mut AlertRow, old: Option<&Alert>) -> Result<(), Fault> {
        let before_us = row.told_us;
        for route in self.routes.iter().filter(|route| wants(route, &row.alert)) {
            let worse = old.is_some_and(|old| row.alert.severity > old.severity);
            let told = old.is_some_and(|old| wants(route, old));
            if !worse && is_quiet(&row.alert, self.now_us) {
                continue;
            }
            let now = worse || !told;
            let name = route.name.as_str();
            let slot = {
                let slots = self.txn.open_table(SLOTS)?;
                slots.get((&*row.alert.id, name))?.map(|slot| slot.value())
            };
            let waiting = match slot {
                Some((severity, seq)) => {
                    let mut outbox = self.txn.open_table(OUTBOX)?;
                    let found = outbox.remove((name, severity, seq))?;
                    found
                        .and_then(|found| parse::<OutRow>(found.value()))
                        .map(|out| (seq, out))
                }
                None => None,
            };
            let (seq, out) = match waiting {
                // It will tell this growth too: what it said so far is superseded.
                Some((seq, mut out)) => {
                    out.message = None;
                    if now {
                        out.due_us = out.due_us.min(self.now_us);
                    }
                    (seq, out)
                }
                None => {
                    let every = i64::try_from(route.update_every.as_micros()).unwrap_or(i64::MAX);
                    let due_us = if now {
                        self.now_us
                    } else {
                        self.now_us.max(before_us.saturating_add(every))
                    };
                    row.told_us = row.told_us.max(due_us);
                    self.totals.endpoint(name).queued += 1;
                    let out = OutRow {
                        alert: row.alert.id.clone(),
                        first: !told,
                        attempts: 0,
                        due_us,
                        queued_us: self.now_us,
                        message: None,
                        error: None,
                    };
                    (self.totals.take_seq(), out)
                }
            };
            let severity = severity_rank(row.alert.severity);
            let bytes = to_bytes(&out)?;
            self.txn
                .open_table(OUTBOX)?
                .insert((name, severity, seq), bytes.as_slice())?;
            self.txn
                .open_table(SLOTS)?
                .insert((&*row.alert.id, name), (severity, seq))?;
            self.changes.push(Change::Put {
                endpoint: name.to_owned(),
                queued: Queued::of(severity, seq, &out),
            });
            // The new row may itself be the one without room, told by the alert as it is.
            outbox::bound(
                self.txn,
                self.totals,
                self.options,
                name,
                row,
                self.now_us,
                self.changes,
            )?;
        }
        Ok(())
    }
}

fn begun(update: &AlertUpdate, now_us: i64, digest: &[u8; 32]) -> AlertRow {
    let id = alert_id(now_us, u128::from_le_bytes(random()));
    AlertRow {
        alert: Alert::begin(update, id),
        first_us: update.first_us,
        last_us: update.last_us,
        told_us: i64::MIN,
        key: blake3::Hash::from_bytes(*digest).to_hex().to_string(),
        class: class_of(update.key.kind, update.owner.is_some()),
    }
}

fn grown(mut row: AlertRow, update: &AlertUpdate) -> AlertRow {
    row.first_us = row.first_us.min(update.first_us);
    row.last_us = row.last_us.max(update.last_us);
    row.alert.grow(update, row.first_us, row.last_us);
    row
}

/// 16 random bytes.
fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    let source: &dyn SecureRandom = rustls::crypto::ring::default_provider().secure_random;
    if source.fill(&mut bytes).is_err() {
        // Ids need to differ, and be no more than hard to guess: std's seeds are random too.
        use std::hash::BuildHasher;
        for (at, chunk) in bytes.chunks_exact_mut(8).enumerate() {
            let hash = std::collections::hash_map::RandomState::new().hash_one(at);
            chunk.copy_from_slice(&hash.to_le_bytes());
        }
    }
    bytes
}

/// A row, or `None` with a warning when it does not parse: checksums hold, so it was written by
/// another version, and is no reason to lose the rest.
pub(super) fn parse<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    serde_json::from_slice(bytes)
        .inspect_err(|error| tracing::warn!(%error, "a row of the store is not understood"))
        .ok()
}

pub(super) fn to_bytes<T: serde::Serialize>(row: &T) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(row).map_err(|error| Fault::Refused(format!("cannot be stored: {error}")))
}
