//! Workload binding: the credential was used by a workload it is not bound to.

use super::words::{Quoted, Scene, any_of, clause, list, who};
use super::{Check, Context, FindingKind, Severity, Words};
use crate::access::Access;

pub(super) struct WorkloadBinding;

impl Check for WorkloadBinding {
    fn kind(&self) -> FindingKind {
        FindingKind::Workload
    }

    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity> {
        let bound = context.dutiful()?.workloads.as_ref()?;
        // A client on another host has no workload here, and one that is gone is not known.
        let client = access.client.as_ref()?;
        if client.workload.exe.is_empty() || bound.iter().any(|own| own.matches(&client.workload)) {
            return None;
        }
        Some(context.severity_if_refused(self.kind(), access))
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        let identity = context.dutiful()?;
        let bound = identity.workloads.as_ref()?;
        let place = identity
            .places
            .workloads
            .as_ref()
            .unwrap_or(&identity.place);
        Some(Words {
            clause: clause(
                &identity.name,
                format_args!(".workloads = {}", list(bound.iter())),
                place,
            ),
            title: format!(
                "{} was used by a workload it is not bound to: {}",
                who(access),
                Scene(context, access)
            ),
            normal: format!("{} is used by {} only", who(access), any_of(bound.iter())),
            action: format!(
                "Find out how the workload came by the credential. If {} moved it there, add the workload to \
                 the identity; if not, revoke it.",
                Quoted(&identity.owner)
            ),
            techniques: &["T1528", "T1550.001"],
        })
    }
}
