//! Adds entries to a log, and signs what it has.
//!
//! A commit writes bundles and tiles, waits until they are on the disk, and only then puts the new checkpoint in the
//! place of the old one by renaming it: whatever moment the process or the machine ends at, the checkpoint that is found
//! speaks of files that are there. Files beyond it are written anew by the next commit.

use super::disk::Disk;
use super::note::{Checkpoint, NoteError, SigningKey};
use super::read::{Damage, Reader};
use super::tile::{CHECKPOINT, Level, MAX_ENTRY, Tile, WIDTH, add_entry};
use super::tree::{self, Hash, over};

/// Why a log cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Its checkpoint.
    #[error("its checkpoint: {0}")]
    Checkpoint(NoteError),
    /// A file.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The tiles lead to another root than the checkpoint's, or entries are not those of the tiles.
    #[error("its {0} are not what its checkpoint speaks of")]
    Changed(&'static str),
    /// An earlier state was put in its place.
    #[error("it has {found} entries and had {expected}: an earlier state was put in its place")]
    RolledBack {
        /// Entries.
        found: u64,
        /// Entries that it had.
        expected: u64,
    },
    /// Entries that were signed are others now.
    #[error("its first {0} entries are not those that it had")]
    Rewritten(u64),
}

/// A log that cannot be gone on with, and what it was to be written by.
#[derive(Debug)]
pub struct Refused<D> {
    /// Its files.
    pub disk: D,
    /// The key.
    pub key: SigningKey,
    /// Why.
    pub error: Unusable,
}

/// The right edge of the tree: of each level the hashes that fill no tile yet, and the entries that fill no
/// bundle.
#[derive(Clone, Debug, Default)]
struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
    bundle: Vec<u8>,
}

impl Edge {
    fn root(&self) -> Hash {
        let mut parts = Vec::new();
        for hashes in self.levels.iter().rev() {
            let mut rest = hashes.as_slice();
            while let Some(height) = rest.len().checked_ilog2() {
                let (part, after) = rest.split_at(1 << height);
                parts.push(over(part));
                rest = after;
            }
        }
        parts
            .into_iter()
            .rev()
            .reduce(|right, left| Hash::node(left, right))
            .unwrap_or_else(Hash::empty)
    }

    /// Adds an entry; tiles that it fills go to `full`.
    fn push(&mut self, entry: &[u8], full: &mut Vec<(Tile, Vec<u8>)>) {
        // Longer ones are refused by `Writer::push`.
        if !add_entry(&mut self.bundle, entry) {
            return;
        }
        self.size += 1;
        if self.size.is_multiple_of(WIDTH) {
            let number = self.size / WIDTH - 1;
            let level = Level::Entries;
            full.push((Tile { level, number }, std::mem::take(&mut self.bundle)));
        }
        let mut hash = Hash::leaf(entry);
        for level in 0.. {
            let at = usize::try_from(level).unwrap_or(usize::MAX);
            if self.levels.len() <= at {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(at) else {
                return;
            };
            hashes.push(hash);
            if (hashes.len() as u64) < WIDTH {
                return;
            }
            hash = over(hashes);
            let level = Level::Hashes(level);
            let number = level.count(self.size) / WIDTH - 1;
            full.push((Tile { level, number }, bytes_of(&std::mem::take(hashes))));
        }
    }

    /// The partial tiles and the partial bundle.
    fn partial(&self) -> impl Iterator<Item = (Tile, Vec<u8>)> {
        let at = |level: Level| Tile {
            level,
            number: level.count(self.size) / WIDTH,
        };
        let levels = (0..)
            .zip(&self.levels)
            .map(move |(level, hashes)| (at(Level::Hashes(level)), bytes_of(hashes)));
        std::iter::once((at(Level::Entries), self.bundle.clone()))
            .chain(levels)
            .filter(|(_, bytes)| !bytes.is_empty())
    }
}

fn bytes_of(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// A log that entries are added to.
#[derive(Debug)]
pub struct Writer<D> {
    disk: D,
    key: SigningKey,
    edge: Edge,
    /// Entries of the next commit, in an order that is never changed: a commit that failed may have signed
    /// them all the same.
    pending: Vec<Vec<u8>>,
    checkpoint: String,
}

impl<D: Disk> Writer<D> {
    /// Goes on with the log in the directory, or begins one there. `known` is what it is known to have had.
    ///
    /// # Errors
    /// What is there is not the log that this key signed, whole and at least as long as it was; the disk is
    /// given back.
    pub fn open(
        disk: D,
        key: SigningKey,
        known: Option<&Checkpoint>,
    ) -> Result<Self, Box<Refused<D>>> {
        match resume(&disk, &key, known) {
            Ok((edge, checkpoint)) => Ok(Self {
                disk,
                key,
                edge,
                pending: Vec::new(),
                checkpoint,
            }),
            Err(error) => Err(Box::new(Refused { disk, key, error })),
        }
    }

    /// Entries that were committed.
    pub fn size(&self) -> u64 {
        self.edge.size
    }

    /// The newest checkpoint; empty while there is none.
    pub fn checkpoint(&self) -> &str {
        &self.checkpoint
    }

    /// What its signatures are checked with.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Where it is written.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// The same, to be written to.
    pub fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }

    /// Entries that wait for a commit, and their bytes.
    pub fn pending(&self) -> (usize, usize) {
        let bytes = self.pending.iter().map(Vec::len).sum();
        (self.pending.len(), bytes)
    }

    /// Adds an entry to the next commit; `false` when it is too long for a bundle.
    #[must_use]
    pub fn push(&mut self, entry: Vec<u8>) -> bool {
        let fits = entry.len() <= MAX_ENTRY;
        if fits {
            self.pending.push(entry);
        }
        fits
    }

    /// Writes and signs what is pending. Does nothing when nothing is, and there is a checkpoint.
    ///
    /// # Errors
    /// It is not certain to be on the disk; it stays pending, to be tried again.
    pub fn commit(&mut self) -> std::io::Result<()> {
        if self.pending.is_empty() && !self.checkpoint.is_empty() {
            return Ok(());
        }
        let mut edge = self.edge.clone();
        let mut full = Vec::new();
        for entry in &self.pending {
            edge.push(entry, &mut full);
        }
        for (tile, bytes) in &full {
            self.disk.write(&tile.path(), bytes)?;
        }
        for (tile, bytes) in edge.partial() {
            let width = tile.width(edge.size);
            // Of the higher levels, most were written by an earlier commit.
            if tile.width(self.edge.size) != width {
                self.disk.write(&tile.path_of(width), &bytes)?;
            }
        }
        self.disk.sync()?;
        let checkpoint = Checkpoint {
            origin: self.key.public().name().to_owned(),
            size: edge.size,
            root: edge.root(),
        }
        .sign(&self.key);
        self.disk.write(CHECKPOINT, checkpoint.as_bytes())?;
        self.disk.sync()?;
        self.edge = edge;
        self.pending.clear();
        self.checkpoint = checkpoint;
        for (tile, _) in full {
            // Left behind they do no harm.
            let _ = self.disk.remove(&tile.partials());
        }
        Ok(())
    }
}

fn resume<D: Disk>(
    disk: &D,
    key: &SigningKey,
    known: Option<&Checkpoint>,
) -> Result<(Edge, String), Unusable> {
    let note = disk
        .read(CHECKPOINT, super::note::MAX_NOTE as u64)
        .map_err(|error| Damage::Unreadable {
            path: CHECKPOINT.to_owned(),
            error,
        })?;
    let Some(note) = note else {
        return match known {
            Some(known) if known.size > 0 => Err(Damage::Missing(CHECKPOINT.to_owned()).into()),
            _ => Ok((Edge::default(), String::new())),
        };
    };
    let note = String::from_utf8(note)
        .map_err(|_| Unusable::Checkpoint(NoteError::Form("it is not UTF-8")))?;
    let checkpoint = Checkpoint::open(&note, key.public()).map_err(Unusable::Checkpoint)?;
    let mut reader = Reader::new(disk, checkpoint.size);
    let edge = edge(&reader)?;
    if edge.root() != checkpoint.root {
        return Err(Unusable::Changed("tiles"));
    }
    let leaves = edge.levels.first().map(Vec::as_slice).unwrap_or_default();
    let entries = super::tile::entries(&edge.bundle).map(|entry| entry.ok().map(Hash::leaf));
    if !entries.eq(leaves.iter().copied().map(Some)) {
        return Err(Unusable::Changed("entries"));
    }
    if let Some(known) = known {
        if known.size > checkpoint.size {
            return Err(Unusable::RolledBack {
                found: checkpoint.size,
                expected: known.size,
            });
        }
        if tree::root(&mut reader, known.size)? != known.root {
            return Err(Unusable::Rewritten(known.size));
        }
    }
    Ok((edge, note))
}

fn edge<D: Disk>(reader: &Reader<&D>) -> Result<Edge, Damage> {
    let mut edge = Edge {
        size: reader.size(),
        ..Edge::default()
    };
    for level in 0.. {
        let level = Level::Hashes(level);
        let count = level.count(edge.size);
        if count == 0 {
            break;
        }
        let number = count / WIDTH;
        let partial = !count.is_multiple_of(WIDTH);
        edge.levels.push(if partial {
            reader.tile(Tile { level, number })?
        } else {
            Vec::new()
        });
    }
    if !edge.size.is_multiple_of(WIDTH) {
        for entry in reader.bundle(edge.size / WIDTH)? {
            let _ = add_entry(&mut edge.bundle, &entry);
        }
    }
    Ok(edge)
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
