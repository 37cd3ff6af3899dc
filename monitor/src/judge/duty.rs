//! Duty: the operation is in no duty of the identity. What `read-writes` tells is not told twice.

use std::fmt::Write as _;

use super::words::{Quoted, Scene, any_of, clause, list, who};
use super::{Check, Context, FindingKind, Severity, Words};
use crate::access::Access;
use crate::policy::DutyId;

/// Most operations named in a finding.
const SHOWN: usize = 5;

pub(super) struct Duty;

impl Check for Duty {
    fn kind(&self) -> FindingKind {
        FindingKind::Duty
    }

    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity> {
        context.dutiful()?;
        let told = !context.disabled.contains(FindingKind::ReadWrites)
            && super::read_writes::applies(context, access);
        (!context.granted && !told).then(|| context.severity_if_refused(self.kind(), access))
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        let identity = context.dutiful()?;
        let duty = |id: &DutyId| context.policy.duty(*id);
        let names = || {
            identity
                .duties
                .iter()
                .map(|id| Quoted(duty(id).map_or("?", |d| &d.name)))
        };
        let why = match context.ambiguity {
            Some(why) => format!("; its path {}, so no route was compared", why.words()),
            None => String::new(),
        };
        let operations = || {
            identity
                .duties
                .iter()
                .filter_map(duty)
                .flat_map(|d| d.operations.iter())
        };
        let mut normal = format!("{} does {}:", who(access), any_of(names()));
        for (at, operation) in operations().take(SHOWN).enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(normal, "{comma} `{}`", Quoted(operation.text()));
        }
        match operations().count().saturating_sub(SHOWN) {
            0 => {}
            more => drop(write!(normal, " and {more} more operations")),
        }
        let place = identity.places.duties.as_ref().unwrap_or(&identity.place);
        Some(Words {
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
            normal,
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
