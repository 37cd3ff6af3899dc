#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::sync::LazyLock;

use httparse::Header;
use proptest::prelude::*;

use super::super::CredentialKind::{ApiKey, Basic, Bearer, Cookie, Digest, Dpop, Jwt, Sigv4};
use super::super::Location;
use super::*;

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
            minor: 1,
            headers: &self.headers,
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
fn query_parameters() {
    use Location::Query as Q;
    let google = "AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q";
    for (target, kind, secret) in [
        ("/a?api_key=abc123", ApiKey, "abc123"),
        ("/a?x=y&API_KEY=abc123&z", ApiKey, "abc123"),
        ("/a?api%5Fkey=abc%31%32%33", ApiKey, "abc123"),
        ("/a?x=y;apikey=abc123", ApiKey, "abc123"),
        ("/a?access_token=abc+123", Bearer, "abc+123"),
        ("/a?private_token=abc%2B123", ApiKey, "abc+123"),
        ("/a?token=abcdefghijkl", ApiKey, "abcdefghijkl"),
        ("http://h/a?api_key=abc123#api_key=x", ApiKey, "abc123"),
        (&format!("/a?key={google}"), ApiKey, google),
        (
            "/a?key=0123456789abcdef0123456789abcdef",
            ApiKey,
            "0123456789abcdef0123456789abcdef",
        ),
        (
            "/b/o?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20130524%2Fus-east-1&X-Amz-Signature=a",
            Sigv4,
            "AKIDEXAMPLE",
        ),
        (
            "/b/o?AWSAccessKeyId=AKIDEXAMPLE&Expires=1&Signature=vj",
            Sigv4,
            "AKIDEXAMPLE",
        ),
        ("/b/o?sv=2022-11-02&sp=r&sig=c2ln%3D", ApiKey, "c2ln="),
        ("/q?db=d&u=alice&p=wonder", ApiKey, "wonder"),
    ] {
        let out = expect(target, &[], kind, Q, secret);
        assert!(!out.path.contains('?'), "{target}");
    }
    for target in [
        "/a",
        "/a?",
        "/a?key=user",
        "/a?key=user-profile-picture-large",
        "/a?token=next",
        "/a?api_key=",
        "/a?api_key",
        "/a?sig=c2ln",
        "/a?p=2",
        "/a?code=abc",
        "/a?AWSAccessKeyId=AKIDEXAMPLE",
        "/a?q=1#api_key=abc123",
        "*",
    ] {
        assert!(recognise(target, &[]).found.is_empty(), "{target}");
    }
    let host = [("Host", "app.azurewebsites.net")];
    expect("/api/f?code=abc123", &host, ApiKey, Q, "abc123");
}

#[test]
fn secrets_in_paths() {
    let host = |host: &'static str| [("Host", host)];
    let any = host("api.example.com");
    let token = jwt(r#"{"iss":"i","sub":"s"}"#);
    let ghp = "ghp_0123456789abcdef0123456789abcdef0123";
    for (target, fields, secret, path) in [
        (
            "/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
            any,
            "XXXXXXXXXXXXXXXXXXXXXXXX",
            "/services/T00000000/B00000000/{secret}",
        ),
        (
            "/services/T1/B1/%61bc?x=y",
            any,
            "abc",
            "/services/T1/B1/{secret}",
        ),
        (
            "/services%2FT1%2fB1%2Fabc",
            any,
            "abc",
            "/services%2FT1%2fB1%2F{secret}",
        ),
        (
            "http://hooks/services/T1/B1/abc",
            any,
            "abc",
            "/services/T1/B1/{secret}",
        ),
        (
            "/bot123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11/sendMessage",
            any,
            "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11",
            "/bot{secret}/sendMessage",
        ),
        (
            "/bot123456%3AABC-DEF1234ghIkl-zyx57W2v1u123ew11/getMe",
            any,
            "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11",
            "/bot{secret}/getMe",
        ),
        (
            "/api/webhooks/12345/abcdefghijklmnopqrstuvwxyzABCDEFGH_-0123",
            any,
            "abcdefghijklmnopqrstuvwxyzABCDEFGH_-0123",
            "/api/webhooks/12345/{secret}",
        ),
        (
            "/v3/0123456789abcdef0123456789abcdef",
            host("mainnet.infura.io"),
            "0123456789abcdef0123456789abcdef",
            "/v3/{secret}",
        ),
        (&format!("/x/{ghp}/y"), any, ghp, "/x/{secret}/y"),
        (&format!("/x/token={ghp}/y"), any, ghp, "/x/{secret}/y"),
        (
            &format!("/x/%67hp_{}/y", &ghp[4..]),
            any,
            ghp,
            "/x/{secret}/y",
        ),
        (
            "/x/a;jsessionid=abc123;v=1/y",
            any,
            "abc123",
            "/x/a;jsessionid={secret};v=1/y",
        ),
        (
            "/x/a;v=1;api_key=abc123",
            any,
            "abc123",
            "/x/a;v=1;api_key={secret}",
        ),
        (
            "/mirror/http://alice:wonder@host/x",
            any,
            "alice:wonder",
            "/mirror/http://{secret}@host/x",
        ),
        (
            "/mirror/http%3A%2F%2Falice%3Awonder%40host/x",
            any,
            "alice:wonder",
            "/mirror/http%3A%2F%2F{secret}%40host/x",
        ),
        (&format!("/x/{token}"), any, &token, "/x/{secret}"),
    ] {
        let out = recognise(target, &fields);
        assert_eq!(out.found.len(), 1, "{target} {:?}", out.found);
        assert_eq!(out.path, path, "{target}");
        let found = &out.found[0];
        assert_eq!(found.location, Location::Path);
        assert_eq!(
            found.credential.fingerprint,
            recogniser().fingerprint(secret.as_bytes()),
            "{target}"
        );
    }
    for target in [
        "/services/list",
        "/bottles/1",
        "/bot/settings",
        "/hooks/17",
        "/projects/1/hooks/17",
        "/docs/key-management-best-practices",
        "/re_index-everything-now-please",
        "/v3/users",
        "/secret_santa_list_of_all_people",
        "/x/sk-learn-the-best-library-ever",
        "/@scope/pkg",
        "/a;v=1",
        "/eyes.of.the-world",
        "/mirror/http://host/x",
        "/user@example.com",
    ] {
        let out = recognise(target, &any);
        assert!(out.found.is_empty(), "{target} {:?}", out.found);
        assert_eq!(out.path, target);
    }
}

#[test]
fn userinfo_in_the_target() {
    let out = expect(
        "http://alice:won%3ader@Example.com:8080/x",
        &[],
        Basic,
        Location::Path,
        "alice:won:der",
    );
    assert_eq!((&*out.host, &*out.path), ("example.com:8080", "/x"));
    assert_eq!(
        out.found[0].credential.claims.subject.as_deref(),
        Some("alice")
    );
    assert_eq!(out.target_form, TargetForm::Absolute);
    let out = recognise("http://tokenalone@example.com/x", &[]);
    assert!(out.found[0].credential.claims.subject.is_none());
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

#[test]
fn hosts_methods_and_forms() {
    for (target, fields, host, path) in [
        (
            "/a",
            vec![("Host", "API.Example.com:80")],
            "api.example.com",
            "/a",
        ),
        (
            "/a",
            vec![("Host", "api.example.com:8080")],
            "api.example.com:8080",
            "/a",
        ),
        ("/a", vec![], "-", "/a"),
        ("/a", vec![("Host", "")], "-", "/a"),
        ("/a", vec![("Host", "a b")], "-", "/a"),
        ("/a", vec![("Host", "a"), ("Host", "b")], "-", "/a"),
        ("/a", vec![("Host", "a"), ("Host", "A")], "a", "/a"),
        ("http://b/a", vec![("Host", "a")], "b", "/a"),
        ("https://b:443/a", vec![], "b", "/a"),
        ("http:///a", vec![("Host", "a")], "-", "/a"),
        ("*", vec![("Host", "a")], "a", "*"),
        ("/a?b#c", vec![("Host", "a")], "a", "/a"),
    ] {
        let out = recognise(target, &fields);
        assert_eq!(
            (&*out.host, &*out.path),
            (host, path),
            "{target} {fields:?}"
        );
        assert_eq!(&*out.route, path);
    }
    let mut out = Recognised::new();
    let mut recogniser = recogniser();
    let connect = Request {
        method: "CONNECT",
        target: b"h.example:443",
        headers: Vec::new(),
    };
    recogniser.recognise(
        &RequestHead {
            minor: 0,
            ..connect.head()
        },
        &mut out,
    );
    assert_eq!(
        (&*out.host, &*out.path, out.protocol),
        ("h.example:443", "/", "http/1.0")
    );
    assert_eq!(out.target_form, TargetForm::Authority);
    let long = "M".repeat(100);
    let odd = Request {
        method: &long,
        target: b"/\xff\xfe%00\x01",
        headers: Vec::new(),
    };
    recogniser.recognise(&odd.head(), &mut out);
    assert_eq!(
        (out.method.len(), &*out.path),
        (32, "/\u{fffd}\u{fffd}%00\u{1}")
    );
    let out = recognise("/v1/x/17", &[("Host", "api.example:8080")]);
    assert_eq!(&*out.route, "/v1/x/{id}");
}

#[test]
fn long_paths_are_cut_between_segments() {
    let path = format!("{}/tail", "/abc".repeat(1000));
    let out = recognise(&path, &[]);
    assert!(
        out.path.len() <= 2048 && out.path.ends_with("/abc/\u{2026}"),
        "{}",
        out.path
    );
    let out = recognise(&format!("/{}", "x".repeat(5000)), &[]);
    assert_eq!(out.path, "/\u{2026}");
    let out = recognise(&format!("/{}", "\u{e9}".repeat(1500)), &[]);
    assert!(out.path.len() <= 2048);
}

#[test]
fn one_credential_is_shared() {
    let mut recogniser = recogniser();
    let (mut one, mut two) = (Recognised::new(), Recognised::new());
    let long = "x".repeat(900);
    for token in [
        "abc123",
        &long,
        &jwt(&format!(r#"{{"sub":"{}"}}"#, "s".repeat(250))),
    ] {
        let value = format!("Bearer {token}");
        let fields = [("Host", "a.example"), ("Authorization", &*value)];
        let request = request("/x", &fields);
        recogniser.recognise(&request.head(), &mut one);
        recogniser.recognise(&request.head(), &mut two);
        assert!(Arc::ptr_eq(
            &one.found[0].credential,
            &two.found[0].credential
        ));
        assert!(Arc::ptr_eq(&one.host, &two.host) && Arc::ptr_eq(&one.route, &two.route));
        assert_eq!(
            one.found[0].credential.fingerprint,
            recogniser.fingerprint(token.as_bytes())
        );
    }
    assert_eq!(recogniser.stats().credentials, 3);
}

#[test]
fn bounded_under_many_credentials_and_hosts() {
    let mut recogniser = recogniser();
    let mut out = Recognised::new();
    for i in 0..70_000 {
        let (host, value) = (format!("h{i}.example"), format!("Bearer t{i}"));
        recogniser.recognise(
            &request("/x", &[("Host", &host), ("Authorization", &value)]).head(),
            &mut out,
        );
    }
    let stats = recogniser.stats();
    assert_eq!((stats.credentials, stats.hosts), (65_536, 8192));
    assert_eq!(stats.credentials_evicted, 70_000 - 65_536);
    assert!(stats.routes.nodes <= 32_768);
}

#[test]
fn rules_of_the_user() {
    let text = "[[credential]]\nname='mine'\nheader='X-Mine'\nhost='*.corp.example'\nlike='m-*'\n\
                [[credential]]\nname='basic'\nenabled=false\n\
                [[credential]]\nname='bearer'\nheader='Authorization'\nscheme='Bearer'\nignore=true\n";
    let table = CredentialTable::builtin().merge(CredentialTable::parse(text).unwrap());
    let mut recogniser = Recogniser::new(table, FingerprintKey::new([9; 32]));
    let mut count = |fields: &[(&str, &str)]| {
        let mut out = Recognised::new();
        recogniser.recognise(&request("/", fields).head(), &mut out);
        (out.found.len(), out.unread)
    };
    assert_eq!(
        count(&[("Host", "a.corp.example:8080"), ("X-Mine", "m-1")]),
        (1, 0)
    );
    assert_eq!(
        count(&[("Host", "a.corp.example"), ("X-Mine", "x-1")]),
        (0, 0)
    );
    assert_eq!(count(&[("Host", "a.example"), ("X-Mine", "m-1")]), (0, 0));
    assert_eq!(count(&[("X-Mine", "m-1")]), (0, 0));
    assert_eq!(count(&[("Authorization", "Bearer x")]), (0, 1));
    // Without its rule, Basic is a scheme like any other.
    assert_eq!(count(&[("Authorization", "Basic YTpi")]), (1, 0));
}

/// Everything that leaves the recogniser, as text.
fn shown(out: &Recognised) -> String {
    let mut text = format!(
        "{}\n{}\n{}\n{}\n{:?}",
        out.path, out.route, out.host, out.method, out.found
    );
    for found in &out.found {
        text.push_str(&found.credential.default_identity);
    }
    text
}

/// Longer than any public beginning, and of one piece.
fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9_-]{20,60}",
        "[a-f0-9]{32}",
        "(ghp_|glpat-|xoxb-|sk-ant-api03-)[A-Za-z0-9]{20,40}[0-9][a-z]",
        "[a-z0-9]{15,30}:[A-Za-z0-9_-]{20,40}",
    ]
}

proptest! {
    #[test]
    fn any_request(
        method in "\\PC{0,40}",
        target in any::<Vec<u8>>(),
        names in prop::collection::vec(
            prop_oneof!["Authorization", "Cookie", "Host", "X-Api-Key", "[!-~]{0,70}"], 0..8),
        values in prop::collection::vec(
            prop_oneof![
                any::<Vec<u8>>(),
                "(Basic|Digest|Bearer|AWS4-HMAC-SHA256|OAuth|x) [ -~]{0,60}".prop_map(String::into_bytes),
            ], 8),
    ) {
        let headers: Vec<_> = names
            .iter()
            .zip(&values)
            .map(|(name, value)| Header { name, value })
            .collect();
        let request = Request { method: &method, target: &target, headers };
        let mut recogniser = recogniser();
        let (mut one, mut two) = (Recognised::new(), Recognised::new());
        recogniser.recognise(&request.head(), &mut one);
        recogniser.recognise(&request.head(), &mut two);
        prop_assert_eq!(shown(&one), shown(&two));
        prop_assert!(one.path.len() <= 2048 && one.host.len() <= 255 && one.method.len() <= 32);
    }

    #[test]
    fn any_target(target in "(/|http://)?([a-z]{0,5}|[%;:@?#&=/.]|%2[Ff]|%3[Aa]|services|T1|B1|bot|token){0,24}") {
        let out = recognise(&target, &[]);
        prop_assert!(out.path.len() <= 2048);
    }

    #[test]
    fn planted_secrets_stay_inside(secret in secret()) {
        // Percent-encoded at random places too.
        let encoded: String = secret
            .bytes()
            .enumerate()
            .map(|(i, b)| if i % 5 == 2 { format!("%{b:02x}") } else { char::from(b).to_string() })
            .collect();
        let bearer = format!("Bearer {secret}");
        let basic = format!("Basic {}", STANDARD.encode(format!("alice:{secret}")));
        let lone = format!("Basic {}", STANDARD.encode(format!("{secret}:")));
        let other = format!("Custom {secret}");
        let token = format!("Token token=\"{secret}\"");
        let signed = format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"x"}"#),
            URL_SAFE_NO_PAD.encode(r#"{"sub":"s"}"#), secret.replace(':', "-"));
        let jwt = format!("Bearer {signed}");
        let cookie = format!("session={secret}");
        let fields = [
            ("Authorization", &bearer), ("Authorization", &basic), ("Authorization", &lone),
            ("Authorization", &other), ("Authorization", &token), ("Authorization", &jwt),
            ("X-Api-Key", &secret), ("Cookie", &cookie),
        ];
        let mut outs: Vec<_> =
            fields.iter().map(|(name, value)| recognise("/v1/x", &[(*name, value)])).collect();
        for target in [
            format!("/v1/x?api_key={secret}"),
            format!("/v1/x?other={secret}"),
            format!("/v1/x?api_key={encoded}"),
            format!("/v1/x#{secret}"),
            format!("/services/T1/B1/{secret}"),
            format!("/services/T1/B1/{encoded}"),
            format!("http://h/services/T1/B1/{secret}/"),
            format!("/v1/x;jsessionid={secret}/y"),
            format!("/v1/{signed}/y"),
            format!("http://alice:{secret}@h.example/x"),
            format!("http://{secret}@h.example/x"),
            format!("/proxy/http://alice:{secret}@h.example/x"),
            format!("alice:{secret}@h.example/x"),
            format!("/bot1234567:{}/getMe", secret.replace(':', "")),
        ] {
            outs.push(recognise(&target, &[]));
        }
        let bare = secret.replace(':', "");
        let signature = secret.replace(':', "-");
        for out in &outs {
            let shown = shown(out);
            for form in [&secret, &encoded, &bare, &signature] {
                prop_assert!(!shown.contains(&**form), "{form} in {shown}");
            }
        }
        for known in [4, 6, 7, 8] {
            prop_assert_eq!(outs[known].found.len(), 1);
        }
    }

    #[test]
    fn known_beginnings_are_taken_out_of_any_path(
        secret in "(ghp_|glpat-|xoxb-|sk-ant-api03-|AKIA)[A-Za-z0-9]{20,30}[0-9][a-z]",
        before in "(/[a-z]{0,6}){0,4}", after in "(/[a-z]{0,6}){0,4}",
    ) {
        let out = recognise(&format!("{before}/{secret}{after}"), &[]);
        prop_assert!(!out.path.contains(&secret) && !out.route.contains(&secret));
        prop_assert_eq!(out.path, format!("{before}/{{secret}}{after}"));
    }

    #[test]
    fn the_same_secret_has_the_same_fingerprint_everywhere(secret in "[A-Za-z0-9_-]{12,300}") {
        let print = recogniser().fingerprint(secret.as_bytes());
        let bearer = format!("Bearer {secret}");
        let cookie = format!("session={secret}");
        let key = format!("/services/T1/B1/{secret}");
        let query = format!("/x?api_key={secret}");
        for out in [
            recognise("/x", &[("Authorization", &bearer)]),
            recognise("/x", &[("Authorization", &secret)]),
            recognise("/x", &[("X-Api-Key", &secret)]),
            recognise("/x", &[("Cookie", &cookie)]),
            recognise(&query, &[]),
            recognise(&key, &[]),
        ] {
            prop_assert!(out.found.iter().any(|found| found.credential.fingerprint == print));
        }
    }
}
