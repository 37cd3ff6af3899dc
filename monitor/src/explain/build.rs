//! From an alert to its story.

use std::sync::Arc;

use super::model::{Around, Delivery, Event, From, Story, Who};
use super::{clause, meaning, steps};
use crate::access::CredentialKind;
use crate::access::record::{AccessRecord, EndpointRecord};
use crate::alert::Alert;
use crate::policy::selector::Selector;
use crate::policy::{Identity, Policy};
use crate::store::Undelivered;

/// How far around an alert is looked, in microseconds: ten minutes.
const AROUND_US: i64 = 600_000_000;
/// Most accesses shown of what else happened.
const MOST_AROUND: usize = 20;
/// Most workloads shown.
const MOST_FROM: usize = 8;

/// A webhook, as far as a story needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Name.
    pub name: String,
    /// Whether its filter lets the alert through.
    pub wants: bool,
    /// Why nothing is sent to it until somebody enables it.
    pub disabled: Option<String>,
}

/// What a story is made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The alert.
    pub alert: &'a Alert,
    /// Policy in force.
    pub policy: &'a Policy,
    /// The last accesses of this host, oldest first; `None` while no daemon is running.
    pub recent: Option<&'a [Arc<AccessRecord>]>,
    /// Webhooks as configured.
    pub webhooks: &'a [Webhook],
    /// Messages about the alert that did not arrive.
    pub undelivered: &'a [Undelivered],
}

/// Makes the story.
#[must_use]
pub fn build(inputs: &Inputs<'_>) -> Story {
    let alert = inputs.alert;
    let mut evidence: Vec<&AccessRecord> = alert.evidence.iter().collect();
    // Times of one form compare as text.
    evidence.sort_by(|a, b| a.time.cmp(&b.time));
    let who = who(alert, &evidence, inputs.policy);
    let from = from(&evidence, alert);
    let deliveries = deliveries(inputs);
    Story {
        r#type: "story".to_owned(),
        v: 1,
        id: alert.id.clone(),
        severity: alert.severity,
        kind: alert.kind,
        title: alert.title.clone(),
        count: alert.count,
        first_seen: alert.first_seen.clone(),
        last_seen: alert.last_seen.clone(),
        happened: evidence.iter().copied().map(event).collect(),
        not_kept: alert.count.saturating_sub(evidence.len() as u64),
        normal: clause::normal(alert, inputs.policy),
        around: around(inputs, &evidence),
        meaning: meaning::of(alert),
        steps: steps::steps(alert, &who, &from, &deliveries),
        who,
        from,
        deliveries,
    }
}

fn event(access: &AccessRecord) -> Event {
    let request = &access.request;
    let gap = if request.path.starts_with('/') {
        ""
    } else {
        " "
    };
    Event {
        time: access.time.clone(),
        identity: access.identity.clone(),
        operation: format!("{} {}{gap}{}", request.method, request.host, request.path),
        status: access.response.as_ref().map(|response| response.status),
        environment: access.environment.clone(),
        pid: access.client.as_ref().map(|client| client.pid),
        findings: access.findings.clone(),
    }
}

fn who(alert: &Alert, evidence: &[&AccessRecord], policy: &Policy) -> Who {
    let last = evidence
        .iter()
        .rev()
        .find(|access| access.credential.is_some());
    let credential = last.and_then(|access| access.credential.clone());
    let identity = alert
        .identity
        .as_deref()
        .and_then(|name| policy.identities().find(|own| *own.name == *name));
    let kind = credential.as_ref().map(|credential| credential.kind);
    let identified = match (&alert.identity, identity) {
        (None, _) => "the alert is about no credential".to_owned(),
        (Some(_), Some(identity)) => identified(identity, kind),
        (Some(_), None) if alert.owner.is_some() => {
            "by a policy that has changed since: it names no such identity now".to_owned()
        }
        (Some(_), None) if kind == Some(CredentialKind::Jwt) => {
            "no identity of the policy has it: it is called by what the token says of itself, which nobody \
             here verifies"
                .to_owned()
        }
        (Some(_), None) => {
            "no identity of the policy has it: it is called by its fingerprint".to_owned()
        }
    };
    Who {
        identity: alert.identity.clone(),
        owner: alert.owner.clone(),
        binding: last.and_then(|access| access.binding.clone()),
        credential,
        identified,
        place: identity.map(|identity| identity.place.to_string()),
    }
}

/// By which of its selectors an identity was probably found.
fn identified(identity: &Identity, kind: Option<CredentialKind>) -> String {
    let says = |selector: &Selector| match selector {
        Selector::Fingerprint(_) => Some("its fingerprint".to_owned()),
        Selector::File(path) => Some(format!("the file {}", path.display())),
        Selector::Jwt(_) if matches!(kind, Some(CredentialKind::Jwt | CredentialKind::Dpop)) => {
            Some("what the token says of itself, which nobody here verifies".to_owned())
        }
        Selector::Sigv4(_) if kind == Some(CredentialKind::Sigv4) => {
            Some("its access key id".to_owned())
        }
        Selector::Basic(_) if kind == Some(CredentialKind::Basic) => {
            Some("its user name".to_owned())
        }
        Selector::Digest(_) if kind == Some(CredentialKind::Digest) => {
            Some("its user name".to_owned())
        }
        _ => None,
    };
    let mut ways: Vec<String> = Vec::new();
    for way in identity.credentials.iter().filter_map(says) {
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    if ways.is_empty() {
        return "by the policy".to_owned();
    }
    format!("by the policy, through {}", ways.join(" or "))
}

/// `unit:…`, `container:…` or `exe:…`.
fn label(end: &EndpointRecord) -> Option<String> {
    match (&end.container, &end.unit) {
        (Some(container), _) => Some(format!("container:{container}")),
        (None, Some(unit)) => Some(format!("unit:{unit}")),
        (None, None) if end.exe.is_empty() => None,
        (None, None) => Some(format!("exe:{}", end.exe)),
    }
}

fn from(evidence: &[&AccessRecord], alert: &Alert) -> Vec<From> {
    let mut all: Vec<From> = Vec::new();
    for access in evidence {
        let client = access.client.as_ref();
        let one = From {
            workload: client.and_then(label),
            exe: client.map(|end| end.exe.clone()),
            user: client.map(|end| end.user.clone()),
            pid: client.map(|end| end.pid),
            lineage: client.map(|end| end.lineage.clone()).unwrap_or_default(),
            peer: access.peer.clone(),
        };
        let known = all.iter().any(|known| {
            let same =
                |a: &From, b: &From| (a.workload == b.workload, a.pid == b.pid) == (true, true);
            same(known, &one) && (one.pid.is_some() || known.peer == one.peer)
        });
        if !known {
            all.push(one);
        }
    }
    if all.is_empty() && alert.workload.is_some() {
        all.push(From {
            workload: alert.workload.clone(),
            exe: None,
            user: None,
            pid: None,
            lineage: Vec::new(),
            peer: None,
        });
    }
    all.truncate(MOST_FROM);
    all
}

fn micros(time: &str) -> Option<i64> {
    time.parse::<jiff::Timestamp>()
        .ok()
        .map(jiff::Timestamp::as_microsecond)
}

fn around(inputs: &Inputs<'_>, evidence: &[&AccessRecord]) -> Around {
    let nothing = |note: &str| Around {
        held: false,
        note: note.to_owned(),
        events: Vec::new(),
        more: 0,
    };
    let Some(recent) = inputs.recent else {
        return nothing("no daemon is running: only a running one holds the last accesses");
    };
    let alert = inputs.alert;
    let (Some(first), Some(last)) = (micros(&alert.first_seen), micros(&alert.last_seen)) else {
        return nothing("the alert does not say when it was");
    };
    let (begin, end) = (
        first.saturating_sub(AROUND_US),
        last.saturating_add(AROUND_US),
    );
    let Some(oldest) = recent.first().and_then(|access| micros(&access.time)) else {
        return nothing("the daemon holds no accesses yet");
    };
    if oldest > end {
        return nothing(&format!(
            "the daemon holds the last {} accesses of this host, and that time is not among them",
            recent.len()
        ));
    }
    let prints: Vec<&str> = evidence
        .iter()
        .filter_map(|access| access.credential.as_ref())
        .map(|credential| &*credential.fingerprint)
        .collect();
    let labels: Vec<String> = evidence
        .iter()
        .filter_map(|access| access.client.as_ref().and_then(label))
        .chain(alert.workload.clone())
        .collect();
    let concerned = |access: &AccessRecord| {
        let credential = access.credential.as_ref();
        credential.is_some_and(|credential| prints.contains(&&*credential.fingerprint))
            || access
                .client
                .as_ref()
                .and_then(label)
                .is_some_and(|label| labels.contains(&label))
    };
    let mut events: Vec<Event> = recent
        .iter()
        .filter(|access| {
            micros(&access.time).is_some_and(|time| (begin..=end).contains(&time))
                && concerned(access)
                && !evidence.iter().any(|own| {
                    (&own.time, &own.request, &own.identity)
                        == (&access.time, &access.request, &access.identity)
                })
        })
        .map(|access| event(access))
        .collect();
    events.sort_by(|a, b| a.time.cmp(&b.time));
    let more = events.len().saturating_sub(MOST_AROUND);
    events.drain(..more);
    let missing = if oldest > begin {
        "; the daemon does not hold all accesses of that time any more"
    } else {
        ""
    };
    Around {
        held: true,
        note: format!(
            "other accesses of this credential or workload, from ten minutes before to ten minutes after{missing}"
        ),
        events,
        more: more as u64,
    }
}

fn deliveries(inputs: &Inputs<'_>) -> Vec<Delivery> {
    let mut all: Vec<Delivery> = inputs
        .undelivered
        .iter()
        .map(|message| {
            let error = message
                .error
                .as_ref()
                .map(|error| format!(": {error}"))
                .unwrap_or_default();
            Delivery {
                webhook: message.webhook.clone(),
                state: if message.dead { "given-up" } else { "waiting" }.to_owned(),
                detail: format!(
                    "{} {}, {} failed attempts{error}",
                    if message.dead {
                        "given up"
                    } else {
                        "waits since"
                    },
                    message.since,
                    message.attempts
                ),
            }
        })
        .collect();
    for webhook in inputs.webhooks {
        let one = all.iter_mut().find(|one| one.webhook == webhook.name);
        match (one, &webhook.disabled) {
            (Some(one), Some(why)) => one
                .detail
                .push_str(&format!("; nothing is sent to it: {why}")),
            (Some(_), None) => {}
            (None, _) => all.push(if webhook.wants {
                Delivery {
                    webhook: webhook.name.clone(),
                    state: "sent".to_owned(),
                    detail: "nothing about it waits, and nothing was given up".to_owned(),
                }
            } else {
                Delivery {
                    webhook: webhook.name.clone(),
                    state: "filtered".to_owned(),
                    detail: "its filter leaves this alert out".to_owned(),
                }
            }),
        }
    }
    all
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
