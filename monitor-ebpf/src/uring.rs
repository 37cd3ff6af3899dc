//! Requests of io_uring: where their bytes are.
//!
//! A request can be carried out inside `io_uring_enter`, at the end of any other system call or interrupt of
//! its thread, or by a thread of io_uring's own: the registers of a system call tell nothing. So the functions
//! that send, receive, read and write for it are looked at as they begin and return, and what a socket's hook
//! meets in between belongs to that request. It holds the caller's addresses, and all such threads share the
//! caller's memory. Who does not use io_uring never comes by here.

use core::ffi::c_void;

use aya_ebpf::helpers::generated as helpers;
use monitor_ebpf::{dir, uncovered};

use crate::{
    buffer::{self, Buffers},
    kernel::{copy, field, follow},
    maps::IO_CALLS,
    offset,
};

/// What a request does (include/uapi/linux/io_uring.h).
mod op {
    pub(super) const READV: u8 = 1;
    pub(super) const WRITEV: u8 = 2;
    pub(super) const READ_FIXED: u8 = 4;
    pub(super) const WRITE_FIXED: u8 = 5;
    pub(super) const SENDMSG: u8 = 9;
    pub(super) const RECVMSG: u8 = 10;
    pub(super) const READ: u8 = 22;
    pub(super) const WRITE: u8 = 23;
    pub(super) const SEND: u8 = 26;
    pub(super) const RECV: u8 = 27;
    pub(super) const SEND_ZC: u8 = 47;
    pub(super) const SENDMSG_ZC: u8 = 48;
}

/// `io_kiocb.flags`: the kernel chooses the buffer out of a group (`IOSQE_BUFFER_SELECT`).
const BUFFER_SELECT: u32 = 1 << 5;
/// `io_sr_msg.flags`: several buffers of a group (`IORING_RECVSEND_BUNDLE`).
const BUNDLE: u16 = 1 << 4;
/// `io_sr_msg.flags`: the buffer is a vector (`IORING_SEND_VECTORIZED`).
const VECTORIZED: u16 = 1 << 5;

const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;

/// A request begins in this thread.
///
/// # Safety
/// `request` is the function's first argument, a `struct io_kiocb`.
#[inline(always)]
pub(crate) unsafe fn begin(request: *const c_void) {
    // SAFETY: fields of objects whose types the verifier knows. Who reads or writes has its file by now.
    unsafe {
        match field::<u8>(request, offset!(kiocb_opcode)) {
            op::SEND | op::RECV | op::SENDMSG | op::RECVMSG | op::SEND_ZC | op::SENDMSG_ZC => {}
            // Of files nothing is kept.
            _ => {
                let file: *const c_void = field(request, offset!(kiocb_file));
                let inode: *const c_void = field(file, offset!(file_f_inode));
                if field::<u16>(inode, offset!(inode_i_mode)) & S_IFMT != S_IFSOCK {
                    return;
                }
            }
        }
    }
    // SAFETY: no preconditions.
    let thread = unsafe { helpers::bpf_get_current_pid_tgid() };
    let _ = IO_CALLS.insert(thread, request as u64, 0);
}

/// It returns.
#[inline(always)]
pub(crate) fn end() {
    // SAFETY: no preconditions.
    let _ = IO_CALLS.remove(unsafe { helpers::bpf_get_current_pid_tgid() });
}

/// The buffers of the request that this thread carries out on the socket `sk`, or why there are none; `None`
/// when it carries none out.
#[inline(always)]
pub(crate) fn of_current(sk: *const c_void, way: u8) -> Option<Result<Buffers, usize>> {
    // SAFETY: no preconditions; the value is copied at once.
    let request = unsafe { *IO_CALLS.get(helpers::bpf_get_current_pid_tgid())? };
    let mut found = Buffers::none();
    let whole = of_request(request, sk as u64, u32::from(way), &mut found) != 0;
    Some(if whole {
        Ok(found)
    } else {
        Err(uncovered::IO_URING)
    })
}

/// 1 when the request's buffers are known.
#[inline(never)]
fn of_request(request: u64, sk: u64, way: u32, found: &mut Buffers) -> u32 {
    match buffers(request as *const c_void, sk, way) {
        Some(buffers) => {
            *found = buffers;
            1
        }
        None => 0,
    }
}

#[inline(always)]
fn buffers(request: *const c_void, sk: u64, way: u32) -> Option<Buffers> {
    // Something else may be under way inside of it.
    let file = follow(request, offset!(kiocb_file))?;
    let socket = follow(file, offset!(file_private_data))?;
    if follow(socket, offset!(socket_sk))? as u64 != sk {
        return None;
    }
    let opcode = copy::<u8>(request, offset!(kiocb_opcode))?;
    let selected = copy::<u32>(request, offset!(kiocb_flags))? & BUFFER_SELECT != 0;
    let sends = way == dir::TX as u32;
    match opcode {
        op::WRITE | op::WRITE_FIXED if sends => file_buffer(request, false),
        op::WRITEV if sends => file_buffer(request, true),
        // What the kernel chose is not to be had everywhere.
        op::READ | op::READ_FIXED if !sends && !selected => file_buffer(request, false),
        op::READV if !sends && !selected => file_buffer(request, true),
        op::SEND | op::SEND_ZC if sends && !selected => flat(request),
        op::RECV if !sends => flat(request),
        op::SENDMSG | op::SENDMSG_ZC if sends && !selected => message(request),
        op::RECVMSG if !sends && !selected => message(request),
        _ => None,
    }
}

/// `struct io_rw`.
#[inline(always)]
fn file_buffer(request: *const c_void, vector: bool) -> Option<Buffers> {
    let address = copy::<u64>(request, offset!(io_rw_addr))?;
    if !vector {
        return Some(Buffers::one(address));
    }
    let count = copy::<u32>(request, offset!(io_rw_len))?;
    Buffers::vector(address, u64::from(count)).ok()
}

/// `struct io_sr_msg` with one buffer.
#[inline(always)]
fn flat(request: *const c_void) -> Option<Buffers> {
    let flags = copy::<u16>(request, offset!(io_sr_flags))?;
    // Another try with the rest: how much the address was moved on by is not the same everywhere.
    if flags & BUNDLE != 0 || copy::<u32>(request, offset!(io_sr_done))? != 0 {
        return None;
    }
    let address = copy::<u64>(request, offset!(io_sr_buf))?;
    if flags & VECTORIZED == 0 {
        return Some(Buffers::one(address));
    }
    let count = copy::<u32>(request, offset!(io_sr_len))?;
    Buffers::vector(address, u64::from(count)).ok()
}

/// `struct io_sr_msg` with the caller's `struct user_msghdr`.
#[inline(always)]
fn message(request: *const c_void) -> Option<Buffers> {
    if copy::<u32>(request, offset!(io_sr_done))? != 0 {
        return None;
    }
    buffer::of_message(copy::<u64>(request, offset!(io_sr_buf))?).ok()
}
