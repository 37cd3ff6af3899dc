//! Programs from the crates.io registry, built into target/tools.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Toolchain, packages};
use crate::project::Project;
use crate::shell::{capture, program, run, unavailable};

/// A program that `cargo install` brings.
#[derive(Debug)]
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
}

/// Licences, sources and duplicates of dependencies.
pub(crate) const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};
/// Makes Debian packages.
pub(crate) const CARGO_DEB: Tool = Tool {
    name: "cargo-deb",
    version: "3.8.0",
};
/// Runs fuzz targets.
pub(crate) const CARGO_FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    version: "0.13.2",
};
const BPF_LINKER: Tool = Tool {
    name: "bpf-linker",
    version: "0.13.0",
};

/// Where the linker for a toolchain's bitcode lies.
fn linker_root(project: &Project, toolchain: &Toolchain) -> PathBuf {
    project.tools().join(format!("llvm-{}", toolchain.llvm))
}

/// The linker for a toolchain's bitcode.
pub(crate) fn linker_path(project: &Project, toolchain: &Toolchain) -> PathBuf {
    linker_root(project, toolchain)
        .join("bin")
        .join(BPF_LINKER.name)
}

/// Builds the linker against the LLVM of the toolchain, unless it is there.
pub(crate) fn bpf_linker(project: &Project, toolchain: &Toolchain) -> Result<()> {
    if BPF_LINKER.is_at(&linker_path(project, toolchain)) {
        return Ok(());
    }
    let llvm = toolchain.llvm;
    println!(
        "Installing {} {} for LLVM {llvm} into target/tools",
        BPF_LINKER.name, BPF_LINKER.version
    );
    let prefix = packages::llvm_prefix(llvm);
    let mut install = toolchain.cargo();
    BPF_LINKER.install_args(&mut install, &linker_root(project, toolchain));
    install
        .args([
            "--no-default-features",
            "--features",
            &format!("llvm-{llvm}"),
        ])
        // Its build script looks in both places; without them it finds another LLVM or none.
        .env("LLVM_PREFIX", &prefix)
        .env("PATH", path_before(&prefix.join("bin")))
        // The work is LLVM's; the rest need not be fast, but soon there.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off");
    run(install.current_dir(&project.root))
}

/// Builds a tool, unless that version is in PATH or was built before.
pub(crate) fn ensure(project: &Project, tool: &Tool) -> Result<()> {
    let installed = project.tools().join("bin").join(tool.name);
    if tool.is_at(&installed) || program(tool.name).is_some_and(|path| tool.is_at(&path)) {
        return Ok(());
    }
    println!(
        "Installing {} {} into target/tools",
        tool.name, tool.version
    );
    let mut install = project.cargo();
    install.env_remove("CARGO_TARGET_DIR");
    tool.install_args(&mut install, &project.tools());
    run(&mut install)
}

/// rustfmt and clippy, which minimal toolchains lack.
pub(crate) fn components(project: &Project) -> Result<()> {
    let missing: Vec<&str> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(command, _)| capture(project.cargo().args([command, "--version"])).is_err())
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if program("rustup").is_none() {
        return Err(unavailable(format!(
            "this toolchain has no {}, and there is no rustup to add it with",
            missing.join(" and no ")
        )));
    }
    println!("Installing toolchain components: {}", missing.join(" "));
    run(Command::new("rustup")
        .args(["component", "add"])
        .args(&missing))
    .context("the format and lint checks need them")
}

/// PATH with this checkout's tools first.
pub(crate) fn path_with_tools(project: &Project) -> OsString {
    path_before(&project.tools().join("bin"))
}

fn path_before(dir: &Path) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::iter::once(dir.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(dirs).unwrap_or(path)
}

impl Tool {
    /// Whether that program is this tool at this version, and runs.
    fn is_at(&self, path: &Path) -> bool {
        path.is_file()
            && capture(Command::new(path).arg("--version"))
                .is_ok_and(|text| text.split_whitespace().any(|word| word == self.version))
    }

    fn install_args(&self, cargo: &mut Command, root: &Path) {
        cargo
            .args([
                "install",
                self.name,
                "--version",
                self.version,
                "--locked",
                "--force",
                "--root",
            ])
            .arg(root);
    }
}
