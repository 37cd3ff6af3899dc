//! Debian's changelog, from CHANGELOG.md.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::project::Project;

const MAINTAINER: &str = "The Bailiwick authors <maintainers@bailiwick.example>";
const WIDTH: usize = 78;

pub(super) fn write(project: &Project, path: &Path, revision: &str, epoch: u64) -> Result<()> {
    let text = fs::read_to_string(project.root.join("CHANGELOG.md"))?;
    let version = format!("{}-{revision}", super::version(project)?);
    let date = super::date(epoch, &["--rfc-email"])?;
    fs::write(path, entry(&text, &version, &date))?;
    Ok(())
}

/// One entry: the items of the newest section, in lines as short as Debian wants them.
fn entry(changelog: &str, version: &str, date: &str) -> String {
    let mut items: Vec<String> = Vec::new();
    let newest = changelog
        .lines()
        .skip_while(|line| !line.starts_with("## "))
        .skip(1)
        .take_while(|line| !line.starts_with("## "));
    for line in newest {
        if let Some(item) = line.strip_prefix("- ") {
            items.push(item.to_owned());
        } else if line.starts_with("  ")
            && let Some(item) = items.last_mut()
        {
            item.push(' ');
            item.push_str(line.trim());
        }
    }
    let mut out = format!("bailiwick ({version}) unstable; urgency=medium\n\n");
    for item in items {
        let mut width = WIDTH;
        for (index, word) in item.split_whitespace().enumerate() {
            let length = word.chars().count();
            if index == 0 {
                out.push_str("  * ");
                width = 4;
            } else if width + 1 + length > WIDTH {
                out.push_str("\n    ");
                width = 4;
            } else {
                out.push(' ');
                width += 1;
            }
            out.push_str(word);
            width += length;
        }
        out.push('\n');
    }
    let _ = write!(out, "\n -- {MAINTAINER}  {date}\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_section_is_taken() {
        let text = "# Changelog\n\nWhat.\n\n## Unreleased\n\nFirst.\n\n- Sees\n  much, and has so many words for it that a line of Debian does not hold them all.\n\
                    - Tells.\n\n## 0.1\n\n- Old.\n";
        assert_eq!(
            entry(text, "0.2-1", "Tue, 24 Nov 2026 13:00:00 +0000"),
            "bailiwick (0.2-1) unstable; urgency=medium\n\n  * Sees much, and has so many words for it that a line of Debian does not\n    \
             hold them all.\n  * Tells.\n\n -- The Bailiwick authors <maintainers@bailiwick.example>  Tue, 24 Nov 2026 13:00:00 +0000\n"
        );
    }
}
