//! First bytes of a connection, cut anywhere: naming its protocol never panics, and a name once given stays.
#![no_main]

use bailiwick::coverage::First;
use bailiwick::wire::Dir;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|pieces: Vec<(bool, Vec<u8>)>| {
    let mut first = First::default();
    let mut name = None;
    for (server, bytes) in &pieces {
        let way = if *server {
            Dir::ToClient
        } else {
            Dir::ToServer
        };
        first.take(way, bytes);
        assert!(name.is_none() || first.protocol() == name);
        name = first.protocol();
    }
    assert_eq!(first.any(), !pieces.is_empty());
});
