//! Key schedules, and the keyring.

use super::traces::unhex;
use crate::wire::tls::keyring::RESERVED;
use crate::wire::tls::schedule::{expand_label, prf};
use crate::wire::tls::suite::Hash;
use crate::wire::tls::{Keyring, Label, MAX_OFFERS, MAX_PENDING, NewSecret, SECRET_LIFE, Secret};

#[test]
fn keys_of_rfc8448() {
    for (secret, key, iv) in [
        (
            "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38",
            "3fce516009c21727d0f2e4e86ee403bc",
            "5d313eb2671276ee13000b30",
        ),
        (
            "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
            "17422dda596ed5d9acd890e3c63f5051",
            "5b78923dee08579033e523d9",
        ),
    ] {
        let secret = unhex(secret);
        let (mut found_key, mut found_iv) = ([0; 16], [0; 12]);
        expand_label(Hash::Sha256, &secret, b"key", &mut found_key).unwrap();
        expand_label(Hash::Sha256, &secret, b"iv", &mut found_iv).unwrap();
        assert_eq!(found_key.to_vec(), unhex(key));
        assert_eq!(found_iv.to_vec(), unhex(iv));
    }
    assert!(expand_label(Hash::Sha256, b"", b"key", &mut [0; 33]).is_none());
}

/// The vector for P_SHA256 that was published on the TLS working group's list.
#[test]
fn prf_of_tls12() {
    let mut out = [0; 100];
    prf(
        Hash::Sha256,
        &unhex("9bbe436ba940f017b17652849a71db35"),
        b"test label",
        [&unhex("a0ba9f936cda311827a6f796ffd5198c"), &[]],
        &mut out,
    )
    .unwrap();
    let want = "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af\
                0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701\
                87347b66";
    assert_eq!(out.to_vec(), unhex(want));
}

fn secret(n: u32, tgid: u32, socket: u64, random: Option<u8>, time: u64) -> NewSecret {
    NewSecret {
        label: Label::ClientTraffic,
        client_random: random.map(|byte| [byte; 32]),
        server_random: None,
        value: Secret::new(&[&n.to_be_bytes()[..], &[9; 28]].concat()).unwrap(),
        tgid,
        socket_hint: socket,
        time,
    }
}

#[test]
fn who_is_offered_a_secret() {
    let mut ring = Keyring::new();
    ring.wait(1, Some([1; 32]), &[(7, 70)]);
    ring.wait(2, Some([2; 32]), &[(7, 71), (8, 80)]);
    ring.wait(3, None, &[(8, 81)]);
    assert_eq!(ring.add(secret(1, 7, 0, Some(2), 0)).as_slice(), [2]);
    assert_eq!(ring.add(secret(2, 7, 70, None, 0)).as_slice(), [1]);
    assert_eq!(ring.add(secret(3, 7, 0, None, 0)).as_slice(), [2, 1]);
    assert_eq!(ring.add(secret(4, 8, 81, None, 0)).as_slice(), [3]);
    assert!(ring.add(secret(5, 9, 0, None, 0)).is_empty());
    // The other end's copy goes to the other end's connection.
    assert_eq!(ring.add(secret(5, 8, 80, None, 0)).as_slice(), [2]);
    assert_eq!(ring.stats().duplicates, 1);
    ring.forget(2);
    // Its socket has not been met: it is looked for when it is.
    assert!(ring.add(secret(6, 8, 80, None, 0)).is_empty());
    for id in 100..200 {
        ring.wait(id, None, &[(7, 0)]);
    }
    assert_eq!(ring.add(secret(7, 7, 0, None, 0)).len(), MAX_OFFERS);
    let exporter = NewSecret {
        label: Label::Exporter,
        ..secret(8, 7, 0, None, 0)
    };
    assert!(ring.add(exporter).is_empty());
    assert_eq!(ring.stats().pending, 7);
}

#[test]
fn secrets_expire_and_are_bounded() {
    let mut ring = Keyring::new();
    ring.wait(1, None, &[(7, 70)]);
    ring.add(secret(1, 7, 70, None, 0));
    ring.add(secret(2, 7, 99, None, 0));
    ring.expire(SECRET_LIFE - 1);
    assert_eq!(ring.stats().pending, 2);
    // An idle connection's is kept while it waits.
    ring.expire(SECRET_LIFE);
    assert_eq!((ring.stats().pending, ring.stats().expired), (1, 1));
    ring.forget(1);
    ring.expire(SECRET_LIFE);
    assert_eq!((ring.stats().pending, ring.stats().expired), (0, 2));
    for n in 0..MAX_PENDING as u32 + 100 {
        ring.add(secret(n, 7, 0, Some(1), SECRET_LIFE));
    }
    assert_eq!(
        (ring.stats().pending, ring.stats().evicted),
        (MAX_PENDING, 100)
    );
    ring.expire(3 * SECRET_LIFE);
    assert_eq!(ring.stats().pending, 0);
}

/// Numbers of the secrets that a search looks at.
fn seen(ring: &mut Keyring, ends: &[(u32, u64)], after: u64) -> Vec<u64> {
    let mut ids = Vec::new();
    // Long enough for all sockets to have been met.
    ring.expire(RESERVED);
    let found = ring.search(
        ends,
        Some(&[1; 32]),
        Label::ClientTraffic,
        after,
        |id, _| {
            ids.push(id);
            (1, false)
        },
    );
    assert!(found.is_none());
    ids
}

/// A busy server derives the next connection's secrets before the last one's records have been read, and
/// seems to do so for the last one's socket.
#[test]
fn what_another_connection_needs_is_not_discarded() {
    let mut ring = Keyring::new();
    ring.add(secret(1, 8, 80, Some(1), 0));
    ring.add(secret(2, 8, 80, Some(2), 0));
    ring.add(secret(3, 8, 80, None, 0));
    ring.add(secret(4, 8, 80, None, 0));
    ring.add(secret(4, 7, 71, None, 0));
    ring.discard(&[(7, 70), (8, 80)], Some(&[1; 32]));
    assert_eq!(ring.stats().unneeded, 2);
    assert!(
        ring.take(&[], &[1; 32], None, Label::ClientTraffic)
            .is_none()
    );
    assert!(
        ring.take(&[(8, 80)], &[2; 32], None, Label::ClientTraffic)
            .is_some()
    );
    assert_eq!(seen(&mut ring, &[(7, 71)], 0).len(), 1);
    // Both ends are this connection's: nobody else needs it.
    ring.add(secret(5, 8, 80, None, 0));
    ring.add(secret(5, 7, 70, None, 0));
    ring.discard(&[(7, 70), (8, 80)], None);
    assert_eq!(ring.stats().unneeded, 3);
}

/// One TLS connection over two of TCP: both get the secret, whether the other end's copy comes before or
/// after the first has joined; a third copy is none.
#[test]
fn both_sides_of_a_relay_get_a_secret() {
    let found = |ring: &mut Keyring, ends: &[(u32, u64)]| {
        let label = Label::ClientTraffic;
        let secret = ring.search(ends, None, label, 0, |_, _| (1, true));
        secret.map(|secret| secret.expose().to_vec())
    };
    for late in [false, true] {
        let mut ring = Keyring::new();
        let (near, far) = ([(7, 70), (6, 60)], [(6, 61), (8, 80)]);
        ring.add(secret(1, 7, 70, None, 0));
        if !late {
            ring.add(secret(1, 8, 80, None, 0));
        }
        let first = found(&mut ring, &near);
        assert!(first.is_some());
        if late {
            ring.add(secret(1, 8, 80, None, 0));
        }
        assert_eq!(found(&mut ring, &near), None);
        assert_eq!(found(&mut ring, &far), first);
        assert!(ring.add(secret(1, 8, 80, None, 0)).is_empty());
        assert_eq!(ring.stats().pending, 0);
    }
}

#[test]
fn the_hinted_secret_is_tried_first() {
    let mut ring = Keyring::new();
    ring.wait(1, None, &[(7, 70)]);
    ring.wait(2, None, &[(7, 71)]);
    for (n, socket, random) in [
        (1, 70, None),
        (2, 71, None),
        (3, 0, None),
        (4, 0, Some(1)),
        (5, 0, Some(2)),
        (6, 99, None),
    ] {
        ring.add(secret(n, 7, socket, random, 0));
    }
    for n in 0..1_000 {
        ring.add(secret(100 + n, 8, 0, None, 0));
    }
    // Not the one with another's random, nor the one for another socket that waits.
    assert_eq!(seen(&mut ring, &[(7, 70)], 0), [1, 6, 4, 3]);
    assert_eq!(seen(&mut ring, &[(7, 70)], 3), [6, 4]);
    assert_eq!(seen(&mut ring, &[(7, 71)], 0), [2, 6, 4, 3, 1]);
    // That has tried it: others may.
    assert_eq!(seen(&mut ring, &[(7, 70)], 0), [1, 6, 4, 3, 2]);
    assert!(seen(&mut ring, &[(9, 90)], 0).is_empty());
    for _ in 0..200 {
        seen(&mut ring, &[(7, 70)], 0);
    }
    assert!(seen(&mut ring, &[(7, 70)], 0).is_empty());
    assert_eq!(ring.stats().tired, 5);
    ring.discard(&[(7, 70), (7, 71)], Some(&[1; 32]));
    assert_eq!(ring.stats().unneeded, 3);
    // What was discarded is known when it comes again.
    ring.add(secret(1, 9, 0, None, 0));
    assert_eq!(ring.stats().duplicates, 1);
}

/// A busy process derives the secrets of sockets that have not been met: others leave them alone for a
/// moment.
#[test]
fn a_secret_is_reserved_for_its_socket_at_first() {
    let mut ring = Keyring::new();
    ring.add(secret(1, 7, 70, None, 1_000));
    let look = |ring: &mut Keyring, sock| {
        let mut tried = 0;
        ring.search(&[(7, sock)], None, Label::ClientTraffic, 0, |_, _| {
            tried += 1;
            (1, false)
        });
        tried
    };
    assert_eq!((look(&mut ring, 71), look(&mut ring, 70)), (0, 1));
    ring.expire(1_000 + RESERVED);
    assert_eq!(look(&mut ring, 71), 1);
}
