use super::super::model::{ApprovalCounts, Report};
use super::super::testing::{DAY, NOW, SHOP, identity, policy, report_of};
use super::super::trend::{combined, summary};
use super::*;

fn shop() -> Report {
    report_of(|_| {})
}

#[test]
fn a_small_shop() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&shop()).unwrap());
}

#[test]
fn granted_and_used_are_told_apart() {
    let report = shop();
    let row = |name: &str| {
        let found = report
            .identities
            .items
            .iter()
            .find(|row| row.identity == name);
        found.unwrap().clone()
    };
    assert!(row("ci-bot").duties[0].used);
    let writer = row("pay-writer");
    // Used, but 40 days ago.
    assert!(!writer.duties[0].used && writer.duties[0].count == 10);
    assert_eq!((writer.operations_granted, writer.operations_used), (2, 1));
    assert!(writer.environments_used.is_empty());
    assert_eq!(writer.environments_granted, None);
    assert_eq!(row("trap").duties, []);
    let unused: Vec<&str> = report.unused.items.iter().map(|row| &*row.duty).collect();
    assert_eq!(unused, ["pay-write"]);
    assert_eq!(report.unnamed.items.len(), 1);
}

#[test]
fn an_owner_with_two_keys_combines_what_is_separated() {
    let report = shop();
    let [pay, same_object, kept] = &report.separations[..] else {
        panic!("{:#?}", report.separations);
    };
    assert_eq!(pay.collusion, Some(1));
    assert_eq!(pay.colluders, ["team-pay"]);
    assert_eq!(pay.holders.items[0].holds.len(), 2);
    assert_eq!(
        (same_object.collusion, same_object.holders.items.len()),
        (Some(2), 0)
    );
    assert_eq!((kept.collusion, kept.holders.items.len()), (Some(2), 0));
    assert_eq!(combined(&report), 1);
}

#[test]
fn a_duty_that_nobody_holds_has_no_collusion_number() {
    let text = SHOP.replace("duties = [\"approve\"]\n", "duties = [\"deploy\"]\n");
    let policy = policy(&text);
    let report = report_of(|inputs| {
        // The policy lives as long as this closure is not left.
        let found = rules::separations(&policy, &HashMap::new(), inputs.since_us);
        assert_eq!(found[1].collusion, None);
        assert_eq!(found[1].unheld, ["approve"]);
    });
    assert_eq!(report.separations[1].collusion, Some(2));
}

#[test]
fn approvals_need_somebody_else() {
    let row = &shop().approvals[0];
    assert!(row.possible && row.recorded.is_none());
    assert_eq!(row.approved_by.items, ["anna"]);
    let own = policy(&SHOP.replace("owner = \"anna\"", "owner = \"team-ci\""));
    report_of(|inputs| {
        let rows = rules::approvals(&own, &HashMap::new(), inputs);
        assert!(!rows[0].possible);
    });
}

struct Recorded;

impl ApprovalMemory for Recorded {
    fn counts(
        &self,
        policy: &Policy,
        approval: &Approval,
        since_us: i64,
    ) -> Option<ApprovalCounts> {
        assert_eq!(&*policy.duty(approval.duty).unwrap().name, "deploy");
        assert_eq!(since_us, NOW - 30 * DAY);
        Some(ApprovalCounts {
            acts: 4,
            approved: 3,
        })
    }
}

#[test]
fn what_is_recorded_of_approvals_counts() {
    let report = report_of(|inputs| inputs.approvals = &Recorded);
    assert_eq!(report.approvals[0].recorded.as_ref().unwrap().approved, 3);
    let part = &report.score.parts[1];
    assert_eq!((part.share, part.points), (Some(0.75), 7.5));
}

#[test]
fn the_score_is_the_sum_of_its_parts_and_says_how() {
    let report = shop();
    let score = &report.score;
    assert_eq!(score.parts.iter().map(|part| part.weight).sum::<u32>(), 100);
    let sum: f64 = score.parts.iter().map(|part| part.points).sum();
    assert_eq!(score.points, sum.floor() as u32);
    let points: Vec<f64> = score.parts.iter().map(|part| part.points).collect();
    // 1 of 2, possible, 3 of 4, one high and two low, 60 of 80, 60 of 80.
    assert_eq!(points, [12.5, 10.0, 15.0, 14.2, 11.2, 7.5]);
    assert_eq!(score.points, 70);
    assert_eq!(report.trend.change, Some(20));
    assert_eq!(summary(&report).unused, 1);
}

#[test]
fn nothing_to_measure_earns_nothing() {
    let (policy, alerts) = (Policy::empty(), Tally::new());
    let inputs = Inputs {
        now_us: NOW,
        since_us: NOW - DAY,
        live: false,
        environment: None,
        policy: &policy,
        census: &[],
        forgotten: 0,
        coverage: None,
        alerts: &alerts,
        ledger: None,
        past: &[],
        approvals: &NotRecorded,
    };
    let report = build(&inputs);
    assert_eq!(report.score.points, 0);
    assert!(report.score.parts.iter().all(|part| part.share.is_none()));
    assert_eq!((report.trend.change, report.period.days), (None, 1));
    assert_eq!(report.coverage.dark_workloads, None);
}

#[test]
fn only_a_report_of_the_same_length_is_compared() {
    let report = report_of(|inputs| inputs.since_us = NOW - 7 * DAY);
    assert_eq!((report.trend.change, report.trend.past.len()), (None, 1));
}

#[test]
fn lists_are_bounded() {
    let many: Vec<IdentityRecord> = (0..2000)
        .map(|n| {
            identity(
                &format!("id-{n:04}"),
                Some("team"),
                &[],
                &[("dev", 1), ("prod", 1)],
                &[("GET", "h.example", "/")],
            )
        })
        .collect();
    let policy = Policy::empty();
    let alerts = Tally::new();
    let inputs = Inputs {
        now_us: NOW,
        since_us: NOW - DAY,
        live: true,
        environment: None,
        policy: &policy,
        census: &many,
        forgotten: 0,
        coverage: None,
        alerts: &alerts,
        ledger: None,
        past: &[],
        approvals: &NotRecorded,
    };
    let report = build(&inputs);
    assert_eq!(
        (report.crossings.items.len(), report.crossings.more),
        (1000, 3000)
    );
    assert_eq!(
        (report.several.items.len(), report.several.more),
        (1000, 1000)
    );
    assert_eq!(
        (report.unnamed.items.len(), report.unnamed.more),
        (100, 1900)
    );
    assert_eq!(summary(&report).crossings, 4000);
}
