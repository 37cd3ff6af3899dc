//! Nanoseconds per `Judge::judge`, and proof that its steady state allocates nothing.
//!
//! `cargo bench -p bailiwick --bench judge` measures. Run as a test (without `--bench`) it only checks
//! the allocations.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]
#![allow(clippy::print_stdout, reason = "its figures are its output")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write as _;
use std::hint::black_box;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bailiwick::access::{
    Access, Claims, Credential, CredentialKind, Endpoint, FingerprintKey, Location, Peer, Role,
    Workload,
};
use bailiwick::judge::{FindingSet, Judge, Settings};
use bailiwick::policy::{Files, Policy, load};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `alloc` above with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct One(String);

impl Files for One {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Ok(self.0.clone().into_bytes())
    }

    fn list(&self, _: &Path) -> io::Result<Option<Vec<PathBuf>>> {
        Ok(None)
    }
}

/// A policy of so many identities with three duties each, half by fingerprint, half by claims.
fn policy(identities: usize, key: &FingerprintKey) -> Arc<Policy> {
    let mut text = String::from(
        "version = 1\n[environments]\nprod = [\"api.pay.example\", \"10.20.0.0/16\"]\n\
         dev = [\"*.dev.example\", \"10.30.0.0/16\", \"2001:db8::/32\"]\n[duties]\n",
    );
    for n in 0..20 {
        writeln!(
            text,
            "d{n} = [\"GET,POST ci{n}.dev.example/deployments/{{id}}\", \"GET */status{n}/**\"]"
        )
        .unwrap();
    }
    for n in 0..identities {
        let credential = match n % 2 {
            0 => format!("jwt:iss=https://idp.example/realms/main,sub=robot-{n}"),
            _ => key.fingerprint(format!("key-{n}").as_bytes()).to_string(),
        };
        let (a, b, c) = (n % 20, (n + 1) % 20, (n + 2) % 20);
        writeln!(
            text,
            "[identities.robot-{n}]\nowner = \"team-{a}\"\ncredentials = [\"{credential}\"]\n\
             duties = [\"d{b}\", \"d{c}\", \"d{a}\"]\nenvironments = [\"dev\"]\n\
             workloads = [\"unit:ci.service\", \"unit:runner@*.service\"]"
        )
        .unwrap();
    }
    let begin = Instant::now();
    let loaded = load(&["p.toml".into()], Path::new("/"), &One(text), key);
    println!(
        "load {identities} identities: {:.0} ms",
        begin.elapsed().as_secs_f64() * 1e3
    );
    Arc::new(
        loaded
            .unwrap_or_else(|errors| panic!("{}", errors[0]))
            .policy,
    )
}

/// An ordinary access of each identity; hosts and routes interned as the stage before does.
fn accesses(identities: usize, key: &FingerprintKey) -> Vec<Access> {
    let hosts: Vec<Arc<str>> = (0..20)
        .map(|n| format!("ci{n}.dev.example").into())
        .collect();
    let workload = Arc::new(Workload {
        exe: "/usr/bin/python3".into(),
        unit: Some("runner@7.service".into()),
        user: "ci".into(),
        ..Workload::default()
    });
    let (method, route): (Arc<str>, Arc<str>) = ("POST".into(), "/deployments/{id}".into());
    let credential = |n: usize| {
        let mut claims = Claims::default();
        if n.is_multiple_of(2) {
            claims.issuer = Some("https://idp.example/realms/main".into());
            claims.subject = Some(format!("robot-{n}").into());
            claims.expires = Some(i64::MAX);
        }
        let fingerprint = key.fingerprint(format!("key-{n}").as_bytes());
        let kind = if n.is_multiple_of(2) {
            CredentialKind::Jwt
        } else {
            CredentialKind::Bearer
        };
        let default_identity = fingerprint.to_string().into();
        Credential {
            kind,
            fingerprint,
            hint: None,
            claims,
            default_identity,
        }
    };
    (0..identities)
        .map(|n| Access {
            time_us: 1_790_000_000_000_000,
            role: Role::Client,
            credential: Some(Arc::new(credential(n))),
            location: Some(Location::Header),
            proof: None,
            identity: None,
            owner: None,
            client: Some(Endpoint {
                pid: 7,
                workload: Arc::clone(&workload),
            }),
            server: None,
            peer: Peer::Inet("127.0.0.1:8080".parse().unwrap()),
            local: true,
            protocol: "http/1.1",
            method: Arc::clone(&method),
            host: Arc::clone(&hosts[n % 20]),
            path: format!("/deployments/{n}"),
            route: Arc::clone(&route),
            status: Some(201),
            duration_us: Some(812),
            environment: None,
            duties: Arc::from([]),
            findings: FindingSet::default(),
            tls: None,
            resynchronised: false,
            unknown_fields: 0,
            grpc_status: None,
        })
        .collect()
}

/// Nanoseconds and allocations per access, best of several rounds over all of them.
fn measure(judge: &mut Judge, accesses: &mut [Access], rounds: usize) -> (f64, f64) {
    let mut out = Vec::with_capacity(16);
    let mut best = (f64::MAX, f64::MAX);
    for _ in 0..rounds {
        // What the stage before hands over has nothing filled in; making it so is not measured.
        for access in accesses.iter_mut() {
            (access.identity, access.owner, access.environment) = (None, None, None);
        }
        let allocations = ALLOCATIONS.load(Ordering::Relaxed);
        let begin = Instant::now();
        for access in accesses.iter_mut() {
            judge.judge(black_box(access), &mut out);
            out.clear();
        }
        let each = |total: f64| total / accesses.len() as f64;
        let nanoseconds = each(begin.elapsed().as_secs_f64() * 1e9);
        let allocated = each((ALLOCATIONS.load(Ordering::Relaxed) - allocations) as f64);
        best = (best.0.min(nanoseconds), best.1.min(allocated));
    }
    best
}

fn main() {
    let bench = std::env::args().any(|argument| argument == "--bench");
    let rounds = if bench { 50 } else { 2 };
    let key = FingerprintKey::new([7; 32]);
    for identities in [1_000, 10_000] {
        let policy = policy(identities, &key);
        let mut all = accesses(identities, &key);
        let mut judge = Judge::new(Arc::clone(&policy), Settings::default());
        let report = |name: &str, (nanoseconds, allocations): (f64, f64)| {
            println!(
                "{identities:>6} identities, {name:<34} {nanoseconds:>7.0} ns  {allocations:>5.2} allocations"
            );
        };

        let mut findings = Vec::new();
        for access in &mut all {
            judge.judge(access, &mut findings);
            assert!(findings.is_empty(), "{:?}", findings[0]);
            assert_eq!(
                (access.environment.as_deref(), access.duties.len()),
                (Some("dev"), 1)
            );
        }

        let one = measure(&mut judge, &mut vec![all[0].clone(); 1000], rounds);
        report("warm, one identity", one);
        let warm = measure(&mut judge, &mut all, rounds);
        report("warm, all in turn", warm);
        assert_eq!((one.1, warm.1), (0.0, 0.0), "the steady state allocates");

        let mut cold = (f64::MAX, f64::MAX);
        for _ in 0..rounds {
            judge.replace(Arc::clone(&policy));
            let (nanoseconds, allocations) = measure(&mut judge, &mut all, 1);
            cold = (cold.0.min(nanoseconds), cold.1.min(allocations));
        }
        report("cold, each for the first time", cold);

        let mut unknown = all.clone();
        for (n, access) in unknown.iter_mut().enumerate() {
            let secret = format!("unknown-{n}");
            let credential = access.credential.as_ref().unwrap();
            access.credential = Some(Arc::new(Credential {
                kind: CredentialKind::Bearer,
                fingerprint: key.fingerprint(secret.as_bytes()),
                hint: None,
                claims: Claims::default(),
                default_identity: Arc::clone(&credential.default_identity),
            }));
        }
        let warm = measure(&mut judge, &mut unknown, rounds);
        report("warm, no policy names them", warm);
        assert_eq!(warm.1, 0.0, "the steady state allocates");

        let mut wrong = all.clone();
        wrong
            .iter_mut()
            .for_each(|access| access.host = "api.pay.example".into());
        report("two findings each", measure(&mut judge, &mut wrong, rounds));
    }
}
