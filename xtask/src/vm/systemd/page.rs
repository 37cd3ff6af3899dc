//! docs/systemd.md.

use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result};

use super::Check;
use crate::project::Project;

const BEGIN: &str = "<!-- begin: written by `cargo xtask systemd` -->";
/// Most characters of a cell.
const MOST: usize = 300;
const END: &str = "<!-- end -->";

pub(super) fn write(project: &Project, about: &str, kernel: &str, checks: &[Check]) -> Result<()> {
    let path = project.root.join("docs/systemd.md");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let (before, rest) = text
        .split_once(BEGIN)
        .with_context(|| format!("{} has no place for results", path.display()))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("the place for results in {} has no end", path.display()))?;
    let table = table(about, kernel, checks);
    fs::write(&path, format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))?;
    Ok(())
}

fn table(about: &str, kernel: &str, checks: &[Check]) -> String {
    let passed = checks.iter().filter(|check| check.ok).count();
    let mut out = format!(
        "{about}, Linux {kernel}: {passed} of {} as promised.\n\n| | what | what was found |\n|---|---|---|\n",
        checks.len()
    );
    for check in checks {
        let word = if check.ok { "✓" } else { "✗" };
        let cell = |text: &str| {
            let text: String = text.chars().take(MOST).collect();
            text.replace('|', "\\|").replace('\n', " ")
        };
        let _ = writeln!(
            out,
            "| {word} | {} | {} |",
            cell(&check.name),
            cell(&check.detail)
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_shown_as_one() {
        let check = |ok, detail: &str| Check {
            name: "n".into(),
            ok,
            detail: detail.into(),
        };
        let text = table(
            "systemd 257",
            "6.12",
            &[check(true, "a|b"), check(false, "c\nd")],
        );
        assert!(text.starts_with("systemd 257, Linux 6.12: 1 of 2 as promised."));
        assert!(
            text.contains("| ✓ | n | a\\|b |\n| ✗ | n | c d |"),
            "{text}"
        );
    }
}
