//! Connections as they are: one link for what may be two sockets of this host, the two ends of it.
//!
//! Both ends see the same bytes at the same sequence numbers, so their records feed one decoder: what
//! one end lost the other fills in, and an exchange is decoded once however many ends are here.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hashbrown::HashMap;
use monitor_ebpf::{Open, open_flag};

use super::analyst::Pending;
use super::taps::Side;
use super::turns::Turns;
use crate::access::Endpoint;
use crate::wire::Connection;

const AF_UNIX: u16 = 1;

/// How the two ends of one connection find each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Both addresses, the smaller first, with the first sequence number of what it sends (0 when not
    /// seen): two network namespaces can have the same addresses at the same time.
    Inet([([u8; 16], u16, u32); 2]),
    /// A unix socket's own id.
    Unix(u64),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) wire: Connection<Pending>,
    pub(super) client: Option<Endpoint>,
    pub(super) server: Option<Endpoint>,
    /// Sockets of this host that belong to it.
    pub(super) taps: u8,
    /// The server's address, as the client sees it.
    pub(super) server_address: Option<SocketAddr>,
    /// The client's address, as the server sees it.
    pub(super) client_address: Option<SocketAddr>,
    pub(super) unix_path: Option<Arc<str>>,
    /// Offsets are the same at both ends; else only the first end's bytes are used.
    pub(super) sequenced: bool,
    /// Socket that was there first.
    pub(super) lead: u64,
    pub(super) lead_side: Option<Side>,
    /// Pass of the last record.
    pub(super) last: u64,
    /// Time since which the decoder waits for bytes of the other end, ns; 0 when it does not.
    pub(super) waits_since: u64,
    /// Bytes whose turn has not come.
    pub(super) turns: Turns,
    /// Heap held by the decoder when last asked.
    pub(super) memory: usize,
    bases: Option<(u32, u32)>,
    keys: [Option<Key>; 2],
}

impl Link {
    fn new(lead: u64, side: Option<Side>, bases: Option<(u32, u32)>) -> Self {
        Self {
            wire: Connection::new(bases),
            client: None,
            server: None,
            taps: 1,
            server_address: None,
            client_address: None,
            unix_path: None,
            sequenced: false,
            lead,
            lead_side: side,
            last: 0,
            waits_since: 0,
            turns: Turns::default(),
            memory: 0,
            bases,
            keys: [None, None],
        }
    }

    /// Both ends, or a peer that can only be on this host.
    pub(super) fn local(&self) -> bool {
        self.taps > 1
            || (self.client.is_some() && self.server.is_some())
            || self.unix_path.is_some()
            || self.lead_is_local()
    }

    fn lead_is_local(&self) -> bool {
        let address = self.server_address.or(self.client_address);
        match (address, self.keys[0]) {
            (Some(address), _) => address.ip().to_canonical().is_loopback(),
            (None, Some(Key::Unix(_))) => true,
            _ => false,
        }
    }
}

/// All links, and how to find them.
#[derive(Debug, Default)]
pub(super) struct Links {
    slots: Vec<Option<Link>>,
    free: Vec<u32>,
    by_key: HashMap<Key, u32>,
    live: usize,
}

impl Links {
    pub(super) fn len(&self) -> usize {
        self.live
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Link> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Link)> {
        (0..)
            .zip(&self.slots)
            .filter_map(|(i, slot)| slot.as_ref().map(|link| (i, link)))
    }

    fn insert(&mut self, link: Link) -> u32 {
        self.live += 1;
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            *slot = Some(link);
            return index;
        }
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Some(link));
        index
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<Link> {
        let link = self.slots.get_mut(index as usize)?.take()?;
        self.live -= 1;
        self.free.push(index);
        for key in link.keys.into_iter().flatten() {
            if self.by_key.get(&key) == Some(&index) {
                self.by_key.remove(&key);
            }
        }
        Some(link)
    }

    /// A socket of which no open record came.
    pub(super) fn stray(&mut self, sock: u64) -> u32 {
        self.insert(Link::new(sock, None, None))
    }

    /// Finds or makes the link of a new socket, and says which end the socket is.
    pub(super) fn open(&mut self, record: &Open) -> (u32, Option<Side>) {
        let flags = record.header.flags;
        let unix = record.family == AF_UNIX;
        let mut side = if flags & open_flag::CLIENT != 0 {
            Some(Side::Client)
        } else if flags & open_flag::SERVER != 0 {
            Some(Side::Server)
        } else if unix && record.header.len > 0 {
            // The kernel program notes whose name it found: the listener's own, or the peer's.
            Some(if record.header.dir == 1 {
                Side::Server
            } else {
                Side::Client
            })
        } else {
            None
        };
        let bases = match (unix, flags & open_flag::FRESH != 0, side) {
            (true, ..) => Some((0, 0)),
            (false, true, Some(Side::Client)) => Some((record.tx_base, record.rx_base)),
            (false, true, Some(Side::Server)) => Some((record.rx_base, record.tx_base)),
            _ => None,
        };
        let (own, other) = keys(record);
        let found = self
            .by_key
            .get(&other)
            .copied()
            .filter(|index| self.pairs_with(*index, record, bases));
        let index = match found {
            Some(index) => {
                if let Some(link) = self.get_mut(index) {
                    link.taps = 2;
                    side = side.or(match link.lead_side {
                        Some(Side::Client) => Some(Side::Server),
                        Some(Side::Server) => Some(Side::Client),
                        None => None,
                    });
                }
                index
            }
            None => self.insert(Link::new(record.sock, side, bases)),
        };
        let (local, remote) = addresses(record);
        if let Some(link) = self.get_mut(index) {
            link.sequenced = flags & open_flag::SEQUENCED != 0;
            match side {
                Some(Side::Server) => {
                    link.client_address = link.client_address.or(remote);
                    link.server_address = link.server_address.or(local);
                }
                // Until the side is known, the remote end is taken for the server.
                Some(Side::Client) | None => {
                    link.server_address = remote.or(link.server_address);
                    link.client_address = local.or(link.client_address);
                }
            }
            if unix && link.unix_path.is_none() {
                link.unix_path = unix_path(record);
            }
            if link.keys[0].is_none() {
                link.keys[0] = Some(own);
            } else {
                link.keys[1] = Some(own);
            }
        }
        self.by_key.insert(own, index);
        (index, side)
    }

    /// Whether the socket can be the other end of a link found by its key: the sequence numbers of a
    /// connection that both saw begin must agree.
    fn pairs_with(&self, index: u32, record: &Open, bases: Option<(u32, u32)>) -> bool {
        let Some(Some(link)) = self.slots.get(index as usize) else {
            return false;
        };
        let agree = match (link.bases, bases) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        link.taps == 1 && link.lead != record.sock && agree
    }
}

/// The socket's own key, and the one its other end would have.
fn keys(record: &Open) -> (Key, Key) {
    if record.family == AF_UNIX {
        return (Key::Unix(record.local_id), Key::Unix(record.peer_id));
    }
    let local = (record.local, record.local_port, record.tx_base);
    let remote = (record.remote, record.remote_port, record.rx_base);
    let key = Key::Inet(if local <= remote {
        [local, remote]
    } else {
        [remote, local]
    });
    (key, key)
}

fn addresses(record: &Open) -> (Option<SocketAddr>, Option<SocketAddr>) {
    if record.family == AF_UNIX {
        return (None, None);
    }
    let address = |bytes: [u8; 16], port| {
        let ip = IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical();
        Some(SocketAddr::new(ip, port))
    };
    (
        address(record.local, record.local_port),
        address(record.remote, record.remote_port),
    )
}

fn unix_path(record: &Open) -> Option<Arc<str>> {
    let bytes = record.path.get(..record.header.len as usize)?;
    let (prefix, name) = match bytes {
        [] => return None,
        // An abstract name is all of its bytes; a path ends at the first zero.
        [0, name @ ..] => ("@", name),
        name => ("", name.split(|byte| *byte == 0).next().unwrap_or_default()),
    };
    Some(format!("{prefix}{}", String::from_utf8_lossy(name)).into())
}
