//! Captures made by tests: conversations, segments, packets, files. Also for tests outside of the library.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "shared by several tests, which need parts of it"
)]

use std::net::{IpAddr, SocketAddr};

pub const SYN: u8 = 2;
pub const FIN: u8 = 1;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;
/// 2026-11-24T08:00:00Z, in ns.
pub const MORNING: u64 = 1_795_507_200_000_000_000;
pub const MS: u64 = 1_000_000;

#[derive(Clone, Debug)]
pub struct Seg {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub data: Vec<u8>,
    pub time: u64,
}

/// A conversation, whose packets come 1 ms apart.
pub struct Talk {
    pub ends: [SocketAddr; 2],
    pub next: [u32; 2],
    pub now: u64,
    pub segs: Vec<Seg>,
}

impl Talk {
    pub fn new(client: &str, server: &str) -> Self {
        Self {
            ends: [client.parse().unwrap(), server.parse().unwrap()],
            next: [1000, 5000],
            now: MORNING,
            segs: Vec::new(),
        }
    }

    pub fn at(mut self, client: u32, server: u32) -> Self {
        self.next = [client, server];
        self
    }

    /// A segment from the client (0) or the server (1).
    pub fn seg(&mut self, end: usize, flags: u8, data: &[u8]) {
        self.now += MS;
        self.segs.push(Seg {
            from: self.ends[end],
            to: self.ends[1 - end],
            seq: self.next[end],
            ack: self.next[1 - end],
            flags,
            data: data.to_vec(),
            time: self.now,
        });
        let numbers = data.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        self.next[end] = self.next[end].wrapping_add(numbers);
    }

    pub fn open(mut self) -> Self {
        self.seg(0, SYN, b"");
        self.seg(1, SYN | ACK, b"");
        self.seg(0, ACK, b"");
        self
    }

    pub fn send(mut self, end: usize, data: impl AsRef<[u8]>) -> Self {
        for part in data.as_ref().chunks(1400) {
            self.seg(end, ACK, part);
        }
        self
    }

    pub fn ack(mut self, end: usize) -> Self {
        self.seg(end, ACK, b"");
        self
    }

    pub fn close(mut self) -> Self {
        self.seg(0, ACK | FIN, b"");
        self.seg(1, ACK | FIN, b"");
        self.seg(0, ACK, b"");
        self
    }
}

fn checked_ip(seg: &Seg, tcp: &[u8]) -> (u16, Vec<u8>) {
    match (seg.from.ip(), seg.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut ip = vec![0x45, 0];
            ip.extend((20 + tcp.len() as u16).to_be_bytes());
            ip.extend([0, 1, 0x40, 0, 64, 6, 0, 0]);
            ip.extend(from.octets());
            ip.extend(to.octets());
            ip.extend(tcp);
            (0x0800, ip)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut ip = vec![0x60, 0, 0, 0];
            ip.extend((tcp.len() as u16).to_be_bytes());
            ip.extend([6, 64]);
            ip.extend(from.octets());
            ip.extend(to.octets());
            ip.extend(tcp);
            (0x86DD, ip)
        }
        _ => panic!("two families"),
    }
}

impl Seg {
    pub fn tcp(&self) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend(self.from.port().to_be_bytes());
        tcp.extend(self.to.port().to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        // With a time stamp option, as usual.
        tcp.extend([0x80, self.flags, 0xFF, 0xFF, 0, 0, 0, 0]);
        tcp.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
        tcp.extend(&self.data);
        tcp
    }

    pub fn ip(&self) -> Vec<u8> {
        checked_ip(self, &self.tcp()).1
    }

    pub fn ethernet(&self) -> Vec<u8> {
        self.tagged(&[])
    }

    /// With tags of VLANs.
    pub fn tagged(&self, tags: &[u16]) -> Vec<u8> {
        let (kind, ip) = checked_ip(self, &self.tcp());
        let mut frame = vec![2; 12];
        for tag in tags {
            frame.extend(0x8100_u16.to_be_bytes());
            frame.extend(tag.to_be_bytes());
        }
        frame.extend(kind.to_be_bytes());
        frame.extend(ip);
        frame
    }
}

/// A classic file in little-endian microseconds.
pub fn pcap(link: u32, packets: &[(u64, Vec<u8>)]) -> Vec<u8> {
    classic(0xA1B2_C3D4, u32::to_le_bytes, 1000, link, packets)
}

pub fn classic(
    magic: u32,
    word: fn(u32) -> [u8; 4],
    tick: u64,
    link: u32,
    packets: &[(u64, Vec<u8>)],
) -> Vec<u8> {
    let mut file = Vec::new();
    // Major and minor version are two halves of a word, whose order does not matter to us.
    for number in [magic, 0x0004_0002, 0, 0, 262_144, link] {
        file.extend(word(number));
    }
    for (time, data) in packets {
        let length = data.len() as u32;
        let (seconds, rest) = (time / 1_000_000_000, time % 1_000_000_000);
        for number in [seconds as u32, (rest / tick) as u32, length, length] {
            file.extend(word(number));
        }
        file.extend(data);
    }
    file
}

pub fn ethernet(segs: &[Seg]) -> Vec<u8> {
    let packets: Vec<_> = segs.iter().map(|seg| (seg.time, seg.ethernet())).collect();
    pcap(1, &packets)
}

/// Blocks of a pcapng file.
pub struct Blocks {
    pub file: Vec<u8>,
    pub big: bool,
}

impl Blocks {
    pub fn word(&self, number: u32) -> [u8; 4] {
        match self.big {
            true => number.to_be_bytes(),
            false => number.to_le_bytes(),
        }
    }

    pub fn half(&self, number: u16) -> [u8; 2] {
        match self.big {
            true => number.to_be_bytes(),
            false => number.to_le_bytes(),
        }
    }

    pub fn block(&mut self, kind: u32, body: &[u8]) {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = self.word(body.len() as u32 + 12);
        let kind = self.word(kind);
        self.file.extend(kind);
        self.file.extend(length);
        self.file.extend(body);
        self.file.extend(length);
    }

    pub fn section(big: bool) -> Self {
        let mut blocks = Self {
            file: Vec::new(),
            big,
        };
        blocks.begin(big);
        blocks
    }

    /// Another section.
    pub fn begin(&mut self, big: bool) {
        self.big = big;
        let body = [
            self.word(0x1A2B_3C4D).as_slice(),
            &self.half(1),
            &self.half(0),
            &[0xFF; 8],
        ]
        .concat();
        self.block(0x0A0D_0D0A, &body);
    }

    pub fn interface(&mut self, link: u16, snap: u32, options: &[(u16, &[u8])]) {
        let mut body = self.half(link).to_vec();
        body.extend([0, 0]);
        body.extend(self.word(snap));
        for (code, value) in options {
            body.extend(self.half(*code));
            body.extend(self.half(value.len() as u16));
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        self.block(1, &body);
    }

    pub fn packet(&mut self, interface: u32, ticks: u64, data: &[u8]) {
        let mut body = self.word(interface).to_vec();
        for number in [
            (ticks >> 32) as u32,
            ticks as u32,
            data.len() as u32,
            data.len() as u32,
        ] {
            body.extend(self.word(number));
        }
        body.extend(data);
        self.block(6, &body);
    }

    pub fn simple(&mut self, data: &[u8], length: u32) {
        let body = [self.word(length).as_slice(), data].concat();
        self.block(3, &body);
    }

    pub fn secrets(&mut self, text: &str) {
        let mut body = self.word(0x544C_534B).to_vec();
        body.extend(self.word(text.len() as u32));
        body.extend(text.as_bytes());
        self.block(10, &body);
    }
}
