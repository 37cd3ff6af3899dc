//! Duty: the operation is in no duty of the identity.

use super::words::{Quoted, Scene, any_of, clause, list, who};
use super::{Check, Context, Finding, FindingKind};
use crate::access::Access;

pub(super) struct Duty;

impl Check for Duty {
    fn kind(&self) -> FindingKind {
        FindingKind::Duty
    }

    fn check(&self, context: &Context<'_>, access: &Access) -> Option<Finding> {
        let identity = context.dutiful()?;
        if context.granted {
            return None;
        }
        let names = || {
            let all: Vec<_> = identity
                .duties
                .iter()
                .filter_map(|id| context.policy.duty(*id))
                .collect();
            all.into_iter().map(|duty| Quoted(&duty.name))
        };
        let why = match context.ambiguity {
            Some(why) => format!("; its path {}, so no route was compared", why.words()),
            None => String::new(),
        };
        let mut operations = identity
            .duties
            .iter()
            .filter_map(|id| context.policy.duty(*id))
            .flat_map(|duty| duty.operations.iter());
        let some: Vec<_> = operations
            .by_ref()
            .take(5)
            .map(|o| format!("`{}`", Quoted(o.text())))
            .collect();
        let more = match operations.count() {
            0 => String::new(),
            more => format!(" and {more} more operations"),
        };
        let place = identity.places.duties.as_ref().unwrap_or(&identity.place);
        Some(Finding {
            kind: self.kind(),
            severity: context.severity_if_refused(self.kind(), access),
            clause: clause(
                &identity.name,
                format_args!(".duties = {}", list(names())),
                place,
            ),
            title: format!(
                "{} did what none of its duties grants: {}{why}",
                who(access),
                Scene(context, access)
            ),
            normal: format!(
                "{} does {}: {}{more}",
                who(access),
                any_of(names()),
                some.join(", ")
            ),
            action: format!(
                "Ask {} whether this was meant. If so, add the operation to a duty of {}; if not, treat the \
                 credential as stolen: revoke it and look at what else the workload did.",
                Quoted(&identity.owner),
                who(access)
            ),
            techniques: &["T1078.004"],
        })
    }
}
