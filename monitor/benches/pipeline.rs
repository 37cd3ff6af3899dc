//! From ring records to verdicts: ns per access on one core, with warm and with cold identities, and
//! the memory that 10,000 identities take. `cargo bench --bench pipeline`; a word behind `--` picks lines
//! (for counting instructions: docs/performance.md).
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a program that prints figures"
)]

use std::sync::Arc;
use std::time::Instant;

use bailiwick::access::FingerprintKey;
use bailiwick::access::credential::{CredentialTable, Recogniser};
use bailiwick::alert::Folder;
use bailiwick::census::{self, Census};
use bailiwick::host::Host;
use bailiwick::judge::{FindingKind, Judge, Settings};
use bailiwick::pipeline::{Limits, Pipeline};
use bailiwick::policy;
use bailiwick::source::procfs::{HostFiles, ProcessFacts};
use bailiwick::source::{Event, Source, SourceCounters};
use monitor_ebpf::{Data, Header, Open, data_flag, dir, kind, open_flag};

const KEY: [u8; 32] = [7; 32];
const CONNECTIONS: u64 = 64;
/// Exchanges of one pass: a busy drain's worth.
const PER_PASS: usize = 512;

/// Server-side records of `PER_PASS` exchanges a pass: the request received, the response sent.
struct Load {
    /// Request heads, used in turn.
    requests: Vec<Vec<u8>>,
    next: usize,
    left: usize,
    offsets: Vec<(u32, u32, u32)>,
    opened: bool,
    clock: u64,
}

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 20:00:00 GMT\r\n\
Content-Type: application/json\r\nContent-Length: 36\r\nConnection: keep-alive\r\n\r\n{\"answer\":\"thirty-six bytes of it!\"}\n";

impl Source for Load {
    fn drain(&mut self, _: usize, sink: &mut dyn FnMut(Event<'_>)) -> usize {
        if !self.opened {
            self.opened = true;
            for sock in 0..CONNECTIONS {
                sink(Event::Open(&open(sock)));
            }
        }
        let exchanges = PER_PASS.min(self.left);
        for n in 0..exchanges {
            let sock = n as u64 % CONNECTIONS;
            let (rx, tx, seq) = self.offsets[sock as usize];
            let request = &self.requests[self.next % self.requests.len()];
            self.next += 1;
            self.clock += 10_000;
            sink(Event::Data(
                &data(sock, dir::RX, rx, seq, request.len(), self.clock),
                request,
            ));
            let answer = data(
                sock,
                dir::TX,
                tx,
                seq + 1,
                RESPONSE.len(),
                self.clock + 5_000,
            );
            sink(Event::Data(&answer, RESPONSE));
            self.offsets[sock as usize] = (
                rx.wrapping_add(request.len() as u32),
                tx.wrapping_add(RESPONSE.len() as u32),
                seq + 2,
            );
        }
        self.left -= exchanges;
        exchanges * 2
    }

    fn lost(&mut self) -> u64 {
        0
    }

    fn advise(&mut self, _: u64, _: u32) {}

    fn counters(&mut self) -> SourceCounters {
        SourceCounters::default()
    }

    fn hooks(&self) -> Vec<String> {
        Vec::new()
    }
}

fn data(sock: u64, way: u8, off: u32, seq: u32, len: usize, time: u64) -> Data {
    let len = len as u32;
    let header = Header {
        kind: kind::DATA,
        dir: way,
        class: 1,
        flags: data_flag::START,
        len,
    };
    Data {
        header,
        time,
        sock,
        off,
        full: len,
        seq,
        tgid: 9,
        exec_id: 1,
        pad: 0,
    }
}

fn open(sock: u64) -> Open {
    let address = |last: u8| {
        let mut bytes = [0; 16];
        bytes[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, last]);
        bytes
    };
    Open {
        header: Header {
            kind: kind::OPEN,
            flags: open_flag::FRESH | open_flag::SERVER | open_flag::SEQUENCED,
            ..Header::default()
        },
        time: 0,
        sock,
        local_id: 0,
        peer_id: 0,
        cgroup: 0,
        netns: 1,
        tgid: 9,
        family: 2,
        local_port: 80,
        remote_port: 40_000 + sock as u16,
        protocol: 6,
        local: address(1),
        remote: address(2),
        tx_base: 0,
        rx_base: 0,
        path: [0; monitor_ebpf::NAME_BYTES],
        exec_id: 1,
    }
}

struct Nothing;

impl HostFiles for Nothing {
    fn pids(&self) -> Vec<u32> {
        Vec::new()
    }
    fn process(&self, _: u32) -> Option<ProcessFacts> {
        Some(ProcessFacts {
            ppid: 0,
            uid: 0,
            exe: "/usr/sbin/nginx".into(),
            cgroup: String::new(),
        })
    }
    fn cgroups(&self) -> Vec<(u64, String)> {
        Vec::new()
    }
    fn user(&self, _: u32) -> Option<String> {
        Some("www-data".into())
    }
}

fn token(n: usize) -> String {
    format!("token-{n:08}-0123456789abcdef01234567")
}

fn request(n: usize) -> Vec<u8> {
    format!(
        "GET /v1/orders/{}/items HTTP/1.1\r\nHost: api.pay.example\r\nUser-Agent: curl/7.88.1\r\n\
         Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nAuthorization: Bearer {}\r\n\
         X-Request-Id: 7c9f1d5a-58f4-4f0e-9d6c-2b8a3f1e6d40\r\nConnection: keep-alive\r\n\r\n",
        n % 1000,
        token(n)
    )
    .into_bytes()
}

/// The clients are on another host and speak clear text: with the check for it on, each access is a finding.
fn pipeline(
    identities: usize,
    requests: Vec<Vec<u8>>,
    total: usize,
    findings: bool,
) -> Pipeline<Load> {
    let key = FingerprintKey::new(KEY);
    let mut text = String::from(
        "version = 1\n[environments]\nprod = [\"api.pay.example\"]\n[duties]\nread = [\"GET api.pay.example/v1/**\"]\n",
    );
    for n in 0..identities {
        let print = key.fingerprint(token(n).as_bytes());
        text.push_str(&format!(
            "[identities.i{n}]\nowner = \"o{n}\"\ncredentials = [\"{print}\"]\nduties = [\"read\"]\nenvironments = [\"prod\"]\n"
        ));
    }
    let loaded = policy::load_text("policy.toml", &text, &key).unwrap();
    let mut settings = Settings::default();
    if !findings {
        settings.disabled.insert(FindingKind::Cleartext);
    }
    let source = Load {
        requests,
        next: 0,
        left: total,
        offsets: vec![(0, 0, 0); CONNECTIONS as usize],
        opened: false,
        clock: 1,
    };
    Pipeline::new(
        source,
        Host::new(Box::new(Nothing)),
        Recogniser::new(CredentialTable::builtin(), key),
        Judge::new(Arc::new(loaded.policy), settings),
        Census::new(census::Limits::default()),
        Folder::default(),
        Limits::default(),
    )
}

/// Whether a line is asked for.
fn wanted(name: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    words.next().is_none_or(|word| name.contains(&word))
}

/// Best and median ns per access over rounds of one pass each.
fn measure(name: &str, identities: usize, distinct: usize, total: usize, findings: bool) {
    if !wanted(name) {
        return;
    }
    let mut pipeline = pipeline(
        identities,
        (0..distinct).map(request).collect(),
        total,
        findings,
    );
    let mut rounds = Vec::new();
    let mut now = 1;
    for _ in 0..total / PER_PASS {
        now += 4_000_000;
        let begun = Instant::now();
        let events = pipeline.pass(now, 0);
        let took = begun.elapsed().as_nanos() as f64;
        if events > 0 {
            rounds.push(took / (events / 2) as f64);
        }
    }
    rounds.sort_by(f64::total_cmp);
    let median = rounds[rounds.len() / 2];
    println!(
        "| {name} | {:.0} | {median:.0} | {:.2} M |",
        rounds[0],
        1000.0 / median
    );
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim()
        .trim_end_matches(" kB")
        .trim()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}

/// Prints what 10,000 identities take once loading is over; as after the daemon's start, what loading needed for a
/// moment is given back.
fn memory() {
    let before = resident_mib();
    let requests = (0..10_000).map(request).collect();
    let mut one = pipeline(10_000, requests, 20_480, false);
    trim();
    let loaded = resident_mib() - before;
    for pass in 1..=40 {
        one.pass(pass * 4_000_000, 0);
    }
    println!(
        "10,000 identities: +{:.1} MiB, {loaded:.1} of it before the first access (3.5 are the load's own requests)\n",
        resident_mib() - before
    );
}

fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: glibc's function has no preconditions (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

fn main() {
    // `cargo test --benches` only wants to see that it runs.
    let quick = !std::env::args().any(|a| a == "--bench");
    let scale = if quick { 1 } else { 100 };
    // First, while the heap has nothing to give again.
    if wanted("memory") {
        memory();
    }
    println!("| ring record to verdict | best ns | median ns | accesses/s (median) |");
    println!("|---|---:|---:|---:|");
    let warm = 10_240 * scale;
    measure("warm, one identity of 1,000", 1_000, 1, warm, false);
    measure("warm, 1,000 identities in turn", 1_000, 1_000, warm, false);
    measure("each a finding, one identity", 1_000, 1, warm, true);
    measure("10,000 identities in turn", 10_000, 10_000, 2 * warm, false);
    measure(
        "cold: every identity for the first time",
        10_000,
        10_000,
        9_728,
        false,
    );
    measure("no policy names it, cold", 0, 10_000, 9_728, false);
}
