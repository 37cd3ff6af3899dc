//! Small program files for tests, made byte by byte.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

/// Address of the file's first byte.
pub(crate) const BASE: u64 = 0x40_0000;
/// Where in the file the code begins, and its address.
pub(crate) const CODE: u64 = 0x2000;
pub(crate) const CODE_VADDR: u64 = BASE + 0x10_0000 + CODE;
/// Bytes between functions.
pub(crate) const STEP: u64 = 64;

/// `push %rbp`, then nothing.
const BODY: [u8; 4] = [0x55, 0x90, 0x90, 0xc3];

/// How the start of Go's code is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GoText {
    /// In the table's header.
    Header,
    /// As a relocation of the header.
    Relocated,
    /// In the module data.
    Module,
    /// By the program's entry alone.
    Entry,
    /// Nowhere.
    Nowhere,
}

/// What the file contains. Functions lie in the order in which they are named, 64 bytes each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    /// Functions that the loader finds.
    pub(crate) exported: Vec<&'static str>,
    /// Names that are used but not contained.
    pub(crate) imported: Vec<&'static str>,
    /// Functions of the full symbol table, after the exported ones.
    pub(crate) local: Vec<&'static str>,
    /// Go's functions, which lie where the exported ones would; and how the start is told.
    pub(crate) go: Option<(Vec<&'static str>, GoText)>,
    /// Magic of Go's table, if not the newest.
    pub(crate) magic: Option<u32>,
    /// Its own name.
    pub(crate) soname: Option<&'static str>,
    /// No section headers.
    pub(crate) bare: bool,
}

/// File being written.
#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn at(&self) -> u64 {
        self.0.len() as u64
    }

    fn numbers(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.0.extend(number.to_le_bytes());
        }
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.0.extend(word.to_le_bytes());
        }
    }

    fn align(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

fn symbol(out: &mut Out, name: u32, index: Option<u64>) {
    let (info, section) = (0x12_u32, u32::from(index.is_some()));
    out.words(&[name, info | section << 16]);
    out.numbers(&[
        index.map_or(0, |i| CODE_VADDR + i * STEP),
        BODY.len() as u64,
    ]);
}

fn strings(names: &[&str]) -> (Vec<u8>, Vec<u32>) {
    let mut bytes = vec![0];
    let places = names
        .iter()
        .map(|name| {
            let place = bytes.len() as u32;
            bytes.extend(name.as_bytes());
            bytes.push(0);
            place
        })
        .collect();
    (bytes, places)
}

fn hash(name: &str) -> u32 {
    name.bytes()
        .fold(5381, |h: u32, b| h.wrapping_mul(33).wrapping_add(b.into()))
}

impl Image {
    /// The file's bytes.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut out = Out::default();
        out.0.resize(64 + 3 * 56, 0);
        let mut sections: Vec<(&str, u32, u64, u64, u32)> = vec![("", 0, 0, 0, 0)];

        // Exported functions in the order of their buckets, of which there are two.
        let mut exported: Vec<(usize, &str)> = self.exported.iter().copied().enumerate().collect();
        exported.sort_by_key(|(_, name)| hash(name) % 2);
        let mut names = self.imported.clone();
        names.extend(exported.iter().map(|(_, name)| *name));
        names.extend(self.soname);
        let (dynstr, places) = strings(&names);
        let strtab = out.at();
        out.0.extend(&dynstr);
        out.align();
        let symtab = out.at();
        symbol(&mut out, 0, None);
        for place in &places[..self.imported.len()] {
            symbol(&mut out, *place, None);
        }
        let first = 1 + self.imported.len() as u32;
        for ((i, _), place) in exported.iter().zip(&places[self.imported.len()..]) {
            symbol(&mut out, *place, Some(*i as u64));
        }
        let symtab_size = out.at() - symtab;
        let gnu_hash = out.at();
        out.words(&[2, first, 1, 6]);
        let bloom = exported.iter().fold(0_u64, |bloom, (_, name)| {
            bloom | 1 << (hash(name) % 64) | 1 << ((hash(name) >> 6) % 64)
        });
        out.numbers(&[bloom]);
        for bucket in 0..2 {
            let at = exported.iter().position(|(_, n)| hash(n) % 2 == bucket);
            out.words(&[at.map_or(0, |at| first + at as u32)]);
        }
        for (i, (_, name)) in exported.iter().enumerate() {
            let next = exported.get(i + 1).map(|(_, next)| hash(next) % 2);
            let last = next != Some(hash(name) % 2);
            out.words(&[hash(name) & !1 | u32::from(last)]);
        }
        out.align();

        let mut relocations = Vec::new();
        let mut entry = 0;
        if let Some((functions, text)) = &self.go {
            let table = out.at();
            self.go_table(&mut out, functions, *text);
            sections.push((".gopclntab", 1, table, out.at() - table, 0));
            match text {
                GoText::Relocated => relocations.push((BASE + table + 24, CODE_VADDR)),
                GoText::Module => {
                    out.align();
                    let module = out.at();
                    out.numbers(&[0; 24]);
                    for (word, value) in [(0, BASE + table), (20, CODE_VADDR), (22, CODE_VADDR)] {
                        relocations.push((BASE + module + word * 8, value));
                    }
                    sections.push((".go.module", 1, module, 24 * 8, 0));
                }
                GoText::Entry => {
                    entry = functions
                        .iter()
                        .position(|name| *name == "_rt0_amd64_linux")
                        .map_or(0, |i| CODE_VADDR + i as u64 * STEP);
                }
                GoText::Header | GoText::Nowhere => {}
            }
        }
        out.align();
        let rela = out.at();
        for (place, value) in &relocations {
            out.numbers(&[*place, 8, *value]);
        }
        let rela_size = out.at() - rela;

        let dynamic = out.at();
        out.numbers(&[5, BASE + strtab, 6, BASE + symtab]);
        if !self.exported.is_empty() {
            out.numbers(&[0x6fff_fef5, BASE + gnu_hash]);
        }
        if rela_size > 0 {
            out.numbers(&[7, BASE + rela, 8, rela_size]);
        }
        if self.soname.is_some() {
            out.numbers(&[14, u64::from(*places.last().unwrap())]);
        }
        out.numbers(&[0, 0]);
        let dynamic_size = out.at() - dynamic;

        if !self.local.is_empty() {
            let (text, places) = strings(&self.local);
            let strtab = out.at();
            out.0.extend(&text);
            out.align();
            let symtab = out.at();
            for (i, place) in places.iter().enumerate() {
                symbol(&mut out, *place, Some((self.exported.len() + i) as u64));
            }
            sections.push((".strtab", 3, strtab, text.len() as u64, 0));
            let link = sections.len() as u32 - 1;
            sections.push((".symtab", 2, symtab, out.at() - symtab, link));
        }
        sections.push((".dynstr", 3, strtab, dynstr.len() as u64, 0));
        let link = sections.len() as u32 - 1;
        sections.push((".dynsym", 11, symtab, symtab_size, link));
        let functions = self.exported.len()
            + self.local.len()
            + self.go.as_ref().map_or(0, |(functions, _)| functions.len());
        let code_size = functions as u64 * STEP;
        sections.push((".text", 1, CODE, code_size, 0));
        sections.push((".shstrtab", 3, 0, 0, 0));

        assert!(out.at() <= CODE);
        out.0.resize(CODE as usize, 0);
        for _ in 0..functions {
            out.0.extend(BODY);
            out.0.resize(out.0.len() + STEP as usize - BODY.len(), 0xcc);
        }
        self.headers(
            &mut out,
            &sections,
            entry,
            (dynamic, dynamic_size),
            code_size,
        );
        out.0
    }

    fn headers(
        &self,
        out: &mut Out,
        sections: &[(&str, u32, u64, u64, u32)],
        entry: u64,
        dynamic: (u64, u64),
        code_size: u64,
    ) {
        let names: Vec<&str> = sections.iter().map(|s| s.0).collect();
        let (text, places) = strings(&names);
        let shstrtab = out.at();
        out.0.extend(&text);
        out.align();
        let table = out.at();
        for ((name, kind, offset, size, link), place) in sections.iter().zip(places) {
            let (offset, size) = match *name {
                ".shstrtab" => (shstrtab, text.len() as u64),
                _ => (*offset, *size),
            };
            let addr = if *name == ".text" {
                CODE_VADDR
            } else {
                BASE + offset
            };
            out.words(&[place, *kind]);
            out.numbers(&[0, addr, offset, size]);
            out.words(&[*link, 0]);
            out.numbers(&[1, 0]);
        }
        let mut head = Out::default();
        head.0.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
        head.numbers(&[0]);
        head.0.extend([3, 0, 62, 0, 1, 0, 0, 0]);
        let (at, count) = if self.bare {
            (0, 0)
        } else {
            (table, sections.len() as u8)
        };
        head.numbers(&[entry, 64, at]);
        head.0.extend([
            0,
            0,
            0,
            0,
            64,
            0,
            56,
            0,
            3,
            0,
            64,
            0,
            count,
            0,
            count.saturating_sub(1),
            0,
        ]);
        for (kind, flags, offset, vaddr, size) in [
            (1, 4, 0, BASE, CODE),
            (1, 5, CODE, CODE_VADDR, code_size),
            (2, 4, dynamic.0, BASE + dynamic.0, dynamic.1),
        ] {
            head.words(&[kind, flags]);
            head.numbers(&[offset, vaddr, vaddr, size, size, 8]);
        }
        out.put(0, &head.0);
    }

    fn go_table(&self, out: &mut Out, functions: &[&str], text: GoText) {
        let start = out.at();
        let (mut names, places) = strings(functions);
        names.resize(names.len().next_multiple_of(8), 0);
        let functab = 72 + names.len() as u64;
        out.words(&[self.magic.unwrap_or(0xffff_fff1)]);
        out.0.extend([0, 0, 1, 8]);
        let told = if text == GoText::Header {
            CODE_VADDR
        } else {
            0
        };
        out.numbers(&[
            functions.len() as u64,
            0,
            told,
            72,
            functab,
            functab,
            functab,
            functab,
        ]);
        assert_eq!(out.at() - start, 72);
        out.0.extend(&names);
        let infos = functions.len() as u32 * 8 + 8;
        for i in 0..functions.len() as u32 {
            out.words(&[i * STEP as u32, infos + i * 8]);
        }
        out.words(&[functions.len() as u32 * STEP as u32, 0]);
        for (i, place) in places.iter().enumerate() {
            out.words(&[i as u32 * STEP as u32, *place]);
        }
        out.align();
    }
}
