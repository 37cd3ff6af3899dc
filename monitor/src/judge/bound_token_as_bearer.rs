//! Bound token as bearer: a token that names a key was sent as if whoever has it may use it (RFC 9449 §7.2).

use super::words::{Scene, who};
use super::{Check, Context, FindingKind, Severity, Words};
use crate::access::{Access, Confirmation, CredentialKind, Location};

pub(super) struct BoundTokenAsBearer;

impl Check for BoundTokenAsBearer {
    fn kind(&self) -> FindingKind {
        FindingKind::BoundTokenAsBearer
    }

    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity> {
        let credential = access.credential.as_ref()?;
        let bound = matches!(credential.claims.confirmation, Some(Confirmation::Key(_)));
        let sent = matches!(access.location, Some(Location::Header | Location::Query));
        // Behind a gateway that saw the proof, the token is passed on as one pleases.
        if !bound
            || !sent
            || credential.kind != CredentialKind::Jwt
            || context.history.behind_gateway
        {
            return None;
        }
        let severity = context.severity_if_refused(self.kind(), access);
        Some(if proved(access) {
            severity.lowered()
        } else {
            severity
        })
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        let without = if proved(access) {
            "as a bearer token, though with a proof"
        } else {
            "without a proof of it"
        };
        Some(Words {
            clause: "check bound-token-as-bearer: a token with cnf.jkt is sent with the scheme DPoP and a proof"
                .to_owned(),
            title: format!(
                "A token of {} that is bound to a key was sent {without}: {}",
                who(access),
                Scene(context, access)
            ),
            normal: "the key's holder sends the token as `Authorization: DPoP` and signs a proof for each request"
                .to_owned(),
            action: "Whoever has the token but not its key sends it like this: find out how the workload came by \
                     it. If the server accepted it, have it refuse tokens with `cnf.jkt` that come without a proof."
                .to_owned(),
            techniques: &["T1528", "T1550.001"],
        })
    }
}

/// Whether it was sent under the wrong name, but with its proof.
fn proved(access: &Access) -> bool {
    access.proof.as_ref().is_some_and(|proof| proof.stands())
}
