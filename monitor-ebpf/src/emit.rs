//! Data records: straight from user memory into this CPU's ring.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_NO_WAKEUP},
    helpers::generated as helpers,
};
use monitor_ebpf::{Data, Header, PAYLOAD_CLASSES, TLS_CLASSES, TlsData, data_flag, kind, loss};

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
}

/// A run of bytes in one buffer.
pub(crate) struct Part {
    /// A message may begin with it.
    pub(crate) begins: bool,
    /// In user memory.
    pub(crate) address: u64,
    /// Its length, as far as it is told of.
    pub(crate) full: u32,
    /// Position of its first byte in the stream.
    pub(crate) offset: u32,
    /// How many of its bytes are to go up.
    pub(crate) want: u32,
}

/// Which part of which TLS record.
pub(crate) struct Place {
    pub(crate) record: u32,
    pub(crate) at: u16,
    pub(crate) length: u16,
    pub(crate) outer: u8,
    pub(crate) flags: u8,
}

/// Sends up clear-text bytes. False when fewer went up than were wanted.
#[inline(always)]
pub(crate) fn bytes(state: &mut SockState, call: &Call, part: &Part) -> bool {
    let Some((mut record, want)) = begin(state, call, part) else {
        return false;
    };
    const HEAD: usize = size_of::<Data>();
    let written = if want <= PAYLOAD_CLASSES[0] as u32 {
        record.write::<{ PAYLOAD_CLASSES[0] }, HEAD>(None)
    } else if want <= PAYLOAD_CLASSES[1] as u32 {
        record.write::<{ PAYLOAD_CLASSES[1] }, HEAD>(None)
    } else if want <= PAYLOAD_CLASSES[2] as u32 {
        record.write::<{ PAYLOAD_CLASSES[2] }, HEAD>(None)
    } else {
        record.write::<{ PAYLOAD_CLASSES[3] }, HEAD>(None)
    };
    written
}

/// Sends up bytes of a TLS record's body. False when fewer went up than were wanted.
#[inline(always)]
pub(crate) fn tls(state: &mut SockState, call: &Call, part: &Part, place: &Place) -> bool {
    let Some((mut record, want)) = begin(state, call, part) else {
        return false;
    };
    record.flags |= place.flags;
    const HEAD: usize = size_of::<TlsData>();
    if want <= TLS_CLASSES[0] as u32 {
        record.write::<{ TLS_CLASSES[0] }, HEAD>(Some(place))
    } else if want <= TLS_CLASSES[1] as u32 {
        record.write::<{ TLS_CLASSES[1] }, HEAD>(Some(place))
    } else if want <= TLS_CLASSES[2] as u32 {
        record.write::<{ TLS_CLASSES[2] }, HEAD>(Some(place))
    } else {
        record.write::<{ TLS_CLASSES[3] }, HEAD>(Some(place))
    }
}

/// Finds the ring and how much of it the process may have.
#[inline(always)]
fn begin<'a>(
    state: &'a mut SockState,
    call: &'a Call,
    part: &'a Part,
) -> Option<(Record<'a>, u32)> {
    let mut want = part.want;
    // SAFETY: no preconditions.
    let cpu = unsafe { helpers::bpf_get_smp_processor_id() } as u32;
    let Some(ring) = DATA.get(cpu) else {
        count(loss::DATA_RING, 1);
        return None;
    };
    let ring: *mut c_void = core::ptr::from_ref(ring).cast_mut().cast();
    // SAFETY: the ring is a map.
    let used = unsafe { helpers::bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)) };
    let mut flags = if part.begins { data_flag::START } else { 0 };
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
            return None;
        }
    }
    let record = Record {
        state,
        call,
        flags,
        part,
        want,
        ring,
    };
    Some((record, want))
}

struct Record<'a> {
    state: &'a mut SockState,
    call: &'a Call,
    flags: u8,
    part: &'a Part,
    want: u32,
    ring: *mut c_void,
}

impl Record<'_> {
    #[inline(always)]
    fn write<const ROOM: usize, const HEAD: usize>(&mut self, place: Option<&Place>) -> bool {
        let state = &mut *self.state;
        let seq = state.seq;
        state.seq = seq.wrapping_add(1);
        // SAFETY: the size is a constant; the pointer is checked before use and submitted on every
        // path after that.
        unsafe {
            let slot =
                helpers::bpf_ringbuf_reserve(self.ring, (HEAD + ROOM) as u64, 0).cast::<u8>();
            if slot.is_null() {
                count(loss::DATA_RING, 1);
                return false;
            }
            let payload = slot.add(HEAD);
            let mut take = self.want;
            if take > ROOM as u32 {
                take = ROOM as u32;
            }
            let mut flags = self.flags;
            let mut captured = take;
            if take == 0 {
                captured = 0;
            } else if read_user(payload, take, ROOM as u32, self.part.address) == 0 {
                if place.is_none() {
                    let first = core::ptr::read_volatile(payload.cast::<u64>());
                    classify::observe(state, (self.call.way & 1) as usize, first, take);
                }
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
                    kind: if place.is_some() {
                        kind::TLS
                    } else {
                        kind::DATA
                    },
                    dir: self.call.way,
                    class: state.class,
                    flags,
                    len: captured,
                },
                time,
                sock: state.cookie,
                off: self.part.offset,
                full: self.part.full,
                seq,
                tgid: self.call.tgid,
                exec_id: self.call.exec_id,
                pad: 0,
            });
            if let Some(place) = place {
                let tail = slot.add(size_of::<Data>());
                tail.cast::<u32>().write(place.record);
                tail.add(4).cast::<u16>().write(place.at);
                tail.add(6).cast::<u16>().write(place.length);
                tail.add(8).cast::<u64>().write(u64::from(place.outer));
            }
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
pub(crate) unsafe fn read_user(to: *mut u8, length: u32, room: u32, from: u64) -> i64 {
    // SAFETY: the bound is checked where the verifier can see it: on the register that is passed.
    unsafe {
        let mut length = u64::from(length);
        core::arch::asm!("if {0} <= {1} goto +1", "{0} = 0", inout(reg) length, in(reg) u64::from(room));
        helpers::bpf_probe_read_user(to.cast(), length as u32, from as *const c_void) as i64
    }
}
