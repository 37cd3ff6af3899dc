//! Whether a log is what was signed: every entry, every tile, and what witnesses saw of it.

use super::disk::Files;
use super::note::{Checkpoint, MAX_NOTE, NoteError, VerifierKey};
use super::read::{Damage, Reader};
use super::tile::{CHECKPOINT, Level, Tile, WIDTH};
use super::tree::{Growing, Hash, over};

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    /// There is no checkpoint.
    #[error("there is no checkpoint: either this is no log, or its checkpoint was deleted")]
    NoCheckpoint,
    /// The checkpoint.
    #[error("the checkpoint: {0}")]
    Checkpoint(NoteError),
    /// A file.
    #[error("{0}: it was deleted or cut off, or cannot be read")]
    Damaged(#[from] Damage),
    /// An entry.
    #[error("entry {0} was changed: it does not hash to what the tree has in its place")]
    Entry(u64),
    /// A tile.
    #[error("{0} was changed: its hashes are not those of what is below it")]
    Tile(String),
    /// All of it fits together, and not with what was signed.
    #[error("the entries do not lead to the signed root: entries and tiles were replaced")]
    Root,
    /// A witness saw more.
    #[error(
        "the log was rolled back or cut off: it has {found} entries, and had {expected} when {witness} was signed"
    )]
    RolledBack {
        /// Entries now.
        found: u64,
        /// Entries then.
        expected: u64,
        /// Where that is from.
        witness: String,
    },
    /// A witness saw other entries.
    #[error("the log was rewritten: its first {size} entries are not those of {witness}")]
    Rewritten {
        /// Entries then.
        size: u64,
        /// Where that is from.
        witness: String,
    },
}

/// A checkpoint that someone kept.
#[derive(Clone, Debug)]
pub struct Witness {
    /// What it is called in messages.
    pub name: String,
    /// What it says.
    pub checkpoint: Checkpoint,
}

/// Reads the checkpoint of a log.
///
/// # Errors
/// There is none, or none that the key signed.
pub fn checkpoint(files: &impl Files, key: &VerifierKey) -> Result<(Checkpoint, String), Finding> {
    let bytes = files
        .read(CHECKPOINT, MAX_NOTE as u64)
        .map_err(|error| Damage::Unreadable {
            path: CHECKPOINT.to_owned(),
            error,
        })?
        .ok_or(Finding::NoCheckpoint)?;
    let note = String::from_utf8(bytes)
        .map_err(|_| Finding::Checkpoint(NoteError::Form("it is not UTF-8")))?;
    let checkpoint = Checkpoint::open(&note, key).map_err(Finding::Checkpoint)?;
    Ok((checkpoint, note))
}

/// Checks a whole log against the key and what witnesses saw. `each` is told every entry, after its hash was
/// found to be the tree's.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(
    files: &impl Files,
    key: &VerifierKey,
    witnesses: &[Witness],
    mut each: impl FnMut(u64, &[u8]),
) -> Result<Checkpoint, Finding> {
    let (checkpoint, _) = checkpoint(files, key)?;
    for Witness {
        name,
        checkpoint: seen,
    } in witnesses
    {
        if seen.size > checkpoint.size {
            return Err(Finding::RolledBack {
                found: checkpoint.size,
                expected: seen.size,
                witness: name.clone(),
            });
        }
    }
    let reader = Reader::new(files, checkpoint.size);
    let mut tree = Growing::default();
    witnessed(&tree, witnesses)?;
    let mut roots = Vec::new();
    for number in 0..checkpoint.size.div_ceil(WIDTH) {
        let level = Level::Hashes(0);
        let hashes = reader.tile(Tile { level, number })?;
        let bundle = reader.bundle(number)?;
        for (entry, hash) in bundle.iter().zip(&hashes) {
            let leaf = Hash::leaf(entry);
            if leaf != *hash {
                return Err(Finding::Entry(tree.size()));
            }
            each(tree.size(), entry);
            tree.push(leaf);
            witnessed(&tree, witnesses)?;
        }
        if hashes.len() as u64 == WIDTH {
            fold(&reader, &mut roots, over(&hashes))?;
        }
    }
    partial(&reader, &roots)?;
    if tree.root() == checkpoint.root {
        Ok(checkpoint)
    } else {
        Err(Finding::Root)
    }
}

/// Compares the tree so far with whoever saw it at this size.
fn witnessed(tree: &Growing, witnesses: &[Witness]) -> Result<(), Finding> {
    let fitting = witnesses
        .iter()
        .find(|seen| seen.checkpoint.size == tree.size() && seen.checkpoint.root != tree.root());
    match fitting {
        Some(seen) => Err(Finding::Rewritten {
            size: tree.size(),
            witness: seen.name.clone(),
        }),
        None => Ok(()),
    }
}

/// The roots of full tiles that are in no full tile of the level above yet, by level, with the tiles counted.
type Roots = Vec<(u64, Vec<Hash>)>;

/// Puts the root of a full tile into the level above, and compares each tile that is full then.
fn fold<F: Files>(reader: &Reader<F>, roots: &mut Roots, root: Hash) -> Result<(), Finding> {
    let mut root = root;
    for level in 1.. {
        let at = usize::try_from(level - 1).unwrap_or(usize::MAX);
        if roots.len() <= at {
            roots.push((0, Vec::new()));
        }
        let Some((number, hashes)) = roots.get_mut(at) else {
            return Ok(());
        };
        hashes.push(root);
        if (hashes.len() as u64) < WIDTH {
            return Ok(());
        }
        let tile = Tile {
            level: Level::Hashes(level),
            number: *number,
        };
        if reader.tile(tile)? != *hashes {
            return Err(Finding::Tile(tile.path()));
        }
        root = over(hashes);
        *number += 1;
        hashes.clear();
    }
    Ok(())
}

/// Compares the partial tiles of the levels above the first.
fn partial<F: Files>(reader: &Reader<F>, roots: &Roots) -> Result<(), Finding> {
    for (level, (number, hashes)) in (1..).zip(roots) {
        let tile = Tile {
            level: Level::Hashes(level),
            number: *number,
        };
        if !hashes.is_empty() && reader.tile(tile)? != *hashes {
            return Err(Finding::Tile(tile.path_of(hashes.len() as u64)));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
