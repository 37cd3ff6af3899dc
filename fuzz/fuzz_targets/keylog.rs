#![no_main]
//! Any text as a key log, read in parts of any size: every cut gives the same, and one more line is read.

use bailiwick::wire::tls::{KeyLogReader, LoggedSecret};
use libfuzzer_sys::fuzz_target;

type Read = (u8, [u8; 32], Vec<u8>);

fn read(parts: &[&[u8]]) -> (Vec<Read>, KeyLogReader) {
    let mut reader = KeyLogReader::default();
    let mut out = Vec::new();
    for part in parts {
        reader.feed(part, &mut |secret: LoggedSecret| {
            let value = secret.value.expose().to_vec();
            assert!((32..=64).contains(&value.len()));
            out.push((secret.label as u8, secret.client_random, value));
        });
    }
    (out, reader)
}

fuzz_target!(|data: (&[u8], Vec<u8>)| {
    let (text, cuts) = data;
    let mut parts = Vec::new();
    let mut rest = text;
    for cut in cuts {
        let (part, after) = rest.split_at(usize::from(cut).min(rest.len()));
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    let (whole, mut reader) = read(&[text]);
    let (cut, other) = read(&parts);
    assert_eq!((whole, reader.counts()), (cut, other.counts()));
    let counts = reader.counts();
    let lines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert_eq!(counts.secrets + counts.ignored + counts.malformed, lines);
    let mut seen = 0;
    let line = format!("\nCLIENT_RANDOM {} {}\n", "5a".repeat(32), "a5".repeat(48));
    reader.feed(line.as_bytes(), &mut |_| seen += 1);
    // What stood before it may have been one as well.
    assert!(seen == 1 || seen == 2);
});
