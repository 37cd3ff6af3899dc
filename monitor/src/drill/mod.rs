//! `bailiwick drill`: attacks for real, with scratch credentials, in a network namespace of their own and
//! through the live kernel capture, and whether each one led to its webhook.
//!
//! `technique` and `techniques/` say what is done (pure), `ground`, `peers` and `watcher` are where and by
//! whom, `runner` does it, `report` says what came of it.

mod error;
mod far;
mod ground;
mod mint;
mod own;
mod peer;
mod peers;
mod policy;
mod receiver;
mod report;
mod runner;
mod script;
mod sys;
mod technique;
mod techniques;
#[cfg(test)]
mod tests;
mod watcher;

pub use error::DrillError;
pub use peer::play;
pub use report::{Report, SummaryRecord, TechniqueRecord};

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use ground::Ground;
use runner::Case;
use technique::Technique;

/// What is to be drilled.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Drill the clauses of this policy instead of the built-in techniques.
    pub policy: Option<PathBuf>,
    /// Names of techniques; all when there are none.
    pub names: Vec<String>,
    /// Attacks of each technique.
    pub times: u32,
}

/// What is known of a technique without running it (docs/json.md).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listed {
    /// `technique`.
    pub r#type: String,
    /// Version of the form.
    pub v: u32,
    /// Name.
    pub technique: String,
    /// What is done.
    pub what: String,
    /// Kind of the finding that must come.
    pub expects: String,
    /// Whether this program has that check.
    pub built_in: bool,
}

/// All built-in techniques.
#[must_use]
pub fn list() -> Vec<Listed> {
    let listed = |technique: Box<dyn Technique>| {
        let card = technique.card();
        Listed {
            r#type: "technique".to_owned(),
            v: 1,
            technique: card.name.clone().into_owned(),
            what: card.what.clone().into_owned(),
            expects: card.expects.to_owned(),
            built_in: card.kind().is_some(),
        }
    };
    techniques::all().into_iter().map(listed).collect()
}

/// Holds a drill. `now` is in seconds since 1970. To be called before the process has other threads: it leaves
/// the host's network for good.
///
/// # Errors
/// When a name is unknown, a privilege is missing, or there is no daemon to drill.
pub fn run(options: &Options, now: i64, progress: &dyn Fn(&str)) -> Result<Report, DrillError> {
    let own = options.policy.as_deref().map(own::read).transpose()?;
    let own::Own {
        base,
        techniques,
        undrilled,
        addresses,
    } = own.unwrap_or_else(|| own::Own {
        techniques: techniques::all(),
        ..own::Own::default()
    });
    let techniques = chosen(techniques, &options.names)?;
    if !rustix::process::geteuid().is_root() {
        return Err(DrillError {
            permission: true,
            ..DrillError::new(
                "a drill",
                "it needs root: it makes namespaces and watches the kernel",
            )
        }
        .hint("run it with sudo"));
    }
    runner::heed_signals();
    let ground = Ground::prepare(now, &addresses)?;
    let dev_agent = ground.places.bin.join("dev-agent");
    let base = base.unwrap_or_else(|| policy::built_in(&format!("exe:{}", dev_agent.display())));
    let cases: Vec<Case> = techniques
        .into_iter()
        .map(|technique| Case::new(technique, options.times, &ground))
        .collect();
    let rows = runner::hold(&ground, &base, &cases, progress)?;
    Ok(Report::new(&rows, undrilled))
}

/// The techniques with these names, in the table's order.
fn chosen(
    mut all: Vec<Box<dyn Technique>>,
    names: &[String],
) -> Result<Vec<Box<dyn Technique>>, DrillError> {
    for name in names {
        if !all.iter().any(|one| one.card().name == *name) {
            let known: Vec<String> = all.iter().map(|one| one.card().name.to_string()).collect();
            let hint = crate::suggest::did_you_mean(name, known.iter().map(String::as_str))
                .unwrap_or_else(|| "`bailiwick drill --list` shows the names".to_owned());
            return Err(DrillError {
                usage: true,
                ..DrillError::new(name, "there is no such technique")
            }
            .hint(hint));
        }
    }
    if !names.is_empty() {
        all.retain(|one| names.iter().any(|name| one.card().name == *name));
    }
    Ok(all)
}
