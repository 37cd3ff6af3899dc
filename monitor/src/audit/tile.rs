//! Where things are in a tiled log (C2SP tlog-tiles 0.1), and how entries lie in a bundle.

use super::tree::Hash;

/// Hashes of a full tile, and entries of a full bundle.
pub const WIDTH: u64 = 256;
/// Name of the checkpoint's file.
pub const CHECKPOINT: &str = "checkpoint";
/// Longest entry that a bundle can hold.
pub const MAX_ENTRY: usize = u16::MAX as usize;
/// Longest bundle: 256 of the longest entries.
pub const MAX_BUNDLE: u64 = WIDTH * (MAX_ENTRY as u64 + 2);
/// Bytes of a full tile.
pub const FULL_TILE: u64 = WIDTH * 32;

/// What a file of the log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// The entries themselves.
    Entries,
    /// Roots over 256^level entries each.
    Hashes(u32),
}

impl Level {
    /// How many of this level's items a log of `size` entries has.
    #[must_use]
    pub fn count(self, size: u64) -> u64 {
        match self {
            Self::Entries => size,
            Self::Hashes(level) => size.checked_shr(8 * level).unwrap_or(0),
        }
    }

    /// Longest file of it.
    #[must_use]
    pub fn longest(self) -> u64 {
        match self {
            Self::Entries => MAX_BUNDLE,
            Self::Hashes(_) => FULL_TILE,
        }
    }
}

/// One tile or bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    /// Of what.
    pub level: Level,
    /// Which, counted from 0.
    pub number: u64,
}

impl Tile {
    /// Its file when it is full, below the log's directory.
    #[must_use]
    pub fn path(self) -> String {
        let mut text = match self.level {
            Level::Entries => "tile/entries".to_owned(),
            Level::Hashes(level) => format!("tile/{level}"),
        };
        let digits = format!("{:03}", self.number);
        let padded = format!("{:0>width$}", digits, width = digits.len().div_ceil(3) * 3);
        let groups = padded.len() / 3;
        for at in 0..groups {
            text.push('/');
            if at + 1 < groups {
                text.push('x');
            }
            text.extend(padded.chars().skip(at * 3).take(3));
        }
        text
    }

    /// The directory of its partial forms.
    #[must_use]
    pub fn partials(self) -> String {
        self.path() + ".p"
    }

    /// Its file when it holds `width` items; without `.p` when that is all.
    #[must_use]
    pub fn path_of(self, width: u64) -> String {
        if width >= WIDTH {
            self.path()
        } else {
            format!("{}/{width}", self.partials())
        }
    }

    /// How many items it has in a log of `size` entries: 0 to 256.
    #[must_use]
    pub fn width(self, size: u64) -> u64 {
        self.level
            .count(size)
            .saturating_sub(self.number.saturating_mul(WIDTH))
            .min(WIDTH)
    }
}

/// Adds an entry to a bundle; whether it fits.
#[must_use]
pub fn add_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> bool {
    let Ok(length) = u16::try_from(entry.len()) else {
        return false;
    };
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    true
}

/// The entries of a bundle; an `Err` at its end when the bundle breaks off within one.
pub fn entries(bundle: &[u8]) -> impl Iterator<Item = Result<&[u8], BrokenOff>> {
    let mut rest = bundle;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = rest
            .split_first_chunk::<2>()
            .and_then(|(length, after)| after.split_at_checked(u16::from_be_bytes(*length).into()));
        match entry {
            Some((entry, after)) => {
                rest = after;
                Some(Ok(entry))
            }
            None => {
                rest = &[];
                Some(Err(BrokenOff))
            }
        }
    })
}

/// A bundle ends in the middle of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenOff;

/// The hashes of a tile; what is over at the end is none.
#[must_use]
pub fn hashes(bytes: &[u8]) -> Vec<Hash> {
    let (chunks, _) = bytes.as_chunks::<32>();
    chunks.iter().map(|chunk| Hash(*chunk)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may fail by panic")]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let path = |level, number, width| Tile { level, number }.path_of(width);
        assert_eq!(path(Level::Hashes(0), 0, 256), "tile/0/000");
        // The specification's own example of an index.
        assert_eq!(
            path(Level::Hashes(1), 1_234_067, 256),
            "tile/1/x001/x234/067"
        );
        assert_eq!(path(Level::Entries, 999, 5), "tile/entries/999.p/5");
        assert_eq!(path(Level::Entries, 1000, 256), "tile/entries/x001/000");
        assert_eq!(
            path(Level::Hashes(63), u64::MAX, 1),
            "tile/63/x018/x446/x744/x073/x709/x551/615.p/1"
        );
    }

    #[test]
    fn widths_are_those_of_the_specification() {
        let width = |level, number, size| Tile { level, number }.width(size);
        // "A tree of size 70,000 will be represented by 273 full level 0 tiles, one partial level 0 tile of width
        // 112, one full level 1 tile, one partial level 1 tile of width 17, and one partial level 2 tile of width 1."
        assert_eq!(width(Level::Hashes(0), 272, 70_000), 256);
        assert_eq!(width(Level::Hashes(0), 273, 70_000), 112);
        assert_eq!(width(Level::Hashes(0), 274, 70_000), 0);
        assert_eq!(width(Level::Hashes(1), 0, 70_000), 256);
        assert_eq!(width(Level::Hashes(1), 1, 70_000), 17);
        assert_eq!(width(Level::Hashes(2), 0, 70_000), 1);
        assert_eq!(width(Level::Hashes(3), 0, 70_000), 0);
        // "A tree of size 256 will be represented by a full level 0 tile and a partial level 1 tile of width 1."
        assert_eq!(width(Level::Hashes(0), 0, 256), 256);
        assert_eq!(width(Level::Hashes(1), 0, 256), 1);
        assert_eq!(width(Level::Hashes(8), 0, u64::MAX), 0);
    }

    #[test]
    fn bundles_are_read_as_written_and_broken_ones_end() {
        let mut bundle = Vec::new();
        for entry in [&b"one"[..], b"", &[7; MAX_ENTRY]] {
            assert!(add_entry(&mut bundle, entry));
        }
        assert!(!add_entry(&mut bundle, &[7; MAX_ENTRY + 1]));
        let all: Vec<_> = entries(&bundle).map(Result::unwrap).collect();
        assert_eq!(all, [&b"one"[..], b"", &[7; MAX_ENTRY]]);
        for cut in [1, 4, 6, bundle.len() - 1] {
            let cut: Vec<_> = entries(bundle.get(..cut).unwrap()).collect();
            assert_eq!(cut.last(), Some(&Err(BrokenOff)));
        }
    }
}
