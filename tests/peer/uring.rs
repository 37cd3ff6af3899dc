//! One send through io_uring, by its raw rings (io_uring(7)).

use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};
use rustix::io_uring::{
    IORING_OFF_CQ_RING, IORING_OFF_SQ_RING, IORING_OFF_SQES, IoringEnterFlags, IoringOp,
    io_uring_cqe, io_uring_enter, io_uring_params, io_uring_setup, io_uring_sqe,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Sends bytes; returns how many the kernel took.
pub(crate) fn send(stream: &TcpStream, bytes: &[u8]) -> Result<usize> {
    let mut params = io_uring_params::default();
    // SAFETY: the parameters are zero, which asks for nothing special; no ring of another owner is attached.
    let ring = unsafe { io_uring_setup(2, &mut params) }?;
    let entries = params.sq_entries as usize;
    let sq_size = params.sq_off.array as usize + entries * size_of::<u32>();
    let cq_size =
        params.cq_off.cqes as usize + params.cq_entries as usize * size_of::<io_uring_cqe>();
    let map = |size: usize, offset: u64| {
        // SAFETY: a new mapping, at an address that the kernel chooses, of the offsets and sizes that it gave.
        unsafe {
            mmap(
                ptr::null_mut(),
                size,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::POPULATE,
                &ring,
                offset,
            )
        }
    };
    let sq = map(sq_size, IORING_OFF_SQ_RING)?.cast::<u8>();
    let cq = map(cq_size, IORING_OFF_CQ_RING)?.cast::<u8>();
    let sqes_size = entries * size_of::<io_uring_sqe>();
    let sqes = map(sqes_size, IORING_OFF_SQES)?.cast::<io_uring_sqe>();

    let mut entry = io_uring_sqe {
        opcode: IoringOp::Send,
        fd: stream.as_raw_fd(),
        ..Default::default()
    };
    entry.addr_or_splice_off_in.addr =
        rustix::io_uring::io_uring_ptr::new(bytes.as_ptr().cast_mut().cast());
    entry.len.len = u32::try_from(bytes.len())?;
    // SAFETY: index 0 is inside both arrays, which have two entries; the kernel reads neither before the tail
    // moves, which the release store orders after them.
    unsafe {
        sqes.write(entry);
        sq.add(params.sq_off.array as usize).cast::<u32>().write(0);
        (*sq.add(params.sq_off.tail as usize).cast::<AtomicU32>()).store(1, Ordering::Release);
    }
    // SAFETY: one entry was submitted; its buffer outlives this call, which waits for the completion.
    let taken = unsafe { io_uring_enter(&ring, 1, 1, IoringEnterFlags::GETEVENTS) }?;
    ensure!(taken == 1, "the kernel took {taken} entries");
    // SAFETY: the completion ring has at least one entry, and the kernel filled it before moving the tail.
    let result = unsafe {
        let tail =
            (*cq.add(params.cq_off.tail as usize).cast::<AtomicU32>()).load(Ordering::Acquire);
        ensure!(tail == 1, "{tail} completions");
        (*cq.add(params.cq_off.cqes as usize).cast::<io_uring_cqe>()).res
    };
    // SAFETY: the three mappings made above, not used any more.
    unsafe {
        munmap(sq.cast(), sq_size)?;
        munmap(cq.cast(), cq_size)?;
        munmap(sqes.cast(), sqes_size)?;
    }
    ensure!(
        result >= 0,
        "{}",
        std::io::Error::from_raw_os_error(-result)
    );
    Ok(usize::try_from(result)?)
}
