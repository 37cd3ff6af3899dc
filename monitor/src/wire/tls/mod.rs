//! TLS records become plaintext, given the secrets of their connection.
//!
//! Pure: no I/O, no clock. One [`Session`] per connection takes [`Chunk`]s (what was captured of its
//! records, both directions) and, from the monitor's one [`Keyring`], the secrets that its ends derived;
//! it gives [`Plain`] the plaintext as [`Piece`]s whose offsets count bytes of application data.
//!
//! Most records are captured in part. AES-GCM and ChaCha20-Poly1305 encrypt by counter, so the beginning
//! of a record can be read without its end; a record that was captured whole is checked with its tag.
//! Nothing is guessed: which record a traffic secret begins with is known from the handshake, from a tag,
//! or from at least 56 known bits of plaintext.

mod backlog;
mod cipher;
mod handshake;
mod hello;
mod ja4;
mod keylog;
mod keyring;
mod record;
mod schedule;
mod session;
mod suite;
#[cfg(test)]
mod tests;
mod tls12;
mod tls13;
mod traffic;
mod walk;

use std::fmt;

use super::{Dir, Piece};

pub use crate::secret::locked::Secret;
pub use hello::MAX_HELLO;
pub use hello::{ClientHello, ServerHello};
pub use ja4::ja4;
pub use keylog::{KeyLogCounts, KeyLogReader, LoggedSecret, MAX_LINE};
pub use keyring::{
    HINTED_LIFE, Keyring, KeyringStats, Label, MAX_OFFERS, MAX_PENDING, MAX_SECRET_TRIALS,
    MAX_WAITING, NewSecret, Offers, SECRET_LIFE,
};
pub use session::Session;
pub use suite::Cipher;

/// Content types of records (RFC 8446 §5.1).
pub(crate) mod outer {
    pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
    pub(crate) const ALERT: u8 = 21;
    pub(crate) const HANDSHAKE: u8 = 22;
    pub(crate) const DATA: u8 = 23;
}

/// Length of a record's header.
pub const HEADER: u32 = 5;
/// Longest record body (RFC 5246 §6.2.3), in bytes.
pub const MAX_RECORD: u16 = 16_384 + 2_048;
/// Records up to this length are captured whole; only such can be anything but application data.
pub const SHORT: u16 = 1_200;
/// Most bytes of records kept per connection until its keys are there.
pub const MAX_BACKLOG: usize = 32 * 1024;
/// Records kept per connection until its keys are there.
pub const MAX_BACKLOG_RECORDS: usize = 48;
/// Most trial decryptions per connection.
pub const MAX_TRIALS: u32 = 256;
/// Ends of one connection on this host.
pub const MAX_ENDS: usize = 2;

/// What was captured of one record by one call.
#[derive(Clone, Copy)]
pub struct Chunk<'a> {
    /// Direction.
    pub dir: Dir,
    /// Number of the record in its direction; 0 is the first that the kernel program saw.
    pub record: u32,
    /// Offset of `data` in the record, from the first byte of its header.
    pub at: u32,
    /// Length of the record's body, from its header.
    pub length: u16,
    /// Content type, from its header.
    pub outer: u8,
    /// Captured bytes.
    pub data: &'a [u8],
    /// Nanoseconds (CLOCK_MONOTONIC) of the call.
    pub time: u64,
    /// When records are missing in front of this one because they were left out on purpose (long ones of
    /// application data, of which nothing was wanted): how many bytes they take in the stream. `None`:
    /// what is missing was lost.
    pub passed: Option<u32>,
}

/// Receives plaintext.
pub trait Plain {
    /// Application data. Offsets begin at 0 in either direction.
    fn piece(&mut self, piece: Piece<'_>);
    /// Records in front of the next piece were lost, or could not be read. Its offset lies
    /// [`JUMP`] bytes ahead: how many are missing is not known.
    fn lost_records(&mut self);
}

/// How far offsets move over bytes whose number is not known: more than anything that can be in flight,
/// and more than most bodies, so that a decoder does not take what follows for a part of one.
pub const JUMP: u32 = 1 << 29;

/// Protocol version of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
    /// Any other, as on the wire (0x0301 is TLS 1.0).
    Other(u16),
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls12 => f.write_str("1.2"),
            Self::Tls13 => f.write_str("1.3"),
            Self::Other(0x0300) => f.write_str("ssl3"),
            Self::Other(0x0301) => f.write_str("1.0"),
            Self::Other(0x0302) => f.write_str("1.1"),
            Self::Other(other) => write!(f, "{other:#06x}"),
        }
    }
}

/// How a connection got its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// The secret came with the client's random.
    Random,
    /// By trial, confirmed by a record's tag.
    Trial,
}

/// Why a connection cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// No secret came that fits.
    NoKeys,
    /// It was open when it was first seen.
    JoinedLate,
    /// Its hellos were not captured whole.
    NoHello,
    /// A cipher suite that is not read.
    Cipher,
    /// A version that is not read (before TLS 1.2).
    Version,
    /// Renegotiated under encryption (TLS 1.2).
    Renegotiated,
    /// Records do not decrypt, or are none.
    Broken,
}

/// What a connection is, for the coverage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is in its handshake, or its keys may still come.
    Handshake,
    /// Its application data is read, in one direction at least.
    Reading {
        /// Version.
        version: Version,
        /// Cipher.
        cipher: Cipher,
        /// How the keys came.
        via: Via,
    },
    /// It is not read. [`Why::NoKeys`] alone can still change.
    Opaque(Why),
}

/// Counts of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records of application data that gave plaintext.
    pub read: u64,
    /// Records that came before the key and found no room.
    pub unread_before_key: u64,
    /// Records that did not come.
    pub lost: u64,
    /// Records captured whole whose tag was wrong.
    pub bad_tags: u32,
    /// Trial decryptions.
    pub trials: u32,
}

impl fmt::Debug for Chunk<'_> {
    /// Without contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("dir", &self.dir)
            .field("record", &self.record)
            .field("at", &self.at)
            .field("length", &self.length)
            .field("outer", &self.outer)
            .field("data", &self.data.len())
            .field("time", &self.time)
            .finish()
    }
}
