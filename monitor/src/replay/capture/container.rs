//! Capture files as a row of packets: classic pcap in both byte orders, with micro- or nanoseconds, and pcapng.
//!
//! (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.) A reader of our own: what it has to do is little, and
//! one buffer with a bound serves files of any size. What is damaged ends the file, and is told of.

use std::io::{self, BufRead, Read};

use super::interfaces::{Interface, Interfaces, Order};
use super::layers::LinkType;

/// Longest packet or block that is read, in bytes. Longer ones of pcapng are passed over; in pcap, which has nothing
/// else to tell where a packet ends, they are damage.
pub const LONGEST: u32 = 1 << 20;

const SECTION: u32 = 0x0A0D_0D0A;
const BYTE_ORDER: u32 = 0x1A2B_3C4D;
const INTERFACE: u32 = 1;
const SIMPLE: u32 = 3;
const ENHANCED: u32 = 6;
const SECRETS: u32 = 10;
/// Secrets in the form of a key log (draft-ietf-opsawg-pcapng §4.7).
const TLS_KEY_LOG: u32 = 0x544C_534B;
/// Bytes of type and length in front of a block, and of the length behind it.
const FRAME: u32 = 12;

/// A packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// What its first bytes are.
    pub link: LinkType,
    /// Nanoseconds since 1970; `None`: the file does not say.
    pub time: Option<u64>,
    /// Bytes that were captured.
    pub data: &'a [u8],
    /// How many there were.
    pub length: u32,
}

/// What comes next in a file.
pub enum Item<'a> {
    /// A packet.
    Packet(Packet<'a>),
    /// Text of a key log. Secret.
    Secrets(&'a [u8]),
    /// A packet of an interface that was not described, or a block that is too long or not as it should be.
    Unreadable,
}

impl std::fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Packet(packet) => packet.fmt(f),
            Self::Secrets(_) => f.write_str("Secrets"),
            Self::Unreadable => f.write_str("Unreadable"),
        }
    }
}

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It ends within a packet or block: it was being written, or was cut.
    #[error("ends in the middle of a packet")]
    Cut,
    /// It is no capture file, or damaged from here on.
    #[error("no capture file, or damaged")]
    Damaged,
}

enum Form {
    /// Byte order, nanoseconds a tick, type of all packets.
    Classic(Order, u64, LinkType),
    /// Byte order of the section, and its interfaces.
    Next(Order, Interfaces),
}

/// Whether a file that begins so is a capture.
#[must_use]
pub fn is_capture(begin: &[u8]) -> bool {
    begin
        .first_chunk()
        .is_some_and(|magic| classic(*magic).is_some() || u32::from_be_bytes(*magic) == SECTION)
}

/// Byte order and nanoseconds a tick that the first bytes of a classic file tell.
fn classic(magic: [u8; 4]) -> Option<(Order, u64)> {
    Some(match magic {
        [0xD4, 0xC3, 0xB2, 0xA1] => (Order::Little, 1000),
        [0xA1, 0xB2, 0xC3, 0xD4] => (Order::Big, 1000),
        [0x4D, 0x3C, 0xB2, 0xA1] => (Order::Little, 1),
        [0xA1, 0xB2, 0x3C, 0x4D] => (Order::Big, 1),
        _ => return None,
    })
}

/// The packets of a file.
pub struct Packets<R> {
    from: R,
    form: Form,
    /// The packet or block at hand.
    buffer: Vec<u8>,
}

impl<R> std::fmt::Debug for Packets<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packets")
    }
}

impl<R: BufRead> Packets<R> {
    /// Reads a file's beginning.
    ///
    /// # Errors
    /// It is none of a capture file.
    pub fn new(mut from: R) -> Result<Self, Fault> {
        let mut magic = [0; 4];
        whole(&mut from, &mut magic)?;
        let form = match classic(magic) {
            Some((order, tick)) => {
                let mut rest = [0; 20];
                whole(&mut from, &mut rest)?;
                // Version, time zone, accuracy and the longest packet tell nothing that is needed. The upper half
                // of the last word says how long frame check sequences are.
                let link = order.u32(&rest, 16).unwrap_or_default() & 0xFFFF;
                Form::Classic(order, tick, LinkType::of(link))
            }
            None if u32::from_be_bytes(magic) == SECTION => {
                let order = section(&mut from)?;
                Form::Next(order, Interfaces::default())
            }
            None => return Err(Fault::Damaged),
        };
        Ok(Self {
            from,
            form,
            buffer: Vec::new(),
        })
    }

    /// What comes next; `None` at the end.
    ///
    /// # Errors
    /// Says why nothing more can be read.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, Fault> {
        match self.form {
            Form::Classic(order, tick, link) => self.next_classic(order, tick, link),
            Form::Next(..) => self.next_block(),
        }
    }

    fn next_classic(
        &mut self,
        order: Order,
        tick: u64,
        link: LinkType,
    ) -> Result<Option<Item<'_>>, Fault> {
        let mut head = [0; 16];
        if !begins(&mut self.from, &mut head)? {
            return Ok(None);
        }
        let word = |at| u64::from(order.u32(&head, at).unwrap_or_default());
        let (seconds, fraction) = (word(0), word(4));
        let length = order.u32(&head, 8).unwrap_or_default();
        if length > LONGEST {
            return Err(Fault::Damaged);
        }
        fill(&mut self.from, &mut self.buffer, length)?;
        Ok(Some(Item::Packet(Packet {
            link,
            time: Some(seconds * 1_000_000_000 + fraction * tick),
            data: &self.buffer,
            length: order.u32(&head, 12).unwrap_or_default().max(length),
        })))
    }

    fn next_block(&mut self) -> Result<Option<Item<'_>>, Fault> {
        loop {
            let Form::Next(order, interfaces) = &mut self.form else {
                return Ok(None);
            };
            let mut kind = [0; 4];
            if !begins(&mut self.from, &mut kind)? {
                return Ok(None);
            }
            if u32::from_be_bytes(kind) == SECTION {
                // Numbers of interfaces begin anew.
                (*order, *interfaces) = (section(&mut self.from)?, Interfaces::default());
                continue;
            }
            let order = *order;
            let kind = order.u32(&kind, 0).unwrap_or_default();
            let mut length = [0; 4];
            whole(&mut self.from, &mut length)?;
            let length = order.u32(&length, 0).unwrap_or_default();
            let Some(body) = length
                .checked_sub(FRAME)
                .filter(|_| length.is_multiple_of(4))
            else {
                return Err(Fault::Damaged);
            };
            let wanted = matches!(kind, INTERFACE | SIMPLE | ENHANCED | SECRETS);
            if !wanted || body > LONGEST {
                pass(&mut self.from, u64::from(body) + 4)?;
                if wanted {
                    return Ok(Some(Item::Unreadable));
                }
                continue;
            }
            fill(&mut self.from, &mut self.buffer, body)?;
            let mut again = [0; 4];
            whole(&mut self.from, &mut again)?;
            if order.u32(&again, 0) != Some(length) {
                return Err(Fault::Damaged);
            }
            if kind == INTERFACE {
                interfaces.add(Interface::read(order, &self.buffer));
                continue;
            }
            // The borrow of what is returned must not reach into the next round.
            let item = match kind {
                SECRETS => secrets(order, &self.buffer),
                SIMPLE => simple(order, interfaces, &self.buffer),
                _ => enhanced(order, interfaces, &self.buffer),
            };
            return Ok(Some(item.unwrap_or(Item::Unreadable)));
        }
    }
}

/// Reads a section's head behind its type: which byte order follows.
fn section(from: &mut impl Read) -> Result<Order, Fault> {
    let mut head = [0; 8];
    whole(from, &mut head)?;
    let order = [Order::Little, Order::Big]
        .into_iter()
        .find(|order| order.u32(&head, 4) == Some(BYTE_ORDER))
        .ok_or(Fault::Damaged)?;
    let length = order.u32(&head, 0).unwrap_or_default();
    // Type, length and byte order were read; version and the section's length are there, too.
    let rest = length
        .checked_sub(12)
        .filter(|rest| *rest >= 16 && length.is_multiple_of(4))
        .ok_or(Fault::Damaged)?;
    pass(from, u64::from(rest))?;
    Ok(order)
}

fn secrets(order: Order, body: &[u8]) -> Option<Item<'_>> {
    let length = usize::try_from(order.u32(body, 4)?).ok()?;
    let text = body.get(8..)?.get(..length)?;
    (order.u32(body, 0)? == TLS_KEY_LOG).then_some(Item::Secrets(text))
}

fn simple<'a>(order: Order, interfaces: &Interfaces, body: &'a [u8]) -> Option<Item<'a>> {
    let interface = interfaces.get(0)?;
    let length = order.u32(body, 0)?;
    let most = match interface.snap {
        0 => length,
        snap => length.min(snap),
    };
    Some(Item::Packet(Packet {
        link: interface.link,
        time: None,
        data: body.get(4..)?.get(..usize::try_from(most).ok()?)?,
        length,
    }))
}

fn enhanced<'a>(order: Order, interfaces: &Interfaces, body: &'a [u8]) -> Option<Item<'a>> {
    let interface = interfaces.get(order.u32(body, 0)?)?;
    let ticks = u64::from(order.u32(body, 4)?) << 32 | u64::from(order.u32(body, 8)?);
    let captured = order.u32(body, 12)?;
    Some(Item::Packet(Packet {
        link: interface.link,
        time: Some(interface.time(ticks)),
        data: body.get(20..)?.get(..usize::try_from(captured).ok()?)?,
        length: order.u32(body, 16)?.max(captured),
    }))
}

/// Reads all of `to`, or nothing when the file is at its end.
fn begins(from: &mut impl BufRead, to: &mut [u8]) -> Result<bool, Fault> {
    if from.fill_buf()?.is_empty() {
        return Ok(false);
    }
    whole(from, to).map(|()| true)
}

fn whole(from: &mut impl Read, to: &mut [u8]) -> Result<(), Fault> {
    from.read_exact(to).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Fault::Cut,
        _ => Fault::Io(error),
    })
}

fn fill(from: &mut impl Read, buffer: &mut Vec<u8>, length: u32) -> Result<(), Fault> {
    buffer.clear();
    let read = from.take(length.into()).read_to_end(buffer)?;
    if u64::try_from(read).ok() == Some(length.into()) {
        Ok(())
    } else {
        Err(Fault::Cut)
    }
}

fn pass(from: &mut impl Read, bytes: u64) -> Result<(), Fault> {
    match io::copy(&mut from.take(bytes), &mut io::sink())? == bytes {
        true => Ok(()),
        false => Err(Fault::Cut),
    }
}
