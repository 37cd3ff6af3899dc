//! What is made for a package: manual pages, completions, files under other names.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::man::{Title, page, toml_page};
use crate::generate;
use crate::project::Project;
use crate::shell::run;

/// Writes man/ and the completions below `dir`, anew.
pub(super) fn write(dir: &Path, project: &Project, binary: &Path, epoch: u64) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    let man = dir.join("man");
    fs::create_dir_all(&man)?;
    run(Command::new(binary).args(["man", "--dir"]).arg(&man))?;
    generate::completions(binary, dir)?;
    // Under their installed names: the scripts that cargo-deb writes call them by the name of their source.
    for kind in ["sysusers", "tmpfiles"] {
        let folder = dir.join(format!("{kind}.d"));
        fs::create_dir_all(&folder)?;
        let source = project.root.join(format!("systemd/{kind}.conf"));
        fs::copy(&source, folder.join("bailiwick.conf"))
            .with_context(|| format!("cannot copy {}", source.display()))?;
    }
    let date = super::date(epoch, &["+%F"])?;
    let read = |path: &str| {
        fs::read_to_string(project.root.join(path)).with_context(|| format!("cannot read {path}"))
    };
    let title = |name, section, summary| Title {
        name,
        section,
        summary,
        date: &date,
    };
    let settings = title(
        "bailiwick.toml",
        5,
        "configuration of the credential monitor",
    );
    let policy = title(
        "bailiwick-policy",
        5,
        "what the identities of a host may do",
    );
    let service = title(
        "bailiwick.service",
        8,
        "the credential monitor as a service",
    );
    for (title, text) in [
        (
            settings,
            toml_page(settings, &read("config/bailiwick.toml")?),
        ),
        (policy, page(policy, &read("docs/policy.md")?)),
        (service, page(service, &read("docs/service.md")?)),
    ] {
        let path = man.join(format!("{}.{}", title.name, title.section));
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
