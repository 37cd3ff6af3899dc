//! `on_socket_io`: one body for every send and receive of a stream socket.

use core::ffi::c_void;

use aya_ebpf::helpers::generated as helpers;
use monitor_ebpf::{PROGRESS_CALLS, PROGRESS_SHIFT, class, dir, loss, uncovered};

use crate::{
    buffer, classify, clear, connection, emit, fairness, fallback,
    kernel::field,
    maps::{SockState, count, sock_flag, sock_state, sock_state_or_new, tls_state},
    offset, tls,
};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const SOCK_STREAM: u16 = 1;
const SOCK_DGRAM: u16 = 2;
/// Bytes of a direction within which a tunnel through a proxy begins, whose CONNECT this end need not have
/// been looked at for. Bytes, not calls: some proxies read the head one by one. What is taken for a
/// handshake wrongly is a body behind `100 Continue` that begins like one.
const FIRST_BYTES: u64 = 4096;
/// UDP port of HTTP/3.
const QUIC_PORT: u16 = 443;
const IPPROTO_TCP: u16 = 6;

const MSG_OOB: i32 = 0x1;
const MSG_PEEK: i32 = 0x2;
const MSG_TRUNC: i32 = 0x20;
const MSG_ERRQUEUE: i32 = 0x2000;

/// `task_struct.flags`: a thread of io_uring's.
const PF_IO_WORKER: u32 = 0x10;
/// `task_struct.flags`: a kernel thread.
const PF_KTHREAD: u32 = 0x0020_0000;

/// What moved: `result` bytes in direction `way` through `sk`, asked for with `flags`.
///
/// # Safety
/// `sk` is the hook's socket argument.
#[inline(always)]
pub(crate) unsafe fn on_socket_io(sk: *const c_void, result: i32, flags: i32, way: u8) {
    if result < 0 || flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE) != 0 {
        return;
    }
    // SAFETY: sk is trusted; the offsets are fields of struct sock.
    let (family, kind, protocol) = unsafe {
        (
            field::<u16>(sk, offset!(skc_family)),
            field::<u16>(sk, offset!(sk_type)),
            field::<u16>(sk, offset!(sk_protocol)),
        )
    };
    if kind != SOCK_STREAM || !(family == AF_INET || family == AF_INET6 || family == AF_UNIX) {
        if kind == SOCK_DGRAM && (family == AF_INET || family == AF_INET6) {
            // SAFETY: sk is trusted.
            unsafe { datagram(sk, result) };
        }
        return;
    }
    // SAFETY: no preconditions; the task is trusted.
    let task: *const c_void = unsafe { helpers::bpf_get_current_task_btf() }.cast();
    // SAFETY: fields of the trusted current task.
    let task_flags = unsafe { field::<u32>(task, offset!(task_flags)) };
    if task_flags & PF_KTHREAD != 0 {
        return;
    }
    // SAFETY: no preconditions.
    let tgid = (unsafe { helpers::bpf_get_current_pid_tgid() } >> 32) as u32;

    // SAFETY: sk is trusted.
    let state = unsafe {
        match sock_state(sk) {
            Some(state) => state,
            None => match sock_state_or_new(sk) {
                Some(state) => state,
                None => return count(loss::STATE, 1),
            },
        }
    };
    if state.flags & (sock_flag::OPENED | sock_flag::IGNORED) == 0 {
        // SAFETY: sk is trusted.
        unsafe { connection::first_sight(sk, state, family, protocol, tgid) };
    }
    if state.flags & sock_flag::IGNORED != 0 {
        return;
    }
    fallback::note(state.cookie);
    if result == 0 {
        // Once: some programs go on reading at the end.
        // Of a unix socket nothing else tells of the end.
        let wanted = state.class != class::OTHER || family == AF_UNIX;
        if way == dir::RX && wanted && state.flags & sock_flag::ENDED == 0 {
            state.flags |= sock_flag::ENDED;
            connection::end_of_file(state);
        }
        return;
    }
    let length = result as u32;
    let w = (way & 1) as usize;
    let before = state.bytes[w];
    let calls = state.calls[w].wrapping_add(1);
    state.calls[w] = calls;
    state.bytes[w] = before.wrapping_add(u64::from(length));
    if (before ^ state.bytes[w]) >> PROGRESS_SHIFT != 0 || calls & (PROGRESS_CALLS - 1) == 0 {
        connection::progress(state);
    }

    // SAFETY: sk is trusted.
    let start = unsafe { position(sk, state, protocol, w, length) };

    let turned = state.flags & sock_flag::STARTED == 0 || state.last_dir != way;
    if turned {
        state.flags |= sock_flag::STARTED;
        state.last_dir = way;
        state.sent[w] = 0;
        state.head[w] = 0;
        state.head_len[w] = 0;
    }
    if state.class == class::OTHER {
        return;
    }
    // Within one host the sender has told of these bytes already.
    let known = way == dir::RX && connection::known_up_to(state, w, start.wrapping_add(length));
    if known {
        if state.class == class::TLS || state.flags & sock_flag::SERVER != 0 {
            // What a tunnel carries has begun, and went by here: its records cannot be numbered any more.
            state.tunnel = 0;
        }
        // It may be a handshake all the same, whose secrets this thread derives next.
        if (state.class == class::TLS || state.class == class::UNKNOWN)
            && state.calls[w] < tls::HANDSHAKE_CALLS
        {
            tls::used(state);
        }
        // How this end's answers are to be taken is told by the first bytes that it reads.
        if state.class != class::UNKNOWN || !turned {
            return;
        }
    }
    // Inside a long body most calls end here, or after a look at eight bytes.
    let buffers = match if flags & MSG_TRUNC != 0 && way == dir::RX {
        Err(uncovered::OTHER)
    } else {
        // SAFETY: task is trusted.
        unsafe { buffer::of_current(task, sk, task_flags & PF_IO_WORKER != 0, way) }
    } {
        Ok(buffers) => buffers,
        Err(cause) => {
            if !known {
                fairness::uncovered(tgid, cause, u64::from(length));
            }
            return;
        }
    };
    if known {
        return classify::glance(state, buffers.peek(), length);
    }
    let call = emit::Call {
        way,
        tgid,
        // SAFETY: fields of the trusted current task.
        exec_id: unsafe { field::<u32>(task, offset!(task_self_exec_id)) },
    };
    let may_begin = state.class == class::UNKNOWN
        || state.tunnel != 0
        || (state.class == class::HTTP1 && before < FIRST_BYTES);
    if turned && may_begin && length > 2 {
        let head = buffers.peek();
        if classify::is_handshake(head) {
            state.class = class::TLS;
        } else if state.class == class::UNKNOWN
            && state.flags & sock_flag::FRESH == 0
            && classify::is_tls(head)
        {
            return tls::late(state, &call, head, start, length);
        }
    }
    if state.class == class::TLS {
        // SAFETY: sk is trusted; the pointer is checked.
        if let Some(tls) = unsafe { tls_state(sk).as_mut() } {
            tls::on_io(tls, state, call, buffers, turned, start, length);
        } else {
            count(loss::STATE, 1);
        }
        return;
    }
    clear::on_io(state, call, buffers, turned, start, length);
}

/// Counts datagrams that can only be QUIC.
///
/// # Safety
/// `sk` is the tracepoint's socket argument.
#[inline(always)]
pub(crate) unsafe fn datagram(sk: *const c_void, result: i32) {
    // SAFETY: fields of the trusted socket.
    let (local, remote) = unsafe {
        (
            field::<u16>(sk, offset!(skc_num)),
            u16::from_be(field::<u16>(sk, offset!(skc_dport))),
        )
    };
    if result > 0 && (local == QUIC_PORT || remote == QUIC_PORT) {
        // SAFETY: no preconditions.
        let tgid = (unsafe { helpers::bpf_get_current_pid_tgid() } >> 32) as u32;
        fairness::uncovered(tgid, uncovered::QUIC, result as u64);
    }
}

/// Offset of the call's first byte.
///
/// TCP sequence numbers are the same at both ends and see what no buffer could be had for; elsewhere
/// bytes are counted.
///
/// # Safety
/// `sk` is a trusted socket.
#[inline(always)]
unsafe fn position(
    sk: *const c_void,
    state: &mut SockState,
    protocol: u16,
    w: usize,
    length: u32,
) -> u32 {
    let expected = state.next[w];
    if protocol == IPPROTO_TCP {
        // SAFETY: sk is trusted.
        let tcp: *const c_void = unsafe { helpers::bpf_skc_to_tcp_sock(sk.cast_mut()) }.cast();
        if !tcp.is_null() {
            // SAFETY: the helper vouches for the type.
            let end = unsafe {
                if w == dir::TX as usize {
                    field::<u32>(tcp, offset!(tcp_write_seq))
                } else {
                    field::<u32>(tcp, offset!(tcp_copied_seq))
                }
            };
            let mut start = end.wrapping_sub(length);
            // A receive that meets the FIN steps over its sequence number as well.
            if w == dir::RX as usize
                && state.flags & sock_flag::STARTED != 0
                && start.wrapping_sub(expected) == 1
            {
                start = expected;
            }
            state.next[w] = start.wrapping_add(length);
            return start;
        }
    }
    state.next[w] = expected.wrapping_add(length);
    expected
}
