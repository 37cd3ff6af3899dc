//! Another host, as far as this one's kernel can tell: behind a TUN device, a few lines of TCP that only the
//! test knows. What happens at its end of a connection no probe of this kernel sees.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

use crate::patience;

/// This host's address on the device. TEST-NET-3 (RFC 5737): routed nowhere else.
pub const HERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The other host's.
pub const THERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const FIN: u8 = 1;
const SYN: u8 = 2;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// A request that the other host is making: its bytes, and who waits for the answer.
type Pending = (Vec<u8>, Sender<Vec<u8>>);

/// The other host: answers every request to any port with 200, and makes requests. Gone when dropped.
#[derive(Debug)]
pub struct Remote {
    name: String,
    device: File,
    pending: Arc<Mutex<HashMap<u16, Pending>>>,
    next_port: u16,
}

/// One TCP segment.
#[derive(Clone, Debug, Default)]
struct Segment {
    from: u16,
    to: u16,
    seq: u32,
    ack: u32,
    flags: u8,
    data: Vec<u8>,
}

impl Remote {
    /// Makes the device and the route to the other host.
    ///
    /// # Errors
    /// When this kernel has no TUN, or the addresses are in use.
    pub fn start() -> Result<Self> {
        let device = File::options()
            .read(true)
            .write(true)
            .open("/dev/net/tun")
            .context("/dev/net/tun")?;
        // struct ifreq: a name of 16 bytes, which the kernel fills in, and flags.
        let mut request = [0_u8; 40];
        request[..6].copy_from_slice(b"bwtun%");
        request[6] = b'd';
        let flags = u16::try_from(libc::IFF_TUN | libc::IFF_NO_PI)?;
        request[16..18].copy_from_slice(&flags.to_ne_bytes());
        // SAFETY: TUNSETIFF reads and writes a struct ifreq, which is 40 bytes, at this address.
        let result =
            unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) };
        ensure!(
            result == 0,
            "TUNSETIFF: {}",
            std::io::Error::last_os_error()
        );
        let end = request[..16]
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(16);
        let name = String::from_utf8(request[..end].to_vec())?;
        let address = format!("{HERE}/24");
        for args in [
            &["addr", "add", &*address, "dev", &*name][..],
            &["link", "set", &*name, "up"],
        ] {
            let output = Command::new("/usr/sbin/ip").args(args).output()?;
            ensure!(
                output.status.success(),
                "ip {args:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let pending = Arc::new(Mutex::new(HashMap::new()));
        let host = Host {
            device: device.try_clone()?,
            pending: Arc::clone(&pending),
        };
        std::thread::spawn(move || host.run());
        Ok(Self {
            name,
            device,
            pending,
            next_port: 40_000,
        })
    }

    /// A request from the other host to a port of this one; returns the answer's bytes.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn send(&mut self, port: u16, request: &[u8]) -> Result<Vec<u8>> {
        let (sender, answer): (_, Receiver<Vec<u8>>) = channel();
        self.next_port += 1;
        let from = self.next_port;
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.insert(from, (request.to_vec(), sender));
        drop(pending);
        let syn = Segment {
            from,
            to: port,
            seq: 7000,
            flags: SYN,
            ..Segment::default()
        };
        (&self.device).write_all(&syn.packet())?;
        answer
            .recv_timeout(patience())
            .context("this host did not answer the other one")
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // The thread that reads holds the device too; it ends when the device is gone.
        let _ = Command::new("/usr/sbin/ip")
            .args(["link", "del", &self.name])
            .status();
    }
}

struct Host {
    device: File,
    pending: Arc<Mutex<HashMap<u16, Pending>>>,
}

impl Host {
    /// Answers what comes until the device is gone.
    fn run(mut self) {
        let mut heads: HashMap<u16, Vec<u8>> = HashMap::new();
        let mut buffer = [0; 65536];
        while let Ok(length) = self.device.read(&mut buffer) {
            let Some(segment) = Segment::parse(&buffer[..length]) else {
                continue;
            };
            let request = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            let ours = request.get(&segment.to).cloned();
            drop(request);
            let answers = match ours {
                Some(pending) => as_client(&segment, &pending),
                None => as_server(&segment, heads.entry(segment.from).or_default()),
            };
            for answer in answers {
                // A kernel that drops it sends its own again.
                let _ = self.device.write_all(&answer.packet());
            }
        }
    }
}

/// What a client that sends one request and then ends says to a segment.
fn as_client(got: &Segment, (request, sender): &Pending) -> Vec<Segment> {
    let ack = Segment {
        flags: ACK,
        seq: got.ack,
        ..got.answer()
    };
    if got.flags & SYN != 0 {
        return vec![
            ack.clone(),
            Segment {
                flags: ACK | PSH,
                data: request.clone(),
                ..ack
            },
        ];
    }
    if got.data.is_empty() {
        return if got.flags & FIN != 0 {
            vec![ack]
        } else {
            Vec::new()
        };
    }
    // The test may have stopped waiting.
    let _ = sender.send(got.data.clone());
    vec![Segment {
        flags: ACK | FIN,
        ..ack
    }]
}

/// What a server says that answers each head.
fn as_server(got: &Segment, head: &mut Vec<u8>) -> Vec<Segment> {
    if got.flags & SYN != 0 {
        head.clear();
        return vec![Segment {
            flags: SYN | ACK,
            seq: 1000,
            ..got.answer()
        }];
    }
    let ack = Segment {
        flags: ACK,
        seq: got.ack,
        ..got.answer()
    };
    if got.flags & FIN != 0 {
        return vec![Segment {
            flags: ACK | FIN,
            ..ack
        }];
    }
    head.extend_from_slice(&got.data);
    if got.data.is_empty() {
        Vec::new()
    } else if head.ends_with(b"\r\n\r\n") {
        head.clear();
        vec![Segment {
            flags: ACK | PSH,
            data: ANSWER.to_vec(),
            ..ack
        }]
    } else {
        vec![ack]
    }
}

impl Segment {
    /// Addressed back, acknowledging all of it.
    fn answer(&self) -> Self {
        let control = u32::from(self.flags & SYN != 0) + u32::from(self.flags & FIN != 0);
        let length = u32::try_from(self.data.len()).unwrap_or(0);
        let ack = self.seq.wrapping_add(length).wrapping_add(control);
        Self {
            from: self.to,
            to: self.from,
            ack,
            ..Self::default()
        }
    }

    /// A TCP segment in an IPv4 packet for the other host; anything else is none.
    fn parse(packet: &[u8]) -> Option<Self> {
        let (ihl, total) = (
            usize::from(packet.first()? & 15) * 4,
            number(packet, 2, 2)? as usize,
        );
        if packet[0] >> 4 != 4 || *packet.get(9)? != 6 || packet.get(16..20)? != THERE.octets() {
            return None;
        }
        let tcp = packet.get(ihl..total)?;
        let offset = usize::from(tcp.get(12)? >> 4) * 4;
        Some(Self {
            from: number(tcp, 0, 2)? as u16,
            to: number(tcp, 2, 2)? as u16,
            seq: number(tcp, 4, 4)?,
            ack: number(tcp, 8, 4)?,
            flags: *tcp.get(13)?,
            data: tcp.get(offset..)?.to_vec(),
        })
    }

    /// From the other host to this one (RFC 791, RFC 9293).
    fn packet(&self) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend(self.from.to_be_bytes());
        tcp.extend(self.to.to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        // Five words of header, flags, a window of 65,535, no checksum yet, nothing urgent.
        tcp.extend([5 << 4, self.flags, 255, 255, 0, 0, 0, 0]);
        tcp.extend(&self.data);
        let length = u16::try_from(tcp.len()).unwrap_or(u16::MAX);
        let mut pseudo = [THERE.octets(), HERE.octets()].concat();
        pseudo.extend([0, 6]);
        pseudo.extend(length.to_be_bytes());
        pseudo.extend(&tcp);
        tcp[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
        let mut ip = vec![0x45, 0];
        ip.extend((length + 20).to_be_bytes());
        ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        ip.extend(THERE.octets());
        ip.extend(HERE.octets());
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        ip.extend(tcp);
        ip
    }
}

/// A big-endian number.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u32> {
    Some(
        bytes
            .get(at..at + length)?
            .iter()
            .fold(0, |sum, byte| sum << 8 | u32::from(*byte)),
    )
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
