//! The words of what was found in the past: both accesses, who, when, from where.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::Separated;
use super::acts::Act;
use super::approval::Outcome;
use super::gaps::Gap;
use super::place::Place;
use super::rules::{ApprovalRule, SeparationRule};
use super::shared::Shared;
use crate::access::record::rfc3339;
use crate::access::{Access, Workload};
use crate::judge::Words;
use crate::judge::expired_token::span;
use crate::judge::words::{self, Quoted, any_of, list, who};
use crate::policy;

/// Most characters of an object's id.
const LONGEST_OBJECT: usize = 80;

/// `10:02:07Z`; with the date, when that of `beside` is another.
struct When {
    time_us: i64,
    beside_us: i64,
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = rfc3339(self.time_us);
        let beside = rfc3339(self.beside_us);
        let (day, clock) = text.split_once('T').unwrap_or(("", &text));
        let clock = clock.split('.').next().unwrap_or(clock);
        if beside.starts_with(day) {
            write!(f, "{clock}Z")
        } else {
            write!(f, "{day} {clock}Z")
        }
    }
}

/// `METHOD host/path by WORKLOAD`.
struct Request<'a>(&'a Access);

impl fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = self.0;
        let gap = if access.path.starts_with('/') {
            ""
        } else {
            " "
        };
        let (method, host) = (Quoted(&access.method), Quoted(&access.host));
        write!(f, "{method} {host}{gap}{}", Quoted(&access.path))?;
        if let Some(environment) = &access.environment {
            write!(f, " in {}", Quoted(environment))?;
        }
        write!(f, " by {}", words::Workload(access))
    }
}

fn owner(access: &Access) -> Quoted<'_> {
    Quoted(access.owner.as_deref().unwrap_or("nobody known"))
}

fn duration(us: i64) -> String {
    let seconds = us / 1_000_000;
    for (unit, name) in [(86_400, "d"), (3600, "h"), (60, "m")] {
        if seconds >= unit && seconds % unit == 0 {
            return format!("{}{name}", seconds / unit);
        }
    }
    format!("{seconds}s")
}

fn at(place: &policy::Place) -> String {
    if place.line > 0 {
        format!(" ({}:{})", Quoted(&place.file), place.line)
    } else {
        String::new()
    }
}

/// The object of an act, as the captures name it.
fn object(act: &[super::acts::Deed], names: &[Arc<str>]) -> Option<String> {
    let value = |name: &Arc<str>| {
        let captures = act.iter().flat_map(|deed| &deed.captures);
        captures
            .filter(|(own, _)| own == name)
            .map(|(_, value)| &**value)
            .next()
    };
    let mut text = String::new();
    for name in names {
        let value: String = value(name)?.chars().take(LONGEST_OBJECT).collect();
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{} {}", Quoted(name), Quoted(&value));
    }
    (!text.is_empty()).then_some(text)
}

/// Which of a separation's duties an access exercised.
fn duties(rule: &SeparationRule, access: &Access) -> String {
    let own = access
        .duties
        .iter()
        .filter(|duty| rule.duties.contains(duty));
    own.map(|duty| Quoted(duty).to_string())
        .collect::<Vec<_>>()
        .join(" and ")
}

fn separation_clause(rule: &SeparationRule) -> String {
    let mut text = format!(
        "separate.duties = {}",
        list(rule.duties.iter().map(|duty| Quoted(duty)))
    );
    if let Some(on) = &rule.on {
        let _ = write!(text, ", on = \"{}\"", Quoted(on));
    }
    let _ = write!(text, ", within = \"{}\"", duration(rule.within_us));
    text.push_str(&at(&rule.place));
    text
}

/// Separated duties in one hand.
pub(super) fn separated(found: &Separated, access: &Access) -> Words {
    let rule = &found.rule;
    let other = &found.other.access;
    let both = any_of(rule.duties.iter().map(|duty| Quoted(duty))).replace(" or ", " and ");
    let object = rule.on.as_slice();
    let object = object_of(&found.other, object);
    let on = object.map_or(String::new(), |object| format!(" on {object}"));
    // Whichever arrived last is told of; the earlier one comes first.
    let (first, second) = if other.time_us <= access.time_us {
        (other, access)
    } else {
        (access, other)
    };
    let subject = if found.lineage {
        format!(
            "One workload, {}, did separated duties{on}, for two owners, {} and {}",
            lineage(access),
            owner(first),
            owner(second)
        )
    } else if access.identity == other.identity {
        format!(
            "{} ({}) did separated duties{on}",
            who(access),
            owner(access)
        )
    } else {
        format!(
            "{} did separated duties{on}, as {} and as {}",
            owner(access),
            who(first),
            who(second)
        )
    };
    let clock = |access: &Access| When {
        time_us: access.time_us,
        beside_us: second.time_us,
    };
    let key = if first.identity == second.identity && credential(first) != credential(second) {
        " with another key"
    } else {
        ""
    };
    let holders = if found.lineage {
        "nor do two owners in one workload"
    } else {
        "whoever does one leaves the other to somebody else"
    };
    Words {
        clause: separation_clause(rule),
        title: format!(
            "{subject}: {} by {} at {} ({}), {} by {}{key} at {} ({})",
            duties(rule, first),
            who(first),
            clock(first),
            Request(first),
            duties(rule, second),
            who(second),
            clock(second),
            Request(second),
        ),
        normal: format!(
            "no owner does both of {both}{}; {holders}",
            match &rule.on {
                Some(_) => " to one object",
                None => "",
            }
        ),
        action: format!(
            "Look at what was done at {} and at {}, and have it checked by somebody else. Ask {} why one hand did \
             both; if it must be able to, change the separation, if not, take one of the credentials away.",
            clock(first),
            clock(second),
            owner(access)
        ),
        // Valid accounts; abuse of what they may do.
        techniques: &["T1078", "T1078.004"],
    }
}

fn object_of(act: &Act, names: &[Arc<str>]) -> Option<String> {
    object(&act.deeds, names)
}

fn credential(access: &Access) -> Option<crate::access::Fingerprint> {
    access.credential.as_ref().map(|own| own.fingerprint)
}

/// How a lineage is called.
fn lineage(access: &Access) -> String {
    let Some(client) = &access.client else {
        return "?".to_owned();
    };
    let workload = &client.workload;
    match Place::of(workload) {
        Some(Place::Session(session)) => format!("login session {}", Quoted(&session)),
        _ => {
            let label = workload.label();
            format!("{}:{}", label.kind, Quoted(label.name))
        }
    }
}

/// An approval that is not there.
pub(super) fn approval(
    rule: &ApprovalRule,
    outcome: &Outcome,
    gap: Option<Gap>,
    act: &Act,
) -> Words {
    let access = &act.access;
    let clock = |time_us: i64| When {
        time_us,
        beside_us: access.time_us,
    };
    let (duty, by) = (Quoted(&rule.duty), Quoted(&rule.by));
    let within = span(rule.within_us / 1_000_000);
    let what = |other: &Arc<Act>| {
        let own = &other.access;
        format!(
            "{} with {} at {} ({})",
            owner(own),
            who(own),
            clock(own.time_us),
            Request(own)
        )
    };
    let (how, why) = match outcome {
        Outcome::Given | Outcome::Missing => (
            "without an approval",
            format!("no {by} was seen in the {within} before it"),
        ),
        Outcome::SameHand(own) => (
            "approved by the same hand",
            format!("{by} by {}, and by nobody else", what(own)),
        ),
        Outcome::Expired(old) => (
            "with an approval that no longer counted",
            format!("{by} by {}, more than {within} before it", what(old)),
        ),
        Outcome::Late(late) => (
            "before it was approved",
            format!("{by} by {}, after it", what(late)),
        ),
    };
    let unseen = gap.map_or(String::new(), |(from, to)| {
        if from == i64::MIN {
            format!("; nothing was watched before {}", clock(to))
        } else {
            format!(
                "; not everything was seen from {} to {}",
                clock(from),
                clock(to)
            )
        }
    });
    let object = object_of(act, &rule.on).map_or(String::new(), |object| format!(" of {object}"));
    let hand = match rule.distinct {
        policy::Distinct::Owner => "owner",
        policy::Distinct::Identity => "identity",
    };
    Words {
        clause: format!(
            "approve.duty = \"{duty}\", by = \"{by}\", distinct = \"{hand}\", within = \"{}\"{}",
            duration(rule.within_us),
            at(&rule.place)
        ),
        title: format!(
            "{} ({}) did {duty}{object} {how} at {} ({}): {why}{unseen}",
            who(access),
            owner(access),
            clock(access.time_us),
            Request(access)
        ),
        normal: format!(
            "before {duty} another {hand} does {by}{}, at most {within} earlier",
            if rule.on.is_empty() {
                ""
            } else {
                " of the same object"
            }
        ),
        action: format!(
            "Have somebody other than {} look at what was done, and approve it or take it back. Have the server \
             demand the approval: here it is only noticed.",
            owner(access)
        ),
        techniques: &["T1078", "T1078.004"],
    }
}

/// One credential in two places.
pub(super) fn shared(found: &Shared) -> Words {
    let access = &found.act.access;
    let credential = access.credential.as_ref();
    let print = credential.map_or(String::new(), |own| own.fingerprint.to_string());
    let clock = |time_us: i64| When {
        time_us,
        beside_us: access.time_us,
    };
    let holder = holder(&found.first);
    Words {
        clause: "check credential-shared: a credential is at work in one place at a time".to_owned(),
        title: format!(
            "A credential of {} ({print}) is live in two workloads at a time: {holder}, last at {}, and here at {}: {}",
            who(access),
            clock(found.first_last_us),
            clock(access.time_us),
            Request(access)
        ),
        normal: format!("this credential is used by {holder} only"),
        action: "Find out how the second workload came by the credential. If it was given to it, give each workload its \
                 own, or name both in the identity's workloads; if not, replace it everywhere."
            .to_owned(),
        techniques: &["T1528", "T1550.001"],
    }
}

fn holder(workload: &Workload) -> String {
    let label = workload.label();
    let mut text = Quoted(&workload.exe).to_string();
    if label.kind != "exe" {
        let _ = write!(text, " ({}:{})", label.kind, Quoted(label.name));
    }
    let _ = write!(text, " as {}", Quoted(&workload.user));
    text
}
