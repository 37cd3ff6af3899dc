//! The JSON form of a workload's coverage, documented in docs/json.md.

use monitor_ebpf::uncovered;
use serde::{Deserialize, Serialize};

use super::{Count, Entry, Example};
use crate::access::record::rfc3339;

/// `{"type":"coverage","v":1,…}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoverageRecord {
    /// Always `coverage`.
    pub r#type: String,
    /// Version of this form: 1.
    pub v: u32,
    /// `unit:…`, `container:…` or `exe:…`; null for all that had to make room, together.
    #[serde(default)]
    pub workload: Option<String>,
    /// HTTP that was read.
    pub read: Count,
    /// What is not HTTP.
    pub other: Count,
    /// What nobody can say.
    pub dark: Count,
    /// All of it by kind, most connections first.
    #[serde(default)]
    pub kinds: Vec<KindRecord>,
    /// Bytes that no program could see, by cause.
    #[serde(default)]
    pub uncovered: Vec<UncoveredRecord>,
    /// Calls whose bytes were cut short to keep the rings fair.
    #[serde(default)]
    pub shed: u64,
    /// Where dark connections led, the latest first.
    #[serde(default)]
    pub examples: Vec<ExampleRecord>,
    /// RFC 3339.
    #[serde(default)]
    pub last_seen: Option<String>,
}

/// One kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindRecord {
    /// Its name.
    pub kind: String,
    /// `read`, `other` or `dark`.
    pub group: String,
    /// Connections.
    pub connections: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Bytes that no program could see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncoveredRecord {
    /// `io_uring`, `sendfile`, `mmsg`, `compat`, `other` or `quic`.
    pub cause: String,
    /// How many.
    pub bytes: u64,
}

/// Where dark connections led.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExampleRecord {
    /// Kind of the connections.
    pub kind: String,
    /// Server name of the TLS handshake.
    #[serde(default)]
    pub sni: Option<String>,
    /// The server's address.
    #[serde(default)]
    pub address: Option<String>,
    /// How many.
    pub connections: u64,
    /// RFC 3339.
    pub last_seen: String,
}

impl Entry {
    pub(super) fn record(&self, workload: Option<&str>) -> CoverageRecord {
        let [read, other, dark] = self.groups();
        let mut kinds: Vec<_> = self
            .kinds
            .iter()
            .filter(|(_, count)| *count != Count::default())
            .collect();
        kinds.sort_by_key(|(kind, count)| (std::cmp::Reverse(count.connections), *kind));
        let mut examples: Vec<&Example> = self.examples.iter().collect();
        examples.sort_by_key(|example| std::cmp::Reverse(example.last_us));
        CoverageRecord {
            r#type: "coverage".to_owned(),
            v: 1,
            workload: workload.map(str::to_owned),
            read,
            other,
            dark,
            kinds: kinds
                .into_iter()
                .map(|(kind, count)| KindRecord {
                    kind: kind.to_string(),
                    group: kind.group().name().to_owned(),
                    connections: count.connections,
                    bytes: count.bytes,
                })
                .collect(),
            uncovered: uncovered::NAMES
                .iter()
                .zip(self.uncovered)
                .filter(|(_, bytes)| *bytes > 0)
                .map(|(cause, bytes)| UncoveredRecord {
                    cause: (*cause).to_owned(),
                    bytes,
                })
                .collect(),
            shed: self.shed,
            examples: examples
                .into_iter()
                .filter_map(|example| {
                    Some(ExampleRecord {
                        kind: example.why?.to_string(),
                        sni: example.sni.as_deref().map(str::to_owned),
                        address: Some(example.address.to_string()).filter(|text| !text.is_empty()),
                        connections: example.connections,
                        last_seen: rfc3339(example.last_us),
                    })
                })
                .collect(),
            last_seen: (self.last_us > 0).then(|| rfc3339(self.last_us)),
        }
    }
}
