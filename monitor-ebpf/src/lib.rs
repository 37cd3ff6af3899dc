//! The records that the kernel programs write and the monitor reads.
//!
//! Every record begins with a [`Header`]. Layouts are `#[repr(C)]`, without padding that the
//! compiler chooses, and asserted at compile time: both sides are built from this file, and
//! [`ABI`] stands in the read-only globals so that an object of another build is refused.
#![no_std]

mod globals;
mod refused;
mod secret;

pub use globals::{ABSENT, Offsets, Settings, Syscalls};
pub use refused::{REFUSE_BITS, REFUSE_LEVELS, REFUSE_MOST, Refused};
pub use secret::{
    KEY_SLOTS, Key, KeySlot, SECRET_BYTES, key_flag, key_label, key_source, slot_state,
};

/// Version of the layouts below. Changes with any of them.
pub const ABI: u32 = 7;

/// What a record is; first byte of its header.
pub mod kind {
    /// Bytes of one direction of one socket ([`super::Data`]).
    pub const DATA: u8 = 1;
    /// A socket was seen for the first time ([`super::Open`]).
    pub const OPEN: u8 = 2;
    /// A socket was closed, its peer will send no more, or it tells how far it is ([`super::Close`]).
    pub const CLOSE: u8 = 3;
    /// A process replaced its image ([`super::Exec`]).
    pub const EXEC: u8 = 4;
    /// A process was born ([`super::Fork`]).
    pub const FORK: u8 = 5;
    /// A process ended ([`super::Exit`]).
    pub const EXIT: u8 = 6;
    /// A control group was made ([`super::Cgroup`]).
    pub const CGROUP: u8 = 7;
    /// A TLS secret was used to derive keys ([`super::Key`]).
    pub const KEY: u8 = 8;
    /// Part of one TLS record of one direction of one socket ([`super::TlsData`]).
    pub const TLS: u8 = 9;
    /// Bytes that a TLS library took or gave in clear, of one direction of one socket ([`super::Data`]): `off`
    /// counts from the first that were seen, `seq` counts the records of the library's connection.
    pub const PLAIN: u8 = 10;
}

/// Direction of bytes as the socket's owner sees it.
pub mod dir {
    /// The process sent them.
    pub const TX: u8 = 0;
    /// The process received them.
    pub const RX: u8 = 1;
}

/// Bits of [`Data::flags`].
pub mod data_flag {
    /// First bytes after the direction turned, or first of the connection: a message may begin here.
    pub const START: u8 = 1;
    /// The call's buffer could not be read (page not present): no bytes follow.
    pub const FAULT: u8 = 2;
    /// The bytes were cut short because the process or ring was over its share.
    pub const SHED: u8 = 4;
    /// TLS on a connection whose beginning was not seen: records cannot be numbered.
    pub const LATE: u8 = 8;
}

/// Bits of [`Open::flags`].
pub mod open_flag {
    /// The connection was seen being established: offsets start at its beginning.
    pub const FRESH: u8 = 1;
    /// This end connected.
    pub const CLIENT: u8 = 2;
    /// This end accepted.
    pub const SERVER: u8 = 4;
    /// Offsets are TCP sequence numbers (same at both ends), not counts of this end.
    pub const SEQUENCED: u8 = 8;
}

/// Bits of [`Close::flags`].
pub mod close_flag {
    /// The socket is gone.
    pub const GONE: u8 = 1;
    /// End of file was read: the peer sends no more.
    pub const EOF: u8 = 2;
    /// Neither: another [`super::PROGRESS_SHIFT`] bytes or [`super::PROGRESS_CALLS`] calls went by.
    pub const PROGRESS: u8 = 4;
}

/// Bits of [`Exec::flags`](Exec).
pub mod exec_flag {
    /// The path was walked from the file's directory entry up to the process' root: absolute.
    pub const WALKED: u8 = 1;
}

/// What the kernel program takes a socket for.
pub mod class {
    /// Not decided yet.
    pub const UNKNOWN: u8 = 0;
    /// Clear-text HTTP/1.x.
    pub const HTTP1: u8 = 1;
    /// TLS records.
    pub const TLS: u8 = 2;
    /// Clear-text HTTP/2 (its preface was seen).
    pub const HTTP2: u8 = 3;
    /// Something else: counted only.
    pub const OTHER: u8 = 4;
}

/// Index into a process' counters of bytes that no buffer could be had for.
pub mod uncovered {
    /// Sent or received by io_uring, where its requests cannot be looked at, or tell of no buffer.
    pub const IO_URING: usize = 0;
    /// sendfile, splice, tee, vmsplice.
    pub const SENDFILE: usize = 1;
    /// sendmmsg, recvmmsg: several messages in one call.
    pub const MMSG: usize = 2;
    /// A 32-bit system call.
    pub const COMPAT: usize = 3;
    /// Any other system call.
    pub const OTHER: usize = 4;
    /// QUIC: datagrams from or to UDP port 443.
    pub const QUIC: usize = 5;
    /// Number of causes.
    pub const COUNT: usize = 6;
    /// Their names, in order.
    pub const NAMES: [&str; COUNT] = ["io_uring", "sendfile", "mmsg", "compat", "other", "quic"];
}

/// Index into the per-CPU loss counters.
pub mod loss {
    /// A data record did not fit into its ring.
    pub const DATA_RING: u32 = 0;
    /// A control record did not fit into its ring.
    pub const CONTROL_RING: u32 = 1;
    /// User memory could not be read.
    pub const FAULT: u32 = 2;
    /// Bytes beyond what one message may send up (normal for bodies).
    pub const CAPPED_BYTES: u32 = 3;
    /// Calls reduced to 64 bytes by the fairness rule.
    pub const SHED_SHORT: u32 = 4;
    /// Calls reduced to counting by the fairness rule.
    pub const SHED_COUNT: u32 = 5;
    /// No socket state could be allocated.
    pub const STATE: u32 = 6;
    /// Directions of TLS connections whose records could not be followed.
    pub const TLS_FRAMING: u32 = 7;
    /// No slot was free for a TLS secret.
    pub const KEY_SLOTS: u32 = 8;
    /// A TLS secret could not be read from its process.
    pub const KEY_FAULT: u32 = 9;
    /// Number of counters.
    pub const COUNT: u32 = 10;
    /// Their names, in order.
    pub const NAMES: [&str; COUNT as usize] = [
        "data_ring",
        "control_ring",
        "fault",
        "capped_bytes",
        "shed_short",
        "shed_count",
        "state",
        "tls_framing",
        "key_slots",
        "key_fault",
    ];
}

/// Size classes of a data record's payload in bytes.
pub const PAYLOAD_CLASSES: [usize; 4] = [184, 952, 4024, 16312];
/// The same for a record with [`TlsData`] in front. The last holds any TLS record (RFC 5246 §6.2.3:
/// 2¹⁴ + 2048 bytes; in practice 2¹⁴ + 256, RFC 8446 §5.2).
pub const TLS_CLASSES: [usize; 4] = [184, 1592, 4024, 16664];
/// A long connection tells its totals each time a direction has carried another 2 to the power of so many
/// bytes,
pub const PROGRESS_SHIFT: u32 = 20;
/// and each time it took so many more calls (a power of two).
pub const PROGRESS_CALLS: u32 = 1024;
/// Most bytes of one message that are sent up.
pub const MESSAGE_BYTES: u32 = 16 * 1024;
/// Most steps over the buffers of one call: buffers, and parts of [`PAYLOAD_CLASSES`]' largest size.
pub const MAX_STEPS: u32 = 64;
/// Longest TLS record that is sent up whole, whatever the connection has sent before.
pub const TLS_SHORT: u32 = 2048;

/// Bits of what the monitor tells the programs about a socket.
pub mod advice {
    /// Nothing more of it is wanted.
    pub const LEAVE: u32 = 1;
    /// Every TLS record that is sent is wanted whole: requests can begin anywhere in it (HTTP/2).
    pub const WHOLE_TX: u32 = 2;
    /// Every TLS record that is received.
    pub const WHOLE_RX: u32 = 4;
    /// What its TLS library takes and gives in clear is wanted: keys cannot be had.
    pub const PLAIN: u32 = 8;
}

/// Which sockets of a process are told of by its fallback probes.
pub mod ssl_sockets {
    /// Those with [`super::advice::PLAIN`].
    pub const ASKED: u32 = 1;
    /// Those without any advice, too.
    pub const ALL: u32 = 2;
}

/// Which function a fallback probe is at; bits of its cookie.
pub mod ssl_call {
    /// It writes; else it reads.
    pub const WRITE: u64 = 1;
    /// It says by its fourth argument how much it moved; else it returns that.
    pub const EX: u64 = 2;
}
/// Room for a path in an [`Exec`] or [`Cgroup`] record, in bytes: at most half of it is used, the
/// other half lets the verifier see that the last component fits.
pub const PATH_BYTES: usize = 512;
/// Longest unix-socket path, in bytes (`sun_path`, unix(7)).
pub const NAME_BYTES: usize = 108;
/// Length of an [`Open`] record without a path.
pub const OPEN_BYTES: usize = 108;
/// Most path components that are walked at exec.
pub const PATH_COMPONENTS: usize = 32;

/// First 8 bytes of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Header {
    /// One of [`kind`].
    pub kind: u8,
    /// [`dir`] for data and close records.
    pub dir: u8,
    /// [`class`] of the socket for data records.
    pub class: u8,
    /// Flags of the record's own kind.
    pub flags: u8,
    /// Payload bytes in use behind the fixed part.
    pub len: u32,
}

/// Bytes of one buffer of one send or receive; `header.len` bytes follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Data {
    /// kind, dir, class, flags ([`data_flag`]), captured bytes.
    pub header: Header,
    /// CLOCK_MONOTONIC in ns at a message's start, 0 elsewhere.
    pub time: u64,
    /// Socket (its kernel cookie).
    pub sock: u64,
    /// Position of the first byte in its direction: a TCP sequence number or a count.
    pub off: u32,
    /// Bytes of the call in this buffer, captured or not.
    pub full: u32,
    /// Number of this record among the socket's records, from 0; a jump is a lost record.
    pub seq: u32,
    /// Process (thread group) that made the call.
    pub tgid: u32,
    /// The task's `self_exec_id`: which image of the process it was.
    pub exec_id: u32,
    /// Reserved, zero.
    pub pad: u32,
}

/// Part of a TLS record; `data.header.len` bytes of its body follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsData {
    /// As for other bytes: `off` is the position of the first byte of this part in the stream, `full`
    /// how many bytes of the record the call held from there.
    pub data: Data,
    /// Number of the record in its direction, from 0.
    pub record: u32,
    /// Where in the record's body this part begins.
    pub at: u16,
    /// Length of the body.
    pub length: u16,
    /// Content type (RFC 8446 §5.1).
    pub outer: u8,
    /// Reserved, zero.
    pub pad: [u8; 7],
}

/// A socket seen for the first time.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// flags: [`open_flag`]; len: bytes of `path` in use.
    pub header: Header,
    /// CLOCK_MONOTONIC, ns.
    pub time: u64,
    /// Socket (its kernel cookie).
    pub sock: u64,
    /// This end's address as an obscured kernel address; 0 for TCP.
    pub local_id: u64,
    /// The other end's, for unix sockets; 0 when unknown.
    pub peer_id: u64,
    /// Control group of the process.
    pub cgroup: u64,
    /// Inode of the network namespace.
    pub netns: u32,
    /// Process (thread group); 0 when seen in interrupt context.
    pub tgid: u32,
    /// Address family: 1 unix, 2 IPv4, 10 IPv6.
    pub family: u16,
    /// Local port, host order.
    pub local_port: u16,
    /// Remote port, host order.
    pub remote_port: u16,
    /// Protocol number (6 TCP, 262 MPTCP, 0 unix).
    pub protocol: u16,
    /// Local address; IPv4 in the first 4 bytes.
    pub local: [u8; 16],
    /// Remote address.
    pub remote: [u8; 16],
    /// First offset of what this end sends.
    pub tx_base: u32,
    /// First offset of what this end receives.
    pub rx_base: u32,
    /// `self_exec_id` of the process' image.
    pub exec_id: u32,
    /// Unix path (of the listening side), as bound; an abstract name begins with a zero byte. The records
    /// of other sockets end before it.
    pub path: [u8; NAME_BYTES],
}

/// A socket that closed, or whose peer will send no more, or that tells how much it has carried so far.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Close {
    /// flags: [`close_flag`].
    pub header: Header,
    /// CLOCK_MONOTONIC, ns.
    pub time: u64,
    /// Socket (its kernel cookie).
    pub sock: u64,
    /// Number of data records the socket has sent up.
    pub seq: u32,
    /// Reserved, zero.
    pub pad: u32,
    /// Bytes sent and received in all (exact, whatever was shed).
    pub bytes: [u64; 2],
    /// Calls in all.
    pub calls: [u32; 2],
    /// Offsets at which what was sent and received ends.
    pub ends: [u32; 2],
}

/// A process replaced its image.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Exec {
    /// len: bytes of `path` in use; flags: [`exec_flag`].
    pub header: Header,
    /// CLOCK_MONOTONIC, ns.
    pub time: u64,
    /// Control group.
    pub cgroup: u64,
    /// When the process was born (CLOCK_BOOTTIME, ns): with `tgid` its identity.
    pub start: u64,
    /// Process.
    pub tgid: u32,
    /// Its parent process.
    pub ppid: u32,
    /// User (effective), in the initial user namespace.
    pub uid: u32,
    /// `self_exec_id` from now on.
    pub exec_id: u32,
    /// Executable's path: components from the last to the first, each ended by a zero byte, when
    /// flags has [`exec_flag::WALKED`]; else the name that execve was given.
    pub path: [u8; PATH_BYTES],
}

/// A process was born.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Fork {
    /// Kind only.
    pub header: Header,
    /// CLOCK_MONOTONIC, ns.
    pub time: u64,
    /// Control group of the parent.
    pub cgroup: u64,
    /// The child's start (CLOCK_BOOTTIME, ns).
    pub start: u64,
    /// Child process.
    pub tgid: u32,
    /// Parent process.
    pub ppid: u32,
    /// User.
    pub uid: u32,
    /// `self_exec_id`, inherited.
    pub exec_id: u32,
}

/// A process ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Exit {
    /// Kind only.
    pub header: Header,
    /// CLOCK_MONOTONIC, ns.
    pub time: u64,
    /// When it was born.
    pub start: u64,
    /// Process.
    pub tgid: u32,
    /// Reserved, zero.
    pub pad: u32,
}

/// A control group was made.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Cgroup {
    /// len: bytes of `path` in use.
    pub header: Header,
    /// Its id (inode number in cgroupfs).
    pub id: u64,
    /// Path below the cgroup root.
    pub path: [u8; PATH_BYTES],
}

/// Exact counters of one process, bumped before anything is shed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessCounters {
    /// Tokens left, in bytes.
    pub tokens: u64,
    /// Tick (2²⁰ ns of CLOCK_MONOTONIC) of the last refill.
    pub refilled: u64,
    /// Calls reduced to 64 bytes.
    pub shed_short: u64,
    /// Calls reduced to counting.
    pub shed_count: u64,
    /// Bytes that no buffer could be had for, by cause ([`uncovered`]).
    pub uncovered: [u64; uncovered::COUNT],
    /// Control group.
    pub cgroup: u64,
}

const _: () = {
    assert!(size_of::<Header>() == 8);
    assert!(size_of::<Data>() == 48);
    assert!(size_of::<TlsData>() == 64);
    assert!(size_of::<Open>() == 216);
    assert!(core::mem::offset_of!(Open, path) == OPEN_BYTES);
    assert!(size_of::<Close>() == 64);
    assert!(size_of::<Exec>() == 560);
    assert!(size_of::<Fork>() == 48);
    assert!(size_of::<Exit>() == 32);
    assert!(size_of::<Cgroup>() == 528);
    assert!(size_of::<ProcessCounters>() == 88);
    let mut i = 0;
    while i < PAYLOAD_CLASSES.len() {
        assert!((PAYLOAD_CLASSES[i] + size_of::<Data>()).is_multiple_of(8));
        assert!((TLS_CLASSES[i] + size_of::<TlsData>()).is_multiple_of(8));
        i += 1;
    }
};
