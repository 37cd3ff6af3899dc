//! Reading kernel objects: directly where the verifier knows the type, by copy elsewhere.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::helpers::generated as helpers;

/// Loads a field of an object whose type the verifier knows: one instruction, no copy.
///
/// # Safety
/// `object` is a trusted pointer and `offset` a field of its type, as large as `T`.
#[inline(always)]
pub(crate) unsafe fn field<T: Copy>(object: *const c_void, offset: usize) -> T {
    // SAFETY: by contract; the kernel turns a bad access into a zero.
    unsafe { core::ptr::read_volatile(object.cast::<u8>().add(offset).cast::<T>()) }
}

/// Copies a field of any kernel address; `None` if it cannot be read.
#[inline(always)]
pub(crate) fn copy<T: Copy>(object: *const c_void, offset: usize) -> Option<T> {
    let mut out = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes size_of::<T>() bytes or fails.
    unsafe {
        let status = helpers::bpf_probe_read_kernel(
            out.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            object.cast::<u8>().wrapping_add(offset).cast(),
        );
        if status == 0 {
            Some(out.assume_init())
        } else {
            None
        }
    }
}

/// Follows a pointer field.
#[inline(always)]
pub(crate) fn follow(object: *const c_void, offset: usize) -> Option<*const c_void> {
    match copy::<*const c_void>(object, offset) {
        Some(pointer) if !pointer.is_null() => Some(pointer),
        _ => None,
    }
}
