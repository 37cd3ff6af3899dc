//! What refusals of connections are looked up by.

/// Entries of the table of refusals.
pub const REFUSE_MOST: u32 = 16 * 1024;
/// How deep a control group may lie whose connections are refused: the root is level 0.
pub const REFUSE_LEVELS: i32 = 16;
/// Bits of a key of a whole address; one of a range has as many fewer as its prefix has.
pub const REFUSE_BITS: u32 = 8 * size_of::<Refused>() as u32;

/// Key of the table of refusals; longest prefix wins.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Control group's id.
    pub cgroup: u64,
    /// Port in network order, or 0 for all ports of the address.
    pub port: u64,
    /// Address in network order, IPv4 as mapped into IPv6.
    pub address: [u32; 4],
}

const _: () = assert!(size_of::<Refused>() == 32);
