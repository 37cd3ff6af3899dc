//! Alerts of a replay: updates folded as the store folds them, with ids that are the same in each run.

use std::collections::HashMap;

use crate::alert::growth::alert_id;
use crate::alert::{Alert, AlertUpdate};

/// Alerts kept; those beyond are counted.
const MOST: usize = 20_000;

#[derive(Debug)]
struct Row {
    alert: Alert,
    first_us: i64,
    last_us: i64,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Alerts {
    rows: Vec<Row>,
    /// From a key's digest to its newest row. Looked into only, never walked through: its order is not the same
    /// in each run.
    open: HashMap<[u8; 32], usize>,
    fold_window_us: i64,
    left_out: u64,
}

impl Alerts {
    pub(super) fn new(fold_window_us: i64) -> Self {
        Self {
            rows: Vec::new(),
            open: HashMap::new(),
            fold_window_us,
            left_out: 0,
        }
    }

    pub(super) fn add(&mut self, update: &AlertUpdate) {
        let digest = update.key.digest();
        let open = self.open.get(&digest).and_then(|at| self.rows.get_mut(*at));
        if let Some(row) = open
            && update.first_us.saturating_sub(row.last_us) <= self.fold_window_us
        {
            row.first_us = row.first_us.min(update.first_us);
            row.last_us = row.last_us.max(update.last_us);
            row.alert.grow(update, row.first_us, row.last_us);
            return;
        }
        if self.rows.len() >= MOST {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        let mut rest = [0; 16];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&digest);
        hasher.update(&update.first_us.to_le_bytes());
        hasher.finalize_xof().fill(&mut rest);
        let id = alert_id(update.first_us, u128::from_le_bytes(rest));
        self.open.insert(digest, self.rows.len());
        self.rows.push(Row {
            alert: Alert::begin(update, id),
            first_us: update.first_us,
            last_us: update.last_us,
        });
    }

    /// All, by the time they were first seen; and how many are not among them.
    pub(super) fn end(mut self) -> (Vec<Alert>, u64) {
        self.rows
            .sort_by(|a, b| (a.first_us, &a.alert.id).cmp(&(b.first_us, &b.alert.id)));
        let alerts = self.rows.into_iter().map(|row| row.alert).collect();
        (alerts, self.left_out)
    }
}
