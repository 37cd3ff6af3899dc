//! Alarms and attacks in numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::super::summary::RefusedLines;
use crate::access::record::rfc3339;

const DAY_US: f64 = 86_400e6;
/// All findings together; the two rules are not among them.
const ANY: &str = "any-finding";
/// The rules that are compared with.
pub(super) const RULES: [&str; 2] = ["first-seen", "rate-threshold"];

#[derive(Debug)]
pub(super) struct Attack {
    pub(super) label: String,
    pub(super) identity: Arc<str>,
    pub(super) first_us: i64,
    pub(super) accesses: u64,
    /// By detector: how many of its accesses had been when it was told of.
    pub(super) delays: BTreeMap<&'static str, u64>,
}

#[derive(Debug)]
pub(super) struct Alarm {
    pub(super) detector: &'static str,
    pub(super) identity: Arc<str>,
    pub(super) time_us: i64,
    pub(super) false_one: bool,
}

/// `{"type":"eval","v":1,…}`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    r#type: &'static str,
    v: u32,
    /// Accesses judged.
    pub accesses: u64,
    /// Of these, labelled.
    pub labelled: u64,
    /// Attacks by label.
    pub attacks: BTreeMap<String, u64>,
    /// RFC 3339: the moment that parts the recording in two.
    pub split: Option<String>,
    /// All, and the parts.
    pub parts: Vec<Part>,
    /// What bounds left out: attacks, labelled accesses and alarms beyond those that are kept.
    pub left_out: u64,
    /// What could not be read.
    pub refused: RefusedLines,
}

/// A part of the recording.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// `all`; `before` and `after` the split; `identities-a` and `identities-b`, halves by a hash of the name.
    pub part: &'static str,
    /// Days of it, at least one.
    pub days: f64,
    /// Attacks that began in it.
    pub attacks: u64,
    /// By kind of finding, then all findings together, then the rules compared with.
    pub scores: Vec<Score>,
}

/// What one detector did in a part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Kind of finding, `any-finding`, `first-seen` or `rate-threshold`.
    pub detector: &'static str,
    /// Alerts begun.
    pub alarms: u64,
    /// The same a day.
    pub alarms_per_day: f64,
    /// Of these, about accesses that are labelled as nothing.
    pub false_alarms: u64,
    /// Attacks told of.
    pub hits: u64,
    /// How late; null without hits.
    pub delay: Option<Delay>,
}

/// How many accesses of an attack had been when it was told of; 1 is at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delay {
    /// Half of the hits were not later.
    pub median: u64,
    /// Nine in ten were not later.
    pub p90: u64,
    /// The latest.
    pub most: u64,
}

pub(super) struct Evaluated<'a> {
    pub(super) attacks: &'a [Attack],
    pub(super) alarms: &'a [Alarm],
    pub(super) accesses: u64,
    pub(super) labelled: u64,
    pub(super) left_out: u64,
    pub(super) span: Option<(i64, i64)>,
    pub(super) split_us: Option<i64>,
}

pub(super) fn write(all: Evaluated<'_>) -> Evaluation {
    let (first, last) = all.span.unwrap_or_default();
    let middle = first.saturating_add(last.saturating_sub(first) / 2);
    let split = all.split_us.unwrap_or(middle).clamp(first, last);
    let in_a = |identity: &str| {
        let hash = blake3::hash(identity.as_bytes());
        hash.as_bytes().first().is_some_and(|byte| byte & 1 == 0)
    };
    let mut attacks = BTreeMap::new();
    for attack in all.attacks {
        *attacks.entry(attack.label.clone()).or_default() += 1;
    }
    let parts = vec![
        part("all", (first, last), &all, |_, _| true),
        part("before", (first, split), &all, |time, _| time < split),
        part("after", (split, last), &all, |time, _| time >= split),
        part("identities-a", (first, last), &all, |_, who| in_a(who)),
        part("identities-b", (first, last), &all, |_, who| !in_a(who)),
    ];
    Evaluation {
        r#type: "eval",
        v: 1,
        accesses: all.accesses,
        labelled: all.labelled,
        attacks,
        split: all.span.map(|_| rfc3339(split)),
        parts,
        left_out: all.left_out,
        refused: RefusedLines::default(),
    }
}

fn part(
    name: &'static str,
    (first, last): (i64, i64),
    all: &Evaluated<'_>,
    holds: impl Fn(i64, &str) -> bool,
) -> Part {
    #[allow(clippy::cast_precision_loss, reason = "a number of days")]
    let days = (last.saturating_sub(first) as f64 / DAY_US).max(1.0);
    let attacks: Vec<&Attack> = all
        .attacks
        .iter()
        .filter(|attack| holds(attack.first_us, &attack.identity))
        .collect();
    let alarms: Vec<&Alarm> = all
        .alarms
        .iter()
        .filter(|alarm| holds(alarm.time_us, &alarm.identity))
        .collect();
    let mut detectors: Vec<&'static str> = all.alarms.iter().map(|alarm| alarm.detector).collect();
    detectors.extend(all.attacks.iter().flat_map(|attack| attack.delays.keys()));
    detectors.retain(|detector| !RULES.contains(detector));
    detectors.sort_unstable();
    detectors.dedup();
    detectors.push(ANY);
    detectors.extend(RULES);
    let is =
        |detector: &str, own: &str| own == detector || (detector == ANY && !RULES.contains(&own));
    let scores = detectors.into_iter().map(|detector| {
        let own: Vec<&&Alarm> = alarms
            .iter()
            .filter(|alarm| is(detector, alarm.detector))
            .collect();
        let delays: Vec<u64> = attacks
            .iter()
            .filter_map(|attack| {
                let told = attack.delays.iter().filter(|(own, _)| is(detector, own));
                told.map(|(_, delay)| *delay).min()
            })
            .collect();
        #[allow(clippy::cast_precision_loss, reason = "a number of alarms")]
        let per_day = own.len() as f64 / days;
        Score {
            detector,
            alarms: own.len() as u64,
            alarms_per_day: per_day,
            false_alarms: own.iter().filter(|alarm| alarm.false_one).count() as u64,
            hits: delays.len() as u64,
            delay: delay_of(delays),
        }
    });
    Part {
        part: name,
        days,
        attacks: attacks.len() as u64,
        scores: scores.collect(),
    }
}

pub(super) fn delay_of(mut delays: Vec<u64>) -> Option<Delay> {
    delays.sort_unstable();
    // The least of which so large a part is not greater.
    let at = |tenths: usize| {
        let rank = (delays.len() * tenths).div_ceil(10).max(1);
        delays.get(rank - 1).copied()
    };
    Some(Delay {
        median: at(5)?,
        p90: at(9)?,
        most: delays.last().copied()?,
    })
}
