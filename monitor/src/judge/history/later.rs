//! What is found out about an access, at once or later, with the access that belongs to it.

use std::sync::Arc;

use super::acts::Act;
use super::approval::Outcome;
use super::gaps::Gap;
use super::rules::{ApprovalRule, SeparationRule};
use super::shared::Shared;
use super::words;
use crate::access::Access;
use crate::judge::{FindingKind, Words};

/// Separated duties were exercised by one subject.
#[derive(Clone, Debug)]
pub(in crate::judge) struct Separated {
    pub(super) rule: Arc<SeparationRule>,
    /// The earlier one.
    pub(super) other: Arc<Act>,
    /// By one workload, for two owners.
    pub(super) lineage: bool,
}

/// What was concluded about an access after it was judged.
#[derive(Debug)]
pub struct Later {
    pub(super) act: Arc<Act>,
    pub(super) why: Why,
}

#[derive(Debug)]
pub(super) enum Why {
    Separated(Separated),
    Approval {
        rule: Arc<ApprovalRule>,
        outcome: Outcome,
        /// When not everything was watched.
        gap: Option<Gap>,
    },
    Shared(Shared),
}

impl Later {
    /// What was found.
    #[must_use]
    pub fn kind(&self) -> FindingKind {
        match &self.why {
            Why::Separated(_) => FindingKind::Separation,
            Why::Approval { .. } => FindingKind::Approval,
            Why::Shared(_) => FindingKind::CredentialShared,
        }
    }

    /// Which access it is about.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.act.access
    }

    /// The access that belongs to it, where there is one.
    #[must_use]
    pub fn beside(&self) -> Option<&Access> {
        let act = match &self.why {
            Why::Separated(found) => Some(&found.other),
            Why::Approval { outcome, .. } => outcome.act(),
            Why::Shared(found) => found.beside.as_ref(),
        };
        act.map(|act| &act.access)
    }

    /// Tells clauses of one kind apart.
    #[must_use]
    pub fn clause(&self) -> u32 {
        match &self.why {
            Why::Separated(found) => found.clause(),
            Why::Approval { rule, .. } => rule.number,
            Why::Shared(_) => 0,
        }
    }

    /// Whether something speaks against it: it is one step less bad then.
    #[must_use]
    pub(in crate::judge) fn lowered(&self) -> bool {
        match &self.why {
            Why::Separated(_) => false,
            Why::Approval { gap, .. } => gap.is_some(),
            // Nobody said whose it is.
            Why::Shared(_) => self.act.owner().is_none(),
        }
    }

    /// Its words.
    #[must_use]
    pub fn words(&self) -> Words {
        match &self.why {
            Why::Separated(found) => words::separated(found, &self.act.access),
            Why::Approval { rule, outcome, gap } => words::approval(rule, outcome, *gap, &self.act),
            Why::Shared(found) => words::shared(found),
        }
    }
}

impl Separated {
    pub(in crate::judge) fn clause(&self) -> u32 {
        self.rule.number.wrapping_mul(2) + u32::from(self.lineage)
    }

    pub(in crate::judge) fn words(&self, access: &Access) -> Words {
        words::separated(self, access)
    }

    pub(in crate::judge) fn beside(&self) -> &Access {
        &self.other.access
    }
}
