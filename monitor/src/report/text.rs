//! A report for a terminal. Every word that came from elsewhere is quoted.

use super::lines::Lines;
use super::model::{Report, SeparationRow};
use super::words;
use crate::cli::quote::text as quote;

/// The lines of a report, none wider than `width` characters (between 40 and 120).
#[must_use]
pub fn render(report: &Report, width: usize) -> Vec<String> {
    let mut out = Lines::new(width);
    let environment = report
        .environment
        .as_ref()
        .map(|name| format!(" in {name}"))
        .unwrap_or_default();
    out.hang(
        "",
        &quote(&format!(
            "Report of {}{environment}",
            words::short(&report.made)
        )),
    );
    for line in words::sources(report) {
        out.hang("", &quote(&line));
    }
    score(&mut out, report);
    trend(&mut out, report);
    duties(&mut out, report);
    separations(&mut out, report);
    blast(&mut out, report);
    unused(&mut out, report);
    approvals(&mut out, report);
    crossings(&mut out, report);
    coverage(&mut out, report);
    attribution(&mut out, report);
    alerts(&mut out, report);
    out.finish()
}

fn more(out: &mut Lines, more: u32) {
    if more > 0 {
        out.hang("  ", &format!("… and {more} more"));
    }
}

fn score(out: &mut Lines, report: &Report) {
    let score = &report.score;
    out.heading(&format!("Score: {} of 100", score.points));
    for part in &score.parts {
        out.row(
            2,
            &quote(&part.name),
            15,
            &format!(
                "{:.1} of {}: {}",
                part.points,
                part.weight,
                quote(&part.measured)
            ),
        );
        out.hang("                   = ", &quote(&part.formula));
    }
    out.hang("  ", &quote(&score.formula));
}

fn trend(out: &mut Lines, report: &Report) {
    out.heading("Trend");
    out.hang("  ", &quote(&words::change(report)));
    for past in &report.trend.past {
        out.row(
            2,
            &quote(&words::short(&past.made)),
            17,
            &format!(
                "{} points over {}: {} combined, {} of {} grants unused, {}, {}",
                past.points,
                words::counted(u64::from(past.days), "day"),
                past.combined,
                past.unused,
                past.grants,
                words::counted(past.crossings, "crossing"),
                words::counted(past.alerts, "alert"),
            ),
        );
    }
}

fn duties(out: &mut Lines, report: &Report) {
    let policy = &report.policy;
    out.heading("Identities and duties");
    out.hang(
        "  ",
        &format!(
            "{} of {}, {}; {} of {} used in the period",
            words::counted(policy.identities, "identity"),
            words::counted(policy.owners, "owner"),
            words::counted(policy.duties, "duty"),
            policy.grants_used,
            words::counted(policy.grants, "grant"),
        ),
    );
    for row in &report.identities.items {
        out.hang(
            "  ",
            &quote(&format!(
                "{} ({}): {}",
                row.identity,
                row.owner,
                words::use_of(row)
            )),
        );
        for grant in &row.duties {
            out.row(4, &quote(&grant.duty), 16, &quote(&words::grant(grant)));
        }
    }
    more(out, report.identities.more);
    if !report.unnamed.items.is_empty() {
        out.hang("  ", "Credentials that no identity of the policy has:");
        for row in &report.unnamed.items {
            out.hang(
                "    ",
                &quote(&format!(
                    "{}: {} at {} by {}",
                    row.identity,
                    words::counted(row.accesses, "access"),
                    words::listed(&row.hosts),
                    words::listed(&row.workloads)
                )),
            );
        }
        more(out, report.unnamed.more);
    }
}

fn separations(out: &mut Lines, report: &Report) {
    out.heading("Toxic combinations and collusion numbers");
    if report.separations.is_empty() {
        out.hang("  ", "The policy separates no duties.");
    }
    for row in &report.separations {
        separation(out, row);
    }
}

fn separation(out: &mut Lines, row: &SeparationRow) {
    out.hang(
        "  ",
        &quote(&format!(
            "{} {} ({})",
            words::kept(row),
            words::separated(row),
            row.place
        )),
    );
    out.hang("    ", &quote(&words::collusion(row)));
    for holder in &row.holders.items {
        let held: Vec<String> = holder
            .holds
            .iter()
            .map(|held| {
                let used = if held.used { "used" } else { "not used" };
                format!("{} by {} ({used})", held.duty, held.identity)
            })
            .collect();
        out.hang(
            "    ",
            &quote(&format!("{} holds {}", holder.owner, held.join(", "))),
        );
    }
    more(out, row.holders.more);
}

fn blast(out: &mut Lines, report: &Report) {
    out.heading("Blast radius: what a stolen credential reaches");
    let mut any = false;
    for row in &report.identities.items {
        if row.operations_granted == 0 {
            continue;
        }
        any = true;
        out.hang(
            "  ",
            &quote(&format!("{}: {}", row.identity, words::blast(row))),
        );
        for operation in &row.operations.items {
            let mark = if operation.used {
                "used    "
            } else {
                "not used"
            };
            out.hang(&format!("    {mark}  "), &quote(&operation.operation));
        }
        more(out, row.operations.more);
    }
    if !any {
        out.hang("  ", "The policy grants nothing.");
    }
}

fn unused(out: &mut Lines, report: &Report) {
    out.heading("Grants not used");
    for row in &report.unused.items {
        let last = row.last_used.as_ref().map_or_else(
            || "never seen".to_owned(),
            |last| format!("last {}", words::short(last)),
        );
        out.hang(
            "  ",
            &quote(&format!(
                "{} of {} ({}): {last}; granted at {}",
                row.duty, row.identity, row.owner, row.place
            )),
        );
    }
    if report.unused.items.is_empty() {
        out.hang("  ", "none");
    }
    more(out, report.unused.more);
}

fn approvals(out: &mut Lines, report: &Report) {
    out.heading("Approvals");
    if report.approvals.is_empty() {
        out.hang("  ", "The policy demands no approval.");
    }
    for row in &report.approvals {
        out.hang(
            "  ",
            &quote(&format!(
                "{} by {} of another {} ({})",
                row.duty, row.by, row.distinct, row.place
            )),
        );
        for line in words::approval(row) {
            out.hang("    ", &quote(&line));
        }
    }
}

fn crossings(out: &mut Lines, report: &Report) {
    out.heading("Environment crossings");
    for row in &report.crossings.items {
        let owner = row.owner.as_deref().unwrap_or("no owner");
        out.hang(
            "  ",
            &quote(&format!(
                "{} ({owner}): {}",
                row.identity,
                words::crossing(row)
            )),
        );
    }
    more(out, report.crossings.more);
    if report.crossings.items.is_empty() {
        out.hang("  ", "none");
    }
    for row in &report.several.items {
        out.hang(
            "  ",
            &quote(&format!(
                "{} was used in {}",
                row.identity,
                row.environments.join(" and ")
            )),
        );
    }
    more(out, report.several.more);
}

fn coverage(out: &mut Lines, report: &Report) {
    let coverage = &report.coverage;
    out.heading("Coverage");
    out.hang(
        "  ",
        &format!(
            "{} of connections understood: {} read, {} not HTTP, {} dark",
            words::percent(coverage.understood),
            coverage.read,
            coverage.other,
            coverage.dark
        ),
    );
    match &coverage.dark_workloads {
        None => out.hang("  ", "Dark workloads: only a running daemon knows."),
        Some(rows) => {
            for row in &rows.items {
                let name = row.workload.as_deref().unwrap_or("all others together");
                out.hang(
                    "  ",
                    &quote(&format!(
                        "dark: {name}, {} dark and {} read; {}",
                        row.dark,
                        row.read,
                        words::list(&row.examples, 0)
                    )),
                );
            }
            more(out, rows.more);
            if rows.items.is_empty() {
                out.hang("  ", "No workload is dark.");
            }
        }
    }
}

fn attribution(out: &mut Lines, report: &Report) {
    let part = &report.attribution;
    out.heading("Attribution");
    out.hang(
        "  ",
        &format!(
            "{} of requests with a credential are of an identity of the policy: {} of {}; {} in all",
            words::percent(part.attributed),
            part.named,
            part.with_credential,
            words::counted(part.requests, "request"),
        ),
    );
    if part.forgotten > 0 {
        let forgotten = words::counted(part.forgotten, "identity");
        out.hang(
            "  ",
            &format!("{forgotten} had to make room and are not in this report."),
        );
    }
}

fn alerts(out: &mut Lines, report: &Report) {
    let part = &report.alerts;
    out.heading("Alerts");
    let by = |map: &std::collections::BTreeMap<String, u64>| {
        let all: Vec<String> = map.iter().map(|(name, n)| format!("{n} {name}")).collect();
        all.join(", ")
    };
    if part.total == 0 {
        out.hang("  ", "none in the period");
        return;
    }
    out.hang(
        "  ",
        &quote(&format!(
            "{}: {}; {}",
            words::counted(part.total, "alert"),
            by(&part.severities),
            by(&part.kinds)
        )),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::quote::is_plain;
    use crate::report::testing::{hostile, report_of};

    #[test]
    fn the_shop_on_eighty_columns() {
        let lines = render(&report_of(|_| {}), 80);
        assert!(lines.iter().all(|line| line.chars().count() <= 80));
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_came_from_elsewhere_cannot_disturb_a_terminal() {
        for width in [0, 40, 80, 200] {
            for line in render(&hostile(), width) {
                assert!(line.chars().all(is_plain), "{line:?}");
                assert!(line.chars().count() <= width.clamp(40, 120), "{line}");
            }
        }
    }

    #[test]
    fn a_stopped_daemon_is_told_of() {
        let report = report_of(|inputs| {
            inputs.live = false;
            inputs.coverage = None;
        });
        let text = render(&report, 80).join("\n");
        assert!(text.contains("No daemon is running"), "{text}");
        assert!(text.contains("only a running daemon knows"), "{text}");
    }
}
