//! What hostile captures cost, and that the same bytes always say the same.

use proptest::prelude::*;

use super::made::{ACK, MORNING, MS, SYN};
use super::*;

#[test]
fn connections_are_bounded_and_the_oldest_go_first() {
    let bounds = Bounds {
        connections: 100,
        memory: 1 << 20,
    };
    let mut capture = capture(bounds);
    let mut made = Vec::new();
    for number in 0..1000_u32 {
        let client = format!("10.{}.{}.1:40000", number / 250, number % 250);
        let mut talk = Talk::new(&client, "10.255.0.2:80");
        talk.now = MORNING + u64::from(number) * MS;
        let talk = talk.open().send(0, GET);
        made.extend(read_into(&mut capture, &made::ethernet(&talk.segs)));
        assert!(capture.connections() <= 100);
    }
    let evicted = capture.summary(true).evicted;
    assert!((900..1000).contains(&evicted), "{evicted}");
    made.extend(capture.end());
    // Given up, but not forgotten.
    assert_eq!(made.len(), 1000);
}

#[test]
fn memory_is_bounded_whatever_is_held() {
    let bounds = Bounds {
        connections: 10_000,
        memory: 2 << 20,
    };
    let mut capture = capture(bounds);
    let byte = |number: u32, at: u32| {
        let client = format!("10.1.{}.{}:40000", number / 250, number % 250);
        let mut talk = Talk::new(&client, "10.255.0.2:80");
        talk.next[0] = 1000 + at * 3;
        // Nothing of this is ever in order.
        talk.seg(0, ACK, &[b'x'; 2]);
        talk.segs
    };
    for at in 0..200 {
        let segs: Vec<Seg> = (0..100).flat_map(|number| byte(number, at)).collect();
        read_into(&mut capture, &made::ethernet(&segs));
        assert!(capture.memory() <= 2 << 20);
    }
    // One connection alone, too: then what is missing is missing.
    let mut capture = super::capture(Bounds::default());
    let mut talk = Talk::new("10.0.0.1:40000", "10.0.0.2:80").open();
    talk.next[0] += 1;
    for _ in 0..3000 {
        talk.seg(0, ACK, &[b'x'; 1400]);
    }
    // All at one time, and never acknowledged.
    for seg in &mut talk.segs {
        seg.time = MORNING;
    }
    read_into(&mut capture, &made::ethernet(&talk.segs));
    assert!(capture.memory() <= 2 * flow::MOST_BYTES);
    assert_eq!(capture.summary(true).lost_bytes, 1);
}

#[test]
fn numbers_far_ahead_do_not_hide_what_follows() {
    let mut segs = two().segs;
    let mut wild = segs[4].clone();
    (wild.ack, wild.data) = (
        wild.ack.wrapping_add(1 << 30),
        b"HTTP/1.1 500 No\r\n\r\n".to_vec(),
    );
    wild.seq = wild.seq.wrapping_add(1 << 29);
    segs.insert(4, wild);
    let (made, _) = short(&segs);
    assert_eq!(made, BOTH);
}

#[test]
fn an_end_that_speaks_to_itself_is_no_conversation() {
    let mut talk = Talk::new("10.0.0.1:80", "10.0.0.1:80");
    talk.seg(0, SYN, GET.as_bytes());
    let (made, summary) = short(&talk.segs);
    assert!(made.is_empty());
    assert_eq!(summary.unread_packets["malformed"], 1);
}

/// A file with some of everything.
fn everything() -> Vec<u8> {
    let mut blocks = made::Blocks::section(false);
    blocks.interface(1, 0, &[(9, &[6])]);
    blocks.interface(101, 90, &[(9, &[9]), (14, &[0; 8])]);
    blocks.secrets("CLIENT_RANDOM 00 11\n");
    for seg in two().segs {
        blocks.packet(0, seg.time / 1000, &seg.tagged(&[5]));
        blocks.packet(1, seg.time, &seg.ip());
    }
    blocks.file
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn damaged_files_are_read_alike_each_time(
        changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..40),
        classic in any::<bool>(),
    ) {
        let mut file = if classic { made::ethernet(&two().segs) } else { everything() };
        for (at, to) in changes {
            let at = usize::from(at) % file.len();
            file[at] = to;
        }
        let (first, summary) = read(&file);
        let (second, again) = read(&file);
        let text = |made: &[Access]| made.iter().map(|access| format!("{access:?}")).collect::<Vec<_>>();
        prop_assert_eq!(text(&first), text(&second));
        prop_assert_eq!(summary, again);
    }

    #[test]
    fn any_segments_are_survived(
        segs in proptest::collection::vec(
            (any::<bool>(), 0_u32..6000, 0_u32..6000, any::<u8>(), 0_usize..90, any::<u16>()),
            0..120,
        ),
    ) {
        let text = [GET, OK, POST, CREATED].concat();
        let segs: Vec<Seg> = segs
            .into_iter()
            .map(|(up, seq, ack, flags, length, at)| {
                let at = usize::from(at) % (text.len() - length);
                let mut talk = Talk::new("10.0.0.1:40000", "10.0.0.2:80");
                talk.next = [seq, ack];
                talk.seg(usize::from(!up), flags & 0x1F, &text.as_bytes()[at..at + length]);
                talk.segs.remove(0)
            })
            .collect();
        let (first, summary) = read(&made::ethernet(&segs));
        let (second, again) = read(&made::ethernet(&segs));
        prop_assert_eq!(first.len(), second.len());
        prop_assert_eq!(summary, again);
    }
}
