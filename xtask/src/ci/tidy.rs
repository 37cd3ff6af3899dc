//! Checks on the text of the repository itself.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A longer file of code is two subjects.
const MAX_LINES: usize = 700;

/// Beginnings of paths that exist on one developer's machine only. Written in halves, so that this file passes.
const PRIVATE_PATHS: [&str; 4] = [
    concat!("/wo", "rk/"),
    concat!("/fa", "rm/"),
    concat!("/root/", ".cargo"),
    concat!("/tmp/", "bash_jobs"),
];

/// Looks at every text file of the checkout and lists all that is wrong.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut wrong = Vec::new();
    for path in files(root)? {
        let Ok(text) = fs::read_to_string(&path) else {
            continue; // not text
        };
        let name = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .display()
            .to_string();
        if path.extension().is_some_and(|extension| extension == "rs")
            && text.lines().count() > MAX_LINES
        {
            wrong.push(format!(
                "{name}: {} lines, more than {MAX_LINES}",
                text.lines().count()
            ));
        }
        for (number, line) in text.lines().enumerate() {
            if let Some(private) = PRIVATE_PATHS
                .iter()
                .find(|private| line.contains(**private))
            {
                wrong.push(format!(
                    "{name}:{}: {private} is a path of one machine",
                    number + 1
                ));
            }
        }
        if path.extension().is_some_and(|extension| extension == "md") {
            let dir = path.parent().unwrap_or(root);
            for (number, target) in links(&text) {
                if let Some(problem) = broken(dir, &path, target) {
                    wrong.push(format!("{name}:{number}: link to {target}: {problem}"));
                }
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{} untidy places:\n{}", wrong.len(), wrong.join("\n"));
    }
    Ok(())
}

/// Files of the checkout, without what is built or git's own.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    const SKIPPED: [&str; 5] = ["target", ".git", "corpus", "artifacts", "node_modules"];
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        let entries =
            fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
        for entry in entries {
            let entry = entry?;
            if SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() && entry.file_name() != "Cargo.lock" {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Targets of Markdown links outside code, with their line numbers.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced || line.starts_with("    ") {
            continue;
        }
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, tail)) = after.split_once(')') else {
                break;
            };
            found.push((number + 1, target));
            rest = tail;
        }
    }
    found
}

/// Why a link leads nowhere; only links inside the repository are followed.
fn broken(dir: &Path, page: &Path, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() {
        page.to_owned()
    } else {
        dir.join(file)
    };
    if !path.exists() {
        return Some("no such file");
    }
    if anchor.is_empty() || path.is_dir() {
        return None;
    }
    let text = fs::read_to_string(&path).ok()?;
    let known = text
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .any(|title| slug(title) == anchor);
    (!known).then_some("no such heading")
}

/// The anchor that a heading gets.
fn slug(title: &str) -> String {
    title
        .trim_start_matches('#')
        .trim()
        .chars()
        .filter_map(|c| match c {
            ' ' | '-' => Some('-'),
            c if c.is_alphanumeric() || c == '_' => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_code_are_not_links() {
        let text = "See [a](a.md) and [b](b.md#x).\n```\n[c](c.md)\n```\n    [d](d.md)\n[e](https://example.com)\n";
        let targets: Vec<_> = links(text).into_iter().collect();
        assert_eq!(
            targets,
            [(1, "a.md"), (1, "b.md#x"), (6, "https://example.com")]
        );
    }

    #[test]
    fn headings_become_anchors() {
        assert_eq!(slug("# The way, of `data`"), "the-way-of-data");
        assert_eq!(slug("## JSON (v1) – tail_1"), "json-v1--tail_1");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let dir = std::env::temp_dir().join(format!("bailiwick-tidy-{}", std::process::id()));
        fs::create_dir_all(dir.join("target")).unwrap();
        fs::write(dir.join("long.rs"), "\n".repeat(MAX_LINES + 1)).unwrap();
        fs::write(dir.join("fits.rs"), "\n".repeat(MAX_LINES)).unwrap();
        fs::write(
            dir.join("page.md"),
            "# One\n[x](gone.md) [y](#one) [z](#two)\n",
        )
        .unwrap();
        fs::write(
            dir.join("path.txt"),
            format!("ok\nsee {}x\n", PRIVATE_PATHS[0]),
        )
        .unwrap();
        fs::write(dir.join("target/built.txt"), PRIVATE_PATHS[0]).unwrap();
        let error = check(&dir).unwrap_err().to_string();
        fs::remove_dir_all(&dir).unwrap();
        assert!(error.starts_with("4 untidy places"), "{error}");
        for expected in [
            "long.rs: 701 lines",
            "page.md:2: link to gone.md",
            "page.md:2: link to #two",
            "path.txt:2:",
        ] {
            assert!(error.contains(expected), "{expected} not in {error}");
        }
    }
}
