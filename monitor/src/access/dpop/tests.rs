#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may fail loudly"
)]

use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA384, RsaKeyPair,
    RsaPublicKeyComponents,
};

use super::*;

/// RFC 9449 §4.1, figure 2.
const TOKEN_REQUEST: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik\
    VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR\
    nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE\
    QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIj\
    oiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwia\
    WF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg\
    4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
/// RFC 9449 §7.1, figure 13.
pub(crate) const RESOURCE_REQUEST: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik\
    VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR\
    nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE\
    QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj\
    oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z\
    WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF\
    c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E\
    OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
/// The token with it.
pub(crate) const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
/// RFC 9449 §6.1, figure 9: the thumbprint of the key in both.
pub(crate) const THUMBPRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

/// 2048 bits, made for these tests with `openssl genpkey`.
const RSA: &[u8] = include_bytes!("fixtures/rsa2048.der");

fn checker() -> Checker {
    Checker::new(&FingerprintKey::new([5; 32]), 1_000_000)
}

fn asked<'a>(method: &'a str, host: &'a str, path: &'a str) -> Asked<'a> {
    Asked {
        method,
        host,
        forwarded: &[],
        path: Some(path.as_bytes()),
        token: None,
    }
}

fn resource() -> Asked<'static> {
    Asked {
        token: Some(Token::new(TOKEN.as_bytes(), Some(THUMBPRINT), true)),
        ..asked("GET", "resource.example.org", "/protectedresource")
    }
}

fn flaws(proof: &Proof) -> Vec<&'static str> {
    proof.flaws.iter().map(Flaw::name).collect()
}

fn base64(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A key that signs.
enum Signer {
    Ec(EcdsaKeyPair, &'static str, &'static str),
    Ed(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>, &'static str),
}

impl Signer {
    fn ec(how: &'static EcdsaSigningAlgorithm, alg: &'static str, curve: &'static str) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(how, document.as_ref(), &random).unwrap();
        Self::Ec(pair, alg, curve)
    }

    fn es256() -> Self {
        Self::ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "ES256", "P-256")
    }

    fn es384() -> Self {
        Self::ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "ES384", "P-384")
    }

    fn ed25519() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    fn rsa(alg: &'static str) -> Self {
        Self::Rsa(Box::new(RsaKeyPair::from_der(RSA).unwrap()), alg)
    }

    fn alg(&self) -> &'static str {
        match self {
            Self::Ec(_, alg, _) | Self::Rsa(_, alg) => alg,
            Self::Ed(_) => "EdDSA",
        }
    }

    fn jwk(&self) -> String {
        match self {
            Self::Ec(pair, _, curve) => {
                let (x, y) =
                    pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
                let (x, y) = (base64(x), base64(y));
                format!(r#"{{"kty":"EC","crv":"{curve}","x":"{x}","y":"{y}"}}"#)
            }
            Self::Ed(pair) => {
                let x = base64(pair.public_key());
                format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)
            }
            Self::Rsa(pair, _) => {
                let key = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                let (n, e) = (base64(key.n), base64(key.e));
                format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#)
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(pair, ..) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(pair, alg) => {
                let mut out = vec![0; pair.public().modulus_len()];
                let padding: &dyn ring::signature::RsaEncoding = match *alg {
                    "RS256" => &RSA_PKCS1_SHA256,
                    _ => &RSA_PSS_SHA384,
                };
                pair.sign(padding, &random, message, &mut out).unwrap();
                out
            }
        }
    }

    fn proof(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64(header), base64(claims));
        format!("{signed}.{}", base64(self.sign(signed.as_bytes())))
    }

    fn usual(&self, claims: &str) -> String {
        let (alg, jwk) = (self.alg(), self.jwk());
        self.proof(
            &format!(r#"{{"typ":"dpop+jwt","alg":"{alg}","jwk":{jwk}}}"#),
            claims,
        )
    }
}

const CLAIMS: &str = r#"{"jti":"1","htm":"GET","htu":"https://a.example/x","iat":1700000000}"#;

fn check(proof: &str) -> Proof {
    checker().check(&[proof.as_bytes()], &asked("GET", "a.example", "/x"))
}

#[test]
fn the_examples_of_the_rfc() {
    let token = checker().check(
        &[TOKEN_REQUEST.as_bytes()],
        &asked("POST", "server.example.com", "/token"),
    );
    assert_eq!((token.signature, flaws(&token)), (Signature::Valid, vec![]));
    assert_eq!(token.issued, Some(1_562_262_616));
    assert_eq!(token.thumbprint.unwrap().to_string(), THUMBPRINT);

    let proof = checker().check(&[RESOURCE_REQUEST.as_bytes()], &resource());
    assert_eq!((proof.signature, flaws(&proof)), (Signature::Valid, vec![]));
    assert_eq!(proof.issued, Some(1_562_262_618));
    assert_eq!(proof.thumbprint, token.thumbprint);
    assert_ne!(proof.id, token.id);
    assert!(!proof.nonce);
    let ath = encoded(&Token::new(TOKEN.as_bytes(), None, true).hash);
    assert_eq!(&ath, b"fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
}

/// RFC 7638 §3.1.
#[test]
fn the_thumbprint_of_the_rfc() {
    let jwk = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
    let jwk: jose::Jwk<'_> = serde_json::from_str(jwk).unwrap();
    assert_eq!(
        jwk.thumbprint().unwrap().to_string(),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
}

/// RFC 8037 appendix A.3.
#[test]
fn the_thumbprint_of_an_edwards_curve() {
    let jwk = r#"{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let jwk: jose::Jwk<'_> = serde_json::from_str(jwk).unwrap();
    assert_eq!(
        jwk.thumbprint().unwrap().to_string(),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
}

#[test]
fn every_algorithm() {
    for signer in [
        Signer::es256(),
        Signer::es384(),
        Signer::ed25519(),
        Signer::rsa("RS256"),
        Signer::rsa("PS384"),
    ] {
        let proof = check(&signer.usual(CLAIMS));
        assert_eq!(
            (proof.signature, flaws(&proof)),
            (Signature::Valid, vec![]),
            "{}",
            signer.alg()
        );
        // The same key, but another text was signed.
        let other = signer.usual(&CLAIMS.replace("17", "18"));
        let mixed: Vec<&str> = signer.usual(CLAIMS).leak().split('.').collect();
        let mixed = format!(
            "{}.{}.{}",
            mixed[0],
            mixed[1],
            other.rsplit('.').next().unwrap()
        );
        let proof = check(&mixed);
        assert_eq!(
            (proof.signature, flaws(&proof)),
            (Signature::Invalid, vec!["signature"])
        );
    }
}

#[test]
fn what_the_proof_is_for() {
    let signer = Signer::es256();
    let proof = signer.usual(CLAIMS);
    let fields = [proof.as_bytes()];
    for (method, host, path, want) in [
        ("GET", "a.example", "/x", &[][..]),
        ("get", "a.example", "/x", &["htm"]),
        ("POST", "a.example", "/x", &["htm"]),
        ("GET", "b.example", "/x", &["htu-host"]),
        ("GET", "a.example", "/y", &["htu-path"]),
        ("GET", "b.example", "/y", &["htu-host", "htu-path"]),
    ] {
        let proof = checker().check(&fields, &asked(method, host, path));
        assert_eq!(flaws(&proof), want, "{method} {host} {path}");
        assert_eq!(proof.signature, Signature::Valid);
    }
    let nowhere = Asked {
        path: None,
        ..asked("GET", "-", "")
    };
    assert_eq!(flaws(&checker().check(&fields, &nowhere)), [""; 0]);
}

#[test]
fn the_token_it_goes_with() {
    let with = |token: Option<Token<'static>>, proof: &str| {
        let asked = Asked {
            token,
            ..resource()
        };
        flaws(&checker().check(&[proof.as_bytes()], &asked))
    };
    let token = |raw: &'static str, key, bound| Some(Token::new(raw.as_bytes(), key, bound));
    assert_eq!(with(None, RESOURCE_REQUEST), [""; 0]);
    assert_eq!(with(token(TOKEN, None, true), RESOURCE_REQUEST), [""; 0]);
    assert_eq!(with(token("other", None, true), RESOURCE_REQUEST), ["ath"]);
    assert_eq!(with(token("other", None, false), RESOURCE_REQUEST), ["ath"]);
    let another = Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_eq!(with(token(TOKEN, another, true), RESOURCE_REQUEST), ["jkt"]);
    // Without `ath`: missing only beside a token that is bound.
    let bare = Signer::es256().usual(
        r#"{"jti":"1","htm":"GET","htu":"https://resource.example.org/protectedresource","iat":1}"#,
    );
    assert_eq!(with(token(TOKEN, None, true), &bare), ["ath"]);
    assert_eq!(with(token(TOKEN, None, false), &bare), [""; 0]);
    assert_eq!(with(None, &bare), [""; 0]);
}

#[test]
fn headers_that_are_refused() {
    let signer = Signer::es256();
    let jwk = signer.jwk();
    let made = |header: &str| {
        let proof = check(&signer.proof(&header.replace("JWK", &jwk), CLAIMS));
        (proof.signature.name(), flaws(&proof))
    };
    let header = |rest: &str| format!(r#"{{"typ":"dpop+jwt",{rest}}}"#);
    for (text, want) in [
        (header(r#""alg":"ES256","jwk":JWK"#), ("valid", vec![])),
        (
            header(r#""alg":"none","jwk":JWK"#),
            ("invalid", vec!["alg"]),
        ),
        (
            header(r#""alg":"HS256","jwk":JWK"#),
            ("invalid", vec!["alg"]),
        ),
        (
            header(r#""alg":"ES384","jwk":JWK"#),
            ("invalid", vec!["alg"]),
        ),
        (
            header(r#""alg":"RS256","jwk":JWK"#),
            ("invalid", vec!["alg"]),
        ),
        (
            header(r#""alg":"ES512","jwk":JWK"#),
            ("unsupported", vec![]),
        ),
        (header(r#""alg":"ES256""#), ("malformed", vec!["malformed"])),
        (header(r#""jwk":JWK"#), ("malformed", vec!["malformed"])),
        (
            header(r#""alg":"ES256","jwk":JWK,"crit":["b64"]"#),
            ("malformed", vec!["malformed"]),
        ),
        (
            header(r#""alg":"none","alg":"ES256","jwk":JWK"#),
            ("malformed", vec!["malformed"]),
        ),
        (
            r#"{"typ":"JWT","alg":"ES256","jwk":JWK}"#.to_owned(),
            ("valid", vec!["typ"]),
        ),
        (
            r#"{"alg":"ES256","jwk":JWK}"#.to_owned(),
            ("valid", vec!["typ"]),
        ),
        (
            r#"{"typ":"application/DPoP+JWT","alg":"ES256","jwk":JWK}"#.to_owned(),
            ("valid", vec![]),
        ),
        (
            header(r#""alg":"ES256","jwk":PRIVATE"#)
                .replace("PRIVATE", &jwk.replace('{', r#"{"d":"c2VjcmV0","#)),
            ("valid", vec!["private-key"]),
        ),
        (
            header(r#""alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}"#),
            ("malformed", vec!["malformed"]),
        ),
    ] {
        assert_eq!(made(&text), want, "{text}");
    }
}

#[test]
fn keys_that_are_refused() {
    let rsa = Signer::rsa("RS256");
    let short = base64([0xff; 128]);
    let padded = base64([&[0][..], &[0xff; 256]].concat());
    let huge = base64([0xff; 1100]);
    for (jwk, want) in [
        (
            format!(r#"{{"kty":"RSA","e":"AQAB","n":"{short}"}}"#),
            "invalid",
        ),
        (
            format!(r#"{{"kty":"RSA","e":"AQAB","n":"{padded}"}}"#),
            "invalid",
        ),
        (
            format!(r#"{{"kty":"RSA","e":"AQAB","n":"{huge}"}}"#),
            "unsupported",
        ),
        (r#"{"kty":"RSA","e":"AQAB","n":"A"}"#.to_owned(), "invalid"),
        (
            r#"{"kty":"RSA","e":"AQAB","n":"\""}"#.to_owned(),
            "malformed",
        ),
        (r#"{"kty":"RSA","e":"AQAB"}"#.to_owned(), "malformed"),
        (
            r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#.to_owned(),
            "unsupported",
        ),
        (
            r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#.to_owned(),
            "invalid",
        ),
        (
            r#"{"kty":"EC","crv":"P-256","x":"AA"}"#.to_owned(),
            "malformed",
        ),
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#.to_owned(),
            "invalid",
        ),
        (
            r#"{"kty":"OKP","crv":"Ed448","x":"AA"}"#.to_owned(),
            "unsupported",
        ),
        (r#"{"kty":"XX"}"#.to_owned(), "malformed"),
        ("17".to_owned(), "malformed"),
    ] {
        let header = format!(r#"{{"typ":"dpop+jwt","alg":"RS256","jwk":{jwk}}}"#);
        let proof = check(&rsa.proof(&header, CLAIMS));
        assert_eq!(proof.signature.name(), want, "{jwk}");
    }
}

#[test]
fn claims_that_are_refused() {
    let signer = Signer::es256();
    for name in ["jti", "htm", "htu", "iat"] {
        let other = CLAIMS.replace(name, "zzz");
        assert_eq!(check(&signer.usual(&other)), Proof::malformed(), "{other}");
    }
    for claims in [
        CLAIMS.replace("\"1\"", "1"),
        CLAIMS.replace("\"1\"", "\"\""),
        CLAIMS.replace("1700000000", "\"x\""),
        CLAIMS.replace("}", ",\"htm\":\"GET\"}"),
        "[]".to_owned(),
        "{".to_owned(),
    ] {
        assert_eq!(
            check(&signer.usual(&claims)),
            Proof::malformed(),
            "{claims}"
        );
    }
    let more = CLAIMS.replace("}", r#","nonce":"n","iat2":[{}]}"#);
    let proof = check(&signer.usual(&more.replace("1700000000", "1700000000.9")));
    assert_eq!((flaws(&proof), proof.nonce), (vec![], true));
    assert_eq!(proof.issued, Some(1_700_000_000));
}

#[test]
fn forms_that_are_refused() {
    let good = Signer::es256().usual(CLAIMS);
    let long = format!("{good}{}", "A".repeat(MAX_PROOF));
    for bad in [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "e30.e30.AA",
        &good.replace('.', ".."),
        &format!("{good}.AA"),
        &format!("{good}="),
        &format!("{good},{good}"),
        &long,
    ] {
        assert_eq!(check(bad), Proof::malformed(), "{bad}");
    }
    let asked = asked("GET", "a.example", "/x");
    let twice = checker().check(&[good.as_bytes(), good.as_bytes()], &asked);
    assert_eq!(twice, Proof::malformed());
    assert_eq!(checker().check(&[], &asked), Proof::malformed());
    assert!(check(&format!(" {good}\t")).flaws.is_empty());
}

#[test]
fn the_same_proof_has_the_same_id_and_no_other_has() {
    let (one, two) = (Signer::es256(), Signer::es256());
    let id = |signer: &Signer, claims: &str| check(&signer.usual(claims)).id.unwrap();
    let next = CLAIMS.replace("\"1\"", "\"2\"");
    assert_eq!(id(&one, CLAIMS), id(&one, CLAIMS));
    assert_ne!(id(&one, CLAIMS), id(&one, &next));
    assert_ne!(id(&one, CLAIMS), id(&two, CLAIMS), "another key's jti");
    let elsewhere = Checker::new(&FingerprintKey::new([6; 32]), 1_000_000).check(
        &[one.usual(CLAIMS).as_bytes()],
        &asked("GET", "a.example", "/x"),
    );
    assert_ne!(elsewhere.id, Some(id(&one, CLAIMS)), "another host's key");
}

#[test]
fn signatures_cost_what_was_allowed() {
    let proof = Signer::es256().usual(CLAIMS);
    let mut checker = Checker::new(&FingerprintKey::new([5; 32]), 250);
    let asked = asked("GET", "b.example", "/x");
    let mut names = Vec::new();
    for now in [1_000_000_000, 1_000_000_001, 1_000_000_002, 3_000_000_000] {
        checker.tick(now);
        let proof = checker.check(&[proof.as_bytes()], &asked);
        assert_eq!(
            flaws(&proof),
            ["htu-host"],
            "what needs no signature is seen"
        );
        assert!(proof.stands());
        names.push(proof.signature.name());
    }
    assert_eq!(names, ["valid", "valid", "unverified", "valid"]);
    let stats = checker.stats();
    assert_eq!((stats.seen, stats.verified, stats.unverified), (4, 3, 1));
}

#[test]
fn nothing_stays_behind() {
    let mut checker = checker();
    checker.check(&[RESOURCE_REQUEST.as_bytes()], &resource());
    for buffer in [&checker.header, &checker.claims, &checker.signature] {
        assert!(buffer.is_empty() && buffer.capacity() > 0);
    }
    assert!(!format!("{checker:?}").contains("jti"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_proof_of_which_a_byte_was_changed_is_none(at in 0..RESOURCE_REQUEST.len(), to in any::<u8>()) {
        let mut proof = RESOURCE_REQUEST.as_bytes().to_vec();
        prop_assume!(proof[at] != to);
        proof[at] = to;
        let proof = checker().check(&[&proof], &resource());
        prop_assert_ne!(proof.signature, Signature::Valid);
        prop_assert!(!proof.flaws.is_empty() || proof.signature == Signature::Unsupported);
    }

    #[test]
    fn any_text_is_read_without_panic(
        header in "\\PC{0,60}",
        claims in prop::collection::vec(any::<u8>(), 0..60),
        rest in prop::collection::vec(any::<u8>(), 0..90),
    ) {
        let text = format!("{}.{}.{}", base64(&header), base64(&claims), base64(&rest));
        let proof = checker().check(&[text.as_bytes()], &resource());
        prop_assert_eq!(proof.signature, Signature::Unread);
        let proof = checker().check(&[&rest], &resource());
        prop_assert_eq!(proof.signature, Signature::Unread);
    }
}

/// Every byte, in its lowest bit.
#[test]
fn every_byte_counts() {
    for at in 0..RESOURCE_REQUEST.len() {
        let mut proof = RESOURCE_REQUEST.as_bytes().to_vec();
        proof[at] ^= 1;
        let proof = checker().check(&[&proof], &resource());
        assert_ne!(proof.signature, Signature::Valid, "byte {at}");
    }
}
