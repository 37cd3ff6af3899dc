//! TLS: a call's bytes are walked record by record. Of each record its number, length and type are kept
//! exactly (the nonce of TLS 1.3 is the number); of its body, what may hold a head goes up.
//!
//! Whole: handshakes in clear, short records, the first MiB of requests, and long records as far as 16 KiB
//! since the direction turned go. Beyond that a long record is taken for bulk and only counted, unless the
//! monitor asked for all.

use core::ffi::c_void;

use aya_ebpf::helpers::generated as helpers;
use monitor_ebpf::{
    MAX_STEPS, MESSAGE_BYTES, TLS_SHORT, advice as told, class, data_flag, dir, loss, uncovered,
};

use crate::{
    buffer::{Buffers, Cursor, Loose},
    connection,
    emit::{self, Call},
    fairness,
    maps::{LAST_TLS, SockState, TlsHalf, TlsState, advice, count, sock_flag, tls_flag},
};

/// Length of a record's header (RFC 8446 §5.1).
const HEADER: u32 = 5;
/// Longest body that is allowed: 2¹⁴ and 2048 more (RFC 5246 §6.2.3).
const LONGEST: u32 = (1 << 14) + 2048;
/// Records of a direction within which a handshake is over.
const HANDSHAKE: u32 = 16;
/// Calls of a direction within which a handshake is over (a record can take two: its header comes first).
pub(crate) const HANDSHAKE_CALLS: u32 = 2 * HANDSHAKE;
/// Bytes of long records of requests that go up whole before the monitor says what it wants: if they are
/// HTTP/2, what is lost of them makes fields of later ones unknown.
const AHEAD: u32 = 1 << 20;
/// Content type of application data; what else is not clear text has this type in TLS 1.3.
const APPLICATION: u8 = 23;

/// A call on its way up.
struct Walk {
    tls: *mut TlsState,
    state: *mut SockState,
    call: Call,
    cursor: Cursor,
    offset: Loose,
    begins: Loose,
    whole: Loose,
    lost: Loose,
}

/// Takes the bytes of one call: `length` from position `start` of the stream.
#[inline(always)]
pub(crate) fn on_io(
    tls: &mut TlsState,
    state: &mut SockState,
    call: Call,
    buffers: Buffers,
    turned: bool,
    start: u32,
    length: u32,
) {
    let w = (call.way & 1) as usize;
    let half = &mut tls.half[w];
    if half.flags & tls_flag::LOST != 0 {
        return;
    }
    let filling = call.way == dir::RX && state.pair != 0;
    if half.flags & tls_flag::BEGUN == 0 {
        half.flags |= tls_flag::BEGUN;
        half.pos = start;
        let asks = if call.way == dir::TX {
            sock_flag::CLIENT
        } else {
            sock_flag::SERVER
        };
        if state.flags & asks != 0 {
            half.ahead = AHEAD;
        }
        // A receiver that let go by what the sender has told of cannot number the rest: the sender will
        // tell of that as well, only later than the receiver has read it.
        if filling && state.tunnel == 0 && state.bytes[w] != u64::from(length) {
            half.flags |= tls_flag::LOST;
            return;
        }
    }
    if half.pos != start {
        // Bytes went by that no buffer could be had for, or that the sender has told of.
        half.flags |= tls_flag::LOST;
        if !filling {
            count(loss::TLS_FRAMING, 1);
        }
        return;
    }
    if half.record < HANDSHAKE {
        used(state);
    }
    if turned {
        half.budget = MESSAGE_BYTES;
        let wanted = advice(state.cookie);
        if wanted & told::LEAVE != 0 {
            state.class = class::OTHER;
            return;
        }
        let whole = if w == dir::TX as usize {
            told::WHOLE_TX
        } else {
            told::WHOLE_RX
        };
        if wanted & whole != 0 {
            half.flags |= tls_flag::WHOLE;
        }
    }
    let (way, tgid) = (call.way, call.tgid);
    let mut walk = Walk {
        tls: core::ptr::from_mut(tls),
        state: core::ptr::from_mut(state),
        call,
        cursor: Cursor::new(buffers, length),
        offset: Loose::new(start),
        // Each call has its time: a request follows the end of the handshake in the same direction.
        begins: Loose::new(1),
        whole: Loose::new(1),
        lost: Loose::new(0),
    };
    // SAFETY: the callback gets the walk back; flags are zero (Linux 5.17).
    unsafe {
        helpers::bpf_loop(
            2 * MAX_STEPS,
            step as *mut c_void,
            (&raw mut walk).cast(),
            0,
        );
    }
    let left = walk.cursor.left();
    tls.half[w].pos = walk.offset.get();
    if walk.lost.get() != 0 {
        tls.half[w].flags |= tls_flag::LOST;
        count(loss::TLS_FRAMING, 1);
    } else if left > 0 {
        fairness::uncovered(tgid, uncovered::OTHER, u64::from(left));
    } else if walk.whole.get() != 0 && way == dir::TX {
        connection::sent_up(state, w, start.wrapping_add(length));
    }
}

/// Notes that this thread is at this connection's handshake.
#[inline(always)]
pub(crate) fn used(state: &SockState) {
    // SAFETY: no preconditions.
    let thread = unsafe { helpers::bpf_get_current_pid_tgid() };
    let _ = LAST_TLS.insert(thread, state.cookie, 0);
}

/// A connection that was already encrypted when it was first seen: told of once, and left alone.
#[inline(always)]
pub(crate) fn late(state: &mut SockState, call: &Call, head: u64, start: u32, length: u32) {
    state.class = class::OTHER;
    let part = emit::Part {
        begins: true,
        address: 0,
        full: length,
        offset: start,
        want: 0,
    };
    let place = emit::Place {
        record: 0,
        at: 0,
        length: 0,
        outer: head as u8,
        flags: data_flag::LATE,
    };
    let _ = emit::tls(state, call, &part, &place);
}

/// A header's bytes, a part of a body, or the next buffer. 0 to go on, 1 to end.
unsafe extern "C" fn step(_index: u32, context: *mut c_void) -> i64 {
    // SAFETY: the context is the walk that `on_io` passed.
    let walk = unsafe { &mut *context.cast::<Walk>() };
    if walk.cursor.left() == 0 {
        return 1;
    }
    let here = walk.cursor.here();
    if here == 0 {
        return i64::from(!walk.cursor.next());
    }
    let w = (walk.call.way & 1) as usize;
    // SAFETY: points to the socket's storage for as long as the walk lasts.
    let (tls, state) = unsafe { (&mut *walk.tls, &mut *walk.state) };
    let half = &mut tls.half[w];
    if half.left == 0 {
        let need = HEADER.wrapping_sub(u32::from(half.head_len & 7));
        let take = if need < here { need } else { here };
        let read = read_few(walk.cursor.address, take);
        half.head |= read << (8 * u32::from(half.head_len & 7));
        half.head_len = half.head_len.wrapping_add(take as u8);
        walk.offset.set(walk.offset.get().wrapping_add(take));
        walk.cursor.advance(take);
        if u32::from(half.head_len) < HEADER {
            return 0;
        }
        if !begin(half) {
            walk.lost.set(1);
            return 1;
        }
        return 0;
    }
    let length = u32::from(half.length);
    let gone = length.wrapping_sub(half.left);
    let size = if half.left < here { half.left } else { here };
    if gone < half.want {
        let mut want = half.want - gone;
        if size < want {
            want = size;
        }
        let part = emit::Part {
            begins: walk.begins.get() != 0,
            address: walk.cursor.address,
            full: size,
            offset: walk.offset.get(),
            want,
        };
        let place = emit::Place {
            record: half.record,
            at: gone as u16,
            length: half.length,
            outer: half.outer,
            flags: 0,
        };
        if !emit::tls(state, &walk.call, &part, &place) {
            walk.whole.set(0);
        }
        walk.begins.set(0);
    }
    half.left -= size;
    if half.left == 0 {
        half.record = half.record.wrapping_add(1);
    }
    walk.offset.set(walk.offset.get().wrapping_add(size));
    walk.cursor.advance(size);
    0
}

/// A record's header is complete: decides how much of its body is wanted. False when it is no header.
#[inline(always)]
fn begin(half: &mut TlsHalf) -> bool {
    let head = half.head;
    half.head = 0;
    half.head_len = 0;
    let outer = head as u8;
    let major = (head >> 8) as u8;
    let length = ((head >> 24) as u32 & 0xff) << 8 | (head >> 32) as u32 & 0xff;
    if outer < 20 || outer > 24 || major != 3 || length > LONGEST {
        return false;
    }
    half.outer = outer;
    half.length = length as u16;
    half.left = length;
    if length == 0 {
        half.record = half.record.wrapping_add(1);
        return true;
    }
    let early = outer != APPLICATION && half.record < HANDSHAKE;
    if length <= TLS_SHORT || early || half.flags & tls_flag::WHOLE != 0 {
        half.want = length;
    } else if length <= half.ahead {
        half.want = length;
        half.ahead -= length;
    } else {
        half.want = if length < half.budget {
            length
        } else {
            half.budget
        };
        half.budget -= half.want;
    }
    true
}

/// Reads `count` ≤ 5 bytes of user memory, lowest first; zero where they cannot be read.
#[inline(always)]
fn read_few(address: u64, count: u32) -> u64 {
    let mut out = 0_u64;
    // SAFETY: the stack variable has room for eight bytes.
    unsafe {
        let _ = emit::read_user((&raw mut out).cast(), count, 8, address);
    }
    out
}
