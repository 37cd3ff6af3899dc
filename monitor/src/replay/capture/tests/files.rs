//! Kinds of files, of links and of headers; packets that have no segment.

use super::made::{Blocks, MORNING, classic, pcap};
use super::*;

fn times(made: &[Access]) -> Vec<i64> {
    made.iter().map(|access| access.time_us).collect()
}

fn names(made: &[Access]) -> Vec<String> {
    made.iter().map(said).collect()
}

fn packets(of: impl Fn(&Seg) -> Vec<u8>) -> Vec<(u64, Vec<u8>)> {
    two().segs.iter().map(|seg| (seg.time, of(seg))).collect()
}

#[test]
fn classic_files_in_both_byte_orders_and_both_units() {
    let (wanted, _) = read(&made::ethernet(&two().segs));
    let packets = packets(Seg::ethernet);
    for (magic, tick) in [(0xA1B2_C3D4, 1000), (0xA1B2_3C4D, 1)] {
        for word in [u32::to_le_bytes, u32::to_be_bytes] {
            let file = classic(magic, word, tick, 1, &packets);
            assert!(is_capture(&file));
            let (made, _) = read(&file);
            assert_eq!(names(&made), names(&wanted));
            assert_eq!(times(&made), times(&wanted));
        }
    }
}

#[test]
fn pcapng_with_sections_interfaces_and_units_of_time() {
    let (wanted, _) = read(&made::ethernet(&two().segs));
    let segs = two().segs;
    let mut blocks = Blocks::section(false);
    assert!(is_capture(&blocks.file));
    // A name, then nanoseconds.
    blocks.interface(1, 0, &[(2, b"eth0"), (9, &[9]), (0, &[])]);
    // 2^-10 of a second, and seconds to add.
    let offset = 1_000_000_000_i64.to_le_bytes();
    blocks.interface(101, 0, &[(9, &[0x8A]), (14, &offset)]);
    // Names of hosts, which nobody wants.
    blocks.block(4, &[0; 8]);
    for (at, seg) in segs.iter().enumerate() {
        match at {
            0..4 => blocks.packet(0, seg.time, &seg.ethernet()),
            _ => {
                let ticks = (seg.time - 1_000_000_000 * 1_000_000_000) as u128 * 1024;
                blocks.packet(1, (ticks / 1_000_000_000) as u64, &seg.ip());
            }
        }
        if at == 6 {
            // The other byte order, and microseconds.
            blocks.begin(true);
            blocks.interface(1, 0, &[]);
            blocks.interface(
                228,
                0,
                &[(9, &[0x8A]), (14, &1_000_000_000_i64.to_be_bytes())],
            );
        }
    }
    let (made, summary) = read(&blocks.file);
    assert_eq!(names(&made), names(&wanted));
    for (time, wanted) in times(&made).into_iter().zip(times(&wanted)) {
        assert!((time - wanted).abs() < 1000, "{time} {wanted}");
    }
    assert_eq!(summary.unread_packets, Default::default());
}

#[test]
fn simple_packets_have_the_time_of_what_came_before() {
    let mut blocks = Blocks::section(false);
    blocks.interface(1, 0, &[]);
    for seg in two().segs {
        blocks.packet(0, seg.time / 1000, &made::ethernet(&[])[..0]);
        let frame = seg.ethernet();
        blocks.simple(&frame, frame.len() as u32);
    }
    let (made, summary) = read(&blocks.file);
    let (wanted, _) = read(&made::ethernet(&two().segs));
    assert_eq!(
        (names(&made), times(&made)),
        (names(&wanted), times(&wanted))
    );
    assert_eq!(summary.unread_packets["cut"], 10);
}

#[test]
fn packets_of_undescribed_interfaces_are_counted() {
    let mut blocks = Blocks::section(false);
    blocks.packet(0, 1, b"x");
    blocks.simple(b"x", 1);
    blocks.interface(1, 0, &[]);
    blocks.packet(1, 1, b"x");
    let (_, summary) = read(&blocks.file);
    assert_eq!(summary.unread_packets["block"], 3);
}

#[test]
fn links_and_headers() {
    let (wanted, _) = read(&made::ethernet(&two().segs));
    let wanted = names(&wanted);
    let behind = |head: &[u8], seg: &Seg| [head, &seg.ip()].concat();
    let with = |link, of: &dyn Fn(&Seg) -> Vec<u8>| names(&read(&pcap(link, &packets(of))).0);
    assert_eq!(with(1, &|seg| seg.tagged(&[7])), wanted);
    assert_eq!(with(1, &|seg| seg.tagged(&[7, 8])), wanted);
    assert_eq!(with(0, &|seg| behind(&[2, 0, 0, 0], seg)), wanted);
    assert_eq!(with(108, &|seg| behind(&[0, 0, 0, 2], seg)), wanted);
    assert_eq!(with(101, &Seg::ip), wanted);
    assert_eq!(with(12, &Seg::ip), wanted);
    let cooked = [&[0; 14][..], &[8, 0]].concat();
    assert_eq!(with(113, &|seg| behind(&cooked, seg)), wanted);
    let cooked2 = [&[8, 0][..], &[0; 18]].concat();
    assert_eq!(with(276, &|seg| behind(&cooked2, seg)), wanted);
    // Trailers of short frames, and packets that a network card had yet to cut up.
    assert_eq!(
        with(1, &|seg| [seg.ethernet(), vec![0; 9]].concat()),
        wanted
    );
    let uncut = |seg: &Seg| {
        let mut ip = seg.ip();
        (ip[2], ip[3]) = (0, 0);
        ip
    };
    assert_eq!(with(101, &uncut), wanted);
}

#[test]
fn ipv6_with_extension_headers() {
    let talk = Talk::new("[fd00::1]:40000", "[fd00::2]:80")
        .open()
        .send(0, GET)
        .send(1, OK)
        .close();
    let extended = |seg: &Seg| {
        let mut ip = seg.ip();
        // Hop by hop, destination (of 16 bytes), authentication (of 16), and a fragment that is the whole.
        let more = [
            [60, 0, 1, 4, 0, 0, 0, 0].as_slice(),
            &[51, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[44, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[6, 0, 0, 0, 0, 0, 0, 9],
        ]
        .concat();
        ip[6] = 0;
        let length = u16::from_be_bytes([ip[4], ip[5]]) + more.len() as u16;
        ip[4..6].copy_from_slice(&length.to_be_bytes());
        ip.splice(40..40, more);
        ip
    };
    for of in [&Seg::ip as &dyn Fn(&Seg) -> Vec<u8>, &extended] {
        let packets: Vec<_> = talk.segs.iter().map(|seg| (seg.time, of(seg))).collect();
        let (made, summary) = read(&pcap(229, &packets));
        assert_eq!(made.len(), 1, "{summary:?}");
        assert_eq!(made[0].status, Some(200));
        assert_eq!(
            made[0].peer,
            crate::access::Peer::Inet("[fd00::2]:80".parse().unwrap())
        );
    }
}

#[test]
fn what_is_no_segment_is_counted_by_cause() {
    let seg = two().segs[3].clone();
    let changed = |at: usize, to: u8| {
        let mut frame = seg.ethernet();
        frame[at] = to;
        frame
    };
    let file = pcap(
        1,
        &[
            (MORNING, changed(13, 6)),
            (MORNING, changed(23, 17)),
            // More fragments, and a later one.
            (MORNING, changed(20, 0x20)),
            (MORNING, changed(21, 9)),
            (MORNING, changed(14, 0x42)),
            (MORNING, changed(16, 0xFF)),
            (MORNING, changed(46, 0x10)),
            (MORNING, seg.ethernet()[..50].to_vec()),
            (MORNING, Vec::new()),
        ],
    );
    let (made, summary) = read(&file);
    assert!(made.is_empty());
    let unread: Vec<_> = summary.unread_packets.into_iter().collect();
    assert_eq!(
        unread,
        [
            ("cut", 1),
            ("fragment", 2),
            ("malformed", 4),
            ("not-ip", 1),
            ("not-tcp", 1)
        ]
    );
    let mut blocks = Blocks::section(false);
    blocks.interface(1, 50, &[]);
    blocks.simple(&seg.ethernet()[..50], 500);
    assert_eq!(read(&blocks.file).1.unread_packets["cut"], 1);
    let (_, summary) = read(&pcap(127, &[(MORNING, seg.ethernet())]));
    assert_eq!(summary.unread_packets["link-type"], 1);
}

#[test]
fn packets_that_were_cut_off_still_tell_their_length() {
    let long = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 1300\r\n\r\n{}",
        "b".repeat(1300)
    );
    let talk = Talk::new("10.0.0.1:40000", "10.0.0.2:80")
        .open()
        .send(0, GET)
        .send(1, long)
        .send(0, POST)
        .send(1, CREATED)
        .close();
    let mut blocks = Blocks::section(false);
    blocks.interface(1, 250, &[]);
    let mut cut = 0;
    for seg in &talk.segs {
        let frame = seg.ethernet();
        let kept = frame.len().min(250);
        cut += frame.len() - kept;
        blocks.simple(&frame[..kept], frame.len() as u32);
    }
    let (made, summary) = read(&blocks.file);
    let statuses: Vec<_> = made.iter().map(|access| access.status).collect();
    assert_eq!(statuses, [Some(200), Some(201)]);
    assert_eq!(
        (summary.uncaptured_bytes, summary.lost_bytes),
        (cut as u64, 0)
    );
    assert!(cut > 1000);
}

#[test]
fn a_file_that_ends_too_soon_is_read_up_to_there() {
    let file = made::ethernet(&two().segs);
    let (whole, _) = read(&file);
    let mut ng = Blocks::section(true);
    ng.interface(1, 0, &[]);
    for seg in two().segs {
        ng.packet(0, seg.time / 1000, &seg.ethernet());
    }
    for file in [file, ng.file] {
        for end in (0..file.len()).step_by(23) {
            let (made, summary) = read(&file[..end]);
            assert!(made.len() <= whole.len());
            assert!(summary.damaged.values().sum::<u64>() <= 1);
        }
        let (_, summary) = read(&file[..file.len() - 3]);
        assert_eq!(summary.damaged["cut"], 1);
    }
    let (_, summary) = read(b"GIF89a, which this is not");
    assert_eq!(summary.damaged["damaged"], 1);
}

#[test]
fn blocks_that_lie_about_their_length_end_the_file() {
    let mut blocks = Blocks::section(false);
    blocks.interface(1, 0, &[]);
    let good = blocks.file.len();
    blocks.packet(0, 1, b"four");
    for (at, to) in [(4, 13), (4, 8), (good + 4, 1), (good + 7, 0xFF)] {
        let mut file = blocks.file.clone();
        file[at] = to;
        let (_, summary) = read(&file);
        assert_eq!(summary.damaged.values().sum::<u64>(), 1, "{at}");
    }
    // A packet that says it is longer than its block.
    let mut file = blocks.file;
    file[good + 20] = 200;
    let (_, summary) = read(&file);
    assert_eq!(
        (summary.unread_packets["block"], summary.damaged.len()),
        (1, 0)
    );
}
