//! Merkle tree hashes and inclusion proofs (RFC 6962 §2.1), over SHA-256.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// Most hashes of an inclusion proof: a tree's height.
pub const MAX_PROOF: usize = 64;

/// A SHA-256 hash: of an entry, of an inner node, or the root of a tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Root of the tree without entries.
    #[must_use]
    pub fn empty() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// Of an entry.
    #[must_use]
    pub fn leaf(entry: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update([0]);
        hasher.update(entry);
        Self(hasher.finalize().into())
    }

    /// Of two trees side by side.
    #[must_use]
    pub fn node(left: Self, right: Self) -> Self {
        let mut hasher = Sha256::new();
        hasher.update([1]);
        hasher.update(left.0);
        hasher.update(right.0);
        Self(hasher.finalize().into())
    }

    /// From base64; `None` for anything else than 32 bytes of it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }
}

/// In base64, as checkpoints and proofs have it.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The perfect subtrees that a range of entries consists of, from left to right: height and number within
/// that height. `low` must be a multiple of the largest of them.
fn perfect(low: u64, high: u64) -> impl Iterator<Item = (u32, u64)> {
    let mut at = low;
    std::iter::from_fn(move || {
        let height = high.saturating_sub(at).checked_ilog2()?;
        let part = (height, at >> height);
        at += 1 << height;
        Some(part)
    })
}

/// The root over perfect subtrees, given from left to right.
fn fold(parts: impl DoubleEndedIterator<Item = Hash>) -> Hash {
    parts
        .rev()
        .reduce(|right, left| Hash::node(left, right))
        .unwrap_or_else(Hash::empty)
}

/// Where the hashes of perfect subtrees come from: `node(h, n)` is the root over entries `n << h` to
/// `(n + 1) << h`.
pub trait Nodes {
    /// Why a hash could not be had.
    type Error;

    /// One hash.
    ///
    /// # Errors
    /// It is not there.
    fn node(&mut self, height: u32, number: u64) -> Result<Hash, Self::Error>;
}

/// Root over the entries `low` to `high`.
fn range<N: Nodes>(nodes: &mut N, low: u64, high: u64) -> Result<Hash, N::Error> {
    let parts = perfect(low, high)
        .map(|(height, number)| nodes.node(height, number))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(fold(parts.into_iter()))
}

/// Root of the tree of the first `size` entries.
///
/// # Errors
/// A hash is not there.
pub fn root<N: Nodes>(nodes: &mut N, size: u64) -> Result<Hash, N::Error> {
    range(nodes, 0, size)
}

/// `PATH(index, D[size])`: from the entry's sibling up to the root's child. Empty when the entry is not in
/// the tree.
///
/// # Errors
/// A hash is not there.
pub fn prove<N: Nodes>(nodes: &mut N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let mut proof = Vec::new();
    let (mut low, mut high) = (0, size);
    if index >= size {
        return Ok(proof);
    }
    while high - low > 1 {
        // The largest power of two below the number of entries.
        let middle = low + (1 << (high - low - 1).ilog2());
        if index < middle {
            proof.push(range(nodes, middle, high)?);
            high = middle;
        } else {
            proof.push(range(nodes, low, middle)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The root that a proof leads to, from the entry `leaf` at `index` of `size` entries; `None` when the
/// proof has not the length that this place has.
#[must_use]
pub fn root_of_proof(leaf: Hash, index: u64, size: u64, proof: &[Hash]) -> Option<Hash> {
    if index >= size || proof.len() > MAX_PROOF {
        return None;
    }
    let mut turns = Vec::new();
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + (1 << (high - low - 1).ilog2());
        let left = index < middle;
        turns.push(left);
        if left {
            high = middle;
        } else {
            low = middle;
        }
    }
    if turns.len() != proof.len() {
        return None;
    }
    let steps = turns.iter().rev().zip(proof);
    Some(steps.fold(leaf, |hash, (&left, &other)| {
        if left {
            Hash::node(hash, other)
        } else {
            Hash::node(other, hash)
        }
    }))
}

/// A tree that entries are only added to: what is needed to tell its root at any moment.
#[derive(Clone, Debug, Default)]
pub struct Growing {
    size: u64,
    /// Roots of its perfect subtrees, from left to right.
    parts: Vec<Hash>,
}

impl Growing {
    /// Adds an entry.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each trailing one of the size is a subtree that now has its right half.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.parts.pop() {
                hash = Hash::node(left, hash);
            }
        }
        self.parts.push(hash);
        self.size += 1;
    }

    /// Entries so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root now.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(self.parts.iter().copied())
    }
}

/// Root over the hashes of a full tile, or of any other number that is a power of two.
#[must_use]
pub fn over(hashes: &[Hash]) -> Hash {
    let mut tree = Growing::default();
    for hash in hashes {
        tree.push(*hash);
    }
    tree.root()
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
