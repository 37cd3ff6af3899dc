//! The census' step for a known identity allocates nothing: an allocator that counts says so.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use bailiwick::access::{
    Access, Claims, Credential, CredentialKind, Endpoint, Fingerprint, Peer, Role, Workload,
};
use bailiwick::census::{Census, Limits};
use bailiwick::judge::FindingSet;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn access(n: u8, host: u8) -> Access {
    Access {
        time_us: 1,
        role: Role::Client,
        credential: Some(Arc::new(Credential {
            kind: CredentialKind::Jwt,
            fingerprint: Fingerprint([n; 16]),
            hint: Some("ghp_".into()),
            claims: Claims::default(),
            default_identity: "x".into(),
        })),
        location: None,
        proof: None,
        identity: Some(format!("identity-{n}").into()),
        owner: Some("team".into()),
        client: Some(Endpoint {
            pid: 1,
            workload: Arc::new(Workload {
                exe: format!("/bin/{host}").into(),
                ..Workload::default()
            }),
        }),
        server: None,
        peer: Peer::Unknown,
        local: true,
        protocol: "http/1.1",
        method: "GET".into(),
        host: format!("{host}.example").into(),
        path: "/x/1".to_owned(),
        route: format!("/{host}/{{id}}").into(),
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

#[test]
fn a_known_identity_costs_no_allocation() {
    let mut census = Census::new(Limits::default());
    // 20 hosts, operations and workloads an identity: more than its lists hold.
    let accesses: Vec<Access> = (0..50)
        .flat_map(|n| (0..20).map(move |host| access(n, host)))
        .collect();
    for _ in 0..2 {
        for a in &accesses {
            census.observe(a);
        }
    }
    let before = ALLOCATIONS.with(Cell::get);
    for _ in 0..10 {
        for a in &accesses {
            census.observe(a);
        }
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    assert!(before > 0, "the allocator counts");
}
