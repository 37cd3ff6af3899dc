//! What must hold before anything lands.

mod tidy;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::project::Project;
use crate::setup::{self, Purpose, path_with_tools};
use crate::shell::{is_root, is_unavailable, run as sh};
use crate::{build, fuzz, test, vm};

/// Runs every check, goes on after a failure so that one run shows them all, and ends with a table.
pub(crate) fn run(project: &Project, fuzz_seconds: u32) -> Result<()> {
    let mut report = Report::default();
    // Without these two nothing else means anything.
    let Some(toolchain) = report.step("setup", || setup::ensure(project, Purpose::Ci)) else {
        return report.close();
    };
    report.step("tidy", || tidy::check(&project.root));
    report.step("format", || {
        sh(project.cargo().args(["fmt", "--all", "--check"]))?;
        sh(project
            .cargo()
            .args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
    });
    report.step("dependencies", || deny(project));
    report.step("kernel lints", || build::check_ebpf(project, &toolchain));
    if report
        .step("kernel build", || build::ebpf(project, &toolchain))
        .is_none()
    {
        return report.close();
    }
    report.step("lints", || {
        let mut cargo = project.cargo();
        sh(cargo
            .args(["clippy", "--workspace", "--all-targets", "--locked"])
            .args(["--", "-D", "warnings"]))
    });
    report.step("unit tests", || test::unit(project, None));
    if report.step("build", || build::binary(project)).is_some() {
        report.step("end-to-end tests", || test::e2e(project, None));
    }
    report.step("older kernels", || older_kernels(project));
    report.step("fuzz", || fuzz::run_targets(project, None, fuzz_seconds));
    report.close()
}

/// All programs load where they did. As of the end-to-end tests, who is not root is told that it was left out.
fn older_kernels(project: &Project) -> Result<()> {
    if !is_root() && std::env::var("CI").as_deref() != Ok("true") {
        println!("Left out: only root can boot the older kernels (`cargo xtask vm --programs`).");
        return Ok(());
    }
    // Nobody's commit is wrong because a mirror cannot be reached, or for where the checkout lies.
    match vm::run(project, &vm::Options::loads()) {
        Err(error) if is_unavailable(&error) => {
            println!("Left out: {error:#}");
            Ok(())
        }
        result => result,
    }
}

/// Licences, sources, bans. Not the advisories: their database is a git repository, which an
/// isolated machine cannot reach and which would make yesterday's commit fail today.
fn deny(project: &Project) -> Result<()> {
    println!(
        "Advisories are not part of this: run `cargo deny check advisories` where the database can be fetched."
    );
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let mut cargo = project.cargo();
        cargo.env("PATH", path_with_tools(project));
        sh(cargo
            .args([
                "deny",
                "--log-level",
                "error",
                "--manifest-path",
                manifest,
                "--config",
            ])
            .arg(project.root.join("deny.toml"))
            .args(["check", "bans", "licenses", "sources"]))?;
    }
    Ok(())
}

/// What each step took and said.
#[derive(Debug, Default)]
struct Report(Vec<(&'static str, Duration, Option<String>)>);

impl Report {
    fn step<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        eprintln!("\n=== {name}");
        let begin = Instant::now();
        let result = work();
        let error = result.as_ref().err().map(|error| format!("{error:#}"));
        if let Some(error) = &error {
            eprintln!("=== {name} FAILED: {error}");
        }
        self.0.push((name, begin.elapsed(), error));
        result.ok()
    }

    fn close(self) -> Result<()> {
        println!();
        for (name, took, error) in &self.0 {
            let verdict = if error.is_some() { "FAILED" } else { "ok" };
            println!("{name:<18} {:>7.1} s  {verdict}", took.as_secs_f64());
        }
        let failed: Vec<&str> = self
            .0
            .iter()
            .filter(|(.., error)| error.is_some())
            .map(|(name, ..)| *name)
            .collect();
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        Ok(())
    }
}
