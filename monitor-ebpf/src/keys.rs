//! TLS secrets, taken where a library derives keys from them: once a connection, at function entry.
//!
//! TLS 1.3 (RFC 8446 §7.1, §7.3): a traffic secret is derived with a label of its own, and soon after
//! used with the label `key`. At entry of the first derivation the secret does not exist yet; at entry
//! of the second it is an argument, at the address that the first was told to write to. So the first
//! leaves its label under that address ([`Output`]), and the second sends the secret up. Where a library
//! moves the secret in between, it goes up without its label. TLS 1.2 (RFC 5246 §6.3): the master secret
//! and both randoms are arguments of the derivation labelled `key expansion`.
//!
//! # What is left of a secret
//!
//! User space cannot overwrite a ring buffer's pages, and a queue or hash map leaves a removed element's
//! bytes where they were. So secrets go through an array of slots that user space has mapped: it reads
//! a slot in place, fills it with zeros and gives it back. A program writes a slot only when it has the
//! whole record (a read of user memory can block for as long as the process wants), from its stack,
//! which it overwrites before it returns. What is left: registers' copies that the compiler spilled,
//! and slots that were filled after the last reader ended, until the map is freed. The kernel neither
//! swaps nor dumps (`VM_DONTDUMP`) a map's pages.

pub(crate) mod boringssl;
pub(crate) mod gnutls;
pub(crate) mod go;
pub(crate) mod openssl;
mod registers;

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::helpers::generated as helpers;
use monitor_ebpf::{
    Header, KEY_SLOTS, Key, KeySlot, SECRET_BYTES, key_flag, key_label, kind, loss, slot_state,
};

use crate::{
    kernel::field,
    maps::{KEYS, KEYS_PUT, LABELS, LAST_TLS, add, count},
    offset, setting,
};

/// Slots that are tried for one secret: neighbours of the next one in turn, were that still in use.
const TRIES: u64 = 16;
const WORDS: usize = size_of::<Key>() / 8;
const RANDOM: u32 = 32;

/// Stored in place of a [`key_label`] for a secret that user space derives by itself.
const LABEL_UPDATED: u32 = 0x100;

/// Where a process' library wants a derived secret written.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Output {
    tgid: u32,
    pad: u32,
    address: u64,
}

/// What a label of TLS 1.3 says of the derivation.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Step {
    /// Nothing of interest.
    Other,
    /// Makes a traffic secret: a [`key_label`], or [`LABEL_UPDATED`].
    Secret(u32),
    /// Uses one.
    Key,
}

/// A secret in user memory, and what is known of it. Addresses are 0 when there is nothing.
pub(crate) struct Found {
    /// [`monitor_ebpf::key_source`].
    pub(crate) source: u8,
    /// [`key_label`].
    pub(crate) label: u8,
    pub(crate) length: u32,
    pub(crate) secret: u64,
    pub(crate) client_random: u64,
    pub(crate) server_random: u64,
}

/// A text of at most 16 bytes as two little-endian words.
const fn words(text: &[u8]) -> [u64; 2] {
    let mut out = [0; 2];
    let mut i = 0;
    while i < text.len() {
        out[i / 8] |= (text[i] as u64) << (8 * (i % 8));
        i += 1;
    }
    out
}

/// Copies `length` ≤ `room` bytes of user memory, bringing them in if need be.
///
/// # Safety
/// `to` has `room` bytes.
#[inline(always)]
unsafe fn read_user(to: *mut u8, length: u64, room: u64, from: u64) -> bool {
    // SAFETY: the bound is checked where the verifier can see it: on the register that is passed.
    unsafe {
        let mut length = length;
        core::arch::asm!("if {0} <= {1} goto +1", "{0} = 0", inout(reg) length, in(reg) room);
        helpers::bpf_copy_from_user(to.cast(), length as u32, from as *const c_void) == 0
    }
}

/// A word of user memory.
#[inline(always)]
fn read_word(from: u64) -> Option<u64> {
    let mut out = 0_u64;
    // SAFETY: the variable has eight bytes.
    let read = unsafe { read_user((&raw mut out).cast(), 8, 8, from) };
    if read { Some(out) } else { None }
}

/// A text of `length` ≤ 16 bytes in user memory, followed by zeros.
#[inline(always)]
fn read_text(from: u64, length: u64) -> Option<[u64; 2]> {
    let mut out = [0_u64; 2];
    // SAFETY: the variable has sixteen bytes.
    let read = unsafe { read_user((&raw mut out).cast(), length, 16, from) };
    if read { Some(out) } else { None }
}

/// Whether this is the label under which TLS 1.2 derives keys.
#[inline(always)]
fn is_key_expansion(label: u64, length: u64) -> bool {
    const KEY_EXPANSION: [u64; 2] = words(b"key expansion");
    if length != 13 {
        return false;
    }
    match read_text(label, length) {
        Some(text) => text[0] == KEY_EXPANSION[0] && text[1] == KEY_EXPANSION[1],
        None => {
            count(loss::KEY_FAULT, 1);
            false
        }
    }
}

/// Reads the label of a derivation of TLS 1.3, `length` bytes without its prefix.
#[inline(always)]
fn step(label: u64, length: u64) -> Step {
    const KEY: [u64; 2] = words(b"key");
    const CLIENT_EARLY: [u64; 2] = words(b"c e traffic");
    const CLIENT_HANDSHAKE: [u64; 2] = words(b"c hs traffic");
    const SERVER_HANDSHAKE: [u64; 2] = words(b"s hs traffic");
    const CLIENT_TRAFFIC: [u64; 2] = words(b"c ap traffic");
    const SERVER_TRAFFIC: [u64; 2] = words(b"s ap traffic");
    const UPDATED: [u64; 2] = words(b"traffic upd");
    if length != 3 && length != 11 && length != 12 {
        return Step::Other;
    }
    let Some(text) = read_text(label, length) else {
        count(loss::KEY_FAULT, 1);
        return Step::Other;
    };
    let is = |other: [u64; 2]| text[0] == other[0] && text[1] == other[1];
    let known = |label: u8| Step::Secret(label as u32);
    if is(KEY) {
        Step::Key
    } else if is(CLIENT_TRAFFIC) {
        known(key_label::CLIENT_TRAFFIC)
    } else if is(SERVER_TRAFFIC) {
        known(key_label::SERVER_TRAFFIC)
    } else if is(CLIENT_HANDSHAKE) {
        known(key_label::CLIENT_HANDSHAKE)
    } else if is(SERVER_HANDSHAKE) {
        known(key_label::SERVER_HANDSHAKE)
    } else if is(CLIENT_EARLY) {
        known(key_label::CLIENT_EARLY)
    } else if is(UPDATED) {
        Step::Secret(LABEL_UPDATED)
    } else {
        Step::Other
    }
}

/// Reads the label out of an `HkdfLabel` of `length` bytes (RFC 8446 §7.1).
#[inline(always)]
fn step_of_info(info: u64, length: u64) -> Step {
    /// Two bytes of output length, one of the label's length, the prefix; a context's length follows.
    const BEFORE: u64 = 9;
    const PREFIX: u64 = words(b"tls13 ")[0];
    if length < BEFORE + 4 {
        return Step::Other;
    }
    // From the second byte on: low byte of the output's length, the label's length, the prefix.
    let Some(word) = read_word(info.wrapping_add(1)) else {
        count(loss::KEY_FAULT, 1);
        return Step::Other;
    };
    if word >> 16 != PREFIX {
        return Step::Other;
    }
    let label = (word >> 8 & 0xff).wrapping_sub(6);
    if length < BEFORE.wrapping_add(label) {
        return Step::Other;
    }
    step(info.wrapping_add(BEFORE), label)
}

/// Which secret a line of a key log is about (draft-ietf-tls-keylogfile): the first eight bytes of its label
/// tell.
#[inline(always)]
fn logged(label: u64) -> Option<u8> {
    const CLIENT_EARLY: u64 = words(b"CLIENT_E")[0];
    const CLIENT_HANDSHAKE: u64 = words(b"CLIENT_H")[0];
    const SERVER_HANDSHAKE: u64 = words(b"SERVER_H")[0];
    const CLIENT_TRAFFIC: u64 = words(b"CLIENT_T")[0];
    const SERVER_TRAFFIC: u64 = words(b"SERVER_T")[0];
    const CLIENT_RANDOM: u64 = words(b"CLIENT_R")[0];
    let Some(text) = read_word(label) else {
        count(loss::KEY_FAULT, 1);
        return None;
    };
    Some(if text == CLIENT_TRAFFIC {
        key_label::CLIENT_TRAFFIC
    } else if text == SERVER_TRAFFIC {
        key_label::SERVER_TRAFFIC
    } else if text == CLIENT_HANDSHAKE {
        key_label::CLIENT_HANDSHAKE
    } else if text == SERVER_HANDSHAKE {
        key_label::SERVER_HANDSHAKE
    } else if text == CLIENT_RANDOM {
        key_label::MASTER
    } else if text == CLIENT_EARLY {
        key_label::CLIENT_EARLY
    } else {
        return None;
    })
}

#[inline(always)]
fn output(address: u64) -> Output {
    // SAFETY: no preconditions.
    let tgid = (unsafe { helpers::bpf_get_current_pid_tgid() } >> 32) as u32;
    Output {
        tgid,
        pad: 0,
        address,
    }
}

/// A derivation of TLS 1.3 makes a secret and wants it written to `out`.
#[inline(always)]
fn on_secret(label: u32, out: u64) {
    let _ = LABELS.insert(output(out), label, 0);
}

/// A derivation of TLS 1.3 makes a key out of `length` bytes of `secret`.
#[inline(always)]
fn on_key(source: u8, secret: u64, length: u64) {
    let at = output(secret);
    // SAFETY: the value is copied at once.
    let label = match unsafe { LABELS.get(at) } {
        Some(label) => {
            let label = *label;
            // The same memory may serve another secret later.
            let _ = LABELS.remove(at);
            if label == LABEL_UPDATED {
                return;
            }
            label as u8
        }
        None => key_label::UNKNOWN,
    };
    send(&Found {
        source,
        label,
        length: length as u32,
        secret,
        client_random: 0,
        server_random: 0,
    });
}

/// Sends a secret up.
#[inline(never)]
fn send(found: &Found) -> u32 {
    let length = found.length;
    if length == 0 || length > SECRET_BYTES as u32 {
        return 0;
    }
    // SAFETY: no preconditions.
    let pid_tgid = unsafe { helpers::bpf_get_current_pid_tgid() };
    let tgid = (pid_tgid >> 32) as u32;
    if tgid == setting!(monitor_tgid) {
        return 0;
    }
    let mut key = MaybeUninit::<Key>::uninit();
    let record = key.as_mut_ptr();
    let bytes = record.cast::<u64>();
    // SAFETY: the variable has WORDS words; every one is written before any is read.
    unsafe {
        for i in 0..WORDS {
            bytes.add(i).write_volatile(0);
        }
        let mut whole = read_user(
            (&raw mut (*record).secret).cast(),
            u64::from(length),
            SECRET_BYTES as u64,
            found.secret,
        );
        let mut flags = 0;
        if found.client_random != 0 {
            flags |= key_flag::CLIENT_RANDOM;
            whole &= random(&raw mut (*record).client_random, found.client_random);
        }
        if found.server_random != 0 {
            flags |= key_flag::SERVER_RANDOM;
            whole &= random(&raw mut (*record).server_random, found.server_random);
        }
        let task: *const c_void = helpers::bpf_get_current_task_btf().cast();
        (*record).header = Header {
            kind: kind::KEY,
            dir: 0,
            class: 0,
            flags,
            len: 0,
        };
        (*record).time = helpers::bpf_ktime_get_ns();
        (*record).sock = match LAST_TLS.get(pid_tgid) {
            Some(cookie) => *cookie,
            None => 0,
        };
        (*record).tgid = tgid;
        (*record).tid = pid_tgid as u32;
        (*record).exec_id = field::<u32>(task, offset!(task_self_exec_id));
        (*record).source = found.source;
        (*record).label = found.label;
        (*record).secret_len = length as u8;
        if !whole {
            count(loss::KEY_FAULT, 1);
        } else if !put(bytes) {
            count(loss::KEY_SLOTS, 1);
        }
        for i in 0..WORDS {
            bytes.add(i).write_volatile(0);
        }
    }
    0
}

/// # Safety
/// `to` can be written.
#[inline(always)]
unsafe fn random(to: *mut [u8; RANDOM as usize], from: u64) -> bool {
    // SAFETY: the destination has RANDOM bytes.
    unsafe { helpers::bpf_copy_from_user(to.cast(), RANDOM, from as *const c_void) == 0 }
}

/// Puts the words of a [`Key`] into a free slot; false when there is none near by.
///
/// # Safety
/// `key` has [`WORDS`] initialised words.
#[inline(always)]
unsafe fn put(key: *const u64) -> bool {
    let Some(done) = KEYS_PUT.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: points into a map value. A number that is not the newest costs another try.
    let next = unsafe { core::ptr::read_volatile(done) };
    for i in 0..TRIES {
        let index = (next.wrapping_add(i) % KEY_SLOTS as u64) as u32;
        let Some(slot) = KEYS.get_ptr_mut(index) else {
            return false;
        };
        // SAFETY: points into a map value; taken, the slot is this program's alone.
        unsafe {
            let state = &raw mut (*slot).state;
            if exchange(state, slot_state::FREE, slot_state::TAKEN) {
                write(slot, key);
                exchange(state, slot_state::TAKEN, slot_state::READY);
                add(done, 1);
                return true;
            }
        }
    }
    false
}

/// # Safety
/// As for [`put`]; `slot` is this program's.
#[inline(always)]
unsafe fn write(slot: *mut KeySlot, key: *const u64) {
    // SAFETY: by contract.
    unsafe {
        let to = (&raw mut (*slot).key).cast::<u64>();
        for i in 0..WORDS {
            to.add(i).write_volatile(key.add(i).read_volatile());
        }
    }
}

/// Compares and exchanges, fully ordered (core has none for this target).
///
/// # Safety
/// `word` points into a map value.
#[inline(always)]
unsafe fn exchange(word: *mut u64, from: u64, to: u64) -> bool {
    let mut old = from;
    // SAFETY: by contract.
    unsafe {
        core::arch::asm!(
            "r0 = cmpxchg_64(r1 + 0, r0, r2)",
            inout("r0") old,
            in("r1") word,
            in("r2") to,
        );
    }
    old == from
}
