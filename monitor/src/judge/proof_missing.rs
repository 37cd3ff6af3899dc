//! Proof missing: `Authorization: DPoP` without a field `DPoP` (RFC 9449 §7.1).

use super::words::{Scene, who};
use super::{Check, Context, FindingKind, Severity, Words};
use crate::access::{Access, CredentialKind};

pub(super) struct ProofMissing;

impl Check for ProofMissing {
    fn kind(&self) -> FindingKind {
        FindingKind::ProofMissing
    }

    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity> {
        let credential = access.credential.as_ref()?;
        // A head whose end was not seen has a proof that says so.
        if credential.kind != CredentialKind::Dpop
            || access.proof.is_some()
            || context.history.behind_gateway
        {
            return None;
        }
        Some(context.severity_if_refused(self.kind(), access))
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        Some(Words {
            clause: "check proof-missing: a token sent with the scheme DPoP has a proof beside it".to_owned(),
            title: format!(
                "A DPoP token of {} was sent without a proof: {}",
                who(access),
                Scene(context, access)
            ),
            normal: "each request with a DPoP token carries a proof in the field `DPoP`".to_owned(),
            action: "Find out whether the client is broken or does not have the key. If the server accepted the \
                     request, have it ask for proofs: as it is, the token's binding protects nothing."
                .to_owned(),
            techniques: &["T1550.001"],
        })
    }
}
