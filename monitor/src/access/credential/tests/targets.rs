//! Secrets in targets, hosts, paths.

use super::*;

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
            version: Version::Http10,
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
