//! How a connection was understood.

use std::fmt;

use super::protocol::Protocol;
use crate::wire::tls::Why;

/// How TLS was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Means {
    /// Its keys were taken at the handshake.
    Keys,
    /// Its plaintext was taken from the library.
    Probes,
}

/// What was inside TLS that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Inside {
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Something else.
    Other(Protocol),
}

/// Why TLS was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Opaque {
    /// No secret came: its library is not probed, or not known.
    NoKeys,
    /// It was open when it was first seen.
    JoinedLate,
    /// Its hellos were not captured whole.
    NoHello,
    /// A cipher suite that is not read.
    Cipher,
    /// A version before TLS 1.2.
    Version,
    /// Renegotiated under encryption (TLS 1.2).
    Renegotiated,
    /// Records do not decrypt, or are none.
    Broken,
    /// It ended within its handshake: there was nothing to read.
    Unfinished,
}

/// What a kind means for who relies on the monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// HTTP that was read: accesses come of it.
    Read,
    /// It was seen and is not HTTP.
    Other,
    /// Nobody can say what was in it.
    Dark,
}

/// How a connection was understood. Its name ([`fmt::Display`]) is stable, see docs/coverage.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// HTTP/1 in clear.
    Http1,
    /// HTTP/2 in clear.
    Http2,
    /// TLS that was read.
    Tls(Means, Inside),
    /// TLS that was not.
    Opaque(Opaque),
    /// Another protocol in clear.
    Protocol(Protocol),
    /// It was open when it was first seen, and what it carries was not recognised.
    JoinedLate,
    /// All records of it were lost or shed.
    Lost,
    /// None of its bytes could be had (io_uring, sendfile …).
    Uncovered,
}

impl Kind {
    /// What it means.
    #[must_use]
    pub fn group(self) -> Group {
        match self {
            Self::Http1 | Self::Http2 | Self::Tls(..) => Group::Read,
            Self::Protocol(_) | Self::Opaque(Opaque::Unfinished) => Group::Other,
            Self::Opaque(_) | Self::JoinedLate | Self::Lost | Self::Uncovered => Group::Dark,
        }
    }

    /// TLS that was not read because keys were missing or of no use, although its beginning was seen.
    #[must_use]
    pub fn is_turned(self) -> bool {
        matches!(
            self,
            Self::Opaque(Opaque::NoKeys | Opaque::Cipher | Opaque::Version)
        )
    }
}

impl From<Why> for Opaque {
    fn from(why: Why) -> Self {
        match why {
            Why::NoKeys => Self::NoKeys,
            Why::JoinedLate => Self::JoinedLate,
            Why::NoHello => Self::NoHello,
            Why::Cipher => Self::Cipher,
            Why::Version => Self::Version,
            Why::Renegotiated => Self::Renegotiated,
            Why::Broken => Self::Broken,
        }
    }
}

impl Group {
    /// Name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Other => "other",
            Self::Dark => "dark",
        }
    }
}

impl Means {
    fn name(self) -> &'static str {
        match self {
            Self::Keys => "tls-keys",
            Self::Probes => "tls-probes",
        }
    }
}

impl Inside {
    fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
            Self::Other(protocol) => protocol.name(),
        }
    }
}

impl Opaque {
    /// The part of the name behind `opaque-tls:`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoKeys => "no-keys",
            Self::JoinedLate => "joined-late",
            Self::NoHello => "no-hello",
            Self::Cipher => "cipher",
            Self::Version => "version",
            Self::Renegotiated => "renegotiated",
            Self::Broken => "broken",
            Self::Unfinished => "unfinished",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http1 => f.write_str("http/1.1"),
            Self::Http2 => f.write_str("h2"),
            Self::Tls(means, inside) => write!(f, "{}:{}", means.name(), inside.name()),
            Self::Opaque(why) => write!(f, "opaque-tls:{}", why.name()),
            Self::Protocol(protocol) => write!(f, "protocol:{}", protocol.name()),
            Self::JoinedLate => f.write_str("joined-late"),
            Self::Lost => f.write_str("lost"),
            Self::Uncovered => f.write_str("uncovered"),
        }
    }
}
