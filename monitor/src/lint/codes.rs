//! The rules by code. Codes are stable: one that goes is not used again.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// No finding: a number, or what could not be looked at.
    Info,
    /// To be tidied up.
    Low,
    /// To be looked at.
    Medium,
    /// A separation that separates nothing.
    High,
}

impl Level {
    /// Name in JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// `SOD001` …
    pub id: &'static str,
    /// Name for machines.
    pub name: &'static str,
    /// What it finds, one sentence without its dot.
    pub text: &'static str,
    /// What to do, in general.
    pub help: &'static str,
}

macro_rules! codes {
    ($($constant:ident = $id:literal, $name:literal, $text:literal, $help:literal;)*) => {
        $(
            #[doc = concat!("`", $id, "`: ", $text)]
            pub const $constant: Code = Code { id: $id, name: $name, text: $text, help: $help };
        )*
        /// All rules, in order.
        pub const CODES: &[Code] = &[$($constant),*];
    };
}

codes! {
    COMBINED = "SOD001", "combined",
        "An owner holds duties that are separated, directly or over several identities",
        "Take one of the duties from the owner, or give it to another person.";
    REACH = "SOD002", "reach",
        "An owner can do separated duties through another duty whose operations overlap with theirs",
        "Narrow the other duty, or add it to the separation.";
    OVERLAP = "SOD003", "overlap",
        "Duties that are separated share a request",
        "Narrow the operations of one of them, by method, host or route, until no request is both.";
    COLLUSION = "SOD004", "collusion",
        "One owner alone can do all of a separated task; for others the number of owners is shown",
        "Give the parts of the task to different owners.";
    ENVIRONMENTS = "SOD005", "environments",
        "An identity is for production and for development",
        "Make two identities with a credential each, and name the environments of both.";
    SHARED = "SOD006", "shared",
        "Identities that are separated share a workload, a user or a container",
        "Run them apart, and bind each to its own workload.";
    APPROVERS = "SOD007", "approvers",
        "Nobody can approve, or only those who ask",
        "Give the approving duty to somebody who does not hold the approved one.";
    HIGH_VALUE = "SOD008", "high-value",
        "An owner can read from and write to a high-value host",
        "Split reading and writing between owners.";
    SECOND_FACTOR = "SOD009", "second-factor",
        "A privileged duty asks for no second factor",
        "Add second-factor = true to the duty.";
    GUARDED = "SOD010", "guarded",
        "An owner who is watched can write the policy, the configuration or what the monitor keeps",
        "Give the file and the directories above it to root, and take others' right to write.";
    UNHELD = "SOD011", "unheld",
        "Nobody holds a duty",
        "Give it to an identity, or remove it.";
    UNUSED = "SOD012", "unused",
        "Nobody uses an identity",
        "Revoke its credentials and remove it, or find out why it is not seen.";
    EXPIRED = "SOD013", "expired",
        "A finding was accepted until a day that is over",
        "Mend what it accepts, or set a new day after looking again.";
    STALE = "SOD014", "stale",
        "An acceptance accepts nothing",
        "Remove it, or correct its code and subject.";
}
