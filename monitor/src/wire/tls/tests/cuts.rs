//! Records cut, captured in part, doubled, out of order, damaged: whatever can come.

use std::sync::OnceLock;

use proptest::collection::vec;
use proptest::prelude::*;
use rustls::crypto::ring::cipher_suite;

use super::peers::{CONVERSATION, Pair};
use super::tape::{Cut, Event, Known, Play, Step, steps};
use crate::wire::Dir;
use crate::wire::tls::{Label, MAX_TRIALS, Secret};

/// Conversations of either version in which head and body share a record.
fn talks() -> &'static [Vec<Event>; 2] {
    static TALKS: OnceLock<[Vec<Event>; 2]> = OnceLock::new();
    TALKS.get_or_init(|| {
        [
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        ]
        .map(|suite| {
            let mut talk = Pair::new(&[suite]).connect();
            talk.run();
            for (path, asked, status, answered) in [
                ("/a", 0, 200, 5_000),
                ("/b", 7_000, 404, 30),
                ("/c", 40_000, 500, 0),
            ] {
                talk.ask_at_once(path, asked);
                talk.answer_at_once(status, answered);
            }
            talk.events
        })
    })
}

/// A record's chunks: cut at `cuts`, captured up to `cap`.
fn cut(whole: &Cut, cuts: &[usize], cap: usize) -> Vec<Cut> {
    let clear = whole.data[0] != 23;
    let kept = if clear || whole.length <= 1_200 {
        usize::MAX
    } else {
        cap + 5
    };
    let end = whole.data.len().min(kept);
    let mut at = 0;
    let mut out = Vec::new();
    let mut cuts = cuts.iter().cycle();
    while at < end {
        let next = (at + cuts.next().unwrap()).min(end);
        out.push(Cut {
            at: at as u32,
            data: whole.data[at..next].to_vec(),
            ..whole.clone()
        });
        at = next;
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// The same heads come out, however records are cut and captured.
    #[test]
    fn any_cuts(
        version in 0..2_usize,
        cuts in vec(prop_oneof![Just(5_usize), 1_usize..30, 30_usize..6_000], 1..12),
        cap in 100_usize..4_000,
        randoms in any::<bool>(),
        twice in vec(any::<bool>(), 1..10),
        late in any::<bool>(),
    ) {
        let mut play = Play::new();
        let mut twice = twice.iter().cycle();
        let mut all = Vec::new();
        for step in steps(&talks()[version], usize::MAX - 5) {
            match step {
                Step::Chunk(whole) => {
                    for chunk in cut(&whole, &cuts, cap) {
                        all.push(Step::Chunk(chunk.clone()));
                        if *twice.next().unwrap() {
                            all.push(Step::Chunk(chunk));
                        }
                    }
                }
                Step::Secret(known) => {
                    let random = known.random.filter(|_| randoms);
                    all.push(Step::Secret(Known { random, ..known }));
                }
            }
        }
        if late && cap < 400 {
            all.sort_by_key(|step| matches!(step, Step::Secret(_)));
        }
        for step in &all {
            play.step(step);
        }
        prop_assert_eq!(play.lines(), CONVERSATION);
        prop_assert_eq!(&play.out.said.anomalies, &vec![]);
        prop_assert_eq!(play.session.counts().bad_tags, 0);
        prop_assert_eq!(play.session.counts().lost, 0);
    }

    /// A chunk that is overtaken within its direction is waited for.
    #[test]
    fn overtaken(version in 0..2_usize, swaps in vec(any::<bool>(), 3..30)) {
        let mut all: Vec<Step> = steps(&talks()[version], 3_000);
        let mut swaps = swaps.iter().cycle();
        let mut at = 0;
        while at + 1 < all.len() {
            let same = match (&all[at], &all[at + 1]) {
                (Step::Chunk(a), Step::Chunk(b)) => a.dir == b.dir,
                _ => false,
            };
            if same && *swaps.next().unwrap() {
                all.swap(at, at + 1);
                at += 1;
            }
            at += 1;
        }
        let mut play = Play::new().steps(&all);
        prop_assert_eq!(play.lines(), CONVERSATION);
        prop_assert_eq!(play.session.counts().lost, 0);
        prop_assert_eq!(play.out.losses, 0);
    }

    /// Lost, doubled, damaged, exchanged, with wrong secrets: no panic, and bounds are kept.
    #[test]
    fn hostile(
        version in 0..2_usize,
        deeds in vec((any::<prop::sample::Index>(), 0_u8..9, any::<u16>()), 1..30),
        settles in any::<bool>(),
        cap in 0_usize..3_000,
    ) {
        let mut all = steps(&talks()[version], cap);
        for (at, deed, number) in deeds {
            let at = at.index(all.len());
            let other = usize::from(number) % all.len();
            match (deed, &mut all[at]) {
                (0, _) => {
                    all.remove(at);
                }
                (1, _) => all.swap(at, other),
                (2, Step::Chunk(cut)) => {
                    let copy = cut.clone();
                    all.insert(other, Step::Chunk(copy));
                }
                (3, Step::Chunk(cut)) => cut.length = number,
                (4, Step::Chunk(cut)) => cut.outer = number as u8,
                (5, Step::Chunk(cut)) => cut.record = cut.record.wrapping_add(u32::from(number)),
                (6, Step::Chunk(cut)) => cut.at = u32::from(number),
                (7, Step::Chunk(cut)) if !cut.data.is_empty() => {
                    let at = usize::from(number) % cut.data.len();
                    cut.data[at] ^= 0x55;
                }
                (8, Step::Secret(known)) => {
                    known.random = None;
                    let at = usize::from(number) % known.value.len();
                    known.value[at] ^= u8::from(number % 2 == 0);
                }
                _ => {}
            }
            if all.is_empty() {
                break;
            }
        }
        let mut play = Play::new();
        play.settles = settles;
        for step in &all {
            play.step(step);
        }
        prop_assert!(play.session.counts().trials <= MAX_TRIALS);
        let mut ring = std::mem::take(&mut play.ring);
        play.session.close(&mut ring, &mut play.out);
        prop_assert_eq!(ring.stats().waiting, 0);
        prop_assert!(play.session.memory() < 200);
    }

    /// Any bytes as records, any secrets.
    #[test]
    fn any_chunks(chunks in vec((any::<bool>(), 0_u32..9, 0_u32..20, 0_u16..2_000, 19_u8..25, vec(any::<u8>(), 0..100)), 0..60)) {
        let mut play = Play::new();
        for (up, record, at, length, outer, data) in chunks {
            if outer == 19 {
                let known = Known {
                    label: [Label::Master12, Label::ClientTraffic, Label::ServerHandshake][record as usize % 3],
                    random: None,
                    value: vec![at as u8; 32 + 16 * (length as usize % 2)],
                };
                play.secret(known.new_secret(u64::from(length)));
                continue;
            }
            let dir = if up { Dir::ToServer } else { Dir::ToClient };
            play.chunk(&Cut { dir, record, at, length, outer, data, passed: None });
        }
        play.lines();
    }
}

#[test]
fn secrets_are_not_formatted() {
    let new = Known {
        label: Label::ClientTraffic,
        random: None,
        value: b"planted secret that nobody shows".to_vec(),
    }
    .new_secret(1);
    let shown = format!("{new:?} {:?}", Secret::new(b"planted").unwrap());
    assert!(
        !shown.contains("planted") && !shown.contains("112, 108"),
        "{shown}"
    );
}
