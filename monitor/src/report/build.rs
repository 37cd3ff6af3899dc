//! From what is known to what is reported.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::ledger::Ledger;
use super::model::{
    AlertPart, ApprovalCounts, AttributionPart, CoveragePart, Crossing, DarkRow, Period,
    PolicyPart, Report, Several, Summary, UnnamedRow, Unused,
};
use super::{MOST_ROWS, identities, rules, score, trend};
use crate::access::record::rfc3339;
use crate::census::{IdentityRecord, Listed};
use crate::coverage::CoverageRecord;
use crate::judge::{FindingKind, Severity};
use crate::policy::{Approval, Policy};

/// Most examples shown of one dark workload.
const MOST_EXAMPLES: usize = 3;

const DAY_US: i64 = 86_400_000_000;

/// Alerts counted by kind and severity.
pub type Tally = BTreeMap<(FindingKind, Severity), u64>;

/// What is remembered of approvals.
pub trait ApprovalMemory {
    /// How the uses of an approval's duty went since then (microseconds since 1970); `None` when nothing of
    /// the kind is recorded.
    fn counts(&self, policy: &Policy, approval: &Approval, since_us: i64)
    -> Option<ApprovalCounts>;
}

/// Nothing is.
#[derive(Clone, Copy, Debug)]
pub struct NotRecorded;

impl ApprovalMemory for NotRecorded {
    fn counts(&self, _: &Policy, _: &Approval, _: i64) -> Option<ApprovalCounts> {
        None
    }
}

/// What a report is made of.
pub struct Inputs<'a> {
    /// Microseconds since 1970.
    pub now_us: i64,
    /// Beginning of the period.
    pub since_us: i64,
    /// The daemon is running.
    pub live: bool,
    /// What this host is.
    pub environment: Option<&'a str>,
    /// Policy in force.
    pub policy: &'a Policy,
    /// Identities seen.
    pub census: &'a [IdentityRecord],
    /// Identities that had to make room.
    pub forgotten: u64,
    /// How each workload's traffic was understood; `None` while no daemon is running.
    pub coverage: Option<&'a [CoverageRecord]>,
    /// Alerts seen in the period.
    pub alerts: &'a Tally,
    /// What was watched.
    pub ledger: Option<&'a Ledger>,
    /// Reports before, oldest first.
    pub past: &'a [Summary],
    /// What is remembered of approvals.
    pub approvals: &'a dyn ApprovalMemory,
}

impl std::fmt::Debug for Inputs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inputs")
            .field("now_us", &self.now_us)
            .field("since_us", &self.since_us)
            .finish_non_exhaustive()
    }
}

/// A list with at most `most` of the items.
pub(super) fn listed<T>(mut items: Vec<T>, most: usize) -> Listed<T> {
    let more = items.len().saturating_sub(most);
    items.truncate(most);
    Listed {
        items,
        more: u32::try_from(more).unwrap_or(u32::MAX),
    }
}

/// Microseconds of RFC 3339; the beginning of time for what is none.
pub(super) fn micros(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>()
        .map_or(i64::MIN, jiff::Timestamp::as_microsecond)
}

/// `a` of `b`, 0 to 1, to four digits; `None` of nothing.
pub(super) fn share(a: u64, b: u64) -> Option<f64> {
    #[allow(clippy::cast_precision_loss, reason = "a share for people")]
    (b > 0).then(|| (a as f64 / b as f64 * 10_000.0).round() / 10_000.0)
}

/// Makes the report.
#[must_use]
pub fn build(inputs: &Inputs<'_>) -> Report {
    let policy = inputs.policy;
    let census: HashMap<&str, &IdentityRecord> = inputs
        .census
        .iter()
        .map(|record| (&*record.identity, record))
        .collect();
    let rows = identities::rows(policy, &census, inputs.since_us);
    let (watched_s, totals) = inputs
        .ledger
        .map(|ledger| ledger.from(inputs.since_us))
        .unwrap_or_default();
    let grants = rows.iter().flat_map(|row| &row.duties);
    let mut owners: Vec<&str> = rows.iter().map(|row| &*row.owner).collect();
    owners.sort_unstable();
    owners.dedup();
    let known = totals.read.saturating_add(totals.other);
    let mut report = Report {
        r#type: "report".to_owned(),
        v: 1,
        made: rfc3339(inputs.now_us),
        source: if inputs.live { "daemon" } else { "store" }.to_owned(),
        environment: inputs.environment.map(str::to_owned),
        period: period(inputs, watched_s),
        policy: PolicyPart {
            identities: rows.len() as u64,
            owners: owners.len() as u64,
            duties: policy.duties().len() as u64,
            grants: grants.clone().count() as u64,
            grants_used: grants.filter(|grant| grant.used).count() as u64,
        },
        score: score::Score::default(),
        trend: Default::default(),
        unnamed: unnamed(policy, inputs.census),
        separations: rules::separations(policy, &census, inputs.since_us),
        unused: unused(&rows),
        approvals: rules::approvals(policy, &census, inputs),
        crossings: crossings(policy, inputs),
        several: several(inputs),
        coverage: CoveragePart {
            read: totals.read,
            other: totals.other,
            dark: totals.dark,
            understood: share(known, known.saturating_add(totals.dark)),
            dark_workloads: inputs.coverage.map(dark),
        },
        attribution: AttributionPart {
            requests: totals.requests,
            with_credential: totals.with_credential,
            named: totals.named,
            attributed: share(totals.named, totals.with_credential),
            forgotten: inputs.forgotten,
        },
        alerts: alerts(inputs.alerts),
        identities: listed(rows, MOST_ROWS),
    };
    report.score = score::score(&report, inputs.alerts);
    report.trend = trend::against(&report, inputs.past);
    report
}

fn period(inputs: &Inputs<'_>, watched_s: u64) -> Period {
    let length = inputs.now_us.saturating_sub(inputs.since_us).max(1);
    let days = length.saturating_add(DAY_US - 1).div_euclid(DAY_US);
    Period {
        since: rfc3339(inputs.since_us),
        days: u32::try_from(days).unwrap_or(u32::MAX),
        // Days count as a whole, and the first began before the period.
        watched_s: watched_s.min(u64::try_from(length / 1_000_000).unwrap_or(0)),
        watching_since: inputs.ledger.map(|ledger| rfc3339(ledger.since_us)),
    }
}

fn unnamed(policy: &Policy, census: &[IdentityRecord]) -> Listed<UnnamedRow> {
    let names: hashbrown::HashSet<&str> = policy.identities().map(|own| &*own.name).collect();
    let mut rows: Vec<UnnamedRow> = census
        .iter()
        .filter(|record| !names.contains(&*record.identity) && record.accesses > 0)
        .map(|record| UnnamedRow {
            identity: record.identity.clone(),
            accesses: record.accesses,
            last_used: record.last_seen.clone(),
            hosts: record.hosts.clone(),
            workloads: record.workloads.clone(),
        })
        .collect();
    rows.sort_by(|a, b| {
        b.accesses
            .cmp(&a.accesses)
            .then_with(|| a.identity.cmp(&b.identity))
    });
    listed(rows, MOST_ROWS / 10)
}

fn unused(rows: &[super::model::IdentityRow]) -> Listed<Unused> {
    let unused = rows.iter().flat_map(|row| {
        row.duties
            .iter()
            .filter(|grant| !grant.used)
            .map(|grant| Unused {
                identity: row.identity.clone(),
                owner: row.owner.clone(),
                duty: grant.duty.clone(),
                last_used: grant.last_used.clone(),
                place: row.place.clone(),
            })
    });
    listed(unused.collect(), MOST_ROWS)
}

fn crossings(policy: &Policy, inputs: &Inputs<'_>) -> Listed<Crossing> {
    let allowed = |name: &str| {
        let identity = policy.identities().find(|own| *own.name == *name)?;
        identities::environments(policy, identity)
    };
    let mut all = Vec::new();
    for record in inputs.census {
        let places = record.usage.iter().flat_map(|usage| &usage.environments);
        for place in places.filter(|place| place.crossings > 0) {
            let Some(last) = &place.last_crossing else {
                continue;
            };
            if micros(last) < inputs.since_us {
                continue;
            }
            all.push(Crossing {
                identity: record.identity.clone(),
                owner: record.owner.clone(),
                environment: place.environment.clone(),
                allowed: allowed(&record.identity),
                count: place.crossings,
                last: last.clone(),
            });
        }
    }
    all.sort_by(|a, b| {
        b.count
            .cmp(&a.count)
            .then_with(|| a.identity.cmp(&b.identity))
            .then_with(|| a.environment.cmp(&b.environment))
    });
    listed(all, MOST_ROWS)
}

fn several(inputs: &Inputs<'_>) -> Listed<Several> {
    let mut all: Vec<Several> = inputs
        .census
        .iter()
        .filter_map(|record| {
            let environments = identities::environments_used(record, inputs.since_us);
            (environments.len() > 1).then(|| Several {
                identity: record.identity.clone(),
                owner: record.owner.clone(),
                environments,
            })
        })
        .collect();
    all.sort_by(|a, b| a.identity.cmp(&b.identity));
    listed(all, MOST_ROWS)
}

fn dark(records: &[CoverageRecord]) -> Listed<DarkRow> {
    let mut rows: Vec<DarkRow> = records
        .iter()
        .filter(|record| record.dark.connections > record.read.connections)
        .map(|record| DarkRow {
            workload: record.workload.clone(),
            read: record.read.connections,
            dark: record.dark.connections,
            examples: record
                .examples
                .iter()
                .take(MOST_EXAMPLES)
                .map(|example| {
                    let to = example.sni.as_ref().or(example.address.as_ref());
                    let to = to.map_or("an unknown server", String::as_str);
                    format!("{to}: {}", example.kind)
                })
                .collect(),
        })
        .collect();
    rows.sort_by(|a, b| {
        b.dark
            .cmp(&a.dark)
            .then_with(|| a.workload.cmp(&b.workload))
    });
    listed(rows, MOST_ROWS / 10)
}

fn alerts(tally: &Tally) -> AlertPart {
    let mut part = AlertPart::default();
    for ((kind, severity), count) in tally {
        part.total = part.total.saturating_add(*count);
        let severity = score::severity_name(*severity).to_owned();
        for (map, name) in [
            (&mut part.severities, severity),
            (&mut part.kinds, kind.name().to_owned()),
        ] {
            let sum = map.entry(name).or_insert(0);
            *sum = sum.saturating_add(*count);
        }
    }
    part
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
