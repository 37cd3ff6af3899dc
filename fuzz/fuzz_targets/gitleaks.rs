#![no_main]
//! Any text as a rule file: refused, or its rules look at any text and end.

use bailiwick::scan::gitleaks::parse;
use bailiwick::scan::{Buffer, Scanner};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (rules, text) = match data.windows(2).position(|two| two == b"\0\0") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &b"acme_abc7 = 'x'"[..]),
    };
    let Ok(read) = std::str::from_utf8(rules)
        .map_err(drop)
        .and_then(|text| parse(text).map_err(drop))
    else {
        return;
    };
    let Ok(scanner) = Scanner::new(read.rules) else {
        return;
    };
    scanner
        .scan(b"a/b.env", text, &mut Buffer::default(), |hit| {
            assert!(hit.line >= 1 && !hit.secret.is_empty());
        })
        .unwrap();
});
