//! The compiler for the kernel programs.
//!
//! Stable rustup toolchains have no `core` for the eBPF target. Debian's `rustc-web` has one prebuilt
//! (`libstd-rust-web-dev-bpf`); a nightly with rust-src can build it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::packages::{self, Package};
use super::{apt, version};
use crate::shell::{capture, program, run, unavailable};

/// The target of the kernel programs.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// LLVM versions that the bpf-linker release which setup installs can be built with.
const LLVM: std::ops::RangeInclusive<u32> = 21..=23;

/// Packages with a prebuilt `core`: those Debian keeps new for browsers, then the plain ones.
const FAMILIES: [[&str; 3]; 2] = [
    ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"],
    ["rustc", "cargo", "libstd-rust-dev-bpf"],
];

/// Oldest compiler for the kernel programs: edition 2024 and the workspace's `rust-version`.
const OLDEST: (u32, u32) = super::HOST_RUST;

/// A compiler that can build the kernel programs.
#[derive(Debug)]
pub(crate) struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    /// Whether `core` has to be built (nightly) or lies there (Debian).
    build_core: bool,
    /// Major version of its LLVM, whose bitcode the linker has to read.
    pub(crate) llvm: u32,
    version: String,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}, LLVM {})",
            self.rustc.display(),
            self.version,
            self.llvm
        )
    }
}

/// Makes sure that the host's compiler has the standard library of another target.
pub(crate) fn target(name: &str) -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let library =
        capture(Command::new(rustc).args(["--print", "target-libdir", "--target", name]))?;
    if Path::new(library.trim()).is_dir() {
        return Ok(());
    }
    if program("rustup").is_none() {
        return Err(unavailable(format!(
            "this toolchain has no standard library for {name} ({} is not there), and there is no rustup to add it with",
            library.trim()
        )));
    }
    println!("Installing the standard library for {name}");
    run(Command::new("rustup").args(["target", "add", name]))
}

/// The compiler that is installed, if any.
pub(crate) fn find() -> Result<Option<Toolchain>> {
    if let Some(debian) = debian() {
        return Toolchain::read("/usr/bin/cargo".into(), debian, false).map(Some);
    }
    nightly()
}

/// Installs Debian's compiler.
pub(crate) fn install() -> Result<Toolchain> {
    apt::usable(&FAMILIES[0])?;
    apt::update();
    let family = FAMILIES
        .iter()
        .find(|family| family.iter().all(|name| apt::offers(name)));
    let family = family.ok_or_else(|| {
        unavailable(format!(
            "this distribution's package lists have none of {}, which carry a Rust `core` for {TARGET}.\n\
             hint: `rustup toolchain install nightly --component rust-src` serves too; on Debian 12 the \
             packages come from bookworm-security",
            FAMILIES.map(|family| family[2]).join(" or ")
        ))
    })?;
    apt::install(family)?;
    find()?.ok_or_else(|| {
        unavailable(format!(
            "{} are installed, but /usr/bin/rustc is older than {}.{} or has no `core` for {TARGET}.\n\
             hint: `rustup toolchain install nightly --component rust-src` serves too",
            family.join(", "),
            OLDEST.0,
            OLDEST.1
        ))
    })
}

/// Debian's rustc, when it is new enough and has a `core` for the target.
fn debian() -> Option<PathBuf> {
    let rustc = Path::new("/usr/bin/rustc");
    let core = Path::new("/usr/lib/rustlib").join(TARGET).join("lib");
    let has_core = core.read_dir().ok()?.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libcore-") && name.ends_with(".rlib")
    });
    let text = capture(clean(Command::new(rustc)).arg("--version")).ok()?;
    let usable =
        has_core && version(&text) >= Some(OLDEST) && Path::new("/usr/bin/cargo").is_file();
    usable.then(|| rustc.to_owned())
}

/// A rustup nightly with the library's sources.
fn nightly() -> Result<Option<Toolchain>> {
    if program("rustup").is_none() {
        return Ok(None);
    }
    let which = |name: &str| {
        capture(clean(Command::new("rustup")).args(["which", "--toolchain", "nightly", name]))
            .map(|path| PathBuf::from(path.trim()))
    };
    let (Ok(cargo), Ok(rustc)) = (which("cargo"), which("rustc")) else {
        return Ok(None);
    };
    let sysroot = capture(clean(Command::new(&rustc)).args(["--print", "sysroot"]))?;
    if !Path::new(sysroot.trim())
        .join("lib/rustlib/src/rust/library/core/Cargo.toml")
        .is_file()
    {
        eprintln!(
            "note: the nightly toolchain has no rust-src component and cannot build the kernel programs \
             (`rustup component add --toolchain nightly rust-src`)"
        );
        return Ok(None);
    }
    Toolchain::read(cargo, rustc, true).map(Some)
}

impl Toolchain {
    fn read(cargo: PathBuf, rustc: PathBuf, build_core: bool) -> Result<Self> {
        let text = capture(clean(Command::new(&rustc)).arg("-vV"))?;
        let llvm = llvm_major(&text)
            .with_context(|| format!("`{} -vV` names no LLVM version", rustc.display()))?;
        if !LLVM.contains(&llvm) {
            return Err(unavailable(format!(
                "{} writes LLVM {llvm} bitcode, and the linker for kernel programs reads {} to {}",
                rustc.display(),
                LLVM.start(),
                LLVM.end()
            )));
        }
        let version = text.lines().next().unwrap_or_default().to_owned();
        Ok(Self {
            cargo,
            rustc,
            build_core,
            llvm,
            version,
        })
    }

    /// What building the linker for it takes.
    pub(crate) fn packages(&self) -> Vec<Package> {
        packages::LINKER
            .into_iter()
            .chain([packages::llvm(self.llvm)])
            .collect()
    }

    /// Its cargo with exactly its rustc: a rustup rustc earlier in PATH would be found otherwise.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        clean(&mut command);
        command.env("RUSTC", &self.rustc);
        command
    }

    /// A program of the LLVM that the linker was built with.
    pub(crate) fn llvm_program(&self, name: &str) -> PathBuf {
        packages::llvm_prefix(self.llvm).join("bin").join(name)
    }

    /// What a build for the eBPF target takes beside the linker.
    pub(crate) fn target_args(&self) -> Vec<&'static str> {
        let mut args = vec!["--target", TARGET];
        if self.build_core {
            args.extend(["-Z", "build-std=core"]);
        }
        args
    }
}

/// Takes away what the cargo that started this program set for its own toolchain, and flags meant for the host.
fn clean<C: std::borrow::BorrowMut<Command>>(mut command: C) -> C {
    const PREFIXES: [&str; 6] = [
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "CARGO_BUILD_",
        "CARGO_TARGET_",
        "CARGO_PROFILE_",
    ];
    const NAMES: [&str; 5] = [
        "LD_LIBRARY_PATH",
        "RUSTUP_TOOLCHAIN",
        "CARGO",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_MANIFEST_DIR",
    ];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if NAMES.contains(&&*text) || PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            command.borrow_mut().env_remove(&name);
        }
    }
    command
}

fn llvm_major(verbose_version: &str) -> Option<u32> {
    let version = verbose_version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_version_decides_about_the_linker() {
        let text = "rustc 1.96.0 (ac68faa20 2026-05-25)\nbinary: rustc\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(llvm_major(text), Some(22));
        assert_eq!(llvm_major("rustc 1.96.0\n"), None);
    }
}
