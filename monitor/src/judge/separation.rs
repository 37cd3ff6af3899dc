//! Separation: one owner exercised duties that are separated, this one last. What is known only later is told
//! by [`super::history`].

use super::{Check, Context, FindingKind, Severity, Words};
use crate::access::Access;

pub(super) struct Separation;

impl Check for Separation {
    fn kind(&self) -> FindingKind {
        FindingKind::Separation
    }

    fn breaks(&self, context: &Context<'_>, _: &Access) -> Option<Severity> {
        context.past.separated.as_ref()?;
        Some(context.severity(self.kind()))
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        Some(context.past.separated.as_ref()?.words(access))
    }
}
