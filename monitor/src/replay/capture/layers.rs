//! From a packet's first byte to its TCP segment.
//!
//! Checksums are not looked at: of what a host sends itself, captures mostly hold those that its network card had yet
//! to fill in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::interfaces::Order;

/// Most tags of VLANs, and most extension headers of IPv6, that are passed over.
const MOST_NESTED: usize = 8;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86DD;
const VLAN: [u16; 4] = [0x8100, 0x88A8, 0x9100, 0x9200];
const TCP: u8 = 6;

/// What the first bytes of a packet are (tcpdump.org/linktypes.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// Ethernet.
    Ethernet,
    /// An address family in the byte order of whoever captured, then IP.
    Null,
    /// An address family in network byte order, then IP.
    Loop,
    /// IPv4 or IPv6.
    Ip,
    /// Linux' "any" interface, as it was.
    Cooked,
    /// The same, as it is.
    Cooked2,
    /// Something else.
    Other(u32),
}

impl LinkType {
    /// By number.
    #[must_use]
    pub fn of(number: u32) -> Self {
        match number {
            0 => Self::Null,
            1 => Self::Ethernet,
            // 12 and 14 are what some systems wrote for 101; 228 and 229 are one version each.
            12 | 14 | 101 | 228 | 229 => Self::Ip,
            108 => Self::Loop,
            113 => Self::Cooked,
            276 => Self::Cooked2,
            other => Self::Other(other),
        }
    }
}

/// Why a packet has no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// A link type that is not read.
    Link,
    /// Not IP.
    NotIp,
    /// IP, but not TCP.
    NotTcp,
    /// A fragment: fragments are not put together.
    Fragment,
    /// So little of it was captured that its headers are not all there.
    Cut,
    /// Its headers contradict themselves.
    Malformed,
}

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// From here.
    pub from: SocketAddr,
    /// To here.
    pub to: SocketAddr,
    /// Sequence number.
    pub seq: u32,
    /// What it acknowledges.
    pub ack: Option<u32>,
    /// It begins a connection.
    pub syn: bool,
    /// It ends its direction.
    pub fin: bool,
    /// It ends the connection.
    pub rst: bool,
    /// Captured bytes.
    pub data: &'a [u8],
    /// Bytes behind these that were not captured.
    pub hole: u32,
}

/// The segment of a packet of which `data` was captured of `length` bytes.
///
/// # Errors
/// Says what it is instead.
pub(super) fn segment(link: LinkType, data: &[u8], length: u32) -> Result<Segment<'_>, Other> {
    let missing = usize::try_from(length)
        .unwrap_or(usize::MAX)
        .saturating_sub(data.len());
    let word = |at| Order::Big.u16(data, at).ok_or(Other::Cut);
    let behind = |at| data.get(at..).ok_or(Other::Cut);
    match link {
        LinkType::Ip | LinkType::Null | LinkType::Loop => {
            // The family's number differs from system to system; the version of IP does not.
            let at = if link == LinkType::Ip { 0 } else { 4 };
            let packet = behind(at)?;
            match packet.first().ok_or(Other::Cut)? >> 4 {
                4 => ipv4(packet, missing),
                6 => ipv6(packet, missing),
                _ => Err(Other::NotIp),
            }
        }
        LinkType::Ethernet => typed(word(12)?, behind(14)?, missing),
        LinkType::Cooked => typed(word(14)?, behind(16)?, missing),
        LinkType::Cooked2 => typed(word(0)?, behind(20)?, missing),
        LinkType::Other(_) => Err(Other::Link),
    }
}

fn typed(mut kind: u16, mut packet: &[u8], missing: usize) -> Result<Segment<'_>, Other> {
    for _ in 0..MOST_NESTED {
        match kind {
            IPV4 => return ipv4(packet, missing),
            IPV6 => return ipv6(packet, missing),
            tag if VLAN.contains(&tag) => {
                kind = Order::Big.u16(packet, 2).ok_or(Other::Cut)?;
                packet = packet.get(4..).ok_or(Other::Cut)?;
            }
            _ => break,
        }
    }
    Err(Other::NotIp)
}

/// Cuts a payload of `length` bytes out of what was captured of it; how many of its bytes are missing. A length of
/// `None` reaches to the packet's end.
fn payload(rest: &[u8], length: Option<usize>, missing: usize) -> Result<(&[u8], usize), Other> {
    let there = rest.len().saturating_add(missing);
    let length = length.unwrap_or(there);
    if length > there {
        return Err(Other::Malformed);
    }
    // What is behind it fills a frame up.
    let captured = rest.get(..length).unwrap_or(rest);
    Ok((captured, length - captured.len()))
}

fn ipv4(packet: &[u8], missing: usize) -> Result<Segment<'_>, Other> {
    let head: &[u8; 20] = packet.first_chunk().ok_or(Other::Cut)?;
    let [
        first,
        _,
        l0,
        l1,
        _,
        _,
        f0,
        f1,
        _,
        protocol,
        _,
        _,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ] = *head;
    let header = usize::from(first & 0x0F) * 4;
    if first >> 4 != 4 || header < 20 {
        return Err(Other::Malformed);
    }
    if u16::from_be_bytes([f0, f1]) & 0x3FFF != 0 {
        return Err(Other::Fragment);
    }
    if protocol != TCP {
        return Err(Other::NotTcp);
    }
    let rest = packet.get(header..).ok_or(Other::Cut)?;
    // What a network card had yet to cut into packets says 0.
    let length = match usize::from(u16::from_be_bytes([l0, l1])) {
        0 => None,
        total => Some(total.checked_sub(header).ok_or(Other::Malformed)?),
    };
    let (rest, missing) = payload(rest, length, missing)?;
    let from = Ipv4Addr::new(s0, s1, s2, s3);
    tcp(
        from.into(),
        Ipv4Addr::new(d0, d1, d2, d3).into(),
        rest,
        missing,
    )
}

fn ipv6(packet: &[u8], missing: usize) -> Result<Segment<'_>, Other> {
    let head: &[u8; 40] = packet.first_chunk().ok_or(Other::Cut)?;
    let address = |at| {
        let bytes: Option<&[u8; 16]> = head.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map(|bytes| Ipv6Addr::from(*bytes)).ok_or(Other::Cut)
    };
    let (from, to) = (address(8)?, address(24)?);
    let [first, _, _, _, l0, l1, next, ..] = *head;
    if first >> 4 != 6 {
        return Err(Other::Malformed);
    }
    let length = match usize::from(u16::from_be_bytes([l0, l1])) {
        0 => None,
        length => Some(length),
    };
    let rest = packet.get(40..).ok_or(Other::Cut)?;
    let (mut rest, missing) = payload(rest, length, missing)?;
    let mut next = next;
    for _ in 0..MOST_NESTED {
        let length = match (next, rest.get(1)) {
            (TCP, _) => return tcp(from.into(), to.into(), rest, missing),
            (44, _) => {
                let place = Order::Big.u16(rest, 2).ok_or(Other::Cut)?;
                if place & 0xFFF9 != 0 {
                    return Err(Other::Fragment);
                }
                8
            }
            // Hop by hop, routing, destination, mobility, host identity, shim.
            (0 | 43 | 60 | 135 | 139 | 140, Some(eights)) => (usize::from(*eights) + 1) * 8,
            // Authentication.
            (51, Some(fours)) => (usize::from(*fours) + 2) * 4,
            (0 | 43 | 60 | 135 | 139 | 140 | 51, None) => return Err(Other::Cut),
            _ => return Err(Other::NotTcp),
        };
        next = *rest.first().ok_or(Other::Cut)?;
        rest = rest.get(length..).ok_or(Other::Cut)?;
    }
    Err(Other::NotTcp)
}

fn tcp(from: IpAddr, to: IpAddr, rest: &[u8], missing: usize) -> Result<Segment<'_>, Other> {
    let head: &[u8; 20] = rest.first_chunk().ok_or(Other::Cut)?;
    let word = |at| Order::Big.u32(head, at).ok_or(Other::Cut);
    let port = |at| Order::Big.u16(head, at).ok_or(Other::Cut);
    let [.., offset, flags, _, _, _, _, _, _] = *head;
    let header = usize::from(offset >> 4) * 4;
    if header < 20 {
        return Err(Other::Malformed);
    }
    if header > rest.len() {
        return Err(if header > rest.len().saturating_add(missing) {
            Other::Malformed
        } else {
            Other::Cut
        });
    }
    Ok(Segment {
        from: SocketAddr::new(from, port(0)?),
        to: SocketAddr::new(to, port(2)?),
        seq: word(4)?,
        ack: (flags & 0x10 != 0).then_some(word(8)?),
        fin: flags & 0x01 != 0,
        syn: flags & 0x02 != 0,
        rst: flags & 0x04 != 0,
        data: rest.get(header..).unwrap_or_default(),
        hole: u32::try_from(missing).unwrap_or(u32::MAX),
    })
}
