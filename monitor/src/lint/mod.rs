//! What is wrong with a policy that can be used: separations that separate nothing.
//!
//! Pure: no I/O, no clock, no panic on any input; what the host adds comes in as [`LintInput`]. One file a
//! rule. docs/policy.md lists the rules.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod accepted;
mod approvers;
pub mod codes;
pub mod collusion;
mod combined;
mod environments;
pub mod facts;
mod guarded;
mod high_value;
mod holders;
mod overlap;
mod reach;
pub mod record;
mod second_factor;
mod shared;
mod task;
#[cfg(test)]
mod tests;
mod unheld;
mod unused;

use std::sync::Arc;

pub use codes::{CODES, Code, Level};
pub use facts::{Accounts, Group, Guarded, LintInput, Live, Node, User};
pub use holders::{Holders, Owner};
pub use overlap::Overlaps;
pub use task::{Task, tasks};

use crate::policy::{DutyId, Place, Policy};

/// Most findings of one lint; what is beyond is counted.
pub const MOST_FINDINGS: usize = 5_000;

/// One thing that is wrong, or (with [`Level::Info`]) to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LintFinding {
    /// Its rule.
    pub code: Code,
    /// How bad.
    pub level: Level,
    /// Whom or what it is about, as `[[accept]]` names it.
    pub subject: String,
    /// What is wrong.
    pub message: String,
    /// The clause of the policy that it is about.
    pub clause: String,
    /// Where that stands; `None` when it is about no file.
    pub place: Option<Place>,
    /// A concrete request, workload or file that shows it.
    pub witness: Option<String>,
    /// What to change.
    pub change: String,
    /// Who looked at it says so in the policy.
    pub accepted: Option<Accepted>,
}

/// Why a finding was accepted, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The reason given.
    pub reason: String,
    /// The last day, `YYYY-MM-DD`.
    pub until: String,
}

impl LintFinding {
    /// Whether it counts: more than information, and not accepted.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.level > Level::Info && self.accepted.is_none()
    }
}

/// State of one lint.
struct Lint<'a> {
    policy: &'a Policy,
    input: &'a LintInput,
    holders: Holders<'a>,
    overlaps: Overlaps<'a>,
    found: Vec<LintFinding>,
    more: usize,
}

/// Looks for everything that is wrong: the worst first, then by code and place.
#[must_use]
pub fn lint(policy: &Policy, input: &LintInput) -> Vec<LintFinding> {
    let mut lint = Lint {
        policy,
        input,
        holders: Holders::of(policy),
        overlaps: Overlaps::new(policy),
        found: Vec::new(),
        more: 0,
    };
    for rule in [
        combined::find,
        overlap::find,
        reach::find,
        task::find,
        environments::find,
        shared::find,
        approvers::find,
        high_value::find,
        second_factor::find,
        guarded::find,
        unheld::find,
        unused::find,
        // Last: it looks at what the others found.
        accepted::apply,
    ] {
        rule(&mut lint);
    }
    if lint.overlaps.gave_up() {
        lint.information(
            codes::OVERLAP,
            "the policy has too many operations: not all pairs of duties were compared",
        );
    }
    if lint.more > 0 {
        let text = format!("{} more findings are not shown", lint.more);
        lint.information(codes::STALE, text);
    }
    lint.found.sort_by(|a, b| {
        let key = |f: &LintFinding| (std::cmp::Reverse(f.level), f.code.id);
        key(a)
            .cmp(&key(b))
            .then_with(|| a.place.cmp(&b.place))
            .then_with(|| a.subject.cmp(&b.subject))
    });
    lint.found
}

impl<'a> Lint<'a> {
    fn push(&mut self, finding: LintFinding) {
        if self.found.len() < MOST_FINDINGS {
            self.found.push(finding);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// What could not be looked at; there is always room for it.
    fn information(&mut self, code: Code, text: impl Into<String>) {
        self.found.push(LintFinding {
            code,
            level: Level::Info,
            subject: String::new(),
            message: text.into(),
            clause: String::new(),
            place: None,
            witness: None,
            change: String::new(),
            accepted: None,
        });
    }

    fn duty_name(&self, id: DutyId) -> &'a str {
        self.policy.duty(id).map_or("?", |duty| &duty.name)
    }

    fn duty_names(&self, ids: &[DutyId]) -> Vec<&'a str> {
        ids.iter().map(|id| self.duty_name(*id)).collect()
    }
}

/// `["a", "b"]`.
fn list<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|n| format!("\"{}\"", n.as_ref()))
        .collect();
    format!("[{}]", quoted.join(", "))
}

/// `a, b and c`.
fn and<S: AsRef<str>>(names: &[S]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `a, b`: how a subject of several parts is written.
fn commas<S: AsRef<str>>(names: &[S]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    names.join(", ")
}

/// Whether two shared names are one.
fn same(a: &Arc<str>, b: &Arc<str>) -> bool {
    **a == **b
}
