#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use super::{Census, IdentityRecord, Limits, UsageRecord, to_json};
use crate::access::Access;
use crate::alert::testing;
use crate::judge::FindingKind;

const DAY: i64 = 86_400_000_000;

fn access(duties: &[&str], environment: &str, time_us: i64) -> Access {
    Access {
        duties: duties.iter().map(|duty| Arc::from(*duty)).collect(),
        environment: Some(environment.into()),
        ..testing::access(Some("ci-bot"), time_us)
    }
}

fn usage(census: &Census) -> UsageRecord {
    census.snapshot()[0].usage.clone().unwrap()
}

#[test]
fn duties_have_a_count_days_and_a_last_use() {
    let mut census = Census::new(Limits::default());
    for (duties, time) in [
        (&["read"][..], DAY),
        (&["read", "write"], DAY + 5),
        // Of the day before, come late.
        (&["read"], DAY - 5),
        (&["read"], 3 * DAY),
        (&[], 4 * DAY),
    ] {
        census.observe(&access(duties, "dev", time));
    }
    let usage = usage(&census);
    let seen: Vec<_> = usage
        .duties
        .iter()
        .map(|duty| (&*duty.duty, duty.count, duty.days, &*duty.last_used))
        .collect();
    assert_eq!(
        seen,
        [
            ("read", 4, 2, "1970-01-04T00:00:00.000000Z"),
            ("write", 1, 1, "1970-01-02T00:00:00.000005Z")
        ]
    );
}

#[test]
fn environments_and_crossings_are_counted_apart() {
    let mut census = Census::new(Limits::default());
    census.observe(&access(&[], "dev", 1));
    let mut crossing = access(&[], "prod", 2);
    crossing.findings.insert(FindingKind::Environment);
    census.observe(&crossing);
    census.observe(&access(&[], "prod", 3));
    // Refused: nobody verified the credential, so it says nothing of the identity.
    let mut refused = access(&["write"], "test", 4);
    refused.status = Some(403);
    census.observe(&refused);
    let usage = usage(&census);
    let seen: Vec<_> = usage
        .environments
        .iter()
        .map(|place| (&*place.environment, place.count, place.crossings))
        .collect();
    assert_eq!(seen, [("dev", 1, 0), ("prod", 2, 1)]);
    assert!(usage.duties.is_empty());
    assert_eq!(census.stats().named, 4);
}

#[test]
fn an_identity_without_a_policy_has_no_usage() {
    let mut census = Census::new(Limits::default());
    let mut stranger = access(&[], "dev", 1);
    stranger.owner = None;
    census.observe(&stranger);
    assert_eq!(census.snapshot()[0].usage, None);
    assert_eq!(census.stats().named, 0);
}

#[test]
fn what_was_not_used_longest_makes_room() {
    let mut census = Census::new(Limits::default());
    for n in 0..200 {
        census.observe(&access(
            &[&format!("duty-{n:03}")],
            &format!("env-{n:03}"),
            n,
        ));
    }
    let usage = usage(&census);
    assert_eq!(usage.duties.len(), 128);
    assert_eq!(usage.duties[0].duty, "duty-072");
    assert_eq!(usage.environments.len(), 8);
    assert_eq!(usage.environments[7].environment, "env-199");
}

#[test]
fn bytes_are_counted_as_they_grow() {
    let mut census = Census::new(Limits::default());
    for n in 0..300 {
        census.observe(&access(
            &["read", &format!("duty-{}", n % 140)],
            &format!("env-{}", n % 11),
            n,
        ));
    }
    let grown = census.bytes;
    let entry = census.entries.get(0).unwrap();
    // The slot is weighed when it is made.
    assert_eq!(grown, entry.weigh());
}

#[test]
fn is_saved_and_an_old_or_newer_store_loads() {
    let mut census = Census::new(Limits::default());
    census.observe(&access(&["read"], "dev", DAY));
    let mut records = census.snapshot();
    let again = |records: &[IdentityRecord]| {
        let json = to_json(records.to_vec(), usize::MAX).unwrap().0;
        let mut fresh = Census::new(Limits::default());
        fresh.restore(&serde_json::from_slice::<Vec<IdentityRecord>>(&json).unwrap());
        fresh.snapshot()
    };
    assert_eq!(again(&records), records);
    // Written before there was any usage.
    let mut old = serde_json::to_value(&records).unwrap();
    old[0].as_object_mut().unwrap().remove("usage").unwrap();
    let old: Vec<IdentityRecord> = serde_json::from_value(old).unwrap();
    assert_eq!(again(&old)[0].accesses, 1);
    // Written by a later version: the rest is taken.
    records[0].usage.as_mut().unwrap().v = 2;
    let newer = again(&records);
    assert_eq!((newer[0].accesses, &newer[0].usage), (1, &None));
}

#[test]
fn what_does_not_fit_is_left_out_the_longest_unused_first() {
    let mut census = Census::new(Limits::default());
    for n in 1..=50 {
        let mut one = access(&["read"], "dev", n);
        one.identity = Some(format!("id-{n}").into());
        census.observe(&one);
    }
    let whole = to_json(census.snapshot(), usize::MAX).unwrap();
    assert_eq!(whole.1, 0);
    let (json, left_out) = to_json(census.snapshot(), whole.0.len() / 2).unwrap();
    assert!(json.len() <= whole.0.len() / 2);
    let kept: Vec<IdentityRecord> = serde_json::from_slice(&json).unwrap();
    assert_eq!(kept.len() + left_out, 50);
    assert!((20..=25).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept[0].identity, "id-50");
    assert_eq!(to_json(census.snapshot(), whole.0.len()).unwrap(), whole);
}

/// Two duties in one environment: what the report needs of 10,000 identities stays within 4 MiB.
#[test]
fn ten_thousand_identities_take_less_than_four_mebibytes_more() {
    let bytes = |named: bool| {
        let mut census = Census::new(Limits::default());
        for n in 0..10_000 {
            for duty in ["pay-read", "pay-write"] {
                let mut one = access(&[duty], "prod", n);
                one.identity = Some(format!("identity-{n}").into());
                if !named {
                    one.owner = None;
                }
                census.observe(&one);
            }
        }
        assert_eq!(census.stats().identities, 10_000);
        census.stats().bytes
    };
    // An owner's name counts nothing: it is shared.
    let more = bytes(true) - bytes(false);
    assert!(more < 4 << 20, "{more} bytes");
}
