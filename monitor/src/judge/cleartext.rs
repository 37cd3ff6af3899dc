//! Clear text: a credential crossed the network where everyone on the way could read it.

use super::words::{Scene, who};
use super::{Check, Context, Finding, FindingKind};
use crate::access::{Access, CredentialKind, Peer, Role};

pub(super) struct Cleartext;

impl Check for Cleartext {
    fn kind(&self) -> FindingKind {
        FindingKind::Cleartext
    }

    fn check(&self, context: &Context<'_>, access: &Access) -> Option<Finding> {
        let credential = access.credential.as_ref()?;
        let Peer::Inet(peer) = &access.peer else {
            return None;
        };
        let address = peer.ip().to_canonical();
        if access.tls.is_some()
            || access.local
            || access.role == Role::Both
            || address.is_loopback()
        {
            return None;
        }
        let severity = context.severity(self.kind());
        // What crosses is a proof made with the secret, or a token bound to a key.
        let proof = matches!(
            credential.kind,
            CredentialKind::Digest | CredentialKind::Sigv4 | CredentialKind::Dpop
        );
        let (severity, what) = if proof {
            (severity.lowered().lowered(), "A proof of")
        } else {
            (severity, "The credential of")
        };
        let way = if access.role == Role::Server {
            "from"
        } else {
            "to"
        };
        Some(Finding {
            kind: self.kind(),
            severity,
            clause: "check cleartext: a credential crosses the network only encrypted".to_owned(),
            title: format!(
                "{what} {} crossed the network in clear text {way} {address}: {}",
                who(access),
                Scene(context, access)
            ),
            normal: "credentials are sent over TLS, or stay on this host (loopback, unix sockets)".to_owned(),
            action: if proof {
                "Serve the destination over TLS: whoever read along can repeat the request, or guess at the \
                 secret behind it."
            } else {
                "Serve the destination over TLS, then replace the credential: whoever read along has it."
            }
            .to_owned(),
            techniques: &["T1040", "T1552"],
        })
    }
}
