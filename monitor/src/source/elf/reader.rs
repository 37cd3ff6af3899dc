//! Bounded reading at offsets.

use std::io;
use std::ops::ControlFlow;

use super::prologue::MOST_BYTES;
use super::{ElfError, Symbol};

/// Bytes that can be read at an offset.
pub trait ReadAt {
    /// How many there are.
    fn size(&self) -> u64;
    /// Reads from `offset` on; fewer bytes than asked for mean the end.
    ///
    /// # Errors
    /// What the file system says.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
}

impl ReadAt for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.get(start..).unwrap_or_default();
        let n = rest.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.as_slice().read_at(offset, into)
    }
}

/// A second window over a table of pairs, for walks of two tables side by side. It spends the budget
/// of the reader that it is used with.
pub(super) struct Pairs {
    at: u64,
    window: Vec<u8>,
}

impl Pairs {
    /// The two numbers at `offset`.
    pub(super) fn pair(
        &mut self,
        reader: &mut Reader<'_>,
        offset: u64,
    ) -> Result<(u32, u32), ElfError> {
        let known = |s: &Self| -> Option<(u32, u32)> {
            let start = usize::try_from(offset.checked_sub(s.at)?).ok()?;
            let (a, rest) = s.window.get(start..)?.split_first_chunk::<4>()?;
            let b = rest.first_chunk::<4>()?;
            Some((u32::from_le_bytes(*a), u32::from_le_bytes(*b)))
        };
        if let Some(pair) = known(self) {
            return Ok(pair);
        }
        reader.lend(&mut self.at, &mut self.window, offset)?;
        known(self).ok_or(ElfError::Malformed("cut short"))
    }
}

/// Bytes read at a time while jumping about.
const SMALL: usize = 4096;
/// Bytes read at a time while going through a table.
const LARGE: usize = 64 * 1024;

/// A window that is moved over a file, and a budget for all of its moves.
pub struct Reader<'a> {
    file: &'a dyn ReadAt,
    size: u64,
    window: Vec<u8>,
    at: u64,
    limit: u64,
    read: u64,
    stride: usize,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("size", &self.size)
            .field("read", &self.read)
            .finish_non_exhaustive()
    }
}

impl<'a> Reader<'a> {
    /// A reader that reads at most `limit` bytes in all.
    #[must_use]
    pub fn new(file: &'a dyn ReadAt, limit: u64) -> Self {
        Self {
            size: file.size(),
            file,
            window: Vec::new(),
            at: 0,
            limit,
            read: 0,
            stride: SMALL,
        }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.read
    }

    /// Size of the file in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What follows walks a table from front to back: read more at a time.
    pub(super) fn walk<T>(&mut self, of: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.stride, LARGE);
        let result = of(self);
        self.stride = before;
        result
    }

    /// A second window, empty.
    pub(super) fn again(&self) -> Pairs {
        Pairs {
            at: 0,
            window: Vec::new(),
        }
    }

    /// Fills another window at `offset`.
    fn lend(&mut self, at: &mut u64, window: &mut Vec<u8>, offset: u64) -> Result<(), ElfError> {
        let there = self.size.saturating_sub(offset).min(LARGE as u64);
        std::mem::swap(&mut self.window, window);
        let before = std::mem::replace(&mut self.at, offset);
        let filled = self.fill(offset, usize::try_from(there).unwrap_or(0));
        std::mem::swap(&mut self.window, window);
        (*at, self.at) = (self.at, before);
        filled
    }

    /// `len` bytes at `offset`; `len` is at most 4096.
    pub(super) fn bytes(&mut self, offset: u64, len: usize) -> Result<&[u8], ElfError> {
        const CUT: ElfError = ElfError::Malformed("cut short");
        let len = len.min(SMALL);
        let end = offset.checked_add(len as u64).ok_or(CUT)?;
        if end > self.size {
            return Err(CUT);
        }
        if offset < self.at || end > self.at + self.window.len() as u64 {
            self.fill(offset, self.stride)?;
        }
        let start = usize::try_from(offset - self.at).map_err(|_| CUT)?;
        self.window.get(start..start.saturating_add(len)).ok_or(CUT)
    }

    /// As many bytes as there are at `offset`, at most `len` (≤ 4096).
    pub(super) fn up_to(&mut self, offset: u64, len: usize) -> Result<&[u8], ElfError> {
        let there = self.size.saturating_sub(offset).min(len as u64);
        self.bytes(offset, usize::try_from(there).unwrap_or(0))
    }

    /// The first bytes of a function, at most 64.
    ///
    /// # Errors
    /// Reading failed.
    pub fn code(&mut self, function: Symbol) -> Result<&[u8], ElfError> {
        let len = function.size.min(MOST_BYTES as u64);
        self.up_to(function.offset, usize::try_from(len).unwrap_or(0))
    }

    pub(super) fn u16(&mut self, offset: u64) -> Result<u16, ElfError> {
        Ok(u16::from_le_bytes(self.array(offset)?))
    }

    pub(super) fn u32(&mut self, offset: u64) -> Result<u32, ElfError> {
        Ok(u32::from_le_bytes(self.array(offset)?))
    }

    pub(super) fn u64(&mut self, offset: u64) -> Result<u64, ElfError> {
        Ok(u64::from_le_bytes(self.array(offset)?))
    }

    pub(super) fn array<const N: usize>(&mut self, offset: u64) -> Result<[u8; N], ElfError> {
        self.bytes(offset, N)?
            .try_into()
            .map_err(|_| ElfError::Malformed("cut short"))
    }

    /// Goes through `len` bytes from `offset` in windows of 64 KiB, each beginning `overlap` bytes
    /// (< 4096) before the last one ended; `look` gets the window's offset and its bytes.
    pub(super) fn scan(
        &mut self,
        offset: u64,
        len: u64,
        overlap: usize,
        mut look: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ElfError> {
        let end = offset.saturating_add(len).min(self.size);
        let overlap = overlap.min(SMALL);
        let mut at = offset;
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(LARGE).min(LARGE);
            self.fill(at, want)?;
            let seen = self.window.get(..want).unwrap_or(&self.window);
            if seen.is_empty() || look(at, seen).is_break() {
                break;
            }
            let got = seen.len() as u64;
            if at + got >= end {
                break;
            }
            // Progress even when a read comes back shorter than the overlap.
            at += got.saturating_sub(overlap as u64).max(1);
            if got <= overlap as u64 {
                return Err(ElfError::Malformed("cut short"));
            }
        }
        Ok(())
    }

    /// Moves the window to `offset`.
    fn fill(&mut self, offset: u64, len: usize) -> Result<(), ElfError> {
        let left = self.limit - self.read;
        if left < len as u64 {
            return Err(ElfError::TooMuch(self.limit));
        }
        self.at = offset;
        self.window.resize(len, 0);
        let mut got = 0;
        while let Some(rest) = self.window.get_mut(got..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(offset + got as u64, rest) {
                Ok(0) => break,
                Ok(n) => got += n.min(rest.len()),
                Err(error) => {
                    self.window.clear();
                    return Err(ElfError::Io(error.kind()));
                }
            }
        }
        self.window.truncate(got);
        self.read += got as u64;
        Ok(())
    }
}
