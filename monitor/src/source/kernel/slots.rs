//! Reader of the slots through which TLS secrets come up (monitor-ebpf/src/keys.rs has the reasons).
//!
//! A secret is read where the kernel program wrote it, and overwritten there before the slot is free
//! again: user space makes no copy here.

use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use monitor_ebpf::{KEY_SLOTS, Key, KeySlot, slot_state};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// One mapped array of a BPF map.
struct Mapping {
    at: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    fn new(map: impl AsFd, bytes: usize) -> io::Result<Self> {
        let bytes = bytes.next_multiple_of(rustix::param::page_size());
        // SAFETY: a fresh mapping of an array that was made to be mapped.
        let at = unsafe {
            mmap(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                map.as_fd(),
                0,
            )
        }?;
        let at =
            NonNull::new(at.cast()).ok_or_else(|| io::Error::other("a mapping at address zero"))?;
        Ok(Self { at, bytes })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`.
        unsafe {
            let _ = munmap(self.at.as_ptr().cast(), self.bytes);
        }
    }
}

/// The slots, and how many secrets were put into them so far.
pub(super) struct Slots {
    slots: Mapping,
    put: Mapping,
    taken: u64,
    next: usize,
}

// SAFETY: the mappings belong to this value alone.
unsafe impl Send for Slots {}

impl Slots {
    /// Maps the arrays `KEYS` and `KEYS_PUT`.
    pub(super) fn new(slots: impl AsFd, put: impl AsFd) -> io::Result<Self> {
        Ok(Self {
            slots: Mapping::new(slots, KEY_SLOTS * size_of::<KeySlot>())?,
            put: Mapping::new(put, size_of::<u64>())?,
            taken: 0,
            next: 0,
        })
    }

    fn put(&self) -> u64 {
        // SAFETY: mapped as long as self, and aligned; the kernel adds to it atomically.
        unsafe { self.put.at.cast::<AtomicU64>().as_ref() }.load(Ordering::Acquire)
    }

    /// Hands over what has been put so far, about in order of time, and overwrites it; returns how many.
    pub(super) fn drain(&mut self, f: &mut dyn FnMut(&Key)) -> usize {
        let before = self.taken;
        let end = self.put();
        // A slot is ready before it is counted, so more may have been taken than were counted; never do
        // fewer wait than are counted. One that is being written is passed by.
        for _ in 0..KEY_SLOTS {
            if end.wrapping_sub(self.taken).cast_signed() <= 0 {
                break;
            }
            let slot = self.slots.at.cast::<KeySlot>().as_ptr();
            // SAFETY: next < KEY_SLOTS. A slot that is ready is not written by the kernel until it is free.
            unsafe {
                let slot = slot.add(self.next);
                let state = AtomicU64::from_ptr(&raw mut (*slot).state);
                if state.load(Ordering::Acquire) == slot_state::READY {
                    f(&(*slot).key);
                    wipe(&raw mut (*slot).key);
                    state.store(slot_state::FREE, Ordering::Release);
                    self.taken = self.taken.wrapping_add(1);
                }
            }
            self.next = (self.next + 1) % KEY_SLOTS;
        }
        usize::try_from(self.taken.wrapping_sub(before)).unwrap_or(usize::MAX)
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.drain(&mut |_| {});
    }
}

/// # Safety
/// `key` can be written.
unsafe fn wipe(key: *mut Key) {
    let words = key.cast::<u64>();
    for i in 0..size_of::<Key>() / 8 {
        // SAFETY: within the key, which is aligned to eight bytes. Volatile: it is not optimised away.
        unsafe { words.add(i).write_volatile(0) };
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;

    /// A file stands in for the map: what is written to it is what the kernel would have put there.
    struct Host {
        slots: File,
        put: File,
        count: u64,
    }

    impl Host {
        fn new() -> Self {
            let file = |bytes: usize| {
                let file = tempfile::tempfile().expect("a file");
                file.set_len(bytes as u64).expect("room");
                file
            };
            Self {
                slots: file(KEY_SLOTS * size_of::<KeySlot>()),
                put: file(4096),
                count: 0,
            }
        }

        /// Fills a slot, as the kernel does: key, state, count.
        fn put(&mut self, index: usize, tid: u32, state: u64) {
            let at = (index * size_of::<KeySlot>()) as u64;
            let mut key = [0x5a_u8; size_of::<Key>()];
            key[28..32].copy_from_slice(&tid.to_ne_bytes());
            self.slots.write_all_at(&key, at + 8).expect("written");
            self.slots
                .write_all_at(&state.to_ne_bytes(), at)
                .expect("written");
            if state == slot_state::READY {
                self.count += 1;
                self.put
                    .write_all_at(&self.count.to_ne_bytes(), 0)
                    .expect("written");
            }
        }

        fn bytes(&self, index: usize) -> [u8; size_of::<KeySlot>()] {
            let mut out = [0; size_of::<KeySlot>()];
            self.slots
                .read_exact_at(&mut out, (index * size_of::<KeySlot>()) as u64)
                .expect("read");
            out
        }
    }

    fn taken(slots: &mut Slots) -> Vec<u32> {
        let mut out = Vec::new();
        let count = slots.drain(&mut |key| out.push(key.tid));
        assert_eq!(count, out.len());
        out
    }

    #[test]
    fn a_slot_is_read_once_and_left_zero() {
        let mut host = Host::new();
        let mut slots = Slots::new(&host.slots, &host.put).expect("mapped");
        assert!(taken(&mut slots).is_empty());
        host.put(0, 7, slot_state::READY);
        host.put(1, 8, slot_state::READY);
        assert_eq!(taken(&mut slots), [7, 8]);
        assert_eq!(host.bytes(0), [0; size_of::<KeySlot>()]);
        assert_eq!(host.bytes(1), [0; size_of::<KeySlot>()]);
        assert!(taken(&mut slots).is_empty());
    }

    #[test]
    fn one_that_is_being_written_holds_up_nobody() {
        let mut host = Host::new();
        let mut slots = Slots::new(&host.slots, &host.put).expect("mapped");
        host.put(0, 1, slot_state::TAKEN);
        host.put(1, 2, slot_state::READY);
        assert_eq!(taken(&mut slots), [2]);
        host.put(0, 1, slot_state::READY);
        assert_eq!(taken(&mut slots), [1]);
    }

    #[test]
    fn one_that_is_ready_but_not_yet_counted_is_no_trouble() {
        let mut host = Host::new();
        let mut slots = Slots::new(&host.slots, &host.put).expect("mapped");
        host.put(0, 1, slot_state::READY);
        host.put(1, 2, slot_state::READY);
        // The first is not counted yet when the second is.
        host.put
            .write_all_at(&1_u64.to_ne_bytes(), 0)
            .expect("written");
        assert_eq!(taken(&mut slots), [1]);
        host.put
            .write_all_at(&2_u64.to_ne_bytes(), 0)
            .expect("written");
        assert_eq!(taken(&mut slots), [2]);
        // A count behind what was taken.
        host.put
            .write_all_at(&1_u64.to_ne_bytes(), 0)
            .expect("written");
        assert!(taken(&mut slots).is_empty());
    }

    #[test]
    fn slots_are_used_in_turn_for_ever() {
        let mut host = Host::new();
        let mut slots = Slots::new(&host.slots, &host.put).expect("mapped");
        for round in 0..3 * KEY_SLOTS {
            let tid = u32::try_from(round).expect("small");
            host.put(round % KEY_SLOTS, tid, slot_state::READY);
            assert_eq!(taken(&mut slots), [tid]);
        }
    }

    #[test]
    fn what_nobody_read_is_overwritten_at_the_end() {
        let mut host = Host::new();
        let slots = Slots::new(&host.slots, &host.put).expect("mapped");
        host.put(0, 1, slot_state::READY);
        drop(slots);
        assert_eq!(host.bytes(0), [0; size_of::<KeySlot>()]);
    }

    #[test]
    fn a_secret_is_not_formatted() {
        let mut host = Host::new();
        let mut slots = Slots::new(&host.slots, &host.put).expect("mapped");
        host.put(0, 1, slot_state::READY);
        slots.drain(&mut |key| {
            let text = format!("{key:?}");
            assert!(text.contains("tid: 1"), "{text}");
            // 0x5a = 90.
            assert!(
                !text.contains("90, 90") && !text.contains("5a, 5a"),
                "{text}"
            );
            assert!(
                !text.contains("random:") && !text.contains("secret:"),
                "{text}"
            );
        });
    }
}
