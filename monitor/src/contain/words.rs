//! What an act says of itself.

use std::sync::Arc;

use super::record::ContainmentRecord;
use super::{Act, Violation};
use crate::alert::{AlertUpdate, FoldKey};
use crate::judge::{FindingKind, Severity};

/// What was done, in the past or in the conditional.
fn deed(act: Act, state: &str) -> &'static str {
    match (state, act) {
        ("would", Act::Reset) => "would have reset the connection",
        ("would", Act::Refuse) => "would have refused new connections",
        ("would", Act::Stop) => "would have stopped the process",
        ("failed", Act::Reset) => "could not reset the connection",
        ("failed", Act::Refuse) => "could not refuse new connections",
        ("failed", Act::Stop) => "could not stop the process",
        (_, Act::Reset) => "reset the connection",
        (_, Act::Refuse) => "refused new connections",
        (_, Act::Stop) => "stopped the process",
    }
}

/// What a person does about it.
fn advice(act: Act, record: &ContainmentRecord) -> String {
    let id = &record.id;
    match (&*record.state, act) {
        ("would", _) => {
            "Nothing was done: containment is in dry run. If this would have been right, set [containment] mode = \
             \"enforce\"; if not, narrow the rule or add the workload to never."
                .to_owned()
        }
        ("failed", _) => "Nothing was done. `bailiwick doctor` tells what containment can do here; until then, act by \
                          hand on the alert of the finding."
            .to_owned(),
        (_, Act::Reset) => "The client may connect again: nothing is to be undone. Look at the alert of the finding, \
                            and revoke the credential if it was stolen."
            .to_owned(),
        (_, Act::Refuse) => format!(
            "Until {} only existing connections go on. To undo it: `bailiwick contain undo {id}`.",
            record.until.as_deref().unwrap_or("its end")
        ),
        (_, Act::Stop) => format!(
            "It keeps its memory, files and connections, and can be examined. To let it go on: `bailiwick contain \
             undo {id}`, or `kill -CONT {}` when the daemon was restarted since; to end it: `kill -KILL {}`.",
            record.pid, record.pid
        ),
    }
}

/// The alert of an act. Its clause has the act's id, so that each is an alert of its own.
pub(super) fn alert(
    act: Act,
    record: &ContainmentRecord,
    violation: &Violation,
    severity: Severity,
    now_us: i64,
) -> AlertUpdate {
    let access = &violation.access;
    let why = record
        .error
        .as_deref()
        .map(|error| format!(": {error}"))
        .unwrap_or_default();
    let who = access.identity.as_deref().unwrap_or("an unknown identity");
    AlertUpdate {
        key: FoldKey {
            kind: FindingKind::Contained,
            identity: access.identity.clone(),
            workload: Some(Arc::from(&*record.workload)),
            clause: format!("contain act = \"{act}\" at {}, {}", record.rule, record.id).into(),
        },
        count: 1,
        first_us: now_us,
        last_us: now_us,
        severity,
        title: format!(
            "{} of {} (process {}) after {} by {who}: {}{why}",
            deed(act, &record.state),
            record.workload,
            record.pid,
            violation.finding.kind.name(),
            record.target
        ),
        normal: "nothing breaks the policy, and nothing is contained".to_owned(),
        action: advice(act, record),
        techniques: &[],
        owner: access.owner.clone(),
        operation: operation(violation),
        environment: access.environment.clone(),
        evidence: vec![access.clone()],
    }
}

/// `METHOD host/route`.
fn operation(violation: &Violation) -> String {
    let access = &violation.access;
    let space = if access.route.starts_with('/') {
        ""
    } else {
        " "
    };
    format!("{} {}{space}{}", access.method, access.host, access.route)
}
