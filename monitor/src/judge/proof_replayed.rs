//! Proof replayed: a DPoP proof was used twice (RFC 9449 §11.1).
//!
//! A proxy on this host that passes a request on uses it again, and rightly: see [`super::proofs`].

use super::expired_token::span;
use super::words::{Scene, who};
use super::{Check, Context, FindingKind, Severity, Words};
use crate::access::Access;

pub(super) struct ProofReplayed;

impl Check for ProofReplayed {
    fn kind(&self) -> FindingKind {
        FindingKind::ProofReplayed
    }

    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity> {
        context.history.replayed_after_s?;
        Some(context.severity_if_refused(self.kind(), access))
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        let seconds = context.history.replayed_after_s?;
        Some(Words {
            clause: "check proof-replayed: a DPoP proof is used once".to_owned(),
            title: format!(
                "A DPoP proof beside the credential of {} was used again {} after its first use: {}",
                who(access),
                span(seconds),
                Scene(context, access)
            ),
            normal: "the client signs a new proof for each request, also when it tries one again".to_owned(),
            action: "Find out whether the client repeats requests with the proof they had, or another got hold of \
                     request and token on the way. If the server accepted it, have it remember `jti`, or ask for \
                     nonces."
                .to_owned(),
            techniques: &["T1550.001"],
        })
    }
}
