#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use super::seen::User;
use super::*;
use crate::access::{
    Claims, Credential, CredentialKind, Endpoint, Fingerprint, Peer, Role, Workload,
};
use crate::judge::{FindingKind, FindingSet};

fn access(identity: &str) -> Access {
    let fingerprint = Fingerprint([identity.len() as u8; 16]);
    Access {
        time_us: 1_000_000,
        role: Role::Client,
        credential: Some(Arc::new(Credential {
            kind: CredentialKind::Bearer,
            fingerprint,
            hint: Some("ghp_".into()),
            claims: Claims::default(),
            default_identity: identity.into(),
        })),
        location: None,
        proof: None,
        identity: Some(identity.into()),
        owner: Some("team".into()),
        client: Some(Endpoint {
            pid: 1,
            workload: Arc::new(Workload {
                exe: "/usr/bin/curl".into(),
                user: "root".into(),
                ..Workload::default()
            }),
        }),
        server: None,
        peer: Peer::Unknown,
        local: true,
        protocol: "http/1.1",
        method: "GET".into(),
        host: "a.example".into(),
        path: "/x/1".to_owned(),
        route: "/x/{id}".into(),
        status: Some(200),
        duration_us: Some(1),
        environment: Some("dev".into()),
        duties: Arc::from([]),
        findings: FindingSet::default(),
        tls: None,
        resynchronised: false,
        unknown_fields: 0,
        grpc_status: None,
    }
}

fn one(census: &Census) -> IdentityRecord {
    let mut all = census.snapshot();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn an_identity_and_its_facts() {
    let mut census = Census::new(Limits::default());
    let mut a = access("ci");
    census.observe(&a);
    a.time_us = 2_000_000;
    a.findings.insert(FindingKind::Environment);
    a.environment = Some("prod".into());
    census.observe(&a);
    a.identity = None;
    census.observe(&a);
    insta::assert_snapshot!(serde_json::to_string_pretty(&one(&census)).unwrap());
    assert_eq!(census.stats().anonymous, 1);
}

#[test]
fn what_is_found_out_later_counts_for_who_is_known() {
    let mut census = Census::new(Limits::default());
    let mut a = access("ci");
    census.found(&a, FindingKind::Approval);
    assert!(census.snapshot().is_empty());
    census.observe(&a);
    let bytes = census.stats().bytes;
    census.found(&a, FindingKind::Approval);
    a.status = Some(403);
    census.found(&a, FindingKind::Approval);
    let record = one(&census);
    assert_eq!(record.findings, [("approval".to_owned(), 1)].into());
    assert_eq!(record.accesses, 1);
    assert!(census.stats().bytes > bytes);
}

#[test]
fn a_refused_access_creates_no_facts() {
    let mut census = Census::new(Limits::default());
    for status in [401, 403] {
        let mut a = access("ci");
        a.status = Some(status);
        a.findings.insert(FindingKind::Duty);
        census.observe(&a);
    }
    let record = one(&census);
    assert_eq!((record.accesses, record.refused), (0, 2));
    assert_eq!(
        (record.first_seen, record.last_seen, record.owner),
        (None, None, None)
    );
    assert_eq!(
        record.last_refused.as_deref(),
        Some("1970-01-01T00:00:01.000000Z")
    );
    assert!(record.kinds.is_empty() && record.findings.is_empty());
    assert!(record.fingerprints.items.is_empty() && record.hints.items.is_empty());
    assert!(record.workloads.items.is_empty() && record.hosts.items.is_empty());
    assert!(record.environments.items.is_empty() && record.operations.items.is_empty());
    // And none beside the facts of accepted ones.
    census.observe(&access("ci"));
    let mut a = access("ci");
    a.status = Some(401);
    a.host = "evil.example".into();
    census.observe(&a);
    let record = one(&census);
    assert_eq!((record.accesses, record.refused), (1, 3));
    assert_eq!(record.hosts.items, ["a.example"]);
}

#[test]
fn lists_are_bounded_and_say_how_many_more() {
    let mut census = Census::new(Limits::default());
    for round in 0..3 {
        for n in 0..100 {
            let mut a = access("ci");
            a.host = format!("h{n}.example").into();
            a.client.as_mut().unwrap().workload = Arc::new(Workload {
                unit: Some(format!("u{n}.service").into()),
                ..Workload::default()
            });
            a.environment = Some(format!("e{n}").into());
            a.time_us = round * 1000 + n;
            a.owner = None;
            census.observe(&a);
        }
    }
    let record = one(&census);
    for list in [&record.hosts, &record.workloads, &record.environments] {
        assert_eq!(list.items.len(), 8);
        // 92 in truth.
        assert!((70..=115).contains(&list.more), "{}", list.more);
    }
    assert_eq!(record.operations.items.len(), 5);
    assert!(
        (70..=120).contains(&record.operations.more),
        "{}",
        record.operations.more
    );
}

#[test]
fn frequent_operations_stay() {
    let mut census = Census::new(Limits::default());
    for n in 0..2000 {
        let mut a = access("ci");
        a.route = match n % 4 {
            0 | 1 => "/often".into(),
            2 => "/sometimes".into(),
            _ => format!("/once/{n}").into(),
        };
        census.observe(&a);
    }
    let record = one(&census);
    let first: Vec<(&str, u64)> = record
        .operations
        .items
        .iter()
        .map(|item| (item.route.as_str(), item.count))
        .take(2)
        .collect();
    assert_eq!(first, [("/often", 1000), ("/sometimes", 500)]);
}

#[test]
fn who_used_it() {
    let mut census = Census::new(Limits::default());
    let mut a = access("ci");
    let workload = |unit: Option<&str>, container: Option<&str>| {
        Arc::new(Workload {
            exe: "/bin/x".into(),
            unit: unit.map(Arc::from),
            container: container.map(Arc::from),
            ..Workload::default()
        })
    };
    for next in [
        workload(None, None),
        workload(Some("u.service"), None),
        workload(Some("u"), Some("abc")),
    ] {
        a.client.as_mut().unwrap().workload = next;
        census.observe(&a);
    }
    a.client = None;
    a.role = Role::Server;
    a.peer = Peer::Inet("[2001:db8::1]:99".parse().unwrap());
    census.observe(&a);
    a.peer = Peer::Inet("[2001:db8::1]:100".parse().unwrap());
    census.observe(&a);
    let labels = one(&census).workloads.items;
    assert_eq!(
        labels,
        [
            "exe:/bin/x",
            "unit:u.service",
            "container:abc",
            "peer:2001:db8::1"
        ]
    );
    for label in labels {
        assert_eq!(User::parse(&label).unwrap().label(), label);
    }
}

#[test]
fn the_least_recently_used_goes_first() {
    let mut census = Census::new(Limits {
        identities: 3,
        bytes: usize::MAX,
    });
    for name in ["a", "b", "c", "a", "d"] {
        census.observe(&access(name));
    }
    let mut names: Vec<String> = census
        .snapshot()
        .into_iter()
        .map(|record| record.identity)
        .collect();
    names.sort();
    assert_eq!(names, ["a", "c", "d"]);
    assert_eq!(census.stats().forgotten, 1);
}

#[test]
fn invented_credentials_do_not_push_real_ones_out() {
    let mut census = Census::new(Limits {
        identities: 16,
        bytes: usize::MAX,
    });
    for n in 0..15 {
        census.observe(&access(&format!("real-{n}")));
    }
    for n in 0..1000 {
        let mut a = access(&format!("invented-{n}"));
        a.status = Some(401);
        census.observe(&a);
    }
    let names: Vec<String> = census
        .snapshot()
        .into_iter()
        .map(|record| record.identity)
        .collect();
    assert_eq!(
        names
            .iter()
            .filter(|name| name.starts_with("real-"))
            .count(),
        15
    );
    assert!(
        names.contains(&"invented-999".to_owned()),
        "the newest stranger is shown"
    );
    // One that is accepted after all is a real one from then on.
    let mut a = access("late");
    a.status = Some(401);
    census.observe(&a);
    census.observe(&access("late"));
    for n in 0..1000 {
        let mut a = access(&format!("more-{n}"));
        a.status = Some(403);
        census.observe(&a);
    }
    assert!(
        census
            .snapshot()
            .iter()
            .any(|record| record.identity == "late")
    );
}

/// 10,000 identities with every list full fit; hostile ones with long strings do not exceed the bound.
#[test]
fn bytes_are_bounded() {
    let mut census = Census::new(Limits::default());
    for n in 0..10_000 {
        let mut a = access(&format!("bw1:{n:032}"));
        a.owner = None;
        census.observe(&a);
    }
    let stats = census.stats();
    assert_eq!((stats.identities, stats.forgotten), (10_000, 0));
    assert!(stats.bytes < 12 * 1024 * 1024, "{}", stats.bytes);
    for n in 0..20_000 {
        let mut a = access(&format!("hostile-{n}-{}", "x".repeat(500)));
        for k in 0..10 {
            a.host = format!("{k}{}", "h".repeat(250)).into();
            a.route = format!("{k}{}", "r".repeat(2000)).into();
            census.observe(&a);
        }
        assert!(census.stats().bytes <= Limits::default().bytes);
    }
    let counted: usize = census.entries.iter().map(|entry| entry.weigh()).sum();
    assert_eq!(counted, census.stats().bytes, "the running sum is the sum");
    let listed = census.accepted.len as usize + census.refused.len as usize;
    assert_eq!(census.entries.len(), listed);
}

#[test]
fn what_is_saved_comes_back() {
    let mut census = Census::new(Limits::default());
    for n in 0..50 {
        let mut a = access(&format!("id-{}", n % 7));
        a.time_us = n;
        a.host = format!("h{n}").into();
        a.status = if n % 5 == 0 { Some(401) } else { Some(200) };
        a.findings.insert(FindingKind::Canary);
        census.observe(&a);
    }
    let sorted = |mut records: Vec<IdentityRecord>| {
        records.sort_by(|a, b| a.identity.cmp(&b.identity));
        records
    };
    let saved = sorted(census.snapshot());
    let text = serde_json::to_string(&saved).unwrap();
    let back: Vec<IdentityRecord> = serde_json::from_str(&text).unwrap();
    let mut again = Census::new(Limits::default());
    assert_eq!(again.restore(&back), 7);
    assert_eq!(sorted(again.snapshot()), saved);
    assert_eq!(again.restore(&back), 0, "what is known stays");
    // It goes on from there.
    again.observe(&access("id-1"));
    let after = again
        .snapshot()
        .into_iter()
        .find(|record| record.identity == "id-1")
        .unwrap();
    let before = saved
        .iter()
        .find(|record| record.identity == "id-1")
        .unwrap();
    assert_eq!(after.accesses, before.accesses + 1);
    assert_eq!(after.first_seen, before.first_seen);
}

#[test]
fn parts_make_the_whole() {
    let mut census = Census::new(Limits::default());
    for n in 0..25 {
        census.observe(&access(&format!("id-{n}")));
    }
    let mut all = Vec::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let (part, next) = census.snapshot_part(at, 10);
        assert!(part.len() <= 10);
        all.extend(part);
        from = next;
    }
    assert_eq!(all, census.snapshot());
}

#[test]
fn a_known_identity_allocates_nothing() {
    // The step for a known identity only clones pointers; capacities tell.
    let mut census = Census::new(Limits::default());
    let accesses: Vec<Access> = (0..100).map(|n| access(&format!("id-{n}"))).collect();
    for a in &accesses {
        census.observe(a);
    }
    let before = (census.bytes, census.entries.capacity());
    for _ in 0..100 {
        for a in &accesses {
            census.observe(a);
        }
    }
    assert_eq!((census.bytes, census.entries.capacity()), before);
}

/// Run by hand for the figure: `cargo test --release -p bailiwick census::tests::cost -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stderr, reason = "prints its result")]
fn cost() {
    for identities in [1, 100, 10_000] {
        let mut census = Census::new(Limits::default());
        let accesses: Vec<Access> = (0..identities)
            .map(|n| access(&format!("bw1:{n:032}")))
            .collect();
        for a in &accesses {
            census.observe(a);
        }
        let rounds = 2_000_000 / identities;
        let start = std::time::Instant::now();
        for _ in 0..rounds {
            for a in &accesses {
                census.observe(a);
            }
        }
        let each = start.elapsed().as_nanos() / (rounds * identities) as u128;
        eprintln!("{identities} identities: {each} ns per access");
    }
}
