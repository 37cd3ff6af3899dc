//! What learning costs: nanoseconds per access, memory of 10,000 mature identities, and the bound under ten million
//! junk ones.
//!
//! `cargo bench -p bailiwick --bench baseline` measures; it fails when a figure is over its bound.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]
#![allow(clippy::print_stdout, reason = "its figures are its output")]

use std::sync::Arc;
use std::time::Instant;

use bailiwick::access::{Access, Endpoint, Peer, Role, Workload};
use bailiwick::baseline::{Baseline, Seed, Settings};
use bailiwick::judge::FindingSet;

const MONDAY: i64 = 1_795_392_000_000_000;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Resident memory in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

struct World {
    routes: Vec<Arc<str>>,
    hosts: Vec<Arc<str>>,
    names: Vec<Arc<str>>,
    workloads: Vec<Arc<Workload>>,
    none: Arc<[Arc<str>]>,
    get: Arc<str>,
}

impl World {
    fn new(identities: usize) -> Self {
        let many = |count: usize, what: &str| -> Vec<Arc<str>> {
            (0..count).map(|n| format!("{what}{n}").into()).collect()
        };
        let workload = |exe: &Arc<str>| {
            Arc::new(Workload {
                exe: Arc::clone(exe),
                user: "app".into(),
                lineage: Arc::from([Arc::from("/usr/lib/systemd/systemd")]),
                ..Workload::default()
            })
        };
        Self {
            routes: many(60, "/v1/some/route/of/an/api/"),
            hosts: many(40, "api-of-some-service.example"),
            names: many(
                identities,
                "jwt:iss=https://idp.example/realms/main,sub=robot-",
            ),
            workloads: many(20, "/usr/lib/app/bin/worker")
                .iter()
                .map(workload)
                .collect(),
            none: Arc::from([]),
            get: "GET".into(),
        }
    }

    /// The `at`th thing that identity `who` does, of `kinds`.
    fn access(&self, who: usize, at: usize, kinds: usize) -> Access {
        let kind = who * 7 + at % kinds;
        let pick = |list: &[Arc<str>]| Arc::clone(&list[kind % list.len()]);
        Access {
            time_us: MONDAY,
            role: Role::Client,
            credential: None,
            location: None,
            proof: None,
            identity: Some(Arc::clone(&self.names[who % self.names.len()])),
            owner: None,
            client: Some(Endpoint {
                pid: 7,
                workload: Arc::clone(&self.workloads[(who + at % 2) % self.workloads.len()]),
            }),
            server: None,
            peer: Peer::Inet(format!("192.0.{}.1:443", kind % 30).parse().unwrap()),
            local: false,
            protocol: "http/1.1",
            method: Arc::clone(&self.get),
            host: pick(&self.hosts),
            path: String::from("/v1"),
            route: pick(&self.routes),
            status: Some(200),
            grpc_status: None,
            duration_us: None,
            environment: None,
            duties: Arc::clone(&self.none),
            findings: FindingSet::default(),
            tls: None,
            resynchronised: false,
            unknown_fields: 0,
        }
    }
}

fn baseline(mib: usize) -> Baseline {
    let settings = Settings {
        bytes: mib << 20,
        ..Settings::default()
    };
    Baseline::new(settings, Seed::new([3; 16]), MONDAY)
}

/// Nanoseconds per access: the least of some runs, each over all `accesses` again and again, 1 ms apart.
fn time(baseline: &mut Baseline, accesses: &mut [Access], now: &mut i64) -> f64 {
    let mut least = f64::MAX;
    for _ in 0..5 {
        let rounds = 400_000 / accesses.len() + 1;
        let begin = Instant::now();
        for _ in 0..rounds {
            for access in accesses.iter_mut() {
                *now += 1000;
                access.time_us = *now;
                baseline.observe(access);
            }
            baseline.tick(*now, 0);
        }
        let count = rounds * accesses.len();
        least = least.min(begin.elapsed().as_secs_f64() * 1e9 / count as f64);
    }
    least
}

/// Everything that each identity does on each of ten days.
fn ripen(world: &World, baseline: &mut Baseline, identities: usize, kinds: usize) -> i64 {
    let mut now = MONDAY;
    for day in 0..10 {
        for hour in 0..6 {
            now = MONDAY + day * DAY + hour * 3 * 3600 * SECOND;
            for who in 0..identities {
                for at in 0..kinds {
                    let mut access = world.access(who, at, kinds);
                    access.time_us = now;
                    baseline.observe(&access);
                }
            }
            now = rest(baseline, now + 61 * SECOND);
        }
    }
    // Scores to compare with.
    for _ in 0..20 {
        now += 120 * SECOND;
        for who in 0..identities {
            let mut access = world.access(who, 0, kinds);
            access.time_us = now;
            baseline.observe(&access);
        }
        now = rest(baseline, now + 61 * SECOND);
    }
    now
}

/// Lets all windows close: a tick closes a few thousand at most, so that none takes long.
fn rest(baseline: &mut Baseline, now: i64) -> i64 {
    for tick in 0..8 {
        baseline.tick(now + tick * SECOND / 4, 0);
    }
    now + 2 * SECOND
}

fn main() {
    const IDENTITIES: usize = 10_000;
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("only measures: cargo bench -p bailiwick --bench baseline");
        return;
    }
    let world = World::new(IDENTITIES);
    let before = resident();
    let mut all = baseline(512);
    let mut now = ripen(&world, &mut all, IDENTITIES, 20);
    let status = all.status();
    let used = resident() - before;
    println!(
        "{} identities, {} mature, 20 operations each: {} MiB resident more, {} MiB counted",
        status.profiles,
        status.mature,
        used >> 20,
        status.bytes >> 20
    );
    assert_eq!(status.mature, IDENTITIES as u64);
    assert!(used < 350 << 20, "over 350 MiB");

    let mut one: Vec<Access> = (0..4).map(|at| world.access(17, at, 20)).collect();
    let same = time(&mut all, &mut one, &mut now);
    let mut twenty: Vec<Access> = (0..20).map(|at| world.access(17, at, 20)).collect();
    let busy = time(&mut all, &mut twenty, &mut now);
    let mut mixed: Vec<Access> = (0..400_000)
        .map(|at| world.access((at * 7919) % IDENTITIES, at, 20))
        .collect();
    let spread = time(&mut all, &mut mixed, &mut now);
    println!("one identity, 4 operations: {same:.0} ns an access");
    println!("one identity, 20 operations: {busy:.0} ns an access");
    println!("{IDENTITIES} identities at random, 20 operations each: {spread:.0} ns an access");

    let mut junk = baseline(64);
    let begin = Instant::now();
    let before = resident();
    let mut most = 0;
    for number in 0..10_000_000_i64 {
        let mut access = world.access(3, 0, 20);
        let text: Arc<str> = format!("junk{number}").into();
        access.identity = Some(if number % 4 == 0 {
            Arc::clone(&world.names[0])
        } else {
            Arc::clone(&text)
        });
        access.host = Arc::clone(&text);
        access.route = text;
        access.time_us = MONDAY + number * 100;
        junk.observe(&access);
        if number % 1000 == 0 {
            junk.tick(access.time_us, 0);
            most = most.max(junk.status().bytes);
        }
    }
    let grown = resident().saturating_sub(before);
    println!(
        "10,000,000 junk identities, hosts and routes: at most {} MiB counted, {} MiB resident more, {:.0} ns each",
        most >> 20,
        grown >> 20,
        begin.elapsed().as_secs_f64() * 100.0
    );
    assert!(most <= 64 << 20 && grown < 96 << 20, "over the bound");
    assert!(
        spread < 250.0 && busy < 250.0 && same < 250.0,
        "over 250 ns"
    );
}
