//! Expired token: the server took a token after its `exp` (RFC 7519 §4.1.4).

use super::words::{Scene, who};
use super::{Check, Context, FindingKind, Severity, Words};
use crate::access::Access;

/// Seconds by which clocks may differ.
const LEEWAY: i64 = 60;

pub(super) struct ExpiredToken;

impl Check for ExpiredToken {
    fn kind(&self) -> FindingKind {
        FindingKind::ExpiredToken
    }

    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity> {
        let late = late(access)?;
        let accepted = matches!(access.status, Some(200..=299))
            && matches!(access.grpc_status, None | Some(0));
        (late > LEEWAY && accepted).then(|| context.severity(self.kind()))
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        let late = late(access)?;
        Some(Words {
            clause: "check expired-token: a server refuses a token after its exp".to_owned(),
            title: format!(
                "A token of {} was accepted {} after it expired: {}",
                who(access),
                span(late),
                Scene(context, access)
            ),
            normal: "a server answers an expired token with 401".to_owned(),
            action: "Have the server verify `exp`, or its clock: as it is, a stolen token works for ever."
                .to_owned(),
            techniques: &["T1550.001"],
        })
    }
}

/// Seconds since the token expired.
fn late(access: &Access) -> Option<i64> {
    let expires = access.credential.as_ref()?.claims.expires?;
    Some(access.time_us.div_euclid(1_000_000).saturating_sub(expires))
}

/// A span of time in words.
pub(super) fn span(seconds: i64) -> String {
    match seconds {
        ..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3600),
        172_800.. => format!("{} days", seconds / 86_400),
    }
}
