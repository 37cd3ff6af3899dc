//! That an entry is in the log, as a text that needs nothing else to be checked but the log's public key (C2SP
//! tlog-proof 1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::note::{Checkpoint, MAX_NOTE, NoteError, VerifierKey};
use super::tree::{Hash, MAX_PROOF, root_of_proof};

const FIRST: &str = "c2sp.org/tlog-proof@v1";
/// Longest proof read, in bytes.
pub const MAX_TEXT: usize = MAX_NOTE + 128 * 1024;

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not of a proof's form.
    #[error("it is no proof: {0}")]
    Form(&'static str),
    /// Its checkpoint.
    #[error("the proof's checkpoint: {0}")]
    Checkpoint(#[from] NoteError),
    /// The entry does not lead to the checkpoint's root.
    #[error(
        "the entry is not in the log: it and the hashes lead to another root than the signed one"
    )]
    NotInLog,
}

/// An entry that is proved to be in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// Which entry of the log.
    pub index: u64,
    /// The entry.
    pub entry: Vec<u8>,
    /// The log as it was then.
    pub checkpoint: Checkpoint,
}

/// Writes a proof. The entry goes along as extra data: it is what the proof is about, and is checked by it.
#[must_use]
pub fn write(index: u64, entry: &[u8], hashes: &[Hash], checkpoint: &str) -> String {
    let mut text = format!("{FIRST}\nextra {}\nindex {index}\n", STANDARD.encode(entry));
    for hash in hashes {
        text.push_str(&hash.to_string());
        text.push('\n');
    }
    text.push('\n');
    text.push_str(checkpoint);
    text
}

/// Checks a proof against a log's public key.
///
/// # Errors
/// Why it proves nothing.
pub fn check(text: &str, key: &VerifierKey) -> Result<Proved, ProofError> {
    if text.len() > MAX_TEXT {
        return Err(ProofError::Form("it is too long"));
    }
    let (head, note) = text
        .split_once("\n\n")
        .ok_or(ProofError::Form("it has no checkpoint"))?;
    let mut lines = head.split('\n');
    if lines.next() != Some(FIRST) {
        return Err(ProofError::Form("its first line is not that of one"));
    }
    let entry = lines
        .next()
        .and_then(|line| line.strip_prefix("extra "))
        .and_then(|extra| STANDARD.decode(extra).ok())
        .ok_or(ProofError::Form("it does not hold the entry"))?;
    let index = lines
        .next()
        .and_then(|line| line.strip_prefix("index "))
        .filter(|index| index.bytes().all(|b| b.is_ascii_digit()))
        .filter(|index| index.len() == 1 || !index.starts_with('0'))
        .and_then(|index| index.parse::<u64>().ok())
        .ok_or(ProofError::Form("it has no index"))?;
    let hashes = lines
        .map(Hash::parse)
        .take(MAX_PROOF + 1)
        .collect::<Option<Vec<_>>>()
        .ok_or(ProofError::Form("a line of it is no hash"))?;
    let checkpoint = Checkpoint::open(note, key)?;
    let root = root_of_proof(Hash::leaf(&entry), index, checkpoint.size, &hashes);
    if root == Some(checkpoint.root) {
        Ok(Proved {
            index,
            entry,
            checkpoint,
        })
    } else {
        Err(ProofError::NotInLog)
    }
}
