//! From updates to an alert: how it begins, and how it grows.

use std::sync::Arc;

use super::{Alert, AlertUpdate, evidence};
use crate::access::record::{AccessRecord, rfc3339};

impl Alert {
    /// The alert that an update begins.
    pub(crate) fn begin(update: &AlertUpdate, id: String) -> Self {
        let text = |value: &Option<Arc<str>>| value.as_deref().map(str::to_owned);
        let mut alert = Self {
            r#type: "alert".to_owned(),
            v: 1,
            id,
            severity: update.severity,
            kind: update.key.kind,
            title: update.title.clone(),
            identity: text(&update.key.identity),
            owner: text(&update.owner),
            workload: text(&update.key.workload),
            operation: update.operation.clone(),
            environment: text(&update.environment),
            clause: update.key.clause.to_string(),
            count: update.count,
            first_seen: rfc3339(update.first_us),
            last_seen: rfc3339(update.last_us),
            techniques: update.techniques.iter().map(|&id| id.to_owned()).collect(),
            normal: update.normal.clone(),
            action: update.action.clone(),
            acknowledged: None,
            muted_until: None,
            evidence: records(update),
        };
        evidence::bound_words(&mut alert);
        alert
    }

    /// Grows by an update of the same key; it was first and last seen then, in microseconds since 1970.
    pub(crate) fn grow(&mut self, update: &AlertUpdate, first_us: i64, last_us: i64) {
        self.count = self.count.saturating_add(update.count);
        self.first_seen = rfc3339(first_us);
        self.last_seen = rfc3339(last_us);
        if update.severity > self.severity {
            self.severity = update.severity;
            self.title.clone_from(&update.title);
            self.normal.clone_from(&update.normal);
            self.action.clone_from(&update.action);
            self.techniques = update.techniques.iter().map(|&id| id.to_owned()).collect();
            self.operation.clone_from(&update.operation);
            self.environment = update.environment.as_deref().map(str::to_owned);
        }
        evidence::merge(&mut self.evidence, records(update));
        evidence::bound_words(self);
    }
}

fn records(update: &AlertUpdate) -> Vec<AccessRecord> {
    let records = update.evidence.iter().map(|access| {
        let mut record = AccessRecord::from_access(access);
        evidence::bound_record(&mut record);
        record
    });
    records.collect()
}

/// `al_` and a ULID: sorts by time (microseconds since 1970), the rest is the lower 80 bits of `rest`.
pub(crate) fn alert_id(now_us: i64, rest: u128) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let millis = u128::try_from(now_us / 1000).unwrap_or(0) & 0xffff_ffff_ffff;
    let value = millis << 80 | rest & ((1 << 80) - 1);
    let mut id = String::with_capacity(29);
    id.push_str("al_");
    for digit in (0..26).rev() {
        // Five bits are below 32.
        id.push(char::from(DIGITS[(value >> (5 * digit)) as usize & 31]));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_differ() {
        let early = alert_id(1_795_460_238_000_000, u128::MAX);
        let late = alert_id(1_795_460_238_001_000, 0);
        assert!(early < late);
        assert_eq!(early.len(), 29);
        assert_ne!(alert_id(1, 1), alert_id(1, 2));
        assert_eq!(alert_id(0, 7).get(3..13), Some("0000000000"));
        assert!(alert_id(i64::MAX, 1).is_ascii() && alert_id(-5, 1).is_ascii());
    }
}
