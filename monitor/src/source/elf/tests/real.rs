//! Against real programs, with the tools of binutils and of Go as witnesses.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::super::{
    Arguments, Elf, Emulation, GoFunction, Machine, Name, Reader, Symbol, choose, go_function,
    symbols,
};
use super::PLENTY;

#[expect(clippy::print_stderr, reason = "a test that could not run says so")]
fn ignored(why: &str) {
    eprintln!("ignored: {why}");
}

/// What a program says, if it is there and succeeds.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}

/// The first of these files that is there.
fn library(name: &str) -> Option<String> {
    ["x86_64-linux-gnu", "aarch64-linux-gnu", ""]
        .map(|dir| format!("/usr/lib/{dir}/{name}"))
        .into_iter()
        .find(|path| Path::new(path).exists())
}

/// Functions as `nm` tells them: name to address.
fn nm(path: &str, dynamic: bool) -> Option<BTreeMap<String, u64>> {
    let what = if dynamic { "-D" } else { "-a" };
    let text = said("nm", &[what, "--defined-only", path])?;
    let functions = text.lines().filter_map(|line| {
        let (address, rest) = line.split_once(' ')?;
        let name = ["T ", "t ", "W "]
            .iter()
            .find_map(|kind| rest.strip_prefix(kind))?;
        let name = name.split('@').next()?.to_owned();
        Some((name, u64::from_str_radix(address, 16).ok()?))
    });
    Some(functions.collect())
}

/// Instructions as `objdump` tells them: address to text.
fn objdump(path: &str, range: Option<(u64, u64)>) -> Option<BTreeMap<u64, String>> {
    let mut arguments = vec!["-d".to_owned(), "--no-show-raw-insn".to_owned()];
    if let Some((start, stop)) = range {
        arguments.push(format!("--start-address={start:#x}"));
        arguments.push(format!("--stop-address={stop:#x}"));
    }
    arguments.push(path.to_owned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let text = said("objdump", &arguments)?;
    let lines = text.lines().filter_map(|line| {
        let (address, instruction) = line.split_once(":\t")?;
        let address = u64::from_str_radix(address.trim(), 16).ok()?;
        Some((address, instruction.trim().to_owned()))
    });
    Some(lines.collect())
}

fn address(elf: &Elf, offset: u64) -> u64 {
    let mut code = elf.segments.iter().filter(|s| s.executable);
    let segment = code
        .find(|s| (s.offset..s.offset + s.filesz).contains(&offset))
        .unwrap();
    segment.vaddr + (offset - segment.offset)
}

/// Whether an instruction's last operand is one of the registers of arguments.
fn loses_an_argument(instruction: &str) -> bool {
    const NAMES: &str = " rdi edi di dil rsi esi si sil rdx edx dx dl rcx ecx cx cl \
                         r8 r8d r8w r8b r9 r9d r9w r9b ";
    let reads = ["cmp", "test", "nop", "endbr64", "push"];
    if reads.iter().any(|read| instruction.starts_with(read)) {
        return false;
    }
    let operand = instruction.rsplit([',', ' ']).next().unwrap_or_default();
    operand
        .strip_prefix('%')
        .is_some_and(|name| NAMES.contains(&format!(" {name} ")))
}

/// Checks a choice against a disassembly: at an instruction's beginning, of a kind that is emulated,
/// with nothing before it that jumps, calls or overwrites an argument.
fn check(instructions: &BTreeMap<u64, String>, entry: u64, delta: u32, emulated: bool) {
    let point = entry + u64::from(delta);
    let there = &instructions[&point];
    let mnemonic = there.split(' ').next().unwrap();
    let is_emulated = mnemonic.starts_with('j') || mnemonic == "push" || mnemonic == "nop";
    assert!(!emulated || is_emulated, "{point:x}: {there}");
    for (at, before) in instructions.range(entry..point) {
        let leaves = ["j", "call", "ret", "bnd", "notrack"];
        let straight = !leaves.iter().any(|word| before.starts_with(word));
        assert!(straight, "{at:x}: {before}");
        assert!(!loses_an_argument(before), "{at:x}: {before}");
    }
}

#[test]
fn functions_of_the_libraries_are_where_nm_says() {
    let wanted = [
        ("libcrypto.so.3", &["EVP_KDF_derive"][..]),
        (
            "libssl.so.3",
            &["SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex"],
        ),
        (
            "libgnutls.so.30",
            &["_gnutls_prf_raw", "gnutls_hkdf_expand"],
        ),
        ("libc.so.6", &["connect", "getaddrinfo"]),
    ];
    for (file, functions) in wanted {
        let found = library(file).and_then(|path| Some((nm(&path, true)?, path)));
        let Some((known, path)) = found else {
            ignored(&format!("no {file}, or no nm"));
            continue;
        };
        let data = std::fs::read(&path).unwrap();
        let mut reader = Reader::new(&data, PLENTY);
        let elf = Elf::read(&mut reader).unwrap();
        assert_eq!(elf.soname(&mut reader).unwrap().as_deref(), Some(file));
        let names: Vec<Name> = functions.iter().map(|name| Name::Exact(name)).collect();
        let found = symbols(&elf, &mut reader, &names).unwrap();
        for (name, list) in functions.iter().zip(found) {
            let [symbol] = list[..] else {
                panic!("{name}: {list:?}")
            };
            let entry = address(&elf, symbol.offset);
            assert_eq!(entry, known[*name], "{name}");
            if elf.machine != Machine::X86_64 {
                continue;
            }
            let code = reader.code(symbol).unwrap();
            let point = choose(
                elf.machine,
                code,
                Arguments::Registers,
                Emulation::default(),
            );
            match objdump(&path, Some((entry, entry + 64))) {
                Some(instructions) => check(&instructions, entry, point.delta, point.emulated),
                None => ignored("no objdump"),
            }
        }
        assert!(reader.spent() < 512 * 1024, "{file}: {}", reader.spent());
    }
}

#[test]
fn every_choice_in_a_whole_library_agrees_with_its_disassembly() {
    let found = library("libssl.so.3")
        .and_then(|path| Some((nm(&path, true)?, objdump(&path, None)?, path)));
    let Some((functions, instructions, path)) = found else {
        return ignored("no libssl.so.3, or no binutils");
    };
    let data = std::fs::read(&path).unwrap();
    let mut reader = Reader::new(&data, PLENTY);
    let elf = Elf::read(&mut reader).unwrap();
    if elf.machine != Machine::X86_64 {
        return ignored("not x86-64");
    }
    let mut emulated = 0;
    for (name, entry) in &functions {
        let (offset, size) = elf.code_at(*entry).unwrap();
        let code = reader.code(Symbol { offset, size }).unwrap();
        for new in [false, true] {
            let emulation = Emulation { long_nops: new };
            let point = choose(elf.machine, code, Arguments::Registers, emulation);
            check(&instructions, *entry, point.delta, point.emulated);
            emulated += usize::from(point.emulated && !new);
        }
        assert!(!name.is_empty());
    }
    // The others only load or store something and return. If it were fewer, the walk gave up early.
    assert!(
        emulated * 5 > functions.len() * 2,
        "{emulated} of {}",
        functions.len()
    );
}

const PROGRAM: &str = r#"package main

import (
	"crypto/tls"
	"os"
)

func main() {
	if len(os.Args) > 1 {
		tls.Dial("tcp", os.Args[1], nil)
	}
}
"#;
const FUNCTION: &str = "crypto/tls.(*Config).writeKeyLog";

fn build(dir: &Path, name: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("go")
        .current_dir(dir)
        .arg("build")
        .args(arguments)
        .args(["-o", name, "main.go"])
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .env("GOPROXY", "off")
        .env("GO111MODULE", "off")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    std::fs::read(dir.join(name)).unwrap()
}

/// Bytes from the function's entry, and the offset of the function.
fn go_entry(data: &[u8]) -> Symbol {
    let mut reader = Reader::new(&data, PLENTY);
    let elf = Elf::read(&mut reader).unwrap();
    let found = go_function(&elf, &mut reader, FUNCTION, "crypto/tls.(*Conn).");
    match found.unwrap() {
        Some(GoFunction::At(symbol)) => symbol,
        other => panic!("{other:?}"),
    }
}

#[test]
fn go_programs_stripped_or_not() {
    if said("go", &["version"]).is_none() {
        return ignored("no go");
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("main.go"), PROGRAM).unwrap();
    let plain = build(dir.path(), "plain", &[]);
    let path = dir.path().join("plain");
    let symbol = go_entry(&plain);
    let mut reader = Reader::new(&plain, PLENTY);
    let elf = Elf::read(&mut reader).unwrap();
    let path = path.to_str().unwrap();
    match nm(path, false) {
        Some(known) => assert_eq!(address(&elf, symbol.offset), known[FUNCTION]),
        None => ignored("no nm"),
    }
    let by_name = symbols(&elf, &mut reader, &[Name::Exact(FUNCTION)]).unwrap();
    assert_eq!(by_name[0][0].offset, symbol.offset);

    // Stripping moves nothing in the code; a file for anywhere has the same function elsewhere.
    let stripped = build(dir.path(), "stripped", &["-ldflags", "-s -w"]);
    assert_eq!(go_entry(&stripped), symbol);
    let pie = ["-buildmode=pie", "-ldflags", "-s -w"];
    let pie = build(dir.path(), "pie", &pie);
    let anywhere = go_entry(&pie);
    assert_eq!(anywhere.size, symbol.size);
    let code = |data: &[u8], at: u64| data[at as usize..at as usize + 9].to_vec();
    assert_eq!(code(&pie, anywhere.offset), code(&plain, symbol.offset));
}
