//! The scratch policy: what all drafts need, in one file.

use std::fmt::Write as _;

use super::technique::{Draft, quoted};
use crate::judge::FindingKind;

/// Environments of the built-in techniques, and workloads of dev where this program knows of such.
pub(super) fn built_in(dev_agent: &str) -> String {
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
    text
}

/// One policy of a beginning and all drafts.
pub(super) fn assemble(base: &str, drafts: &[&Draft]) -> String {
    let mut text = base.to_owned();
    text.push_str("[duties]\n");
    for (name, value) in drafts.iter().flat_map(|draft| &draft.duties) {
        let _ = writeln!(text, "{} = {value}", quoted(name));
    }
    for draft in drafts {
        text.push_str(&draft.policy);
    }
    text
}
