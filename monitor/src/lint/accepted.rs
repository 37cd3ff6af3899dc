//! `[[accept]]`, and SOD013 and SOD014: acceptances that are over, or accept nothing.

use super::{Accepted, Level, Lint, LintFinding, Live, codes};
use crate::policy::Accept;

pub(super) fn apply(lint: &mut Lint<'_>) {
    let today = lint.input.today;
    for accept in lint.policy.accepts() {
        let expired = accept.until < today;
        let mut met = false;
        let fits = |f: &&mut LintFinding| {
            f.code.id == accept.code && f.level > Level::Info && f.subject == *accept.subject
        };
        for finding in lint.found.iter_mut().filter(fits) {
            met = true;
            if !expired {
                finding.accepted = Some(Accepted {
                    reason: accept.reason.to_string(),
                    until: accept.until.to_string(),
                });
            }
        }
        if expired {
            let message = format!(
                "{} of {} was accepted until {}: {}",
                accept.code, accept.subject, accept.until, accept.reason
            );
            let change = "mend what it accepts, or set a new day after looking again";
            push(lint, accept, codes::EXPIRED, Level::Medium, message, change);
        } else if !met && looked(lint, accept.code) {
            let message = format!("there is no {} of {}", accept.code, accept.subject);
            let change = "remove it, or correct its code and subject";
            push(lint, accept, codes::STALE, Level::Low, message, change);
        }
    }
}

/// Whether the rule could look at everything it wanted to.
fn looked(lint: &Lint<'_>, code: &str) -> bool {
    code != codes::UNUSED.id || matches!(lint.input.live, Live::Seen { .. })
}

fn push(
    lint: &mut Lint<'_>,
    accept: &Accept,
    code: super::Code,
    level: Level,
    message: String,
    change: &str,
) {
    lint.push(LintFinding {
        code,
        level,
        subject: format!("{} {}", accept.code, accept.subject),
        message,
        clause: format!(
            "accept.code = \"{}\", subject = \"{}\", until = \"{}\"",
            accept.code, accept.subject, accept.until
        ),
        place: Some(accept.place.clone()),
        witness: None,
        change: change.to_owned(),
        accepted: None,
    });
}
