//! Running the monitor from a checkout.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::build;
use crate::project::Project;
use crate::shell::{is_root, not_permitted, show};

/// Builds both sides and becomes the monitor.
pub(crate) fn run(project: &Project, config: &Path, args: &[OsString]) -> Result<()> {
    build::all(project)?;
    let mut monitor = Command::new(project.binary());
    monitor
        .arg("run")
        .arg("--config")
        .arg(project.root.join(config))
        .args(args);
    monitor.env_remove("LD_LIBRARY_PATH");
    if !is_root() {
        return Err(not_permitted(format!(
            "everything is built, but only root can watch the kernel.\nhint: run `sudo {}`",
            show(&monitor)
        )));
    }
    eprintln!("$ {}", show(&monitor));
    eprintln!(
        "Watch it from a second terminal: {0} tail; or in a browser: {0} page --config {1} prints the address",
        project.relative(&project.binary()).display(),
        config.display()
    );
    // Becomes it rather than starting it: signals from the terminal then go where they belong.
    Err(monitor.exec()).with_context(|| format!("cannot start {}", project.binary().display()))
}
