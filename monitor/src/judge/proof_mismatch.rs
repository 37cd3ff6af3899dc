//! Proof mismatch: a DPoP proof does not fit its request, its token, its time or itself (RFC 9449 §4.3).

use std::fmt::Write as _;

use super::expired_token::span;
use super::words::{Scene, who};
use super::{Check, Context, FindingKind, Severity, Words};
use crate::access::Access;
use crate::access::dpop::{Flaw, Flaws, Proof};

pub(super) struct ProofMismatch;

impl Check for ProofMismatch {
    fn kind(&self) -> FindingKind {
        FindingKind::ProofMismatch
    }

    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity> {
        let proof = access.proof.as_ref()?;
        let fits = flaws(proof, context).is_empty()
            && late(proof, context, access).is_none()
            && !context.history.key_changed;
        (!fits).then(|| context.severity_if_refused(self.kind(), access))
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        let proof = access.proof.as_ref()?;
        let flaws = flaws(proof, context);
        let leaked = flaws.contains(Flaw::PrivateKey);
        let late = late(proof, context, access);
        let why = why(flaws, late, context.history.key_changed);
        let action = if leaked {
            "The key in the proof is whole: whoever read along can sign with it. Replace the key and every token \
             that is bound to it, then repair the client."
        } else {
            "Find out whether the client is broken or uses a token or proof that is not its own. If the server \
             accepted the request, have it verify proofs (RFC 9449 §4.3)."
        };
        Some(Words {
            clause: "check proof-mismatch: a DPoP proof is signed by its key, for this request and this token, now"
                .to_owned(),
            title: format!(
                "A DPoP proof beside the credential of {} does not fit ({why}): {}",
                who(access),
                Scene(context, access)
            ),
            normal: "the client signs a new proof for each request, with the key that the token is bound to"
                .to_owned(),
            action: action.to_owned(),
            techniques: &["T1550.001", "T1606"],
        })
    }
}

/// What is wrong with the proof itself.
fn flaws(proof: &Proof, context: &Context<'_>) -> Flaws {
    let mut flaws = proof.flaws;
    if context.history.relayed {
        // A proxy passed it on; the address is its own affair.
        flaws.remove(Flaw::Host);
        flaws.remove(Flaw::Path);
    }
    flaws
}

/// By how many seconds the proof is older than the window, or ahead of it. A server that asked for a nonce
/// dates the proof by that.
fn late(proof: &Proof, context: &Context<'_>, access: &Access) -> Option<i64> {
    let age = access
        .time_us
        .div_euclid(1_000_000)
        .saturating_sub(proof.issued?);
    (!proof.nonce && age.unsigned_abs() > context.proof_window_s.into()).then_some(age)
}

fn why(flaws: Flaws, late: Option<i64>, changed: bool) -> String {
    let mut why = String::new();
    let mut add = |text: &str| {
        let comma = if why.is_empty() { "" } else { "; " };
        let _ = write!(why, "{comma}{text}");
    };
    for flaw in flaws.iter() {
        add(match flaw {
            Flaw::Malformed => "it is not exactly one signed token with the claims of a proof",
            Flaw::Type => "its type is not dpop+jwt",
            Flaw::Algorithm => "its algorithm is not one for a key like that",
            Flaw::PrivateKey => "it carries its private key",
            Flaw::Signature => "its signature is wrong",
            Flaw::Method => "it is for another method",
            Flaw::Host => "it is for another host",
            Flaw::Path => "it is for another path",
            Flaw::Token => "it is for another token",
            Flaw::Key => "its key is not the one that the token is bound to",
        });
    }
    if changed {
        add("its key is not the one that came with this token before");
    }
    match late {
        Some(age @ 0..) => add(&format!("it was made {} ago", span(age))),
        Some(ahead) => add(&format!(
            "it was made {} ahead",
            span(ahead.saturating_neg())
        )),
        None => {}
    }
    why
}
