#![no_main]
//! Any bytes as a capture file, and the same bytes as the packets and key log of one: memory stays bounded, and it
//! says the same each time.

use bailiwick::access::FingerprintKey;
use bailiwick::access::credential::{CredentialTable, Recogniser};
use bailiwick::replay::capture::{Bounds, Capture, CaptureSummary, LinkType, Packet, Packets};
use libfuzzer_sys::fuzz_target;

const BOUNDS: Bounds = Bounds {
    connections: 64,
    memory: 1 << 20,
};

fn capture() -> Capture {
    let key = FingerprintKey::new([7; 32]);
    Capture::new(Recogniser::new(CredentialTable::builtin(), key), BOUNDS)
}

fn end(mut capture: Capture) -> (Vec<String>, CaptureSummary) {
    assert!(capture.connections() <= BOUNDS.connections);
    assert!(capture.memory() <= BOUNDS.memory);
    let mut made: Vec<String> = capture.take().map(|made| format!("{made:?}")).collect();
    made.extend(capture.end().iter().map(|made| format!("{made:?}")));
    assert_eq!((capture.connections(), capture.memory()), (0, 0));
    (made, capture.summary(false))
}

fn file(bytes: &[u8]) -> (Vec<String>, CaptureSummary) {
    let mut capture = capture();
    let read = Packets::new(bytes).and_then(|mut packets| {
        while let Some(item) = packets.next_item()? {
            capture.item(&item);
        }
        Ok(())
    });
    if let Err(fault) = read {
        capture.damaged(&fault);
    }
    end(capture)
}

fn packets(bytes: &[u8]) -> (Vec<String>, CaptureSummary) {
    let mut capture = capture();
    let mut rest = bytes;
    // Link, time passed and length of each, then its bytes.
    while let [link, time, length, more @ ..] = rest {
        let (data, after) = more.split_at(usize::from(*length).min(more.len()));
        rest = after;
        if *link == 0xFF {
            capture.key_log(data);
            continue;
        }
        let number = [0, 1, 101, 108, 113, 276, 127][usize::from(*link) % 7];
        capture.packet(&Packet {
            link: LinkType::of(number),
            time: (*time != 0).then_some(1_795_507_200_000_000_000 + (u64::from(*time) << 24)),
            data,
            length: u32::from(*length),
        });
    }
    end(capture)
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(file(bytes), file(bytes));
    assert_eq!(packets(bytes), packets(bytes));
});
