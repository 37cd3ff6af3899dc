//! Accesses as evidence: what keeps an alert small.
//!
//! Pure: no I/O, no clock, no panic on any input.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use crate::access::record::AccessRecord;

use super::{Alert, MAX_EVIDENCE};

/// Evidence kept from the beginning; the rest is the newest.
pub const FIRST_EVIDENCE: usize = MAX_EVIDENCE / 2;

/// Appends newer evidence; of more than [`MAX_EVIDENCE`] the first and the newest stay.
pub fn merge<T>(evidence: &mut Vec<T>, newer: impl IntoIterator<Item = T>) {
    evidence.extend(newer);
    if evidence.len() > MAX_EVIDENCE {
        let newest = evidence.len() - (MAX_EVIDENCE - FIRST_EVIDENCE);
        evidence.drain(FIRST_EVIDENCE..newest);
    }
}

/// Length of `text` inside a JSON string, without the quotes.
fn json_len(text: &str) -> usize {
    text.chars().map(json_char_len).sum()
}

fn json_char_len(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if u32::from(c) < 0x20 => 6,
        c => c.len_utf8(),
    }
}

/// Cuts `text` so that it takes at most `max` bytes inside a JSON string; a cut one ends in `…`.
pub fn clip(text: &mut String, max: usize) {
    if text.len() <= max && json_len(text) <= max {
        return;
    }
    let room = max.saturating_sub('…'.len_utf8());
    let mut used = 0;
    let mut keep = 0;
    for (at, c) in text.char_indices() {
        used += json_char_len(c);
        if used > room {
            break;
        }
        keep = at + c.len_utf8();
    }
    text.truncate(keep);
    text.push('…');
}

fn clip_option(text: &mut Option<String>, max: usize) {
    if let Some(text) = text {
        clip(text, max);
    }
}

/// Bounds every string of a record: about 8 kB at most.
pub fn bound_record(record: &mut AccessRecord) {
    bound_record_to(record, 2048, 128, 16);
}

fn bound_record_to(record: &mut AccessRecord, path: usize, name: usize, lineage: usize) {
    clip_option(&mut record.identity, 2 * name);
    clip_option(&mut record.owner, name);
    clip_option(&mut record.peer, name);
    clip_option(&mut record.environment, name);
    clip(&mut record.request.method, 32);
    clip(&mut record.request.host, 2 * name);
    clip(&mut record.request.path, path);
    clip(&mut record.request.route, path);
    record.duties.truncate(16);
    for duty in &mut record.duties {
        clip(duty, name);
    }
    for end in [&mut record.client, &mut record.server]
        .into_iter()
        .flatten()
    {
        clip(&mut end.exe, 2 * name);
        clip(&mut end.user, name);
        clip_option(&mut end.unit, name);
        clip_option(&mut end.container, name);
        end.lineage.truncate(lineage);
        for exe in &mut end.lineage {
            clip(exe, name);
        }
    }
}

/// Bounds every string of an alert, so that it fits a message at least without its evidence.
pub fn bound_words(alert: &mut Alert) {
    clip(&mut alert.title, 600);
    clip_option(&mut alert.identity, 700);
    clip_option(&mut alert.owner, 300);
    clip_option(&mut alert.workload, 700);
    clip(&mut alert.operation, 2600);
    clip_option(&mut alert.environment, 300);
    clip(&mut alert.clause, 1500);
    clip(&mut alert.normal, 1500);
    clip(&mut alert.action, 1500);
    alert.techniques.truncate(16);
    for technique in &mut alert.techniques {
        clip(technique, 32);
    }
}

/// The JSON of an alert in at most `max` bytes: evidence in the middle goes first, then the long
/// parts of what is left, then the last of it.
///
/// # Errors
/// Only when the alert cannot be serialised at all.
pub fn to_json_within(alert: &Alert, max: usize) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(alert)?;
    if json.len() <= max {
        return Ok(json);
    }
    let mut alert = alert.clone();
    bound_words(&mut alert);
    for record in &mut alert.evidence {
        bound_record(record);
    }
    // What each record costs is known, so one pass finds how many fit.
    let without = {
        let evidence = std::mem::take(&mut alert.evidence);
        let len = serde_json::to_string(&alert)?.len();
        alert.evidence = evidence;
        len
    };
    let costs = alert
        .evidence
        .iter()
        .map(|record| serde_json::to_string(record).map(|json| json.len() + 1))
        .collect::<Result<Vec<_>, _>>()?;
    let mut total: usize = without + costs.iter().sum::<usize>();
    let mut costs = costs;
    while total > max && costs.len() > 1 {
        // Keeps the first and the newest: with n left, the one after the first half goes.
        let middle = costs.len() / 2;
        total -= costs.remove(middle);
        alert.evidence.remove(middle);
    }
    if total > max {
        for record in &mut alert.evidence {
            bound_record_to(record, 512, 96, 4);
        }
        let json = serde_json::to_string(&alert)?;
        if json.len() <= max {
            return Ok(json);
        }
        alert.evidence.clear();
    }
    serde_json::to_string(&alert)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail by panic"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::alert::testing;

    #[test]
    fn keeps_first_and_newest() {
        let mut evidence = (0..8).collect::<Vec<_>>();
        merge(&mut evidence, 8..20);
        assert_eq!(evidence, [0, 1, 2, 3, 4, 15, 16, 17, 18, 19]);
    }

    #[test]
    fn trims_evidence_to_fit() {
        let mut alert = testing::alert("al_1", 3);
        let mut record = testing::record(1);
        record.request.path = "/x".repeat(1000);
        alert.evidence = (0..10)
            .map(|i| {
                let mut record = record.clone();
                record.duration_us = Some(i);
                record
            })
            .collect();
        let json = to_json_within(&alert, 20_000).unwrap();
        assert!(json.len() <= 20_000, "{}", json.len());
        let back: Alert = serde_json::from_str(&json).unwrap();
        assert!(back.evidence.len() >= 5, "{}", back.evidence.len());
        assert_eq!(back.evidence[0].duration_us, Some(0));
        assert_eq!(back.evidence.last().unwrap().duration_us, Some(9));
        assert_eq!(back.count, 3);
        assert_eq!(
            to_json_within(&alert, 20_000).unwrap(),
            json,
            "the same state, the same body"
        );
    }

    proptest! {
        #[test]
        fn clip_bounds_and_stays_text(text in "\\PC{0,40}|[\\x00-\\x7f]{0,60}", max in 3_usize..50) {
            let mut clipped = text.clone();
            clip(&mut clipped, max);
            let json = serde_json::to_string(&clipped).unwrap();
            prop_assert!(json.len() - 2 <= max, "{json} > {max}");
            if json_len(&text) <= max { prop_assert_eq!(clipped, text); }
        }

    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn any_alert_fits(words in "[\\x00-\\x7f]{0,9000}", n in 0_usize..11) {
            let mut alert = testing::alert("al_1", 1);
            alert.title.clone_from(&words);
            alert.clause.clone_from(&words);
            alert.normal.clone_from(&words);
            alert.action.clone_from(&words);
            alert.operation.clone_from(&words);
            alert.identity = Some(words.clone());
            alert.workload = Some(words.clone());
            let mut record = testing::record(1);
            record.request.path.clone_from(&words);
            if let Some(client) = &mut record.client { client.lineage = vec![words; 16]; }
            alert.evidence = vec![record; n];
            let json = to_json_within(&alert, 20_000).unwrap();
            prop_assert!(json.len() <= 20_000, "{}", json.len());
        }
    }
}
