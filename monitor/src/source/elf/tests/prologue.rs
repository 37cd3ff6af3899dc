use proptest::prelude::*;

use super::super::{Arguments, Emulation, Machine, ProbePoint, choose, inner, instruction_length};

const OLD: Emulation = Emulation { long_nops: false };
const NEW: Emulation = Emulation { long_nops: true };

fn sysv(code: &[u8]) -> ProbePoint {
    choose(Machine::X86_64, code, Arguments::Registers, OLD)
}

fn at(delta: u32) -> ProbePoint {
    ProbePoint {
        delta,
        emulated: true,
    }
}

const ENTRY: ProbePoint = ProbePoint {
    delta: 0,
    emulated: false,
};

#[test]
fn entry_if_it_is_emulated() {
    assert_eq!(sysv(&[0x55]), at(0)); // push %rbp
    assert_eq!(sysv(&[0x41, 0x57]), at(0)); // push %r15
    assert_eq!(sysv(&[0x90]), at(0)); // nop
    assert_eq!(sysv(&[0xeb, 0x10]), at(0)); // jmp
    assert_eq!(sysv(&[0xe9, 1, 2, 3, 4]), at(0));
}

#[test]
fn first_emulated_one_while_arguments_stay() {
    // endbr64; push %rbp
    assert_eq!(sysv(&[0xf3, 0x0f, 0x1e, 0xfa, 0x55]), at(4));
    // sub $0x18,%rsp; test %edx,%edx; js
    let read = [0x48, 0x83, 0xec, 0x18, 0x85, 0xd2, 0x78, 0x20];
    assert_eq!(sysv(&read), at(6));
    // mov %fs:0x28,%rax; push %rbx
    let guard = [0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0, 0x53];
    assert_eq!(sysv(&guard), at(9));
    // test %rdi,%rdi; je near
    assert_eq!(sysv(&[0x48, 0x85, 0xff, 0x0f, 0x84, 0, 1, 0, 0]), at(3));
    // mov %rsi,0x10(%rsp); movups %xmm0,(%rax,%rbx,8); cmpq $0,0x30(%rdi); jne
    let stores = [
        0x48, 0x89, 0x74, 0x24, 0x10, 0x0f, 0x11, 0x04, 0xd8, 0x48, 0x83, 0x7f, 0x30, 0x00, 0x75,
        0x01,
    ];
    assert_eq!(sysv(&stores), at(14));
    // lea 0x0(%rip),%r10; movabs $1,%r11; push %r12
    let mut long = vec![
        0x4c, 0x8d, 0x15, 0, 0, 0, 0, 0x49, 0xbb, 1, 0, 0, 0, 0, 0, 0, 0,
    ];
    long.extend([0x41, 0x54]);
    assert_eq!(sysv(&long), at(17));
}

#[test]
fn entry_if_an_argument_is_lost_before() {
    for lost in [
        &[0x89, 0xf7][..],               // mov %esi,%edi
        &[0x31, 0xc9],                   // xor %ecx,%ecx
        &[0x48, 0x8b, 0x3f],             // mov (%rdi),%rdi
        &[0x49, 0x89, 0xf8],             // mov %rdi,%r8
        &[0x5f],                         // pop %rdi
        &[0xba, 1, 0, 0, 0],             // mov $1,%edx
        &[0xb6, 1],                      // mov $1,%dh
        &[0x48, 0x0f, 0x44, 0xfe],       // cmove %rsi,%rdi
        &[0x0f, 0x94, 0xc1],             // sete %cl
        &[0xf7, 0xe1],                   // mul %ecx
        &[0x48, 0xff, 0xc7],             // inc %rdi
        &[0x48, 0xc1, 0xe7, 3],          // shl $3,%rdi
        &[0x66, 0x48, 0x0f, 0x7e, 0xc7], // movq %xmm0,%rdi
    ] {
        let code = [lost, &[0x55]].concat();
        assert_eq!(sysv(&code), ENTRY, "{lost:x?}");
    }
    // What only reads them is no loss: cmp %esi,%edi; test %cl,%cl; mov %rdi,%rax.
    let code = [0x39, 0xf7, 0x84, 0xc9, 0x48, 0x89, 0xf8, 0x55];
    assert_eq!(sysv(&code), at(7));
}

#[test]
fn entry_if_the_path_is_not_straight_or_not_known() {
    for end in [
        &[0xc3][..],               // ret
        &[0xe8, 0, 0, 0, 0],       // call
        &[0xff, 0xd0],             // call *%rax
        &[0xff, 0x25, 0, 0, 0, 0], // jmp *0(%rip)
        &[0x0f, 0x05],             // syscall
        &[0xcc],                   // int3
        &[0xc5, 0xf8, 0x77],       // vzeroupper
        &[0xf3, 0x90],             // pause
        &[0x41, 0x90],             // xchg %r8,%rax
        &[0x66, 0xe9, 0, 0, 0, 0], // jmp with an operand size
        &[0xf3, 0x48, 0xab],       // rep stos
    ] {
        let code = [end, &[0x55]].concat();
        assert_eq!(sysv(&code), ENTRY, "{end:x?}");
    }
    assert_eq!(sysv(&[]), ENTRY);
    // Beyond 64 bytes nothing is looked for: mov %rdi,%rax, 22 times.
    let long = [[0x48, 0x89, 0xf8].repeat(22), vec![0x55]].concat();
    assert_eq!(sysv(&long), ENTRY);
    // A push that is not whole is none: cut within its instruction.
    assert_eq!(sysv(&[0x41]), ENTRY);
    assert_eq!(sysv(&[0x0f, 0x84, 0, 0]), ENTRY);
}

#[test]
fn long_nops_as_the_kernel_has_them() {
    let code = [0x0f, 0x1f, 0x44, 0x00, 0x00, 0x55];
    assert_eq!(sysv(&code), at(5));
    let new = |code: &[u8]| choose(Machine::X86_64, code, Arguments::Registers, NEW);
    assert_eq!(new(&code), at(0));
    // With a segment it is none of the kernel's.
    let other = [0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0x55];
    assert_eq!(new(&other), at(10));
    assert_eq!(Emulation::of("6.18.0-rc1+debian"), NEW);
    assert_eq!(Emulation::of("7.2.1-cloud-amd64"), NEW);
    assert_eq!(Emulation::of("6.12.48+deb13-amd64"), OLD);
    assert_eq!(Emulation::of("5.10"), OLD);
    assert_eq!(Emulation::of(""), OLD);
}

#[test]
fn arguments_on_the_stack_keep_the_stack_pointer() {
    let stack = |code: &[u8]| choose(Machine::X86_64, code, Arguments::RegistersAndStack, OLD);
    // sub $8,%rsp; test %rdi,%rdi; je
    let code = [0x48, 0x83, 0xec, 0x08, 0x48, 0x85, 0xff, 0x74, 0x01];
    assert_eq!(stack(&code), ENTRY);
    assert_eq!(sysv(&code), at(7));
    assert_eq!(stack(&code[4..]), at(3));
    // Before it is executed, a push has moved nothing.
    assert_eq!(stack(&[0x41, 0x57, 0x41, 0x56]), at(0));
    // push %rbp in 16 bits is not emulated, and moves it.
    assert_eq!(stack(&[0x66, 0x55, 0x53]), ENTRY);
    assert_eq!(sysv(&[0x66, 0x55, 0x53]), at(2));
}

#[test]
fn inner_functions() {
    let inner = |code: &[u8]| inner(Machine::X86_64, code, Arguments::Registers);
    // push %rbx; call -0x36 (GnuTLS 3.7.9)
    assert_eq!(inner(&[0x53, 0xe8, 0xca, 0xff, 0xff, 0xff]), Some(6 - 0x36));
    // endbr64; sub $0x18,%rsp; call -0x5d (GnuTLS 3.8.13)
    let code = [
        0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x83, 0xec, 0x18, 0xe8, 0xa3, 0xff, 0xff, 0xff,
    ];
    assert_eq!(inner(&code), Some(13 - 0x5d));
    assert_eq!(inner(&[0xe9, 1, 0, 0, 0]), Some(6));
    // Not with other arguments, nor behind a branch, nor cut short.
    assert_eq!(inner(&[0x31, 0xff, 0xe8, 0, 0, 0, 0]), None);
    assert_eq!(inner(&[0x74, 0x01, 0xe8, 0, 0, 0, 0]), None);
    assert_eq!(inner(&[0x53, 0xe8, 0, 0, 0]), None);
    assert_eq!(inner(&[0xff, 0xe0]), None);
}

#[test]
fn go_keeps_its_own_registers() {
    let go = |code: &[u8]| choose(Machine::X86_64, code, Arguments::Go, OLD);
    // lea -0x20(%rsp),%r12; cmp 0x10(%r14),%r12; jbe near
    let entry = [
        0x4c, 0x8d, 0x64, 0x24, 0xe0, 0x4d, 0x3b, 0x66, 0x10, 0x0f, 0x86, 0, 1, 0, 0,
    ];
    assert_eq!(go(&entry), at(9));
    // mov %rdi,%rax: rax is an argument there.
    let code = [0x48, 0x89, 0xf8, 0x55];
    assert_eq!((go(&code), sysv(&code)), (ENTRY, at(3)));
    // rdx is none.
    let code = [0x31, 0xd2, 0x55];
    assert_eq!((go(&code), sysv(&code)), (at(2), ENTRY));
}

#[test]
fn arm_takes_the_entry() {
    let arm = |word: u32| choose(Machine::Aarch64, &word.to_le_bytes(), Arguments::Go, OLD);
    assert_eq!(arm(0xf940_0b90), ENTRY); // ldr x16, [x28, #16]
    assert_eq!(arm(0xa9bf_7bfd), ENTRY); // stp x29, x30, [sp, #-16]!
    assert_eq!(arm(0xb400_0040), at(0)); // cbz x0
    assert_eq!(arm(0x1400_0001), at(0)); // b
    assert_eq!(arm(0x5400_0040), at(0)); // b.eq
    assert_eq!(arm(0x3700_0040), at(0)); // tbnz
    assert_eq!(choose(Machine::Aarch64, &[1, 2], Arguments::Go, OLD), ENTRY);
}

proptest! {
    /// Never within an instruction, never beyond the code, whatever the bytes.
    #[test]
    fn always_at_an_instruction(code in proptest::collection::vec(any::<u8>(), 0..80)) {
        for arguments in [Arguments::Registers, Arguments::RegistersAndStack, Arguments::Go] {
            let point = choose(Machine::X86_64, &code, arguments, NEW);
            let delta = point.delta as usize;
            let mut at = 0;
            while at < delta {
                at += instruction_length(&code[at..]).unwrap();
            }
            prop_assert_eq!(at, delta);
            prop_assert!(delta < 64);
            prop_assert!(point.emulated || delta == 0);
        }
    }
}
