//! Arguments that aya's context does not give: those on the stack, and Go's.

use aya_ebpf::programs::ProbeContext;

use super::read_word;

/// Register number `WORD` of the process, in the order of the kernel's `pt_regs`.
#[inline(always)]
fn register<const WORD: usize>(ctx: &ProbeContext) -> u64 {
    // SAFETY: a field of the context; the verifier checks that there is one.
    unsafe { core::ptr::read_volatile(ctx.regs.cast::<u64>().cast_const().add(WORD)) }
}

/// Argument `N` (from 0) of the function that was just entered, in the C calling convention.
#[inline(always)]
pub(super) fn argument<const N: usize>(ctx: &ProbeContext) -> Option<u64> {
    if N < arch::IN_REGISTERS {
        return ctx.arg::<u64>(N);
    }
    let stack = register::<{ arch::STACK_POINTER }>(ctx);
    let words = N - arch::IN_REGISTERS + arch::BELOW_ARGUMENTS;
    read_word(stack.wrapping_add(words as u64 * 8))
}

/// Word `N` (from 0) of the arguments in Go's internal ABI.
#[inline(always)]
pub(super) fn go<const N: usize>(ctx: &ProbeContext) -> u64 {
    match N {
        0 => register::<{ arch::GO[0] }>(ctx),
        1 => register::<{ arch::GO[1] }>(ctx),
        2 => register::<{ arch::GO[2] }>(ctx),
        3 => register::<{ arch::GO[3] }>(ctx),
        4 => register::<{ arch::GO[4] }>(ctx),
        5 => register::<{ arch::GO[5] }>(ctx),
        6 => register::<{ arch::GO[6] }>(ctx),
        _ => register::<{ arch::GO[7] }>(ctx),
    }
}

/// arch/x86/include/uapi/asm/ptrace.h; System V ABI; Go's ABI: RAX, RBX, RCX, RDI, RSI, R8, R9, R10, R11.
#[cfg(bpf_target_arch = "x86_64")]
mod arch {
    pub(super) const IN_REGISTERS: usize = 6;
    pub(super) const STACK_POINTER: usize = 19;
    /// The return address.
    pub(super) const BELOW_ARGUMENTS: usize = 1;
    pub(super) const GO: [usize; 8] = [10, 5, 11, 14, 13, 9, 8, 7];
}

/// arch/arm64/include/uapi/asm/ptrace.h; AAPCS64; Go's ABI: X0 and following.
#[cfg(bpf_target_arch = "aarch64")]
mod arch {
    pub(super) const IN_REGISTERS: usize = 8;
    pub(super) const STACK_POINTER: usize = 31;
    pub(super) const BELOW_ARGUMENTS: usize = 0;
    pub(super) const GO: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];
}
