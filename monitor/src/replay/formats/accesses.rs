//! What `bailiwick tail -o json` writes.

use serde::Deserialize;

use super::{Item, Refusal, Shared};
use crate::access::record::AccessRecord;

/// Lines that are no accesses.
#[derive(Deserialize)]
struct Note {
    r#type: String,
    v: u32,
    #[serde(default)]
    count: u64,
}

pub(super) fn read(shared: &mut Shared, piece: &[u8]) -> Result<Item, Refusal> {
    if let Ok(record) = serde_json::from_slice::<AccessRecord>(piece) {
        if record.r#type != "access" || record.v != 1 {
            return Err(Refusal::Malformed);
        }
        let access = shared.access(record)?;
        return Ok(Item::Access(Box::new(access)));
    }
    match serde_json::from_slice::<Note>(piece) {
        Ok(note) if note.v != 1 => Err(Refusal::Malformed),
        Ok(note) => match note.r#type.as_str() {
            "lost" => Ok(Item::Lost(note.count)),
            "live" | "ready" => Ok(Item::Nothing),
            "access" => Err(Refusal::Fields),
            _ => Err(Refusal::Malformed),
        },
        Err(_) => Err(Refusal::Malformed),
    }
}
