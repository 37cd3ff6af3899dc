//! Files of others: what is found in them.

use super::*;

fn compared(text: &str, from: &str) -> Comparison {
    let gate = read("gw", text, None, &nginx::NoFiles).unwrap();
    compare(&lock(&policy(SHOP), from), &gate).unwrap()
}

fn lines(result: &Comparison) -> Vec<String> {
    result
        .findings
        .iter()
        .map(|f| format!("{} {}: {}", f.code.id(), f.line, f.message()))
        .collect()
}

#[test]
fn envoy_in_a_bootstrap() {
    let text = include_str!("data/envoy.yaml");
    let result = compared(text, "claim:role");
    insta::assert_snapshot!("envoy_findings", lines(&result).join("\n"));
    let unread: Vec<String> = result
        .unread
        .iter()
        .map(|u| format!("{}: {}", u.line, u.text))
        .collect();
    assert_eq!(unread, ["52: permission destination_port"]);
}

#[test]
fn istio_with_deny_and_tokens() {
    let result = compared(include_str!("data/istio.yaml"), "claim:role");
    insta::assert_snapshot!("istio_findings", lines(&result).join("\n"));
    let unread: Vec<String> = result
        .unread
        .iter()
        .map(|u| format!("{}: {}", u.line, u.text))
        .collect();
    assert_eq!(unread, ["29: ipBlocks"]);
}

#[test]
fn nginx_with_locations() {
    let result = compared(include_str!("data/nginx.conf"), "variable:bailiwick_role");
    insta::assert_snapshot!("nginx_findings", lines(&result).join("\n"));
    let unread: Vec<String> = result
        .unread
        .iter()
        .map(|u| format!("{}: {}", u.line, u.text))
        .collect();
    assert_eq!(
        unread,
        ["37: allow and deny by address", "42: access_by_lua_file"]
    );
}

/// What nginx itself says of priorities (ngx_http_core_module, `location`).
#[test]
fn locations_have_the_priorities_of_nginx() {
    let text = "server { server_name a.example;
        location = / { return 200; }
        location / { return 403; }
        location /documents/ { return 200; }
        location ^~ /images/ { return 403; }
        location ^~ /images/public/x { return 200; }
        location ~* \\.(gif|jpg|jpeg)$ { return 200; }
        location /api/ { limit_except GET { deny all; } proxy_pass http://x; location /api/admin { deny all; } }
    }";
    let lock = lock(&policy(SHOP), "variable:bailiwick_role");
    let gate = read("gw", text, None, &nginx::NoFiles).unwrap();
    for (method, path, open) in [
        ("GET", "/", true),
        ("GET", "/index.html", false),
        ("GET", "/documents/d.html", true),
        ("GET", "/images/1.gif", false),
        ("GET", "/images/public/x1", true),
        ("GET", "/documents/1.JPG", true),
        ("GET", "/1.jpg", true),
        ("GET", "/api/x", true),
        ("HEAD", "/api/x", true),
        ("POST", "/api/x", false),
        ("GET", "/api/admin", false),
        ("POST", "/api/x.gif", true),
    ] {
        let decided = compare::decide(&lock, &gate, None, (method, "a.example", path)).unwrap();
        assert_eq!(decided, Some(open), "{method} {path}");
    }
}

#[test]
fn nginx_conditions() {
    let text = "map $request_method $write { default 0; POST 1; ~^P 1; }
        server { listen 80; server_name a.example *.b.example ~^c[0-9]+\\.example$;
          if ($write) { return 405; }
          if ($host = \"x.b.example\") { return 403; }
          location / { if ($request_method !~ ^(GET|HEAD)$) { return 405; } if ($http_x_role = \"\") { return 401; } proxy_pass http://x; } }
        server { listen 80 default_server; server_name _; return 444; }";
    let lock = lock(&policy(SHOP), "header:x-role");
    let gate = read("gw", text, None, &nginx::NoFiles).unwrap();
    let ask = |role, request| compare::decide(&lock, &gate, role, request).unwrap();
    assert_eq!(ask(Some("ci-bot"), ("GET", "a.example", "/")), Some(true));
    assert_eq!(ask(None, ("GET", "a.example", "/")), Some(false));
    assert_eq!(ask(Some("ci-bot"), ("PUT", "a.example", "/")), Some(false));
    assert_eq!(
        ask(Some("ci-bot"), ("DELETE", "a.example", "/")),
        Some(false)
    );
    assert_eq!(
        ask(Some("ci-bot"), ("GET", "x.b.example:80", "/")),
        Some(false)
    );
    assert_eq!(ask(Some("ci-bot"), ("GET", "y.b.example", "/")), Some(true));
    assert_eq!(ask(Some("ci-bot"), ("GET", "c12.example", "/")), Some(true));
    assert_eq!(ask(Some("ci-bot"), ("GET", "d.example", "/")), Some(false));
    assert_eq!(gate.unread, []);
}

struct Included;

impl nginx::Files for Included {
    fn include(&self, file: &str, pattern: &str) -> io::Result<Vec<(String, String)>> {
        match (file, pattern) {
            ("gw", "conf.d/*.conf") => Ok(vec![(
                "a.conf".into(),
                "server { location / { deny all; } }".into(),
            )]),
            // Forever.
            (_, "loop") => Ok(vec![("loop".into(), "include loop; include loop;".into())]),
            _ => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
        }
    }
}

#[test]
fn includes_are_followed_and_bounded() {
    let lock = lock(&policy(SHOP), "variable:r");
    let gate = read(
        "gw",
        "http { include conf.d/*.conf; include secret; include loop; }",
        None,
        &Included,
    )
    .unwrap();
    assert_eq!(
        compare::decide(&lock, &gate, None, ("GET", "x", "/")).unwrap(),
        Some(false)
    );
    assert!(
        gate.unread
            .iter()
            .any(|u| u.text.starts_with("include secret"))
    );
    assert!(
        gate.unread
            .iter()
            .any(|u| u.text.contains("too many files")),
        "{:?}",
        gate.unread
    );
}

#[test]
fn what_is_none_is_refused() {
    for text in [
        "",
        "hello",
        "a: 1",
        "[1, 2]",
        "server { listen 80",
        "{\"x\": 1}",
    ] {
        assert!(read("gw", text, None, &nginx::NoFiles).is_err(), "{text}");
    }
    let large = " ".repeat(LARGEST_FILE + 1);
    assert!(matches!(
        read("gw", &large, None, &nginx::NoFiles),
        Err(ReadError::TooLarge { .. })
    ));
}
