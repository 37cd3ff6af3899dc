//! Which environment a request went to.
//!
//! A request says where it wants to go (its Host field), and the connection says where it went (the
//! server's address). The first is a claim of the client: with `Host: dev.example` sent to a production
//! address a stolen key would look harmless. So both are looked up. Where they disagree the address
//! names the environment, and both environments must be allowed.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::IpNet;

use super::error::Fault;
use super::host::{Claimed, HostPattern, Name, socket_path};
use super::pattern::check_socket;
use crate::access::Peer;

/// An environment of one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnvironmentId(pub(crate) u32);

/// One destination of an environment, as a policy lists it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Destination {
    /// A name or address with or without port, or `*`.
    Host(HostPattern),
    /// A range of addresses.
    Network(IpNet),
    /// A unix socket.
    Unix(Box<str>),
}

impl Destination {
    /// Reads a host, `*.suffix`, CIDR or `unix:PATH`.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(check_socket(path)?.into()));
        }
        if text.contains("://") {
            let hint = "leave out the scheme and the path: a destination is a host";
            return Err(Fault::new(format!("`{text}` is no destination"), hint));
        }
        if let Some((address, _)) = text.split_once('/') {
            let Ok(network) = text.parse::<IpNet>() else {
                let hint = if address.parse::<IpAddr>().is_ok() {
                    "the prefix length is at most 32 (IPv4) or 128 (IPv6)"
                } else {
                    "a destination is a host, *.suffix, a CIDR such as 10.20.0.0/16 or unix:PATH; routes \
                     belong to duties"
                };
                return Err(Fault::new(format!("`{text}` is no destination"), hint));
            };
            if network.trunc() != network {
                let hint = format!(
                    "write {} for the network, or the address alone",
                    network.trunc()
                );
                return Err(Fault::new(
                    format!("`{text}` has bits set after its prefix"),
                    hint,
                ));
            }
            return Ok(Self::Network(canonical(network)));
        }
        HostPattern::parse(text).map(Self::Host)
    }
}

/// An IPv4-mapped IPv6 network is the IPv4 one: addresses are compared in that form.
fn canonical(network: IpNet) -> IpNet {
    if let IpNet::V6(v6) = network
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(length) = v6.prefix_len().checked_sub(96)
        && let Ok(mapped) = ipnet::Ipv4Net::new(v4, length)
    {
        return IpNet::V4(mapped);
    }
    network
}

/// What one name or address stands for, by port.
#[derive(Clone, Debug, Default)]
struct Ports {
    any: Option<EnvironmentId>,
    some: Vec<(u16, EnvironmentId)>,
}

impl Ports {
    /// An entry with the port outranks one without.
    fn get(&self, port: u16) -> Option<EnvironmentId> {
        self.some
            .iter()
            .find(|(own, _)| *own == port)
            .map(|(_, id)| *id)
            .or(self.any)
    }

    /// Sets an entry; the one that was there when it is another environment.
    fn set(&mut self, port: Option<u16>, id: EnvironmentId) -> Result<(), EnvironmentId> {
        let before = match port {
            None => self.any.replace(id),
            Some(port) => match self.some.iter_mut().find(|(own, _)| *own == port) {
                Some((_, before)) => Some(std::mem::replace(before, id)),
                None => {
                    self.some.push((port, id));
                    None
                }
            },
        };
        before.filter(|before| *before != id).map_or(Ok(()), Err)
    }
}

/// Ranges of one address family by length of their prefix, longest first.
type Ranges = Vec<(u8, HashMap<u128, EnvironmentId>)>;

/// Where a request went, as far as the policy knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// By the host the request claims.
    pub claimed: Option<EnvironmentId>,
    /// By the address or unix socket it was sent to.
    pub actual: Option<EnvironmentId>,
}

impl Found {
    /// The environment: the address outranks the claim.
    #[must_use]
    pub fn environment(self) -> Option<EnvironmentId> {
        self.actual.or(self.claimed)
    }

    /// The claim, when the address says otherwise.
    #[must_use]
    pub fn conflict(self) -> Option<EnvironmentId> {
        self.claimed
            .filter(|claimed| self.actual.is_some_and(|actual| actual != *claimed))
    }
}

/// Destinations of all environments.
#[derive(Clone, Debug, Default)]
pub struct Environments {
    names: Vec<Arc<str>>,
    exact: HashMap<Box<str>, Ports>,
    suffixes: HashMap<Box<str>, Ports>,
    addresses: HashMap<IpAddr, Ports>,
    v4: Ranges,
    v6: Ranges,
    sockets: HashMap<Box<str>, EnvironmentId>,
    everywhere: Ports,
}

impl Environments {
    /// Adds an environment.
    pub(crate) fn add(&mut self, name: Arc<str>) -> EnvironmentId {
        self.names.push(name);
        EnvironmentId(u32::try_from(self.names.len().saturating_sub(1)).unwrap_or(u32::MAX))
    }

    /// Adds a destination. `Err` is the environment that has it already.
    pub(crate) fn insert(
        &mut self,
        destination: Destination,
        id: EnvironmentId,
    ) -> Result<(), EnvironmentId> {
        match destination {
            Destination::Host(HostPattern { name, port }) => match name {
                Name::Any => &mut self.everywhere,
                Name::Exact(name) => self.exact.entry(name).or_default(),
                Name::Suffix(suffix) => self.suffixes.entry(suffix).or_default(),
                Name::Address(ip) => self.addresses.entry(ip).or_default(),
            }
            .set(port, id),
            Destination::Unix(path) => self
                .sockets
                .insert(path, id)
                .filter(|before| *before != id)
                .map_or(Ok(()), Err),
            Destination::Network(network) => {
                let (ranges, width) = match network {
                    IpNet::V4(_) => (&mut self.v4, 32),
                    IpNet::V6(_) => (&mut self.v6, 128),
                };
                let length = network.prefix_len();
                let key = prefix(bits(network.addr()), width, length);
                let at = ranges.partition_point(|(own, _)| *own > length);
                if ranges.get(at).is_none_or(|(own, _)| *own != length) {
                    ranges.insert(at, (length, HashMap::new()));
                }
                let before = ranges
                    .get_mut(at)
                    .and_then(|(_, table)| table.insert(key, id));
                before.filter(|before| *before != id).map_or(Ok(()), Err)
            }
        }
    }

    /// Name of an environment.
    #[must_use]
    pub fn name(&self, id: EnvironmentId) -> Option<&Arc<str>> {
        self.names.get(usize::try_from(id.0).ok()?)
    }

    /// An environment by name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<EnvironmentId> {
        let at = self.names.iter().position(|own| **own == *name)?;
        u32::try_from(at).ok().map(EnvironmentId)
    }

    /// All names in order.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names.iter()
    }

    /// Every address and range that the policy lists, the port if it names one, and whose it is. Names are left
    /// out: what they resolve to is not known here.
    pub fn ranges(&self) -> impl Iterator<Item = (IpNet, Option<u16>, EnvironmentId)> {
        let single = self.addresses.iter().flat_map(|(ip, ports)| {
            let any = ports.any.map(|id| (IpNet::from(*ip), None, id));
            let some = ports.some.iter();
            any.into_iter()
                .chain(some.map(|(port, id)| (IpNet::from(*ip), Some(*port), *id)))
        });
        let network = |ip: IpAddr, length: u8, id: EnvironmentId| {
            IpNet::new(ip, length).ok().map(|net| (net, None, id))
        };
        let v4 = self.v4.iter().flat_map(move |(length, table)| {
            table.iter().filter_map(move |(bits, id)| {
                let bits = bits.checked_shl(u32::from(32_u8.saturating_sub(*length)));
                let bits = u32::try_from(bits.unwrap_or(0)).unwrap_or(0);
                network(IpAddr::V4(bits.into()), *length, *id)
            })
        });
        let v6 = self.v6.iter().flat_map(move |(length, table)| {
            table.iter().filter_map(move |(bits, id)| {
                let bits = bits.checked_shl(u32::from(128_u8.saturating_sub(*length)));
                network(IpAddr::V6(bits.unwrap_or(0).into()), *length, *id)
            })
        });
        single.chain(v4).chain(v6)
    }

    /// By the host a request claims: exact name (with port before without), else exact address and
    /// longest network when the host is an address, else longest suffix.
    #[must_use]
    pub fn claimed(&self, host: &str) -> Option<EnvironmentId> {
        let host = Claimed::parse(host);
        if host.name.is_empty() {
            return None;
        }
        if let Some(found) = self
            .exact
            .get(host.name)
            .and_then(|ports| ports.get(host.port))
        {
            return Some(found);
        }
        if let Some(ip) = host.address() {
            return self.address(ip, host.port);
        }
        if self.suffixes.is_empty() {
            return None;
        }
        // Each dot begins a shorter suffix; at most 128 in 255 bytes.
        host.name
            .bytes()
            .enumerate()
            .filter(|(at, byte)| *at > 0 && *byte == b'.')
            .find_map(|(at, _)| {
                self.suffixes
                    .get(host.name.get(at..)?)
                    .and_then(|ports| ports.get(host.port))
            })
    }

    /// By the server's address or unix socket.
    #[must_use]
    pub fn actual(&self, peer: &Peer) -> Option<EnvironmentId> {
        match peer {
            Peer::Inet(address) => self.address(address.ip().to_canonical(), address.port()),
            Peer::Unix(path) => self.sockets.get(socket_path(path)).copied(),
            Peer::Unknown => None,
        }
    }

    /// What `*` stands for: destinations that nothing else names.
    #[must_use]
    pub fn elsewhere(&self, host: &str) -> Option<EnvironmentId> {
        self.everywhere.get(Claimed::parse(host).port)
    }

    fn address(&self, ip: IpAddr, port: u16) -> Option<EnvironmentId> {
        if let Some(found) = self.addresses.get(&ip).and_then(|ports| ports.get(port)) {
            return Some(found);
        }
        let (ranges, width) = match ip {
            IpAddr::V4(_) => (&self.v4, 32),
            IpAddr::V6(_) => (&self.v6, 128),
        };
        let bits = bits(ip);
        ranges
            .iter()
            .find_map(|(length, table)| table.get(&prefix(bits, width, *length)).copied())
    }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The first `length` of `width` bits.
fn prefix(bits: u128, width: u8, length: u8) -> u128 {
    bits.checked_shr(u32::from(width.saturating_sub(length)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environments() -> Environments {
        let mut all = Environments::default();
        for (name, destinations) in [
            (
                "prod",
                &[
                    "api.pay.example",
                    "10.20.0.0/16",
                    "*.pay.example",
                    "unix:/run/prod.sock",
                ][..],
            ),
            (
                "dev",
                &[
                    "*.dev.pay.example",
                    "ci.example:8080",
                    "10.20.9.0/24",
                    "10.20.9.7",
                    "::1",
                ],
            ),
            (
                "lab",
                &[
                    "ci.example",
                    "10.20.9.7:99",
                    "2001:db8::/32",
                    "unix:@lab",
                    "*.pay.example:99",
                ],
            ),
            ("edge", &["0.0.0.0/0", "198.51.100.1"]),
        ] {
            let id = all.add(name.into());
            for text in destinations {
                all.insert(Destination::parse(text).unwrap(), id).unwrap();
            }
        }
        all
    }

    fn name(all: &Environments, id: Option<EnvironmentId>) -> &str {
        id.and_then(|id| all.name(id)).map_or("-", |name| name)
    }

    #[test]
    fn addresses_are_listed_and_names_are_not() {
        let all = environments();
        let mut ranges: Vec<String> = all
            .ranges()
            .map(|(net, port, id)| {
                let name = all.name(id).map_or("?", |name| name);
                format!("{net} {port:?} {name}")
            })
            .collect();
        ranges.sort();
        assert_eq!(
            ranges,
            [
                "0.0.0.0/0 None edge",
                "10.20.0.0/16 None prod",
                "10.20.9.0/24 None dev",
                "10.20.9.7/32 None dev",
                "10.20.9.7/32 Some(99) lab",
                "198.51.100.1/32 None edge",
                "2001:db8::/32 None lab",
                "::1/128 None dev",
            ]
        );
    }

    #[test]
    fn finds_claimed_hosts() {
        let all = environments();
        for (host, want) in [
            ("api.pay.example", "prod"),
            ("api.pay.example:8443", "prod"),
            ("x.pay.example", "prod"),
            ("x.pay.example:99", "lab"),
            ("api.pay.example:99", "prod"),
            ("x.dev.pay.example", "dev"),
            ("dev.pay.example", "prod"),
            ("pay.example", "-"),
            ("ci.example", "lab"),
            ("ci.example:8080", "dev"),
            ("ci.example.", "lab"),
            ("10.20.1.1", "prod"),
            ("10.20.9.1:80", "dev"),
            ("10.20.9.7", "dev"),
            ("10.20.9.7:99", "lab"),
            ("192.0.2.1", "edge"),
            ("[::1]:8080", "dev"),
            ("[::ffff:10.20.1.1]", "prod"),
            ("[2001:db8:1::2]", "lab"),
            ("[2001:db9::]", "-"),
            ("-", "-"),
            ("", "-"),
            ("api.pay.example@x", "-"),
        ] {
            assert_eq!(name(&all, all.claimed(host)), want, "{host}");
        }
    }

    #[test]
    fn finds_peers() {
        let all = environments();
        for (peer, want) in [
            ("10.20.1.1:443", "prod"),
            ("[::ffff:10.20.1.1]:443", "prod"),
            ("10.20.9.7:99", "lab"),
            ("10.20.9.7:98", "dev"),
            ("[2001:db8::5]:1", "lab"),
            ("[::1]:1", "dev"),
        ] {
            let peer = Peer::Inet(peer.parse().unwrap());
            assert_eq!(name(&all, all.actual(&peer)), want, "{peer:?}");
        }
        for (path, want) in [
            ("/run/prod.sock", "prod"),
            ("/var/run/prod.sock", "prod"),
            ("@lab", "lab"),
            ("/x", "-"),
        ] {
            assert_eq!(
                name(&all, all.actual(&Peer::Unix(path.into()))),
                want,
                "{path}"
            );
        }
        assert_eq!(all.actual(&Peer::Unknown), None);
    }

    #[test]
    fn an_address_outranks_a_claim() {
        let (prod, dev) = (EnvironmentId(0), EnvironmentId(1));
        let found = |claimed, actual| Found { claimed, actual };
        assert_eq!(found(Some(dev), Some(prod)).environment(), Some(prod));
        assert_eq!(found(Some(dev), Some(prod)).conflict(), Some(dev));
        assert_eq!(found(Some(dev), Some(dev)).conflict(), None);
        assert_eq!(found(Some(dev), None).environment(), Some(dev));
        assert_eq!(found(Some(dev), None).conflict(), None);
        assert_eq!(found(None, Some(prod)).environment(), Some(prod));
    }

    #[test]
    fn the_same_destination_twice_is_an_error() {
        let mut all = Environments::default();
        let (a, b) = (all.add("a".into()), all.add("b".into()));
        for text in [
            "x.example",
            "*.example:1",
            "10.0.0.0/8",
            "10.0.0.1:5",
            "unix:/run/a",
            "*",
        ] {
            let parse = || Destination::parse(text).unwrap();
            assert_eq!(all.insert(parse(), a), Ok(()), "{text}");
            assert_eq!(all.insert(parse(), a), Ok(()), "{text}");
            assert_eq!(all.insert(parse(), b), Err(a), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_destination() {
        for bad in [
            "",
            "http://x.example",
            "x.example/v1",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "unix:",
            "unix:x",
            "a b",
            "2001:db8::/129",
            "*.*.x",
        ] {
            let fault = Destination::parse(bad).expect_err(bad);
            assert!(fault.hint.is_some(), "{bad}");
        }
        assert_eq!(
            Destination::parse("::ffff:10.0.0.0/104"),
            Ok(Destination::Network("10.0.0.0/8".parse().unwrap()))
        );
    }

    #[test]
    fn a_long_host_costs_little_and_matches_nothing() {
        assert_eq!(environments().claimed(&".pay.example".repeat(1000)), None);
    }
}
