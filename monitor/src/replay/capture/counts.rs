//! What a capture held, and what of it could not be read, by cause.

use std::collections::BTreeMap;

use serde::Serialize;

use super::layers::Other;
use crate::wire::tls::Why;

/// Counts while reading.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) packets: u64,
    pub(super) segments: u64,
    pub(super) unread_packets: BTreeMap<&'static str, u64>,
    pub(super) connections: u64,
    pub(super) midway: u64,
    pub(super) evicted: u64,
    pub(super) undecided: u64,
    pub(super) lost: u64,
    pub(super) uncaptured: u64,
    pub(super) again: u64,
    pub(super) tls: u64,
    pub(super) tls_lost: u64,
    pub(super) unread_tls: BTreeMap<&'static str, u64>,
    pub(super) damaged: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// A packet or block without a segment.
    pub(super) fn without_segment(&mut self, why: Other) {
        self.unreadable(match why {
            Other::Link => "link-type",
            Other::NotIp => "not-ip",
            Other::NotTcp => "not-tcp",
            Other::Fragment => "fragment",
            Other::Cut => "cut",
            Other::Malformed => "malformed",
        });
    }

    /// A packet or block that could not be read.
    pub(super) fn unreadable(&mut self, why: &'static str) {
        bump(&mut self.unread_packets, why);
    }

    /// A connection under TLS that was not read.
    pub(super) fn unread(&mut self, why: Why) {
        let name = match why {
            Why::NoKeys => "no-keys",
            Why::JoinedLate => "joined-late",
            Why::NoHello => "no-hello",
            Why::Cipher => "cipher",
            Why::Version => "version",
            Why::Renegotiated => "renegotiated",
            Why::Broken => "broken",
        };
        bump(&mut self.unread_tls, name);
    }

    /// A file ended before its time.
    pub(super) fn damage(&mut self, why: &'static str) {
        bump(&mut self.damaged, why);
    }
}

fn bump(counts: &mut BTreeMap<&'static str, u64>, name: &'static str) {
    let count = counts.entry(name).or_default();
    *count = count.saturating_add(1);
}

/// What captures held, and what of it could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CaptureSummary {
    /// Packets read.
    pub packets: u64,
    /// Of these, TCP segments.
    pub segments: u64,
    /// Packets and blocks that hold none, or cannot be read, by cause.
    pub unread_packets: BTreeMap<&'static str, u64>,
    /// Connections with bytes.
    pub connections: u64,
    /// Of these, such as were open when the capture began.
    pub midway: u64,
    /// Given up for want of room.
    pub evicted: u64,
    /// Segments of connections of which neither end is known to be the client.
    pub undecided: u64,
    /// Bytes that the capture lacks although they were sent.
    pub lost_bytes: u64,
    /// Bytes that were cut off packets (snap length).
    pub uncaptured_bytes: u64,
    /// Bytes that came again; the first copy counts.
    pub repeated_bytes: u64,
    /// Connections under TLS.
    pub tls: u64,
    /// Of these, such as could not be read, by cause.
    pub unread_tls: BTreeMap<&'static str, u64>,
    /// Directions of TLS that were read until bytes were missing with a record's header among them.
    pub tls_lost: u64,
    /// TLS secrets read; those for which there was no room; lines of key logs that are none.
    pub secrets: u64,
    /// See above.
    pub secrets_left_out: u64,
    /// See above.
    pub secrets_malformed: u64,
    /// Requests without a response.
    pub unanswered: u64,
    /// Credentials of one request beyond those that are told of.
    pub more_credentials: u64,
    /// What the decoder met, by name; what it did not meet is left out.
    pub anomalies: BTreeMap<&'static str, u64>,
    /// Files that could not be read to their end, by cause: `cut`, `damaged`.
    pub damaged: BTreeMap<&'static str, u64>,
    /// Fingerprints are made with the host's key: they compare with the daemon's.
    pub host_key: bool,
}
