//! Token and proof brought together, where the token is still raw.

use std::sync::Arc;

use arrayvec::ArrayVec;

use super::super::dpop::{Asked, Checker, Proof, Token};
use super::super::{Confirmation, Credential, CredentialKind};
use super::target::{Target, TargetForm};
use super::{Recognised, Recogniser, authorization};
use crate::wire::RequestHead;

/// Most hosts that proxies said were asked for.
const MAX_FORWARDED: usize = 4;

impl Recogniser {
    /// The same with another bound to what verifying signatures of DPoP proofs may cost, in microseconds of
    /// one processor a second. Proofs beyond it are read, but not verified, and counted.
    #[must_use]
    pub fn with_proof_allowance(mut self, allowance_us: u32) -> Self {
        self.checker.allow(allowance_us);
        self
    }

    /// Goes on with the counts of proofs of another, which this one stands in for.
    pub fn inherit(&mut self, other: &Self) {
        self.checker.inherit(&other.checker);
    }

    /// Tells the time, in ns of a clock that only goes forward: for that bound.
    pub fn tick(&mut self, now_ns: u64) {
        self.checker.tick(now_ns);
    }
}

/// The access token of a request with a proof: its SHA-256 is taken when it is recognised, since what comes
/// out of that has no secret.
pub(super) struct TokenSent {
    wanted: bool,
    sent: Option<Sent>,
}

struct Sent {
    hash: [u8; 32],
    bound: bool,
    credential: Arc<Credential>,
}

impl TokenSent {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, sent: None }
    }

    /// Whether the request has a proof.
    pub(super) fn wanted(&self) -> bool {
        self.wanted
    }

    /// A token was recognised, by a rule for this kind. One sent as DPoP-bound outranks others, then the first.
    pub(super) fn note(
        &mut self,
        kind: CredentialKind,
        secret: &[u8],
        credential: &Arc<Credential>,
    ) {
        let bound = kind == CredentialKind::Dpop;
        let better = match &self.sent {
            None => bound || kind == CredentialKind::Bearer,
            Some(sent) => bound && !sent.bound,
        };
        if self.wanted && better {
            self.sent = Some(Sent {
                hash: Token::new(secret, None, bound).hash,
                bound,
                credential: Arc::clone(credential),
            });
        }
    }
}

/// A request as its proof is compared with it.
pub(super) struct Bound<'a, 'h> {
    pub(super) head: &'a RequestHead<'h>,
    pub(super) target: &'a Target<'h>,
    pub(super) proofs: &'a [&'h [u8]],
}

impl<'h> Bound<'_, 'h> {
    /// Checks the proof. Without one there is nothing to say, but for a head that was cut off before it may
    /// have come.
    pub(super) fn check(&self, checker: &mut Checker, token: &TokenSent, out: &mut Recognised) {
        if self.proofs.is_empty() {
            let at = out
                .found
                .iter()
                .position(|found| found.credential.kind == CredentialKind::Dpop);
            if let Some(at) = at {
                out.bound = at;
                out.proof = Some(Box::new(Proof::unseen()));
            }
            return;
        }
        let forwarded = self.forwarded();
        let path = match self.target.form {
            TargetForm::Origin | TargetForm::Absolute => Some(self.target.path),
            TargetForm::Authority | TargetForm::Asterisk | TargetForm::Invalid => None,
        };
        let mut sent = None;
        if let Some(token) = &token.sent {
            let is = |found: &super::Found| Arc::ptr_eq(&found.credential, &token.credential);
            out.bound = out.found.iter().position(is).unwrap_or(0);
            let key = match &token.credential.claims.confirmation {
                Some(Confirmation::Key(key)) => Some(&**key),
                _ => None,
            };
            sent = Some(Token {
                hash: token.hash,
                key,
                bound: token.bound || key.is_some(),
            });
        }
        let asked = Asked {
            method: self.head.method,
            host: &out.host,
            forwarded: &forwarded,
            path,
            token: sent,
        };
        out.proof = Some(Box::new(checker.check(self.proofs, &asked)));
    }

    /// Hosts that proxies say were asked for (RFC 7239 §5.3, and the field before it).
    fn forwarded(&self) -> ArrayVec<&'h [u8], MAX_FORWARDED> {
        let mut hosts = ArrayVec::new();
        for header in self.head.headers {
            if header.name.eq_ignore_ascii_case("x-forwarded-host") {
                for host in header.value.split(|byte| *byte == b',') {
                    let _ = hosts.try_push(host.trim_ascii());
                }
            } else if header.name.eq_ignore_ascii_case("forwarded") {
                for hop in header.value.split(|byte| *byte == b',') {
                    if let Some(host) = authorization::parameter(hop, b"host") {
                        let _ = hosts.try_push(host);
                    }
                }
            }
        }
        hosts
    }
}
