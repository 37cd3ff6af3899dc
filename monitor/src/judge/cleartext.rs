//! Clear text: a credential crossed the network where everyone on the way could read it.

use std::net::IpAddr;

use super::words::{Scene, who};
use super::{Check, Context, FindingKind, Severity, Words};
use crate::access::{Access, Credential, CredentialKind, Peer, Role};

pub(super) struct Cleartext;

impl Check for Cleartext {
    fn kind(&self) -> FindingKind {
        FindingKind::Cleartext
    }

    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity> {
        let credential = access.credential.as_ref()?;
        let address = address(access)?;
        if access.tls.is_some()
            || access.local
            || access.role == Role::Both
            || address.is_loopback()
        {
            return None;
        }
        let severity = context.severity(self.kind());
        Some(if is_proof(credential) {
            severity.lowered().lowered()
        } else {
            severity
        })
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        let proof = is_proof(access.credential.as_ref()?);
        let address = address(access)?;
        let what = if proof {
            "A proof of"
        } else {
            "The credential of"
        };
        let way = if access.role == Role::Server {
            "from"
        } else {
            "to"
        };
        Some(Words {
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

/// Where the other end is.
fn address(access: &Access) -> Option<IpAddr> {
    match &access.peer {
        Peer::Inet(peer) => Some(peer.ip().to_canonical()),
        Peer::Unix(_) | Peer::Unknown => None,
    }
}

/// What crosses is a proof made with the secret, or a token bound to a key.
fn is_proof(credential: &Credential) -> bool {
    matches!(
        credential.kind,
        CredentialKind::Digest | CredentialKind::Sigv4 | CredentialKind::Dpop
    )
}
