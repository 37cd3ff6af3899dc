//! Bytes per second through the scanner, on one thread.
//!
//! `cargo bench --bench scan [DIR]`: source code (this crate's, or DIR's), configuration with a keyword at each line, and
//! noise. Best of several rounds: what else the machine does only adds.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(clippy::expect_used, reason = "a benchmark may end by panic")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use bailiwick::scan::gitleaks::ForeignRules;
use bailiwick::scan::{Buffer, Scanner};

const ROUNDS: u32 = 10;
const BYTES: usize = 64 << 20;

fn gather(dir: &Path, to: &mut Vec<u8>) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            gather(&path, to);
        } else if let Ok(bytes) = std::fs::read(&path) {
            to.extend_from_slice(&bytes);
        }
        if to.len() >= BYTES {
            return;
        }
    }
}

/// The same again until there is enough.
fn fill(mut bytes: Vec<u8>) -> Vec<u8> {
    while bytes.len() < BYTES {
        let more = bytes.len().min(BYTES - bytes.len());
        bytes.extend_from_within(..more);
    }
    bytes.truncate(BYTES);
    bytes
}

fn main() {
    let mut source = Vec::new();
    let named = std::env::args()
        .skip(1)
        .find(|word| !word.starts_with("--"));
    let dir = named.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/src").to_owned());
    gather(Path::new(&dir), &mut source);
    assert!(!source.is_empty(), "nothing in {dir}");
    let config: Vec<u8> = (0..10_000)
        .flat_map(|n| {
            format!(
                "db_{n}_password = ${{PASSWORD_{n}}}\nurl_{n} = https://host{n}.internal/path\n"
            )
            .into_bytes()
        })
        .collect();
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..1 << 20)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    let scanner = Scanner::new(ForeignRules::default()).expect("a scanner");
    let mut buffer = Buffer::default();
    for (name, bytes) in [
        ("source", source),
        ("configuration", config),
        ("noise", noise),
    ] {
        let bytes = fill(bytes);
        let mut best = Duration::MAX;
        let mut hits = 0;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let done = scanner.scan(b"x.rs", bytes.as_slice(), &mut buffer, |hit| {
                black_box(hit.line);
            });
            best = best.min(begun.elapsed());
            hits = done.expect("memory is read").hits;
        }
        let rate = bytes.len() as f64 / best.as_secs_f64() / 1e6;
        println!("{name:<14} {rate:>6.0} MB/s, {hits} hits");
    }
}
