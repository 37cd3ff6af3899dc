//! axe-core, which looks for what keeps people from using the page. Only a test reads it: nothing of it is built in.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::project::Project;
use crate::shell::{capture, run};

/// Package and version in the npm registry (licence: MPL-2.0).
const PACKAGE: &str = "axe-core@4.10.3";
/// What `npm pack` makes of it.
const TARBALL: &str = "axe-core-4.10.3.tgz";
/// SHA-256 of that.
const SUM: &str = "0f2b4d7dcdf7d1219df8d1959ad68e565f51d14c3f0d88bb71cd59abeb956292";

/// Fetches it into target/tools/axe-core, unless it is there.
pub(super) fn ensure(project: &Project) -> Result<()> {
    let dir = project.tools().join("axe-core");
    // Named by its sum: another version is another file.
    let mark = dir.join(SUM);
    if mark.exists() {
        return Ok(());
    }
    println!("Fetching {PACKAGE} into target/tools");
    fs::create_dir_all(&dir)?;
    run(Command::new("npm")
        .args(["pack", "--ignore-scripts", "--silent", PACKAGE])
        .current_dir(&dir))?;
    let sum = capture(Command::new("sha256sum").arg(dir.join(TARBALL)))?;
    ensure!(
        sum.split_whitespace().next() == Some(SUM),
        "{TARBALL} is not the file that was looked at: its SHA-256 is {sum}"
    );
    run(Command::new("tar")
        .args([
            "--extract",
            "--gzip",
            "--strip-components=1",
            "--file",
            TARBALL,
        ])
        .args(["package/axe.min.js", "package/LICENSE"])
        .current_dir(&dir))?;
    fs::write(mark, "")?;
    Ok(())
}
