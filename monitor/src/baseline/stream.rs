//! What is looked at in an access, one value each.

/// Number of streams.
pub const STREAMS: usize = 8;

/// A stream of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stream {
    /// Method, host and route.
    Operation,
    /// Host named in the request.
    Host,
    /// Environment of the destination.
    Environment,
    /// Executable, unit or container, and user.
    Workload,
    /// Ancestors of the process.
    Lineage,
    /// Network of the other end: /24, /48, loopback, a unix socket.
    Network,
    /// JA4 of the client, or clear text.
    Tls,
    /// Hour of the week, UTC.
    Hour,
}

impl Stream {
    pub(super) const ALL: [Self; STREAMS] = [
        Self::Operation,
        Self::Host,
        Self::Environment,
        Self::Workload,
        Self::Lineage,
        Self::Network,
        Self::Tls,
        Self::Hour,
    ];

    /// Most values of it that an identity's profile keeps.
    pub(super) fn capacity(self) -> usize {
        match self {
            Self::Operation => 128,
            Self::Host | Self::Network => 64,
            Self::Environment => 16,
            Self::Workload | Self::Lineage | Self::Tls => 32,
            Self::Hour => 168,
        }
    }

    /// Bits that it adds to a window's surprise at most: no stream decides alone what is worth an alert, and
    /// those that change for harmless reasons (an update of a library, a late shift) weigh little.
    pub(super) fn most_bits(self) -> f64 {
        match self {
            Self::Operation => 16.0,
            Self::Host | Self::Workload => 12.0,
            Self::Environment | Self::Lineage | Self::Network => 8.0,
            Self::Tls => 6.0,
            Self::Hour => 3.0,
        }
    }

    /// How likely each value is for a host that has seen nothing.
    pub(super) fn base(self) -> f64 {
        match self {
            Self::Operation | Self::Network => 1.0 / 4096.0,
            Self::Host | Self::Workload | Self::Lineage => 1.0 / 1024.0,
            Self::Environment => 1.0 / 16.0,
            Self::Tls => 1.0 / 256.0,
            Self::Hour => 1.0 / 168.0,
        }
    }

    /// Days of a profile before the stream counts: an hour of the week comes once a week.
    pub(super) fn least_days(self) -> u16 {
        if self == Self::Hour { 21 } else { 0 }
    }
}
