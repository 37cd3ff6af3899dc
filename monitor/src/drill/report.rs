//! What came of a drill: the matrix, and its figures. Pure.

use serde::{Deserialize, Serialize};

use super::technique::Card;

/// Whether the benign twin of a technique raised an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Twin {
    /// It was not run.
    NotRun,
    /// No alert.
    Silent,
    /// These alerts.
    Noisy(Vec<String>),
    /// It could not be run, so its silence says nothing.
    Failed(String),
}

/// What came of one technique.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) card: Card,
    /// Attacks made.
    pub(super) runs: u32,
    /// Of each attack that was seen: milliseconds from the request to the webhook.
    pub(super) ms: Vec<f64>,
    /// Why the last attack that was not seen was not.
    pub(super) problem: Option<String>,
    /// Kinds of further findings of the attacks.
    pub(super) also: Vec<String>,
    pub(super) twin: Twin,
}

impl Row {
    pub(super) fn new(card: Card) -> Self {
        Self {
            card,
            runs: 0,
            ms: Vec::new(),
            problem: None,
            also: Vec::new(),
            twin: Twin::NotRun,
        }
    }

    fn record(&self) -> TechniqueRecord {
        let built_in = self.card.kind().is_some();
        let seen = u32::try_from(self.ms.len()).unwrap_or(u32::MAX);
        let (twin, noise, failed) = match &self.twin {
            Twin::NotRun => ("not-run", Vec::new(), None),
            Twin::Silent => ("silent", Vec::new(), None),
            Twin::Noisy(noise) => ("noisy", noise.clone(), None),
            Twin::Failed(why) => ("failed", Vec::new(), Some(format!("twin: {why}"))),
        };
        let missing =
            (!built_in).then(|| format!("this program has no check `{}`", self.card.expects));
        TechniqueRecord {
            r#type: "drill".to_owned(),
            v: 1,
            technique: self.card.name.clone().into_owned(),
            what: self.card.what.clone().into_owned(),
            attack: self.card.attack.iter().map(|&id| id.to_owned()).collect(),
            owasp: format!("{}:2023", self.card.owasp),
            expects: self.card.expects.to_owned(),
            built_in,
            runs: self.runs,
            seen,
            ms: self.ms.clone(),
            also: self.also.clone(),
            twin: twin.to_owned(),
            noise,
            problem: missing.or_else(|| self.problem.clone()).or(failed),
            ok: built_in && self.runs > 0 && seen == self.runs && self.twin == Twin::Silent,
        }
    }
}

/// A technique's line in JSON (docs/json.md).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TechniqueRecord {
    /// `drill`.
    pub r#type: String,
    /// Version of the form.
    pub v: u32,
    /// Name.
    pub technique: String,
    /// What is done.
    pub what: String,
    /// ATT&CK techniques.
    pub attack: Vec<String>,
    /// Entry of the OWASP API Security Top 10, with its year.
    pub owasp: String,
    /// Kind of the finding that must come.
    pub expects: String,
    /// Whether this program has that check.
    pub built_in: bool,
    /// Attacks made.
    pub runs: u32,
    /// Of these, seen.
    pub seen: u32,
    /// Milliseconds from request to webhook, of each that was seen.
    pub ms: Vec<f64>,
    /// Kinds of further findings of the attacks.
    pub also: Vec<String>,
    /// `silent`, `noisy`, `failed` (it could not be run) or `not-run`.
    pub twin: String,
    /// Alerts of a noisy twin.
    pub noise: Vec<String>,
    /// Why it was missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Seen each time, and the twin was silent.
    pub ok: bool,
}

/// The last line in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SummaryRecord {
    /// `drill-summary`.
    pub r#type: String,
    /// Version of the form.
    pub v: u32,
    /// Version of the program.
    pub version: String,
    /// Techniques run or to be run.
    pub techniques: usize,
    /// Of these, seen each time.
    pub seen: usize,
    /// Twins that raised an alert.
    pub noisy: usize,
    /// Attacks that were seen, but for those whose check takes its time by its nature: `approval` and
    /// `stored-credential`.
    pub timed: usize,
    /// Median of milliseconds from request to webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// 99th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// Longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<f64>,
    /// Clauses of the user's policy that could not be drilled, each with the reason.
    pub undrilled: Vec<String>,
    /// Everything was seen, and every twin was silent.
    pub ok: bool,
}

/// A whole drill.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// A record for each technique.
    pub techniques: Vec<TechniqueRecord>,
    /// All together.
    pub summary: SummaryRecord,
}

impl Report {
    pub(super) fn new(rows: &[Row], undrilled: Vec<String>) -> Self {
        let techniques: Vec<TechniqueRecord> = rows.iter().map(Row::record).collect();
        // A check that takes its time by its nature says nothing about how fast the way is.
        let at_once = rows.iter().filter(|row| row.card.is_timed());
        let mut ms: Vec<f64> = at_once.flat_map(|row| row.ms.iter().copied()).collect();
        ms.sort_by(f64::total_cmp);
        let count = |fits: &dyn Fn(&TechniqueRecord) -> bool| {
            techniques.iter().filter(|one| fits(one)).count()
        };
        let summary = SummaryRecord {
            r#type: "drill-summary".to_owned(),
            v: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            techniques: techniques.len(),
            seen: count(&|one| one.built_in && one.runs > 0 && one.seen == one.runs),
            noisy: count(&|one| one.twin == "noisy"),
            timed: ms.len(),
            p50_ms: quantile(&ms, 50),
            p99_ms: quantile(&ms, 99),
            max_ms: ms.last().copied(),
            undrilled,
            ok: !techniques.is_empty() && techniques.iter().all(|one| one.ok),
        };
        Self {
            techniques,
            summary,
        }
    }
}

/// The least value that so many percent are not above (nearest rank); the values are sorted.
fn quantile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn row(expects: &'static str, runs: u32, ms: &[f64], twin: Twin) -> Row {
        let card = Card {
            name: Cow::Borrowed("name"),
            what: Cow::Borrowed("what"),
            attack: &["T1528"],
            owasp: "API2",
            expects,
        };
        Row {
            runs,
            ms: ms.to_vec(),
            twin,
            ..Row::new(card)
        }
    }

    fn is_ok(row: Row) -> bool {
        let report = Report::new(&[row], Vec::new());
        assert_eq!(
            report.summary.ok,
            report.techniques.iter().all(|one| one.ok)
        );
        report.summary.ok
    }

    #[test]
    fn only_what_was_seen_each_time_beside_a_silent_twin_is_good() {
        assert!(is_ok(row("canary", 2, &[1.0, 2.0], Twin::Silent)));
        assert!(!is_ok(row("canary", 2, &[1.0], Twin::Silent)));
        assert!(!is_ok(row("canary", 0, &[], Twin::Silent)));
        assert!(!is_ok(row("canary", 1, &[1.0], Twin::NotRun)));
        assert!(!is_ok(row(
            "canary",
            1,
            &[1.0],
            Twin::Noisy(vec!["duty: x".to_owned()])
        )));
        assert!(!is_ok(row(
            "canary",
            1,
            &[1.0],
            Twin::Failed("gone".to_owned())
        )));
        assert!(!Report::new(&[], Vec::new()).summary.ok);
    }

    #[test]
    fn a_check_that_is_not_built_in_is_a_miss() {
        let report = Report::new(&[row("sneezing", 0, &[], Twin::NotRun)], Vec::new());
        let one = &report.techniques[0];
        assert!(!one.ok && !one.built_in && report.summary.seen == 0);
        assert_eq!(
            one.problem.as_deref(),
            Some("this program has no check `sneezing`")
        );
        // Not even if it claimed to be seen.
        assert!(!is_ok(row("sneezing", 1, &[1.0], Twin::Silent)));
    }

    #[test]
    fn percentiles_are_of_all_attacks() {
        let ms: Vec<f64> = (1..=100).map(f64::from).collect();
        let rows = [
            row("canary", 60, &ms[40..], Twin::Silent),
            row("duty", 40, &ms[..40], Twin::Silent),
        ];
        let summary = Report::new(&rows, Vec::new()).summary;
        assert_eq!(
            (
                summary.timed,
                summary.p50_ms,
                summary.p99_ms,
                summary.max_ms
            ),
            (100, Some(50.0), Some(99.0), Some(100.0))
        );
        let late = [row("approval", 1, &[61_000.0], Twin::Silent)];
        assert_eq!(Report::new(&late, Vec::new()).summary.timed, 0);
        assert_eq!(quantile(&[7.0], 99), Some(7.0));
        assert_eq!(quantile(&[], 50), None);
    }
}
