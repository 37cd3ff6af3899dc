//! Accesses for tests.

use std::sync::Arc;

use super::{Baseline, Seed, Settings};
use crate::access::{Access, Endpoint, Peer, Role, Workload};
use crate::judge::FindingSet;

/// 2026-11-23 00:00 UTC, a Monday.
pub(super) const MONDAY: i64 = 1_795_392_000_000_000;
pub(super) const SECOND: i64 = 1_000_000;
pub(super) const DAY: i64 = 86_400 * SECOND;

pub(super) fn baseline(settings: Settings) -> Baseline {
    Baseline::new(settings, Seed::new([5; 16]), MONDAY)
}

pub(super) fn workload(exe: &str) -> Arc<Workload> {
    Arc::new(Workload {
        exe: exe.into(),
        unit: None,
        container: None,
        user: "app".into(),
        lineage: Arc::from([Arc::from("/usr/lib/systemd/systemd")]),
    })
}

pub(super) fn access(identity: &str, method: &str, host: &str, route: &str, exe: &str) -> Access {
    Access {
        time_us: MONDAY,
        role: Role::Client,
        credential: None,
        location: None,
        proof: None,
        identity: Some(identity.into()),
        owner: None,
        client: Some(Endpoint {
            pid: 7,
            workload: workload(exe),
        }),
        server: None,
        peer: Peer::Inet("192.0.2.1:443".parse().unwrap()),
        local: false,
        protocol: "http/1.1",
        method: method.into(),
        host: host.into(),
        path: route.to_owned(),
        route: route.into(),
        status: Some(200),
        grpc_status: None,
        duration_us: None,
        environment: None,
        duties: Arc::from([]),
        findings: FindingSet::default(),
        tls: None,
        resynchronised: false,
        unknown_fields: 0,
    }
}

/// Feeds accesses at a time and lets all windows close.
pub(super) fn feed(baseline: &mut Baseline, accesses: &mut [Access], now_us: i64) {
    for access in accesses.iter_mut() {
        access.time_us = now_us;
        baseline.observe(access);
    }
    baseline.tick(now_us + 61 * SECOND, 0);
}
