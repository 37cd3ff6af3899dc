#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use std::collections::HashSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn host() -> Arc<str> {
    Arc::from("api.example.com")
}

#[test]
fn table() {
    let mut router = Router::new(4096);
    for (path, route) in [
        ("/v1/x/17", "/v1/x/{id}"),
        ("/", "/"),
        ("", ""),
        ("*", "*"),
        ("nonsense", "{rest}"),
        ("//", "//"),
        ("/users/", "/users/"),
        ("/users/alice@example.com/keys", "/users/{email}/keys"),
        ("/users/alice%40example.com/keys", "/users/{email}/keys"),
        ("/o/550e8400-e29b-41d4-a716-446655440000", "/o/{uuid}"),
        ("/o/%7B550e8400-e29b-41d4-a716-446655440000%7D", "/o/{uuid}"),
        (
            "/v1.43/containers/4c01db0b339c/json",
            "/v1.43/containers/{hash}/json",
        ),
        (
            "/v2/img/blobs/sha256:9f86d081884c7d659a2feaa0c55ad015",
            "/v2/img/blobs/{hash}",
        ),
        ("/e/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/e/{ulid}"),
        ("/log/2024-02-29/5", "/log/{date}/{id}"),
        ("/tiles/12/2200/1343.png", "/tiles/{id}/{id}/{id}.png"),
        ("/operations/8134567:cancel", "/operations/{id}:cancel"),
        (
            "/v1/models/gemini-pro:generateContent",
            "/v1/models/gemini-pro:generateContent",
        ),
        ("/bot{secret}/sendMessage", "/bot{secret}/sendMessage"),
        ("/services/T01/B02/{secret}", "/services/T01/B02/{secret}"),
        ("/c/cus_NffrFeUfNV2Hib", "/c/{token}"),
    ] {
        assert_eq!(&*router.route(&host(), path), route, "{path}");
    }
    let deep = "/a".repeat(40);
    assert_eq!(
        &*router.route(&host(), &deep),
        format!("{}/{{rest}}", "/a".repeat(24))
    );
}

#[test]
fn siblings_that_vary_become_one() {
    let mut router = Router::new(4096);
    for i in 0..24 {
        assert_eq!(
            &*router.route(&host(), &format!("/u/n{i}/k")),
            format!("/u/n{i}/k")
        );
    }
    assert_eq!(&*router.route(&host(), "/u/n24/k"), "/u/{var}/k");
    assert_eq!(&*router.route(&host(), "/u/n0/k"), "/u/{var}/k");
    // Plain words beside them are untouched, and so is every other host.
    assert_eq!(&*router.route(&host(), "/u/search/k"), "/u/search/k");
    assert_eq!(
        &*router.route(&Arc::from("other.example"), "/u/n0/k"),
        "/u/n0/k"
    );
    assert_eq!(router.stats().merged, 1);
}

fn word(mut n: usize) -> String {
    let mut out = String::from("w");
    for _ in 0..6 {
        out.push(char::from(b'a' + (n % 26) as u8));
        n /= 26;
    }
    out
}

#[test]
fn words_in_use_keep_their_names() {
    let mut router = Router::new(4096);
    for _ in 0..100 {
        router.route(&host(), "/api/deploy/now");
    }
    for i in 0..5000 {
        router.route(&host(), &format!("/api/{}", word(i)));
    }
    assert_eq!(
        &*router.route(&host(), "/api/deploy/now"),
        "/api/deploy/now"
    );
    assert_eq!(&*router.route(&host(), "/api/other"), "/api/{var}");
    assert_eq!(&*router.route(&host(), "/api/{var}"), "/api/{var}");
}

#[test]
fn a_path_seen_before_has_the_same_allocation() {
    let mut router = Router::new(4096);
    let one = router.route(&host(), "/v1/x/17");
    assert!(Arc::ptr_eq(&one, &router.route(&host(), "/v1/x/18")));
}

/// Junk of many shapes, from a fixed generator.
fn junk(i: u64) -> String {
    let mut x = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    let mut path = String::new();
    for _ in 0..next() % 8 + 1 {
        path.push('/');
        let r = next();
        match r % 4 {
            // Few words, so that the tree fans out below them.
            0 => path.push_str(&word((r >> 8) as usize % 100)),
            1 => path.push_str(&word((r >> 8) as usize)),
            2 => path.push_str(&format!("n{}", r >> 40)),
            _ => path.push_str(&format!("{r:x}")),
        }
    }
    path
}

#[test]
fn bounded_whatever_comes() {
    // The full ten million are in the ignored test below.
    flood(200_000);
}

#[test]
#[ignore = "ten seconds in a release build, minutes without"]
fn bounded_under_ten_million() {
    flood(10_000_000);
}

fn flood(count: u64) {
    let mut router = Router::new(8192);
    let hosts: Vec<Arc<str>> = (0..50)
        .map(|i| Arc::from(format!("h{i}.example")))
        .collect();
    for i in 0..count {
        // Half of it to one host.
        let host = &hosts[if i % 2 == 0 { 0 } else { (i % 50) as usize }];
        let path = junk(i);
        let route = router.route(host, &path);
        if i % 64 == 0 {
            assert_eq!(router.route(host, &route), route, "{path}");
        }
        assert!(router.stats().nodes <= 8192);
    }
    let live = router.nodes.iter().filter(|node| node.is_some()).count();
    assert_eq!(live, router.live);
    assert_eq!(live, router.children.len() + router.hosts.len());
    assert_eq!(router.nodes.len(), router.live + router.free.len());
    assert!(router.nodes.len() <= 8192);
    assert!(router.stats().pruned > 0);
    // It still learns.
    assert_eq!(
        &*router.route(&Arc::from("new.example"), "/v1/x/17"),
        "/v1/x/{id}"
    );
}

#[test]
fn a_flood_at_one_host_leaves_the_others_alone() {
    let mut router = Router::new(8192);
    let quiet: Arc<str> = Arc::from("quiet.example");
    for i in 0..24 {
        router.route(&quiet, &format!("/u/n{i}"));
    }
    assert_eq!(&*router.route(&quiet, "/u/n25"), "/u/{var}");
    let noisy: Arc<str> = Arc::from("noisy.example");
    for i in 0..100_000 {
        router.route(&noisy, &junk(i));
    }
    assert_eq!(&*router.route(&quiet, "/u/n0"), "/u/{var}");
}

#[test]
fn ten_thousand_hosts() {
    let mut router = Router::new(4096);
    for i in 0..10_000 {
        let host: Arc<str> = Arc::from(format!("h{i}.example"));
        assert_eq!(&*router.route(&host, "/a/b/17"), "/a/b/{id}");
        assert!(router.stats().nodes <= 4096);
    }
    assert!(router.stats().hosts_evicted > 8000);
}

proptest! {
    #[test]
    fn idempotent_and_deterministic(paths in prop::collection::vec("(/[a-z0-9{}.:%@-]{0,24}){0,30}", 1..80)) {
        let mut one = Router::new(512);
        let mut two = Router::new(512);
        for path in &paths {
            let route = one.route(&host(), path);
            prop_assert_eq!(&one.route(&host(), &route), &route);
            prop_assert_eq!(&two.route(&host(), path), &route);
            two.route(&host(), &route);
            prop_assert_eq!(route.matches('/').count(), path.matches('/').count().min(25));
        }
    }

    #[test]
    fn any_text(path in "\\PC{0,300}", junk in any::<Vec<u8>>()) {
        let mut router = Router::new(256);
        router.route(&host(), &path);
        let path = format!("/{}", String::from_utf8_lossy(&junk));
        let route = router.route(&host(), &path);
        prop_assert_eq!(&router.route(&host(), &route), &route);
    }

    #[test]
    fn shapes_are_shared(a in 0_u64.., b in 0_u64..) {
        let mut router = Router::new(512);
        let first = router.route(&host(), &format!("/o/{a}/items"));
        let distinct: HashSet<_> =
            [first, router.route(&host(), &format!("/o/{b}/items"))].into_iter().collect();
        prop_assert_eq!(distinct.len(), 1);
    }
}
