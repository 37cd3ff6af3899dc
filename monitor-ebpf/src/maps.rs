//! Maps, read-only globals, and the state kept per socket.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps::{Array, ArrayOfMaps, LruHashMap, PerCpuArray, RingBuf, SkStorage},
    helpers::generated as helpers,
    macros::btf_map,
};
use monitor_ebpf::{KEY_SLOTS, KeySlot, Offsets, ProcessCounters, Settings, Syscalls, loss};

/// Where the kernel's fields are. Set by the loader; read with [`offset!`].
#[unsafe(no_mangle)]
pub(crate) static OFFSETS: MaybeUninit<Offsets> = MaybeUninit::zeroed();
/// Which system call is which. Set by the loader; read with [`syscall_nr!`].
#[unsafe(no_mangle)]
pub(crate) static SYSCALLS: MaybeUninit<Syscalls> = MaybeUninit::zeroed();
/// Limits and the monitor's own process. Set by the loader; read with [`setting!`].
#[unsafe(no_mangle)]
pub(crate) static SETTINGS: MaybeUninit<Settings> = MaybeUninit::zeroed();

/// Reads one field of a read-only global. Volatile: the compiler must not fold the zero it sees.
#[macro_export]
macro_rules! global {
    ($global:ident, $field:ident) => {{
        #[allow(unused_unsafe, reason = "used inside and outside of unsafe blocks")]
        // SAFETY: the globals are initialised (zero, then by the loader) and not written again.
        let value = unsafe {
            core::ptr::read_volatile(&raw const (*$crate::maps::$global.as_ptr()).$field)
        };
        value
    }};
}
/// Offset of a kernel field, in bytes.
#[macro_export]
macro_rules! offset {
    ($field:ident) => {
        $crate::global!(OFFSETS, $field) as usize
    };
}
/// Number of a system call.
#[macro_export]
macro_rules! syscall_nr {
    ($field:ident) => {
        $crate::global!(SYSCALLS, $field)
    };
}
/// A setting.
#[macro_export]
macro_rules! setting {
    ($field:ident) => {
        $crate::global!(SETTINGS, $field)
    };
}

/// Bits of [`SockState::flags`].
pub(crate) mod sock_flag {
    /// Never looked at: the monitor's own, or the other end of one of its connections.
    pub(crate) const IGNORED: u8 = 1;
    /// An open record was sent up.
    pub(crate) const OPENED: u8 = 2;
    /// Seen being established.
    pub(crate) const FRESH: u8 = 4;
    /// This end connected.
    pub(crate) const CLIENT: u8 = 8;
    /// This end accepted.
    pub(crate) const SERVER: u8 = 16;
    /// Offsets are TCP sequence numbers.
    pub(crate) const SEQUENCED: u8 = 32;
    /// End of file was told of.
    pub(crate) const ENDED: u8 = 128;
    /// Some direction has carried bytes: `last_dir` means something.
    pub(crate) const STARTED: u8 = 64;
}

/// What is kept per socket. One cache line and a half; lives and dies with the socket.
#[repr(C)]
pub(crate) struct SockState {
    /// Kernel's socket cookie.
    pub(crate) cookie: u64,
    /// Bytes in all, sent and received.
    pub(crate) bytes: [u64; 2],
    /// First bytes of the message under way, lowest byte first, by direction.
    pub(crate) head: [u64; 2],
    /// Names the connection when both ends may be on this host: the cookie of the end seen first.
    /// 0 when the other end is elsewhere.
    pub(crate) pair: u64,
    /// Next offset, by direction.
    pub(crate) next: [u32; 2],
    /// First offsets, as established.
    pub(crate) base: [u32; 2],
    /// Bytes of the message under way that were sent up.
    pub(crate) sent: [u32; 2],
    /// Calls in all.
    pub(crate) calls: [u32; 2],
    /// Data records sent up.
    pub(crate) seq: u32,
    /// Messages in a row that did not look like HTTP.
    pub(crate) misses: u16,
    /// [`monitor_ebpf::class`].
    pub(crate) class: u8,
    /// Direction of the last bytes.
    pub(crate) last_dir: u8,
    /// [`sock_flag`].
    pub(crate) flags: u8,
    /// Bytes in `head`, by direction; [`HEAD_DECIDED`] when the message was classified.
    pub(crate) head_len: [u8; 2],
    /// 1 when this end was not the first of its pair: its directions are the other way round.
    pub(crate) second: u8,
    /// 1 while what a direction carries is requests whose methods have no body: all of it may be heads.
    pub(crate) heads: [u8; 2],
    /// 1 when the last request was CONNECT: what follows may be TLS. 0 again when the other end alone has
    /// told of that.
    pub(crate) tunnel: u8,
    /// Reserved, zero.
    pub(crate) pad: u8,
}

/// Where one direction of a TLS connection stands.
#[repr(C)]
pub(crate) struct TlsHalf {
    /// Bytes of a record's header so far, lowest first.
    pub(crate) head: u64,
    /// Position in the stream.
    pub(crate) pos: u32,
    /// Bytes of the record's body to come.
    pub(crate) left: u32,
    /// Bytes of the body that are wanted.
    pub(crate) want: u32,
    /// Number of the record.
    pub(crate) record: u32,
    /// Bytes of long records that may still be sent up before the direction turns.
    pub(crate) budget: u32,
    /// The same, once a connection, for requests: until the monitor has found out what they are.
    pub(crate) ahead: u32,
    /// Length of the body.
    pub(crate) length: u16,
    /// Bytes in `head`.
    pub(crate) head_len: u8,
    /// Content type.
    pub(crate) outer: u8,
    /// [`tls_flag`].
    pub(crate) flags: u8,
    /// Reserved, zero.
    pub(crate) pad: [u8; 3],
}

/// Bits of [`TlsHalf::flags`].
pub(crate) mod tls_flag {
    /// `pos` means something.
    pub(crate) const BEGUN: u8 = 1;
    /// Where records begin is not known any more.
    pub(crate) const LOST: u8 = 2;
    /// Every record is wanted whole.
    pub(crate) const WHOLE: u8 = 4;
}

/// What is kept per TLS connection.
#[repr(C)]
pub(crate) struct TlsState {
    pub(crate) half: [TlsHalf; 2],
}

/// [`SockState::head_len`] of a message that needs no more bytes to be classified.
pub(crate) const HEAD_DECIDED: u8 = 0xff;

/// A TCP connection as one end sees it. Addresses alone do not name one: two network namespaces can have
/// the same at the same time, and a port is used again; first sequence numbers do.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Tuple {
    pub(crate) local: [u8; 16],
    pub(crate) remote: [u8; 16],
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    /// First sequence numbers of what this end sends and receives; 0 when they were not seen.
    pub(crate) tx_base: u32,
    pub(crate) rx_base: u32,
    pub(crate) pad: u32,
}

/// A share of a ring.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Bucket {
    pub(crate) tokens: u64,
    pub(crate) refilled: u64,
}

#[btf_map]
pub(crate) static SOCKS: SkStorage<SockState> = SkStorage::new();

#[btf_map]
pub(crate) static TLS: SkStorage<TlsState> = SkStorage::new();

/// The TLS socket that each thread used last while its handshake was under way, by `pid_tgid`.
#[btf_map]
pub(crate) static LAST_TLS: LruHashMap<u64, u64, 8192> = LruHashMap::new();

/// What the monitor has found out about a socket, by cookie ([`monitor_ebpf::advice`]).
#[btf_map]
pub(crate) static ADVICE: LruHashMap<u64, u32, 16384> = LruHashMap::new();

/// One ring per CPU; the loader sets their number and puts the rings in.
#[btf_map]
pub(crate) static DATA: ArrayOfMaps<RingBuf<u64, 4096>, 1> = ArrayOfMaps::new();

/// Opens, closes, processes: a ring of its own, so that bytes cannot crowd them out.
#[btf_map]
pub(crate) static CONTROL: RingBuf<u64, { 1 << 20 }> = RingBuf::new();

#[btf_map]
pub(crate) static LOSSES: PerCpuArray<u64, { loss::COUNT as usize }> = PerCpuArray::new();

#[btf_map]
pub(crate) static PROCESSES: LruHashMap<u32, ProcessCounters, 16384> = LruHashMap::new();

#[btf_map]
pub(crate) static CGROUPS: LruHashMap<u64, Bucket, 4096> = LruHashMap::new();

/// The monitor's own connections, as the other end sees them.
#[btf_map]
pub(crate) static OWN: LruHashMap<Tuple, u8, 1024> = LruHashMap::new();

/// Ends of connections within this host, by their addresses: cookie of the end seen first.
#[btf_map]
pub(crate) static PAIRS: LruHashMap<Tuple, u64, 8192> = LruHashMap::new();

/// How far each direction of a connection within this host has been sent up, by its pair: what the
/// first end sends, and what it receives.
#[btf_map]
pub(crate) static SENT_UP: LruHashMap<u64, [u32; 2], 8192> = LruHashMap::new();

/// Requests of io_uring under way: the address of each, by the `pid_tgid` that carries it out.
#[btf_map]
pub(crate) static IO_CALLS: LruHashMap<u64, u64, 4096> = LruHashMap::new();

/// TLS secrets on their way up, see [`crate::keys`].
#[btf_map]
pub(crate) static KEYS: Array<KeySlot, { KEY_SLOTS }, { BPF_F_MMAPABLE as usize }> = Array::new();

/// How many secrets were put into [`KEYS`].
#[btf_map]
pub(crate) static KEYS_PUT: Array<u64, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Labels of secrets under derivation, by where their library wants them written.
#[btf_map]
pub(crate) static LABELS: LruHashMap<crate::keys::Output, u32, 4096> = LruHashMap::new();

/// Secrets under derivation by GnuTLS, by `pid_tgid`.
#[btf_map]
pub(crate) static PENDING: LruHashMap<u64, crate::keys::gnutls::Pending, 4096> = LruHashMap::new();

/// 1 while a process has fallback probes, see [`crate::fallback`].
#[btf_map]
pub(crate) static FALLBACK: Array<u32, 1> = Array::new();

/// Processes that have them.
#[btf_map]
pub(crate) static FALLBACK_PIDS: LruHashMap<u32, u32, 1024> = LruHashMap::new();

/// Calls of a TLS library under way, by `pid_tgid`.
#[btf_map]
pub(crate) static SSL_CALLS: LruHashMap<u64, crate::fallback::Call, 8192> = LruHashMap::new();

/// Connections of TLS libraries whose socket is known.
#[btf_map]
pub(crate) static SSLS: LruHashMap<crate::fallback::SslKey, crate::fallback::SslState, 8192> =
    LruHashMap::new();

/// Adds to a loss counter of this CPU.
#[inline(always)]
pub(crate) fn count(which: u32, amount: u64) {
    if let Some(slot) = LOSSES.get_ptr_mut(which) {
        // SAFETY: the slot is this CPU's own; the add is atomic because the program can be preempted.
        unsafe { add(slot, amount) };
    }
}

/// Adds to a shared counter atomically.
///
/// # Safety
/// `slot` points into a map value.
#[inline(always)]
pub(crate) unsafe fn add(slot: *mut u64, amount: u64) {
    // SAFETY: the target has no compare-and-swap in core, but the machine has atomic add.
    unsafe {
        core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) slot, in(reg) amount);
    }
}

/// State of a socket, if there is one.
///
/// # Safety
/// `sk` is a socket that the verifier trusts.
#[inline(always)]
pub(crate) unsafe fn sock_state(sk: *const c_void) -> Option<&'static mut SockState> {
    // SAFETY: passes a map and a trusted socket.
    unsafe {
        let map = (&raw const SOCKS).cast_mut().cast();
        helpers::bpf_sk_storage_get(map, sk.cast_mut(), core::ptr::null_mut(), 0)
            .cast::<SockState>()
            .as_mut()
    }
}

/// State of a socket, made zeroed if there is none.
///
/// # Safety
/// `sk` is a socket that the verifier trusts.
#[inline(always)]
pub(crate) unsafe fn sock_state_or_new(sk: *const c_void) -> Option<&'static mut SockState> {
    // SAFETY: as above.
    unsafe {
        helpers::bpf_sk_storage_get(
            (&raw const SOCKS).cast_mut().cast(),
            sk.cast_mut(),
            core::ptr::null_mut(),
            CREATE,
        )
        .cast::<SockState>()
        .as_mut()
    }
}

/// State of a TLS connection, made zeroed if there is none.
///
/// # Safety
/// `sk` is a socket that the verifier trusts.
#[inline(always)]
pub(crate) unsafe fn tls_state(sk: *const c_void) -> *mut TlsState {
    // SAFETY: as above.
    unsafe {
        helpers::bpf_sk_storage_get(
            (&raw const TLS).cast_mut().cast(),
            sk.cast_mut(),
            core::ptr::null_mut(),
            CREATE,
        )
        .cast()
    }
}

/// What the monitor wants of a socket.
#[inline(always)]
pub(crate) fn advice(cookie: u64) -> u32 {
    // SAFETY: the value is copied at once.
    unsafe { ADVICE.get(cookie).copied().unwrap_or(0) }
}

const CREATE: u64 = aya_ebpf::bindings::BPF_LOCAL_STORAGE_GET_F_CREATE as u64;
