//! Building both sides.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::object;
use crate::project::Project;
use crate::setup::{self, Purpose, Toolchain};
use crate::shell::run;

/// Setup, the kernel programs, then the release binary.
pub(crate) fn all(project: &Project) -> Result<Toolchain> {
    let toolchain = setup::ensure(project, Purpose::Build)?;
    ebpf(project, &toolchain)?;
    binary(project)?;
    Ok(toolchain)
}

/// The release binary, with the kernel programs inside.
pub(crate) fn binary(project: &Project) -> Result<()> {
    run(project
        .cargo()
        .args(["build", "--release", "--package", "bailiwick"]))
}

/// The kernel programs → target/bpf/bailiwick.o.
pub(crate) fn ebpf(project: &Project, toolchain: &Toolchain) -> Result<()> {
    // Read before the build: a file saved meanwhile makes the object stale, not the mark wrong.
    let mark = object::mark(&project.ebpf_sources()).context("cannot read monitor-ebpf/")?;
    let mut cargo = cargo_ebpf(project, toolchain, "build", &[]);
    run(cargo.arg("--release"))?;

    let linked = project
        .target()
        .join("ebpf/bpfel-unknown-none/release/monitor-ebpf");
    let built = linked.with_extension("stripped.o");
    // BTF stays; DWARF would put ten times the size, and this machine's paths, into the binary.
    run(Command::new(toolchain.llvm_program("llvm-objcopy"))
        .arg("--strip-debug")
        .args([&linked, &built]))?;
    let bytes = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    ensure!(
        bytes.starts_with(b"\x7fELF"),
        "{} is not an ELF object",
        built.display()
    );
    let object = project.object();
    fs::create_dir_all(object.parent().context("the object has no directory")?)?;
    write_if_changed(&object, &bytes)?;
    write_if_changed(&object::mark_path(&object), mark.as_bytes())
}

/// Compiles the kernel programs with warnings as errors, without keeping anything.
pub(crate) fn check_ebpf(project: &Project, toolchain: &Toolchain) -> Result<()> {
    let mut cargo = cargo_ebpf(project, toolchain, "check", &["-Dwarnings"]);
    // As the build: the macros it runs are then built once.
    run(cargo.arg("--release"))
}

fn cargo_ebpf(project: &Project, toolchain: &Toolchain, command: &str, flags: &[&str]) -> Command {
    let linker = setup::linker_path(project, toolchain);
    let linker = format!("-Clinker={}", linker.display());
    // BTF names source lines; the same sources are to make the same object in any directory.
    let remap = format!("--remap-path-prefix={}=.", project.root.display());
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
        .unwrap_or_default();
    let remap_home = format!(
        "--remap-path-prefix={}=cargo",
        home.join("registry/src").display()
    );
    // Which registers carry a function's arguments; aya-ebpf goes by the same name.
    let arch = format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH);
    // Debug information is where the linker takes the BTF from that map definitions and programs need.
    let mut rustflags = vec![
        "-Cdebuginfo=2",
        &linker,
        "-Clink-arg=--btf",
        &remap,
        &remap_home,
        &arch,
        "--check-cfg=cfg(bpf_target_arch,values(any()))",
    ];
    rustflags.extend(flags);
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(project.ebpf_sources())
        .args([
            command,
            "--package",
            "monitor-ebpf",
            "--bin",
            "monitor-ebpf",
        ])
        .args(["--features", "programs", "--target-dir"])
        .arg(project.target().join("ebpf"))
        .args(toolchain.target_args())
        // The eBPF target's flags are unstable; the compiler itself is a stable one.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags.join("\u{1f}"))
        // The workspace's release profile is the host's: the kernel's verifier wants one unit, fully
        // optimised, and a target that cannot unwind.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "2")
        .env("CARGO_PROFILE_RELEASE_LTO", "false")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort");
    cargo
}

/// Leaves an unchanged file alone, so that nothing is rebuilt for its new date.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).ok().as_deref() == Some(bytes) {
        return Ok(());
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
