//! What the unit promises.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::trial::plain;
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        plain("systemd::exposure_is_at_most_3", exposure),
        plain("systemd::capabilities_are_the_four", capabilities),
        plain(
            "systemd::sysusers_and_tmpfiles_parse",
            sysusers_and_tmpfiles,
        ),
    ]
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../systemd")
        .join(name)
}

/// The value of a setting of the unit that stands in it once.
pub(crate) fn value(setting: &str) -> Result<String> {
    let text = std::fs::read_to_string(path("bailiwick.service"))?;
    let values: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix(setting)?.strip_prefix('='))
        .collect();
    ensure!(
        values.len() == 1,
        "{setting}= stands {} times in the unit",
        values.len()
    );
    Ok(values[0].trim().to_owned())
}

fn exposure() -> Result<()> {
    let output = Command::new("/usr/bin/systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(path("bailiwick.service"))
        .env("LC_ALL", "C.UTF-8")
        .output()
        .context("systemd-analyze is not installed: run `cargo xtask setup test`")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let score: f64 = text
        .lines()
        .find_map(|line| {
            line.split_once("Overall exposure level")?
                .1
                .split_once(": ")
        })
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok())
        .with_context(|| {
            format!(
                "no score in {text}{}",
                String::from_utf8_lossy(&output.stderr)
            )
        })?;
    ensure!(score <= 3.0, "exposure {score} is more than 3.0\n{text}");
    Ok(())
}

fn capabilities() -> Result<()> {
    const FOUR: &str = "CAP_BPF CAP_PERFMON CAP_SYS_PTRACE CAP_DAC_READ_SEARCH";
    for setting in ["AmbientCapabilities", "CapabilityBoundingSet"] {
        let value = value(setting)?;
        ensure!(value == FOUR, "{setting}={value}");
    }
    ensure!(value("User")? == "bailiwick" && value("NoNewPrivileges")? == "yes");
    Ok(())
}

fn sysusers_and_tmpfiles() -> Result<()> {
    let output = Command::new("/usr/bin/systemd-sysusers")
        .arg("--dry-run")
        .arg(path("sysusers.conf").canonicalize()?)
        .output()?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "{text}");
    // Into an empty directory, as a package is built; users come from the host.
    let root = tempfile::tempdir()?;
    std::fs::create_dir_all(root.path().join("etc"))?;
    std::fs::write(
        root.path().join("etc/passwd"),
        "bailiwick:x:990:990::/:/bin/false\nroot:x:0:0::/:/bin/sh\n",
    )?;
    std::fs::write(
        root.path().join("etc/group"),
        "bailiwick:x:990:\nroot:x:0:\n",
    )?;
    let output = Command::new("/usr/bin/systemd-tmpfiles")
        .args(["--create", "--root"])
        .arg(root.path())
        .arg(path("tmpfiles.conf").canonicalize()?)
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{} {text}", output.status);
    for directory in ["run/bailiwick", "var/lib/bailiwick", "etc/bailiwick"] {
        ensure!(
            root.path().join(directory).is_dir(),
            "no {directory}: {text}"
        );
    }
    Ok(())
}
