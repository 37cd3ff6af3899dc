#![no_main]
//! Any request head: no panic, bounds kept, and a secret planted in known places does not come out.

use std::cell::RefCell;

use bailiwick::access::FingerprintKey;
use bailiwick::access::credential::{CredentialTable, Recognised, Recogniser};
use bailiwick::wire::{RequestHead, Version};
use httparse::Header;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static STATE: RefCell<(Recogniser, Recognised)> = RefCell::new({
        let cookies = CredentialTable::parse("[[credential]]\nname='c'\ncookie='session'\n")
            .expect("a sound table");
        let table = CredentialTable::builtin().merge(cookies);
        (Recogniser::new(table, FingerprintKey::new([7; 32])), Recognised::new())
    });
}

const PLANTED: &str = "pLaNtEd0SeCrEt1vAlUe2";

fn shown(out: &Recognised) -> String {
    format!(
        "{} {} {} {} {:?}",
        out.method, out.host, out.path, out.route, out.found
    )
}

fn head<'a>(method: &'a str, target: &'a [u8], headers: &'a [Header<'a>]) -> RequestHead<'a> {
    RequestHead {
        method,
        target,
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

// Lines: method, target, then `name:value`.
fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let method = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let target = lines.next().unwrap_or_default();
    let fields: Vec<(String, &[u8])> = lines
        .take(64)
        .filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b':')?;
            Some((
                String::from_utf8_lossy(&line[..at]).into_owned(),
                &line[at + 1..],
            ))
        })
        .collect();
    let headers: Vec<Header<'_>> = fields
        .iter()
        .map(|(name, value)| Header { name, value })
        .collect();
    STATE.with_borrow_mut(|(recogniser, out)| {
        recogniser.recognise(&head(&method, target, &headers), out);
        assert!(out.path.len() <= 2048 && out.host.len() <= 255 && out.method.len() <= 32);
        let first = (
            out.path.clone(),
            out.host.clone(),
            out.found.len(),
            out.more,
            out.unread,
        );
        recogniser.recognise(&head(&method, target, &headers), out);
        assert_eq!(
            first,
            (
                out.path.clone(),
                out.host.clone(),
                out.found.len(),
                out.more,
                out.unread
            )
        );

        // The same target with a secret where the table knows one.
        let clean = |bytes: &[u8]| -> Vec<u8> {
            bytes
                .iter()
                .copied()
                .filter(|byte| !b"?#".contains(byte))
                .collect()
        };
        let query = [&clean(target)[..], b"?api_key=", PLANTED.as_bytes()].concat();
        let bearer = format!("Bearer {PLANTED}");
        let mut more = headers.clone();
        more.push(Header {
            name: "Authorization",
            value: bearer.as_bytes(),
        });
        more.push(Header {
            name: "X-Api-Key",
            value: PLANTED.as_bytes(),
        });
        recogniser.recognise(&head(&method, &query, &more), out);
        assert!(!shown(out).contains(PLANTED), "{}", shown(out));
        let path = format!("/services/T1/B1/{PLANTED}");
        recogniser.recognise(&head(&method, path.as_bytes(), &more), out);
        assert!(!shown(out).contains(PLANTED), "{}", shown(out));
    });
});
