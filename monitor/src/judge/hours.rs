//! Hours: the credential was used at a time when its identity is not.

use super::cache::second;
use super::words::{Quoted, Scene, any_of, clause, list, who};
use super::{Check, Context, FindingKind, Severity, Words};
use crate::access::Access;

pub(super) struct Hours;

impl Check for Hours {
    fn kind(&self) -> FindingKind {
        FindingKind::Hours
    }

    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity> {
        context.dutiful()?;
        (context.within_hours == Some(false))
            .then(|| context.severity_if_refused(self.kind(), access))
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        let identity = context.dutiful()?;
        let hours = identity.hours.as_ref()?;
        let clock = hours.clock(second(access.time_us))?;
        let place = identity.places.hours.as_ref().unwrap_or(&identity.place);
        let texts = || hours.texts().map(Quoted);
        Some(Words {
            clause: clause(
                &identity.name,
                format_args!(".hours = {}", list(texts())),
                place,
            ),
            title: format!(
                "{} was used outside its hours, at {clock}: {}",
                who(access),
                Scene(context, access)
            ),
            normal: format!("{} is used {} only", who(access), any_of(texts())),
            action: format!(
                "Ask {} who worked at that time. If nobody did, revoke the credential; if that is usual, widen the \
                 hours.",
                Quoted(&identity.owner)
            ),
            techniques: &["T1078.004"],
        })
    }
}
