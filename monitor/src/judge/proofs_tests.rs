//! Proofs, keys and tokens over time, through the judge.

use super::super::testing::*;
use super::super::{FindingKind, Judge, Settings};
use super::*;
use crate::access::dpop::{Flaw, ProofId, Signature, Thumbprint};
use crate::access::{Confirmation, Credential, Location};

#[path = "binding_tests.rs"]
mod binding;

/// Of the accesses: seconds since 1970.
const NOW: i64 = 1_000;

fn id(n: u32) -> ProofId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_le_bytes());
    ProofId(bytes)
}

/// A proof as it should be, made now.
fn proof(n: u32) -> Proof {
    Proof {
        signature: Signature::Valid,
        thumbprint: Some(Thumbprint([7; 32])),
        id: Some(id(n)),
        issued: Some(NOW),
        ..Proof::unseen()
    }
}

fn token(kind: CredentialKind, confirmation: Option<Confirmation>) -> Option<Arc<Credential>> {
    let plain = credential(kind, None, "nobody");
    let mut claims = plain.claims.clone();
    (claims.confirmation, claims.expires) = (confirmation, None);
    Some(Arc::new(Credential {
        kind,
        fingerprint: plain.fingerprint,
        hint: None,
        claims,
        default_identity: Arc::clone(&plain.default_identity),
    }))
}

fn bound() -> Option<Arc<Credential>> {
    token(CredentialKind::Jwt, Some(Confirmation::Key("k".into())))
}

fn process(pid: u32, exe: &str) -> Option<Endpoint> {
    let mut endpoint = workload(exe, Some("a.service")).unwrap();
    endpoint.pid = pid;
    Some(endpoint)
}

/// A DPoP access with proof `n`, from process 1 to process 2.
fn access(n: u32) -> Access {
    Access {
        credential: token(CredentialKind::Dpop, None),
        proof: Some(Box::new(proof(n))),
        client: process(1, "/usr/bin/app"),
        server: process(2, "/usr/bin/server"),
        role: Role::Both,
        ..usual()
    }
}

fn judge() -> Judge {
    judge_with(Settings::default())
}

/// The request begins, with what is known by then.
fn begin(judge: &mut Judge, access: &mut Access, server_known: bool) {
    let token = access.credential.as_ref().map(|c| c.fingerprint);
    let sighted = Sighted {
        time_us: access.time_us,
        token,
        role: access.role,
        client: access.client.as_ref(),
        server: access.server.as_ref().filter(|_| server_known),
        peer: &access.peer,
    };
    if let Some(proof) = access.proof.as_deref_mut() {
        judge.sighted(proof, &sighted);
    }
}

fn end(judge: &mut Judge, access: &mut Access) -> Vec<&'static str> {
    judged(judge, access)
        .iter()
        .map(|f| f.kind.name())
        .collect()
}

fn whole(judge: &mut Judge, access: &mut Access) -> Vec<&'static str> {
    begin(judge, access, true);
    end(judge, access)
}

fn none() -> Vec<&'static str> {
    Vec::new()
}

fn at(mut access: Access, second: i64) -> Access {
    access.time_us = second * 1_000_000;
    if let Some(proof) = &mut access.proof {
        proof.issued = Some(second);
    }
    access
}

#[test]
fn a_proof_is_used_once() {
    let mut judge = judge();
    assert_eq!(whole(&mut judge, &mut access(1)), none());
    assert_eq!(
        whole(&mut judge, &mut access(2)),
        none(),
        "a new one each time"
    );
    let mut again = access(1);
    again.time_us += 5_000_000;
    begin(&mut judge, &mut again, true);
    let found = judged(&mut judge, &mut again);
    assert_eq!(found[0].kind, FindingKind::ProofReplayed);
    assert!(
        found[0].title.contains("again 5 s after"),
        "{}",
        found[0].title
    );
    assert_eq!(
        whole(&mut judge, &mut access(1)),
        ["proof-replayed"],
        "a third time too"
    );
}

#[test]
fn also_from_another_process_or_host() {
    let mut judge = judge();
    whole(&mut judge, &mut access(1));
    let mut thief = access(1);
    thief.time_us += 1_000_000;
    thief.client = process(9, "/tmp/x");
    assert_eq!(whole(&mut judge, &mut thief), ["proof-replayed"]);
    let mut elsewhere = access(1);
    elsewhere.time_us += 2_000_000;
    (elsewhere.client, elsewhere.role) = (None, Role::Server);
    elsewhere.peer = peer("127.0.0.2:1");
    assert_eq!(whole(&mut judge, &mut elsewhere), ["proof-replayed"]);
    assert_eq!(
        whole(&mut judge, &mut elsewhere.clone()),
        ["proof-replayed"]
    );
}

#[test]
fn without_being_told_of_beginnings() {
    let mut judge = judge();
    assert_eq!(end(&mut judge, &mut access(1)), none());
    assert_eq!(end(&mut judge, &mut access(1)), ["proof-replayed"]);
}

#[test]
fn a_forged_proof_uses_nothing_up() {
    let mut judge = judge();
    for signature in [Signature::Invalid, Signature::Unread, Signature::Unseen] {
        let mut forged = access(1);
        if let Some(proof) = &mut forged.proof {
            proof.signature = signature;
        }
        whole(&mut judge, &mut forged);
    }
    assert_eq!(whole(&mut judge, &mut access(1)), none());
    let mut unverified = access(2);
    if let Some(proof) = &mut unverified.proof {
        proof.signature = Signature::Unverified;
    }
    assert_eq!(whole(&mut judge, &mut unverified), none());
    assert_eq!(whole(&mut judge, &mut access(2)), ["proof-replayed"]);
}

#[test]
fn what_got_no_answer_may_be_tried_again() {
    let mut judge = judge();
    let mut lost = access(1);
    (lost.status, lost.duration_us) = (None, None);
    whole(&mut judge, &mut lost);
    let mut again = access(1);
    again.time_us += 100;
    let mut thief = again.clone();
    thief.time_us += 1_000_000;
    assert_eq!(whole(&mut judge, &mut again), none());
    thief.client = process(9, "/tmp/x");
    assert_eq!(whole(&mut judge, &mut thief), ["proof-replayed"]);
}

/// Client 1 asks proxy 2, which asks server 3.
fn hop() -> (Access, Access) {
    let mut outer = access(1);
    outer.duration_us = Some(900);
    let mut inner = access(1);
    inner.time_us += 100;
    inner.duration_us = Some(200);
    inner.client = outer.server.clone();
    inner.server = process(3, "/usr/bin/backend");
    (outer, inner)
}

#[test]
fn a_proxy_passes_a_proof_on() {
    for known in [true, false] {
        let (mut outer, mut inner) = hop();
        let mut judge = judge();
        begin(&mut judge, &mut outer, known);
        begin(&mut judge, &mut inner, known);
        assert_eq!(end(&mut judge, &mut inner), none(), "{known}");
        assert_eq!(end(&mut judge, &mut outer), none(), "{known}");
        // Used again afterwards, it is a replay, also by the client or the proxy.
        for (seconds, again) in [(10, &outer), (20, &inner)] {
            let mut again = again.clone();
            again.time_us += seconds * 1_000_000;
            again.server = process(4, "/usr/bin/other");
            assert_eq!(whole(&mut judge, &mut again), ["proof-replayed"]);
        }
    }
}

#[test]
fn in_whatever_order_it_is_told() {
    let (mut outer, mut inner) = hop();
    let mut judge = judge();
    assert_eq!(end(&mut judge, &mut inner), none());
    assert_eq!(end(&mut judge, &mut outer), none());
    let (mut outer, mut inner) = hop();
    let mut judge = super::tests::judge();
    begin(&mut judge, &mut inner, true);
    begin(&mut judge, &mut outer, true);
    assert_eq!(end(&mut judge, &mut inner), none());
    assert_eq!(end(&mut judge, &mut outer), none());
}

#[test]
fn a_proxy_of_many_processes() {
    let (mut outer, mut inner) = hop();
    inner.client = process(22, "/usr/bin/server");
    let mut judge = judge();
    whole(&mut judge, &mut outer);
    assert_eq!(whole(&mut judge, &mut inner), none(), "within the request");
    let mut later = inner.clone();
    later.time_us += 10_000_000;
    assert_eq!(whole(&mut judge, &mut later), ["proof-replayed"]);
}

#[test]
fn a_proxy_that_answers_first_and_asks_later() {
    for (seconds, want) in [(5, none()), (20, vec!["proof-replayed"])] {
        let (mut outer, mut inner) = hop();
        inner.client = process(2, "/usr/bin/renamed");
        inner.time_us = outer.time_us + seconds * 1_000_000;
        let mut judge = judge();
        assert_eq!(whole(&mut judge, &mut outer), none());
        assert_eq!(whole(&mut judge, &mut inner), want, "{seconds} s later");
    }
}

#[test]
fn a_chain_of_proxies() {
    let (mut first, mut second) = hop();
    let mut third = second.clone();
    third.time_us += 50;
    third.duration_us = Some(20);
    third.client = second.server.clone();
    third.server = process(4, "/usr/bin/last");
    let mut judge = judge();
    for access in [&mut first, &mut second, &mut third] {
        begin(&mut judge, access, false);
    }
    for access in [&mut third, &mut second, &mut first] {
        assert_eq!(end(&mut judge, access), none());
    }
}

#[test]
fn seen_at_both_ends_of_another_host() {
    // Out through a proxy elsewhere, and back in here.
    let (mut out, mut back) = hop();
    (out.server, out.role) = (None, Role::Client);
    (back.client, back.role) = (None, Role::Server);
    let mut judge = judge();
    begin(&mut judge, &mut out, true);
    begin(&mut judge, &mut back, true);
    assert_eq!(end(&mut judge, &mut back), none());
    assert_eq!(end(&mut judge, &mut out), none());
}

#[test]
fn one_client_twice_at_once_is_no_proxy() {
    let mut judge = judge();
    let (mut one, mut two) = (access(1), access(1));
    begin(&mut judge, &mut one, true);
    begin(&mut judge, &mut two, true);
    assert_eq!(end(&mut judge, &mut two), ["proof-replayed"]);
    assert_eq!(end(&mut judge, &mut one), none());
}

#[test]
fn what_a_proxy_does_to_the_address_is_its_own_affair() {
    let rewritten = |access: &mut Access| {
        if let Some(proof) = &mut access.proof {
            proof.flaws.insert(Flaw::Host);
            proof.flaws.insert(Flaw::Path);
        }
    };
    let (mut outer, mut inner) = hop();
    rewritten(&mut inner);
    let mut judge = judge();
    begin(&mut judge, &mut outer, false);
    begin(&mut judge, &mut inner, false);
    assert_eq!(end(&mut judge, &mut inner), none());
    let mut alone = access(2);
    rewritten(&mut alone);
    assert_eq!(whole(&mut judge, &mut alone), ["proof-mismatch"]);
}

#[test]
fn remembers_for_the_window_and_no_more_than_it_may() {
    let mut judge = judge();
    let count = 3 * PROOFS as u32;
    for n in 0..count {
        whole(&mut judge, &mut at(access(n), NOW + i64::from(n) / 1000));
    }
    let memory = judge.proof_memory();
    assert!(memory.proofs <= 2 * PROOFS, "{memory:?}");
    assert!(memory.proofs_forgotten > 0);
    assert_eq!((memory.keys, memory.tokens), (1, 1));
    let newest = NOW + i64::from(count) / 1000;
    assert_eq!(
        whole(&mut judge, &mut at(access(count - 1), newest)),
        ["proof-replayed"]
    );
    // With time everything goes, and is not counted as forgotten.
    let before = judge.proof_memory().proofs_forgotten;
    for step in 1..=3 {
        whole(
            &mut judge,
            &mut at(access(count + step), newest + 400 * i64::from(step)),
        );
    }
    let memory = judge.proof_memory();
    assert_eq!((memory.proofs, memory.proofs_forgotten), (2, before));
}

#[test]
fn another_judge_takes_the_memory_over() {
    let mut old = judge();
    whole(&mut old, &mut access(1));
    let mut new = judge_with(Settings {
        proof_window_s: 10,
        ..Settings::default()
    });
    new.inherit(&mut old);
    assert_eq!(whole(&mut new, &mut access(1)), ["proof-replayed"]);
    assert_eq!(
        whole(&mut new, &mut at(access(2), NOW + 20)),
        none(),
        "made at the same time"
    );
    let mut late = access(3);
    late.time_us += 11_000_000;
    assert_eq!(
        whole(&mut new, &mut late),
        ["proof-mismatch"],
        "its own window"
    );
}

fn shared(judge: &mut Judge, n: u32, second: i64, client: Option<Endpoint>) -> Vec<&'static str> {
    let mut access = at(access(n), second);
    access.client = client;
    whole(judge, &mut access)
}

#[test]
fn two_workloads_with_one_key() {
    let mut judge = judge();
    let app = || process(1, "/usr/bin/app");
    let thief = || process(9, "/tmp/x");
    assert_eq!(shared(&mut judge, 1, NOW, app()), none());
    assert_eq!(shared(&mut judge, 2, NOW, app()), none());
    assert_eq!(shared(&mut judge, 3, NOW + 9, thief()), ["key-shared"]);
    assert_eq!(
        shared(&mut judge, 4, NOW + 9, app()),
        none(),
        "it was first"
    );
    assert_eq!(shared(&mut judge, 5, NOW + 9, thief()), ["key-shared"]);
    assert_eq!(
        shared(&mut judge, 6, NOW + 9 + 3601, thief()),
        none(),
        "nobody else within the window"
    );
    assert_eq!(shared(&mut judge, 7, NOW + 9 + 3601, app()), ["key-shared"]);
}

#[test]
fn started_anew_is_not_stolen() {
    let mut judge = judge();
    let container = |name: &str| {
        let mut end = process(1, "/usr/bin/app").unwrap();
        let mut workload = (*end.workload).clone();
        workload.container = Some(name.into());
        end.workload = Arc::new(workload);
        Some(end)
    };
    assert_eq!(shared(&mut judge, 1, NOW, container("a")), none());
    assert_eq!(shared(&mut judge, 2, NOW + 1, container("b")), none());
    assert_eq!(shared(&mut judge, 3, NOW + 2, container("b")), none());
    assert_eq!(
        shared(&mut judge, 4, NOW + 3, container("a")),
        ["key-shared"],
        "both run"
    );
    assert_eq!(
        shared(&mut judge, 5, NOW + 4, container("b")),
        ["key-shared"]
    );
}

#[test]
fn a_proxy_shares_no_key() {
    let mut judge = judge();
    for n in 0..5 {
        let (outer, inner) = hop();
        let mut both = [outer, inner].map(|access| at_proof(access, n));
        for access in &mut both {
            begin(&mut judge, access, n > 2);
        }
        let [mut outer, mut inner] = both;
        assert_eq!(end(&mut judge, &mut inner), none());
        assert_eq!(end(&mut judge, &mut outer), none());
    }
}

fn at_proof(mut access: Access, n: u32) -> Access {
    if let Some(proof) = &mut access.proof {
        proof.id = Some(id(n));
    }
    access
}

#[test]
fn unknown_workloads_and_unverified_keys_are_not_compared() {
    let mut judge = judge();
    shared(&mut judge, 1, NOW, process(1, "/usr/bin/app"));
    assert_eq!(shared(&mut judge, 2, NOW, process(9, "")), none());
    let mut remote = access(3);
    (remote.client, remote.role) = (None, Role::Server);
    assert_eq!(whole(&mut judge, &mut remote), none());
    let mut unverified = access(4);
    unverified.client = process(9, "/tmp/x");
    if let Some(proof) = &mut unverified.proof {
        proof.signature = Signature::Unverified;
    }
    assert_eq!(whole(&mut judge, &mut unverified), none());
}
