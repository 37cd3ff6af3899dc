//! Headers, segments, sections, the dynamic table and relative relocations.

use std::ops::ControlFlow;

use super::{ElfError, Reader, Symbol};

/// What the instructions are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// x86-64.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

const MOST_SEGMENTS: u16 = 128;
const MOST_SECTIONS: u16 = 1024;
const MOST_DYNAMIC: u64 = 1024;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PF_X: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const SHT_NOBITS: u32 = 8;
const SHT_DYNSYM: u32 = 11;

const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const DT_STRSZ: u64 = 10;
const DT_SONAME: u64 = 14;
const DT_GNU_HASH: u64 = 0x6fff_fef5;

/// A program header (gABI, chapter 5) that is loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) executable: bool,
    pub(super) offset: u64,
    pub(super) vaddr: u64,
    pub(super) filesz: u64,
}

/// A section header (gABI, chapter 4).
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    name: u32,
    kind: u32,
    pub(super) addr: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
    link: u32,
}

/// A symbol table and its strings, as ranges of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct SymbolTable {
    pub(super) symbols: (u64, u64),
    pub(super) strings: (u64, u64),
}

/// Addresses from the dynamic table; 0 where it has none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dynamic {
    pub(super) strtab: u64,
    pub(super) strsz: u64,
    pub(super) symtab: u64,
    pub(super) gnu_hash: u64,
    rela: u64,
    relasz: u64,
    soname: u64,
}

/// The headers of one file.
#[derive(Debug)]
pub struct Elf {
    /// Its instructions.
    pub machine: Machine,
    /// Address at which it begins; relative to where it is loaded if it may be loaded anywhere.
    pub entry: u64,
    /// It may be loaded anywhere (`ET_DYN`).
    pub relocatable: bool,
    pub(super) segments: Vec<Segment>,
    sections: Vec<Section>,
    names: Option<Section>,
    pub(super) dynamic: Option<Dynamic>,
}

impl Elf {
    /// Reads the headers.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, ElfError> {
        let head: [u8; 64] = reader.array(0).map_err(|error| match error {
            ElfError::Malformed(_) => ElfError::NotElf,
            other => other,
        })?;
        let [0x7f, b'E', b'L', b'F', class, order, ..] = head else {
            return Err(ElfError::NotElf);
        };
        if class != 2 {
            return Err(ElfError::Unsupported("a 32-bit program"));
        }
        if order != 1 {
            return Err(ElfError::Unsupported("a big-endian program"));
        }
        let machine = match reader.u16(18)? {
            62 => Machine::X86_64,
            183 => Machine::Aarch64,
            _ => return Err(ElfError::Unsupported("a program for another processor")),
        };
        let relocatable = match reader.u16(16)? {
            2 => false,
            3 => true,
            _ => return Err(ElfError::Unsupported("neither a program nor a library")),
        };
        let mut elf = Self {
            machine,
            entry: reader.u64(24)?,
            relocatable,
            segments: Vec::new(),
            sections: Vec::new(),
            names: None,
            dynamic: None,
        };
        let dynamic = elf.read_segments(reader)?;
        elf.read_sections(reader)?;
        if let Some((at, size)) = dynamic {
            elf.dynamic = Some(read_dynamic(reader, at, size)?);
        }
        Ok(elf)
    }

    /// Returns where the dynamic table is.
    fn read_segments(&mut self, reader: &mut Reader<'_>) -> Result<Option<(u64, u64)>, ElfError> {
        let (table, each, count) = (reader.u64(32)?, reader.u16(54)?, reader.u16(56)?);
        if each != 56 || count > MOST_SEGMENTS {
            return Err(ElfError::Malformed("program headers"));
        }
        let mut dynamic = None;
        for i in 0..u64::from(count) {
            let at = table.saturating_add(i * 56);
            let kind = reader.u32(at)?;
            let (offset, filesz) = (reader.u64(at + 8)?, reader.u64(at + 32)?);
            match kind {
                PT_LOAD => self.segments.push(Segment {
                    executable: reader.u32(at + 4)? & PF_X != 0,
                    offset,
                    vaddr: reader.u64(at + 16)?,
                    filesz,
                }),
                PT_DYNAMIC => dynamic = Some((offset, filesz)),
                _ => {}
            }
        }
        Ok(dynamic)
    }

    /// Sections are not needed to run a program: none are read where they make no sense.
    fn read_sections(&mut self, reader: &mut Reader<'_>) -> Result<(), ElfError> {
        let (table, each) = (reader.u64(40)?, reader.u16(58)?);
        let (count, names) = (reader.u16(60)?, reader.u16(62)?);
        let bytes = u64::from(count) * 64;
        let there = table
            .checked_add(bytes)
            .is_some_and(|end| end <= reader.size());
        if each != 64 || count > MOST_SECTIONS || !there {
            return Ok(());
        }
        for i in 0..u64::from(count) {
            let at = table + i * 64;
            self.sections.push(Section {
                name: reader.u32(at)?,
                kind: reader.u32(at + 4)?,
                addr: reader.u64(at + 16)?,
                offset: reader.u64(at + 24)?,
                size: reader.u64(at + 32)?,
                link: reader.u32(at + 40)?,
            });
        }
        self.names = self.sections.get(usize::from(names)).copied();
        Ok(())
    }

    /// The first section of that name (at most 63 bytes) that has contents.
    pub(super) fn section(
        &self,
        reader: &mut Reader<'_>,
        name: &str,
    ) -> Result<Option<Section>, ElfError> {
        let Some(names) = self.names else {
            return Ok(None);
        };
        for section in self.sections.iter().filter(|s| s.kind != SHT_NOBITS) {
            let at = names.offset.saturating_add(u64::from(section.name));
            let Ok(there) = reader.up_to(at, name.len() + 1) else {
                continue;
            };
            if there.split_last() == Some((&0, name.as_bytes())) {
                return Ok(Some(*section));
            }
        }
        Ok(None)
    }

    /// Whether sections are told of at all.
    pub(super) fn has_sections(&self) -> bool {
        !self.sections.is_empty()
    }

    /// `.symtab`: all symbols, unless the file was stripped.
    pub(super) fn symtab(&self) -> Option<SymbolTable> {
        self.table(SHT_SYMTAB)
    }

    /// `.dynsym`, by its section.
    pub(super) fn dynsym(&self) -> Option<SymbolTable> {
        self.table(SHT_DYNSYM)
    }

    fn table(&self, kind: u32) -> Option<SymbolTable> {
        let symbols = self.sections.iter().find(|s| s.kind == kind)?;
        let strings = self.sections.get(usize::try_from(symbols.link).ok()?)?;
        Some(SymbolTable {
            symbols: (symbols.offset, symbols.size),
            strings: (strings.offset, strings.size),
        })
    }

    /// Where in the file an address is.
    pub(super) fn offset_of(&self, vaddr: u64) -> Option<u64> {
        self.segments.iter().find_map(|s| s.offset_of(vaddr))
    }

    /// The same, only for code; and how many bytes of its segment follow.
    #[must_use]
    pub fn code_at(&self, vaddr: u64) -> Option<(u64, u64)> {
        let mut code = self.segments.iter().filter(|s| s.executable);
        code.find_map(|s| Some((s.offset_of(vaddr)?, s.filesz - (vaddr - s.vaddr))))
    }

    /// What is `distance` bytes from a place in the code, if it is code of the same segment.
    #[must_use]
    pub fn code_near(&self, offset: u64, distance: i64) -> Option<Symbol> {
        let target = offset.checked_add_signed(distance)?;
        self.segments.iter().filter(|s| s.executable).find_map(|s| {
            s.left(offset)?;
            let size = s.left(target)?;
            Some(Symbol {
                offset: target,
                size,
            })
        })
    }

    /// Name a library gives itself, at most 63 bytes.
    ///
    /// # Errors
    /// Reading failed.
    pub fn soname(&self, reader: &mut Reader<'_>) -> Result<Option<String>, ElfError> {
        let Some(dynamic) = self.dynamic.filter(|d| d.soname != 0) else {
            return Ok(None);
        };
        let Some(strings) = self.offset_of(dynamic.strtab) else {
            return Ok(None);
        };
        let bytes = reader.up_to(strings.saturating_add(dynamic.soname), 64)?;
        let name = bytes.split(|b| *b == 0).next().unwrap_or_default();
        Ok(Some(String::from_utf8_lossy(name).into_owned()))
    }

    /// The pointer that will be at an address once the file is loaded, relative to where it is.
    ///
    /// A file that may be loaded anywhere has its pointers in relocations (`R_X86_64_RELATIVE`,
    /// `R_AARCH64_RELATIVE`), and in place either the same or nothing.
    pub(super) fn pointer_at(
        &self,
        reader: &mut Reader<'_>,
        vaddr: u64,
    ) -> Result<Option<u64>, ElfError> {
        let relocated = match self.dynamic {
            Some(dynamic) if self.relocatable => self.relative(reader, dynamic, vaddr)?,
            _ => None,
        };
        match (relocated, self.offset_of(vaddr)) {
            (Some(pointer), _) => Ok(Some(pointer)),
            (None, Some(at)) => Ok(Some(reader.u64(at)?)),
            (None, None) => Ok(None),
        }
    }

    fn relative(
        &self,
        reader: &mut Reader<'_>,
        dynamic: Dynamic,
        vaddr: u64,
    ) -> Result<Option<u64>, ElfError> {
        const ENTRY: usize = 24;
        let Some(table) = self.offset_of(dynamic.rela).filter(|_| dynamic.rela != 0) else {
            return Ok(None);
        };
        let relative: u32 = match self.machine {
            Machine::X86_64 => 8,
            Machine::Aarch64 => 1027,
        };
        let wanted = (vaddr.to_le_bytes(), u64::from(relative).to_le_bytes());
        let mut found = None;
        // Windows of 64 KiB, cut to whole entries; the rest of each comes again with the next.
        let mut at = table;
        let end = table.saturating_add(dynamic.relasz).min(reader.size());
        while found.is_none() && at.saturating_add(ENTRY as u64) <= end {
            let part = (end - at).min((64 * 1024 / ENTRY * ENTRY) as u64);
            reader.scan(at, part, 0, |_, bytes| {
                found = bytes.chunks_exact(ENTRY).find_map(|entry| {
                    let (place, rest) = entry.split_first_chunk::<8>()?;
                    let (info, addend) = rest.split_first_chunk::<8>()?;
                    let hit = (*place, *info) == wanted;
                    hit.then(|| addend.first_chunk::<8>().map(|a| u64::from_le_bytes(*a)))?
                });
                ControlFlow::Break(())
            })?;
            at += part;
        }
        Ok(found)
    }
}

impl Segment {
    /// Bytes of the segment from this place of the file on.
    fn left(&self, offset: u64) -> Option<u64> {
        let into = offset.checked_sub(self.offset)?;
        self.filesz.checked_sub(into).filter(|left| *left > 0)
    }

    fn offset_of(&self, vaddr: u64) -> Option<u64> {
        let into = vaddr.checked_sub(self.vaddr)?;
        (into < self.filesz).then(|| self.offset.checked_add(into))?
    }
}

fn read_dynamic(reader: &mut Reader<'_>, at: u64, size: u64) -> Result<Dynamic, ElfError> {
    let mut dynamic = Dynamic::default();
    for i in 0..(size / 16).min(MOST_DYNAMIC) {
        let entry = at.saturating_add(i * 16);
        let (tag, value) = (reader.u64(entry)?, reader.u64(entry.saturating_add(8))?);
        match tag {
            0 => break,
            DT_STRTAB => dynamic.strtab = value,
            DT_STRSZ => dynamic.strsz = value,
            DT_SYMTAB => dynamic.symtab = value,
            DT_GNU_HASH => dynamic.gnu_hash = value,
            DT_RELA => dynamic.rela = value,
            DT_RELASZ => dynamic.relasz = value,
            DT_SONAME => dynamic.soname = value,
            _ => {}
        }
    }
    Ok(dynamic)
}
