//! Manual pages and completions, as the program itself writes them.

use std::fs;
use std::path::Path;
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
    completions(&project.binary(), &dir)?;
    println!("Written to {}", project.relative(&dir).display());
    Ok(())
}

/// Writes each shell's completions, as `binary` has them, into a directory.
pub(crate) fn completions(binary: &Path, dir: &Path) -> Result<()> {
    for (shell, file) in SHELLS {
        let text = capture(Command::new(binary).args(["completions", shell]))?;
        let path = dir.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
