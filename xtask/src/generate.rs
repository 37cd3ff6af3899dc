//! Manual pages and completions, as the program itself writes them.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::build;
use crate::project::Project;
use crate::shell::capture;

/// Shells that completions are written for, and the file name each expects.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "bailiwick.bash"),
    ("zsh", "_bailiwick"),
    ("fish", "bailiwick.fish"),
];

/// Writes target/gen.
pub(crate) fn run(project: &Project) -> Result<()> {
    build::all(project)?;
    let dir = project.target().join("gen");
    fs::create_dir_all(&dir)?;
    let mut files = vec![(
        "bailiwick.1",
        capture(Command::new(project.binary()).arg("man"))?,
    )];
    for (shell, file) in SHELLS {
        files.push((
            file,
            capture(Command::new(project.binary()).args(["completions", shell]))?,
        ));
    }
    for (name, text) in files {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", project.relative(&path).display());
    }
    Ok(())
}
