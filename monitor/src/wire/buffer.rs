//! Bytes held across pieces. They may contain credentials, so they are wiped before they are freed.

use std::ops::Range;

use zeroize::Zeroize;

/// A bounded byte buffer that is zeroed when it grows out of its memory and when it is dropped.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
}

impl Buffer {
    /// Heap that a buffer which holds so many bytes takes.
    pub(super) fn sized(bytes: usize) -> usize {
        bytes.next_power_of_two().max(64)
    }

    /// Appends as much of `data` as keeps the buffer within `limit` bytes; returns how much that was.
    pub(super) fn push(&mut self, data: &[u8], limit: usize) -> usize {
        let room = limit.saturating_sub(self.bytes.len());
        let taken = data.get(..room).unwrap_or(data);
        let need = self.bytes.len().saturating_add(taken.len());
        if need > self.bytes.capacity() {
            let capacity = Self::sized(need).min(limit);
            let mut grown = Vec::with_capacity(capacity);
            grown.extend_from_slice(&self.bytes);
            self.bytes.zeroize();
            self.bytes = grown;
        }
        self.bytes.extend_from_slice(taken);
        taken.len()
    }

    /// Of the bytes behind `from` keeps only those in `part`, which is counted from there.
    pub(super) fn keep_part(&mut self, from: usize, part: Range<usize>) {
        let end = from.saturating_add(part.end).min(self.bytes.len());
        let begin = from.saturating_add(part.start).min(end);
        self.bytes.copy_within(begin..end, from.min(begin));
        self.bytes.truncate(from.saturating_add(end - begin));
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of heap.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}
