//! Against the reports before.

use super::model::{Report, Summary, Trend};

/// Reports that are remembered.
pub const MOST_REMEMBERED: usize = 64;
/// Reports that a report shows.
const MOST_SHOWN: usize = 12;

/// Where they are in the store: a JSON array of [`Summary`], oldest first.
pub const KEY: &str = "report.past";

/// Reads what [`to_json`] wrote; nothing of anything else.
#[must_use]
pub fn parse(json: &[u8]) -> Vec<Summary> {
    let mut past: Vec<Summary> = serde_json::from_slice(json).unwrap_or_default();
    past.drain(..past.len().saturating_sub(MOST_REMEMBERED));
    past
}

/// For the store.
///
/// # Errors
/// None in practice: it is text and numbers.
pub fn to_json(past: &[Summary]) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(past)
}

/// What is remembered of a report.
#[must_use]
pub fn summary(report: &Report) -> Summary {
    Summary {
        made: report.made.clone(),
        days: report.period.days,
        points: report.score.points,
        combined: combined(report),
        grants: report.policy.grants,
        unused: report
            .policy
            .grants
            .saturating_sub(report.policy.grants_used),
        crossings: (report.crossings.items.len() as u64)
            .saturating_add(u64::from(report.crossings.more)),
        alerts: report.alerts.total,
    }
}

/// Owners who hold separated duties, counted for each separation.
#[must_use]
pub fn combined(report: &Report) -> u64 {
    let fixed = report.separations.iter().filter(|row| row.on.is_none());
    fixed.fold(0, |sum: u64, row| {
        sum.saturating_add(row.holders.items.len() as u64)
            .saturating_add(u64::from(row.holders.more))
    })
}

/// Compares with the last one that looked back as far.
pub(super) fn against(report: &Report, past: &[Summary]) -> Trend {
    let like = past.iter().rfind(|one| one.days == report.period.days);
    Trend {
        change: like
            .map(|one| i64::from(report.score.points).saturating_sub(i64::from(one.points))),
        past: past
            .iter()
            .skip(past.len().saturating_sub(MOST_SHOWN))
            .cloned()
            .collect(),
    }
}

/// Adds a report to the remembered ones. When there is no room the first goes that is followed by another of
/// the same day, so that a day of many reports does not cost the year before; else the oldest.
pub fn remember(past: &mut Vec<Summary>, new: Summary) {
    past.push(new);
    while past.len() > MOST_REMEMBERED {
        let day = |one: &Summary| one.made.get(..10).map(str::to_owned);
        let twin = past.windows(2).position(|pair| match pair {
            [a, b] => day(a) == day(b),
            _ => false,
        });
        past.remove(twin.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_reports_of_a_day_do_not_push_out_the_others() {
        let mut past = Vec::new();
        for n in 0..40 {
            remember(
                &mut past,
                Summary {
                    made: format!("2026-{:02}-{:02}T00:00:00Z", n / 28 + 1, n % 28 + 1),
                    ..Summary::default()
                },
            );
        }
        for n in 0..100 {
            remember(
                &mut past,
                Summary {
                    made: "2026-11-24T00:00:00Z".to_owned(),
                    points: n,
                    ..Summary::default()
                },
            );
        }
        assert_eq!(past.len(), MOST_REMEMBERED);
        assert_eq!(past[0].made, "2026-01-01T00:00:00Z");
        assert_eq!(past.last().unwrap().points, 99);
        let json = to_json(&past).unwrap();
        assert_eq!(parse(&json), past);
        assert_eq!(parse(b"[{\"v\":"), Vec::<Summary>::new());
    }
}
