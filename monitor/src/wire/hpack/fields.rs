//! The fields of one header block.

use std::fmt;

use zeroize::Zeroize;

/// Most fields of one block that are kept.
pub const MAX_FIELDS: usize = 256;
/// Most bytes of names and values of one block that are kept.
pub const MAX_OUTPUT: usize = 64 * 1024;
/// Room that is kept from block to block, in bytes, for texts and for spans each.
const SPARE: usize = 2048;

/// Where a field lies: its name begins, its value begins, it ends.
#[derive(Clone, Copy)]
struct Span {
    name: usize,
    value: usize,
    end: usize,
}

/// Names and values, decoded. To be used again and again: its memory is reused, and wiped in between.
#[derive(Default)]
pub struct Fields {
    bytes: Vec<u8>,
    /// How far `bytes` was ever filled since it was wiped.
    filled: usize,
    spans: Vec<Span>,
    unknown: u16,
    overfull: bool,
}

impl fmt::Debug for Fields {
    /// Without contents: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields")
            .field("fields", &self.spans.len())
            .field("unknown", &self.unknown)
            .field("overfull", &self.overfull)
            .finish_non_exhaustive()
    }
}

impl Fields {
    /// Names and values in order. Those that are not known are left out.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans.iter().map(|span| {
            (
                self.bytes.get(span.name..span.value).unwrap_or_default(),
                self.bytes.get(span.value..span.end).unwrap_or_default(),
            )
        })
    }

    /// Fields of which the name, or name and value, could not be known.
    #[must_use]
    pub fn unknown_fields(&self) -> u16 {
        self.unknown
    }

    /// Fields were left out because there were more than [`MAX_FIELDS`], or [`MAX_OUTPUT`] bytes.
    #[must_use]
    pub fn overfull(&self) -> bool {
        self.overfull
    }

    /// Bytes of heap.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * size_of::<Span>()
    }

    /// Wipes everything, and frees what an ordinary block does not need.
    pub fn clear(&mut self) {
        // No more than was used: wiping costs as much as decoding.
        self.mark();
        self.bytes.resize(self.filled, 0);
        self.bytes.as_mut_slice().zeroize();
        self.bytes.clear();
        self.filled = 0;
        if self.bytes.capacity() > SPARE {
            self.bytes = Vec::new();
        }
        if self.spans.capacity() > SPARE / size_of::<Span>() {
            self.spans = Vec::new();
        }
        self.spans.clear();
        (self.unknown, self.overfull) = (0, false);
    }

    /// Where what comes next begins.
    pub(super) fn begin(&self) -> usize {
        self.bytes.len()
    }

    /// What was appended since `begin`.
    pub(super) fn since(&self, begin: usize) -> &[u8] {
        self.bytes.get(begin..).unwrap_or_default()
    }

    /// Takes back what was appended since `begin`.
    pub(super) fn undo(&mut self, begin: usize) {
        self.mark();
        self.bytes.truncate(begin);
    }

    fn mark(&mut self) {
        self.filled = self.filled.max(self.bytes.len());
    }

    /// Makes room for so many bytes.
    pub(super) fn room(&mut self, more: usize) -> &mut Vec<u8> {
        let need = self.bytes.len() + more;
        if need > self.bytes.capacity() {
            // By hand, so that no copy is left behind.
            let mut grown = Vec::with_capacity(need.next_power_of_two().max(512));
            grown.extend_from_slice(&self.bytes);
            self.bytes.zeroize();
            self.bytes = grown;
            self.filled = 0;
        }
        &mut self.bytes
    }

    pub(super) fn put(&mut self, text: &[u8]) {
        self.room(text.len()).extend_from_slice(text);
    }

    /// What was appended since `begin` is a field; its name has `name` bytes.
    pub(super) fn keep(&mut self, begin: usize, name: usize) {
        let end = self.bytes.len();
        if self.spans.len() >= MAX_FIELDS || end > MAX_OUTPUT {
            self.overfull = true;
            return self.undo(begin);
        }
        self.spans.push(Span {
            name: begin,
            value: begin + name,
            end,
        });
    }

    /// Appends a field.
    pub(super) fn push(&mut self, name: &[u8], value: &[u8]) {
        let begin = self.begin();
        if self.spans.len() >= MAX_FIELDS || begin + name.len() + value.len() > MAX_OUTPUT {
            self.overfull = true;
            return;
        }
        self.room(name.len() + value.len());
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.keep(begin, name.len());
    }

    /// Bytes that are to be wiped.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.filled.max(self.bytes.len())
    }

    /// Counts a field that is not known.
    pub(super) fn unknown(&mut self) {
        self.unknown = self.unknown.saturating_add(1);
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}
