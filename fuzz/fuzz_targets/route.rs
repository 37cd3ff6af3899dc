#![no_main]
//! Any paths in a row: bounded, deterministic, idempotent.

use std::sync::Arc;

use bailiwick::access::route::Router;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut one = Router::new(256);
    let mut two = Router::new(256);
    let hosts: [Arc<str>; 3] = [
        Arc::from("-"),
        Arc::from("a.example"),
        Arc::from("b.example:8080"),
    ];
    for line in data.split(|byte| *byte == b'\n') {
        let path = String::from_utf8_lossy(line);
        let host = &hosts[line.len() % 3];
        let route = one.route(host, &path);
        assert_eq!(one.route(host, &route), route);
        assert_eq!(two.route(host, &path), route);
        two.route(host, &route);
        assert!(one.stats().nodes <= 256);
    }
    assert_eq!(one.stats(), two.stats());
});
