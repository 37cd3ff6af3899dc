#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::sync::LazyLock;

use httparse::Header;

use super::super::CredentialKind::{ApiKey, Basic, Bearer, Cookie, Digest, Dpop, Jwt, Sigv4};
use super::super::Location;
use super::*;
use crate::wire::Version;

mod bounds;
mod operations;
mod proofs;
mod properties;
mod targets;

/// A request in few words: target and fields.
struct Request<'a> {
    method: &'a str,
    target: &'a [u8],
    headers: Vec<Header<'a>>,
}

fn request<'a>(target: &'a str, fields: &[(&'a str, &'a str)]) -> Request<'a> {
    let headers = fields
        .iter()
        .map(|(name, value)| Header {
            name,
            value: value.as_bytes(),
        })
        .collect();
    Request {
        method: "GET",
        target: target.as_bytes(),
        headers,
    }
}

impl<'a> Request<'a> {
    fn head(&'a self) -> RequestHead<'a> {
        RequestHead {
            method: self.method,
            target: self.target,
            version: Version::Http11,
            headers: &self.headers,
            unknown_fields: 0,
            unknown_method: false,
            unknown_target: false,
            secure: false,
            off: 0,
            time: 0,
            resynchronised: false,
            truncated: false,
        }
    }
}

static TABLE: LazyLock<CredentialTable> = LazyLock::new(|| {
    let cookies = "[[credential]]\nname = 'sessions'\ncookie = ['session', 'SID']\n";
    CredentialTable::builtin().merge(CredentialTable::parse(cookies).unwrap())
});

fn recogniser() -> Recogniser {
    Recogniser::new(TABLE.clone(), FingerprintKey::new([9; 32]))
}

fn recognise(target: &str, fields: &[(&str, &str)]) -> Recognised {
    let mut out = Recognised::new();
    recogniser().recognise(&request(target, fields).head(), &mut out);
    out
}

/// Kind, location, hint and the secret whose fingerprint it has.
fn expect(
    target: &str,
    fields: &[(&str, &str)],
    kind: CredentialKind,
    location: Location,
    secret: &str,
) -> Recognised {
    let out = recognise(target, fields);
    assert_eq!(out.found.len(), 1, "{target} {fields:?}: {:?}", out.found);
    let found = &out.found[0];
    let print = recogniser().fingerprint(secret.as_bytes());
    assert_eq!(
        (
            found.credential.kind,
            found.location,
            found.credential.fingerprint
        ),
        (kind, location, print),
        "{target} {fields:?}"
    );
    out
}

fn jwt(payload: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.c2VjcmV0LXNpZ25hdHVyZQ",
        part(r#"{"alg":"RS256"}"#),
        part(payload)
    )
}

#[test]
fn authorization_schemes() {
    use Location::Header as H;
    let basic = format!("Basic {}", STANDARD.encode("alice:wonder"));
    for (value, kind, secret) in [
        ("Bearer abc123", Bearer, "abc123"),
        ("bearer   abc123  ", Bearer, "abc123"),
        ("BEARER abc123", Bearer, "abc123"),
        ("DPoP abc123", Dpop, "abc123"),
        (&basic, Basic, "alice:wonder"),
        (
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/a\", nonce=\"7ypf/x\", response=\"753\"",
            Digest,
            "digest:Mufasa:http-auth@example.org",
        ),
        (
            "Digest username*=UTF-8''J%C3%A4s%C3%B8n, realm=\"r\", response=\"1\"",
            Digest,
            "digest:J\u{e4}s\u{f8}n:r",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=5d67",
            Sigv4,
            "AKIDEXAMPLE",
        ),
        (
            "AWS4-HMAC-SHA256 SignedHeaders=host,Signature=5d67,Credential=AKIDEXAMPLE/20150830/x",
            Sigv4,
            "AKIDEXAMPLE",
        ),
        (
            "AWS AKIDEXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=",
            Sigv4,
            "AKIDEXAMPLE",
        ),
        ("SharedKey account:c2ln", ApiKey, "account"),
        ("token abc123", ApiKey, "abc123"),
        ("Token token=\"abc123\", nonce=\"def\"", ApiKey, "abc123"),
        ("ApiKey aWQ6a2V5", ApiKey, "aWQ6a2V5"),
        (
            "GenieKey eb243592-faa2-4ba2-a551q-1afdf565c889",
            ApiKey,
            "eb243592-faa2-4ba2-a551q-1afdf565c889",
        ),
        ("Splunk 1234-5678", ApiKey, "1234-5678"),
        ("GoogleLogin auth=abc123", ApiKey, "abc123"),
        ("OAuth abc123", ApiKey, "abc123"),
        (
            "OAuth oauth_consumer_key=\"ck\", oauth_token=\"tk\", oauth_signature=\"x\"",
            ApiKey,
            "tk",
        ),
        (
            "SharedAccessSignature sr=a&sig=c2ln%3d&se=1&skn=k",
            ApiKey,
            "c2ln%3d",
        ),
        ("key=AAAAfcm", ApiKey, "AAAAfcm"),
        ("abc123", ApiKey, "abc123"),
        ("Whatever abc123==", ApiKey, "abc123=="),
        ("Hawk id=\"dh37\", ts=\"1\", mac=\"6R4\"", ApiKey, "dh37"),
        (
            "MediaBrowser Client=\"a\", Token=\"abc123\"",
            ApiKey,
            "abc123",
        ),
    ] {
        expect("/", &[("Authorization", value)], kind, H, secret);
        expect("/", &[("aUTHORIZATION", value)], kind, H, secret);
    }
    expect(
        "/",
        &[("Proxy-Authorization", "Bearer abc123")],
        Bearer,
        H,
        "abc123",
    );
}

#[test]
fn what_cannot_be_told_apart_is_counted() {
    for value in [
        "Negotiate YIIJvwYGKwYBBQUCoIIJszCC",
        "NTLM TlRMTVNTUAABAAAA",
        "Basic !!!",
        "Whatever a=1, b=2",
        "Whatever two words",
        "Digest realm=\"r\"",
        "AWS4-HMAC-SHA256 Signature=5d67, SignedHeaders=host",
    ] {
        let out = recognise("/", &[("Authorization", value)]);
        assert_eq!((out.found.len(), out.unread), (0, 1), "{value}");
    }
    for value in ["", "Bearer", "bearer ", "Basic "] {
        let out = recognise("/", &[("Authorization", value)]);
        assert_eq!((out.found.len(), out.unread), (0, 0), "{value}");
    }
}

#[test]
fn basic_pairs() {
    let of = |pair: &str| {
        let value = format!("Basic {}", STANDARD.encode(pair));
        let out = recognise("/", &[("Authorization", &value)]);
        let credential = Arc::clone(&out.found[0].credential);
        let secrets = [
            pair,
            "ghp_0123456789abcdef0123456789abcdef0123",
            "sk_live_51H8abcdefghijk",
        ];
        let secret = secrets
            .into_iter()
            .find(|s| recogniser().fingerprint(s.as_bytes()) == credential.fingerprint);
        (
            credential.claims.subject.clone(),
            credential.hint.clone(),
            secret.map(str::to_owned),
        )
    };
    let text = |text: &str| Some(text.into());
    assert_eq!(
        of("alice:wonder"),
        (text("alice"), None, Some("alice:wonder".into()))
    );
    assert_eq!(
        of("alice:won:der"),
        (text("alice"), None, Some("alice:won:der".into()))
    );
    // A token inside a pair is that token.
    let token = "ghp_0123456789abcdef0123456789abcdef0123";
    assert_eq!(
        of(&format!("x-access-token:{token}")),
        (text("x-access-token"), text("ghp_"), Some(token.into()))
    );
    assert_eq!(
        of(&format!("{token}:x-oauth-basic")),
        (None, text("ghp_"), Some(token.into()))
    );
    let key = "sk_live_51H8abcdefghijk";
    assert_eq!(
        of(&format!("{key}:")),
        (None, text("sk_live_"), Some(key.into()))
    );
    // A user name that may be the secret is not shown.
    assert_eq!(of("mysecretkey:").0, None);
    assert_eq!(of("mysecretkey").0, None);
    assert_eq!(of("dGhpcyBpcyBhIHRlc3Q1:pass").0, None);
    assert_eq!(of(&format!("{}:x", "u".repeat(300))).0, None);
    // Padding may be missing.
    let value = format!("Basic {}", STANDARD.encode("a:b").trim_end_matches('='));
    expect(
        "/",
        &[("Authorization", &value)],
        Basic,
        Location::Header,
        "a:b",
    );
}

#[test]
fn jwts() {
    let token = jwt(r#"{"iss":"https://idp.example","sub":"ci-bot","exp":1700000000}"#);
    for (name, value, kind) in [
        ("Authorization", format!("Bearer {token}"), Jwt),
        ("Authorization", format!("JWT {token}"), Jwt),
        ("Authorization", format!("DPoP {token}"), Dpop),
        ("X-Auth-Token", token.clone(), Jwt),
        ("X-Api-Key", format!("Bearer {token}"), Jwt),
    ] {
        let out = expect("/", &[(name, &value)], kind, Location::Header, &token);
        let credential = &out.found[0].credential;
        assert_eq!(
            &*credential.default_identity,
            "jwt:iss=https://idp.example,sub=ci-bot"
        );
        assert_eq!(credential.claims.expires, Some(1_700_000_000));
        assert!(!format!("{out:?}").contains("c2VjcmV0"), "{out:?}");
    }
    let cookie = format!("a=b; SID={token}");
    let out = expect(
        "/",
        &[("Cookie", &cookie)],
        Cookie,
        Location::Cookie,
        &token,
    );
    assert_eq!(
        &*out.found[0].credential.default_identity,
        "jwt:iss=https://idp.example,sub=ci-bot"
    );
    // Nobody in particular.
    let token = jwt("{}");
    let value = format!("Bearer {token}");
    let out = expect(
        "/",
        &[("Authorization", &value)],
        Jwt,
        Location::Header,
        &token,
    );
    let credential = &out.found[0].credential;
    assert_eq!(
        *credential.default_identity,
        credential.fingerprint.to_string()
    );
}

#[test]
fn key_headers() {
    for name in [
        "X-Api-Key",
        "x-api-key",
        "X-Goog-Api-Key",
        "Api-Key",
        "Ocp-Apim-Subscription-Key",
        "PRIVATE-TOKEN",
        "JOB-TOKEN",
        "X-Vault-Token",
        "X-Auth-Token",
        "DD-API-KEY",
        "xi-api-key",
        "X-Consul-Token",
        "X-JFrog-Art-Api",
        "X-Shopify-Access-Token",
        "apikey",
    ] {
        expect(
            "/",
            &[(name, " abc123 ")],
            ApiKey,
            Location::Header,
            "abc123",
        );
    }
    for name in [
        "X-Request-Id",
        "X-Amz-Security-Token",
        "Accept",
        "DPoP",
        "X-Csrf-Token",
        "Cookie",
    ] {
        assert!(
            recognise("/", &[(name, "abc123")]).found.is_empty(),
            "{name}"
        );
    }
}

#[test]
fn cookies() {
    let out = expect(
        "/",
        &[("Cookie", "a=b; session=\"abc123\"; c=d")],
        Cookie,
        Location::Cookie,
        "abc123",
    );
    assert!(out.found[0].credential.hint.is_none());
    assert!(
        recognise("/", &[("Cookie", "Session=abc; other=abc123; session=")])
            .found
            .is_empty()
    );
    let plain = Recogniser::new(CredentialTable::builtin(), FingerprintKey::new([9; 32]));
    let mut out = Recognised::new();
    let mut plain = plain;
    plain.recognise(
        &request("/", &[("Cookie", "session=abc123")]).head(),
        &mut out,
    );
    assert!(out.found.is_empty());
}

#[test]
fn hints() {
    for (secret, hint) in [
        ("sk-ant-api03-0123456789abcdefghij", Some("sk-ant-api03-")),
        ("sk-proj-0123456789abcdefghij", Some("sk-proj-")),
        ("sk-0123456789abcdefghij", Some("sk-")),
        ("ghp_0123456789abcdefghij", Some("ghp_")),
        ("github_pat_0123456789abcdefghij", Some("github_pat_")),
        ("glpat-0123456789abcdefghij", Some("glpat-")),
        ("xoxb-0123456789-abcdefghij", Some("xoxb-")),
        ("xoxe.xoxb-0123456789-abcdefghij", Some("xoxe.xoxb-")),
        ("AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q", Some("AIza")),
        ("hvs.0123456789abcdefghij", Some("hvs.")),
        ("dop_v1_0123456789abcdefghij", Some("dop_v1_")),
        // So short that the hint would be most of it.
        ("ghp_0123", None),
        ("abcdefghijklmnop", None),
    ] {
        let value = format!("Bearer {secret}");
        let out = recognise("/", &[("Authorization", &value)]);
        assert_eq!(out.found[0].credential.hint.as_deref(), hint, "{secret}");
    }
    let value = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20150830/x, Signature=5d67";
    let out = recognise("/", &[("Authorization", value)]);
    let credential = &out.found[0].credential;
    assert_eq!(credential.hint.as_deref(), Some("AKIA"));
    assert_eq!(
        credential.claims.subject.as_deref(),
        Some("AKIAIOSFODNN7EXAMPLE")
    );
}

#[test]
fn the_most_telling_first_and_the_rest_counted() {
    let fields = [
        ("Proxy-Authorization", "Bearer proxy"),
        ("Cookie", "session=cookie"),
        ("X-Api-Key", "key"),
        ("Authorization", "Bearer bearer"),
        ("Authorization", "Bearer bearer"),
    ];
    let out = recognise("/services/T1/B1/path?api_key=query", &fields);
    let prints: Vec<_> = out
        .found
        .iter()
        .map(|found| found.credential.fingerprint)
        .collect();
    let expected =
        ["bearer", "key", "query", "path"].map(|s| recogniser().fingerprint(s.as_bytes()));
    assert_eq!(prints, expected);
    assert_eq!(out.more, 2);
    let many: Vec<(&str, &str)> = (0..100).map(|_| ("X-Api-Key", "same")).collect();
    let out = recognise("/", &many);
    assert_eq!(out.found.len(), 1);
    assert_eq!(out.more, 84);
}
