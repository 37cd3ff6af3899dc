#![no_main]
//! Any text as a filter. One that is a filter prints as one that is the same, and looks at records of each sort.

use std::sync::LazyLock;

use bailiwick::access::record::AccessRecord;
use bailiwick::alert::Alert;
use bailiwick::filter::{Filter, MAX_LENGTH, Subject};
use libfuzzer_sys::fuzz_target;

const ACCESS: &str = r#"{"type":"access","v":1,"time":"2026-11-23T18:57:18.123456Z","role":"both","identity":"ci-bot",
 "credential":{"kind":"bearer","fingerprint":"bw1:5f0c"},"client":{"pid":4711,"exe":"/usr/bin/curl","user":"ci"},
 "peer":"127.0.0.1:8080","protocol":"http/1.1","request":{"method":"GET","host":"api.example:8080","path":"/v1/x/17",
 "route":"/v1/x/{id}"},"response":{"status":200},"duration_us":812,"findings":["environment"]}"#;

const ALERT: &str = r#"{"type":"alert","v":1,"id":"01J","severity":"high","kind":"environment","title":"t","identity":"ci-bot",
 "owner":null,"workload":"unit:ci.service","operation":"GET a/b","environment":"prod","clause":"c","count":3,
 "first_seen":"2026-11-23T18:57:18.123456Z","last_seen":"2026-11-23T18:59:02.000001Z","techniques":["T1078"],
 "normal":"n","action":"a","evidence":[]}"#;

static RECORDS: LazyLock<(AccessRecord, Alert)> = LazyLock::new(|| {
    (
        serde_json::from_str(ACCESS).expect("an access"),
        serde_json::from_str(ALERT).expect("an alert"),
    )
});

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    for subject in Subject::ALL {
        let _ = Filter::parse_for(subject, &text);
    }
    match Filter::parse(&text) {
        Ok(filter) => {
            let (access, alert) = &*RECORDS;
            let printed = filter.to_string();
            // A text may have to be written longer than it was: `\t` for a tab.
            if printed.len() <= MAX_LENGTH {
                let again = Filter::parse(&printed).expect("what is printed is a filter");
                assert_eq!(again, filter, "{printed}");
                assert_eq!(again.matches(access), filter.matches(access));
            }
            let _ = (filter.matches(access), filter.matches(alert));
        }
        Err(error) => {
            let shown = error.to_string();
            assert!(shown.lines().count() <= 4, "{shown}");
            assert!(shown.len() < 4096 + 8 * MAX_LENGTH);
        }
    }
});
