//! Bounded runs of the fuzz targets.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::project::Project;
use crate::setup::path_with_tools;
use crate::shell::run;

/// Runs each target for some seconds; a crash is an error and leaves its input in fuzz/artifacts.
pub(crate) fn run_targets(project: &Project, filter: Option<&str>, seconds: u32) -> Result<()> {
    let targets = targets(project)?;
    let chosen: Vec<&String> = targets
        .iter()
        .filter(|name| filter.is_none_or(|filter| name.contains(filter)))
        .collect();
    ensure!(
        !chosen.is_empty(),
        "no fuzz target matches; there are: {}",
        targets.join(" ")
    );
    // All at once first, so that the time below is spent on running.
    run(cargo_fuzz(project).arg("build"))?;
    for name in chosen {
        run(cargo_fuzz(project).args(["run", name, "--"]).args([
            format!("-max_total_time={seconds}"),
            "-timeout=10".to_owned(),
            "-rss_limit_mb=1024".to_owned(),
            "-verbosity=0".to_owned(),
            "-print_final_stats=1".to_owned(),
        ]))?;
    }
    Ok(())
}

/// cargo-fuzz with the stable compiler: its sanitizer flags are unstable ones.
fn cargo_fuzz(project: &Project) -> std::process::Command {
    let mut cargo = project.cargo();
    cargo
        .arg("fuzz")
        .env("PATH", path_with_tools(project))
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", project.target().join("fuzz"));
    cargo
}

fn targets(project: &Project) -> Result<Vec<String>> {
    let dir = project.root.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(stem) = path.file_stem()
        {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
