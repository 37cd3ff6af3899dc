//! Environment: the request went to an environment the identity is not for.

use super::words::{Quoted, Scene, any_of, clause, list, who};
use super::{Check, Context, Destination, FindingKind, Severity, Words};
use crate::access::Access;

pub(super) struct Environment;

impl Check for Environment {
    fn kind(&self) -> FindingKind {
        FindingKind::Environment
    }

    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity> {
        let identity = context.dutiful()?;
        identity.environments.as_ref()?;
        let destination = &context.destination;
        destination.name?;
        // A host's own environment that the policy does not list is one that no identity is for.
        let outside = destination.id.is_none_or(|id| !identity.allows(id));
        let claim = destination
            .claimed
            .filter(|claimed| !identity.allows(*claimed));
        (outside || claim.is_some()).then(|| context.severity_if_refused(self.kind(), access))
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        let identity = context.dutiful()?;
        let allowed = identity.environments.as_ref()?;
        let destination = &context.destination;
        let actual = destination.name?;
        let name = |id| context.policy.environments().name(id);
        let claimed = match destination.claimed.and_then(name) {
            Some(claimed) => format!(", though its Host says {}", Quoted(claimed)),
            None => String::new(),
        };
        let names = || {
            allowed
                .iter()
                .map(|id| Quoted(name(*id).map_or("?", |name| name)))
        };
        // The title has the environment in front already.
        let elsewhere = Context {
            destination: Destination::default(),
            ..*context
        };
        let place = identity
            .places
            .environments
            .as_ref()
            .unwrap_or(&identity.place);
        Some(Words {
            clause: clause(
                &identity.name,
                format_args!(".environments = {}", list(names())),
                place,
            ),
            title: format!(
                "{}, which is for {}, was used in {}{claimed}: {}",
                who(access),
                any_of(names()),
                Quoted(actual),
                Scene(&elsewhere, access)
            ),
            normal: format!("{} is used in {} only", who(access), any_of(names())),
            action: format!(
                "Ask {} why it was used in {}. If that was not meant, revoke the credential there and give \
                 each environment its own.",
                Quoted(&identity.owner),
                Quoted(actual)
            ),
            techniques: &["T1078.004", "T1550.001"],
        })
    }
}
