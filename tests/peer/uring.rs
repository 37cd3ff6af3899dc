//! Requests to io_uring, one at a time, by its raw rings (io_uring(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use anyhow::{Result, ensure};
use rustix::io_uring::{
    IORING_OFF_CQ_RING, IORING_OFF_SQ_RING, IORING_OFF_SQES, IoringEnterFlags, IoringOp,
    IoringSetupFlags, IoringSqeFlags, io_uring_cqe, io_uring_enter, io_uring_params, io_uring_ptr,
    io_uring_setup, io_uring_sqe,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes of the buffer that the kernel is given to choose.
pub(crate) const CHOSEN: usize = 4096;
/// The group that it is in.
const GROUP: u16 = 7;

/// How a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// send, recv.
    Flat,
    /// The same, by a thread of io_uring's.
    Worker,
    /// sendmsg, recvmsg, with two buffers.
    Message,
    /// write, read.
    File,
    /// writev, readv, with two buffers.
    Vector,
    /// send, and a receive into a buffer that the kernel chooses.
    Chosen,
    /// send, recv, submitted by a thread of the kernel's.
    Polled,
}

impl Form {
    pub(crate) const ALL: [(&str, Self); 7] = [
        ("flat", Self::Flat),
        ("worker", Self::Worker),
        ("message", Self::Message),
        ("file", Self::File),
        ("vector", Self::Vector),
        ("chosen", Self::Chosen),
        ("polled", Self::Polled),
    ];
}

/// A ring with room for two.
pub(crate) struct Ring {
    fd: OwnedFd,
    params: io_uring_params,
    sq: (*mut u8, usize),
    cq: (*mut u8, usize),
    sqes: (*mut io_uring_sqe, usize),
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the three mappings that `new` made, not used any more.
        let _ = unsafe {
            munmap(self.sq.0.cast(), self.sq.1)
                .and(munmap(self.cq.0.cast(), self.cq.1))
                .and(munmap(self.sqes.0.cast(), self.sqes.1))
        };
    }
}

impl Ring {
    pub(crate) fn new(form: Form) -> Result<Self> {
        let mut params = io_uring_params::default();
        if form == Form::Polled {
            params.flags = IoringSetupFlags::SQPOLL;
            params.sq_thread_idle = 2000;
        }
        // SAFETY: the parameters ask for nothing but that; no ring of another owner is attached.
        let fd = unsafe { io_uring_setup(2, &mut params) }?;
        let entries = params.sq_entries as usize;
        let sq_size = params.sq_off.array as usize + entries * size_of::<u32>();
        let cq_size =
            params.cq_off.cqes as usize + params.cq_entries as usize * size_of::<io_uring_cqe>();
        let map = |size: usize, offset: u64| {
            // SAFETY: a new mapping, where the kernel chooses, of the offsets and sizes that it gave.
            unsafe {
                mmap(
                    ptr::null_mut(),
                    size,
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::SHARED | MapFlags::POPULATE,
                    &fd,
                    offset,
                )
            }
        };
        let sqes_size = entries * size_of::<io_uring_sqe>();
        Ok(Self {
            sq: (map(sq_size, IORING_OFF_SQ_RING)?.cast(), sq_size),
            cq: (map(cq_size, IORING_OFF_CQ_RING)?.cast(), cq_size),
            sqes: (map(sqes_size, IORING_OFF_SQES)?.cast(), sqes_size),
            fd,
            params,
        })
    }

    /// A word of the two rings.
    fn word(ring: *mut u8, offset: u32) -> &'static AtomicU32 {
        // SAFETY: an aligned word inside of the mapping, which is used as long as the ring lives.
        unsafe { &*ring.add(offset as usize).cast::<AtomicU32>() }
    }

    /// Makes one request and waits for its result.
    pub(crate) fn run(&mut self, entry: io_uring_sqe) -> Result<usize> {
        let tail = Self::word(self.sq.0, self.params.sq_off.tail);
        let at = tail.load(Ordering::Relaxed);
        let index = at % self.params.sq_entries;
        // SAFETY: the index is inside both arrays; the kernel reads neither before the tail moves, which the
        // release store orders after them.
        unsafe {
            self.sqes.0.add(index as usize).write(entry);
            let array = self.sq.0.add(self.params.sq_off.array as usize);
            array.cast::<u32>().add(index as usize).write(index);
        }
        tail.store(at.wrapping_add(1), Ordering::Release);
        let polled = self.params.flags.contains(IoringSetupFlags::SQPOLL);
        let (count, mut flags) = if polled {
            (0, IoringEnterFlags::GETEVENTS)
        } else {
            (1, IoringEnterFlags::GETEVENTS)
        };
        fence(Ordering::SeqCst);
        // IORING_SQ_NEED_WAKEUP
        if polled
            && Self::word(self.sq.0, self.params.sq_off.flags).load(Ordering::Acquire) & 1 != 0
        {
            flags |= IoringEnterFlags::SQ_WAKEUP;
        }
        // SAFETY: what was submitted points to memory that outlives this call, which waits for the completion.
        unsafe { io_uring_enter(&self.fd, count, 1, flags) }?;
        let head = Self::word(self.cq.0, self.params.cq_off.head);
        let done = head.load(Ordering::Relaxed);
        ensure!(
            Self::word(self.cq.0, self.params.cq_off.tail).load(Ordering::Acquire)
                == done.wrapping_add(1),
            "not one completion"
        );
        // SAFETY: the kernel filled this entry before it moved the tail.
        let result = unsafe {
            let cqes = self.cq.0.add(self.params.cq_off.cqes as usize);
            let index = (done % self.params.cq_entries) as usize;
            (*cqes.cast::<io_uring_cqe>().add(index)).res
        };
        head.store(done.wrapping_add(1), Ordering::Release);
        ensure!(result >= 0, "{}", io::Error::from_raw_os_error(-result));
        Ok(usize::try_from(result)?)
    }

    /// Sends bytes; returns how many the kernel took.
    pub(crate) fn send(&mut self, form: Form, socket: impl AsFd, bytes: &[u8]) -> Result<usize> {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let vector = [first, second].map(|part| libc::iovec {
            iov_base: part.as_ptr().cast_mut().cast(),
            iov_len: part.len(),
        });
        // SAFETY: zero is nothing.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = vector.as_ptr().cast_mut();
        message.msg_iovlen = vector.len();
        let whole = (bytes.as_ptr().cast_mut().cast(), bytes.len());
        let (op, place) = match form {
            Form::Flat | Form::Worker | Form::Chosen | Form::Polled => (IoringOp::Send, whole),
            Form::File => (IoringOp::Write, whole),
            Form::Vector => (IoringOp::Writev, (vector.as_ptr().cast_mut().cast(), 2)),
            Form::Message => (IoringOp::Sendmsg, ((&raw mut message).cast(), 1)),
        };
        self.run(at(form, op, socket, place)?)
    }

    /// Receives up to so many bytes.
    pub(crate) fn receive(
        &mut self,
        form: Form,
        socket: impl AsFd,
        bytes: &mut [u8],
    ) -> Result<usize> {
        let half = bytes.len() / 2;
        let (first, second) = bytes.split_at_mut(half);
        let mut vector = [first, second].map(|part| libc::iovec {
            iov_base: part.as_mut_ptr().cast(),
            iov_len: part.len(),
        });
        // SAFETY: zero is nothing.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = vector.as_mut_ptr();
        message.msg_iovlen = vector.len();
        let whole = (bytes.as_mut_ptr().cast(), bytes.len());
        let (op, place) = match form {
            Form::Flat | Form::Worker | Form::Polled => (IoringOp::Recv, whole),
            Form::Chosen => {
                self.provide(bytes)?;
                (IoringOp::Recv, (ptr::null_mut(), CHOSEN))
            }
            Form::File => (IoringOp::Read, whole),
            Form::Vector => (IoringOp::Readv, (vector.as_mut_ptr().cast(), 2)),
            Form::Message => (IoringOp::Recvmsg, ((&raw mut message).cast(), 1)),
        };
        let mut entry = at(form, op, socket, place)?;
        if form == Form::Chosen {
            entry.flags |= IoringSqeFlags::BUFFER_SELECT;
            entry.buf.buf_group = GROUP;
        }
        self.run(entry)
    }

    /// Gives the kernel one buffer to choose.
    fn provide(&mut self, bytes: &mut [u8]) -> Result<()> {
        ensure!(bytes.len() >= CHOSEN, "too small");
        let mut entry = io_uring_sqe {
            opcode: IoringOp::ProvideBuffers,
            // How many.
            fd: 1,
            ..Default::default()
        };
        entry.addr_or_splice_off_in.addr = io_uring_ptr::new(bytes.as_mut_ptr().cast());
        entry.len.len = u32::try_from(CHOSEN)?;
        entry.buf.buf_group = GROUP;
        self.run(entry).map(drop)
    }

    /// Moves bytes of a pipe into a socket: no buffer of this process holds them.
    pub(crate) fn splice(
        &mut self,
        from: impl AsFd,
        to: impl AsFd,
        length: usize,
    ) -> Result<usize> {
        let mut entry = io_uring_sqe {
            opcode: IoringOp::Splice,
            fd: to.as_fd().as_raw_fd(),
            ..Default::default()
        };
        entry.off_or_addr2.off = u64::MAX;
        entry.addr_or_splice_off_in.splice_off_in = u64::MAX;
        entry.len.len = u32::try_from(length)?;
        entry.splice_fd_in_or_file_index_or_addr_len.splice_fd_in = from.as_fd().as_raw_fd();
        self.run(entry)
    }
}

/// A request about `place.1` bytes or buffers at `place.0`.
fn at(
    form: Form,
    opcode: IoringOp,
    socket: impl AsFd,
    place: (*mut std::ffi::c_void, usize),
) -> Result<io_uring_sqe> {
    let mut entry = io_uring_sqe {
        opcode,
        fd: socket.as_fd().as_raw_fd(),
        ..Default::default()
    };
    if form == Form::Worker {
        entry.flags |= IoringSqeFlags::ASYNC;
    }
    entry.addr_or_splice_off_in.addr = io_uring_ptr::new(place.0);
    entry.len.len = u32::try_from(place.1)?;
    Ok(entry)
}
