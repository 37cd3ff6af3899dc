//! Patterns against tables, and against a naive oracle.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn granted(pattern: &str, method: &str, host: &str, path: &str) -> bool {
    granted_at(pattern, method, host, path, &Peer::Unknown)
}

fn granted_at(pattern: &str, method: &str, host: &str, path: &str, peer: &Peer) -> bool {
    let operation = Operation::parse(pattern).unwrap_or_else(|e| panic!("{pattern}: {e:?}"));
    let mut reading = Reading::new();
    reading.read(path);
    operation.matches(&Request::new(method, host, peer, &reading))
}

#[test]
fn matches_methods_and_hosts() {
    for (pattern, method, host, want) in [
        ("GET api.example/x", "GET", "api.example", true),
        ("GET api.example/x", "get", "api.example", false),
        ("GET api.example/x", "POST", "api.example", false),
        ("POST,PUT api.example/x", "PUT", "api.example", true),
        ("* api.example/x", "PURGE", "api.example", true),
        ("PURGE api.example/x", "PURGE", "api.example", true),
        ("PURGE api.example/x", "BAN", "api.example", false),
        ("GET */x", "GET", "-", true),
        ("GET *.example/x", "GET", "a.b.example:99", true),
        ("GET *.example/x", "GET", "example", false),
        ("GET api.example:8080/x", "GET", "api.example", false),
        ("GET api.example:80/x", "GET", "api.example", true),
        ("GET   [::1]:8080/x", "GET", "[::1]:8080", true),
    ] {
        assert_eq!(
            granted(pattern, method, host, "/x"),
            want,
            "{pattern} <- {method} {host}"
        );
    }
}

#[test]
fn operations_of_mcp() {
    let granted = |pattern: &str, operation: &str| {
        let pattern = Operation::parse(pattern).unwrap();
        let (mut http, mut mcp) = (Reading::new(), Reading::new());
        http.read("/mcp");
        mcp.read_operation(operation);
        let request = Request::new("POST", "mcp.example", &Peer::Unknown, &http);
        (
            pattern.matches(&request),
            pattern.matches(&request.as_mcp(&mcp)),
        )
    };
    for (pattern, operation, http, mcp) in [
        (
            "MCP mcp.example/tools/call:delete_issue",
            "tools/call:delete_issue",
            false,
            true,
        ),
        (
            "MCP mcp.example/tools/call:delete_issue",
            "tools/call:read_issue",
            false,
            false,
        ),
        (
            "MCP mcp.example/tools/call:delete_issue",
            "tools/call",
            false,
            false,
        ),
        ("MCP other.example/tools/list", "tools/list", false, false),
        ("MCP */tools/list", "tools/list", false, true),
        ("MCP mcp.example/tools/{tool}", "tools/call:x", false, true),
        ("MCP mcp.example/tools/{tool}", "tools/call:?", false, false),
        ("MCP mcp.example/tools/**", "tools/call:?", false, true),
        ("MCP mcp.example/tools/**", "prompts/get:x", false, false),
        (
            "MCP mcp.example/tools/call:a%2Fb",
            "tools/call:a%2Fb",
            false,
            true,
        ),
        (
            "MCP mcp.example/tools/**",
            "tools/call:a%2F..%2Fb",
            false,
            false,
        ),
        ("MCP mcp.example/tools/**", "?", false, false),
        ("MCP mcp.example/**", "?", false, true),
        // A pattern for HTTP is about the request's method and path alone.
        ("POST mcp.example/mcp", "tools/list", true, false),
        ("* mcp.example/**", "tools/list", true, false),
        ("POST,MCP mcp.example/mcp", "tools/list", true, false),
        ("POST,MCP mcp.example/**", "tools/list", true, true),
    ] {
        assert_eq!(
            granted(pattern, operation),
            (http, mcp),
            "{pattern} <- {operation}"
        );
    }
    // A method of HTTP that is called so is another thing.
    assert!(!super::tests::granted(
        "MCP api.example/x",
        "MCP",
        "api.example",
        "/x"
    ));
}

#[test]
fn what_is_not_known() {
    for (pattern, method, path, want) in [
        ("GET api.example/x", "?", "/x", false),
        ("* api.example/x", "?", "/x", true),
        ("GET api.example/**", "GET", "?", true),
        ("GET api.example/{a}", "GET", "?", false),
        ("GET api.example/x/**", "GET", "?", false),
    ] {
        assert_eq!(
            granted(pattern, method, "api.example", path),
            want,
            "{pattern}"
        );
    }
}

#[test]
fn matches_routes() {
    for (route, path, want) in [
        ("/", "/", true),
        ("/", "", true),
        ("/", "/x", false),
        ("/v1/items", "/v1/items", true),
        ("/v1/items", "/v1/items/", false),
        ("/v1/items/", "/v1/items/", true),
        ("/v1/items", "/v1/Items", false),
        ("/v1/items", "/v1/%69tems", true),
        ("/v1/items", "/v1/items;x=1", false),
        ("/v1/items", "//v1/items", false),
        ("/v1/items", "/v1//items", false),
        ("/v1/items", "/v1/./items", false),
        ("/v1/items", "/v1/x/../items", false),
        ("/v1/{id}", "/v1/42", true),
        ("/v1/{id}", "/v1/4%202", true),
        ("/v1/{id}", "/v1/42;v=1", true),
        ("/v1/{id}", "/v1/", false),
        ("/v1/{id}", "/v1/;x", false),
        ("/v1/{id}", "/v1", false),
        ("/v1/{id}", "/v1/42/x", false),
        ("/v1/{id}", "/v1/a%2Fb", false),
        ("/v1/{id}", "/v1/a%252Fb", false),
        ("/v1/{id}", "/v1/a%5Cb", false),
        ("/v1/{id}", "/v1/a\\b", false),
        ("/v1/{id}", "/v1/a%3Fb", false),
        ("/v1/{id}", "/v1/%2e%2e", false),
        ("/v1/{id}", "/v1/..;", false),
        ("/v1/{+id}", "/v1/a%2Fb", true),
        ("/v1/{+id}", "/v1/a%2F..%2Fb", false),
        ("/v1/{+id}/x", "/v1/a/b/x", false),
        ("/v1/{id}/x", "/v1//x", false),
        ("/v1/**", "/v1", true),
        ("/v1/**", "/v1/", true),
        ("/v1/**", "/v1/a/b", true),
        ("/v1/**", "/v1//a", true),
        ("/v1/**", "/v1/a%2Fb", true),
        ("/v1/**", "/v1x", false),
        ("/v1/**", "/v1/../admin", false),
        ("/v1/**", "/v1/%2e%2e/admin", false),
        ("/v1/**", "/v1/..;/admin", false),
        ("/v1/**", "/v1/%252e%252e/admin", false),
        ("/v1/**", "/v1/..%5cadmin", false),
        ("/v1/**", "//v1/a", false),
        ("/**", "/anything/../at/all", true),
        ("/**", "*", true),
        ("/x", "*", false),
        ("/a%20b", "/a%20b", true),
        ("/a%2Fb", "/a%2Fb", true),
        ("/a%2Fb", "/a/b", false),
        ("/%2A", "/*", true),
    ] {
        let pattern = format!("GET h{route}");
        assert_eq!(
            granted(&pattern, "GET", "h", path),
            want,
            "{route} <- {path}"
        );
    }
}

#[test]
fn matches_unix_sockets() {
    let docker = Peer::Unix("/run/docker.sock".into());
    let other = Peer::Unix("/run/other.sock".into());
    for (pattern, peer, want) in [
        ("GET unix:/run/docker.sock:/containers/json", &docker, true),
        (
            "GET unix:/var/run/docker.sock:/containers/json",
            &docker,
            true,
        ),
        ("GET unix:/run/docker.sock:/containers/json", &other, false),
        (
            "GET unix:/run/docker.sock:/containers/json",
            &Peer::Unknown,
            false,
        ),
        ("GET localhost/containers/json", &docker, true),
        (
            "GET unix:@abs:/containers/json",
            &Peer::Unix("@abs".into()),
            true,
        ),
    ] {
        let got = granted_at(pattern, "GET", "localhost", "/containers/json", peer);
        assert_eq!(got, want, "{pattern} {peer:?}");
    }
}

#[test]
fn captures_objects() {
    let operation = Operation::parse("POST ci.example/deployments/{id}/steps/{step}").unwrap();
    assert_eq!(
        operation.captures().map(|c| &**c).collect::<Vec<_>>(),
        ["id", "step"]
    );
    let mut reading = Reading::new();
    reading.read("/deployments/4%20x/steps/9");
    assert_eq!(operation.capture("id", &reading), Some(b"4 x".as_slice()));
    assert_eq!(operation.capture("step", &reading), Some(b"9".as_slice()));
    assert_eq!(operation.capture("nothing", &reading), None);
    reading.read("/other");
    assert_eq!(operation.capture("id", &reading), None);
}

#[test]
fn refuses_what_is_no_operation() {
    for (bad, words) in [
        ("", "METHOD HOST/ROUTE"),
        ("GET", "METHOD HOST/ROUTE"),
        ("api.example/x", "METHOD HOST/ROUTE"),
        ("get api.example/x", "case-sensitive"),
        ("GET, POST api.example/x", "empty method"),
        ("GET/POST api.example/x", "no method"),
        ("GET http://api.example/x", "scheme"),
        ("GET api.example", "no route"),
        ("GET /x", "no host"),
        ("GET api.example/a/**/b", "middle"),
        ("GET api.example/a/*", "in a route"),
        ("GET api.example/a/*.json", "in a route"),
        ("GET api.example/{id}.json", "no capture"),
        ("GET api.example/{}", "no capture"),
        ("GET api.example/{+}", "no capture"),
        ("GET api.example/{a}/{a}", "twice"),
        ("GET api.example/x?y=1", "in a route"),
        ("GET api.example//x", "empty segment"),
        ("GET api.example/../x", "in a route"),
        ("GET api.example/%2e%2e/x", "in a route"),
        ("GET api.example/%zz", "badly encoded"),
        ("GET api.example/a b", "white space"),
        ("GET exa mple/x", "no host"),
        ("GET *x/y", "no host"),
        ("GET unix:/run/x.sock", "needs a route"),
        ("GET unix:relative:/x", "no unix socket"),
        ("GET unix:/:/x", "no unix socket"),
    ] {
        let fault = Operation::parse(bad).expect_err(bad);
        let all = format!("{} {:?}", fault.problem, fault.hint);
        assert!(all.contains(words), "{bad}: {all}");
        assert!(fault.hint.is_some(), "{bad}");
    }
}

/// Matches a route against segments, with nothing clever.
fn naive(route: &[&str], segments: &[String]) -> bool {
    match (route.split_first(), segments.split_first()) {
        (Some((&"**", _)), _) => true,
        (None, None) => true,
        (Some((part, route)), Some((segment, rest))) => {
            let fits = if part.starts_with('{') {
                !segment.is_empty()
            } else {
                part == segment
            };
            fits && naive(route, rest)
        }
        _ => false,
    }
}

fn naive_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        let hex = text.get(i + 1..i + 3).filter(|_| bytes[i] == b'%');
        if let Some(value) = hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            out.push(value);
            i += 3;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Every path that some server may read a path as: any sequence of what servers are known to do.
fn readings(path: &str) -> BTreeSet<String> {
    let no_parameters = |p: &str| {
        p.split('/')
            .map(|s| s.split(';').next().unwrap())
            .collect::<Vec<_>>()
            .join("/")
    };
    let resolve = |p: &str| {
        let mut out: Vec<&str> = Vec::new();
        for segment in p.split('/').skip(1) {
            match segment {
                "." => {}
                ".." => drop(out.pop()),
                other => out.push(other),
            }
        }
        format!("/{}", out.join("/"))
    };
    let merge = |p: &str| {
        let mut out = p.to_owned();
        while out.contains("//") {
            out = out.replace("//", "/");
        }
        out
    };
    let cut = |p: &str| p.split(['?', '#']).next().unwrap().to_owned();
    let mut all = BTreeSet::from([path.to_owned()]);
    // Four rounds reach every combination that short paths can need.
    for _ in 0..4 {
        let more: Vec<String> = all
            .iter()
            .flat_map(|p| {
                [
                    naive_decode(p),
                    no_parameters(p),
                    resolve(p),
                    merge(p),
                    p.replace('\\', "/"),
                    cut(p),
                ]
            })
            .collect();
        all.extend(more);
    }
    all
}

const ROUTES: [&[&str]; 7] = [
    &["a", "b"],
    &["a", "{x}"],
    &["{x}", "b"],
    &["a", "{x}", "b"],
    &["a", "**"],
    &["{x}", "**"],
    &["a", "b", ""],
];

fn hostile_path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "b", "/", "/", "/", ".", "..", "%2e", "%2E", "%2f", "%5c", "\\", ";", ";b", "%3b",
        "%252e", "%252f", "%25", "%61", "%3f", "%23", "c", "%",
    ]);
    prop::collection::vec(piece, 0..9).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// A path without anything peculiar: exactly what the naive matcher says.
    #[test]
    fn plain_paths_as_the_oracle(segments in prop::collection::vec("[abc]{0,2}", 1..5), route in 0..7usize) {
        let path = format!("/{}", segments.join("/"));
        let pattern = format!("GET h/{}", ROUTES[route].join("/"));
        let got = granted(&pattern, "GET", "h", &path);
        let doubled = segments.iter().rev().skip(1).any(String::is_empty);
        if !doubled {
            prop_assert_eq!(got, naive(ROUTES[route], &segments), "{} <- {}", pattern, path);
        }
    }

    /// Whatever is granted is granted in every reading of it.
    #[test]
    fn every_reading_is_granted(path in hostile_path(), route in 0..7usize) {
        let pattern = format!("GET h/{}", ROUTES[route].join("/"));
        if granted(&pattern, "GET", "h", &path) {
            for reading in readings(&path) {
                let mut segments: Vec<String> =
                    reading.split('/').skip(1).map(str::to_owned).collect();
                // Fully decoded: what remains encoded is data to the server that sees it.
                segments.iter_mut().for_each(|s| *s = naive_decode(s));
                let bare = |s: &String| s.split(';').next().unwrap_or("").to_owned();
                let stripped: Vec<String> = segments.iter().map(bare).collect();
                prop_assert!(
                    naive(ROUTES[route], &segments) || naive(ROUTES[route], &stripped),
                    "{} granted {}, which may be read as {}", pattern, path, reading
                );
            }
        }
    }

    #[test]
    fn parsing_never_panics(text in "\\PC{0,40}", path in "\\PC{0,40}", host in "\\PC{0,20}") {
        let mut reading = Reading::new();
        reading.read(&path);
        for text in [text.clone(), format!("GET {text}"), format!("GET h/{text}"), format!("* unix:{text}")] {
            if let Ok(operation) = Operation::parse(&text) {
                let _ = operation.matches(&Request::new("GET", &host, &Peer::Unknown, &reading));
            }
        }
    }
}

#[test]
fn what_only_reads() {
    for (text, want) in [
        ("GET a/x", true),
        ("GET,HEAD,OPTIONS,TRACE */**", true),
        ("PROPFIND,REPORT,SEARCH,QUERY a/x", true),
        ("GET unix:/run/x.sock:/y", true),
        ("GET,POST a/x", false),
        ("GET,MERGE a/x", false),
        ("CONNECT a/x", false),
        ("* a/x", false),
        ("MCP a/tools/list", false),
        ("GET,MCP a/tools/list", false),
    ] {
        assert_eq!(Operation::parse(text).unwrap().is_safe(), want, "{text}");
    }
    for method in ["get", "POST", "", "?", "GETX"] {
        assert!(!is_safe(method), "{method}");
    }
}
