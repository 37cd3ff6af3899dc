//! How the census is written down.

use super::record::IdentityRecord;

/// The JSON of as many identities as fit `most` bytes, those used last first, and how many did not fit.
///
/// # Errors
/// When one cannot be serialised.
pub fn to_json(
    mut records: Vec<IdentityRecord>,
    most: usize,
) -> Result<(Vec<u8>, usize), serde_json::Error> {
    // Times of one form compare as text; those without come last.
    records.sort_by(|a, b| b.last_seen.cmp(&a.last_seen));
    let mut json = vec![b'['];
    for (at, record) in records.iter().enumerate() {
        let one = serde_json::to_vec(record)?;
        // A comma before it, the bracket behind the last.
        if json.len().saturating_add(one.len()).saturating_add(2) > most {
            json.push(b']');
            return Ok((json, records.len().saturating_sub(at)));
        }
        if at > 0 {
            json.push(b',');
        }
        json.extend_from_slice(&one);
    }
    json.push(b']');
    Ok((json, 0))
}
