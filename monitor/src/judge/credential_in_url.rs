//! Credential in a URL: URLs end up in logs, histories and `Referer` fields.

use super::words::{Scene, who};
use super::{Check, Context, FindingKind, Severity, Words};
use crate::access::{Access, CredentialKind, Location};

pub(super) struct CredentialInUrl;

impl Check for CredentialInUrl {
    fn kind(&self) -> FindingKind {
        FindingKind::CredentialInUrl
    }

    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity> {
        let credential = access.credential.as_ref()?;
        let severity = context.severity(self.kind());
        match access.location? {
            // A service that works so leaves its user no choice.
            Location::Path => Some(severity.lowered()),
            // A presigned URL ends by itself.
            Location::Query if credential.kind == CredentialKind::Sigv4 => Some(severity.lowered()),
            Location::Query => Some(severity),
            Location::Header | Location::Cookie => None,
        }
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        let credential = access.credential.as_ref()?;
        let (part, action) = match access.location? {
            Location::Path => (
                "path",
                "Treat the whole URL as the secret: keep it out of logs and tickets, and replace it when it \
                 was in one.",
            ),
            Location::Query if credential.kind == CredentialKind::Sigv4 => (
                "query",
                "Sign such URLs for as short a time as possible, and keep them out of logs.",
            ),
            Location::Query => (
                "query",
                "Send the credential in a header (Authorization), and replace it: it is in the logs of every \
                 server and proxy on the way.",
            ),
            Location::Header | Location::Cookie => return None,
        };
        Some(Words {
            clause: "check credential-in-url: a credential stands in a header".to_owned(),
            title: format!(
                "The credential of {} stood in a URL ({part}): {}",
                who(access),
                Scene(context, access)
            ),
            normal: "credentials are sent in header fields, which servers do not log".to_owned(),
            action: action.to_owned(),
            techniques: &["T1552"],
        })
    }
}
