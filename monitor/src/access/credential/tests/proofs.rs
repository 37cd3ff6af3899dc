//! Proofs beside tokens, from the fields of a request.

use super::*;
use crate::access::Confirmation;
use crate::access::dpop::tests::{RESOURCE_REQUEST, THUMBPRINT, TOKEN};
use crate::access::dpop::{Flaw, Proof, Signature};

fn get(fields: &[(&str, &str)]) -> Recognised {
    let host = ("Host", "resource.example.org");
    recognise("/protectedresource?q=1", &[&[host], fields].concat())
}

fn flaws(proof: &Proof) -> Vec<&'static str> {
    proof.flaws.iter().map(Flaw::name).collect()
}

#[test]
fn the_example_of_the_rfc() {
    let token = format!("DPoP {TOKEN}");
    for name in ["DPoP", "dpop", "DPOP"] {
        let out = get(&[("Authorization", &token), (name, RESOURCE_REQUEST)]);
        let proof = out.proof.unwrap();
        assert_eq!((proof.signature, flaws(&proof)), (Signature::Valid, vec![]));
        assert_eq!(proof.thumbprint.unwrap().to_string(), THUMBPRINT);
        assert_eq!(out.found[out.bound].credential.kind, Dpop);
    }
}

#[test]
fn without_a_proof_there_is_none() {
    assert!(
        get(&[("Authorization", &format!("DPoP {TOKEN}"))])
            .proof
            .is_none()
    );
    assert!(get(&[]).proof.is_none());
}

#[test]
fn a_head_without_its_end_may_have_had_one() {
    let token = format!("DPoP {TOKEN}");
    let unseen = |fields: &[(&str, &str)]| {
        let request = request("/protectedresource", fields);
        let head = RequestHead {
            truncated: true,
            ..request.head()
        };
        let mut out = Recognised::new();
        recogniser().recognise(&head, &mut out);
        out.proof.map(|proof| proof.signature)
    };
    let dpop = ("Authorization", &*token);
    assert_eq!(unseen(&[dpop]), Some(Signature::Unseen));
    assert_eq!(unseen(&[("Authorization", "Bearer abc")]), None);
    let host = ("Host", "resource.example.org");
    assert_eq!(
        unseen(&[host, dpop, ("DPoP", RESOURCE_REQUEST)]),
        Some(Signature::Valid)
    );
}

#[test]
fn the_token_is_the_one_in_authorization() {
    let key = ("X-Api-Key", "0123456789abcdef0123456789abcdef");
    let dpop = format!("DPoP {TOKEN}");
    let proof = ("DPoP", RESOURCE_REQUEST);
    let out = get(&[key, ("Authorization", "DPoP other-token-here"), proof]);
    assert_eq!(flaws(&out.proof.unwrap()), ["ath"]);
    assert_eq!(out.found[out.bound].credential.kind, Dpop);
    let out = get(&[
        ("Authorization", "Basic YTpi"),
        ("X-Amz-Security-Token", "x"),
        proof,
    ]);
    assert_eq!(
        flaws(&out.proof.unwrap()),
        [""; 0],
        "no access token: no ath to compare"
    );
    // Sent under the wrong name, it is the token all the same.
    let out = get(&[("Authorization", &format!("Bearer {TOKEN}")), proof]);
    assert_eq!(flaws(&out.proof.unwrap()), [""; 0]);
    let out = get(&[
        ("Authorization", "Bearer other-token-here"),
        ("Authorization", &dpop),
        proof,
    ]);
    assert_eq!(flaws(&out.proof.unwrap()), [""; 0]);
    assert_eq!((out.bound, out.found.len()), (1, 2));
}

#[test]
fn the_key_that_a_jwt_names() {
    let proof = ("DPoP", RESOURCE_REQUEST);
    for (jkt, want) in [
        (THUMBPRINT, &["ath"][..]),
        (
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
            &["ath", "jkt"],
        ),
    ] {
        let token = jwt(&format!(r#"{{"sub":"x","cnf":{{"jkt":"{jkt}"}}}}"#));
        for scheme in ["DPoP", "Bearer"] {
            let out = get(&[("Authorization", &format!("{scheme} {token}")), proof]);
            assert_eq!(flaws(&out.proof.unwrap()), want);
            let bound = &out.found[out.bound].credential.claims.confirmation;
            assert_eq!(*bound, Some(Confirmation::Key(jkt.into())));
        }
    }
}

#[test]
fn more_than_one_proof_is_none() {
    let proof = ("DPoP", RESOURCE_REQUEST);
    for count in [2, 3, 20] {
        let out = get(&vec![proof; count]);
        assert_eq!(flaws(&out.proof.unwrap()), ["malformed"]);
    }
}

#[test]
fn hosts_that_proxies_tell_of() {
    let through = |name: &str, value: &str| {
        let fields = [
            ("Host", "127.0.0.1:8080"),
            (name, value),
            ("DPoP", RESOURCE_REQUEST),
        ];
        flaws(&recognise("/protectedresource", &fields).proof.unwrap())
    };
    assert_eq!(through("X-Other", "resource.example.org"), ["htu-host"]);
    assert_eq!(
        through("X-Forwarded-Host", "a, resource.example.org"),
        [""; 0]
    );
    assert_eq!(
        through(
            "Forwarded",
            "for=10.0.0.1;host=x, for=_a;host=\"resource.example.org\""
        ),
        [""; 0]
    );
}

#[test]
fn forms_of_the_target() {
    let at = |target: &str| {
        let fields = [("Host", "resource.example.org"), ("DPoP", RESOURCE_REQUEST)];
        flaws(&recognise(target, &fields).proof.unwrap())
    };
    assert_eq!(
        at("http://resource.example.org/protectedresource?x"),
        [""; 0]
    );
    assert_eq!(at("http://other.example/protectedresource"), ["htu-host"]);
    assert_eq!(at("/other"), ["htu-path"]);
    assert_eq!(at("*"), [""; 0]);
}

#[test]
fn rules_that_name_the_field_change_nothing() {
    let own = "[[credential]]\nname = 'own'\nheader = 'DPoP'\n";
    let table = CredentialTable::builtin().merge(CredentialTable::parse(own).unwrap());
    let mut recogniser = Recogniser::new(table, FingerprintKey::new([9; 32]));
    let mut out = Recognised::new();
    let fields = [("Host", "resource.example.org"), ("DPoP", RESOURCE_REQUEST)];
    recogniser.recognise(&request("/protectedresource", &fields).head(), &mut out);
    assert_eq!(out.found.len(), 0);
    assert!(out.proof.unwrap().flaws.is_empty());
    assert_eq!(recogniser.stats().proofs.verified, 1);
}

#[test]
fn one_that_is_filled_again_forgets_the_proof() {
    let mut recogniser = recogniser();
    let mut out = Recognised::new();
    let token = ("Authorization", "Bearer abc");
    for (fields, want) in [
        (&[token, ("DPoP", RESOURCE_REQUEST)][..], true),
        (&[token], false),
    ] {
        recogniser.recognise(&request("/", fields).head(), &mut out);
        assert_eq!(out.proof.is_some(), want);
    }
}
