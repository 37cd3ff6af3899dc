//! Tiles and entries of a log as its checkpoint promises them.

use std::collections::HashMap;
use std::io;

use super::disk::Files;
use super::tile::{Level, Tile, WIDTH, entries, hashes};
use super::tree::{Hash, Nodes, over};

/// Tiles remembered.
const REMEMBERED: usize = 64;

/// What is wrong with a file of the log.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It is not there, though the checkpoint counts on it.
    #[error("{0} is missing")]
    Missing(String),
    /// It is shorter than the checkpoint says.
    #[error("{path} holds {found} of {expected} items")]
    Short {
        /// File.
        path: String,
        /// Items in it.
        found: u64,
        /// Items there must be.
        expected: u64,
    },
    /// It cannot be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// File.
        path: String,
        /// Cause.
        error: io::Error,
    },
}

/// Reads a log of a certain size.
#[derive(Debug)]
pub struct Reader<F> {
    files: F,
    size: u64,
    tiles: HashMap<Tile, Vec<Hash>>,
}

impl<F: Files> Reader<F> {
    /// Of the first `size` entries.
    pub fn new(files: F, size: u64) -> Self {
        Self {
            files,
            size,
            tiles: HashMap::new(),
        }
    }

    /// Entries it reads of.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes of a tile or bundle, with the file they are in. A full file serves for a partial one, which
    /// is removed once there is the full one.
    fn bytes(&self, tile: Tile) -> Result<(String, Vec<u8>), Damage> {
        let width = tile.width(self.size);
        let exact = tile.path_of(width);
        for path in [exact.clone(), tile.path()] {
            match self.files.read(&path, tile.level.longest()) {
                Ok(Some(bytes)) => return Ok((path, bytes)),
                Ok(None) => {}
                Err(error) => return Err(Damage::Unreadable { path, error }),
            }
        }
        Err(Damage::Missing(exact))
    }

    /// The hashes of a tile.
    ///
    /// # Errors
    /// What is wrong with its file.
    pub fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Damage> {
        let (path, bytes) = self.bytes(tile)?;
        let mut hashes = hashes(&bytes);
        let (found, expected) = (hashes.len() as u64, tile.width(self.size));
        if found < expected {
            return Err(Damage::Short {
                path,
                found,
                expected,
            });
        }
        hashes.truncate(usize::try_from(expected).unwrap_or(0));
        Ok(hashes)
    }

    /// The entries of a bundle.
    ///
    /// # Errors
    /// What is wrong with its file.
    pub fn bundle(&self, number: u64) -> Result<Vec<Vec<u8>>, Damage> {
        let tile = Tile {
            level: Level::Entries,
            number,
        };
        let (path, bytes) = self.bytes(tile)?;
        let expected = tile.width(self.size);
        let found = entries(&bytes)
            .take(usize::try_from(expected).unwrap_or(0))
            .map_while(Result::ok)
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>();
        if (found.len() as u64) < expected {
            return Err(Damage::Short {
                path,
                found: found.len() as u64,
                expected,
            });
        }
        Ok(found)
    }

    /// One entry; `None` when the log has not so many.
    ///
    /// # Errors
    /// What is wrong with its file.
    pub fn entry(&self, index: u64) -> Result<Option<Vec<u8>>, Damage> {
        if index >= self.size {
            return Ok(None);
        }
        let bundle = self.bundle(index / WIDTH)?;
        let at = usize::try_from(index % WIDTH).unwrap_or(usize::MAX);
        Ok(bundle.into_iter().nth(at))
    }
}

impl<F: Files> Nodes for Reader<F> {
    type Error = Damage;

    fn node(&mut self, height: u32, number: u64) -> Result<Hash, Damage> {
        let (level, above) = (height / 8, height % 8);
        let first = number << above;
        let tile = Tile {
            level: Level::Hashes(level),
            number: first / WIDTH,
        };
        if !self.tiles.contains_key(&tile) {
            if self.tiles.len() >= REMEMBERED {
                self.tiles.clear();
            }
            let hashes = self.tile(tile)?;
            self.tiles.insert(tile, hashes);
        }
        let at = usize::try_from(first % WIDTH).unwrap_or(usize::MAX);
        let part = self
            .tiles
            .get(&tile)
            .and_then(|hashes| hashes.get(at..at.checked_add(1 << above)?));
        part.map(over)
            .ok_or_else(|| Damage::Missing(tile.path_of(tile.width(self.size))))
    }
}
