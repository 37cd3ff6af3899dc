//! What proofs, keys and tokens say together, through the judge.

use std::collections::BTreeSet;

use super::super::super::testing::*;
use super::super::super::{FindingKind, Severity};
use super::*;

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
    let mut findings: Vec<Told> = Vec::new();
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
    let text: Vec<String> = findings.iter().map(|told| told.to_string()).collect();
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
