//! The score: explicit weights, and nothing in it that is not shown. docs/report.md gives the reasons.

use super::build::{Tally, share};
use super::model::{Report, ScorePart};
use crate::judge::Severity;

pub use super::model::Score;

/// How the parts become one number.
pub const FORMULA: &str = "sum of weight × share over all parts, rounded down; a part with nothing to measure has no points";

/// What one alert takes of the share, by severity.
const PENALTIES: [(Severity, u32); 4] = [
    (Severity::Critical, 50),
    (Severity::High, 25),
    (Severity::Medium, 10),
    (Severity::Low, 2),
];

/// Name in JSON.
pub(super) fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

impl Default for Score {
    fn default() -> Self {
        Self {
            points: 0,
            formula: FORMULA.to_owned(),
            parts: Vec::new(),
        }
    }
}

/// Scores what a report holds.
pub(super) fn score(report: &Report, alerts: &Tally) -> Score {
    let parts = vec![
        separation(report),
        approval(report),
        privilege(report),
        quiet(report, alerts),
        attribution(report),
        coverage(report),
    ];
    // Whole tenths, so that the sum of what is shown is what is shown.
    let tenths: f64 = parts.iter().map(|part| (part.points * 10.0).round()).sum();
    Score {
        points: (tenths / 10.0).floor() as u32,
        formula: FORMULA.to_owned(),
        parts,
    }
}

fn part(name: &str, weight: u32, share: Option<f64>, formula: &str, measured: String) -> ScorePart {
    let points = share.map_or(0.0, |share| {
        (f64::from(weight) * share.clamp(0.0, 1.0) * 10.0).floor() / 10.0
    });
    ScorePart {
        name: name.to_owned(),
        weight,
        points,
        share,
        formula: formula.to_owned(),
        measured,
    }
}

fn separation(report: &Report) -> ScorePart {
    // Where the object decides, holding both is not wrong by itself.
    let fixed = || report.separations.iter().filter(|row| row.on.is_none());
    let all = fixed().count() as u64;
    let kept = fixed().filter(|row| row.holders.items.is_empty()).count() as u64;
    part(
        "separation",
        25,
        share(kept, all),
        "separations of which no owner holds two duties / all separations without `on`",
        if all == 0 {
            "the policy separates no duties: add [[separate]]".to_owned()
        } else {
            format!("{kept} of {all} separations are kept")
        },
    )
}

fn approval(report: &Report) -> ScorePart {
    let rules = &report.approvals;
    let recorded = rules.iter().filter_map(|row| row.recorded.as_ref());
    let (acts, approved) = recorded.fold((0_u64, 0_u64), |(acts, approved), counts| {
        (
            acts.saturating_add(counts.acts),
            approved.saturating_add(counts.approved),
        )
    });
    let possible = rules.iter().filter(|row| row.possible).count() as u64;
    let formula = "acts that somebody else approved / acts that need it; where none is recorded: approvals \
                   that somebody else could give / all approvals";
    let (share, measured) = if rules.is_empty() {
        (
            None,
            "the policy demands no approval: add [[approve]]".to_owned(),
        )
    } else if acts > 0 {
        (
            share(approved, acts),
            format!("{approved} of {acts} acts were approved by somebody else"),
        )
    } else {
        let all = rules.len() as u64;
        (
            share(possible, all),
            format!("no act is recorded; somebody else could give {possible} of {all} approvals"),
        )
    };
    part("approval", 10, share, formula, measured)
}

fn privilege(report: &Report) -> ScorePart {
    let policy = &report.policy;
    let formula = "duties of identities used in the period / duties of identities";
    let (share, measured) = if policy.grants == 0 {
        (None, "the policy grants nothing".to_owned())
    } else if report.period.watched_s == 0 {
        (None, "nothing was watched in the period".to_owned())
    } else {
        (
            share(policy.grants_used, policy.grants),
            format!(
                "{} of {} grants were used",
                policy.grants_used, policy.grants
            ),
        )
    };
    part("least privilege", 20, share, formula, measured)
}

fn quiet(report: &Report, alerts: &Tally) -> ScorePart {
    let formula = "1 − 0.5 for each critical alert, 0.25 high, 0.1 medium, 0.02 low; not below 0";
    let count = |wanted: Severity| -> u64 {
        let of = alerts
            .iter()
            .filter(|((_, severity), _)| *severity == wanted);
        of.map(|(_, count)| *count).fold(0, u64::saturating_add)
    };
    let lost = PENALTIES.iter().fold(0_u64, |lost, (severity, each)| {
        lost.saturating_add(count(*severity).saturating_mul(u64::from(*each)))
    });
    let (share, measured) = if report.attribution.with_credential == 0 && report.alerts.total == 0 {
        (
            None,
            "no request with a credential was seen in the period".to_owned(),
        )
    } else {
        (
            share(100_u64.saturating_sub(lost), 100),
            format!(
                "{} critical, {} high, {} medium, {} low",
                count(Severity::Critical),
                count(Severity::High),
                count(Severity::Medium),
                count(Severity::Low)
            ),
        )
    };
    part("no alerts", 20, share, formula, measured)
}

fn attribution(report: &Report) -> ScorePart {
    let part_of = &report.attribution;
    part(
        "attribution",
        15,
        part_of.attributed,
        "requests of identities in the policy / requests with a credential",
        match part_of.with_credential {
            0 => "no request with a credential was seen in the period".to_owned(),
            all => format!("{} of {all} requests", part_of.named),
        },
    )
}

fn coverage(report: &Report) -> ScorePart {
    let coverage = &report.coverage;
    let known = coverage.read.saturating_add(coverage.other);
    part(
        "coverage",
        10,
        coverage.understood,
        "connections that were understood / all connections",
        match known.saturating_add(coverage.dark) {
            0 => "no connection was seen in the period".to_owned(),
            all => format!("{known} of {all} connections"),
        },
    )
}
