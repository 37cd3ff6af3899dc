//! Header compression of HTTP/2 (RFC 7541), decoding only, with hard bounds.
//!
//! A decoder that has followed its direction from the beginning knows what every index stands for. One
//! that joined midway, or missed a header block, knows what was inserted since: an index that reaches
//! beyond gives a field that is *unknown*, never a guess. For that nothing need be known of the table's
//! size: a sender refers only to entries that are still there, and those are counted from the newest.

mod fields;
mod huffman;
mod integer;
mod table;
#[cfg(test)]
pub(in crate::wire) mod tests;

use std::fmt;

pub use fields::{Fields, MAX_FIELDS, MAX_OUTPUT};
use table::{Lookup, Table};

/// Most bytes that are copied for one block. A block of 16 KiB can stand for thousands of times as many;
/// [`MAX_OUTPUT`] bounds what is kept of it, this what is done for it.
const MAX_WORK: usize = 1 << 20;

/// Why a block cannot be decoded. The receiver closes the connection then (RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It ends within a field.
    Truncated,
    /// An integer is too large, or written with too many bytes.
    Integer,
    /// An index that stands for nothing.
    Index,
    /// A string that is not in the Huffman code, or padded wrongly.
    Huffman,
    /// The table's size changes behind a field (RFC 7541 §4.2).
    Resize,
    /// It stands for more than is decoded for anyone.
    Bomb,
}

/// Decodes the header blocks of one direction of one connection, in their order.
pub struct Decoder {
    table: Table,
}

impl fmt::Debug for Decoder {
    /// Without contents: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("memory", &self.memory())
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder at the beginning of a connection. It keeps the newest entries of the dynamic table, at
    /// most `cap` bytes as RFC 7541 §4.1 counts them: what a sender with a larger table refers to beyond
    /// is unknown.
    #[must_use]
    pub fn new(cap: usize) -> Self {
        Self {
            table: Table::new(cap, true),
        }
    }

    /// A decoder for a connection that was joined later.
    #[must_use]
    pub fn midway(cap: usize) -> Self {
        Self {
            table: Table::new(cap, false),
        }
    }

    /// Takes note that a block was missed: all that is in the table is unknown from now on.
    pub fn lose(&mut self) {
        self.table.lose();
    }

    /// Decodes a block; `out` has what stood in front of an error, too. After an error, of which kind
    /// soever, the table is lost.
    ///
    /// # Errors
    ///
    /// What is wrong with the block.
    pub fn decode(&mut self, block: &[u8], out: &mut Fields) -> Result<(), Error> {
        out.clear();
        let mut run = Run {
            table: &mut self.table,
            rest: block,
            out,
            work: MAX_WORK,
        };
        let result = run.block();
        if result.is_err() {
            self.table.lose();
        }
        result
    }

    /// Bytes of heap.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.table.memory()
    }
}

/// One block on its way.
struct Run<'r> {
    table: &'r mut Table,
    rest: &'r [u8],
    out: &'r mut Fields,
    work: usize,
}

impl Run<'_> {
    fn block(&mut self) -> Result<(), Error> {
        let mut begun = false;
        while let Some(&first) = self.rest.first() {
            let resize = first & 0xe0 == 0x20;
            let before = self.out.begin();
            let field = match first {
                0x80.. => self.indexed(),
                0x40..0x80 => self.literal(6, true),
                0x20..0x40 if begun => Err(Error::Resize),
                0x20..0x40 => integer::read(&mut self.rest, 5).map(|max| self.table.resize(max)),
                // Without indexing, and never to be indexed.
                0x00..0x20 => self.literal(4, false),
            };
            if let Err(error) = field {
                self.out.undo(before);
                return Err(error);
            }
            begun |= !resize;
        }
        Ok(())
    }

    /// RFC 7541 §6.1.
    fn indexed(&mut self) -> Result<(), Error> {
        let index = integer::read(&mut self.rest, 7)?;
        match self.table.get(index)? {
            Lookup::Field(name, value) => {
                let size = name.len() + value.len();
                self.work = self.work.checked_sub(size).ok_or(Error::Bomb)?;
                self.out.push(name, value);
            }
            Lookup::Unknown => self.out.unknown(),
        }
        Ok(())
    }

    /// RFC 7541 §6.2.
    fn literal(&mut self, prefix: u32, insert: bool) -> Result<(), Error> {
        let index = integer::read(&mut self.rest, prefix)?;
        let begin = self.out.begin();
        let mut named = true;
        if index == 0 {
            self.string()?;
        } else {
            match self.table.get(index)? {
                Lookup::Field(name, _) => {
                    self.work = self.work.checked_sub(name.len()).ok_or(Error::Bomb)?;
                    self.out.put(name);
                }
                Lookup::Unknown => named = false,
            }
        }
        let name = self.out.begin() - begin;
        self.string()?;
        if insert {
            self.table.insert(self.out.since(begin), name, named);
        }
        if named {
            self.out.keep(begin, name);
        } else {
            self.out.undo(begin);
            self.out.unknown();
        }
        Ok(())
    }

    /// RFC 7541 §5.2. Appends the string to the output.
    fn string(&mut self) -> Result<(), Error> {
        let first = self.rest.first().ok_or(Error::Truncated)?;
        let coded = first & 0x80 != 0;
        let length = integer::read(&mut self.rest, 7)?;
        let (string, rest) = self.rest.split_at_checked(length).ok_or(Error::Truncated)?;
        self.rest = rest;
        let most = if coded {
            huffman::longest(length)
        } else {
            length
        };
        self.work = self.work.checked_sub(most).ok_or(Error::Bomb)?;
        if coded {
            huffman::decode(string, self.out.room(most))
        } else {
            self.out.put(string);
            Ok(())
        }
    }
}
