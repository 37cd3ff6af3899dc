//! The interfaces of a section of pcapng: what their packets are, and how they count time.

use super::layers::LinkType;

/// Most interfaces of a section that are known; packets of others cannot be read.
const MOST: usize = 4096;
/// Options of an interface.
const END: u16 = 0;
const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;
/// Nanoseconds in a second.
const SECOND: u128 = 1_000_000_000;

/// Order of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    /// The 32 bits at `at`; `None` when they are not there.
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let four = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(four),
            Self::Big => u32::from_be_bytes(four),
        })
    }

    /// The 16 bits at `at`.
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let two = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(two),
            Self::Big => u16::from_be_bytes(two),
        })
    }

    fn i64(self, bytes: &[u8]) -> Option<i64> {
        let eight = *bytes.first_chunk()?;
        Some(match self {
            Self::Little => i64::from_le_bytes(eight),
            Self::Big => i64::from_be_bytes(eight),
        })
    }
}

/// An interface.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interface {
    pub(super) link: LinkType,
    /// Most bytes that are captured of a packet; 0: any number.
    pub(super) snap: u32,
    /// Ticks a second.
    ticks: u128,
    /// Seconds to add.
    offset: i64,
}

impl Interface {
    /// What the body of its block says; `None`: not enough.
    pub(super) fn read(order: Order, body: &[u8]) -> Option<Self> {
        let mut interface = Self {
            link: LinkType::of(order.u16(body, 0)?.into()),
            snap: order.u32(body, 4)?,
            ticks: 1_000_000,
            offset: 0,
        };
        let mut options = body.get(8..)?;
        while let (Some(code), Some(length)) = (order.u16(options, 0), order.u16(options, 2)) {
            let length = usize::from(length);
            let Some(value) = options.get(4..4 + length).filter(|_| code != END) else {
                break;
            };
            match (code, value) {
                (RESOLUTION, [exponent]) => interface.ticks = ticks(*exponent),
                (OFFSET, value) => interface.offset = order.i64(value).unwrap_or_default(),
                _ => {}
            }
            options = options
                .get(4 + length.next_multiple_of(4)..)
                .unwrap_or_default();
        }
        Some(interface)
    }

    /// Nanoseconds since 1970, within what 64 bits hold.
    pub(super) fn time(&self, ticks: u64) -> u64 {
        let since = u128::from(ticks)
            .saturating_mul(SECOND)
            .checked_div(self.ticks)
            .unwrap_or_default();
        let offset = i128::from(self.offset) * 1_000_000_000;
        let time = i128::try_from(since).unwrap_or(i128::MAX);
        u64::try_from(time.saturating_add(offset).max(0)).unwrap_or(u64::MAX)
    }
}

/// Ticks a second: a negative power of 10, or, with the highest bit, of 2.
fn ticks(exponent: u8) -> u128 {
    let power = u32::from(exponent & 0x7F);
    let base: u128 = if exponent & 0x80 == 0 { 10 } else { 2 };
    base.saturating_pow(power)
}

/// Interfaces by number.
#[derive(Debug, Default)]
pub(super) struct Interfaces(Vec<Option<Interface>>);

impl Interfaces {
    /// The next one.
    pub(super) fn add(&mut self, interface: Option<Interface>) {
        if self.0.len() < MOST {
            self.0.push(interface);
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<Interface> {
        *self.0.get(usize::try_from(number).ok()?)?
    }
}
