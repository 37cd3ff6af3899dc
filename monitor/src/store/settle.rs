//! What became of attempts, written down.

use redb::{ReadableTable, WriteTransaction};

use super::alerts::{parse, to_bytes};
use super::error::Fault;
use super::outbox::{Cause, Message, Queued, bury, free_slot};
use super::tables::{ALERTS, AlertRow, META, OUTBOX, OutRow, SLOTS, Totals};
use super::{Store, StoreError, StoreOptions};

/// A change to a queue as remembered in memory.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Waits, perhaps again.
    Put {
        /// Endpoint.
        endpoint: String,
        /// What.
        queued: Queued,
    },
    /// Waits no more.
    Remove {
        /// Endpoint.
        endpoint: String,
        /// Which.
        seq: u64,
    },
}

/// What became of one attempt.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) endpoint: String,
    pub(crate) severity: u8,
    pub(crate) seq: u64,
    /// What was sent.
    pub(crate) message: Message,
    pub(crate) verdict: Verdict,
    /// When an alert that has grown meanwhile is told again.
    pub(crate) next_update_us: i64,
}

/// Delivered, or what next.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Delivered,
    Retry {
        attempts: u32,
        due_us: i64,
        error: String,
    },
    Dead {
        attempts: u32,
        error: String,
    },
    /// The endpoint asked never to be called again: the message waits until someone enables it.
    Disabled {
        error: String,
    },
}

/// Name under which it is kept that an endpoint is disabled.
pub(crate) fn disabled_key(endpoint: &str) -> String {
    format!("endpoint-disabled:{endpoint}")
}

impl Store {
    /// Writes outcomes down. Giving the same ones again changes nothing.
    pub(crate) fn settle(
        &self,
        outcomes: &[Outcome],
        now_us: i64,
    ) -> Result<Vec<Change>, StoreError> {
        let options = self.options();
        self.write(|txn, totals| {
            let mut changes = Vec::new();
            for outcome in outcomes {
                let mut settling = Settling {
                    txn,
                    totals,
                    options,
                    now_us,
                    changes: &mut changes,
                };
                settling.settle(outcome)?;
            }
            Ok(changes)
        })
    }
}

struct Settling<'a> {
    txn: &'a WriteTransaction,
    totals: &'a mut Totals,
    options: &'a StoreOptions,
    now_us: i64,
    changes: &'a mut Vec<Change>,
}

impl Settling<'_> {
    fn settle(&mut self, outcome: &Outcome) -> Result<(), Fault> {
        let Outcome {
            endpoint,
            seq,
            message,
            verdict,
            ..
        } = outcome;
        if let Verdict::Disabled { error } = verdict {
            let key = disabled_key(endpoint);
            self.txn.open_table(META)?.insert(&*key, error.as_bytes())?;
        }
        let Some((severity, mut row)) = self.take(outcome)? else {
            // Moved to the dead letters meanwhile, by a bound.
            self.remove(endpoint, *seq);
            return Ok(());
        };
        // What was sent may be less than what there is to tell now.
        let grown = row.message.is_none() && self.count(&row.alert)? > Some(message.count);
        match verdict {
            Verdict::Delivered => {
                if grown {
                    row.first = false;
                    row.attempts = 0;
                    row.error = None;
                    row.queued_us = self.now_us;
                    row.due_us = outcome.next_update_us;
                    self.put(endpoint, severity, *seq, &row)?;
                } else {
                    self.forget(endpoint, *seq, &row.alert)?;
                }
            }
            Verdict::Dead { attempts, error } => {
                row.attempts = *attempts;
                let alert = row.alert.clone();
                self.forget(endpoint, *seq, &alert)?;
                let cause = Cause {
                    error,
                    now_us: self.now_us,
                };
                let message = message.clone();
                bury(
                    self.txn,
                    self.totals,
                    self.options,
                    endpoint,
                    severity,
                    row,
                    message,
                    cause,
                )?;
                if grown {
                    self.follow_up(outcome, severity, alert)?;
                }
            }
            Verdict::Retry { .. } | Verdict::Disabled { .. } => {
                if let Verdict::Retry {
                    attempts,
                    due_us,
                    error,
                } = verdict
                {
                    row.attempts = *attempts;
                    row.due_us = *due_us;
                    row.error = Some(error.clone());
                }
                if row.first && row.message.is_none() {
                    // From here on it says what it said: growth gets a message of its own.
                    row.message = Some(message.clone());
                    free_slot(self.txn, &row.alert, endpoint, *seq)?;
                    if grown {
                        self.follow_up(outcome, severity, row.alert.clone())?;
                    }
                } else if !grown && row.message.is_none() {
                    row.message = Some(message.clone());
                }
                self.put(endpoint, severity, *seq, &row)?;
            }
        }
        Ok(())
    }

    /// Takes the row out. An alert that got worse has moved its row up meanwhile.
    fn take(&mut self, outcome: &Outcome) -> Result<Option<(u8, OutRow)>, Fault> {
        let mut outbox = self.txn.open_table(OUTBOX)?;
        for severity in outcome.severity..=crate::judge::Severity::Critical as u8 {
            let row = outbox.remove((&*outcome.endpoint, severity, outcome.seq))?;
            if let Some(row) = row {
                return Ok(parse(row.value()).map(|row| (severity, row)));
            }
        }
        Ok(None)
    }

    fn count(&self, alert: &str) -> Result<Option<u64>, Fault> {
        let alerts = self.txn.open_table(ALERTS)?;
        let row = alerts
            .get(alert)?
            .and_then(|row| parse::<AlertRow>(row.value()));
        Ok(row.map(|row| row.alert.count))
    }

    fn put(&mut self, endpoint: &str, severity: u8, seq: u64, row: &OutRow) -> Result<(), Fault> {
        self.txn
            .open_table(OUTBOX)?
            .insert((endpoint, severity, seq), to_bytes(row)?.as_slice())?;
        self.changes.push(Change::Put {
            endpoint: endpoint.to_owned(),
            queued: Queued::of(severity, seq, row),
        });
        Ok(())
    }

    fn forget(&mut self, endpoint: &str, seq: u64, alert: &str) -> Result<(), Fault> {
        free_slot(self.txn, alert, endpoint, seq)?;
        let counts = self.totals.endpoint(endpoint);
        counts.queued = counts.queued.saturating_sub(1);
        self.remove(endpoint, seq);
        Ok(())
    }

    fn remove(&mut self, endpoint: &str, seq: u64) {
        self.changes.push(Change::Remove {
            endpoint: endpoint.to_owned(),
            seq,
        });
    }

    /// A message for what the alert has grown by since.
    fn follow_up(&mut self, outcome: &Outcome, severity: u8, alert: String) -> Result<(), Fault> {
        let seq = self.totals.take_seq();
        let endpoint = outcome.endpoint.as_str();
        self.totals.endpoint(endpoint).queued += 1;
        self.txn
            .open_table(SLOTS)?
            .insert((&*alert, endpoint), (severity, seq))?;
        let row = OutRow {
            alert,
            first: false,
            attempts: 0,
            due_us: outcome.next_update_us,
            queued_us: self.now_us,
            message: None,
            error: None,
        };
        self.put(endpoint, severity, seq, &row)
    }
}
