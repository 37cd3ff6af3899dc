//! Read writes: an identity that only reads sent a request that changes something.
//!
//! It stands in for `duty`, which such a request breaks as well: one alert, and the one that says more.

use super::words::{Quoted, Scene, any_of, clause, list, who};
use super::{Check, Context, FindingKind, Severity, Words};
use crate::access::Access;
use crate::policy::pattern::is_safe;

pub(super) struct ReadWrites;

impl Check for ReadWrites {
    fn kind(&self) -> FindingKind {
        FindingKind::ReadWrites
    }

    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity> {
        applies(context, access).then(|| context.severity_if_refused(self.kind(), access))
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        let identity = context.dutiful()?;
        let names = || {
            identity
                .duties
                .iter()
                .map(|id| Quoted(context.policy.duty(*id).map_or("?", |duty| &duty.name)))
        };
        let place = identity.places.duties.as_ref().unwrap_or(&identity.place);
        Some(Words {
            clause: clause(
                &identity.name,
                format_args!(".duties = {}, all of which only read", list(names())),
                place,
            ),
            title: format!(
                "{}, which only reads, sent a request that writes: {}",
                who(access),
                Scene(context, access)
            ),
            normal: format!(
                "{} does {}: only methods that read, such as GET",
                who(access),
                any_of(names())
            ),
            action: format!(
                "Ask {} whether this was meant. If so, give the writing to an identity of its own; if not, treat the \
                 credential as stolen, revoke it, and look at what was changed. A server that lets it write should not.",
                Quoted(&identity.owner)
            ),
            techniques: &["T1078.004", "T1565"],
        })
    }
}

/// Whether the access is of this kind. A method that is not known is none that writes.
pub(super) fn applies(context: &Context<'_>, access: &Access) -> bool {
    !context.granted
        && context
            .dutiful()
            .is_some_and(|identity| identity.only_reads)
        && !is_safe(&access.method)
        && &*access.method != "?"
}
