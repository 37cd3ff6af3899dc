//! What people install: a Debian package, and a tarball for everything else.
//!
//! Both are the same bytes whenever they are made from the same program and commit: all times are the commit's
//! (`SOURCE_DATE_EPOCH` replaces them), all orders are by name.

mod changelog;
mod man;
mod pages;
mod tarball;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

pub(crate) use tarball::{TarballOptions, make as tarball};

use crate::build;
use crate::project::Project;
use crate::setup;
use crate::shell::{capture, run};

#[derive(Debug, Args)]
pub(crate) struct DebOptions {
    /// Package this program, instead of building one.
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
    /// Revision of the package, after the program's version.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) revision: String,
    /// Make it a second time, from the same program, and compare.
    #[arg(long)]
    pub(crate) twice: bool,
}

/// Makes target/package/bailiwick_VERSION-REVISION_ARCH.deb; → its path.
pub(crate) fn deb(project: &Project, options: &DebOptions) -> Result<PathBuf> {
    setup::packaging(project)?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => {
            build::all(project)?;
            project.binary()
        }
    };
    let epoch = epoch(project)?;
    let package = once(project, &binary, &options.revision, epoch)?;
    if options.twice {
        let first = fs::read(&package)?;
        let again = once(project, &binary, &options.revision, epoch)?;
        ensure!(
            first == fs::read(&again)?,
            "two packages from the same program differ: compare them with diffoscope"
        );
        println!("Made twice, byte for byte the same");
    }
    let size = fs::metadata(&package)?.len();
    println!(
        "{} ({} KiB)",
        project.relative(&package).display(),
        size >> 10
    );
    Ok(package)
}

fn once(project: &Project, binary: &Path, revision: &str, epoch: u64) -> Result<PathBuf> {
    let dir = folder(project);
    // cargo-deb takes the program from a target directory's `release`; one of our own has no other build's in it.
    let cargo_dir = dir.join("cargo");
    let staged = cargo_dir.join("release/bailiwick");
    stage(binary, &staged)?;
    pages::write(&dir.join("pages"), project, &staged, epoch)?;
    let out = dir.join("out");
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    fs::create_dir_all(&out)?;
    changelog::write(project, &dir.join("pages/changelog"), revision, epoch)?;
    let mut cargo = project.cargo();
    // Paths in the package's metadata count from its own folder, not all of them whatever the current one is.
    cargo.current_dir(project.root.join("monitor"));
    run(cargo
        .args(["deb", "--no-build", "--package", "bailiwick", "--strip"])
        .args([
            "--no-dbgsym",
            "--quiet",
            "--deb-revision",
            revision,
            "--output",
        ])
        .arg(&out)
        .env("CARGO_TARGET_DIR", &cargo_dir)
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        .env("PATH", setup::path_with_tools(project)))?;
    let made = fs::read_dir(&out)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .context("cargo-deb made no package")?;
    let package = dir.join(made.file_name().context("a package without a name")?);
    fs::rename(&made, &package)?;
    Ok(package)
}

/// Where packages and what goes into them lie.
pub(crate) fn folder(project: &Project) -> PathBuf {
    project.target().join("package")
}

fn stage(binary: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("no directory")?)?;
    fs::copy(binary, to)
        .map(drop)
        .with_context(|| format!("cannot copy {}", binary.display()))
}

/// Seconds since 1970 that stand for every time in a package: SOURCE_DATE_EPOCH, or the commit's.
pub(crate) fn epoch(project: &Project) -> Result<u64> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => capture(Command::new("git").current_dir(&project.root).args([
            "log",
            "-1",
            "--format=%ct",
        ]))
        .context("no commit to take the time from: set SOURCE_DATE_EPOCH")?,
    };
    text.trim()
        .parse()
        .with_context(|| format!("`{}` is no number of seconds", text.trim()))
}

/// The workspace's version.
pub(crate) fn version(project: &Project) -> Result<String> {
    let path = project.root.join("Cargo.toml");
    let text = fs::read_to_string(&path)?;
    text.lines()
        .find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        .map(str::to_owned)
        .with_context(|| format!("no version in {}", path.display()))
}

/// A time as date(1) writes it.
fn date(epoch: u64, form: &[&str]) -> Result<String> {
    let text = capture(
        Command::new("date")
            .env("LC_ALL", "C")
            .arg("--utc")
            .arg(format!("--date=@{epoch}"))
            .args(form),
    )?;
    Ok(text.trim().to_owned())
}
