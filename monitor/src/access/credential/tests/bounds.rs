//! What is shared, remembered and bounded.

use super::*;

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

/// Every path of `paths` once, `times` over.
fn visit(recogniser: &mut Recogniser, paths: &[String], times: usize) -> Vec<Arc<str>> {
    let mut out = Recognised::new();
    let mut routes = Vec::new();
    for _ in 0..times {
        for path in paths {
            recogniser.recognise(&request(path, &[("Host", "a.example")]).head(), &mut out);
            assert_eq!(out.path, *path);
            routes.push(Arc::clone(&out.route));
        }
    }
    routes
}

fn word(mut n: usize) -> String {
    let mut out = String::from("/api/w");
    for _ in 0..4 {
        out.push(char::from(b'a' + (n % 26) as u8));
        n /= 26;
    }
    out
}

#[test]
fn remembered_paths_have_the_router_s_route() {
    let mut recogniser = recogniser();
    let mixed: Vec<String> = (0..24).map(|i| format!("/u/n{i}")).collect();
    assert!(
        visit(&mut recogniser, &mixed, 5)
            .iter()
            .all(|route| route.starts_with("/u/n"))
    );
    // One more, and none of them is what it was, remembered or not.
    visit(&mut recogniser, &["/u/n24".to_owned()], 1);
    assert!(
        visit(&mut recogniser, &mixed, 3)
            .iter()
            .all(|route| **route == *"/u/{var}")
    );
    // Another host with the same path.
    let mut out = Recognised::new();
    recogniser.recognise(&request("/u/n0", &[("Host", "b.example")]).head(), &mut out);
    assert_eq!((&*out.host, &*out.route), ("b.example", "/u/n0"));
}

#[test]
fn remembered_paths_count_as_used() {
    let mut recogniser = recogniser();
    visit(&mut recogniser, &["/api/deploy".to_owned()], 200);
    visit(&mut recogniser, &(0..1000).map(word).collect::<Vec<_>>(), 1);
    let routes = visit(&mut recogniser, &["/api/deploy".to_owned(), word(5000)], 1);
    assert_eq!(routes, ["/api/deploy".into(), "/api/{var}".into()]);
}

#[test]
fn a_secret_is_found_each_time() {
    let mut recogniser = recogniser();
    let mut out = Recognised::new();
    for _ in 0..100 {
        recogniser.recognise(&request("/services/T1/B1/abc123", &[]).head(), &mut out);
        assert_eq!(
            (out.found.len(), &*out.path),
            (1, "/services/T1/B1/{secret}")
        );
    }
}
