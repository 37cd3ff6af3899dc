//! Running the tests.

use anyhow::{Result, bail};

use crate::build;
use crate::project::Project;
use crate::setup::{self, Purpose};
use crate::shell::run;

/// Setup, build, then every test.
pub(crate) fn all(project: &Project, filter: Option<&str>, end_to_end: bool) -> Result<()> {
    let toolchain = setup::ensure(project, Purpose::Test)?;
    build::ebpf(project, &toolchain)?;
    build::binary(project)?;
    let mut failed = Vec::new();
    if let Err(error) = unit(project, filter) {
        failed.push(format!("{error:#}"));
    }
    if end_to_end && let Err(error) = e2e(project, filter) {
        failed.push(format!("{error:#}"));
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("\n       "));
    }
    Ok(())
}

/// Unit and property tests of every crate; they need no privileges.
pub(crate) fn unit(project: &Project, filter: Option<&str>) -> Result<()> {
    let mut cargo = project.cargo();
    cargo.args(["test", "--workspace", "--exclude", "e2e", "--no-fail-fast"]);
    run(cargo.args(filter))
}

/// End-to-end tests of the release binary on this kernel. Those that lack privileges report themselves
/// as skipped by name, or fail where CI=true.
pub(crate) fn e2e(project: &Project, filter: Option<&str>) -> Result<()> {
    let mut cargo = project.cargo();
    cargo.args(["test", "--package", "e2e", "--no-fail-fast"]);
    cargo.env("BAILIWICK_BIN", project.binary());
    run(cargo.args(filter))
}
