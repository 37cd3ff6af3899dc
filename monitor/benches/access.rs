//! What the access stage costs per request: `cargo bench -p bailiwick --bench access`.

use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use bailiwick::access::FingerprintKey;
use bailiwick::access::credential::{CredentialTable, Recognised, Recogniser};
use bailiwick::access::workload::Cgroup;
use bailiwick::wire::{RequestHead, Version};
use httparse::Header;

/// Counts allocations: the steady state has none.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Nine fields as a common client sends them, and those given.
fn fields<'a>(more: &[(&'a str, &'a str)]) -> Vec<Header<'a>> {
    let common = [
        ("Host", "api.example.com:8080"),
        ("User-Agent", "python-requests/2.31.0"),
        ("Accept-Encoding", "gzip, deflate"),
        ("Accept", "*/*"),
        ("Connection", "keep-alive"),
        ("Content-Type", "application/json"),
        ("Content-Length", "117"),
        ("X-Request-Id", "7c1d8f0e-4a53-4c52-9d1f-0a4f8f1c2b3d"),
        (
            "Traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ];
    let all = common.into_iter().chain(more.iter().copied());
    all.map(|(name, value)| Header {
        name,
        value: value.as_bytes(),
    })
    .collect()
}

fn head<'a>(target: &'a str, headers: &'a [Header<'a>]) -> RequestHead<'a> {
    RequestHead {
        method: "GET",
        target: target.as_bytes(),
        version: Version::Http11,
        headers,
        unknown_fields: 0,
        unknown_method: false,
        unknown_target: false,
        secure: false,
        off: 0,
        time: 0,
        resynchronised: false,
        truncated: false,
    }
}

fn bench() {
    let jwt = {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
        let payload = format!(
            r#"{{"iss":"https://idp.example","sub":"ci-bot","aud":"api","exp":1800000000,"x":"{}"}}"#,
            "y".repeat(220)
        );
        let header = r#"{"alg":"RS256","typ":"JWT","kid":"0123456789"}"#;
        format!(
            "Bearer {}.{}.{}",
            BASE64.encode(header),
            BASE64.encode(payload),
            "s".repeat(342)
        )
    };
    assert!((790..=830).contains(&jwt.len()), "{}", jwt.len());
    let plain = "/v1/deployments/17/approve";
    let opaque = "Bearer ghp_0123456789abcdef0123456789abcdef0123";
    let basic = "Basic YWxpY2U6d29uZGVybGFuZC1pcy1hLXBsYWNl";
    let sigv4 = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20150830/us-east-1/s3/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature=\
                 5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    let query =
        "/v1/deployments/17/approve?page=2&limit=50&api_key=0123456789abcdef0123456789abcdef";
    for (name, target, more) in [
        ("no credential", plain, vec![]),
        ("opaque bearer", plain, vec![("Authorization", opaque)]),
        ("jwt of 800 bytes", plain, vec![("Authorization", &*jwt)]),
        ("basic", plain, vec![("Authorization", basic)]),
        ("sigv4", plain, vec![("Authorization", sigv4)]),
        ("api key in the query", query, vec![]),
        (
            "secret in the path",
            "/services/T0000/B0000/0123456789abcdefABCDEF",
            vec![],
        ),
    ] {
        let headers = fields(&more);
        let mut recogniser =
            Recogniser::new(CredentialTable::builtin(), FingerprintKey::new([7; 32]));
        let mut out = Recognised::new();
        measure(name, || {
            recogniser.recognise(black_box(&head(target, &headers)), &mut out);
            out.found.len()
        });
    }

    // RFC 9449 §7.1: a token and its proof, whose signature is verified (ES256), and one that is not for
    // want of time.
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik\
        VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR\
        nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE\
        QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj\
        oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z\
        WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF\
        c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E\
        OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    let headers = fields(&[
        (
            "Authorization",
            "DPoP Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU",
        ),
        ("DPoP", proof),
    ]);
    for (name, allowance) in [
        ("dpop, proof verified", 1_000_000),
        ("dpop, proof unverified", 0),
    ] {
        let mut recogniser =
            Recogniser::new(CredentialTable::builtin(), FingerprintKey::new([7; 32]))
                .with_proof_allowance(allowance);
        let mut out = Recognised::new();
        let mut now = 0;
        measure(name, || {
            now += 1_000_000_000;
            recogniser.tick(now);
            recogniser.recognise(black_box(&head("/protectedresource", &headers)), &mut out);
            out.found.len()
        });
        let verified = recogniser.stats().proofs.verified > 0;
        assert_eq!(verified, allowance > 0);
    }

    // A path that never comes twice.
    let headers = fields(&[("Authorization", opaque)]);
    let targets: Vec<String> = (0..4096)
        .map(|i| format!("/v1/deployments/{}/approve", i * 7919))
        .collect();
    let mut recogniser = Recogniser::new(CredentialTable::builtin(), FingerprintKey::new([7; 32]));
    let mut out = Recognised::new();
    let mut turn = 0;
    measure("opaque bearer, other ids each time", || {
        turn = (turn + 1) % targets.len();
        recogniser.recognise(black_box(&head(&targets[turn], &headers)), &mut out);
        out.found.len()
    });

    // A credential that was not seen before: read, named, allocated.
    let tokens: Vec<String> = (0..300_000)
        .map(|i| format!("Bearer token-{i}-abcdef"))
        .collect();
    measure("opaque bearer, cold", || {
        turn = (turn + 1) % tokens.len();
        let headers = [Header {
            name: "Authorization",
            value: tokens[turn].as_bytes(),
        }];
        recogniser.recognise(black_box(&head(plain, &headers)), &mut out);
        out.found.len()
    });

    let key = FingerprintKey::new([7; 32]);
    for len in [40, 64, 192, 256, 800] {
        let secret = vec![b'x'; len];
        measure(&format!("keyed BLAKE3 of {len} bytes"), || {
            key.fingerprint(black_box(&secret)).0.len()
        });
    }
    let cgroup = b"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod2f.slice/\
        cri-containerd-4c01db0b339c0d5e1f6a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f7081920.scope\n";
    measure("cgroup", || {
        Cgroup::from_proc(black_box(cgroup))
            .container
            .map_or(0, |id| id.len())
    });
}

/// Nanoseconds a call: the best and the median of many short batches. A batch is over before the scheduler's
/// next turn, so the best one is what the code costs even on a busy machine.
fn measure(name: &str, mut f: impl FnMut() -> usize) {
    const BATCH: u32 = 64;
    // `-- PART` measures what has PART in its name.
    let mut wanted = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .peekable();
    if wanted.peek().is_some() && !wanted.any(|part| name.contains(&part)) {
        return;
    }
    const BATCHES: u32 = 4000;
    let mut batches = Vec::with_capacity(BATCHES as usize);
    // The first ones warm up.
    for _ in 0..16 * BATCH {
        black_box(f());
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..BATCH {
            black_box(f());
        }
        batches.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH));
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    batches.sort_by(f64::total_cmp);
    let line = format!(
        "{name:40} {:8.0} {:8.0} {:12.2}\n",
        batches[0],
        batches[batches.len() / 2],
        allocations as f64 / f64::from(BATCH * BATCHES)
    );
    std::io::stdout()
        .write_all(line.as_bytes())
        .expect("standard output");
}

fn main() {
    let title = format!(
        "{:40} {:>8} {:>8} {:>12}\n",
        "ns a call", "best", "median", "allocations"
    );
    std::io::stdout()
        .write_all(title.as_bytes())
        .expect("standard output");
    bench();
}
