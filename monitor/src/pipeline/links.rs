//! Connections as they are: one link for what may be two sockets of this host, the two ends of it.
//!
//! Both ends see the same bytes at the same sequence numbers, so their records feed one decoder: what
//! one end lost the other fills in, and an exchange is decoded once however many ends are here.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use monitor_ebpf::{Close, Open, open_flag};

use super::analyst::{Analyst, Pending, Receiver, Unnamed};
use super::ends::Ends;
use super::plain::Probed;
use super::secure::Secure;
use super::taps::Side;
use super::turns::{Turns, Waits};
use crate::contain::Socket;
use crate::coverage::First;
use crate::wire::tls::Keyring;
use crate::wire::{Connection, Dir, Piece};

const AF_UNIX: u16 = 1;
/// Most addresses of this host that are remembered.
const MOST_HOMES: usize = 4096;

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
    /// What the decoder's bytes are in, if they are encrypted.
    pub(super) tls: Option<Box<Secure>>,
    /// The same, where probes tell what they say in clear.
    pub(super) probed: Option<Probed>,
    pub(super) ends: Ends,
    /// Exchanges that wait for the other end's name.
    pub(super) unnamed: Unnamed,
    /// It is in the list of links that have such.
    pub(super) listed: bool,
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
    /// Position behind the clear text that was seen, towards the server and towards the client.
    seen: [Option<u32>; 2],
    /// Heap held by the decoder when last asked.
    pub(super) memory: usize,
    /// What its first bytes said.
    pub(super) first: First,
    /// It was encrypted already when it was first seen.
    pub(super) late_tls: bool,
    pub(super) bases: Option<(u32, u32)>,
    keys: [Option<Key>; 2],
}

impl Link {
    fn new(lead: u64, side: Option<Side>, bases: Option<(u32, u32)>, unix: bool) -> Self {
        Self {
            wire: Connection::new(bases),
            tls: None,
            probed: None,
            ends: Ends::new(unix),
            unnamed: Unnamed::new(),
            listed: false,
            sequenced: false,
            lead,
            lead_side: side,
            last: 0,
            waits_since: 0,
            turns: Turns::default(),
            seen: [None; 2],
            memory: 0,
            first: First::default(),
            late_tls: false,
            bases,
            keys: [None, None],
        }
    }

    /// The decoder, the pieces that wait, and who hears what the decoder says.
    pub(super) fn parts<'a>(
        &'a mut self,
        analyst: &'a mut Analyst,
    ) -> (&'a mut Connection<Pending>, &'a mut Turns, Receiver<'a>) {
        let receiver = Receiver {
            analyst,
            ends: &self.ends,
            unnamed: &mut self.unnamed,
        };
        (&mut self.wire, &mut self.turns, receiver)
    }

    /// Feeds the decoder what has its turn, and what has waited since before `limit` (ns).
    pub(super) fn pump(&mut self, analyst: &mut Analyst, limit: u64) {
        let (wire, turns, mut receiver) = self.parts(analyst);
        while let Some(kept) = turns.next(Waits::of(wire), limit) {
            wire.feed(kept.piece(), &mut receiver);
        }
    }

    /// Feeds the decoder a piece, or keeps it until it has its turn. Whether it is the first that is kept.
    pub(super) fn feed(&mut self, piece: &Piece<'_>, analyst: &mut Analyst) -> bool {
        let both = self.ends.taps > 1 && self.sequenced && !self.wire.left_http();
        let now = analyst.now;
        if self.wire.spoken().is_none() && self.bases.is_some() {
            self.first.take(piece.dir, piece.data);
        }
        let (wire, turns, mut receiver) = self.parts(analyst);
        let mut first = false;
        if both && turns.must_wait(piece, Waits::of(wire)) {
            if turns.full()
                && let Some(oldest) = turns.next(Waits::of(wire), u64::MAX)
            {
                wire.feed(oldest.piece(), &mut receiver);
            }
            first = turns.is_empty();
            turns.keep(piece, now);
        } else {
            wire.feed(*piece, &mut receiver);
        }
        while let Some(kept) = turns.next(Waits::of(wire), 0) {
            wire.feed(kept.piece(), &mut receiver);
        }
        first
    }

    /// Takes note of clear text. Whether any of it was not seen before: both ends tell of the same bytes.
    pub(super) fn is_news(&mut self, piece: &Piece<'_>) -> bool {
        let [up, down] = &mut self.seen;
        let seen = match piece.dir {
            Dir::ToServer => up,
            Dir::ToClient => down,
        };
        let captured = u32::try_from(piece.data.len()).unwrap_or(u32::MAX);
        let end = piece.off.wrapping_add(captured).wrapping_add(piece.hole);
        let news = seen.is_none_or(|seen| {
            let ahead = end.wrapping_sub(seen);
            ahead > 0 && ahead < 1 << 31
        });
        if news {
            *seen = Some(end);
        }
        news
    }

    /// The decoder, or TLS, waits for bytes that are missing.
    pub(super) fn waits(&self) -> bool {
        self.wire.waiting() || self.tls_waits()
    }

    /// Heap held by the decoders, in bytes.
    pub(super) fn heap(&self) -> usize {
        self.wire.memory() + self.tls_memory()
    }

    /// The decoders stop waiting for missing bytes.
    pub(super) fn settle(&mut self, analyst: &mut Analyst, ring: &mut Keyring) {
        self.settle_tls(analyst, ring);
        let (wire, _, mut receiver) = self.parts(analyst);
        wire.settle(&mut receiver);
    }

    /// Finishes exchanges that waited for a name in vain since before `limit` (ns), or need not any more.
    pub(super) fn name(&mut self, analyst: &mut Analyst, limit: u64) {
        if !self.unnamed.is_empty() {
            self.parts(analyst).2.name(limit);
        }
    }

    /// Puts the link into the list of those with exchanges that wait for a name, once.
    pub(super) fn list_unnamed(&mut self, index: u32, list: &mut Vec<u32>) {
        if !self.listed && !self.unnamed.is_empty() {
            self.listed = true;
            list.push(index);
        }
    }

    /// A socket of the link ended where `close` says. Whoever sent knows best; what was received counts
    /// when the other end is elsewhere.
    pub(super) fn reached(&mut self, side: Option<Side>, close: &Close, analyst: &mut Analyst) {
        let (sent, received) = match side {
            Some(Side::Client) => (Dir::ToServer, Dir::ToClient),
            Some(Side::Server) => (Dir::ToClient, Dir::ToServer),
            None => return,
        };
        let alone = self.ends.taps == 1 && !self.ends.local;
        let (wire, _, mut receiver) = self.parts(analyst);
        wire.reached(sent, close.ends[0], &mut receiver);
        if alone {
            wire.reached(received, close.ends[1], &mut receiver);
        }
    }

    /// The connection is gone.
    pub(super) fn close(&mut self, analyst: &mut Analyst) {
        let (wire, _, mut receiver) = self.parts(analyst);
        wire.close(&mut receiver);
        receiver.name(u64::MAX);
    }
}

/// All links, and how to find them.
#[derive(Debug, Default)]
pub(super) struct Links {
    slots: Vec<Option<Link>>,
    free: Vec<u32>,
    by_key: HashMap<Key, u32>,
    live: usize,
    /// Addresses at which sockets of this host were seen.
    homes: HashSet<IpAddr>,
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
        self.insert(Link::new(sock, None, None, false))
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
                    link.ends.tapped(2);
                    side = side.or(match link.lead_side {
                        Some(Side::Client) => Some(Side::Server),
                        Some(Side::Server) => Some(Side::Client),
                        None => None,
                    });
                }
                index
            }
            None => self.insert(Link::new(record.sock, side, bases, unix)),
        };
        let (local, remote) = addresses(record);
        if let Some(local) = local
            && self.homes.len() < MOST_HOMES
        {
            self.homes.insert(local.ip());
        }
        if let Some(Some(link)) = self.slots.get_mut(index as usize) {
            link.sequenced = flags & open_flag::SEQUENCED != 0;
            link.ends.address(side, local, remote);
            if remote.is_some_and(|remote| self.homes.contains(&remote.ip())) {
                link.ends.peer_is_here();
            }
            if unix {
                link.ends.unix_path(|| unix_path(record));
            }
            link.ends.opened(Socket {
                cookie: record.sock,
                local: record.local,
                remote: record.remote,
                local_port: record.local_port,
                remote_port: record.remote_port,
                family: record.family,
                protocol: record.protocol,
                netns: record.netns,
                pid: record.tgid,
                client: side == Some(Side::Client),
            });
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
        link.ends.taps == 1 && link.lead != record.sock && agree
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
