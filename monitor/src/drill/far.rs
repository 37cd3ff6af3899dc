//! Another host, as far as this kernel can tell: behind a TUN device, a TCP that keeps nothing. Each segment
//! says all that is needed for the answer to it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::sys;

/// This side's address and the far host's. TEST-NET-3 (RFC 5737): routed nowhere else.
const HERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Where it listens.
pub(super) const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(THERE), 80);

/// Starts it, until the process ends.
///
/// # Errors
/// When this kernel has no TUN device, or no thread can be had.
pub(super) fn start() -> io::Result<()> {
    let device = sys::tun(HERE, Ipv4Addr::new(255, 255, 255, 0))?;
    std::thread::Builder::new()
        .name("drill-far".to_owned())
        .spawn(move || run(device))?;
    Ok(())
}

fn run(mut device: File) {
    let mut packet = [0; 2048];
    while let Ok(length) = device.read(&mut packet) {
        if let Some(answer) = packet.get(..length).and_then(answer) {
            // What cannot be sent is sent again by the other side.
            let _ = device.write_all(&answer);
        }
    }
}

/// The packet that answers a packet.
fn answer(packet: &[u8]) -> Option<Vec<u8>> {
    let header = usize::from(packet.first()? & 15) * 4;
    // IPv4, TCP.
    if packet.first()? >> 4 != 4 || *packet.get(9)? != 6 {
        return None;
    }
    let segment = packet.get(header..)?;
    let field = |at: usize| -> Option<u32> {
        Some(u32::from_be_bytes(
            segment.get(at..at + 4)?.try_into().ok()?,
        ))
    };
    let (ports, their_seq, their_ack) = (field(0)?, field(4)?, field(8)?);
    let data = segment.get(usize::from(segment.get(12)? >> 4) * 4..)?;
    let flags = *segment.get(13)?;
    let length = u32::try_from(data.len()).ok()?;
    let (flags, seq, ack, data): (u8, u32, u32, &[u8]) = if flags & RST != 0 {
        return None;
    } else if flags & SYN != 0 {
        (SYN | ACK, 7000, their_seq.wrapping_add(1), b"")
    } else if flags & FIN != 0 {
        let ack = their_seq.wrapping_add(length).wrapping_add(1);
        (FIN | ACK, their_ack, ack, b"")
    } else if data.is_empty() {
        return None;
    } else {
        let answer = if data.ends_with(b"\r\n\r\n") { OK } else { b"" };
        (PSH | ACK, their_ack, their_seq.wrapping_add(length), answer)
    };
    let mut tcp = Vec::with_capacity(20 + data.len());
    tcp.extend(ports.rotate_left(16).to_be_bytes());
    tcp.extend(seq.to_be_bytes());
    tcp.extend(ack.to_be_bytes());
    // Five words, flags, a window of 65,535; the checksum is filled in below.
    tcp.extend([5 << 4, flags, 255, 255, 0, 0, 0, 0]);
    tcp.extend(data);
    let (from, to) = (packet.get(16..20)?, packet.get(12..16)?);
    let size = u16::try_from(tcp.len()).ok()?;
    let pseudo = [from, to, &[0, 6], &size.to_be_bytes()].concat();
    let sum = checksum(&[&pseudo, &tcp]);
    tcp.get_mut(16..18)?.copy_from_slice(&sum.to_be_bytes());

    let mut ip = vec![0x45, 0];
    ip.extend((size + 20).to_be_bytes());
    // No identification, do not fragment, 64 hops, TCP.
    ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    ip.extend(from);
    ip.extend(to);
    let sum = checksum(&[&ip]);
    ip.get_mut(10..12)?.copy_from_slice(&sum.to_be_bytes());
    ip.extend(tcp);
    Some(ip)
}

/// RFC 1071. All parts but the last have even lengths.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words
        .map(|word| {
            let high = u32::from(*word.first().unwrap_or(&0)) << 8;
            high | u32::from(*word.get(1).unwrap_or(&0))
        })
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panic")]

    use super::*;

    /// A segment from HERE, port 40000, to THERE, port 80.
    fn packet(flags: u8, seq: u32, ack: u32, data: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0];
        packet.extend(HERE.octets());
        packet.extend(THERE.octets());
        packet.extend(40_000_u16.to_be_bytes());
        packet.extend(80_u16.to_be_bytes());
        packet.extend(seq.to_be_bytes());
        packet.extend(ack.to_be_bytes());
        packet.extend([5 << 4, flags, 255, 255, 0, 0, 0, 0]);
        packet.extend(data);
        packet
    }

    fn numbers(packet: &[u8]) -> (u16, u16, u32, u32, u8) {
        let short = |at: usize| u16::from_be_bytes(packet[at..at + 2].try_into().unwrap());
        let long = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
        (short(20), short(22), long(24), long(28), packet[33])
    }

    #[test]
    fn a_connection_is_made_answered_and_ended() {
        let open = answer(&packet(SYN, 5, 0, b"")).unwrap();
        assert_eq!(numbers(&open), (80, 40_000, 7000, 6, SYN | ACK));
        assert_eq!(answer(&packet(ACK, 6, 7001, b"")), None);
        let request = b"GET / HTTP/1.1\r\n\r\n";
        let told = answer(&packet(PSH | ACK, 6, 7001, request)).unwrap();
        assert_eq!(numbers(&told), (80, 40_000, 7001, 24, PSH | ACK));
        assert!(told.ends_with(OK));
        let part = answer(&packet(PSH | ACK, 6, 7001, b"GET /")).unwrap();
        assert_eq!(part.len(), 40);
        let end = answer(&packet(FIN | ACK, 24, 7042, b"")).unwrap();
        assert_eq!(numbers(&end), (80, 40_000, 7042, 25, FIN | ACK));
    }

    #[test]
    fn checksums_are_right() {
        let open = answer(&packet(SYN, 5, 0, b"")).unwrap();
        // A sum over what has its checksum in it is 0.
        assert_eq!(checksum(&[&open[..20]]), 0);
        let size = u16::try_from(open.len() - 20).unwrap().to_be_bytes();
        let pseudo = [&open[12..20], &[0, 6], &size].concat();
        assert_eq!(checksum(&[&pseudo, &open[20..]]), 0);
    }

    #[test]
    fn what_is_no_tcp_has_no_answer() {
        for bytes in [&b""[..], &[0x45; 19], &[0x60; 40], &[0x4f; 30]] {
            assert_eq!(answer(bytes), None);
        }
    }
}
