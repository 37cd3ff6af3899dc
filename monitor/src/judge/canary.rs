//! Canary: an identity without duties was used. Nobody has a reason to.

use super::words::{Quoted, Scene, clause, who};
use super::{Check, Context, FindingKind, Severity, Words};
use crate::access::Access;

pub(super) struct Canary;

impl Check for Canary {
    fn kind(&self) -> FindingKind {
        FindingKind::Canary
    }

    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity> {
        context.identity.filter(|identity| identity.is_canary())?;
        Some(context.severity_if_refused(self.kind(), access))
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        let identity = context.identity?;
        Some(Words {
            clause: clause(&identity.name, format_args!(": no duties"), &identity.place),
            title: format!(
                "The canary {} was used: {}",
                who(access),
                Scene(context, access)
            ),
            normal: format!("nobody uses {}: it has no duties", who(access)),
            action: format!(
                "Whoever did this found a credential that was laid out to be found. Tell {}, keep the \
                 workload's traces, and look for what else lies where this credential lay.",
                Quoted(&identity.owner)
            ),
            techniques: &["T1552", "T1078"],
        })
    }
}
