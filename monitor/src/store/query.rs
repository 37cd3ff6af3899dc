//! Looking at alerts.

use redb::ReadableTable;

use crate::alert::Alert;
use crate::judge::{FindingKind, Severity};

use super::alerts::parse;
use super::tables::{ALERTS, AlertRow};
use super::{Store, StoreError};

/// Which alerts. The default is the newest 100.
#[derive(Clone, Debug, Default)]
pub struct AlertQuery {
    /// Most alerts; 100 when `None`.
    pub limit: Option<usize>,
    /// Seen at or after this time, microseconds since 1970.
    pub since_us: Option<i64>,
    /// First seen before this time.
    pub until_us: Option<i64>,
    /// At least this bad.
    pub min_severity: Option<Severity>,
    /// Only of these kinds; all when empty.
    pub kinds: Vec<FindingKind>,
    /// Only of this identity.
    pub identity: Option<String>,
    /// Only of this workload.
    pub workload: Option<String>,
}

impl AlertQuery {
    fn matches(&self, row: &AlertRow) -> bool {
        let alert = &row.alert;
        self.since_us.is_none_or(|since| row.last_us >= since)
            && self.until_us.is_none_or(|until| row.first_us < until)
            && self
                .min_severity
                .is_none_or(|least| alert.severity >= least)
            && (self.kinds.is_empty() || self.kinds.contains(&alert.kind))
            && self
                .identity
                .as_ref()
                .is_none_or(|name| alert.identity.as_ref() == Some(name))
            && self
                .workload
                .as_ref()
                .is_none_or(|name| alert.workload.as_ref() == Some(name))
    }
}

impl Store {
    /// Alerts, those begun last first.
    ///
    /// # Errors
    /// The store is not available.
    pub fn list(&self, query: &AlertQuery) -> Result<Vec<Alert>, StoreError> {
        let limit = query.limit.unwrap_or(100);
        self.read(|txn| {
            let alerts = txn.open_table(ALERTS)?;
            let mut found = Vec::new();
            for entry in alerts.iter()?.rev() {
                if found.len() >= limit {
                    break;
                }
                let (_, row) = entry?;
                if let Some(row) = parse::<AlertRow>(row.value())
                    && query.matches(&row)
                {
                    found.push(row.alert);
                }
            }
            Ok(found)
        })
    }

    /// One alert.
    ///
    /// # Errors
    /// The store is not available.
    pub fn get(&self, id: &str) -> Result<Option<Alert>, StoreError> {
        self.read(|txn| {
            let alerts = txn.open_table(ALERTS)?;
            let row = alerts
                .get(id)?
                .and_then(|row| parse::<AlertRow>(row.value()));
            Ok(row.map(|row| row.alert))
        })
    }
}
