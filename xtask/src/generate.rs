//! Manual pages and completions, as the program itself writes them.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::build;
use crate::project::Project;
use crate::shell::{capture, run};

/// Shells that completions are written for, and the file name each expects.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "bailiwick.bash"),
    ("zsh", "_bailiwick"),
    ("fish", "bailiwick.fish"),
];

/// Writes target/gen.
pub(crate) fn all(project: &Project) -> Result<()> {
    build::all(project)?;
    let dir = project.target().join("gen");
    fs::create_dir_all(&dir)?;
    run(Command::new(project.binary())
        .args(["man", "--dir"])
        .arg(&dir))?;
    for (shell, file) in SHELLS {
        let text = capture(Command::new(project.binary()).args(["completions", shell]))?;
        let path = dir.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("Written to {}", project.relative(&dir).display());
    Ok(())
}
