//! The scratch policy: what all drafts need, in one file.

use std::fmt::Write as _;

use super::technique::{Draft, quoted};
use crate::judge::FindingKind;

/// What the policy begins with.
#[derive(Debug, Default)]
pub(super) struct Base {
    /// TOML without `[duties]`.
    pub(super) text: String,
    /// Duties: name, and value in TOML.
    pub(super) duties: Vec<(String, String)>,
}

/// Environments of the built-in techniques, and workloads of dev where this program knows of such.
pub(super) fn built_in(dev_agent: &str) -> Base {
    let mut text = "version = 1\n[environments]\nprod = [\"*.prod.drill.example\"]\n\
                    dev = [\"*.dev.drill.example\"]\n"
        .to_owned();
    if FindingKind::ALL
        .iter()
        .any(|kind| kind.name() == "workload-environment")
    {
        let _ = writeln!(
            text,
            "[workload-environments]\ndev = [{}]",
            quoted(dev_agent)
        );
    }
    Base {
        text,
        ..Base::default()
    }
}

/// One policy of a beginning and all drafts.
pub(super) fn assemble(base: &Base, drafts: &[&Draft]) -> String {
    let mut text = base.text.clone();
    text.push_str("[duties]\n");
    let of_drafts = drafts.iter().flat_map(|draft| &draft.duties);
    for (name, value) in base.duties.iter().chain(of_drafts) {
        let _ = writeln!(text, "{} = {value}", quoted(name));
    }
    for draft in drafts {
        text.push_str(&draft.policy);
    }
    text
}
