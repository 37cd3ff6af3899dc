//! What a replay judged, found and left out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::capture::CaptureSummary;
use super::formats::Refusal;
use crate::access::record::rfc3339;
use crate::judge::{FindingKind, Severity};
use crate::pipeline::judging::Judging;

/// Lines named of those that were refused.
const MOST_NAMED: usize = 20;

/// `{"type":"replay","v":1,…}`: the last record of a replay.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    r#type: &'static str,
    v: u32,
    /// Accesses judged.
    pub accesses: u64,
    /// Of these, with a credential.
    pub with_credential: u64,
    /// Identities seen, those forgotten for want of room left out.
    pub identities: usize,
    /// Accesses of identities that the policy names.
    pub named: u64,
    /// RFC 3339: the earliest access.
    pub first: Option<String>,
    /// RFC 3339: the latest.
    pub last: Option<String>,
    /// Accesses older than the newest before them by more than the history's grace.
    pub late: u64,
    /// Accesses that the recording says are missing.
    pub lost: u64,
    /// Findings by kind.
    pub findings: BTreeMap<&'static str, u64>,
    /// Alerts they came to.
    pub alerts: usize,
    /// Alerts beyond those that are kept.
    pub alerts_left_out: u64,
    /// Findings of the recording that take more than a record holds, by kind: they are not judged again.
    pub not_judged_again: BTreeMap<&'static str, u64>,
    /// What the baseline came to; null when it is off.
    pub baseline: Option<BaselineSummary>,
    /// What could not be read.
    pub refused: RefusedLines,
    /// What captures held; left out without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture: Option<Box<CaptureSummary>>,
    #[serde(skip)]
    span: Option<(i64, i64)>,
}

/// What the baseline came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BaselineSummary {
    /// Profiles.
    pub profiles: u64,
    /// Of these, those that could raise alerts at the end.
    pub mature: u64,
    /// Alerts a day.
    pub budget: u64,
    /// In D days there are at most `budget` × D + this many alerts.
    pub burst: u64,
    /// Alerts raised.
    pub alerts: u64,
}

/// What could not be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RefusedLines {
    /// By reason.
    pub by_reason: BTreeMap<&'static str, u64>,
    /// The first ones: `FILE:LINE: REASON`.
    pub first: Vec<String>,
}

/// Gathers what could not be read.
#[derive(Clone, Debug, Default)]
pub struct Refusals(RefusedLines);

impl Refusals {
    /// Notes one. `line` counts from 1.
    pub fn note(&mut self, file: &str, line: u64, why: Refusal) {
        let count = self.0.by_reason.entry(why.name()).or_default();
        *count = count.saturating_add(1);
        if self.0.first.len() < MOST_NAMED {
            self.0.first.push(format!("{file}:{line}: {}", why.words()));
        }
    }

    /// What was noted.
    #[must_use]
    pub fn lines(self) -> RefusedLines {
        self.0
    }
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            r#type: "replay",
            v: 1,
            accesses: 0,
            with_credential: 0,
            identities: 0,
            named: 0,
            first: None,
            last: None,
            late: 0,
            lost: 0,
            findings: BTreeMap::new(),
            alerts: 0,
            alerts_left_out: 0,
            not_judged_again: BTreeMap::new(),
            baseline: None,
            refused: RefusedLines::default(),
            capture: None,
            span: None,
        }
    }
}

impl Summary {
    pub(super) fn saw(&mut self, time_us: i64) {
        self.span = Some(match self.span {
            Some((first, last)) => (first.min(time_us), last.max(time_us)),
            None => (time_us, time_us),
        });
    }

    pub(super) fn carried(&mut self, kind: FindingKind) {
        let count = self.not_judged_again.entry(kind.name()).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn end(mut self, judging: &Judging, alerts: usize, left_out: u64) -> Self {
        let (tally, census) = (&judging.tally, judging.census.stats());
        self.accesses = tally.accesses;
        self.with_credential = tally.with_credential;
        self.identities = census.identities;
        self.named = census.named;
        self.first = self.span.map(|(first, _)| rfc3339(first));
        self.last = self.span.map(|(_, last)| rfc3339(last));
        let severities = [
            Severity::Low,
            Severity::Medium,
            Severity::High,
            Severity::Critical,
        ];
        for kind in FindingKind::ALL {
            let counts = severities.map(|severity| tally.by_kind.get(kind, severity));
            let count: u64 = counts.iter().sum();
            if count > 0 {
                self.findings.insert(kind.name(), count);
            }
        }
        self.alerts = alerts;
        self.alerts_left_out = left_out;
        self.baseline = judging.baseline.as_ref().map(|baseline| {
            let status = baseline.status();
            BaselineSummary {
                profiles: status.profiles,
                mature: status.mature,
                budget: status.budget,
                burst: status.burst,
                alerts: status.alerts,
            }
        });
        self
    }
}
