//! `cargo xtask systemd`: the package in a machine whose process 1 is systemd, from `dpkg -i` to `dpkg -P`.
//!
//! The machine is a Debian of its own on a disk, with a stock kernel, in QEMU without KVM: nothing of this host is in
//! it but the packages and the program with the checks (this one).

mod guest;
mod page;
mod root;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::Args;
use serde_json::Value;

use super::debian::Debian;
use super::image;
use super::machine::{Machine, Root};
use super::record::End;
use crate::package::{self, DebOptions};
use crate::project::Project;
use crate::shell::{is_root, not_permitted};

pub(crate) use guest::run as guest;

/// The stock kernel of the Debian that `root` makes.
const SERIES: &str = "6.12";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Package this program, instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Most minutes.
    #[arg(long, default_value_t = 40)]
    minutes: u64,
    /// Most minutes without a word.
    #[arg(long, default_value_t = 6)]
    silence: u64,
}

/// How one thing that is promised was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    name: String,
    ok: bool,
    detail: String,
}

/// Makes two revisions of the package, tries them in the machine and writes docs/systemd.md.
pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    if !is_root() {
        return Err(not_permitted(
            "only root can make the machine's file system with the right owners.\nhint: run it with sudo",
        ));
    }
    let dir = project.target().join("vm");
    fs::create_dir_all(&dir)?;
    let deb = |revision: &str, binary: Option<PathBuf>| {
        let options = DebOptions {
            binary,
            revision: revision.to_owned(),
            twice: false,
        };
        package::deb(project, &options)
    };
    let first = deb("1", options.binary.clone())?;
    // The same program: what an upgrade keeps does not depend on what changed.
    let built = package::folder(project).join("cargo/release/bailiwick");
    let again = dir.join("bailiwick-again");
    fs::copy(built, &again)?;
    let second = deb("2", Some(again))?;
    let debian = Debian::prepare(&dir)?;
    let kernel = debian.kernel(SERIES)?;
    let disks = [
        root::system(&dir, &kernel)?,
        root::packages(&dir, &[first, second])?,
    ];
    let image = image::write(&dir, &debian, &kernel, &image::DISKS)?;
    println!("Linux {}", kernel.release);
    let machine = Machine {
        debian: &debian,
        kernel: &kernel,
        image: &image,
        root: Root::Disks(&disks),
        most: Duration::from_secs(options.minutes * 60),
        silence: Duration::from_secs(options.silence * 60),
    };
    let mut checks = Vec::new();
    let mut about = String::new();
    let end = machine.boot(&dir, &mut |line| {
        if let Some(check) = read(line) {
            let word = if check.ok { "ok" } else { "FAILED" };
            println!("  {} {word}: {}", check.name, check.detail);
            checks.push(check);
        } else if let Some(text) = line.strip_prefix("about: ") {
            text.clone_into(&mut about);
        } else {
            // What else it says is for whoever looks for a cause.
            eprintln!("  | {line}");
        }
    })?;
    if let End::Broken(why) = end {
        bail!("{why}");
    }
    ensure!(!checks.is_empty(), "the machine checked nothing");
    page::write(project, &about, &kernel.release, &checks)?;
    let failed: Vec<&str> = checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| check.name.as_str())
        .collect();
    ensure!(failed.is_empty(), "not as promised: {}", failed.join("; "));
    Ok(())
}

/// A check's line, as the machine writes it.
fn read(line: &str) -> Option<Check> {
    let value: Value = serde_json::from_str(line).ok()?;
    Some(Check {
        name: value["check"].as_str()?.to_owned(),
        ok: value["ok"].as_bool()?,
        detail: value["detail"].as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checks_are_read_as_such() {
        let check = read(r#"{"check":"starts","ok":false,"detail":"no"}"#).unwrap();
        assert!(!check.ok && check.name == "starts" && check.detail == "no");
        assert_eq!(read("about: x"), None);
        assert_eq!(read(r#"{"check":"starts"}"#), None);
    }
}
