//! Room for new alerts, made at the cost of the kind that has most.

use redb::{ReadableTable, WriteTransaction};

use super::StoreOptions;
use super::alerts::{parse, to_bytes};
use super::error::Fault;
use super::outbox::message;
use super::tables::{ALERTS, AlertRow, BY_CLASS, OPEN, OUTBOX, OutRow, SLOTS, Totals};

/// Alerts looked at for their age in one transaction.
const AGE_BATCH: usize = 64;

/// Removes alerts that are too old, then the oldest of whatever class there is most of, until
/// the rest is within the bounds. A flood of one kind so evicts its own.
pub(super) fn make_room(
    txn: &WriteTransaction,
    totals: &mut Totals,
    options: &StoreOptions,
    now_us: i64,
) -> Result<(), Fault> {
    for id in too_old(txn, options, now_us)? {
        evict(txn, totals, &id)?;
    }
    loop {
        let (alerts, bytes) = totals.alerts();
        let by_bytes = bytes > options.max_alert_bytes;
        if alerts <= options.max_alerts.max(1) && (!by_bytes || alerts <= 1) {
            return Ok(());
        }
        let most = totals
            .classes
            .iter()
            .enumerate()
            .max_by_key(|(_, class)| if by_bytes { class.1 } else { class.0 })
            .map_or(0, |(class, _)| class);
        let class = u8::try_from(most).unwrap_or(u8::MAX);
        let oldest = {
            let by_class = txn.open_table(BY_CLASS)?;
            let mut range = by_class.range((class, "")..)?;
            match range.next() {
                Some(entry) => {
                    let (key, _) = entry?;
                    let (found, id) = key.value();
                    (found == class).then(|| id.to_owned())
                }
                None => None,
            }
        };
        match oldest {
            Some(id) => evict(txn, totals, &id)?,
            // The count was wrong: it is what the table says.
            None => {
                if let Some(class) = totals.classes.get_mut(most) {
                    *class = (0, 0);
                }
            }
        }
    }
}

fn too_old(
    txn: &WriteTransaction,
    options: &StoreOptions,
    now_us: i64,
) -> Result<Vec<String>, Fault> {
    let cutoff =
        now_us.saturating_sub(i64::try_from(options.max_age.as_micros()).unwrap_or(i64::MAX));
    let alerts = txn.open_table(ALERTS)?;
    let mut old = Vec::new();
    // Ids sort by the time of their alert's beginning.
    for entry in alerts.iter()?.take(AGE_BATCH) {
        let (key, row) = entry?;
        match parse::<AlertRow>(row.value()) {
            Some(row) if row.first_us >= cutoff => break,
            Some(row) if row.last_us >= cutoff => {}
            _ => old.push(key.value().to_owned()),
        }
    }
    Ok(old)
}

fn evict(txn: &WriteTransaction, totals: &mut Totals, id: &str) -> Result<(), Fault> {
    let row = {
        let mut alerts = txn.open_table(ALERTS)?;
        let removed = alerts.remove(id)?;
        removed.and_then(|row| parse::<AlertRow>(row.value()))
    };
    totals.evicted += 1;
    // A row that does not parse does not say its class.
    let classes = match &row {
        Some(row) => row.class..=row.class,
        None => 0..=u8::try_from(totals.classes.len()).unwrap_or(u8::MAX),
    };
    let mut by_class = txn.open_table(BY_CLASS)?;
    for class in classes {
        let bytes = by_class
            .remove((class, id))?
            .map(|bytes| u64::from(bytes.value()));
        if let (Some(bytes), Some(totals)) = (bytes, totals.classes.get_mut(usize::from(class))) {
            totals.0 = totals.0.saturating_sub(1);
            totals.1 = totals.1.saturating_sub(bytes);
        }
    }
    let Some(row) = row else { return Ok(()) };
    if let Ok(key) = blake3::Hash::from_hex(&row.key) {
        let mut open = txn.open_table(OPEN)?;
        let is_this = open
            .get(key.as_bytes())?
            .is_some_and(|found| found.value().0 == id);
        if is_this {
            open.remove(key.as_bytes())?;
        }
    }
    detach(txn, id, &row)
}

/// Messages that would be made from the alert when they are sent are made now.
fn detach(txn: &WriteTransaction, id: &str, row: &AlertRow) -> Result<(), Fault> {
    let mut slots = txn.open_table(SLOTS)?;
    let mut waiting = Vec::new();
    for entry in slots.range((id, "")..)? {
        let (key, slot) = entry?;
        let (alert, endpoint) = key.value();
        if alert != id {
            break;
        }
        waiting.push((endpoint.to_owned(), slot.value()));
    }
    let mut outbox = txn.open_table(OUTBOX)?;
    for (endpoint, (severity, seq)) in waiting {
        slots.remove((id, &*endpoint))?;
        let key = (&*endpoint, severity, seq);
        let out = outbox
            .get(key)?
            .and_then(|out| parse::<OutRow>(out.value()));
        if let Some(mut out) = out
            && out.message.is_none()
        {
            out.message = Some(message(row)?);
            outbox.insert(key, to_bytes(&out)?.as_slice())?;
        }
    }
    Ok(())
}
