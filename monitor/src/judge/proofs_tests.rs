//! Proofs, keys and tokens over time, through the judge.

use std::collections::BTreeSet;

use super::super::testing::*;
use super::super::{Finding, FindingKind, Judge, Settings, Severity};
use super::*;
use crate::access::dpop::{Flaw, ProofId, Signature, Thumbprint};
use crate::access::{Confirmation, Credential, Location};

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

#[test]
fn keys_and_tokens_are_bounded() {
    let mut judge = judge();
    for n in 0..20_000_u32 {
        let mut access = access(n);
        let mut key = [0; 32];
        key[..4].copy_from_slice(&n.to_le_bytes());
        access.proof.as_mut().unwrap().thumbprint = Some(Thumbprint(key));
        access.credential = Some(credential(CredentialKind::Dpop, None, &n.to_string()));
        access.client = process(n + 10, &format!("/bin/{n}"));
        whole(&mut judge, &mut access);
    }
    let memory = judge.proof_memory();
    assert_eq!((memory.keys, memory.tokens), (KEYS, TOKENS));
    for n in 0..50 {
        shared(
            &mut judge,
            50_000 + n,
            NOW,
            process(n, &format!("/bin/{n}")),
        );
    }
}

#[test]
fn an_opaque_token_keeps_its_key() {
    let other = |access: &mut Access| {
        access.proof.as_mut().unwrap().thumbprint = Some(Thumbprint([8; 32]));
    };
    let mut judge = judge();
    let mut refused = access(1);
    other(&mut refused);
    refused.status = Some(401);
    assert_eq!(whole(&mut judge, &mut refused), none());
    assert_eq!(
        whole(&mut judge, &mut access(2)),
        none(),
        "what was refused pins nothing"
    );
    let mut changed = access(3);
    other(&mut changed);
    begin(&mut judge, &mut changed, true);
    let found = judged(&mut judge, &mut changed);
    assert_eq!(found[0].kind, FindingKind::ProofMismatch);
    assert!(found[0].title.contains("came with this token before"));
    let mut elsewhere = access(4);
    other(&mut elsewhere);
    elsewhere.credential = Some(credential(CredentialKind::Dpop, None, "another"));
    assert_eq!(whole(&mut judge, &mut elsewhere), none());
}

#[test]
fn bound_tokens_as_bearer() {
    let mut judge = judge();
    let bare = |confirmation, location| Access {
        credential: token(CredentialKind::Jwt, confirmation),
        location: Some(location),
        proof: None,
        ..access(0)
    };
    let key = || Some(Confirmation::Key("k".into()));
    let certificate = Some(Confirmation::Certificate("k".into()));
    assert_eq!(end(&mut judge, &mut bare(None, Location::Header)), none());
    assert_eq!(
        end(&mut judge, &mut bare(certificate, Location::Header)),
        none(),
        "the handshake shows that one"
    );
    assert_eq!(
        end(&mut judge, &mut bare(key(), Location::Header)),
        ["bound-token-as-bearer"]
    );
    assert!(end(&mut judge, &mut bare(key(), Location::Query)).contains(&"bound-token-as-bearer"));
    assert_eq!(end(&mut judge, &mut bare(key(), Location::Cookie)), none());
    let mut refused = bare(key(), Location::Header);
    refused.status = Some(401);
    assert_eq!(
        judged(&mut judge, &mut refused)[0].severity,
        Severity::Medium
    );
    let mut proved = bare(key(), Location::Header);
    proved.proof = Some(Box::new(proof(9)));
    assert_eq!(
        judged(&mut judge, &mut proved)[0].severity,
        Severity::Medium
    );
}

#[test]
fn dpop_tokens_without_a_proof() {
    let mut judge = judge();
    let mut bare = access(1);
    bare.proof = None;
    assert_eq!(end(&mut judge, &mut bare), ["proof-missing"]);
    bare.proof = Some(Box::new(Proof::unseen()));
    assert_eq!(end(&mut judge, &mut bare), none(), "its end was not seen");
}

#[test]
fn behind_a_gateway_the_proof_is_gone() {
    // Process 2 checks the proof and passes the token on, bare.
    let inner = |kind| {
        let mut inner = access(1);
        inner.time_us += 100;
        inner.client = inner.server.take();
        inner.server = process(3, "/usr/bin/backend");
        inner.proof = None;
        inner.credential = match kind {
            CredentialKind::Jwt => bound(),
            kind => token(kind, None),
        };
        inner
    };
    for kind in [CredentialKind::Jwt, CredentialKind::Dpop] {
        for known in [true, false] {
            let mut judge = judge();
            let mut outer = access(1);
            // The same token, whatever it was sent as.
            outer.credential = Some(Arc::new(Credential {
                kind: CredentialKind::Dpop,
                fingerprint: inner(kind).credential.unwrap().fingerprint,
                hint: None,
                claims: inner(kind).credential.unwrap().claims.clone(),
                default_identity: "x".into(),
            }));
            begin(&mut judge, &mut outer, known);
            assert_eq!(
                end(&mut judge, &mut inner(kind)),
                none(),
                "{kind:?} {known}"
            );
            assert_eq!(end(&mut judge, &mut outer), none());
            assert_eq!(end(&mut judge, &mut inner(kind)), none(), "again");
            let mut late = inner(kind);
            late.time_us += 400_000_000;
            assert_eq!(end(&mut judge, &mut late).len(), 1, "long after");
            let mut thief = inner(kind);
            thief.client = process(9, "/tmp/x");
            assert_eq!(end(&mut judge, &mut thief).len(), 1);
        }
    }
}

#[test]
fn mismatches() {
    let with = |change: fn(&mut Proof)| {
        let mut access = access(1);
        change(access.proof.as_mut().unwrap());
        whole(&mut judge(), &mut access)
    };
    assert_eq!(with(|_| {}), none());
    for flaw in Flaw::ALL {
        let mut access = access(1);
        access.proof.as_mut().unwrap().flaws.insert(flaw);
        assert_eq!(
            whole(&mut judge(), &mut access),
            ["proof-mismatch"],
            "{flaw:?}"
        );
    }
    assert_eq!(with(|p| p.issued = Some(NOW - 300)), none());
    assert_eq!(with(|p| p.issued = Some(NOW - 301)), ["proof-mismatch"]);
    assert_eq!(with(|p| p.issued = Some(NOW + 300)), none());
    assert_eq!(with(|p| p.issued = Some(NOW + 301)), ["proof-mismatch"]);
    assert_eq!(with(|p| p.issued = Some(i64::MIN)), ["proof-mismatch"]);
    assert_eq!(with(|p| p.issued = Some(i64::MAX)), ["proof-mismatch"]);
    assert_eq!(
        with(|p| (p.issued, p.nonce) = (Some(0), true)),
        none(),
        "the server dates it by its nonce"
    );
    assert_eq!(with(|p| p.signature = Signature::Unverified), none());
    assert_eq!(with(|p| p.signature = Signature::Unsupported), none());
}

#[test]
fn a_proof_without_a_credential_is_remembered() {
    let mut judge = judge();
    let mut request = access(1);
    request.credential = None;
    assert_eq!(whole(&mut judge, &mut request), none());
    assert_eq!(whole(&mut judge, &mut access(1)), ["proof-replayed"]);
}

#[test]
fn findings_read_well() {
    let mut judge = judge();
    let mut findings: Vec<Finding> = Vec::new();
    let mut bare = access(0);
    (bare.proof, bare.credential) = (None, bound());
    findings.extend(judged(&mut judge, &mut bare));
    bare.credential = token(CredentialKind::Dpop, None);
    findings.extend(judged(&mut judge, &mut bare));
    whole(&mut judge, &mut access(1));
    let mut again = access(1);
    again.time_us += 240_000_000;
    again.status = Some(401);
    findings.extend(judged(&mut judge, &mut again));
    let mut thief = access(2);
    thief.client = process(9, "/tmp/x");
    findings.extend(judged(&mut judge, &mut thief));
    let mut wrong = access(3);
    wrong.time_us += 86_400_000_000;
    let proof = wrong.proof.as_mut().unwrap();
    for flaw in Flaw::ALL {
        proof.flaws.insert(flaw);
    }
    proof.thumbprint = Some(Thumbprint([8; 32]));
    findings.extend(judged(&mut judge, &mut wrong));
    let mut ahead = access(4);
    ahead.proof.as_mut().unwrap().issued = Some(NOW + 600);
    findings.extend(judged(&mut judge, &mut ahead));
    let kinds: BTreeSet<_> = findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds.len(), 5);
    let text: Vec<String> = findings
        .iter()
        .map(|f| {
            format!(
                "{} {:?} {:?}\n  clause: {}\n  title:  {}\n  normal: {}\n  action: {}\n",
                f.kind.name(),
                f.severity,
                f.techniques,
                f.clause,
                f.title,
                f.normal,
                f.action
            )
        })
        .collect();
    insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("proofs", text.concat());
    });
}

mod anything {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn is_judged_without_panic_and_within_bounds(
            steps in prop::collection::vec(
                (0_u32..4, any::<i64>(), 0_u32..4, 0_u32..4, any::<bool>(), prop::option::of(any::<u64>())),
                0..60,
            ),
        ) {
            let mut judge = judge();
            let mut open = Vec::new();
            for (n, time_us, client, server, finish, duration) in steps {
                let mut access = access(n);
                (access.time_us, access.duration_us) = (time_us, duration);
                access.client = process(client, "/a").filter(|_| client > 0);
                access.server = process(server, "/b").filter(|_| server > 0);
                begin(&mut judge, &mut access, n % 2 == 0);
                open.push(access);
                if finish {
                    judged(&mut judge, &mut open.swap_remove(0));
                }
            }
            prop_assert!(judge.proof_memory().proofs <= 8);
        }
    }
}
