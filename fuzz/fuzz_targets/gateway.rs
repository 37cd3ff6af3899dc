#![no_main]
//! Any bytes as a gateway's file, of each format: read or refused, and bounded.

use bailiwick::gateway::gate::MOST_UNREAD;
use bailiwick::gateway::{Format, nginx, read};
use libfuzzer_sys::fuzz_target;

/// Includes itself.
struct Again<'t>(&'t str);

impl nginx::Files for Again<'_> {
    fn include(&self, _: &str, _: &str) -> std::io::Result<Vec<(String, String)>> {
        Ok(vec![("again".to_owned(), self.0.to_owned())])
    }
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (one, rest) = text.split_at(text.char_indices().nth(16).map_or(0, |(at, _)| at));
    for format in [
        None,
        Some(Format::Nginx),
        Some(Format::EnvoyRbac),
        Some(Format::Istio),
    ] {
        if let Ok(gate) = read("f", rest, format, &Again(one)) {
            assert!(gate.unread.len() <= MOST_UNREAD);
        }
    }
});
