//! Landlock: which files a part may open, change or run.
//!
//! Only for the parts that look at no other process: a thread under Landlock may not read another process' `/proc`
//! entries either, whatever its capabilities (the kernel compares domains before it looks at those).

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, BitFlags, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, path_beneath_rules,
};

use super::Part;

/// The newest interface whose rights are asked for; an older kernel takes what it knows.
const INTERFACE: ABI = ABI::V5;

/// Restricts the calling thread as its part allows.
pub(super) fn restrict(part: Part, writable: &[PathBuf]) -> Result<(), String> {
    let all = AccessFs::from_all(INTERFACE);
    let restricted = match part {
        // It has everything open.
        Part::Capture => apply(all, &[]),
        // Reads what resolvers, certificates and configuration need, wherever that is; runs nothing.
        Part::Serving => apply(
            AccessFs::from_write(INTERFACE) | AccessFs::Execute,
            writable,
        ),
        Part::Main
        | Part::HostFiles
        | Part::Search
        | Part::Probe
        | Part::KeyLogs
        | Part::Scan
        | Part::Act
        // Its directory can be anywhere.
        | Part::AuditLog => return Ok(()),
    };
    match restricted.map_err(|error| error.to_string())?.ruleset {
        RulesetStatus::NotEnforced => {
            Err("this kernel has no Landlock (Linux 5.13), or not in its list lsm=".to_owned())
        }
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    }
}

fn apply(
    handled: BitFlags<AccessFs>,
    writable: &[PathBuf],
) -> Result<RestrictionStatus, RulesetError> {
    Ruleset::default()
        .handle_access(handled)?
        .create()?
        .add_rules(path_beneath_rules(
            writable,
            AccessFs::from_write(INTERFACE),
        ))?
        .restrict_self()
}
