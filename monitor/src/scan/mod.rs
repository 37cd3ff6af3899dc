//! Credentials at rest: finds them in files, archives, git histories and environments, and says which of them are
//! live.
//!
//! `engine` and `rules` are pure. A secret that was found is borrowed for the length of a call, or kept in a buffer
//! that is wiped; nothing that is printed holds it.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

pub mod allow;
mod archive;
mod checksum;
#[cfg(test)]
mod corpus;
pub mod engine;
pub mod finding;
mod git;
pub mod gitleaks;
pub mod live;
mod plain;
mod rules;
#[cfg(test)]
mod run_tests;
mod walk;
pub mod workload;

pub use engine::{Buffer, Hit, RuleNumber, Scanned, Scanner};
pub use finding::{Finding, LiveUse, ScanRecord, Unread};
pub use rules::Form;
pub use walk::{Progress, Settings, Summary, Target, run};
