//! The rules of our own: which keyword makes which of them look, and what it looks for.
//!
//! Sources are the issuers' own descriptions of their tokens; each group names its own.

mod assignment;
mod http;
mod issued;
mod pem;
mod stores;
mod table;

pub(super) use table::ALL;

use std::ops::Range;

/// A piece of a file.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    /// Its bytes.
    pub(super) bytes: &'a [u8],
    /// Name of the file, last component.
    pub(super) name: &'a [u8],
}

impl<'a> Text<'a> {
    pub(super) fn get(&self, range: Range<usize>) -> &'a [u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// At most `most` bytes from `at` on.
    pub(super) fn from(&self, at: usize, most: usize) -> &'a [u8] {
        let end = at.saturating_add(most).min(self.bytes.len());
        self.get(at..end)
    }

    /// The byte before.
    pub(super) fn before(&self, at: usize) -> Option<u8> {
        at.checked_sub(1).and_then(|at| self.bytes.get(at)).copied()
    }

    /// From `at` to the end of the line, at most `most` bytes.
    pub(super) fn line_from(&self, at: usize, most: usize) -> &'a [u8] {
        let rest = self.from(at, most);
        let end = rest
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r'))
            .unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }
}

/// How a secret looks on the wire, so that it gets the fingerprint it has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Token,
    /// `user:password`.
    Pair,
    /// `user:password` in base64.
    Basic,
    /// `user:password`, percent-encoded.
    Userinfo,
    /// Never sent: a private key.
    Never,
}

/// Where a rule found something. Offsets in the piece.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    /// What is used on the wire and has the fingerprint.
    pub(super) secret: Range<usize>,
    /// The user that belongs to it, where [`Form::Pair`] has to be put together.
    pub(super) user: Option<Range<usize>>,
    /// How it is used.
    pub(super) form: Form,
    /// Public prefix.
    pub(super) prefix: &'static str,
}
