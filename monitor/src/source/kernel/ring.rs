//! Reader of a BPF ring buffer (kernel/bpf/ringbuf.c).
//!
//! Our own rather than aya's for two reasons: a drain can stop at where the producer stood when it
//! began (so that the control ring, drained in between, is ahead of the bytes), and the consumer's
//! position is published once a batch instead of once a record.

use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Set while the producer still writes the record.
const BUSY: u32 = 1 << 31;
/// Set on a record that was given up.
const DISCARDED: u32 = 1 << 30;
/// Bytes in front of each record.
const HEADER: u64 = 8;
/// Records between two publications of the consumer's position.
const BATCH: usize = 64;

/// One mapped ring: a page with the consumer's position (ours), then, read-only, a page with the
/// producer's and the data twice in a row, so that no record wraps.
pub(super) struct Ring {
    consumer: NonNull<u8>,
    producer: NonNull<u8>,
    page: usize,
    size: usize,
    position: u64,
    /// Time of the newest record that had one.
    clock: u64,
}

// SAFETY: the mappings belong to this value alone.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the ring of `size` bytes (a power of two) behind `map`.
    pub(super) fn new(map: impl AsFd, size: u32) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let size = size as usize;
        let fd = map.as_fd();
        // SAFETY: fresh mappings of a ring map, whose layout is as described above.
        unsafe {
            let consumer = mmap(
                std::ptr::null_mut(),
                page,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                fd,
                0,
            )?;
            let producer = match mmap(
                std::ptr::null_mut(),
                page + 2 * size,
                ProtFlags::READ,
                MapFlags::SHARED,
                fd,
                page as u64,
            ) {
                Ok(address) => address,
                Err(error) => {
                    let _ = munmap(consumer, page);
                    return Err(error.into());
                }
            };
            let (Some(consumer), Some(producer)) =
                (NonNull::new(consumer.cast()), NonNull::new(producer.cast()))
            else {
                return Err(io::Error::other("a mapping at address zero"));
            };
            let mut ring = Self {
                consumer,
                producer,
                page,
                size,
                position: 0,
                clock: 0,
            };
            ring.position = ring.consumer_position().load(Ordering::Acquire);
            Ok(ring)
        }
    }

    fn consumer_position(&self) -> &AtomicU64 {
        // SAFETY: the page is mapped as long as self and aligned; the kernel accesses it atomically.
        unsafe { self.consumer.cast::<AtomicU64>().as_ref() }
    }

    /// Where the producer stands.
    pub(super) fn end(&self) -> u64 {
        // SAFETY: as above.
        unsafe { self.producer.cast::<AtomicU64>().as_ref() }.load(Ordering::Acquire)
    }

    /// The record at the consumer's position, with its length; `None` when there is none before `end`
    /// or it is still being written.
    fn head(&self, end: u64) -> Option<(u32, *const u8)> {
        if self.position >= end {
            return None;
        }
        let at = (self.position as usize) & (self.size - 1);
        // SAFETY: a record begins at every position below the producer's; headers are aligned to 8
        // bytes and within the mapping (data is mapped twice).
        let header = unsafe { self.producer.add(self.page + at) };
        // SAFETY: as above. Pairs with the producer's fully ordered exchange when it commits.
        let length = unsafe { header.cast::<AtomicU32>().as_ref() }.load(Ordering::Acquire);
        let bytes = length & !DISCARDED;
        if length & BUSY != 0 || bytes as usize > self.size {
            return None;
        }
        // SAFETY: the record's bytes follow its header.
        Some((length, unsafe { header.add(HEADER as usize) }.as_ptr()))
    }

    /// Time of the next record before `end`, as far as known: its own, else that of the one before it.
    pub(super) fn next_time(&mut self, end: u64) -> Option<u64> {
        let (length, record) = self.head(end)?;
        if length & DISCARDED == 0 && length as usize >= size_of::<monitor_ebpf::Header>() + 8 {
            // SAFETY: every data record has its time behind the header, and is aligned to 8 bytes.
            let time = unsafe {
                record
                    .add(size_of::<monitor_ebpf::Header>())
                    .cast::<u64>()
                    .read()
            };
            self.clock = self.clock.max(time);
        }
        Some(self.clock)
    }

    /// Hands over at most `most` records that began before `end` and whose time is not after `until`
    /// (but one in any case); stops at one being written.
    pub(super) fn drain(
        &mut self,
        end: u64,
        until: u64,
        most: usize,
        f: &mut dyn FnMut(&[u8]),
    ) -> usize {
        let mut taken = 0;
        let mut since = 0;
        while taken < most {
            let Some((length, record)) = self.head(end) else {
                break;
            };
            if until != u64::MAX && taken > 0 && self.next_time(end).is_some_and(|t| t > until) {
                break;
            }
            let bytes = (length & !DISCARDED) as usize;
            if length & DISCARDED == 0 {
                // SAFETY: the record's bytes stay until the consumer's position passes them, which is
                // after this borrow ends.
                f(unsafe { std::slice::from_raw_parts(record, bytes) });
            }
            self.position += (HEADER + bytes as u64).next_multiple_of(8);
            taken += 1;
            since += 1;
            if since == BATCH {
                self.consumer_position()
                    .store(self.position, Ordering::Release);
                since = 0;
            }
        }
        if since > 0 {
            self.consumer_position()
                .store(self.position, Ordering::Release);
        }
        taken
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: exactly the mappings made in `new`.
        unsafe {
            let _ = munmap(self.consumer.as_ptr().cast(), self.page);
            let _ = munmap(self.producer.as_ptr().cast(), self.page + 2 * self.size);
        }
    }
}
