//! Folding.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail by panic"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::alert::testing::{access, words};
use crate::judge::Severity;

fn observe(folder: &mut Folder, kind: FindingKind, access: &Access) {
    let severity = Severity::High;
    folder.observe(Finding { kind, severity }, access, || Some(words("c")));
}

fn drained(folder: &mut Folder) -> Vec<AlertUpdate> {
    let mut out = Vec::new();
    folder.drain(|update| out.push(update));
    out
}

#[test]
fn folds_one_key() {
    let mut folder = Folder::default();
    for i in 0..100 {
        let mut access = access(Some("ci-bot"), i);
        access.path = format!("/{i}");
        observe(&mut folder, FindingKind::Duty, &access);
    }
    assert_eq!(folder.pending(), 1);
    let out = drained(&mut folder);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].count, 100);
    assert_eq!((out[0].first_us, out[0].last_us), (0, 99));
    assert_eq!(out[0].key.workload.as_deref(), Some("unit:ci.service"));
    assert_eq!(out[0].operation, "GET api.example/{id}");
    let paths = out[0]
        .evidence
        .iter()
        .map(|a| a.path.as_str())
        .collect::<Vec<_>>();
    assert_eq!(
        paths,
        [
            "/0", "/1", "/2", "/3", "/4", "/95", "/96", "/97", "/98", "/99"
        ]
    );
    assert_eq!(folder.pending(), 0);
    assert!(drained(&mut folder).is_empty());
}

#[test]
fn a_workload_as_such_has_an_alert_without_evidence() {
    let mut folder = Folder::default();
    let workload = access(Some("a"), 0).client.unwrap().workload;
    for time in [7, 3, 9] {
        let finding = Finding {
            kind: FindingKind::CoverageLost,
            severity: Severity::High,
        };
        let operation = "opaque-tls:no-keys";
        folder.observe_workload(finding, words("c"), &workload, operation, time);
    }
    let out = drained(&mut folder);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].key.workload.as_deref(), Some("unit:ci.service"));
    assert_eq!((out[0].key.identity.as_deref(), out[0].count), (None, 3));
    assert_eq!((out[0].first_us, out[0].last_us), (3, 9));
    assert_eq!(out[0].operation, "opaque-tls:no-keys");
    assert!(out[0].evidence.is_empty());
}

#[test]
fn evidence_stays_in_order_while_the_ring_fills() {
    for n in 1..=12_i64 {
        let mut folder = Folder::default();
        for i in 0..n {
            observe(&mut folder, FindingKind::Duty, &access(Some("a"), i));
        }
        let times = drained(&mut folder)[0]
            .evidence
            .iter()
            .map(|a| a.time_us)
            .collect::<Vec<_>>();
        let mut expected = (0..n).collect::<Vec<_>>();
        crate::alert::evidence::merge(&mut expected, []);
        assert_eq!(times, expected, "after {n}");
    }
}

#[test]
fn worst_severity_brings_its_words() {
    let mut folder = Folder::default();
    let mut tell = |severity, title: &str, at_us| {
        let finding = Finding {
            kind: FindingKind::Cleartext,
            severity,
        };
        let mut asked = false;
        folder.observe(finding, &access(Some("a"), at_us), || {
            asked = true;
            let title = title.to_owned();
            Some(Words {
                title,
                ..words("c")
            })
        });
        asked
    };
    assert!(tell(Severity::Low, "mild", 1));
    assert!(tell(Severity::High, "worse", 2));
    assert!(!tell(Severity::High, "as bad", 3));
    assert!(!tell(Severity::Low, "milder", 4));
    let out = drained(&mut folder);
    assert_eq!(
        (out[0].severity, out[0].title.as_str()),
        (Severity::High, "worse")
    );
}

#[test]
fn other_rules_have_other_clauses() {
    let mut folder = Folder::default();
    for clause in ["old", "new"] {
        for at_us in 0..3 {
            let finding = Finding {
                kind: FindingKind::Duty,
                severity: Severity::High,
            };
            folder.observe(finding, &access(Some("a"), at_us), || Some(words(clause)));
        }
        folder.replace_rules();
    }
    let told = drained(&mut folder)
        .into_iter()
        .map(|update| (update.key.clause, update.count))
        .collect::<Vec<_>>();
    assert_eq!(told, [("old".into(), 3), ("new".into(), 3)]);
}

#[test]
fn a_canary_survives_a_flood() {
    let mut folder = Folder::new(64);
    observe(&mut folder, FindingKind::Canary, &access(Some("trap"), 0));
    for i in 0..10_000 {
        let mut access = access(Some(&format!("bw1:{i}")), i);
        access.owner = None;
        observe(&mut folder, FindingKind::Cleartext, &access);
    }
    assert!(folder.pressed());
    let out = drained(&mut folder);
    assert_eq!(out.len(), 65, "the table and one overflow entry");
    let canary = out
        .iter()
        .find(|u| u.key.kind == FindingKind::Canary)
        .unwrap();
    assert_eq!(canary.key.identity.as_deref(), Some("trap"));
    let overflow = out.iter().find(|u| &*u.key.clause == "overflow").unwrap();
    assert_eq!(overflow.count, 10_000 - 63);
    assert_eq!(overflow.evidence.len(), MAX_EVIDENCE);
    assert_eq!(folder.crowded_out(), 10_000 - 63);
}

#[test]
fn a_named_identity_survives_a_flood_of_its_own_kind() {
    let mut folder = Folder::new(8);
    observe(
        &mut folder,
        FindingKind::Cleartext,
        &access(Some("ci-bot"), 0),
    );
    for i in 0..100 {
        let mut access = access(Some(&format!("bw1:{i}")), i);
        access.owner = None;
        observe(&mut folder, FindingKind::Cleartext, &access);
    }
    let out = drained(&mut folder);
    assert!(
        out.iter()
            .any(|u| u.key.identity.as_deref() == Some("ci-bot"))
    );
}

#[test]
fn evidence_is_bounded_in_sum() {
    let mut folder = Folder::new(4096);
    for round in 0..20 {
        for i in 0..4096 {
            observe(
                &mut folder,
                FindingKind::Duty,
                &access(Some(&i.to_string()), round),
            );
        }
    }
    let out = drained(&mut folder);
    let kept: usize = out.iter().map(|u| u.evidence.len()).sum();
    assert_eq!(kept, 4096 + SPARE_EVIDENCE);
    assert_eq!(out.iter().map(|u| u.count).sum::<u64>(), 20 * 4096);
    let two = out.iter().find(|u| u.evidence.len() == 2).unwrap();
    assert_eq!(two.evidence[1].time_us, 19, "the newest replaces the last");
}

proptest! {
    #[test]
    fn sums_are_kept_and_the_table_is_bounded(
        steps in prop::collection::vec((0..FindingKind::ALL.len(), 0_u16..40, any::<bool>(), 0_u8..20), 0..600),
        keys in 1_usize..20,
    ) {
        let mut folder = Folder::new(keys);
        let mut seen = BTreeMap::<FindingKind, u64>::new();
        let mut told = BTreeMap::<FindingKind, u64>::new();
        let mut tell = |folder: &mut Folder| {
            let mut n = 0;
            folder.drain(|update| {
                n += 1;
                assert!(update.evidence.len() <= MAX_EVIDENCE);
                assert!(!update.evidence.is_empty());
                assert!(update.first_us <= update.last_us);
                let mut times = update.evidence.iter().map(|a| a.time_us);
                if &*update.key.clause != "overflow" {
                    assert_eq!(times.next(), Some(update.first_us));
                }
                *told.entry(update.key.kind).or_default() += update.count;
            });
            assert!(n <= keys + FindingKind::ALL.len());
        };
        for (at, (kind, identity, named, drain)) in steps.into_iter().enumerate() {
            let kind = FindingKind::ALL[kind];
            let mut access = access(Some(&identity.to_string()), at as i64);
            if !named { access.owner = None; }
            observe(&mut folder, kind, &access);
            *seen.entry(kind).or_default() += 1;
            prop_assert!(folder.entries.len() <= keys);
            prop_assert_eq!(folder.index.len(), folder.entries.len());
            let linked: usize = folder.classes.iter().map(|class| class.len).sum();
            prop_assert_eq!(linked, folder.entries.len());
            if drain == 0 { tell(&mut folder); }
        }
        tell(&mut folder);
        prop_assert_eq!(seen, told);
    }
}

#[test]
fn what_belongs_to_a_finding_is_evidence_and_clauses_stay_apart() {
    let mut folder = Folder::new(8);
    let finding = Finding {
        kind: FindingKind::Separation,
        severity: Severity::High,
    };
    let (one, other, last) = (
        access(Some("ci-bot"), 1),
        access(Some("ci-bot"), 2),
        access(Some("ci-bot"), 3),
    );
    for (access, beside, clause) in [(&other, &one, 0), (&last, &one, 0), (&last, &other, 1)] {
        folder.observe_beside(finding, access, (Some(beside), clause), || {
            Some(words(&clause.to_string()))
        });
    }
    let mut drained = Vec::new();
    folder.drain(|update| {
        let times: Vec<i64> = update.evidence.iter().map(|own| own.time_us).collect();
        drained.push((
            update.key.clause.to_string(),
            update.count,
            update.first_us,
            times,
        ));
    });
    let [t1, t2, t3] = [&one, &other, &last].map(|access| access.time_us);
    assert_eq!(
        drained,
        [
            ("0".to_owned(), 2, t2, vec![t1, t2, t1, t3]),
            ("1".to_owned(), 1, t3, vec![t2, t3]),
        ]
    );
}
