//! Plaintext at the calls that take and give it: `SSL_read`, `SSL_write` and their `_ex` forms, of
//! processes with connections whose keys cannot be had, and only as long as they have such.
//!
//! What was read is known at return only, and so is how much was written: a call that could not write
//! everything is made again with the same bytes. So each call has two probes, and its arguments are kept
//! in between. Which socket an `SSL` speaks through is told by the socket's own hook, when it comes by
//! inside the call; it holds for later calls that need no socket. An `SSL` over memory (BIO pairs) has
//! none: nothing is sent up of it.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext,
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_NO_WAKEUP},
    helpers::generated as helpers,
    programs::{ProbeContext, RetProbeContext},
};
use monitor_ebpf::{
    Data, Header, MESSAGE_BYTES, PAYLOAD_CLASSES, advice as told, class, data_flag, dir, kind,
    loss, ssl_call, ssl_sockets,
};

use crate::{
    classify, emit,
    fairness::{self, Share},
    kernel::field,
    maps::{DATA, FALLBACK, FALLBACK_PIDS, SSL_CALLS, SSLS, advice, count},
    offset,
};

/// Bytes of a call that is over its share.
const SHORT_BYTES: u32 = 64;
/// Most bytes that one record carries.
const PART: u32 = PAYLOAD_CLASSES[3] as u32;

/// A call under way.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Call {
    ssl: u64,
    buffer: u64,
    /// Most that it can move.
    size: u64,
    /// Where an `_ex` call says how much it moved; 0 for the others, which return it.
    done: u64,
    /// Socket that was used in it, 0 so far.
    cookie: u64,
    /// Direction.
    way: u32,
    /// Which are told of.
    sockets: u32,
}

/// An `SSL` of a process.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct SslKey {
    ssl: u64,
    tgid: u32,
    pad: u32,
}

/// What is known of it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct SslState {
    /// Its socket.
    cookie: u64,
    /// Bytes of plaintext so far, by direction.
    position: [u32; 2],
    /// Bytes of the message under way that were sent up.
    sent: [u32; 2],
    /// Records sent up.
    seq: u32,
    /// Direction of the last bytes, and 2 before any.
    last: u32,
}

/// At entry. The probe's cookie says which function it is ([`ssl_call`]).
#[inline(always)]
pub(crate) fn enter(ctx: &ProbeContext) {
    // SAFETY: no preconditions.
    let thread = unsafe { helpers::bpf_get_current_pid_tgid() };
    let Some(sockets) = FALLBACK_PIDS.get_ptr((thread >> 32) as u32) else {
        return;
    };
    // SAFETY: the context is the probe's.
    let which = unsafe { helpers::bpf_get_attach_cookie(ctx.as_ptr()) };
    let (Some(ssl), Some(buffer), Some(size)) =
        (ctx.arg::<u64>(0), ctx.arg::<u64>(1), ctx.arg::<u64>(2))
    else {
        return;
    };
    let mut call = Call {
        ssl,
        buffer,
        size,
        done: 0,
        cookie: 0,
        way: if which & ssl_call::WRITE != 0 {
            dir::TX as u32
        } else {
            dir::RX as u32
        },
        // SAFETY: points into a map value.
        sockets: unsafe { *sockets },
    };
    if which & ssl_call::EX != 0 {
        let Some(done) = ctx.arg::<u64>(3) else {
            return;
        };
        call.done = done;
    } else {
        // An int.
        call.size = size & 0xffff_ffff;
    }
    let _ = SSL_CALLS.insert(thread, call, 0);
}

/// Notes the socket that a call uses: this thread moves bytes of it.
#[inline(always)]
pub(crate) fn note(cookie: u64) {
    match FALLBACK.get(0) {
        Some(active) if *active != 0 => {}
        _ => return,
    }
    // SAFETY: no preconditions.
    let thread = unsafe { helpers::bpf_get_current_pid_tgid() };
    if let Some(call) = SSL_CALLS.get_ptr_mut(thread) {
        // SAFETY: points into a map value of this thread's own.
        unsafe {
            if (*call).cookie == 0 {
                (*call).cookie = cookie;
            }
        }
    }
}

/// At return: what was moved goes up, if it is wanted.
#[inline(always)]
pub(crate) fn leave(ctx: &RetProbeContext) {
    // SAFETY: no preconditions.
    let thread = unsafe { helpers::bpf_get_current_pid_tgid() };
    let Some(call) = SSL_CALLS.get_ptr(thread) else {
        return;
    };
    // SAFETY: points into a map value of this thread's own, and is copied at once.
    let call = unsafe { *call };
    let _ = SSL_CALLS.remove(thread);
    let result = ctx.ret::<i32>();
    if result <= 0 {
        return;
    }
    let mut moved = result as u64;
    if call.done != 0 {
        let mut word = 0_u64;
        // SAFETY: the variable has eight bytes.
        if unsafe { emit::read_user((&raw mut word).cast(), 8, 8, call.done) } != 0 {
            return count(loss::FAULT, 1);
        }
        moved = word;
    }
    if moved == 0 || moved > call.size || moved > u32::MAX as u64 {
        return;
    }
    let tgid = (thread >> 32) as u32;
    let key = SslKey {
        ssl: call.ssl,
        tgid,
        pad: 0,
    };
    let mut state = SSLS.get_ptr_mut(key);
    // SAFETY: points into a map value; one SSL is used by one thread at a time.
    let known = match state {
        Some(state) => unsafe { (*state).cookie },
        None => 0,
    };
    if call.cookie != 0 && call.cookie != known {
        // A new one, perhaps where another was.
        let fresh = SslState {
            cookie: call.cookie,
            position: [0; 2],
            sent: [0; 2],
            seq: 0,
            last: 2,
        };
        let _ = SSLS.insert(key, fresh, 0);
        state = SSLS.get_ptr_mut(key);
    }
    let Some(state) = state else {
        return;
    };
    // SAFETY: as above.
    unsafe { tell(&mut *state, &call, tgid, moved as u32) };
}

/// Sends up the bytes of a call, as far as the message's share goes.
#[inline(always)]
fn tell(state: &mut SslState, call: &Call, tgid: u32, moved: u32) {
    let wanted = advice(state.cookie);
    if wanted & told::PLAIN == 0 && !(wanted == 0 && call.sockets == ssl_sockets::ALL) {
        return;
    }
    let w = (call.way & 1) as usize;
    let mut begins = state.last != call.way;
    if begins {
        state.last = call.way;
        state.sent[w] = 0;
    }
    let offset = state.position[w];
    state.position[w] = offset.wrapping_add(moved);
    let mut share = MESSAGE_BYTES.wrapping_sub(state.sent[w]);
    let whole = if w == dir::TX as usize {
        told::WHOLE_TX
    } else {
        told::WHOLE_RX
    };
    if wanted & whole != 0 {
        share = PART;
    } else if share == 0 || share > MESSAGE_BYTES {
        let mut head = 0_u64;
        // SAFETY: the variable has eight bytes.
        unsafe {
            let few = if moved < 8 { moved } else { 8 };
            let _ = emit::read_user((&raw mut head).cast(), few, 8, call.buffer);
        }
        if !classify::may_begin(head) {
            return count(loss::CAPPED_BYTES, u64::from(moved));
        }
        state.sent[w] = 0;
        begins = true;
        share = MESSAGE_BYTES;
    }
    let mut want = if moved < share { moved } else { share };
    if want > PART {
        want = PART;
    }
    state.sent[w] = state.sent[w].wrapping_add(want);
    let mut flags = if begins { data_flag::START } else { 0 };
    // SAFETY: no preconditions.
    let cpu = unsafe { helpers::bpf_get_smp_processor_id() } as u32;
    let Some(ring) = DATA.get(cpu) else {
        return count(loss::DATA_RING, 1);
    };
    let ring: *mut c_void = core::ptr::from_ref(ring).cast_mut().cast();
    // SAFETY: the ring is a map.
    let used = unsafe { helpers::bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)) };
    let seq = state.seq;
    // A number that is used up without a record shows that one is missing.
    state.seq = seq.wrapping_add(1);
    match fairness::share(used, tgid, want) {
        Share::Full => {}
        Share::Short => {
            if want > SHORT_BYTES {
                want = SHORT_BYTES;
                flags |= data_flag::SHED;
            }
        }
        Share::Nothing => return,
    }
    // SAFETY: the task is trusted, and exec_id is a field of it.
    let exec_id = unsafe {
        let task: *const c_void = helpers::bpf_get_current_task_btf().cast();
        field::<u32>(task, offset!(task_self_exec_id))
    };
    let record = Data {
        header: Header {
            kind: kind::PLAIN,
            dir: call.way as u8,
            class: class::TLS,
            flags,
            len: want,
        },
        // SAFETY: no preconditions.
        time: unsafe { helpers::bpf_ktime_get_ns() },
        sock: state.cookie,
        off: offset,
        full: moved,
        seq,
        tgid,
        exec_id,
        pad: 0,
    };
    // SAFETY: the ring is a map.
    unsafe {
        if want <= PAYLOAD_CLASSES[0] as u32 {
            write::<{ PAYLOAD_CLASSES[0] }>(ring, record, call.buffer);
        } else if want <= PAYLOAD_CLASSES[1] as u32 {
            write::<{ PAYLOAD_CLASSES[1] }>(ring, record, call.buffer);
        } else if want <= PAYLOAD_CLASSES[2] as u32 {
            write::<{ PAYLOAD_CLASSES[2] }>(ring, record, call.buffer);
        } else {
            write::<{ PAYLOAD_CLASSES[3] }>(ring, record, call.buffer);
        }
    }
}

/// Writes a record with `record.header.len` bytes from `address`.
///
/// # Safety
/// `ring` is a ring.
#[inline(always)]
unsafe fn write<const ROOM: usize>(ring: *mut c_void, mut record: Data, address: u64) {
    const HEAD: usize = size_of::<Data>();
    // SAFETY: the size is a constant; the pointer is checked before use and submitted after it.
    unsafe {
        let slot = helpers::bpf_ringbuf_reserve(ring, (HEAD + ROOM) as u64, 0).cast::<u8>();
        if slot.is_null() {
            return count(loss::DATA_RING, 1);
        }
        let read = emit::read_user(slot.add(HEAD), record.header.len, ROOM as u32, address);
        if read != 0 {
            record.header.flags |= data_flag::FAULT;
            record.header.len = 0;
            count(loss::FAULT, 1);
        }
        slot.cast::<Data>().write(record);
        helpers::bpf_ringbuf_submit(slot.cast(), u64::from(BPF_RB_NO_WAKEUP));
    }
}
