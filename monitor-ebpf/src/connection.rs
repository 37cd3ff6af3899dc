//! Birth and death of connections.

use core::ffi::c_void;

use aya_ebpf::{bindings::BPF_RB_NO_WAKEUP, helpers::generated as helpers};
use monitor_ebpf::{
    Close, Header, NAME_BYTES, OPEN_BYTES, Open, class, close_flag, kind as record_kind, loss,
    open_flag,
};

use crate::{
    kernel::{copy, field, follow},
    maps::{
        CONTROL, OWN, PAIRS, SENT_UP, SockState, Tuple, count, sock_flag, sock_state,
        sock_state_or_new,
    },
    offset, setting,
};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const BPF_NOEXIST: u64 = 1;
const IPPROTO_TCP: u16 = 6;

/// `include/net/tcp_states.h`.
const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
const TCP_SYN_RECV: i32 = 3;
const TCP_CLOSE: i32 = 7;

/// A TCP socket changes state: remembers where a new connection's sequence numbers begin, and tells
/// of the end of one that carried bytes.
///
/// # Safety
/// `sk` is the tracepoint's socket argument.
#[inline(always)]
pub(crate) unsafe fn on_state(sk: *const c_void, old: i32, new: i32) {
    if new == TCP_ESTABLISHED {
        if old != TCP_SYN_SENT && old != TCP_SYN_RECV {
            return;
        }
        // SAFETY: sk is trusted.
        let tcp: *const c_void = unsafe { helpers::bpf_skc_to_tcp_sock(sk.cast_mut()) }.cast();
        if tcp.is_null() {
            return;
        }
        // SAFETY: sk is trusted, tcp has the type the helper vouches for.
        unsafe {
            let Some(state) = sock_state_or_new(sk) else {
                return count(loss::STATE, 1);
            };
            if state.flags & sock_flag::STARTED == 0 {
                state.base = [
                    field::<u32>(tcp, offset!(tcp_write_seq)),
                    field::<u32>(tcp, offset!(tcp_copied_seq)),
                ];
                state.next = state.base;
                state.flags |= sock_flag::FRESH
                    | if old == TCP_SYN_SENT {
                        sock_flag::CLIENT
                    } else {
                        sock_flag::SERVER
                    };
            }
        }
    } else if new == TCP_CLOSE {
        // SAFETY: sk is trusted.
        if let Some(state) = unsafe { sock_state(sk) }
            && state.flags & sock_flag::OPENED != 0
        {
            close(state, close_flag::GONE);
            state.flags = (state.flags & !sock_flag::OPENED) | sock_flag::IGNORED;
        }
    }
}

/// The socket has carried so much more, and goes on.
#[inline(always)]
pub(crate) fn progress(state: &mut SockState) {
    close(state, close_flag::PROGRESS);
}

/// The peer will send no more.
#[inline(always)]
pub(crate) fn end_of_file(state: &mut SockState) {
    close(state, close_flag::EOF);
}

#[inline(never)]
fn close(state: &mut SockState, flags: u8) {
    let Some(mut slot) = CONTROL.reserve_untyped::<Close>(0) else {
        return count(loss::CONTROL_RING, 1);
    };
    slot.write(Close {
        header: Header {
            kind: record_kind::CLOSE,
            dir: 0,
            class: state.class,
            flags,
            len: 0,
        },
        // SAFETY: no preconditions.
        time: unsafe { helpers::bpf_ktime_get_ns() },
        sock: state.cookie,
        seq: state.seq,
        pad: 0,
        bytes: state.bytes,
        calls: state.calls,
        ends: state.next,
    });
    slot.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// First bytes of a socket: tells who it belongs to and where it leads.
///
/// # Safety
/// `sk` is trusted.
#[inline(never)]
pub(crate) unsafe fn first_sight(
    sk: *const c_void,
    state: &mut SockState,
    family: u16,
    protocol: u16,
    tgid: u32,
) {
    // SAFETY: sk is trusted.
    state.cookie = unsafe { helpers::bpf_get_socket_cookie(sk.cast_mut()) };
    if protocol == IPPROTO_TCP {
        state.flags |= sock_flag::SEQUENCED;
    }
    // SAFETY: sk is trusted.
    let tuple = unsafe { tuple_of(sk, state, family) };
    // Once: the stack has little room.
    let other = Tuple {
        local: tuple.remote,
        remote: tuple.local,
        local_port: tuple.remote_port,
        remote_port: tuple.local_port,
        tx_base: tuple.rx_base,
        rx_base: tuple.tx_base,
        pad: 0,
    };
    if tgid == setting!(monitor_tgid) {
        state.flags |= sock_flag::IGNORED;
        if family != AF_UNIX {
            let _ = OWN.insert(&other, &1, 0);
        }
        return;
    }
    // SAFETY: the value is only tested for presence.
    if family != AF_UNIX && unsafe { OWN.get(&tuple) }.is_some() {
        state.flags |= sock_flag::IGNORED;
        return;
    }
    if protocol == IPPROTO_TCP && state.flags & sock_flag::FRESH != 0 && stays_here(&tuple, family)
    {
        pair(state, &tuple, &other);
    }
    let kind = u32::from(family) << 16 | u32::from(protocol);
    open(sk, state, &tuple, kind, tgid);
    state.flags |= sock_flag::OPENED;
}

/// Whether the other end must be on this host: a loopback address, or this end's own.
#[inline(always)]
fn stays_here(tuple: &Tuple, family: u16) -> bool {
    let v4 = family == AF_INET || (tuple.remote[10] == 0xff && tuple.remote[11] == 0xff);
    let words: [u64; 4] = [
        u64::from_ne_bytes(first_half(&tuple.local)),
        u64::from_ne_bytes(second_half(&tuple.local)),
        u64::from_ne_bytes(first_half(&tuple.remote)),
        u64::from_ne_bytes(second_half(&tuple.remote)),
    ];
    (v4 && tuple.remote[12] == 127) || (words[0] == words[2] && words[1] == words[3])
}

#[inline(always)]
fn first_half(b: &[u8; 16]) -> [u8; 8] {
    [b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]
}

#[inline(always)]
fn second_half(b: &[u8; 16]) -> [u8; 8] {
    [b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]]
}

/// Joins the two ends of a connection within this host: what one end has sent up, the other need not.
#[inline(always)]
fn pair(state: &mut SockState, tuple: &Tuple, other: &Tuple) {
    // SAFETY: the value is copied at once.
    if let Some(first) = unsafe { PAIRS.get(other) } {
        state.pair = *first;
        state.second = 1;
        let _ = PAIRS.remove(other);
        // Where each direction begins: nothing has been sent up by this end so far.
        let start = [state.next[1], state.next[0]];
        let _ = SENT_UP.insert(state.pair, start, BPF_NOEXIST);
    } else {
        state.pair = state.cookie;
        let _ = PAIRS.insert(tuple, &state.cookie, 0);
        let start = [state.next[0], state.next[1]];
        let _ = SENT_UP.insert(state.pair, start, BPF_NOEXIST);
    }
}

/// Whether the other end has sent up this direction as far as `end`.
#[inline(always)]
pub(crate) fn known_up_to(state: &SockState, w: usize, end: u32) -> bool {
    if state.pair == 0 {
        return false;
    }
    // SAFETY: the value is copied at once.
    match unsafe { SENT_UP.get(state.pair) } {
        Some(up) => {
            let reached = if (w as u8 ^ state.second) & 1 == 0 {
                up[0]
            } else {
                up[1]
            };
            (end.wrapping_sub(reached) as i32) <= 0
        }
        None => false,
    }
}

/// Notes that this end has sent up a direction as far as `end`.
#[inline(always)]
pub(crate) fn sent_up(state: &SockState, w: usize, end: u32) {
    if state.pair != 0
        && let Some(up) = SENT_UP.get_ptr_mut(state.pair)
    {
        // SAFETY: points into a map value; a torn update costs a second copy of some bytes.
        unsafe {
            if (w as u8 ^ state.second) & 1 == 0 {
                (*up)[0] = end;
            } else {
                (*up)[1] = end;
            }
        }
    }
}

/// Addresses of a TCP socket; zero for a unix one.
///
/// # Safety
/// `sk` is trusted.
#[inline(always)]
unsafe fn tuple_of(sk: *const c_void, state: &SockState, family: u16) -> Tuple {
    let mut tuple = Tuple {
        local: [0; 16],
        remote: [0; 16],
        local_port: 0,
        remote_port: 0,
        tx_base: state.base[0],
        rx_base: state.base[1],
        pad: 0,
    };
    if family == AF_UNIX {
        return tuple;
    }
    // SAFETY: fields of the trusted socket.
    unsafe {
        tuple.local_port = field::<u16>(sk, offset!(skc_num));
        tuple.remote_port = u16::from_be(field::<u16>(sk, offset!(skc_dport)));
    }
    if family == AF_INET6 {
        tuple.local = copy(sk, offset!(skc_v6_rcv_saddr)).unwrap_or([0; 16]);
        tuple.remote = copy(sk, offset!(skc_v6_daddr)).unwrap_or([0; 16]);
    } else {
        let local: [u8; 4] = copy(sk, offset!(skc_rcv_saddr)).unwrap_or([0; 4]);
        let remote: [u8; 4] = copy(sk, offset!(skc_daddr)).unwrap_or([0; 4]);
        // IPv4 as mapped IPv6, so that both ends of a dual-stack connection agree.
        tuple.local = mapped(local);
        tuple.remote = mapped(remote);
    }
    tuple
}

#[inline(always)]
fn mapped(v4: [u8; 4]) -> [u8; 16] {
    [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3],
    ]
}

/// Family and protocol come in one word: a kernel program's function has five arguments at most.
#[inline(never)]
fn open(sk: *const c_void, state: &SockState, tuple: &Tuple, kind: u32, tgid: u32) {
    // SAFETY: reservations have the size that `write_open` is told; they are checked and submitted.
    unsafe {
        if (kind >> 16) as u16 == AF_UNIX {
            let slot = helpers::bpf_ringbuf_reserve(control(), size_of::<Open>() as u64, 0);
            if slot.is_null() {
                return count(loss::CONTROL_RING, 1);
            }
            let record = slot.cast::<Open>();
            zero::<{ size_of::<Open>() / 4 }>(record);
            write_open(record, sk, state, tuple, kind, tgid);
            name_open(record, sk);
            helpers::bpf_ringbuf_submit(slot, u64::from(BPF_RB_NO_WAKEUP));
        } else {
            let slot = helpers::bpf_ringbuf_reserve(control(), OPEN_BYTES as u64, 0);
            if slot.is_null() {
                return count(loss::CONTROL_RING, 1);
            }
            let record = slot.cast::<Open>();
            zero::<{ OPEN_BYTES / 4 }>(record);
            write_open(record, sk, state, tuple, kind, tgid);
            helpers::bpf_ringbuf_submit(slot, u64::from(BPF_RB_NO_WAKEUP));
        }
    }
}

#[inline(always)]
fn control() -> *mut c_void {
    (&raw const CONTROL).cast_mut().cast()
}

/// # Safety
/// `record` has room for `WORDS` words.
#[inline(always)]
unsafe fn zero<const WORDS: usize>(record: *mut Open) {
    let words = record.cast::<u32>();
    for i in 0..WORDS {
        // SAFETY: by contract.
        unsafe { words.add(i).write_volatile(0) };
    }
}

/// Writes all but the unix part.
///
/// # Safety
/// `record` has room for [`OPEN_BYTES`]; `sk` is trusted.
#[inline(always)]
unsafe fn write_open(
    record: *mut Open,
    sk: *const c_void,
    state: &SockState,
    tuple: &Tuple,
    kind: u32,
    tgid: u32,
) {
    let mut flags = 0;
    if state.flags & sock_flag::FRESH != 0 {
        flags |= open_flag::FRESH;
    }
    if state.flags & sock_flag::CLIENT != 0 {
        flags |= open_flag::CLIENT;
    }
    if state.flags & sock_flag::SERVER != 0 {
        flags |= open_flag::SERVER;
    }
    if state.flags & sock_flag::SEQUENCED != 0 {
        flags |= open_flag::SEQUENCED;
    }
    // SAFETY: by contract.
    unsafe {
        (*record).header.kind = record_kind::OPEN;
        (*record).header.class = class::UNKNOWN;
        (*record).header.flags = flags;
        (*record).time = helpers::bpf_ktime_get_ns();
        (*record).sock = state.cookie;
        (*record).cgroup = helpers::bpf_get_current_cgroup_id();
        (*record).netns = follow(sk, offset!(skc_net))
            .and_then(|net| copy::<u32>(net, offset!(net_inum)))
            .unwrap_or(0);
        (*record).tgid = tgid;
        let task: *const c_void = helpers::bpf_get_current_task_btf().cast();
        (*record).exec_id = field::<u32>(task, offset!(task_self_exec_id));
        (*record).family = (kind >> 16) as u16;
        (*record).local_port = tuple.local_port;
        (*record).remote_port = tuple.remote_port;
        (*record).protocol = kind as u16;
        (*record).local = tuple.local;
        (*record).remote = tuple.remote;
        (*record).tx_base = state.base[0];
        (*record).rx_base = state.base[1];
    }
}

/// Writes who a unix socket is, and where it leads.
///
/// # Safety
/// `record` has room for an [`Open`]; `sk` is trusted.
#[inline(always)]
unsafe fn name_open(record: *mut Open, sk: *const c_void) {
    let secret = setting!(secret);
    // SAFETY: by contract.
    unsafe {
        (*record).local_id = number(sk) ^ secret;
        let peer = follow(sk, offset!(unix_peer));
        if let Some(peer) = peer {
            (*record).peer_id = number(peer) ^ secret;
        }
        // A client's own end has no name; the end that accepted carries the listener's.
        let mut length = unix_name(sk, &raw mut (*record).path);
        if length == 0
            && let Some(peer) = peer
        {
            length = unix_name(peer, &raw mut (*record).path);
        } else if length > 0 {
            (*record).header.dir = 1;
        }
        (*record).header.len = length;
    }
}

/// A kernel address as a number: the verifier allows no arithmetic on the pointer itself.
#[inline(always)]
fn number(pointer: *const c_void) -> u64 {
    let on_stack = pointer;
    copy::<u64>((&raw const on_stack).cast(), 0).unwrap_or(0)
}

/// Copies the name a unix socket is bound to; 0 if it has none.
///
/// # Safety
/// `to` has room for [`NAME_BYTES`].
#[inline(always)]
unsafe fn unix_name(sk: *const c_void, to: *mut [u8; NAME_BYTES]) -> u32 {
    /// `sun_family` in front of the path.
    const FAMILY: u32 = 2;
    let Some(address) = follow(sk, offset!(unix_addr)) else {
        return 0;
    };
    let Some(length) = copy::<i32>(address, offset!(unix_addr_len)) else {
        return 0;
    };
    let length = length as u32;
    if length <= FAMILY {
        return 0;
    }
    let mut length = length - FAMILY;
    if length > NAME_BYTES as u32 {
        length = NAME_BYTES as u32;
    }
    // SAFETY: length is bounded by the array.
    let status = unsafe {
        helpers::bpf_probe_read_kernel(
            to.cast(),
            length,
            address
                .cast::<u8>()
                .wrapping_add(offset!(unix_addr_name) + FAMILY as usize)
                .cast(),
        )
    };
    if status == 0 { length } else { 0 }
}
