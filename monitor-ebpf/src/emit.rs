//! Data records: straight from user memory into this CPU's ring.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_NO_WAKEUP},
    helpers::generated as helpers,
};
use monitor_ebpf::{Data, Header, MESSAGE_BYTES, PAYLOAD_CLASSES, class, data_flag, kind, loss};

use crate::{
    classify,
    fairness::{self, Share},
    maps::{DATA, SockState, count},
};

/// Bytes of a call that is over its share.
const SHORT_BYTES: u32 = 64;

/// What is the same for all segments of one call.
pub(crate) struct Call {
    /// Direction.
    pub(crate) way: u8,
    /// Process.
    pub(crate) tgid: u32,
    /// Its image.
    pub(crate) exec_id: u32,
    /// A message may begin with the call.
    pub(crate) begins: bool,
}

/// Sends up one segment: `size` bytes at user address `address`, at `offset` of the stream. False when
/// less went up than the message's share allows.
#[inline(always)]
pub(crate) fn segment(
    state: &mut SockState,
    call: &Call,
    begins: bool,
    address: u64,
    size: u32,
    offset: u32,
) -> bool {
    let w = (call.way & 1) as usize;
    let sent = state.sent[w];
    if sent >= MESSAGE_BYTES {
        count(loss::CAPPED_BYTES, u64::from(size));
        return true;
    }
    let mut want = MESSAGE_BYTES - sent;
    if size < want {
        want = size;
    }
    // A connection that has not spoken HTTP so far gets the smallest record.
    if state.class == class::UNKNOWN && state.misses > 0 && want > PAYLOAD_CLASSES[0] as u32 {
        want = PAYLOAD_CLASSES[0] as u32;
    }
    // SAFETY: no preconditions.
    let cpu = unsafe { helpers::bpf_get_smp_processor_id() } as u32;
    let Some(ring) = DATA.get(cpu) else {
        count(loss::DATA_RING, 1);
        return false;
    };
    let ring: *mut c_void = core::ptr::from_ref(ring).cast_mut().cast();
    // SAFETY: the ring is a map.
    let used = unsafe { helpers::bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)) };
    let mut flags = if begins { data_flag::START } else { 0 };
    match fairness::share(used, call.tgid, want) {
        Share::Full => {}
        Share::Short => {
            if want > SHORT_BYTES {
                want = SHORT_BYTES;
                flags |= data_flag::SHED;
            }
        }
        Share::Nothing => {
            // The number is used up: user space sees that a record is missing.
            state.seq = state.seq.wrapping_add(1);
            return false;
        }
    }
    state.sent[w] = sent + want;
    let record = Record {
        state,
        call,
        flags,
        address,
        size,
        offset,
        want,
        ring,
    };
    if want <= PAYLOAD_CLASSES[0] as u32 {
        record.write::<{ PAYLOAD_CLASSES[0] }>()
    } else if want <= PAYLOAD_CLASSES[1] as u32 {
        record.write::<{ PAYLOAD_CLASSES[1] }>()
    } else if want <= PAYLOAD_CLASSES[2] as u32 {
        record.write::<{ PAYLOAD_CLASSES[2] }>()
    } else {
        record.write::<{ PAYLOAD_CLASSES[3] }>()
    }
}

struct Record<'a> {
    state: &'a mut SockState,
    call: &'a Call,
    flags: u8,
    address: u64,
    size: u32,
    offset: u32,
    want: u32,
    ring: *mut c_void,
}

impl Record<'_> {
    #[inline(always)]
    fn write<const ROOM: usize>(self) -> bool {
        let state = self.state;
        let seq = state.seq;
        state.seq = seq.wrapping_add(1);
        // SAFETY: the size is a constant; the pointer is checked before use and submitted on every
        // path after that.
        unsafe {
            let slot =
                helpers::bpf_ringbuf_reserve(self.ring, (size_of::<Data>() + ROOM) as u64, 0)
                    .cast::<u8>();
            if slot.is_null() {
                count(loss::DATA_RING, 1);
                return false;
            }
            let payload = slot.add(size_of::<Data>());
            let mut take = self.want;
            if take > ROOM as u32 {
                take = ROOM as u32;
            }
            let mut flags = self.flags;
            let mut captured = take;
            if read_user(payload, take, ROOM as u32, self.address) == 0 {
                let first = core::ptr::read_volatile(payload.cast::<u64>());
                classify::observe(state, (self.call.way & 1) as usize, first, take);
            } else {
                flags |= data_flag::FAULT;
                captured = 0;
                count(loss::FAULT, 1);
            }
            let time = if flags & data_flag::START != 0 {
                helpers::bpf_ktime_get_ns()
            } else {
                0
            };
            slot.cast::<Data>().write(Data {
                header: Header {
                    kind: kind::DATA,
                    dir: self.call.way,
                    class: state.class,
                    flags,
                    len: captured,
                },
                time,
                sock: state.cookie,
                off: self.offset,
                full: self.size,
                seq,
                tgid: self.call.tgid,
                exec_id: self.call.exec_id,
                pad: 0,
            });
            helpers::bpf_ringbuf_submit(slot.cast(), u64::from(BPF_RB_NO_WAKEUP));
            flags & (data_flag::FAULT | data_flag::SHED) == 0
        }
    }
}

/// Copies `length` ≤ `room` bytes of user memory to `to`.
///
/// # Safety
/// `to` has `room` bytes.
#[inline(always)]
unsafe fn read_user(to: *mut u8, length: u32, room: u32, from: u64) -> i64 {
    // SAFETY: the bound is checked where the verifier can see it: on the register that is passed.
    unsafe {
        let mut length = u64::from(length);
        core::arch::asm!("if {0} <= {1} goto +1", "{0} = 0", inout(reg) length, in(reg) u64::from(room));
        helpers::bpf_probe_read_user(to.cast(), length as u32, from as *const c_void) as i64
    }
}
