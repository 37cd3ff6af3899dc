//! Workload environment: a credential of one environment was used by a workload of another one. Where the
//! request went is another question (`environment`).

use super::words::{Quoted, Scene, Workload, any_of, clause, list, who};
use super::{Check, Context, FindingKind, Severity, Words};
use crate::access::Access;

pub(super) struct WorkloadEnvironment;

impl Check for WorkloadEnvironment {
    fn kind(&self) -> FindingKind {
        FindingKind::WorkloadEnvironment
    }

    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity> {
        let identity = context.dutiful()?;
        // An identity that may be used anywhere belongs nowhere in particular.
        identity.environments.as_ref()?;
        let home = context.workload_environment?;
        (!identity.allows(home)).then(|| context.severity_if_refused(self.kind(), access))
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        let identity = context.dutiful()?;
        let allowed = identity.environments.as_ref()?;
        let environments = context.policy.environments();
        let name = |id| Quoted(environments.name(id).map_or("?", |name| name));
        let home = name(context.workload_environment?);
        let names = || allowed.iter().map(|id| name(*id));
        let client = access.client.as_ref()?;
        let entry = context
            .policy
            .workload_environments()
            .find(&client.workload)?;
        let place = identity
            .places
            .environments
            .as_ref()
            .unwrap_or(&identity.place);
        let selector = entry.selector.to_string();
        Some(Words {
            clause: format!(
                "{}, and workload-environments.{home} has \"{}\" ({}:{})",
                clause(
                    &identity.name,
                    format_args!(".environments = {}", list(names())),
                    place,
                ),
                Quoted(&selector),
                Quoted(&entry.place.file),
                entry.place.line
            ),
            title: format!(
                "{}, which is for {}, was used by a workload of {home}: {}",
                who(access),
                any_of(names()),
                Scene(context, access)
            ),
            normal: format!(
                "{} is in the hands of workloads of {} only",
                who(access),
                any_of(names())
            ),
            action: format!(
                "Find out how {} came by the credential. If {} put it there, give that workload one of its own \
                 environment; if not, revoke it.",
                Workload(access),
                Quoted(&identity.owner)
            ),
            techniques: &["T1552.001", "T1528"],
        })
    }
}
