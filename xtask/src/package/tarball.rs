//! A tarball with a static program, for systems without packages of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use super::{epoch, folder, pages, stage, version};
use crate::build;
use crate::project::Project;
use crate::setup;
use crate::shell::{run, unavailable};

const TARGET: &str = "x86_64-unknown-linux-musl";

#[derive(Debug, Args)]
pub(crate) struct TarballOptions {
    /// Use this program, instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Makes target/package/bailiwick-VERSION-x86_64-linux.tar.gz; → its path.
pub(crate) fn make(project: &Project, options: &TarballOptions) -> Result<PathBuf> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(unavailable(
            "the tarball's program is for x86_64, and so are the kernel programs that this machine would build \
             into it only there",
        ));
    }
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => build(project)?,
    };
    let epoch = epoch(project)?;
    let name = format!("bailiwick-{}-x86_64-linux", version(project)?);
    let dir = folder(project);
    let staging = dir.join("tarball");
    if staging.exists() {
        fs::remove_dir_all(&staging)?;
    }
    let root = staging.join(&name);
    stage(&binary, &root.join("bailiwick"))?;
    run(Command::new("strip").arg(root.join("bailiwick")))?;
    let made = dir.join("pages");
    pages::write(&made, project, &binary, epoch)?;
    copy_all(&made.join("man"), &root.join("man"))?;
    let completions = root.join("completions");
    fs::create_dir_all(&completions)?;
    for file in ["bailiwick.bash", "_bailiwick", "bailiwick.fish"] {
        fs::copy(made.join(file), completions.join(file))?;
    }
    for folder in ["config", "config/policy.d", "systemd"] {
        copy_all(&project.root.join(folder), &root.join(folder))?;
    }
    for file in [
        "README.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "LICENSE-GPL-2.0",
    ] {
        fs::copy(project.root.join(file), root.join(file))?;
    }
    let archive = dir.join(format!("{name}.tar"));
    run(Command::new("tar")
        .arg("--directory")
        .arg(&staging)
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
        .args(["--mode=u=rwX,go=rX", "--format=gnu"])
        .arg(format!("--mtime=@{epoch}"))
        .arg("--create")
        .arg("--file")
        .arg(&archive)
        .arg(&name))?;
    run(Command::new("gzip")
        .args(["--no-name", "--best", "--force"])
        .arg(&archive))?;
    let packed = dir.join(format!("{name}.tar.gz"));
    println!(
        "{} ({} KiB)",
        project.relative(&packed).display(),
        fs::metadata(&packed)?.len() >> 10
    );
    Ok(packed)
}

fn build(project: &Project) -> Result<PathBuf> {
    setup::packaging(project)?;
    setup::target(TARGET)?;
    let toolchain = setup::ensure(project, setup::Purpose::Build)?;
    build::ebpf(project, &toolchain)?;
    run(project
        .cargo()
        .args([
            "build",
            "--release",
            "--package",
            "bailiwick",
            "--target",
            TARGET,
        ])
        // The few C files of ring, against musl's headers.
        .env("CC_x86_64_unknown_linux_musl", "musl-gcc"))?;
    Ok(project.target().join(TARGET).join("release/bailiwick"))
}

/// Copies the files of a folder, not its folders.
fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
