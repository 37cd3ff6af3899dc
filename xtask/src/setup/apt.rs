//! Installing distribution packages with apt-get.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use super::distro::Distro;
use super::packages::Package;
use crate::shell::{capture, is_root, not_permitted, run, system_program, unavailable};

/// Packages that Debian's newer compiler takes the place of; anything else is not removed unasked.
const REPLACED: [&str; 4] = ["rustc", "cargo", "rustc-mozilla", "cargo-mozilla"];

/// Whether the package lists were brought up to date in this run.
static UPDATED: AtomicBool = AtomicBool::new(false);

/// Installs those packages that are not here, saying which.
pub(crate) fn ensure(wanted: &[Package]) -> Result<()> {
    let mut missing: Vec<&str> = wanted
        .iter()
        .filter(|p| !p.present())
        .map(|p| &*p.name)
        .collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    usable(&missing)?;
    install(&missing)?;
    if let Some(absent) = wanted.iter().find(|package| !package.present()) {
        return Err(unavailable(format!(
            "package {} was installed, but {} is not there",
            absent.name, absent.brings
        )));
    }
    Ok(())
}

/// Whether packages can be installed here at all; the error says what the person has to do.
pub(crate) fn usable(wanted: &[&str]) -> Result<()> {
    let distro = Distro::here();
    if !distro.is_debian() || system_program("apt-get").is_none() {
        return Err(unavailable(format!(
            "{} is not a distribution that setup knows, and these are missing (by their Debian names): {}.\n\
             hint: install them with your own package manager and run this again; instead of rustc-web, cargo-web \
             and libstd-rust-web-dev-bpf a nightly toolchain serves too: \
             `rustup toolchain install nightly --component rust-src`",
            distro.name,
            wanted.join(" "),
        )));
    }
    if !is_root() {
        return Err(not_permitted(format!(
            "packages are missing and only root can install them.\n\
             hint: run `sudo apt-get update && sudo apt-get install --no-install-recommends {}` and then this again",
            wanted.join(" ")
        )));
    }
    Ok(())
}

/// Brings the package lists up to date, once.
pub(crate) fn update() {
    if !UPDATED.swap(true, Ordering::Relaxed) {
        // A third party's repository that is down is no reason to stop: the installation says what is missing.
        if let Err(error) = run(apt_get().args(["update", "--quiet=2"])) {
            eprintln!("warning: {error:#}");
        }
    }
}

/// Whether apt has a version of that package to offer.
pub(crate) fn offers(package: &str) -> bool {
    capture(
        Command::new("apt-cache")
            .args(["policy", package])
            .env("LC_ALL", "C"),
    )
    .is_ok_and(|text| has_candidate(&text))
}

fn has_candidate(policy: &str) -> bool {
    policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Candidate:"))
        .any(|version| version.trim() != "(none)")
}

/// Installs packages as root, never removing any that is not [`REPLACED`].
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    update();
    println!("Installing packages: {}", packages.join(" "));
    let plan = capture(
        apt_get()
            .args(["install", "--simulate", "--no-install-recommends"])
            .args(packages),
    )
    .context("apt-get has no plan to install what is missing")?;
    let removed = removals(&plan);
    if let Some(other) = removed.iter().find(|name| !replaced(name)) {
        return Err(unavailable(format!(
            "installing {} would remove {} (first of: {}), which setup does not do unasked.\n\
             hint: remove it yourself if you can spare it, and run this again",
            packages.join(" "),
            other,
            removed.join(" "),
        )));
    }
    if !removed.is_empty() {
        println!("They take the place of: {}", removed.join(" "));
    }
    let had_nginx = system_program("nginx").is_some();
    run(apt_get()
        .args(["install", "--yes", "--quiet", "--no-install-recommends"])
        .args(packages))?;
    if !had_nginx && system_program("nginx").is_some() && Path::new("/run/systemd/system").exists()
    {
        println!(
            "Stopping the nginx service that Debian starts on installation; the tests run their own."
        );
        run(Command::new("systemctl").args(["disable", "--now", "nginx.service"]))?;
    }
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .args(["--option", "DPkg::Lock::Timeout=300"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .env_remove("LD_LIBRARY_PATH");
    command
}

/// Packages that a simulated run would remove.
fn removals(plan: &str) -> Vec<&str> {
    plan.lines()
        .filter_map(|line| line.strip_prefix("Remv ")?.split_whitespace().next())
        .collect()
}

fn replaced(name: &str) -> bool {
    REPLACED.contains(&name) || name.starts_with("libstd-rust-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_removes_is_recognised() {
        let plan = "Reading package lists...\nRemv cargo [0.66.0]\nRemv libstd-rust-dev [1.63.0]\nRemv rustup [1.26]\n\
                    Inst rustc-web (1.96.0 Debian-Security:12)\n";
        let removed = removals(plan);
        assert_eq!(removed, ["cargo", "libstd-rust-dev", "rustup"]);
        assert_eq!(
            removed
                .iter()
                .filter(|name| !replaced(name))
                .collect::<Vec<_>>(),
            [&"rustup"]
        );
    }

    #[test]
    fn a_package_without_candidate_is_not_offered() {
        assert!(!has_candidate(""));
        assert!(!has_candidate(
            "x:\n  Installed: (none)\n  Candidate: (none)\n"
        ));
        assert!(has_candidate(
            "x:\n  Installed: (none)\n  Candidate: 1.96.0\n"
        ));
    }
}
