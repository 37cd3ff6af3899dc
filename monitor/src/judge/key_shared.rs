//! Key shared: two workloads signed DPoP proofs with one key, so one has the other's.

use super::expired_token::span;
use super::words::{Quoted, Scene, who};
use super::{Check, Context, FindingKind, Severity, Words};
use crate::access::Access;

pub(super) struct KeyShared;

impl Check for KeyShared {
    fn kind(&self) -> FindingKind {
        FindingKind::KeyShared
    }

    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity> {
        context.history.shared_with.as_ref()?;
        access.proof.as_ref()?.thumbprint?;
        Some(context.severity_if_refused(self.kind(), access))
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        let other = context.history.shared_with.as_ref()?;
        let thumbprint = access.proof.as_ref()?.thumbprint?;
        let label = other.workload.label();
        let mut holder = Quoted(&other.workload.exe).to_string();
        if label.kind != "exe" {
            holder.push_str(&format!(" ({}:{})", label.kind, Quoted(label.name)));
        }
        Some(Words {
            clause: "check key-shared: a DPoP key does not leave the workload that it was made for".to_owned(),
            title: format!(
                "The DPoP key {thumbprint} of {} signs for two workloads, {} ago for {holder} and now here: {}",
                who(access),
                span(other.seconds),
                Scene(context, access)
            ),
            normal: format!("this key signs for {holder} only"),
            action: "Find out how the second workload came by the key. If it was not given to it, replace the key and \
                     every token that is bound to it; if it was, give each workload its own."
                .to_owned(),
            techniques: &["T1552.004", "T1550.001"],
        })
    }
}
