//! What is read: the records of `bailiwick tail -o json`, and other programs' logs, mapped to accesses as far as they
//! go. docs/replay.md says which field becomes what.

mod accesses;
mod cloudtrail;
mod combined;
mod envoy;
mod foreign;

use crate::access::Access;
use crate::access::route::Router;

use super::shared::Shared;

/// Nodes of the tree that routes of foreign paths are found with.
const ROUTER_NODES: usize = 1 << 16;
/// How much of a file is looked at to tell its format.
const LOOKED_AT: usize = 4096;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// NDJSON of `bailiwick tail -o json`.
    Accesses,
    /// AWS CloudTrail: files with `Records`, or an event a line.
    CloudTrail,
    /// The combined (or common) log format of Apache and nginx.
    Combined,
    /// Envoy's JSON access log.
    Envoy,
}

impl Format {
    /// The format of a file that begins like this; `None` when it is none of them.
    #[must_use]
    pub fn guess(begin: &[u8]) -> Option<Self> {
        let begin = begin.get(..LOOKED_AT).unwrap_or(begin).trim_ascii_start();
        if !begin.starts_with(b"{") {
            let line = begin.split(|byte| *byte == b'\n').next()?;
            let bracketed = line.windows(2).any(|pair| pair == b" [");
            return bracketed.then_some(Self::Combined);
        }
        let has = |name: &str| memchr::memmem::find(begin, name.as_bytes()).is_some();
        if has("\"fingerprint\"") || has("\"type\":\"access\"") || has("\"type\": \"access\"") {
            Some(Self::Accesses)
        } else if has("\"Records\"") || has("\"eventSource\"") || has("\"eventVersion\"") {
            Some(Self::CloudTrail)
        } else if has("\"start_time\"") || has("\"response_code\"") {
            Some(Self::Envoy)
        } else if has("\"type\"") {
            Some(Self::Accesses)
        } else {
            None
        }
    }

    /// Whether its pieces are the objects of a document, not lines.
    #[must_use]
    pub fn in_objects(self) -> bool {
        self == Self::CloudTrail
    }
}

/// Why a piece is no access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The line, or a text in it, is too long.
    TooLong,
    /// It is not of the format.
    Malformed,
    /// A field that is needed is missing, or does not say what it should.
    Fields,
    /// It does not say whose request it was.
    NoIdentity,
}

impl Refusal {
    /// Name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::Malformed => "malformed",
            Self::Fields => "fields",
            Self::NoIdentity => "no-identity",
        }
    }

    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::TooLong => "longer than any access is",
            Self::Malformed => "not of this format",
            Self::Fields => "a field that is needed is missing or cannot be read",
            Self::NoIdentity => "does not say whose request it was",
        }
    }
}

/// What a piece holds.
#[derive(Debug)]
pub enum Item {
    /// An access.
    Access(Box<Access>),
    /// So many are missing here.
    Lost(u64),
    /// Nothing that matters.
    Nothing,
}

/// Makes accesses of pieces.
#[derive(Debug)]
pub struct Reader {
    shared: Shared,
    router: Router,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            shared: Shared::default(),
            router: Router::new(ROUTER_NODES),
        }
    }
}

impl Reader {
    /// What a piece holds.
    ///
    /// # Errors
    /// Says why it holds no access.
    pub fn read(&mut self, format: Format, piece: &[u8]) -> Result<Item, Refusal> {
        if piece.trim_ascii().is_empty() {
            return Ok(Item::Nothing);
        }
        match format {
            Format::Accesses => accesses::read(&mut self.shared, piece),
            Format::CloudTrail => cloudtrail::read(self, piece),
            Format::Combined => combined::read(self, piece),
            Format::Envoy => envoy::read(self, piece),
        }
    }
}

#[cfg(test)]
mod tests;
