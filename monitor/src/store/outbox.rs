//! Messages that wait for their endpoint, and those that were given up.

use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use crate::alert::evidence::to_json_within;
use crate::alert::webhook::MAX_BODY;
use crate::judge::Severity;

use super::alerts::{parse, to_bytes};
use super::error::Fault;
use super::settle::Change;
use super::tables::{ALERTS, AlertRow, DEAD, DeadRow, OUTBOX, OutRow, SLOTS, Totals};
use super::{Store, StoreError, StoreOptions};

/// One state of one alert, as sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `webhook-id`: the alert's id, `-`, and its count then. The same state has the same id for
    /// every endpoint and attempt.
    pub id: String,
    /// The alert's count then.
    pub count: u64,
    /// JSON.
    pub body: String,
}

/// A message that waits, without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Order of queueing.
    pub seq: u64,
    /// Its alert's, 0 the lowest.
    pub severity: u8,
    /// When to try, microseconds since 1970.
    pub due_us: i64,
    /// Failed attempts.
    pub attempts: u32,
    /// Since when it waits.
    pub queued_us: i64,
}

impl Queued {
    pub(super) fn of(severity: u8, seq: u64, row: &OutRow) -> Self {
        Self {
            seq,
            severity,
            due_us: row.due_us,
            attempts: row.attempts,
            queued_us: row.queued_us,
        }
    }
}

/// A message that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Its `webhook-id`.
    pub message: String,
    /// Its alert.
    pub alert: String,
    /// Attempts made.
    pub attempts: u32,
    /// When it was given up, RFC 3339.
    pub time: String,
    /// Why.
    pub error: String,
}

/// Bytes of a message that are left for the audit log's checkpoint, which comes to it when it is sent.
const CHECKPOINT_ROOM: usize = 1024;

pub(super) fn severity_rank(severity: Severity) -> u8 {
    severity as u8
}

/// The message that tells an alert as it is now.
pub(super) fn message(row: &AlertRow) -> Result<Message, Fault> {
    let body = to_json_within(&row.alert, MAX_BODY - CHECKPOINT_ROOM)
        .map_err(|error| Fault::Refused(format!("alert {}: {error}", row.alert.id)))?;
    Ok(Message {
        id: format!("{}-{}", row.alert.id, row.alert.count),
        count: row.alert.count,
        body,
    })
}

impl Store {
    /// All that waits for an endpoint.
    ///
    /// # Errors
    /// The store is not available.
    pub fn queued(&self, endpoint: &str) -> Result<Vec<Queued>, StoreError> {
        self.read(|txn| {
            let table = txn.open_table(OUTBOX)?;
            let mut all = Vec::new();
            for entry in table.range((endpoint, 0, 0)..=(endpoint, u8::MAX, u64::MAX))? {
                let (key, row) = entry?;
                let (_, severity, seq) = key.value();
                if let Some(row) = parse::<OutRow>(row.value()) {
                    all.push(Queued::of(severity, seq, &row));
                }
            }
            Ok(all)
        })
    }

    /// What a queued message says now; `None` when it does not wait any more. `severity` may have
    /// risen since it was read.
    ///
    /// # Errors
    /// The store is not available.
    pub(crate) fn message(
        &self,
        endpoint: &str,
        severity: u8,
        seq: u64,
    ) -> Result<Option<Message>, StoreError> {
        self.read(|txn| {
            let outbox = txn.open_table(OUTBOX)?;
            let mut found = None;
            for severity in severity..=Severity::Critical as u8 {
                if let Some(row) = outbox.get((endpoint, severity, seq))? {
                    found = parse::<OutRow>(row.value());
                    break;
                }
            }
            let Some(row) = found else { return Ok(None) };
            if row.message.is_some() {
                return Ok(row.message);
            }
            let alerts = txn.open_table(ALERTS)?;
            match alerts
                .get(&*row.alert)?
                .and_then(|alert| parse::<AlertRow>(alert.value()))
            {
                Some(alert) => message(&alert).map(Some),
                None => Ok(None),
            }
        })
    }

    /// Dead letters of an endpoint, oldest first, at most `limit`.
    ///
    /// # Errors
    /// The store is not available.
    pub fn dead_letters(
        &self,
        endpoint: &str,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        self.read(|txn| {
            let table = txn.open_table(DEAD)?;
            let mut letters = Vec::new();
            for entry in table
                .range((endpoint, 0)..=(endpoint, u64::MAX))?
                .take(limit)
            {
                let (_, row) = entry?;
                if let Some(row) = parse::<DeadRow>(row.value()) {
                    letters.push(DeadLetter {
                        message: row.message.id,
                        alert: row.alert,
                        attempts: row.attempts,
                        time: crate::access::record::rfc3339(row.dead_us),
                        error: row.error,
                    });
                }
            }
            Ok(letters)
        })
    }

    /// Puts an endpoint's dead letters back into its queue, with their `webhook-id`, as far as
    /// there is room. Returns what was queued.
    ///
    /// # Errors
    /// The store is not available.
    pub fn replay(&self, endpoint: &str, now_us: i64) -> Result<Vec<Queued>, StoreError> {
        let max = self.options().max_queued;
        self.write(|txn, totals| {
            let mut replayed = Vec::new();
            let mut dead = txn.open_table(DEAD)?;
            let mut outbox = txn.open_table(OUTBOX)?;
            while totals.endpoint(endpoint).queued < max {
                let first = {
                    let mut range = dead.range((endpoint, 0)..=(endpoint, u64::MAX))?;
                    match range.next() {
                        Some(entry) => {
                            let (key, row) = entry?;
                            Some((key.value().1, parse::<DeadRow>(row.value())))
                        }
                        None => None,
                    }
                };
                let Some((dead_seq, row)) = first else { break };
                dead.remove((endpoint, dead_seq))?;
                let counts = totals.endpoint(endpoint);
                counts.dead = counts.dead.saturating_sub(1);
                let Some(row) = row else { continue };
                counts.queued += 1;
                let seq = totals.take_seq();
                let out = OutRow {
                    alert: row.alert,
                    first: true,
                    attempts: 0,
                    due_us: now_us,
                    queued_us: now_us,
                    message: Some(row.message),
                    error: Some(row.error),
                };
                outbox.insert((endpoint, row.severity, seq), to_bytes(&out)?.as_slice())?;
                replayed.push(Queued::of(row.severity, seq, &out));
            }
            Ok(replayed)
        })
    }

    /// Makes dead letters of what waits for endpoints other than `names`: the configuration does
    /// not have them any more, but may have them again. Returns how many.
    ///
    /// # Errors
    /// The store is not available.
    pub fn retire_endpoints(&self, names: &[&str], now_us: i64) -> Result<u64, StoreError> {
        let gone = {
            let totals = self.endpoint_totals();
            let gone = totals
                .into_iter()
                .filter(|(name, totals)| totals.queued > 0 && !names.contains(&name.as_str()));
            gone.map(|(name, _)| name).collect::<Vec<_>>()
        };
        if gone.is_empty() {
            return Ok(0);
        }
        let options = self.options();
        self.write(|txn, totals| {
            let mut retired = 0;
            for name in &gone {
                while let Some((severity, seq)) = lowest(txn, name)? {
                    kill(
                        txn,
                        totals,
                        options,
                        name,
                        (severity, seq),
                        None,
                        Cause {
                            error: "the endpoint is not configured any more",
                            now_us,
                        },
                    )?;
                    retired += 1;
                }
            }
            Ok(retired)
        })
    }
}

/// The least severe oldest message of an endpoint.
fn lowest(txn: &WriteTransaction, endpoint: &str) -> Result<Option<(u8, u64)>, Fault> {
    let outbox = txn.open_table(OUTBOX)?;
    let mut range = outbox.range((endpoint, 0, 0)..=(endpoint, u8::MAX, u64::MAX))?;
    match range.next() {
        Some(entry) => {
            let (key, _) = entry?;
            let (_, severity, seq) = key.value();
            Ok(Some((severity, seq)))
        }
        None => Ok(None),
    }
}

/// Why a message is given up.
pub(super) struct Cause<'a> {
    pub(super) error: &'a str,
    pub(super) now_us: i64,
}

/// Keeps an endpoint's queue within its bound. `row` is an alert that may not be stored yet.
pub(super) fn bound(
    txn: &WriteTransaction,
    totals: &mut Totals,
    options: &StoreOptions,
    endpoint: &str,
    row: &AlertRow,
    now_us: i64,
    changes: &mut Vec<Change>,
) -> Result<(), Fault> {
    while totals.endpoint(endpoint).queued > options.max_queued.max(1) {
        let Some((severity, seq)) = lowest(txn, endpoint)? else {
            // The count was wrong: it is what the table says.
            totals.endpoint(endpoint).queued = 0;
            return Ok(());
        };
        kill(
            txn,
            totals,
            options,
            endpoint,
            (severity, seq),
            Some(row),
            Cause {
                error: "the queue is full",
                now_us,
            },
        )?;
        changes.push(Change::Remove {
            endpoint: endpoint.to_owned(),
            seq,
        });
    }
    Ok(())
}

/// Moves a waiting message to the dead letters.
fn kill(
    txn: &WriteTransaction,
    totals: &mut Totals,
    options: &StoreOptions,
    endpoint: &str,
    (severity, seq): (u8, u64),
    unstored: Option<&AlertRow>,
    cause: Cause<'_>,
) -> Result<(), Fault> {
    let out = {
        let mut outbox = txn.open_table(OUTBOX)?;
        let removed = outbox.remove((endpoint, severity, seq))?;
        removed.and_then(|row| parse::<OutRow>(row.value()))
    };
    let counts = totals.endpoint(endpoint);
    counts.queued = counts.queued.saturating_sub(1);
    let Some(mut out) = out else { return Ok(()) };
    free_slot(txn, &out.alert, endpoint, seq)?;
    let message = match (out.message.take(), unstored) {
        (Some(message), _) => Some(message),
        (None, Some(row)) if row.alert.id == out.alert => Some(message(row)?),
        (None, _) => {
            let alerts = txn.open_table(ALERTS)?;
            let row = alerts
                .get(&*out.alert)?
                .and_then(|row| parse::<AlertRow>(row.value()));
            row.as_ref().map(message).transpose()?
        }
    };
    match message {
        Some(message) => bury(
            txn, totals, options, endpoint, severity, out, message, cause,
        ),
        None => Ok(()),
    }
}

/// Forgets that row `seq` tells the alert's growth, if it is the one that does.
pub(super) fn free_slot(
    txn: &WriteTransaction,
    alert: &str,
    endpoint: &str,
    seq: u64,
) -> Result<(), Fault> {
    let mut slots = txn.open_table(SLOTS)?;
    let slot = slots.get((alert, endpoint))?.map(|slot| slot.value().1);
    if slot == Some(seq) {
        slots.remove((alert, endpoint))?;
    }
    Ok(())
}

/// Adds a dead letter; the oldest goes when there are too many, or when it is too old.
#[allow(clippy::too_many_arguments, reason = "what a row is made of")]
pub(super) fn bury(
    txn: &WriteTransaction,
    totals: &mut Totals,
    options: &StoreOptions,
    endpoint: &str,
    severity: u8,
    out: OutRow,
    message: Message,
    cause: Cause<'_>,
) -> Result<(), Fault> {
    // What was never tried (a full queue) comes in floods, and is counted.
    if out.attempts > 0 {
        tracing::error!(
            webhook = endpoint,
            message = message.id,
            attempts = out.attempts,
            cause = cause.error,
            "a message could not be delivered and is kept as a dead letter"
        );
    }
    let row = DeadRow {
        alert: out.alert,
        severity,
        message,
        attempts: out.attempts,
        queued_us: out.queued_us,
        dead_us: cause.now_us,
        error: cause.error.to_owned(),
    };
    let mut dead = txn.open_table(DEAD)?;
    dead.insert((endpoint, totals.take_seq()), to_bytes(&row)?.as_slice())?;
    totals.endpoint(endpoint).dead += 1;
    let max_age = i64::try_from(options.max_age.as_micros()).unwrap_or(i64::MAX);
    loop {
        let oldest = {
            let mut range = dead.range((endpoint, 0)..=(endpoint, u64::MAX))?;
            match range.next() {
                Some(entry) => {
                    let (key, row) = entry?;
                    let too_old = parse::<DeadRow>(row.value())
                        .is_none_or(|row| cause.now_us.saturating_sub(row.dead_us) > max_age);
                    Some((key.value().1, too_old))
                }
                None => None,
            }
        };
        let counts = totals.endpoint(endpoint);
        let Some((seq, too_old)) = oldest else {
            counts.dead = 0;
            return Ok(());
        };
        if counts.dead <= options.max_dead && !too_old {
            return Ok(());
        }
        counts.dead = counts.dead.saturating_sub(1);
        counts.dropped += 1;
        totals.dropped += 1;
        dead.remove((endpoint, seq))?;
    }
}
