//! The parts of the page.

use super::super::model::{Grant, IdentityRow, Report, SeparationRow};
use super::super::words;
use super::markup::{Html, Table, bar, line};

/// Most duties that become columns of a matrix; with more each identity lists its own.
const MOST_COLUMNS: usize = 10;

/// Id, heading and content of each part.
pub(super) fn all(report: &Report) -> Vec<(&'static str, &'static str, Html)> {
    vec![
        ("score", "Score", score(report)),
        ("trend", "Trend", trend(report)),
        ("duties", "Identities and duties", duties(report)),
        (
            "toxic",
            "Toxic combinations and collusion numbers",
            separations(report),
        ),
        ("blast", "Blast radius", blast(report)),
        ("unused", "Grants not used", unused(report)),
        ("approvals", "Approvals", approvals(report)),
        ("crossings", "Environment crossings", crossings(report)),
        ("coverage", "Coverage", coverage(report)),
        ("attribution", "Attribution", attribution(report)),
        ("alerts", "Alerts", alerts(report)),
    ]
}

fn text(raw: &str) -> (&'static str, Html) {
    ("", Html::text(raw))
}

fn code(raw: &str) -> (&'static str, Html) {
    ("", Html::of("code", "", raw))
}

fn marked(class: &str, raw: &str) -> (&'static str, Html) {
    ("", Html::of("span", class, raw))
}

fn number(n: u64) -> (&'static str, Html) {
    ("n", Html::text(&n.to_string()))
}

fn more(out: &mut Html, more: u32) {
    if more > 0 {
        out.paragraph("dim", &format!("… and {more} more"));
    }
}

pub(super) fn score_card(report: &Report) -> Html {
    let mut points = Html::text(&format!("{} ", report.score.points));
    points.push(&Html::of("span", "of", "of 100"));
    let mut card = Html::element("p", "points", &points);
    card.paragraph("", &words::change(report));
    Html::element("div", "score", &card)
}

fn score(report: &Report) -> Html {
    let mut table = Table::new(
        "Parts of the score",
        &["Part", "#Points", "Share", "Measured", "Formula"],
    );
    for part in &report.score.parts {
        let mut share = Html::text(&words::percent(part.share));
        share.push(&bar(part.share));
        table.row(&[
            text(&part.name),
            (
                "n",
                Html::text(&format!("{:.1} of {}", part.points, part.weight)),
            ),
            ("", share),
            text(&part.measured),
            ("dim", Html::text(&part.formula)),
        ]);
    }
    let mut out = Html::default();
    out.paragraph("", &format!("Score = {}.", report.score.formula));
    out.push(&table.html());
    out
}

fn trend(report: &Report) -> Html {
    let past = &report.trend.past;
    let mut out = Html::default();
    out.paragraph("", &words::change(report));
    if past.is_empty() {
        return out;
    }
    let mut points: Vec<u32> = past.iter().map(|one| one.points).collect();
    points.push(report.score.points);
    out.push(&line(&points));
    let mut table = Table::new(
        "Reports before",
        &[
            "Report",
            "#Days",
            "#Points",
            "#Combined",
            "#Unused",
            "#Crossings",
            "#Alerts",
        ],
    );
    for one in past.iter().rev() {
        table.row(&[
            text(&words::short(&one.made)),
            number(u64::from(one.days)),
            number(u64::from(one.points)),
            number(one.combined),
            (
                "n",
                Html::text(&format!("{} of {}", one.unused, one.grants)),
            ),
            number(one.crossings),
            number(one.alerts),
        ]);
    }
    out.push(&table.html());
    out
}

fn granted(grant: &Grant) -> Html {
    let class = if grant.used { "good" } else { "doubt" };
    Html::of("span", class, &words::grant(grant))
}

fn duties(report: &Report) -> Html {
    let policy = &report.policy;
    let mut out = Html::default();
    out.paragraph(
        "",
        &format!(
            "{} of {}; {} of {} used in the period.",
            words::counted(policy.identities, "identity"),
            words::counted(policy.owners, "owner"),
            policy.grants_used,
            words::counted(policy.grants, "grant")
        ),
    );
    let mut columns: Vec<&str> = Vec::new();
    for grant in report.identities.items.iter().flat_map(|row| &row.duties) {
        if !columns.contains(&&*grant.duty) {
            columns.push(&grant.duty);
        }
    }
    columns.sort_unstable();
    if !report.identities.items.is_empty() {
        out.push(&if columns.len() <= MOST_COLUMNS {
            matrix(report, &columns)
        } else {
            lists(report)
        });
    }
    more(&mut out, report.identities.more);
    out.push(&unnamed(report));
    out
}

fn who(row: &IdentityRow) -> [(&'static str, Html); 3] {
    [
        text(&row.identity),
        text(&row.owner),
        text(&words::use_of(row)),
    ]
}

fn matrix(report: &Report, columns: &[&str]) -> Html {
    let mut table = Table::new("Identities and duties", &["Identity", "Owner", "Seen"]);
    for column in columns {
        table.column(column);
    }
    for row in &report.identities.items {
        let mut cells = who(row).to_vec();
        for column in columns {
            let grant = row.duties.iter().find(|grant| grant.duty == *column);
            cells.push(match grant {
                Some(grant) => ("", granted(grant)),
                None => ("dim", Html::text("–")),
            });
        }
        table.row(&cells);
    }
    table.html()
}

fn lists(report: &Report) -> Html {
    let mut table = Table::new(
        "Identities and duties",
        &["Identity", "Owner", "Seen", "Duty", "Use"],
    );
    for row in &report.identities.items {
        let [name, owner, seen] = who(row);
        for grant in &row.duties {
            table.row(&[
                name.clone(),
                owner.clone(),
                seen.clone(),
                text(&grant.duty),
                ("", granted(grant)),
            ]);
        }
        if row.duties.is_empty() {
            table.row(&[name, owner, seen, text("–"), text("–")]);
        }
    }
    table.html()
}

fn unnamed(report: &Report) -> Html {
    let mut out = Html::default();
    if report.unnamed.items.is_empty() {
        return out;
    }
    out.push(&Html::of(
        "h3",
        "",
        "Credentials that no identity of the policy has",
    ));
    let mut table = Table::new(
        "Credentials without a name",
        &["Credential", "#Accesses", "Hosts", "Used by"],
    );
    for row in &report.unnamed.items {
        table.row(&[
            code(&row.identity),
            number(row.accesses),
            text(&words::listed(&row.hosts)),
            text(&words::listed(&row.workloads)),
        ]);
    }
    out.push(&table.html());
    more(&mut out, report.unnamed.more);
    out
}

fn separations(report: &Report) -> Html {
    let mut out = Html::default();
    if report.separations.is_empty() {
        out.paragraph("", "The policy separates no duties.");
        return out;
    }
    let mut table = Table::new(
        "Separations",
        &[
            "Duties",
            "State",
            "Collusion number",
            "Who holds more than one",
            "Where",
        ],
    );
    for row in &report.separations {
        table.row(&[
            text(&words::separated(row)),
            match words::kept(row) {
                "COMBINED" => marked("bad", "✗ combined"),
                "watched" => marked("doubt", "watched for each object"),
                _ => marked("good", "✓ kept"),
            },
            text(&words::collusion(row)),
            ("", holders(row)),
            code(&row.place),
        ]);
    }
    out.push(&table.html());
    out
}

fn holders(row: &SeparationRow) -> Html {
    let mut out = Html::default();
    if row.holders.items.is_empty() {
        return Html::text("nobody");
    }
    out.list(row.holders.items.iter().map(|holder| {
        let held: Vec<String> = holder
            .holds
            .iter()
            .map(|held| {
                let used = if held.used { "used" } else { "not used" };
                format!("{} by {} ({used})", held.duty, held.identity)
            })
            .collect();
        format!("{}: {}", holder.owner, held.join(", "))
    }));
    more(&mut out, row.holders.more);
    out
}

fn blast(report: &Report) -> Html {
    let mut out = Html::default();
    out.paragraph(
        "dim",
        "What a stolen credential reaches, and how much of that its owner needs.",
    );
    let mut table = Table::new(
        "Blast radius",
        &[
            "Identity",
            "#Operations",
            "#Used",
            "Environments",
            "Used in the period",
            "Which operations",
        ],
    );
    let mut any = false;
    for row in report
        .identities
        .items
        .iter()
        .filter(|row| row.operations_granted > 0)
    {
        any = true;
        let mut operations = Html::default();
        let mut items = Html::default();
        for operation in &row.operations.items {
            let mut item = Html::of("code", "", &operation.operation);
            item.push(&if operation.used {
                Html::of("span", "good", " used")
            } else {
                Html::of("span", "doubt", " not used")
            });
            items.push(&Html::element("li", "", &item));
        }
        operations.push(&Html::element("ul", "", &items));
        more(&mut operations, row.operations.more);
        let reach = match &row.environments_granted {
            Some(granted) => words::list(granted, 0),
            None => "every one".to_owned(),
        };
        table.row(&[
            text(&row.identity),
            number(row.operations_granted),
            number(row.operations_used),
            text(&reach),
            text(&words::list(&row.environments_used, 0)),
            ("", operations),
        ]);
    }
    if any {
        out.push(&table.html());
    } else {
        out.paragraph("", "The policy grants nothing.");
    }
    out
}

fn unused(report: &Report) -> Html {
    let mut out = Html::default();
    if report.unused.items.is_empty() {
        out.paragraph("", "none");
        return out;
    }
    let mut table = Table::new(
        "Grants not used",
        &["Identity", "Owner", "Duty", "Last used", "Granted at"],
    );
    for row in &report.unused.items {
        let last = row
            .last_used
            .as_deref()
            .map_or_else(|| "never seen".to_owned(), words::short);
        table.row(&[
            text(&row.identity),
            text(&row.owner),
            text(&row.duty),
            text(&last),
            code(&row.place),
        ]);
    }
    out.push(&table.html());
    more(&mut out, report.unused.more);
    out
}

fn approvals(report: &Report) -> Html {
    let mut out = Html::default();
    if report.approvals.is_empty() {
        out.paragraph("", "The policy demands no approval.");
    }
    for row in &report.approvals {
        let heading = format!("{} by {} of another {}", row.duty, row.by, row.distinct);
        out.push(&Html::of("h3", "", &heading));
        out.list(words::approval(row));
        out.push(&Html::element("p", "dim", &code(&row.place).1));
    }
    out
}

fn crossings(report: &Report) -> Html {
    let mut out = Html::default();
    if report.crossings.items.is_empty() {
        out.paragraph("", "No identity went where it is not for.");
    } else {
        let mut table = Table::new("Environment crossings", &["Identity", "Owner", "What"]);
        for row in &report.crossings.items {
            table.row(&[
                text(&row.identity),
                text(row.owner.as_deref().unwrap_or("–")),
                marked("bad", &words::crossing(row)),
            ]);
        }
        out.push(&table.html());
    }
    more(&mut out, report.crossings.more);
    if !report.several.items.is_empty() {
        out.push(&Html::of("h3", "", "Used in more than one environment"));
        out.list(
            report
                .several
                .items
                .iter()
                .map(|row| format!("{}: {}", row.identity, row.environments.join(" and "))),
        );
        more(&mut out, report.several.more);
    }
    out
}

fn coverage(report: &Report) -> Html {
    let part = &report.coverage;
    let mut out = Html::default();
    out.paragraph(
        "",
        &format!(
            "{} of connections understood: {} read, {} not HTTP, {} dark.",
            words::percent(part.understood),
            part.read,
            part.other,
            part.dark
        ),
    );
    out.push(&bar(part.understood));
    let Some(rows) = &part.dark_workloads else {
        out.paragraph("dim", "Dark workloads: only a running daemon knows.");
        return out;
    };
    if rows.items.is_empty() {
        out.paragraph("", "No workload is dark.");
        return out;
    }
    let mut table = Table::new(
        "Dark workloads",
        &["Workload", "#Dark", "#Read", "Where to, and why"],
    );
    for row in &rows.items {
        table.row(&[
            text(row.workload.as_deref().unwrap_or("all others together")),
            number(row.dark),
            number(row.read),
            text(&words::list(&row.examples, 0)),
        ]);
    }
    out.push(&table.html());
    more(&mut out, rows.more);
    out
}

fn attribution(report: &Report) -> Html {
    let part = &report.attribution;
    let mut out = Html::default();
    out.paragraph(
        "",
        &format!(
            "{} of requests with a credential are of an identity of the policy: {} of {}; {} in all.",
            words::percent(part.attributed),
            part.named,
            part.with_credential,
            words::counted(part.requests, "request")
        ),
    );
    out.push(&bar(part.attributed));
    if part.forgotten > 0 {
        let forgotten = words::counted(part.forgotten, "identity");
        out.paragraph(
            "doubt",
            &format!("{forgotten} had to make room and are not in this report."),
        );
    }
    out
}

fn alerts(report: &Report) -> Html {
    let part = &report.alerts;
    let mut out = Html::default();
    out.paragraph(
        "",
        &format!("{} in the period.", words::counted(part.total, "alert")),
    );
    for (what, map) in [("Severity", &part.severities), ("Kind", &part.kinds)] {
        if map.is_empty() {
            continue;
        }
        let mut table = Table::new(
            &format!("Alerts by {}", what.to_lowercase()),
            &[what, "#Alerts"],
        );
        for (name, count) in map {
            table.row(&[text(name), number(*count)]);
        }
        out.push(&table.html());
    }
    out
}
