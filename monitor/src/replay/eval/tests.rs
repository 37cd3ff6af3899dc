use super::super::tests::{DAY, MONDAY, SECOND, line, rules};
use super::super::{Format, Item, Reader};
use super::*;

fn evaluate(lines: &[(String, Label)], split_us: Option<i64>) -> Evaluation {
    let mut evaluator = Evaluator::new(&rules(None));
    let mut reader = Reader::default();
    for (line, label) in lines {
        match reader.read(Format::Accesses, line.as_bytes()).unwrap() {
            Item::Access(mut access) => evaluator.take(&mut access, label),
            other => panic!("{other:?}"),
        }
    }
    evaluator.end(split_us)
}

fn normal() -> Label {
    Label::default()
}

fn attack(id: &str) -> Label {
    Label {
        label: Some("takeover".to_owned()),
        attack: Some(id.to_owned()),
    }
}

fn score<'a>(evaluation: &'a Evaluation, part: &str, detector: &str) -> &'a Score {
    let part = evaluation
        .parts
        .iter()
        .find(|own| own.part == part)
        .unwrap();
    part.scores
        .iter()
        .find(|own| own.detector == detector)
        .unwrap()
}

/// Twelve days of two robots. One of them does something new on the ninth, the other is taken over on the last.
fn scene() -> Vec<(String, Label)> {
    let mut lines = Vec::new();
    for day in 0..12 {
        for n in 0..48 {
            let time = MONDAY + day * DAY + n * 1800 * SECOND;
            for robot in ["robot-1", "robot-2"] {
                let request = format!("GET /v1/{}", n % 3);
                lines.push((line(time, robot, &request, "/usr/bin/robot"), normal()));
            }
        }
        if day == 9 {
            let time = MONDAY + 9 * DAY + 86_000 * SECOND;
            lines.push((
                line(time, "robot-1", "GET /v1/9", "/usr/bin/robot"),
                normal(),
            ));
        }
    }
    for n in 0..100 {
        let time = MONDAY + 12 * DAY + n * SECOND;
        lines.push((
            line(time, "robot-2", "DELETE /users", "/usr/bin/curl"),
            attack("a1"),
        ));
    }
    lines
}

#[test]
fn attacks_are_hit_and_delays_counted() {
    let found = evaluate(&scene(), None);
    assert_eq!(
        (found.accesses, found.labelled),
        (12 * 48 * 2 + 1 + 100, 100)
    );
    assert_eq!(found.attacks.get("takeover"), Some(&1));
    let first = score(&found, "all", "first-seen");
    assert_eq!((first.alarms, first.false_alarms, first.hits), (2, 1, 1));
    assert_eq!(first.delay.as_ref().unwrap().median, 1);
    let rate = score(&found, "all", "rate-threshold");
    assert_eq!((rate.alarms, rate.hits), (1, 1));
    assert_eq!(rate.delay.as_ref().unwrap().median, 61);
    let unusual = score(&found, "all", "unusual");
    assert_eq!(
        (unusual.alarms, unusual.false_alarms, unusual.hits),
        (2, 1, 1),
        "{found:#?}"
    );
    // It is told when its first window is over: a minute, of 60 accesses and the one that is its end.
    let delay = unusual.delay.as_ref().unwrap().median;
    assert!((60..=62).contains(&delay), "{delay}");
    assert_eq!(score(&found, "all", "any-finding").hits, 1);
}

#[test]
fn parts_are_by_time_and_by_identity() {
    let found = evaluate(&scene(), Some(MONDAY + 10 * DAY));
    assert_eq!(found.split.as_deref(), Some("2026-12-03T00:00:00.000000Z"));
    let alarms = |part: &str| score(&found, part, "first-seen").alarms;
    assert_eq!((alarms("before"), alarms("after")), (1, 1));
    assert_eq!(alarms("identities-a") + alarms("identities-b"), 2);
    let attacks = |part: &str| {
        found
            .parts
            .iter()
            .find(|own| own.part == part)
            .unwrap()
            .attacks
    };
    assert_eq!((attacks("before"), attacks("after")), (0, 1));
    assert_eq!(attacks("identities-a") + attacks("identities-b"), 1);
}

#[test]
fn without_an_attack_id_label_and_identity_are_one() {
    let mut label = attack("x");
    label.attack = None;
    let lines: Vec<_> = (0..4)
        .map(|n| {
            let who = format!("r{}", n % 2);
            (
                line(MONDAY + n, &who, "GET /x", "/usr/bin/x"),
                label.clone(),
            )
        })
        .collect();
    assert_eq!(evaluate(&lines, None).attacks.get("takeover"), Some(&2));
    let label: Label = serde_json::from_str("{\"label\":null,\"time\":\"x\"}").unwrap();
    assert_eq!(label, normal());
    let nothing = evaluate(&[], None);
    assert_eq!((nothing.accesses, nothing.split), (0, None));
}

#[test]
fn delays_have_quantiles() {
    let of = |delays: &[u64]| report::delay_of(delays.to_vec());
    assert_eq!(of(&[]), None);
    let ten = of(&[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]).unwrap();
    assert_eq!((ten.median, ten.p90, ten.most), (5, 9, 10));
    let one = of(&[7]).unwrap();
    assert_eq!((one.median, one.p90, one.most), (7, 7, 7));
}
