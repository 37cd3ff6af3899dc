//! Words that every form of a report shares. Nothing here is quoted or escaped: that is the renderer's part.

use super::model::{ApprovalRow, Crossing, Grant, IdentityRow, Period, Report, SeparationRow};
use crate::census::Listed;

/// `2026-11-24T09:00Z` of RFC 3339 with more digits; anything else as it is.
pub(crate) fn short(time: &str) -> String {
    match (time.len(), time.get(..16), time.ends_with('Z')) {
        (17.., Some(start), true) => format!("{start}Z"),
        _ => time.to_owned(),
    }
}

/// `18.5 days`, `3.2 hours` or `40 seconds`.
pub(crate) fn length(seconds: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = seconds.saturating_mul(10) / unit;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match seconds {
        86_400.. => format!("{} days", tenths(86_400)),
        3_600.. => format!("{} hours", tenths(3_600)),
        60.. => format!("{} minutes", tenths(60)),
        _ => format!("{seconds} seconds"),
    }
}

/// `74.5 %`, or what there is instead of a share.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(
        || "unknown".to_owned(),
        |share| format!("{:.1} %", share * 100.0),
    )
}

/// `1 owner`, `2 owners`.
pub(crate) fn counted(n: u64, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        _ if what.ends_with('s') => format!("{n} {what}es"),
        _ => match what.strip_suffix('y') {
            Some(stem) if !stem.ends_with('a') => format!("{n} {stem}ies"),
            _ => format!("{n} {what}s"),
        },
    }
}

/// `a, b and 3 more`.
pub(crate) fn list(items: &[String], more: u32) -> String {
    let mut out = items.join(", ");
    if more > 0 {
        let gap = if out.is_empty() { "" } else { " and " };
        out.push_str(&format!("{gap}{more} more"));
    }
    if out.is_empty() {
        out.push_str("none");
    }
    out
}

pub(crate) fn listed(list_of: &Listed<String>) -> String {
    list(&list_of.items, list_of.more)
}

/// Where the facts came from and what they reach back to.
pub(crate) fn sources(report: &Report) -> Vec<String> {
    let Period {
        since,
        days,
        watched_s,
        watching_since,
    } = &report.period;
    let mut all = vec![format!(
        "The last {} (since {}), of which {} were watched.",
        counted(u64::from(*days), "day"),
        short(since),
        length(*watched_s)
    )];
    match watching_since {
        Some(began) if *began > *since => all.push(format!(
            "Watching began {}: what was not used may have been used before.",
            short(began)
        )),
        Some(_) => {}
        None => all.push("How long this host was watched is not recorded.".to_owned()),
    }
    if report.source == "store" {
        all.push(
            "No daemon is running: this is what the store holds, without what only a daemon remembers."
                .to_owned(),
        );
    }
    all
}

/// `+20 since the report of …`.
pub(crate) fn change(report: &Report) -> String {
    let before = report
        .trend
        .past
        .iter()
        .rfind(|one| one.days == report.period.days);
    match (report.trend.change, before) {
        (Some(change), Some(before)) => format!(
            "{change:+} since the report of {} ({} then)",
            short(&before.made),
            before.points
        ),
        _ => format!(
            "no report over {} before this one",
            counted(u64::from(report.period.days), "day")
        ),
    }
}

/// `ci-bot of team-ci: 10 accesses, last used …`.
pub(crate) fn use_of(row: &IdentityRow) -> String {
    let seen = match &row.last_used {
        Some(last) => format!(
            "{}, {}, last used {}",
            counted(row.accesses, "access"),
            counted(row.credentials, "credential"),
            short(last)
        ),
        None => "never seen".to_owned(),
    };
    if row.duties.is_empty() {
        format!("{seen}; no duty: a canary, every use of it is an alert")
    } else {
        seen
    }
}

pub(crate) fn grant(grant: &Grant) -> String {
    match (&grant.last_used, grant.used) {
        (Some(last), true) => format!(
            "used: {} on {}, last {}",
            counted(grant.count, "time"),
            counted(u64::from(grant.days), "day"),
            short(last)
        ),
        (Some(last), false) => format!("NOT USED in the period, last {}", short(last)),
        (None, _) => "NOT USED, never seen".to_owned(),
    }
}

/// What a stolen credential of this identity reaches.
pub(crate) fn blast(row: &IdentityRow) -> String {
    let environments = match &row.environments_granted {
        Some(granted) => format!("in {}", list(granted, 0)),
        None => "in every environment".to_owned(),
    };
    format!(
        "{} granted {environments}; used: {}; environments used in the period: {}",
        counted(row.operations_granted, "operation"),
        row.operations_used,
        list(&row.environments_used, 0)
    )
}

/// `pay-read, pay-write`.
pub(crate) fn separated(row: &SeparationRow) -> String {
    let on = row
        .on
        .as_ref()
        .map(|on| format!(" on the same {on}"))
        .unwrap_or_default();
    format!("{}{on}", row.duties.join(" + "))
}

pub(crate) fn collusion(row: &SeparationRow) -> String {
    match row.collusion {
        Some(1) => format!(
            "collusion number 1: {} alone can do all of it",
            list(&row.colluders, 0)
        ),
        Some(n) if !row.exact => format!(
            "collusion number at most {n}: {} together can do all of it",
            list(&row.colluders, 0)
        ),
        Some(n) => format!(
            "collusion number {n}: fewest owners that together can do all of it, such as {}",
            list(&row.colluders, 0)
        ),
        None if row.unheld.is_empty() => "collusion number not counted: too many duties".to_owned(),
        None => format!("nobody holds {}", list(&row.unheld, 0)),
    }
}

/// Whether the separation is kept.
pub(crate) fn kept(row: &SeparationRow) -> &'static str {
    match (row.holders.items.is_empty(), &row.on) {
        (true, _) => "kept",
        (false, Some(_)) => "watched",
        (false, None) => "COMBINED",
    }
}

pub(crate) fn approval(row: &ApprovalRow) -> Vec<String> {
    let mut all = vec![
        format!("may do it: {}", listed(&row.requesters)),
        format!("may approve: {}", listed(&row.approvers)),
        format!(
            "approved something in the period: {}",
            listed(&row.approved_by)
        ),
    ];
    if !row.possible {
        all.push("NOBODY ELSE can approve for somebody who may do it".to_owned());
    }
    all.push(match &row.recorded {
        Some(counts) => format!(
            "{} of {} approved by somebody else",
            counts.approved,
            counted(counts.acts, "act")
        ),
        None => "acts with approvals by distinct people: not recorded".to_owned(),
    });
    all
}

pub(crate) fn crossing(row: &Crossing) -> String {
    let allowed = match &row.allowed {
        Some(allowed) => format!("is for {}", list(allowed, 0)),
        None => "is for every environment by the policy of now".to_owned(),
    };
    format!(
        "{} to {}, last {}; {allowed}",
        counted(row.count, "access"),
        row.environment,
        short(&row.last)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fit_their_numbers() {
        assert_eq!(counted(1, "access"), "1 access");
        assert_eq!(counted(2, "access"), "2 accesses");
        assert_eq!(counted(3, "identity"), "3 identities");
        assert_eq!(counted(3, "day"), "3 days");
        assert_eq!(length(59), "59 seconds");
        assert_eq!(length(5_400), "1.5 hours");
        assert_eq!(length(129_600), "1.5 days");
        assert_eq!(short("2026-11-24T09:00:00.000000Z"), "2026-11-24T09:00Z");
        assert_eq!(short("\u{1b}[2J"), "\u{1b}[2J");
        assert_eq!(list(&[], 0), "none");
        assert_eq!(
            list(&["a".to_owned(), "b".to_owned()], 3),
            "a, b and 3 more"
        );
        assert_eq!(percent(Some(0.745)), "74.5 %");
    }
}
