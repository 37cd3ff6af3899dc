//! One file: where its probes go.

use super::super::elf::{
    Elf, ElfError, Emulation, GoError, GoFunction, Name, ReadAt, Reader, Symbol, choose,
    go_function, inner, symbols,
};
use super::table::{self, ProbeKind, WANTED};

/// Most bytes that are read of one file. The largest known programs have 60 MB of symbols.
pub const MOST_READ: u64 = 128 * 1024 * 1024;

/// Where a probe goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// What for.
    pub kind: ProbeKind,
    /// Offset in the file, in bytes, of the instruction.
    pub offset: u64,
    /// The kernel emulates the instruction: a probe costs one trap, not two.
    pub emulated: bool,
    /// Offset in the file of the function's first byte, for a probe at its return.
    pub entry: u64,
}

/// Something that this file was expected to have, or could not be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// A probe's name, or `file`.
    pub what: &'static str,
    /// For people.
    pub why: String,
}

/// What one file is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examination {
    /// Where probes go; empty for nearly every file.
    pub points: Vec<Point>,
    /// What is missing.
    pub missing: Vec<Missing>,
    /// Bytes read.
    pub read: u64,
    /// It is not what it says it is.
    pub malformed: bool,
}

/// Looks through a file. `called` is its name without directories.
#[must_use]
pub fn examine(file: &dyn ReadAt, called: &str, emulation: Emulation) -> Examination {
    let mut reader = Reader::new(file, MOST_READ);
    let mut found = Examination::default();
    let mut family = table::family(called);
    if let Err(error) = look(&mut reader, emulation, &mut found, &mut family) {
        found.malformed = matches!(error, ElfError::Malformed(_));
        // Any file may be anything; what should be a TLS library, or was too large to tell, is told of.
        if family.is_some() || matches!(error, ElfError::TooMuch(_) | ElfError::Io(_)) {
            found.missing.push(Missing {
                what: "file",
                why: error.to_string(),
            });
        }
    } else if let Some(family) = family {
        let has = |kind| found.points.iter().any(|point| point.kind == kind);
        let lacking = family.expected.iter().filter(|(kind, _)| !has(*kind));
        let mut missing: Vec<Missing> = lacking
            .map(|(kind, why)| Missing {
                what: kind.name(),
                why: (*why).to_owned(),
            })
            .collect();
        missing.extend(family.never.map(|(what, why)| Missing {
            what,
            why: why.to_owned(),
        }));
        found.missing.append(&mut missing);
    }
    found.read = reader.spent();
    found
}

fn look(
    reader: &mut Reader<'_>,
    emulation: Emulation,
    found: &mut Examination,
    family: &mut Option<&'static table::Family>,
) -> Result<(), ElfError> {
    let elf = Elf::read(reader)?;
    if let Some(name) = elf.soname(reader)? {
        *family = table::family(&name).or(*family);
    }
    go(&elf, reader, emulation, found)?;
    let names = WANTED.map(|(_, name): (ProbeKind, Name)| name);
    let all = symbols(&elf, reader, &names)?;
    for ((kind, _), list) in WANTED.iter().zip(all) {
        for symbol in list {
            add(&elf, reader, emulation, found, *kind, symbol)?;
        }
    }
    Ok(())
}

fn go(
    elf: &Elf,
    reader: &mut Reader<'_>,
    emulation: Emulation,
    found: &mut Examination,
) -> Result<(), ElfError> {
    let kind = ProbeKind::GoWriteKeyLog;
    let why = match go_function(elf, reader, table::GO_FUNCTION, table::GO_PACKAGE) {
        Ok(Some(GoFunction::At(symbol))) => {
            return add(elf, reader, emulation, found, kind, symbol);
        }
        Ok(Some(GoFunction::Absent)) => {
            "the program has crypto/tls, but not this function".to_owned()
        }
        Ok(Some(GoFunction::NoPackage) | None) => return Ok(()),
        Err(GoError::Elf(error @ (ElfError::TooMuch(_) | ElfError::Io(_)))) => return Err(error),
        Err(error) => error.to_string(),
    };
    let what = kind.name();
    found.missing.push(Missing { what, why });
    Ok(())
}

fn add(
    elf: &Elf,
    reader: &mut Reader<'_>,
    emulation: Emulation,
    found: &mut Examination,
    kind: ProbeKind,
    symbol: Symbol,
) -> Result<(), ElfError> {
    let code = reader.code(symbol)?;
    let at = choose(elf.machine, code, kind.arguments(), emulation);
    let inner = kind
        .has_inner()
        .then(|| inner(elf.machine, code, kind.arguments()))
        .flatten();
    let point = Point {
        kind,
        offset: symbol.offset.saturating_add(u64::from(at.delta)),
        emulated: at.emulated,
        entry: symbol.offset,
    };
    if !found.points.contains(&point) {
        found.points.push(point);
    }
    if let Some(symbol) = inner.and_then(|distance| elf.code_near(symbol.offset, distance)) {
        let code = reader.code(symbol)?;
        let at = choose(elf.machine, code, kind.arguments(), emulation);
        found.points.push(Point {
            kind,
            offset: symbol.offset.saturating_add(u64::from(at.delta)),
            emulated: at.emulated,
            entry: symbol.offset,
        });
    }
    Ok(())
}
