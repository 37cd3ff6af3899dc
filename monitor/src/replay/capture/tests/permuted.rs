//! However a conversation's segments are split, repeated and mixed, it comes to the same accesses.

use proptest::prelude::*;
use proptest::test_runner::TestRng;

use super::made::{SYN, Seg};
use super::*;

/// Splits segments at these places, repeats some, and mixes them all.
fn mixed(segs: &[Seg], cuts: &[(u8, u8)], again: &[u8], mix: u64) -> Vec<Seg> {
    let mut parts: Vec<Seg> = segs.to_vec();
    for (which, place) in cuts {
        let at = usize::from(*which) % parts.len();
        let part = &parts[at];
        if part.data.len() < 2 || part.flags & SYN != 0 {
            continue;
        }
        let place = 1 + usize::from(*place) % (part.data.len() - 1);
        let mut front = part.clone();
        let mut back = part.clone();
        front.data.truncate(place);
        front.flags = made::ACK;
        back.data.drain(..place);
        back.seq = back.seq.wrapping_add(place as u32);
        parts.splice(at..=at, [front, back]);
    }
    for which in again {
        let at = usize::from(*which) % parts.len();
        parts.push(parts[at].clone());
    }
    let mut rng = TestRng::from_seed(
        proptest::test_runner::RngAlgorithm::ChaCha,
        &[mix.to_le_bytes(); 4].concat(),
    );
    for at in (1..parts.len()).rev() {
        parts.swap(at, rng.random_range(0..=at));
    }
    parts
}

/// All that accesses say, times among it, sorted.
fn all(segs: &[Seg]) -> (Vec<String>, CaptureSummary) {
    let (made, summary) = read(&made::ethernet(segs));
    let mut said: Vec<String> = made
        .iter()
        .map(|access| {
            format!(
                "{} {:?} {}",
                access.time_us,
                access.duration_us,
                said(access)
            )
        })
        .collect();
    said.sort();
    (said, summary)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_order_splitting_and_repetition_comes_to_the_same(
        cuts in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..25),
        again in proptest::collection::vec(any::<u8>(), 0..20),
        mix in any::<u64>(),
        client in any::<u32>(),
        server in any::<u32>(),
    ) {
        let talk = Talk::new("10.0.0.1:40000", "10.0.0.2:80")
            .at(client, server)
            .open()
            .send(0, GET)
            .send(1, OK)
            .send(0, POST)
            .send(1, CREATED)
            .send(0, GET.replace("orders", "things"))
            .send(1, format!("HTTP/1.1 404 No\r\nContent-Length: 2000\r\n\r\n{}", "n".repeat(2000)))
            .close();
        let (wanted, _) = all(&talk.segs);
        prop_assert_eq!(wanted.len(), 3);
        let parts = mixed(&talk.segs, &cuts, &again, mix);
        prop_assert!(parts.len() <= 64);
        let (said, summary) = all(&parts);
        prop_assert_eq!(said, wanted);
        prop_assert_eq!((summary.lost_bytes, summary.connections, summary.midway), (0, 1, 0));
    }

    #[test]
    fn any_loss_makes_nothing_up(
        lost in proptest::collection::vec(any::<u8>(), 1..6),
        mix in any::<u64>(),
        stir in any::<bool>(),
    ) {
        let mut segs = two().segs;
        let (wanted, _) = all(&segs);
        for which in lost {
            if segs.len() > 1 {
                segs.remove(usize::from(which) % segs.len());
            }
        }
        if stir {
            segs = mixed(&segs, &[], &[], mix);
        }
        let (made, _) = read(&made::ethernet(&segs));
        // What there is was there: the request, and the answer that belongs to it or none.
        for access in &made {
            let whole = said(access);
            let unanswered = whole.replace(" - ", " 200 ");
            let created = whole.replace(" - ", " 201 ");
            prop_assert!(
                wanted.iter().any(|wanted| [&whole, &unanswered, &created].iter().any(|said| wanted.ends_with(*said))),
                "{whole} {wanted:?}"
            );
        }
        prop_assert!(made.len() <= 2);
    }
}
