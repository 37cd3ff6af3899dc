//! Refusals in force: which control group has links, and which keys stand in the table.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use ipnet::IpNet;
use monitor_ebpf::{REFUSE_BITS, Refused};

use super::acts::{ActError, Range};
use crate::source::kernel::Refusing;

/// What was tried, in errors.
const WHAT: &str = "refusing connections";

/// A key of the table, as it can be compared.
type Entry = (u32, u64, [u32; 4]);

/// One refusal.
struct One {
    group: u64,
    /// Key and until when; 0 exempts.
    entries: BTreeMap<Entry, u64>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Refusals {
    links: BTreeMap<u64, [OwnedFd; 2]>,
    all: BTreeMap<String, One>,
}

impl Refusals {
    /// Puts one in force until `until` (CLOCK_MONOTONIC, ns). `directory` is the group's.
    pub(super) fn add(
        &mut self,
        refusing: &mut Refusing,
        id: &str,
        (group, directory): (u64, &Path),
        ranges: &[Range],
        until: u64,
    ) -> Result<(), ActError> {
        refusing
            .load()
            .map_err(|(error, log)| failed(&error, &log))?;
        let entries = entries(ranges, until);
        self.all.insert(id.to_owned(), One { group, entries });
        let result = self.write(refusing, group, id).and_then(|()| {
            if self.links.contains_key(&group) {
                return Ok(());
            }
            let file = File::open(directory).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => ActError::Gone,
                _ => failed(&error, ""),
            })?;
            let links = refusing
                .attach(file.as_fd())
                .map_err(|error| failed(&error, ""))?;
            self.links.insert(group, links);
            Ok(())
        });
        if result.is_err() {
            self.remove(refusing, id);
        }
        result
    }

    fn write(&self, refusing: &mut Refusing, group: u64, id: &str) -> Result<(), ActError> {
        for entry in self
            .all
            .get(id)
            .into_iter()
            .flat_map(|one| one.entries.keys())
        {
            let until = self.wanted(group, entry).unwrap_or(0);
            let (bits, port, address) = *entry;
            refusing
                .set(
                    Refused {
                        cgroup: group,
                        port,
                        address,
                    },
                    bits,
                    until,
                )
                .map_err(|error| ActError::System {
                    what: WHAT,
                    cause: error.to_string(),
                })?;
        }
        Ok(())
    }

    /// What the table should say of a key: the longest of the group's refusals.
    fn wanted(&self, group: u64, entry: &Entry) -> Option<u64> {
        self.all
            .values()
            .filter(|one| one.group == group)
            .filter_map(|one| one.entries.get(entry).copied())
            .max()
    }

    /// Ends one; the group's links go with its last one.
    pub(super) fn remove(&mut self, refusing: &mut Refusing, id: &str) {
        let Some(one) = self.all.remove(id) else {
            return;
        };
        let group = one.group;
        if !self.all.values().any(|other| other.group == group) {
            self.links.remove(&group);
        }
        for entry in one.entries.keys() {
            let (bits, port, address) = *entry;
            let key = Refused {
                cgroup: group,
                port,
                address,
            };
            match self.wanted(group, entry) {
                // It stood there before, so there is room.
                Some(until) => drop(refusing.set(key, bits, until)),
                None => refusing.unset(key, bits),
            }
        }
    }
}

/// The table's keys of some ranges.
fn entries(ranges: &[Range], until: u64) -> BTreeMap<Entry, u64> {
    let mut out = BTreeMap::new();
    let whole = REFUSE_BITS - 128;
    let mapped = |network: &IpNet| match network.addr() {
        IpAddr::V4(ip) => (ip.to_ipv6_mapped(), 96 + u32::from(network.prefix_len())),
        IpAddr::V6(ip) => (ip, u32::from(network.prefix_len())),
    };
    let words = |octets: [u8; 16]| {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(octets.chunks_exact(4)) {
            *word = bytes.try_into().map_or(0, u32::from_ne_bytes);
        }
        words
    };
    for range in ranges {
        let (ip, bits) = mapped(&range.network);
        let port = range.port.map_or(0, |port| u64::from(port.to_be()));
        let until = if range.refused { until } else { 0 };
        let entry = (whole + bits, port, words(ip.octets()));
        let before = out.entry(entry).or_insert(until);
        *before = (*before).max(until);
    }
    // A range of IPv6 that holds all of IPv4 by the way of the notation means none of it.
    let v4 = "::ffff:0:0".parse::<std::net::Ipv6Addr>();
    let wide = |range: &Range| match (&range.network, &v4) {
        (IpNet::V6(network), Ok(v4)) => network.prefix_len() < 96 && network.contains(v4),
        _ => false,
    };
    if let (true, Ok(v4)) = (ranges.iter().any(wide), &v4) {
        out.entry((whole + 96, 0, words(v4.octets()))).or_insert(0);
    }
    out
}

fn failed(error: &io::Error, log: &str) -> ActError {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) if log.trim().is_empty() => ActError::Privilege {
            what: WHAT,
            need: "CAP_NET_ADMIN and CAP_BPF",
        },
        Some(libc::EINVAL) if log.trim().is_empty() => ActError::Unsupported(
            "this kernel has no programs on connect(2) of control groups (CONFIG_CGROUP_BPF, Linux 5.7)",
        ),
        _ => {
            let end: String = log
                .trim()
                .lines()
                .next_back()
                .unwrap_or_default()
                .to_owned();
            ActError::System {
                what: WHAT,
                cause: format!("{error} {end}").trim().to_owned(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(network: &str, port: Option<u16>, refused: bool) -> Range {
        Range {
            network: network.parse().unwrap(),
            port,
            refused,
        }
    }

    #[test]
    fn keys_are_prefixes_in_network_order() {
        let all = entries(
            &[
                range("10.20.0.0/16", None, true),
                range("10.20.9.0/24", None, false),
                range("127.0.0.1/32", Some(443), true),
                range("2001:db8::/32", None, true),
            ],
            7,
        );
        let bytes = |words: [u32; 4]| words.map(u32::to_ne_bytes).concat();
        let mut seen: Vec<(u32, u64, Vec<u8>, u64)> = all
            .iter()
            .map(|((bits, port, words), until)| (*bits, *port, bytes(*words), *until))
            .collect();
        seen.sort();
        let mapped = |end: [u8; 4]| [&[0; 10][..], &[255, 255], &end].concat();
        let mut db8 = vec![0x20, 1, 0x0d, 0xb8];
        db8.resize(16, 0);
        assert_eq!(
            seen,
            [
                (160, 0, db8, 7),
                (240, 0, mapped([10, 20, 0, 0]), 7),
                (248, 0, mapped([10, 20, 9, 0]), 0),
                (256, u64::from(443_u16.to_be()), mapped([127, 0, 0, 1]), 7),
            ]
        );
    }

    #[test]
    fn all_of_ipv6_is_not_all_of_ipv4() {
        let all = entries(&[range("::/0", None, true)], 7);
        assert_eq!(all.len(), 2);
        assert_eq!(
            all.get(&(224, 0, [0, 0, u32::from_be(0xffff), 0])),
            Some(&0)
        );
    }
}
