//! An access as one value in each stream.

use std::net::IpAddr;

use super::hash::{Memo, Seed};
use super::profile::Values;
use crate::access::{Access, Peer, Role, Tls, Workload};

/// An access as values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    pub(super) values: Values,
    /// Of all values.
    pub(super) hash: u64,
    /// What it was about: host and path.
    pub(super) object: u64,
    /// Whether a duty grants the operation.
    pub(super) granted: bool,
}

/// Makes values; remembers those of what accesses share.
#[derive(Debug)]
pub(super) struct Sights {
    seed: Seed,
    texts: Memo<str, u64>,
    workloads: Memo<Workload, (u64, u64)>,
    tls: Memo<Tls, u64>,
    local: u64,
    clear: u64,
    nowhere: u64,
}

impl Sights {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            seed,
            texts: Memo::new(),
            workloads: Memo::new(),
            tls: Memo::new(),
            local: seed.of(&[b"local"]),
            clear: seed.of(&[b"clear text"]),
            nowhere: seed.of(&[b"no environment"]),
        }
    }

    pub(super) fn of(&mut self, access: &Access) -> Sight {
        let seed = self.seed;
        let text = |text: &str| seed.of(&[text.as_bytes()]);
        let method = self.texts.get(&access.method, text);
        let host = self.texts.get(&access.host, text);
        let route = self.texts.get(&access.route, text);
        let environment = match &access.environment {
            Some(name) => self.texts.get(name, text),
            None => self.nowhere,
        };
        let client = access.client.as_ref();
        let (workload, lineage) = client.map_or((0, 0), |client| {
            self.workloads
                .get(&client.workload, |workload| of_workload(seed, workload))
        });
        let tls = match &access.tls {
            None => self.clear,
            Some(tls) => self.tls.get(tls, |tls| tls.ja4.as_deref().map_or(0, text)),
        };
        let operation = match &*access.method {
            "?" => 0,
            _ => mix(mix(method, host), route).max(1),
        };
        let values = [
            operation,
            if &*access.host == "-" { 0 } else { host },
            environment,
            workload,
            lineage,
            self.network(access),
            tls,
            hour_of_week(access.time_us) + 1,
        ];
        Sight {
            hash: values.iter().fold(1, |all, value| mix(all, *value)),
            values,
            object: mix(host, text(&access.path)),
            granted: !access.duties.is_empty(),
        }
    }

    /// The group of peers: those of one owner; without a policy, the credentials of one issuer, or of one kind.
    pub(super) fn group(&mut self, access: &Access) -> u64 {
        if let Some(owner) = &access.owner {
            let seed = self.seed;
            return mix(
                1,
                self.texts.get(owner, |owner| seed.of(&[owner.as_bytes()])),
            );
        }
        match &access.credential {
            Some(credential) => match &credential.claims.issuer {
                Some(issuer) => mix(2, self.seed.of(&[issuer.as_bytes()])),
                None => mix(3, credential.kind as u64),
            },
            None => 4,
        }
    }

    fn network(&self, access: &Access) -> u64 {
        if access.local {
            return self.local;
        }
        let role = u8::from(access.role == Role::Server);
        match &access.peer {
            Peer::Inet(address) => match address.ip().to_canonical() {
                IpAddr::V4(ip) => {
                    let [a, b, c, _] = ip.octets();
                    self.seed.of(&[&[4, role, a, b, c]])
                }
                IpAddr::V6(ip) => {
                    let [a, b, c, d, e, f, ..] = ip.octets();
                    self.seed.of(&[&[6, role, a, b, c, d, e, f]])
                }
            },
            Peer::Unix(_) => self.local,
            Peer::Unknown => 0,
        }
    }
}

/// Two values as one. Both are secret already, so this need not be a keyed hash.
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b | 1);
    #[allow(clippy::cast_possible_truncation, reason = "both halves are used")]
    let folded = (product as u64) ^ ((product >> 64) as u64);
    folded.rotate_left(23) ^ b.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ a
}

/// The program that used the credential, and its ancestors. Not the container's id, which each deployment
/// changes, nor a unit that has another name tomorrow.
fn of_workload(seed: Seed, workload: &Workload) -> (u64, u64) {
    if workload.exe.is_empty() {
        return (0, 0);
    }
    let label = workload.label();
    let unit = if label.kind == "unit" { label.name } else { "" };
    let contained: &[u8] = if workload.container.is_some() {
        b"container"
    } else {
        b""
    };
    let parts = [
        workload.exe.as_bytes(),
        unit.as_bytes(),
        contained,
        workload.user.as_bytes(),
    ];
    let lineage: Vec<&[u8]> = workload.lineage.iter().map(|exe| exe.as_bytes()).collect();
    let lineage = if lineage.is_empty() {
        0
    } else {
        seed.of(&lineage)
    };
    (seed.of(&parts), lineage)
}

/// 0 (Monday, 00 h UTC) to 167.
fn hour_of_week(time_us: i64) -> u64 {
    let hours = time_us.max(0) / 3_600_000_000;
    // 1970 began on a Thursday.
    u64::try_from((hours + 3 * 24) % 168).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::access;
    use super::*;

    #[test]
    fn the_week_begins_on_monday() {
        // 2026-11-23 00:30 UTC was a Monday.
        assert_eq!(hour_of_week(1_795_393_800_000_000), 0);
        assert_eq!(hour_of_week(1_795_393_800_000_000 - 3_600_000_000), 167);
    }

    #[test]
    fn values_tell_apart_what_differs_and_nothing_else() {
        let mut sights = Sights::new(Seed::new([1; 16]));
        let one = access("ci", "GET", "api.example", "/a", "/usr/bin/x");
        let first = sights.of(&one);
        assert_eq!(first.values, sights.of(&one.clone()).values);
        let mut other = one.clone();
        other.route = "/b".into();
        other.peer = Peer::Inet("192.0.2.200:443".parse().unwrap());
        let other = sights.of(&other);
        let differ: Vec<usize> = (0..8)
            .filter(|at| first.values[*at] != other.values[*at])
            .collect();
        assert_eq!(differ, [0], "the route, but not the network");
        let mut far = one.clone();
        far.peer = Peer::Inet("192.0.3.1:443".parse().unwrap());
        assert_ne!(sights.of(&far).values[5], first.values[5]);
    }
}
