//! Functions of a Go program, from the table that its runtime needs and that stripping leaves.
//!
//! Layout as of Go 1.18 (magic 0xfffffff0) and 1.20 (0xfffffff1; still so in 1.26): `pcHeader` in
//! `runtime/symtab.go`, written by `cmd/link/internal/ld/pcln.go`. Functions are told by their
//! distance from the start of Go's code. That start stands in the header; where the file may be loaded
//! anywhere, in its relocations; from Go 1.26 on in the `moduledata` (section `.go.module`) alone.

use std::ops::ControlFlow;

use memchr::memmem;

use super::file::Section;
use super::{Elf, ElfError, Machine, Reader, Symbol};

/// Why a function was not found.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum GoError {
    /// Reading failed.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// The registers that hold arguments are known from 1.18 on only.
    #[error("built with a Go before 1.18")]
    TooOld,
    /// A magic number that no known version writes.
    #[error("built with an unknown version of Go")]
    Unknown,
    /// More functions than are looked through.
    #[error("{0} functions are too many")]
    TooMany(u64),
    /// Nothing in the file says where Go's code begins.
    #[error("the start of its code is not known")]
    NoText,
}

/// What the table says of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoFunction {
    /// It is here.
    At(Symbol),
    /// The program has functions of its package, but not this one.
    Absent,
    /// The program has nothing of its package.
    NoPackage,
}

/// Functions that are looked through: the largest known programs have 300,000.
const MOST_FUNCTIONS: u64 = 2_000_000;
const MAGIC_1_16: u32 = 0xffff_fffa;
const MAGIC_1_2: u32 = 0xffff_fffb;
const MAGIC_1_18: u32 = 0xffff_fff0;
const MAGIC_1_20: u32 = 0xffff_fff1;
/// Length of the header in bytes.
const HEADER: u64 = 72;
/// Words of `moduledata`: the header's address, then seven slices of three words (the last of which
/// ends where `findfunctab` is), then `minpc`, `maxpc`, `text`.
const MODULE_MINPC: u64 = 20;
const MODULE_TEXT: u64 = 22;

/// The table's place in the file.
#[derive(Clone, Copy, Debug)]
struct Table {
    offset: u64,
    size: u64,
    vaddr: u64,
}

impl From<Section> for Table {
    fn from(section: Section) -> Self {
        Self {
            offset: section.offset,
            size: section.size,
            vaddr: section.addr,
        }
    }
}

/// Whether the file is a Go program: it has the table.
///
/// # Errors
/// Reading failed.
pub fn is_go(elf: &Elf, reader: &mut Reader<'_>) -> Result<bool, ElfError> {
    Ok(table(elf, reader)?.is_some())
}

/// Looks for one function by its full name, such as `crypto/tls.(*Config).writeKeyLog`.
///
/// `None`: not a Go program. `package` tells whether the program has anything of it: it is looked for
/// as the beginning of a function's name, as `crypto/tls.`.
///
/// # Errors
/// Why the table does not tell.
pub fn function(
    elf: &Elf,
    reader: &mut Reader<'_>,
    name: &str,
    package: &str,
) -> Result<Option<GoFunction>, GoError> {
    let Some(table) = table(elf, reader)? else {
        return Ok(None);
    };
    match reader.u32(table.offset)? {
        MAGIC_1_18 | MAGIC_1_20 => {}
        MAGIC_1_16 | MAGIC_1_2 => return Err(GoError::TooOld),
        _ => return Err(GoError::Unknown),
    }
    let header = Header::read(reader, table)?;
    let start_name = match elf.machine {
        Machine::X86_64 => "_rt0_amd64_linux",
        Machine::Aarch64 => "_rt0_arm64_linux",
    };
    let found = header.names(reader, [name, start_name], package)?;
    let [Some(name_at), start_at] = found.names else {
        return Ok(Some(if found.package {
            GoFunction::Absent
        } else {
            GoFunction::NoPackage
        }));
    };
    let [function, start] = header.functions(reader, [Some(name_at), start_at])?;
    let Some((from, to)) = function else {
        return Ok(Some(GoFunction::Absent));
    };
    let text = text_start(elf, reader, table, &header, start.map(|(from, _)| from))?;
    let vaddr = text.checked_add(u64::from(from)).ok_or(GoError::NoText)?;
    let (offset, left) = elf.code_at(vaddr).ok_or(GoError::NoText)?;
    Ok(Some(GoFunction::At(Symbol {
        offset,
        size: u64::from(to.saturating_sub(from)).min(left),
    })))
}

/// By its section; where there is none of its own, by its first bytes.
fn table(elf: &Elf, reader: &mut Reader<'_>) -> Result<Option<Table>, ElfError> {
    for name in [".gopclntab", ".data.rel.ro.gopclntab"] {
        if let Some(section) = elf.section(reader, name)? {
            return Ok(Some(section.into()));
        }
    }
    // Without sections it may be anywhere; and GNU ld joins it to others when C is linked in.
    if elf.has_sections() && elf.section(reader, ".go.buildinfo")?.is_none() {
        return Ok(None);
    }
    let quantum = match elf.machine {
        Machine::X86_64 => 1,
        Machine::Aarch64 => 4,
    };
    let mut found = None;
    for segment in elf.segments.iter().filter(|s| !s.executable) {
        let tail = [0xff, 0xff, 0xff, 0, 0, quantum, 8];
        let finder = memmem::Finder::new(&tail);
        reader.scan(segment.offset, segment.filesz, 8, |at, window| {
            for hit in finder.find_iter(window) {
                let magic = hit.checked_sub(1).and_then(|i| window.get(i));
                let into = (at + hit as u64).wrapping_sub(1 + segment.offset);
                if matches!(magic, Some(0xf0 | 0xf1)) && into.is_multiple_of(8) {
                    found = Some(Table {
                        offset: segment.offset + into,
                        size: segment.filesz - into,
                        vaddr: segment.vaddr.wrapping_add(into),
                    });
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        if found.is_some() {
            break;
        }
    }
    Ok(found)
}

/// What the header says, as ranges of the file.
#[derive(Clone, Copy, Debug)]
struct Header {
    functions: u64,
    text: u64,
    names: (u64, u64),
    /// `functab`, and what its entries count from.
    table: u64,
    end: u64,
}

/// What was found among the names.
#[derive(Clone, Copy, Debug)]
struct Names {
    names: [Option<u32>; 2],
    package: bool,
}

impl Header {
    fn read(reader: &mut Reader<'_>, table: Table) -> Result<Self, GoError> {
        const WRONG: ElfError = ElfError::Malformed("gopclntab");
        let [_, _, _, _, _, _, _, word] = reader.array::<8>(table.offset)?;
        if word != 8 || table.size < HEADER {
            return Err(WRONG.into());
        }
        let functions = reader.u64(table.offset + 8)?;
        if functions > MOST_FUNCTIONS {
            return Err(GoError::TooMany(functions));
        }
        let end = table.offset.saturating_add(table.size);
        let mut place = |at: u64| -> Result<u64, ElfError> {
            let place = table.offset.checked_add(reader.u64(table.offset + at)?);
            place.filter(|place| *place < end).ok_or(WRONG)
        };
        let (names, names_end, functab) = (place(32)?, place(40)?, place(64)?);
        Ok(Self {
            functions,
            text: reader.u64(table.offset + 24)?,
            names: (names, names_end.saturating_sub(names)),
            table: functab,
            end,
        })
    }

    /// Where these names are among the names, which are zero-terminated and one after the other.
    fn names(
        &self,
        reader: &mut Reader<'_>,
        wanted: [&str; 2],
        package: &str,
    ) -> Result<Names, ElfError> {
        let (start, len) = self.names;
        // The zero before a name is that of the one before it; the first name of all is `go:buildid`
        // or the like, and its table begins at a zero of its own.
        let needles = wanted.map(|name| [b"\0", name.as_bytes(), b"\0"].concat());
        let finders = needles.each_ref().map(memmem::Finder::new);
        let prefix = [b"\0", package.as_bytes()].concat();
        let prefix = memmem::Finder::new(&prefix);
        let mut found = Names {
            names: [None; 2],
            package: false,
        };
        reader.scan(start, len, 512, |at, window| {
            found.package = found.package || prefix.find(window).is_some();
            for (finder, found) in finders.iter().zip(&mut found.names) {
                if found.is_none()
                    && let Some(hit) = finder.find(window)
                {
                    *found = u32::try_from(at - start + hit as u64 + 1).ok();
                }
            }
            if found.names.iter().all(Option::is_some) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(found)
    }

    /// Where the functions of these names begin and end, as distances from the start of the code.
    fn functions(
        &self,
        reader: &mut Reader<'_>,
        names: [Option<u32>; 2],
    ) -> Result<[Option<(u32, u32)>; 2], ElfError> {
        let mut found = [None; 2];
        // The table of functions and what it refers to both go upwards, side by side.
        let mut entries = reader.again();
        reader.walk(|reader| {
            for i in 0..self.functions {
                let at = self.table + i * 8;
                let (from, info) = entries.pair(reader, at)?;
                let place = self.table + u64::from(info);
                if place >= self.end {
                    return Err(ElfError::Malformed("gopclntab"));
                }
                let name = reader.u32(place + 4)?;
                for (wanted, found) in names.iter().zip(&mut found) {
                    if *wanted == Some(name) && found.is_none() {
                        let (to, _) = entries.pair(reader, at + 8)?;
                        *found = Some((from, to));
                    }
                }
                let missing = names.iter().zip(&found);
                if missing.clone().all(|(w, f)| w.is_none() || f.is_some()) {
                    break;
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Distance of the first function.
    fn first(&self, reader: &mut Reader<'_>) -> Result<u32, ElfError> {
        reader.u32(self.table)
    }
}

/// The address that distances count from. Never guessed: each way is confirmed by a second fact or
/// is the one that the runtime itself uses.
fn text_start(
    elf: &Elf,
    reader: &mut Reader<'_>,
    table: Table,
    header: &Header,
    start: Option<u32>,
) -> Result<u64, GoError> {
    // Up to Go 1.25 the header has it, in place or as a relocation.
    let in_header = elf.pointer_at(reader, table.vaddr.wrapping_add(24))?;
    if let Some(text) = in_header.or(Some(header.text)).filter(|text| *text != 0) {
        return Ok(text);
    }
    if let Some(module) = elf.section(reader, ".go.module")? {
        let mut word = |i: u64| elf.pointer_at(reader, module.addr.wrapping_add(i * 8));
        let (at, low, text) = (word(0)?, word(MODULE_MINPC)?, word(MODULE_TEXT)?);
        let first = u64::from(header.first(reader)?);
        if let (Some(at), Some(low), Some(text)) = (at, low, text)
            && at == table.vaddr
            && text.checked_add(first) == Some(low)
        {
            return Ok(text);
        }
    }
    // Without C in it the program begins with a function of Go's.
    let text = elf.section(reader, ".text")?.map(|section| section.addr);
    match (text, start) {
        (Some(text), Some(start)) if text.checked_add(u64::from(start)) == Some(elf.entry) => {
            Ok(text)
        }
        _ => Err(GoError::NoText),
    }
}
