//! Session secrets in memory that is never swapped, never dumped and zeroed after use.
//!
//! Slots of 64 bytes in pages of their own. A page that cannot be locked (RLIMIT_MEMLOCK) is used all
//! the same, and counted.

use std::fmt;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap_anonymous};
use zeroize::Zeroize;

/// Longest secret, in bytes. Also the size of a slot.
pub const MAX_LEN: usize = 64;
/// Bytes asked of the kernel at a time; a multiple of every page size up to 64 KiB.
const BLOCK: usize = 64 * 1024;
/// Most blocks: 8 MiB, 131,072 secrets.
const MAX_BLOCKS: usize = 128;

/// Free slots and what they came from. The pages are never given back.
struct Arena {
    free: Vec<Slot>,
    blocks: usize,
    taken: usize,
    unlocked: usize,
}

/// 64 bytes that nobody else uses.
struct Slot {
    at: NonNull<[u8; MAX_LEN]>,
    locked: bool,
}

// SAFETY: a slot is the only pointer to its bytes, which live as long as the process.
unsafe impl Send for Slot {}
// SAFETY: through a shared slot bytes are read only.
unsafe impl Sync for Slot {}

static ARENA: Mutex<Arena> = Mutex::new(Arena {
    free: Vec::new(),
    blocks: 0,
    taken: 0,
    unlocked: 0,
});

/// What the secrets take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockedStats {
    /// Secrets held.
    pub secrets: usize,
    /// Of these, in memory that could not be locked: it may be swapped out.
    pub unlocked: usize,
    /// Bytes of memory for secrets.
    pub bytes: usize,
}

/// Figures for the status.
#[must_use]
pub fn stats() -> LockedStats {
    let arena = arena();
    LockedStats {
        secrets: arena.taken,
        unlocked: arena.unlocked,
        bytes: arena.blocks * BLOCK,
    }
}

fn arena() -> MutexGuard<'static, Arena> {
    // Nothing panics while it is held; if it did, counts are at worst off by one.
    ARENA.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Arena {
    fn take(&mut self) -> Option<Slot> {
        if self.free.is_empty() {
            self.grow()?;
        }
        let slot = self.free.pop()?;
        self.taken += 1;
        self.unlocked += usize::from(!slot.locked);
        Some(slot)
    }

    fn put(&mut self, slot: Slot) {
        self.taken = self.taken.saturating_sub(1);
        self.unlocked = self.unlocked.saturating_sub(usize::from(!slot.locked));
        self.free.push(slot);
    }

    fn grow(&mut self) -> Option<()> {
        if self.blocks >= MAX_BLOCKS {
            return None;
        }
        // SAFETY: a new private mapping at an address of the kernel's choice aliases nothing.
        let start = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                BLOCK,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }
        .ok()?;
        // SAFETY: the range is the mapping just made; locking changes no contents.
        let locked = unsafe { mlock(start, BLOCK) }.is_ok();
        for advice in [Advice::LinuxDontDump, Advice::LinuxDontFork] {
            // SAFETY: as above; neither advice changes what this process sees. Old kernels may refuse.
            let _ = unsafe { madvise(start, BLOCK, advice) };
        }
        let start = NonNull::new(start.cast::<[u8; MAX_LEN]>())?;
        self.blocks += 1;
        self.free.extend((0..BLOCK / MAX_LEN).map(|n| Slot {
            // SAFETY: `n` slots of 64 bytes lie within the block.
            at: unsafe { start.add(n) },
            locked,
        }));
        Some(())
    }
}

/// Up to 64 secret bytes in locked memory, zeroed on drop, never formatted.
pub struct Secret {
    slot: Slot,
    len: u8,
}

impl Secret {
    /// Copies `bytes`. `None`: longer than 64 bytes, or the arena (8 MiB) is full.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let len = u8::try_from(bytes.len()).ok()?;
        if bytes.len() > MAX_LEN {
            return None;
        }
        let slot = arena().take()?;
        let mut secret = Self { slot, len };
        for (to, from) in secret.bytes_mut().iter_mut().zip(bytes) {
            *to = *from;
        }
        Some(secret)
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        // SAFETY: the slot is this secret's alone and initialised (zero pages, then bytes).
        let bytes = unsafe { self.slot.at.as_ref() };
        bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn bytes_mut(&mut self) -> &mut [u8; MAX_LEN] {
        // SAFETY: as in `expose`, and `self` is borrowed exclusively.
        unsafe { self.slot.at.as_mut() }
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.bytes_mut().zeroize();
        arena().put(Slot {
            at: self.slot.at,
            locked: self.slot.locked,
        });
    }
}

impl fmt::Debug for Secret {
    /// Says nothing of it but its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn holds_and_forgets() {
        let secret = Secret::new(b"traffic secret").unwrap();
        assert_eq!(secret.expose(), b"traffic secret");
        assert_eq!(format!("{secret:?}"), "Secret(14 bytes)");
        assert!(stats().secrets >= 1 && stats().bytes >= BLOCK);
        let at = secret.slot.at;
        let raw = at.as_ptr() as usize;
        drop(secret);
        // Looked for in the whole of the slots: no other test has these bytes.
        let arena = arena();
        for slot in &arena.free {
            // SAFETY: slots in the free list are used by nobody while the arena is locked.
            let bytes = unsafe { slot.at.as_ref() };
            assert!(bytes.iter().all(|byte| *byte == 0), "{raw:x}");
        }
    }

    #[test]
    fn bounds() {
        assert!(Secret::new(&[7; MAX_LEN]).is_some());
        assert!(Secret::new(&[7; MAX_LEN + 1]).is_none());
        assert_eq!(Secret::new(&[]).unwrap().expose(), b"");
        let many: Vec<Secret> = (0..2000_u32)
            .map(|n| Secret::new(&n.to_le_bytes()).unwrap())
            .collect();
        for (n, secret) in (0_u32..).zip(&many) {
            assert_eq!(secret.expose(), n.to_le_bytes());
        }
    }

    #[test]
    fn locked_memory_is_locked() {
        let secret = Secret::new(b"x").unwrap();
        if secret.slot.locked {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("VmLck:"));
            let kib: usize = line
                .unwrap()
                .split_whitespace()
                .nth(1)
                .unwrap()
                .parse()
                .unwrap();
            assert!(kib >= BLOCK / 1024, "{kib}");
        } else {
            assert!(stats().unlocked > 0);
        }
    }
}
