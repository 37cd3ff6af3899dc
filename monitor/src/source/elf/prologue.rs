//! Which instruction of a function a probe costs least on.
//!
//! A uprobe replaces an instruction by a trap. What was there is then either emulated by the kernel or
//! executed out of line and single-stepped, which costs a second trap. arch/x86/kernel/uprobes.c
//! emulates `push` of a register (`push_setup_xol_ops`, Linux 4.16), near jumps, conditional or not, and
//! `nop` (`branch_setup_xol_ops`); the longer forms of `nop` from Linux 6.18 on, which also turns the
//! five-byte one into a call. It emulates calls too, but without the shadow stack until late: never
//! chosen here.
//!
//! So the first bytes of a function are walked along the straight path, up to the first instruction
//! that the kernel emulates, as long as everything before it leaves the arguments where they are. What
//! the walk does not know ends it: then the probe goes to the entry. Intel SDM volume 2, chapter 2 and
//! appendix A.

use super::Machine;

/// Where the arguments are that a probe reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// System V: rdi, rsi, rdx, rcx, r8, r9.
    Registers,
    /// The same, and some on the stack: the stack pointer must not have moved.
    RegistersAndStack,
    /// Go's own (`ABIInternal`): rax, rbx, rcx, rdi, rsi, r8 to r11.
    Go,
}

impl Arguments {
    /// Bit n: register n, in the processor's numbering.
    fn registers(self) -> u16 {
        const RAX: u16 = 1;
        const RCX: u16 = 1 << 1;
        const RDX: u16 = 1 << 2;
        const RBX: u16 = 1 << 3;
        const RSI: u16 = 1 << 6;
        const RDI: u16 = 1 << 7;
        const R8_R9: u16 = 0b11 << 8;
        const R10_R11: u16 = 0b11 << 10;
        match self {
            Self::Registers => RDI | RSI | RDX | RCX | R8_R9,
            Self::RegistersAndStack => RDI | RSI | RDX | RCX | R8_R9 | RSP,
            Self::Go => RAX | RBX | RCX | RDI | RSI | R8_R9 | R10_R11,
        }
    }
}

const RSP: u16 = 1 << 4;

/// What the running kernel emulates beyond what all do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Emulation {
    /// `nop` of more than one byte (x86-64, Linux 6.18).
    pub long_nops: bool,
}

impl Emulation {
    /// From a kernel's release, as `uname -r` tells it.
    #[must_use]
    pub fn of(release: &str) -> Self {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next()?.parse::<u32>().ok();
        let version = (next().unwrap_or(0), next().unwrap_or(0));
        Self {
            long_nops: version >= (6, 18),
        }
    }
}

/// An instruction of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbePoint {
    /// Its distance from the function's first byte.
    pub delta: u32,
    /// The kernel emulates it.
    pub emulated: bool,
}

/// Bytes of a function that are looked at.
pub(crate) const MOST_BYTES: usize = 64;

/// Chooses the instruction. `code` begins at the function's entry and does not go beyond its end.
#[must_use]
pub fn choose(
    machine: Machine,
    code: &[u8],
    arguments: Arguments,
    emulation: Emulation,
) -> ProbePoint {
    match machine {
        Machine::X86_64 => x86_64(code, arguments, emulation),
        Machine::Aarch64 => aarch64(code),
    }
}

const ENTRY: ProbePoint = ProbePoint {
    delta: 0,
    emulated: false,
};

fn x86_64(code: &[u8], arguments: Arguments, emulation: Emulation) -> ProbePoint {
    let code = code.get(..MOST_BYTES.min(code.len())).unwrap_or_default();
    let kept = arguments.registers();
    let mut at = 0;
    while let Some(instruction) = code.get(at..).and_then(decode) {
        let emulated = match instruction.kind {
            Kind::Push | Kind::Jump | Kind::Branch => true,
            Kind::Nop => instruction.length == 1 || emulation.long_nops,
            Kind::Plain | Kind::End => false,
        };
        if emulated {
            return ProbePoint {
                delta: u32::try_from(at).unwrap_or(0),
                emulated,
            };
        }
        if instruction.kind == Kind::End || instruction.writes & kept != 0 {
            break;
        }
        at += instruction.length;
    }
    ENTRY
}

/// Where the first thing is that a function calls, or ends by jumping to, with its own arguments: the
/// distance in bytes from the function's entry. A library may do its work in such an inner function,
/// that has no name outside, and use that one itself. x86-64 only.
#[must_use]
pub fn inner(machine: Machine, code: &[u8], arguments: Arguments) -> Option<i64> {
    if machine != Machine::X86_64 {
        return None;
    }
    let code = code.get(..MOST_BYTES.min(code.len()))?;
    let kept = arguments.registers() & !RSP;
    let mut at = 0;
    loop {
        let rest = code.get(at..)?;
        let instruction = decode(rest)?;
        at += instruction.length;
        if let [0xe8 | 0xe9, a, b, c, d, ..] = *rest {
            let after = i64::try_from(at).ok()?;
            return Some(after + i64::from(i32::from_le_bytes([a, b, c, d])));
        }
        let goes_on = matches!(instruction.kind, Kind::Plain | Kind::Push | Kind::Nop);
        if !goes_on || instruction.writes & kept != 0 {
            return None;
        }
    }
}

/// arch/arm64/kernel/probes/decode-insn.c: branches are simulated; others are stepped. Only the entry
/// is considered.
fn aarch64(code: &[u8]) -> ProbePoint {
    let Some(word) = code.first_chunk::<4>() else {
        return ENTRY;
    };
    let word = u32::from_le_bytes(*word);
    let branch = word & 0xfc00_0000 == 0x1400_0000 // b
        || word & 0xff00_0010 == 0x5400_0000 // b.cond
        || word & 0x7e00_0000 == 0x3400_0000 // cbz, cbnz
        || word & 0x7e00_0000 == 0x3600_0000; // tbz, tbnz
    ProbePoint {
        delta: 0,
        emulated: branch,
    }
}

/// Length in bytes of the x86-64 instruction that `code` begins with, if it is one that the walk knows.
#[must_use]
pub fn length(code: &[u8]) -> Option<usize> {
    decode(code).map(|instruction| instruction.length)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Does something and goes on.
    Plain,
    /// Pushes a register in a form that the kernel emulates.
    Push,
    Nop,
    /// Jumps if.
    Branch,
    /// Jumps.
    Jump,
    /// Calls, returns or traps.
    End,
}

#[derive(Clone, Copy, Debug)]
struct Instruction {
    length: usize,
    kind: Kind,
    /// General registers that it changes; bit n is register n.
    writes: u16,
}

/// Reads an instruction's bytes one after the other.
struct Cursor<'a> {
    code: &'a [u8],
    at: usize,
    /// 0x66: operands of 16 bits.
    short: bool,
    /// 0xf2 or 0xf3.
    repeat: u8,
    /// 0x64 or 0x65.
    segment: bool,
    rex: u8,
    /// 8-bit operands.
    byte: bool,
}

/// A mod-reg-r/m byte and what belongs to it.
#[derive(Clone, Copy)]
struct ModRm {
    /// The register operand, or more of the operation.
    reg: u8,
    /// The other operand, if it is a register.
    rm: Option<u8>,
}

impl Cursor<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = *self.code.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn wide(&self) -> bool {
        self.rex & 8 != 0
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.at += bytes;
        (self.at <= self.code.len()).then_some(())
    }

    fn modrm(&mut self) -> Option<ModRm> {
        let byte = self.next()?;
        let (form, low) = (byte >> 6, byte & 7);
        let reg = byte >> 3 & 7 | (self.rex & 4) << 1;
        if form == 3 {
            let rm = Some(low | (self.rex & 1) << 3);
            return Some(ModRm { reg, rm });
        }
        let mut base = low;
        if low == 4 {
            base = self.next()? & 7;
        }
        self.skip(match form {
            0 if base == 5 => 4,
            0 => 0,
            1 => 1,
            _ => 4,
        })?;
        Some(ModRm { reg, rm: None })
    }

    /// An immediate operand of 16 or 32 bits.
    fn immediate(&mut self) -> Option<()> {
        self.skip(if self.short { 2 } else { 4 })
    }

    fn bit(&self, register: u8) -> u16 {
        let mut bits = 1 << (register & 15);
        // Without REX, 4 to 7 are the second bytes of 0 to 3: count both.
        if self.byte && (4..8).contains(&register) {
            bits |= 1 << (register & 3);
        }
        bits
    }

    fn wrote(&self, register: Option<u8>) -> u16 {
        register.map_or(0, |register| self.bit(register))
    }

    fn done(&self, kind: Kind, writes: u16) -> Option<Instruction> {
        Some(Instruction {
            length: self.at,
            kind,
            writes,
        })
    }

    fn plain(&self, writes: u16) -> Option<Instruction> {
        self.done(Kind::Plain, writes)
    }
}

fn decode(code: &[u8]) -> Option<Instruction> {
    let mut c = Cursor {
        code: code.get(..15.min(code.len()))?,
        at: 0,
        short: false,
        repeat: 0,
        segment: false,
        rex: 0,
        byte: false,
    };
    let mut opcode = c.next()?;
    loop {
        match opcode {
            0x66 => c.short = true,
            0xf2 | 0xf3 => c.repeat = opcode,
            0x64 | 0x65 => c.segment = true,
            0x2e => {}
            _ => break,
        }
        opcode = c.next()?;
    }
    if opcode & 0xf0 == 0x40 {
        c.rex = opcode;
        opcode = c.next()?;
    }
    if opcode == 0x0f {
        let second = c.next()?;
        two_bytes(&mut c, second)
    } else {
        one_byte(&mut c, opcode)
    }
}

fn one_byte(c: &mut Cursor<'_>, opcode: u8) -> Option<Instruction> {
    // Prefixes other than REX change these: a repeated one is another instruction.
    let bare = c.repeat == 0 && !c.segment;
    match opcode {
        0x00..=0x3f => arithmetic(c, opcode),
        0x50..=0x57 => {
            let emulated = bare && !c.short && matches!(c.rex, 0 | 0x41);
            let kind = if emulated { Kind::Push } else { Kind::Plain };
            c.done(kind, RSP)
        }
        0x58..=0x5f => c.plain(RSP | c.bit(opcode & 7 | (c.rex & 1) << 3)),
        0x63 => {
            let m = c.modrm()?;
            c.plain(c.bit(m.reg))
        }
        0x68 => c.immediate().and_then(|()| c.plain(RSP)),
        0x6a => c.skip(1).and_then(|()| c.plain(RSP)),
        0x69 | 0x6b => {
            let m = c.modrm()?;
            if opcode == 0x69 {
                c.immediate()?;
            } else {
                c.skip(1)?;
            }
            c.plain(c.bit(m.reg))
        }
        0x70..=0x7f if !c.short => c.skip(1).and_then(|()| c.done(Kind::Branch, 0)),
        0xeb if !c.short => c.skip(1).and_then(|()| c.done(Kind::Jump, 0)),
        0xe9 if !c.short => c.skip(4).and_then(|()| c.done(Kind::Jump, 0)),
        0xe8 if !c.short => c.skip(4).and_then(|()| c.done(Kind::End, 0)),
        0xc3 => c.done(Kind::End, 0),
        0xc2 => c.skip(2).and_then(|()| c.done(Kind::End, 0)),
        0x80 | 0x81 | 0x83 => {
            c.byte = opcode == 0x80;
            let m = c.modrm()?;
            if opcode == 0x81 {
                c.immediate()?;
            } else {
                c.skip(1)?;
            }
            // /7 compares.
            c.plain(if m.reg & 7 == 7 { 0 } else { c.wrote(m.rm) })
        }
        0x84 | 0x85 => c.modrm().and_then(|_| c.plain(0)),
        0x88 | 0x89 => {
            c.byte = opcode == 0x88;
            let m = c.modrm()?;
            c.plain(c.wrote(m.rm))
        }
        0x8a | 0x8b | 0x8d => {
            c.byte = opcode == 0x8a;
            let m = c.modrm()?;
            c.plain(c.bit(m.reg))
        }
        // With REX.B it exchanges r8; repeated it is `pause`.
        0x90 if bare && c.rex == 0 => c.done(Kind::Nop, 0),
        0xa8 => c.skip(1).and_then(|()| c.plain(0)),
        0xa9 => c.immediate().and_then(|()| c.plain(0)),
        0xb0..=0xb7 => {
            c.byte = true;
            c.skip(1)?;
            c.plain(c.bit(opcode & 7 | (c.rex & 1) << 3))
        }
        0xb8..=0xbf => {
            if c.wide() {
                c.skip(8)?;
            } else {
                c.immediate()?;
            }
            c.plain(c.bit(opcode & 7 | (c.rex & 1) << 3))
        }
        0xc0 | 0xc1 | 0xd0 | 0xd1 | 0xd2 | 0xd3 => {
            c.byte = opcode & 1 == 0;
            let m = c.modrm()?;
            if opcode < 0xd0 {
                c.skip(1)?;
            }
            c.plain(c.wrote(m.rm))
        }
        0xc6 | 0xc7 => {
            c.byte = opcode == 0xc6;
            let m = c.modrm()?;
            if m.reg & 7 != 0 {
                return None;
            }
            if c.byte {
                c.skip(1)?;
            } else {
                c.immediate()?;
            }
            c.plain(c.wrote(m.rm))
        }
        0xf6 | 0xf7 => unary(c, opcode),
        0xfe | 0xff => {
            c.byte = opcode == 0xfe;
            let m = c.modrm()?;
            match m.reg & 7 {
                0 | 1 => c.plain(c.wrote(m.rm)),
                2..=5 if !c.byte => c.done(Kind::End, 0),
                6 if !c.byte => c.plain(RSP),
                _ => None,
            }
        }
        _ => None,
    }
}

/// add, or, adc, sbb, and, sub, xor, cmp in their six forms.
fn arithmetic(c: &mut Cursor<'_>, opcode: u8) -> Option<Instruction> {
    let compares = opcode & 0x38 == 0x38;
    c.byte = opcode & 1 == 0;
    let wrote = match opcode & 7 {
        0 | 1 => {
            let m = c.modrm()?;
            c.wrote(m.rm)
        }
        2 | 3 => {
            let m = c.modrm()?;
            c.bit(m.reg)
        }
        4 => c.skip(1).map(|()| 1)?,
        5 => c.immediate().map(|()| 1)?,
        _ => return None,
    };
    c.plain(if compares { 0 } else { wrote })
}

/// test, not, neg, mul, div.
fn unary(c: &mut Cursor<'_>, opcode: u8) -> Option<Instruction> {
    const RAX_RDX: u16 = 0b101;
    c.byte = opcode == 0xf6;
    let m = c.modrm()?;
    match m.reg & 7 {
        0 => {
            if c.byte {
                c.skip(1)?;
            } else {
                c.immediate()?;
            }
            c.plain(0)
        }
        2 | 3 => c.plain(c.wrote(m.rm)),
        4..=7 => c.plain(RAX_RDX),
        _ => None,
    }
}

fn two_bytes(c: &mut Cursor<'_>, opcode: u8) -> Option<Instruction> {
    match opcode {
        0x80..=0x8f if !c.short => c.skip(4).and_then(|()| c.done(Kind::Branch, 0)),
        // endbr64
        0x1e if c.repeat == 0xf3 => {
            let marker = c.next()?;
            (marker == 0xfa).then(|| c.plain(0))?
        }
        0x1f => {
            let m = c.modrm()?;
            // The kernel knows the usual forms only, and none with a segment (`ideal_nops`, asm/nops.h).
            let usual = m.reg == 0 && m.rm.is_none() && c.repeat == 0 && c.usual_nop();
            c.done(if usual { Kind::Nop } else { Kind::Plain }, 0)
        }
        // Moves and logic between vector registers and memory.
        0x10..=0x17
        | 0x28
        | 0x29
        | 0x54
        | 0x57
        | 0x6e
        | 0x6f
        | 0x7f
        | 0xd6
        | 0xef
        | 0x6c
        | 0x62 => c.modrm().and_then(|_| c.plain(0)),
        0x7e => {
            let m = c.modrm()?;
            c.plain(c.wrote(m.rm))
        }
        0x40..=0x4f | 0xaf | 0xb6 | 0xb7 | 0xbe | 0xbf => {
            let m = c.modrm()?;
            c.plain(c.bit(m.reg))
        }
        0x90..=0x9f => {
            c.byte = true;
            let m = c.modrm()?;
            c.plain(c.wrote(m.rm))
        }
        _ => None,
    }
}

impl Cursor<'_> {
    /// Whether the bytes so far are one of the `nop`s that compilers and the kernel agree on.
    fn usual_nop(&self) -> bool {
        const USUAL: [&[u8]; 6] = [
            &[0x0f, 0x1f, 0x00],
            &[0x0f, 0x1f, 0x40, 0x00],
            &[0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x0f, 0x1f, 0x80, 0, 0, 0, 0],
            &[0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0],
        ];
        let bytes = self.code.get(..self.at).unwrap_or_default();
        USUAL.contains(&bytes)
    }
}
