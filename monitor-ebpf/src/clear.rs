//! Clear text: a call's bytes go up, buffer by buffer, as far as the message's share goes.

use core::ffi::c_void;

use aya_ebpf::helpers::generated as helpers;
use monitor_ebpf::{MAX_STEPS, MESSAGE_BYTES, PAYLOAD_CLASSES, class, dir, loss, uncovered};

use crate::{
    buffer::{Buffers, Cursor, Loose},
    classify, connection,
    emit::{self, Call},
    fairness,
    maps::{SockState, count},
};

/// Most bytes that one record carries.
const PART: u32 = PAYLOAD_CLASSES[3] as u32;
/// Most bytes of one call of HTTP/2: many small frames, or the beginning of a large one.
const HTTP2_BYTES: u32 = 4024;

/// A call on its way up.
struct Walk {
    state: *mut SockState,
    call: Call,
    cursor: Cursor,
    /// Position in the stream of what comes next.
    offset: Loose,
    /// Bytes that may go up; beyond them is the message's body.
    share: Loose,
    begins: Loose,
    /// 1 while everything that should have gone up did.
    whole: Loose,
}

/// Takes the bytes of one call: `length` from position `start` of the stream.
#[inline(always)]
pub(crate) fn on_io(
    state: &mut SockState,
    call: Call,
    buffers: Buffers,
    turned: bool,
    start: u32,
    length: u32,
) {
    let w = (call.way & 1) as usize;
    let mut begins = turned;
    let mut share = MESSAGE_BYTES.wrapping_sub(state.sent[w]);
    if state.class == class::HTTP2 {
        share = HTTP2_BYTES;
    } else if state.heads[w] != 0 && !turned {
        // Requests without bodies may follow each other without end.
        share = u32::MAX;
    } else if state.sent[w] >= MESSAGE_BYTES {
        if !classify::may_begin(buffers.peek()) {
            count(loss::CAPPED_BYTES, u64::from(length));
            if call.way == dir::TX {
                connection::sent_up(state, w, start.wrapping_add(length));
            }
            return;
        }
        state.sent[w] = 0;
        state.head[w] = 0;
        state.head_len[w] = 0;
        begins = true;
        share = MESSAGE_BYTES;
    }
    let (way, tgid) = (call.way, call.tgid);
    let mut walk = Walk {
        state: core::ptr::from_mut(state),
        call,
        cursor: Cursor::new(buffers, length),
        offset: Loose::new(start),
        share: Loose::new(share),
        begins: Loose::new(u32::from(begins)),
        whole: Loose::new(1),
    };
    // SAFETY: the callback gets the walk back; flags are zero (Linux 5.17).
    unsafe {
        helpers::bpf_loop(MAX_STEPS, step as *mut c_void, (&raw mut walk).cast(), 0);
    }
    let left = walk.cursor.left();
    if walk.share.get() == 0 {
        count(loss::CAPPED_BYTES, u64::from(left));
    } else if left > 0 {
        // More than is walked: the bytes show as a gap in the offsets.
        fairness::uncovered(tgid, uncovered::OTHER, u64::from(left));
        return;
    }
    if walk.whole.get() != 0 && way == dir::TX {
        connection::sent_up(state, w, start.wrapping_add(length));
    }
}

/// One buffer, or as much of it as one record holds. 0 to go on, 1 to end.
unsafe extern "C" fn step(_index: u32, context: *mut c_void) -> i64 {
    // SAFETY: the context is the walk that `on_io` passed.
    let walk = unsafe { &mut *context.cast::<Walk>() };
    let mut share = walk.share.get();
    if walk.cursor.left() == 0 || share == 0 {
        return 1;
    }
    let here = walk.cursor.here();
    if here == 0 {
        return i64::from(!walk.cursor.next());
    }
    // SAFETY: points to the socket's storage for as long as the walk lasts.
    let state = unsafe { &mut *walk.state };
    let w = (walk.call.way & 1) as usize;
    let mut want = if here < share { here } else { share };
    // What does not go up any more is told of as the rest of the last record.
    let mut full = here;
    if want > PART {
        want = PART;
        if share > PART {
            full = PART;
        }
    }
    // A connection that has not spoken HTTP so far gets the smallest record.
    if state.class == class::UNKNOWN && state.misses > 0 {
        if want > PAYLOAD_CLASSES[0] as u32 {
            want = PAYLOAD_CLASSES[0] as u32;
        }
        full = here;
        share = want;
    }
    if share != u32::MAX {
        share -= want;
        if share == 0 {
            full = here;
        }
    }
    state.sent[w] = state.sent[w].saturating_add(want);
    let offset = walk.offset.get();
    let part = emit::Part {
        begins: walk.begins.get() != 0,
        address: walk.cursor.address,
        full,
        offset,
        want,
    };
    if !emit::bytes(state, &walk.call, &part) {
        walk.whole.set(0);
    }
    // The head may have shown that more heads follow.
    if state.heads[w] != 0 && state.class == class::HTTP1 {
        share = u32::MAX;
    }
    walk.share.set(share);
    walk.begins.set(0);
    walk.offset.set(offset.wrapping_add(full));
    walk.cursor.advance(full);
    0
}
