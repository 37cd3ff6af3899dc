//! Installing what is missing.
//!
//! Distribution packages need root and are said before they are installed; everything else is built
//! into target/tools, so that nothing of the user's own is replaced.

mod apt;
mod axe;
mod distro;
mod packages;
mod toolchain;
mod tools;

use std::process::Command;

use anyhow::Result;

pub(crate) use toolchain::{Toolchain, target};
pub(crate) use tools::{linker_path, path_with_tools};

use crate::project::Project;
use crate::shell::{capture, unavailable};
use packages::Package;

/// Oldest Rust for the host side; `rust-version` in Cargo.toml.
const HOST_RUST: (u32, u32) = (1, 90);

/// What a machine is prepared for. Each includes `Build`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Purpose {
    /// Building both sides.
    Build,
    /// The tests: real clients and servers.
    Test,
    /// Fuzzing.
    Fuzz,
    /// Measuring.
    Bench,
    /// Everything that `cargo xtask ci` runs.
    Ci,
}

/// Installs what is missing for a purpose. Quick when nothing is.
pub(crate) fn ensure(project: &Project, purpose: Purpose) -> Result<Toolchain> {
    check_host()?;
    let toolchain = match toolchain::find()? {
        Some(toolchain) => toolchain,
        None => toolchain::install()?,
    };
    let mut wanted: Vec<Package> = toolchain.packages();
    if matches!(purpose, Purpose::Test | Purpose::Ci) {
        wanted.extend(packages::TESTS);
    }
    if matches!(purpose, Purpose::Bench | Purpose::Ci) {
        wanted.extend(packages::BENCH);
    }
    if matches!(purpose, Purpose::Fuzz | Purpose::Ci) {
        wanted.extend(packages::FUZZ);
    }
    apt::ensure(&wanted)?;
    tools::bpf_linker(project, &toolchain)?;
    if matches!(purpose, Purpose::Test | Purpose::Ci) {
        axe::ensure(project)?;
    }
    if matches!(purpose, Purpose::Fuzz | Purpose::Ci) {
        tools::ensure(project, &tools::CARGO_FUZZ)?;
    }
    if purpose == Purpose::Ci {
        tools::components(project)?;
        tools::ensure(project, &tools::CARGO_DENY)?;
    }
    Ok(toolchain)
}

/// Installs what making packages needs beside building.
pub(crate) fn packaging(project: &Project) -> Result<()> {
    apt::ensure(&packages::PACKAGING)?;
    tools::ensure(project, &tools::CARGO_DEB)
}

/// Installs what making a small Debian needs.
pub(crate) fn bootstrapping() -> Result<()> {
    apt::ensure(&packages::BOOTSTRAP)
}

/// The host side is built by whichever cargo the user called; it must be new enough.
fn check_host() -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let text = capture(Command::new(&rustc).arg("--version"))?;
    match version(&text) {
        Some(found) if found >= HOST_RUST => Ok(()),
        _ => Err(unavailable(format!(
            "Rust {}.{} or newer is needed for the host side, and `{} --version` says `{}`.\n\
             hint: install stable Rust with rustup (https://rustup.rs); Debian 12's own rustc package is 1.63",
            HOST_RUST.0,
            HOST_RUST.1,
            rustc.to_string_lossy(),
            text.trim(),
        ))),
    }
}

/// `(major, minor)` of the first version number in a `--version` line.
fn version(text: &str) -> Option<(u32, u32)> {
    let number = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut parts = number.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_compilers_print_them() {
        assert_eq!(
            version("rustc 1.95.0 (59807616e 2026-04-14)"),
            Some((1, 95))
        );
        assert_eq!(version("rustc 1.63.0"), Some((1, 63)));
        assert_eq!(
            version("rustc 1.98.0-nightly (abc 2026-11-01)"),
            Some((1, 98))
        );
        assert_eq!(version("no version"), None);
        assert!(version("rustc 1.100.0") > Some((1, 90)));
    }
}
