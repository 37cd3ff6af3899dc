#![no_main]
//! Any bytes as any file: places are sound, and windows of any size find the same.

use std::io::Read;
use std::sync::LazyLock;

use bailiwick::scan::gitleaks::ForeignRules;
use bailiwick::scan::{Buffer, Scanner};
use libfuzzer_sys::fuzz_target;

static SCANNER: LazyLock<Scanner> =
    LazyLock::new(|| Scanner::new(ForeignRules::default()).unwrap());
const NAMES: [&str; 8] = [
    "a.py",
    ".env",
    ".netrc",
    ".pgpass",
    ".npmrc",
    "config.json",
    "key.pem",
    "x.yml",
];

/// Gives a byte at a time.
struct Crumbs<'a>(&'a [u8]);

impl Read for Crumbs<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let most = into.len().min(1);
        self.0.read(&mut into[..most])
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    let name = NAMES[usize::from(*first) % NAMES.len()];
    let mut whole = Vec::new();
    let done = SCANNER
        .scan(name.as_bytes(), bytes, &mut Buffer::default(), |hit| {
            assert!(hit.line >= 1 && hit.column >= 1 && !hit.secret.is_empty());
            let at = hit.offset as usize;
            assert_eq!(&bytes[at..at + hit.secret.len()], hit.secret);
            assert_eq!(
                bytes[..at].iter().filter(|byte| **byte == b'\n').count() as u64 + 1,
                hit.line
            );
            whole.push((hit.offset, hit.secret.len()));
        })
        .unwrap();
    assert_eq!(done.bytes, bytes.len() as u64);
    let mut crumbs = Vec::new();
    SCANNER
        .scan(
            name.as_bytes(),
            Crumbs(bytes),
            &mut Buffer::default(),
            |hit| {
                crumbs.push((hit.offset, hit.secret.len()));
            },
        )
        .unwrap();
    assert_eq!(whole, crumbs);
});
