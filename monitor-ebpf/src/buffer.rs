//! Where the bytes of the current system call are, from its registers.

use core::ffi::c_void;

use aya_ebpf::helpers::generated as helpers;
use monitor_ebpf::{ABSENT, dir, uncovered};

use crate::{kernel::field, offset, syscall_nr, uring};

/// `thread_info.status` on x86: the system call came through a 32-bit entry.
const TS_COMPAT: u32 = 2;
/// Offset of `msg_iov` in the 64-bit `struct user_msghdr`; `msg_iovlen` follows.
const MSGHDR_IOV: u64 = 16;

/// `struct iovec`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Segment {
    base: u64,
    length: u64,
}

/// A system call's buffers in user memory: one, or a vector that is read as it is walked (an array of
/// segments on the stack would take a third of it).
#[derive(Clone, Copy)]
pub(crate) struct Buffers {
    base: u64,
    /// 0 when `base` is the one buffer, else the number of segments at `base`.
    count: u64,
}

impl Buffers {
    /// First eight bytes, zero where they cannot be read.
    #[inline(always)]
    pub(crate) fn peek(&self) -> u64 {
        let address = if self.count == 0 {
            self.base
        } else {
            match self.read(0) {
                Some(segment) => segment.base,
                None => return 0,
            }
        };
        let mut out = 0_u64;
        // SAFETY: the helper writes eight bytes of the stack variable or fails.
        unsafe {
            helpers::bpf_probe_read_user((&raw mut out).cast(), 8, address as *const c_void);
        }
        out
    }

    #[inline(always)]
    fn read(&self, i: u32) -> Option<Segment> {
        let mut out = Segment { base: 0, length: 0 };
        let from = self
            .base
            .wrapping_add(u64::from(i) * size_of::<Segment>() as u64);
        // SAFETY: the helper writes 16 bytes of the stack variable or fails.
        let status = unsafe {
            helpers::bpf_probe_read_user((&raw mut out).cast(), 16, from as *const c_void)
        };
        if status == 0 { Some(out) } else { None }
    }

    /// Nothing.
    #[inline(always)]
    pub(crate) fn none() -> Self {
        Self { base: 0, count: 0 }
    }

    /// One buffer.
    #[inline(always)]
    pub(crate) fn one(base: u64) -> Self {
        Self { base, count: 0 }
    }

    /// As many as `count`.
    #[inline(always)]
    pub(crate) fn vector(base: u64, count: u64) -> Result<Self, usize> {
        if count == 0 {
            Err(uncovered::OTHER)
        } else {
            Ok(Self { base, count })
        }
    }
}

/// A number on the stack whose value the verifier forgets: it tracks what is stored at the first half of
/// a word, and would walk a loop anew for each value that it can tell apart.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(crate) struct Loose {
    zero: u32,
    value: u32,
}

impl Loose {
    #[inline(always)]
    pub(crate) fn new(value: u32) -> Self {
        let mut loose = Self { zero: 0, value: 0 };
        loose.set(value);
        loose
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> u32 {
        // SAFETY: reads a field of self.
        unsafe { core::ptr::read_volatile(&raw const self.value) }
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, value: u32) {
        // SAFETY: writes a field of self.
        unsafe { core::ptr::write_volatile(&raw mut self.value, value) }
    }
}

/// Where a walk over a call's buffers stands.
#[derive(Clone, Copy)]
pub(crate) struct Cursor {
    buffers: Buffers,
    /// User address of the next byte.
    pub(crate) address: u64,
    /// The next buffer of a vector.
    index: Loose,
    /// Bytes of the call to come.
    left: Loose,
    /// Bytes of this buffer to come.
    here: Loose,
}

impl Cursor {
    /// Stands in front of the first of `length` bytes.
    #[inline(always)]
    pub(crate) fn new(buffers: Buffers, length: u32) -> Self {
        let single = buffers.count == 0;
        Self {
            buffers,
            address: if single { buffers.base } else { 0 },
            index: Loose::new(0),
            left: Loose::new(length),
            here: Loose::new(if single { length } else { 0 }),
        }
    }

    /// Bytes of the call to come.
    #[inline(always)]
    pub(crate) fn left(&self) -> u32 {
        self.left.get()
    }

    /// Bytes of this buffer to come.
    #[inline(always)]
    pub(crate) fn here(&self) -> u32 {
        self.here.get()
    }

    /// Goes on to the next buffer; false when there is none.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> bool {
        let index = self.index.get();
        if u64::from(index) >= self.buffers.count {
            return false;
        }
        let Some(segment) = self.buffers.read(index) else {
            return false;
        };
        self.index.set(index.wrapping_add(1));
        self.address = segment.base;
        let left = self.left();
        self.here.set(if segment.length < u64::from(left) {
            segment.length as u32
        } else {
            left
        });
        true
    }

    /// Steps over `bytes` ≤ `here`.
    #[inline(always)]
    pub(crate) fn advance(&mut self, bytes: u32) {
        self.address = self.address.wrapping_add(u64::from(bytes));
        self.here.set(self.here().wrapping_sub(bytes));
        self.left.set(self.left().wrapping_sub(bytes));
    }
}

/// Buffers of what the current task does with the socket `sk`: of its request to io_uring, or of the system call
/// that it is in; or why there are none.
///
/// # Safety
/// `task` is the trusted current task.
#[inline(always)]
pub(crate) unsafe fn of_current(
    task: *const c_void,
    sk: *const c_void,
    io_worker: bool,
    way: u8,
) -> Result<Buffers, usize> {
    // SAFETY: a field of the trusted current task.
    let rings = offset!(task_io_uring) != ABSENT as usize
        && (io_worker || unsafe { field::<u64>(task, offset!(task_io_uring)) } != 0);
    if rings && let Some(found) = uring::of_current(sk, way) {
        return found;
    }
    if io_worker {
        return Err(uncovered::IO_URING);
    }
    // SAFETY: task is trusted.
    let regs: *const c_void =
        unsafe { helpers::bpf_task_pt_regs(task.cast_mut().cast()) } as *const c_void;
    // SAFETY: fields of the task and its registers, whose types the verifier knows.
    let (nr, arg1, arg2) = unsafe {
        if offset!(task_ti_status) != ABSENT as usize
            && field::<u32>(task, offset!(task_ti_status)) & TS_COMPAT != 0
        {
            return Err(uncovered::COMPAT);
        }
        (
            field::<u64>(regs, offset!(regs_nr)) as u32,
            field::<u64>(regs, offset!(regs_arg1)),
            field::<u64>(regs, offset!(regs_arg2)),
        )
    };
    let (plain, vectored, extended, flat, message) = if way == dir::TX {
        (
            syscall_nr!(write),
            syscall_nr!(writev),
            syscall_nr!(pwritev2),
            syscall_nr!(sendto),
            syscall_nr!(sendmsg),
        )
    } else {
        (
            syscall_nr!(read),
            syscall_nr!(readv),
            syscall_nr!(preadv2),
            syscall_nr!(recvfrom),
            syscall_nr!(recvmsg),
        )
    };
    if nr == plain || nr == flat {
        return Ok(Buffers::one(arg1));
    }
    if nr == vectored || nr == extended {
        return Buffers::vector(arg1, arg2);
    }
    if nr == message {
        return of_message(arg1);
    }
    Err(cause_of(nr))
}

/// Buffers of a message whose `struct user_msghdr` is at `address`.
#[inline(always)]
pub(crate) fn of_message(address: u64) -> Result<Buffers, usize> {
    let mut iov = [0_u64; 2];
    // SAFETY: the helper writes 16 bytes of the stack array or fails.
    let status = unsafe {
        helpers::bpf_probe_read_user(
            iov.as_mut_ptr().cast(),
            16,
            address.wrapping_add(MSGHDR_IOV) as *const c_void,
        )
    };
    if status != 0 {
        return Err(uncovered::OTHER);
    }
    Buffers::vector(iov[0], iov[1])
}

/// Why a system call has no buffer that could be read.
#[inline(always)]
fn cause_of(nr: u32) -> usize {
    if nr == syscall_nr!(io_uring_enter) {
        uncovered::IO_URING
    } else if nr == syscall_nr!(sendfile) || nr == syscall_nr!(splice) {
        uncovered::SENDFILE
    } else if nr == syscall_nr!(sendmmsg) || nr == syscall_nr!(recvmmsg) {
        uncovered::MMSG
    } else {
        uncovered::OTHER
    }
}
