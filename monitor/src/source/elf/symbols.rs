//! Functions by name: the loader's hash table, then whole symbol tables.

use std::ops::ControlFlow;

use hashbrown::HashMap;
use memchr::memmem;

use super::file::{Dynamic, SymbolTable};
use super::{Elf, ElfError, Reader};

/// What a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Exactly this; at most 255 bytes.
    Exact(&'static str),
    /// Begins and ends with these, together at most 255 bytes. Found only in the full symbol table:
    /// the loader's hash table answers whole names only.
    Affix {
        /// How it begins.
        prefix: &'static str,
        /// How it ends; may be empty if the beginning is not.
        suffix: &'static str,
    },
}

/// A function of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Where in the file its first instruction is.
    pub offset: u64,
    /// Its length in bytes as far as the file says, else what is left of its segment.
    pub size: u64,
}

/// Functions that are told of one name: a program may contain a library more than once.
pub const MOST_PER_NAME: usize = 4;
/// Longest name that is looked at.
const LONGEST_NAME: usize = 512;
/// Places in the strings that are remembered for all names together.
const MOST_PLACES: usize = 4096;
/// Length of an entry of a symbol table.
const ENTRY: usize = 24;
/// Steps along one chain of the hash table.
const MOST_STEPS: u32 = 1024;
const STT_FUNC: u8 = 2;

/// Where the functions of these names begin, in the order of the names.
///
/// Exported names are looked up as the loader does it, in a few reads. What is not found there is
/// looked for in the full symbol table, if the file has one.
///
/// # Errors
/// The file makes no sense, or would cost too much.
pub fn symbols(
    elf: &Elf,
    reader: &mut Reader<'_>,
    names: &[Name],
) -> Result<Vec<Vec<Symbol>>, ElfError> {
    let mut found = vec![Vec::new(); names.len()];
    match elf.dynamic {
        Some(dynamic) if dynamic.gnu_hash != 0 => {
            for (name, found) in names.iter().zip(&mut found) {
                if let Name::Exact(name) = name {
                    found.extend(exported(elf, reader, dynamic, name)?);
                }
            }
        }
        _ => {
            if let Some(table) = elf.dynsym() {
                search(elf, reader, table, names, &mut found)?;
            }
        }
    }
    if let Some(table) = elf.symtab()
        && found.iter().any(Vec::is_empty)
    {
        search(elf, reader, table, names, &mut found)?;
    }
    Ok(found)
}

/// The GNU hash function: h = h * 33 + byte, from 5381.
fn gnu_hash(name: &[u8]) -> u32 {
    name.iter().fold(5381, |hash: u32, byte| {
        hash.wrapping_mul(33).wrapping_add(u32::from(*byte))
    })
}

fn exported(
    elf: &Elf,
    reader: &mut Reader<'_>,
    dynamic: Dynamic,
    name: &str,
) -> Result<Option<Symbol>, ElfError> {
    const NOWHERE: ElfError = ElfError::Malformed("dynamic table");
    let at = |vaddr| elf.offset_of(vaddr).ok_or(NOWHERE);
    let (table, symtab, strtab) = (
        at(dynamic.gnu_hash)?,
        at(dynamic.symtab)?,
        at(dynamic.strtab)?,
    );
    let (buckets, first) = (reader.u32(table)?, reader.u32(table + 4)?);
    let (words, shift) = (reader.u32(table + 8)?, reader.u32(table + 12)?);
    if buckets == 0 || words == 0 {
        return Ok(None);
    }
    let hash = gnu_hash(name.as_bytes());
    let bloom = table + 16;
    let word = reader.u64(bloom + u64::from(hash / 64 % words) * 8)?;
    let second = hash.checked_shr(shift).unwrap_or(0);
    if word >> (hash % 64) & word >> (second % 64) & 1 == 0 {
        return Ok(None);
    }
    let bucket = bloom + u64::from(words) * 8;
    let chains = bucket + u64::from(buckets) * 4;
    let start = reader.u32(bucket + u64::from(hash % buckets) * 4)?;
    if start < first {
        return Ok(None);
    }
    for index in start..start.saturating_add(MOST_STEPS) {
        let chain = reader.u32(chains + u64::from(index - first) * 4)?;
        if chain | 1 == hash | 1 {
            let entry: [u8; ENTRY] =
                reader.array(symtab.saturating_add(u64::from(index) * ENTRY as u64))?;
            let named = name_of(&entry);
            let text = reader.up_to(strtab.saturating_add(u64::from(named)), name.len() + 1)?;
            if text.split_last() == Some((&0, name.as_bytes()))
                && let Some(symbol) = function(elf, &entry)
            {
                return Ok(Some(symbol));
            }
        }
        if chain & 1 == 1 {
            break;
        }
    }
    Ok(None)
}

fn name_of(entry: &[u8; ENTRY]) -> u32 {
    let [a, b, c, d, ..] = *entry;
    u32::from_le_bytes([a, b, c, d])
}

/// The function of an entry, if it is one that the file itself contains.
fn function(elf: &Elf, entry: &[u8; ENTRY]) -> Option<Symbol> {
    let (head, rest) = entry.split_first_chunk::<8>()?;
    let (value, size) = rest.split_first_chunk::<8>()?;
    let [_, _, _, _, info, _, section_low, section_high] = *head;
    if info & 0xf != STT_FUNC || (section_low, section_high) == (0, 0) {
        return None;
    }
    let size = u64::from_le_bytes(*size.first_chunk::<8>()?);
    let (offset, left) = elf.code_at(u64::from_le_bytes(*value))?;
    Some(Symbol {
        offset,
        size: if size == 0 { left } else { size.min(left) },
    })
}

/// Two walks, front to back: where in the strings the names are, then which functions have them.
fn search(
    elf: &Elf,
    reader: &mut Reader<'_>,
    table: SymbolTable,
    names: &[Name],
    found: &mut [Vec<Symbol>],
) -> Result<(), ElfError> {
    let wanted: Vec<bool> = found.iter().map(Vec::is_empty).collect();
    let places = places(reader, table.strings, names, &wanted)?;
    if places.is_empty() {
        return Ok(());
    }
    let (mut at, len) = table.symbols;
    let end = at.saturating_add(len).min(reader.size());
    reader.walk(|reader| {
        while at.saturating_add(ENTRY as u64) <= end {
            let entry: [u8; ENTRY] = reader.array(at)?;
            at += ENTRY as u64;
            let Some(which) = places.get(&name_of(&entry)) else {
                continue;
            };
            let Some(list) = found.get_mut(*which) else {
                continue;
            };
            if let Some(symbol) = function(elf, &entry)
                && list.len() < MOST_PER_NAME
                && !list.iter().any(|known| known.offset == symbol.offset)
            {
                list.push(symbol);
            }
        }
        Ok(())
    })
}

/// Offsets in the strings, and the name that is there.
fn places(
    reader: &mut Reader<'_>,
    (start, len): (u64, u64),
    names: &[Name],
    wanted: &[bool],
) -> Result<HashMap<u32, usize>, ElfError> {
    let needles: Vec<(usize, Name, Vec<u8>)> = names
        .iter()
        .zip(wanted)
        .enumerate()
        .filter(|(_, (_, wanted))| **wanted)
        .map(|(i, (name, _))| (i, *name, needle(*name)))
        .collect();
    let finders: Vec<(usize, Name, memmem::Finder<'_>)> = needles
        .iter()
        .map(|(i, name, needle)| (*i, *name, memmem::Finder::new(needle)))
        .collect();
    let mut places = HashMap::new();
    reader.scan(start, len, LONGEST_NAME, |at, window| {
        for (which, name, finder) in &finders {
            for hit in finder.find_iter(window) {
                if places.len() >= MOST_PLACES {
                    return ControlFlow::Break(());
                }
                if let Some(begin) = begin(window, hit, *name)
                    && let Ok(place) = u32::try_from(at - start + begin as u64)
                {
                    places.entry(place).or_insert(*which);
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(places)
}

fn needle(name: Name) -> Vec<u8> {
    match name {
        Name::Exact(name) => [name.as_bytes(), b"\0"].concat(),
        Name::Affix { prefix, suffix: "" } => [b"\0", prefix.as_bytes()].concat(),
        Name::Affix { suffix, .. } => [suffix.as_bytes(), b"\0"].concat(),
    }
}

/// Where the name begins of which a needle was found.
fn begin(window: &[u8], hit: usize, name: Name) -> Option<usize> {
    match name {
        // Linkers let a name share the end of a longer one, so what is before it does not matter.
        Name::Exact(_) => Some(hit),
        Name::Affix { suffix: "", .. } => Some(hit + 1),
        Name::Affix { prefix, .. } => {
            let before = window.get(hit.saturating_sub(LONGEST_NAME)..hit)?;
            let name = memchr::memrchr(0, before)
                .map_or(before, |nul| before.get(nul + 1..).unwrap_or_default());
            let start = hit - name.len();
            name.starts_with(prefix.as_bytes()).then_some(start)
        }
    }
}
