//! Intersections against tables, and against every request of a small universe.

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn operation(text: &str) -> Operation {
    Operation::parse(text).unwrap_or_else(|e| panic!("{text}: {e:?}"))
}

fn common(a: &str, b: &str) -> Option<String> {
    let (left, right) = (operation(a), operation(b));
    let found = left.intersection(&right);
    let back = right.intersection(&left);
    assert_eq!(found.is_some(), back.is_some(), "{a} and {b}");
    for witness in found.iter().chain(&back) {
        assert!(witness.granted_by(&left), "{a}: {witness}");
        assert!(witness.granted_by(&right), "{b}: {witness}");
    }
    found.map(|witness| witness.to_string())
}

#[test]
fn names_a_request_of_both() {
    for (a, b, want) in [
        ("GET a.example/x", "GET a.example/x", "GET a.example/x"),
        (
            "GET,PUT a.example/x",
            "PUT,POST a.example/x",
            "PUT a.example/x",
        ),
        ("* a.example/x", "PURGE a.example/x", "PURGE a.example/x"),
        ("* */**", "* */**", "GET host.example/"),
        ("GET */v1/**", "* a.example/**", "GET a.example/v1"),
        (
            "GET a.example/{a}/b",
            "GET a.example/a/{b}",
            "GET a.example/a/b",
        ),
        (
            "GET a.example/{a}/**",
            "GET a.example/**",
            "GET a.example/1",
        ),
        (
            "GET a.example/a%2Fb",
            "GET a.example/{+x}",
            "GET a.example/a%2Fb",
        ),
        ("GET a.example/", "GET a.example/**", "GET a.example/"),
        (
            "GET *.example/x",
            "GET *.dev.example/x",
            "GET x.dev.example/x",
        ),
        ("GET *.example/x", "GET A.Example/x", "GET a.example/x"),
        ("GET a.example/x", "GET a.example:80/x", "GET a.example/x"),
        ("GET a.example/x", "GET *:8080/x", "GET a.example:8080/x"),
        ("GET 192.0.2.4/x", "GET *.4/x", "GET 192.0.2.4/x"),
        ("GET [::ffff:192.0.2.4]/x", "GET *.2.4/x", "GET 192.0.2.4/x"),
        (
            "GET [2001:db8::4]/x",
            "GET *.0.4/x",
            "GET [2001:db8:0:0:0:0:0.0.0.4]/x",
        ),
        (
            "GET [2001:db8::4]:99/x",
            "GET */x",
            "GET [2001:db8::4]:99/x",
        ),
        (
            "GET unix:/run/a:/x",
            "GET unix:/var/run/a:/x",
            "GET unix:/run/a:/x",
        ),
        ("GET unix:/run/a:/x", "GET */x", "GET unix:/run/a:/x"),
        (
            "GET unix:@a:/x",
            "GET b.example/x",
            "GET unix:@a:/x (Host: b.example)",
        ),
        (
            "MCP a.example/tools/call:x",
            "MCP */tools/**",
            "MCP a.example/tools/call:x (sent as POST /mcp)",
        ),
        (
            "MCP a.example/**",
            "MCP a.example/**",
            "MCP a.example/ (sent as POST /mcp)",
        ),
        (
            "MCP a.example/tools/{t}",
            "POST a.example/api/**",
            "MCP a.example/tools/1 (sent as POST /api)",
        ),
        (
            "POST,MCP a.example/x",
            "MCP a.example/y",
            "MCP a.example/y (sent as POST /x)",
        ),
        (
            "GET a.example/%C3%BC%20",
            "GET a.example/{x}",
            "GET a.example/%C3%BC%20",
        ),
        (
            "GET a.example/\u{fffd}",
            "GET a.example/**",
            "GET a.example/%EF%BF%BD",
        ),
        (
            "GET a.example/\u{2026}",
            "GET a.example/**",
            "GET a.example/%E2%80%A6",
        ),
        (
            "GET a.example/%3Fx",
            "GET a.example/{+x}",
            "GET a.example/%3Fx",
        ),
    ] {
        assert_eq!(common(a, b).as_deref(), Some(want), "{a} and {b}");
    }
}

#[test]
fn knows_when_there_is_none() {
    for (a, b) in [
        ("GET a.example/x", "PUT a.example/x"),
        ("PURGE a.example/x", "BAN a.example/x"),
        ("GET a.example/x", "GET b.example/x"),
        ("GET a.example/x", "GET a.example/y"),
        ("GET a.example/x", "GET a.example/x/"),
        ("GET a.example/{a}", "GET a.example/"),
        ("GET a.example/{a}", "GET a.example/{a}/{b}"),
        ("GET a.example/{a}", "GET a.example/a%2Fb"),
        ("GET a.example/{a}", "GET a.example/;x"),
        ("GET a.example/x/y/**", "GET a.example/{a}"),
        ("GET *.example/x", "GET example/x"),
        ("GET *.a.example/x", "GET *.b.example/x"),
        ("GET a.example:81/x", "GET a.example:82/x"),
        ("GET a.example:81/x", "GET a.example:80/x"),
        ("GET 192.0.2.4/x", "GET *.5/x"),
        ("GET 192.0.2.4/x", "GET [2001:db8::4]/x"),
        ("GET unix:/run/a:/x", "GET unix:/run/b:/x"),
        ("MCP a.example/tools/list", "GET a.example/**"),
        ("MCP a.example/x", "MCP b.example/x"),
        ("MCP a.example/tools/list", "MCP a.example/tools/call:x"),
        // No path may hold these.
        ("GET a.example/%FF", "GET a.example/**"),
        ("GET a.example/a%2F..%2Fb", "GET a.example/**"),
        ("GET a.example/%252e", "GET a.example/%252e"),
    ] {
        assert_eq!(common(a, b), None, "{a} and {b}");
    }
    assert_eq!(operation("GET a.example/%FF").example(), None);
}

#[test]
fn the_longest_names_and_paths() {
    // 253 bytes and a port are more than a host that is looked at.
    let name = [
        "a".repeat(63),
        "b".repeat(63),
        "c".repeat(63),
        "d".repeat(61),
    ]
    .join(".");
    assert_eq!(name.len(), 253);
    let with = |port: &str| {
        operation(&format!("GET {name}{port}/x"))
            .example()
            .is_some()
    };
    assert!(with("") && with(":80") && !with(":8080"));
    assert!(operation(&format!("GET *.{name}/x")).example().is_some());
    // Encoded as usual it would be longer than a path that is judged.
    let long = operation(&format!("GET a.example/{}", "ü".repeat(1021)));
    let witness = long.example().unwrap();
    assert!(witness.path.len() <= LONGEST && witness.granted_by(&long));
    let longer = operation(&format!("GET a.example/{}", "ü".repeat(1022)));
    assert_eq!(longer.example(), None);
}

const METHODS: [&str; 4] = ["GET", "POST", "PURGE", "BAN"];
const HOSTS: [&str; 9] = [
    "host.example",
    "a.b",
    "b",
    "x.a.b",
    "x.b",
    "1.2.3.4",
    "[::1.2.3.4]",
    "localhost",
    "other",
];
const PORTS: [&str; 3] = ["", ":80", ":81"];
const SOCKETS: [Option<&str>; 3] = [None, Some("/run/a"), Some("@b")];
const SEGMENTS: [&str; 5] = ["a", "b", "", "a%2Fb", ";a"];

/// All lists of at most `most` segments.
fn paths(most: usize) -> Vec<String> {
    let mut all = vec![Vec::new()];
    let mut last: Vec<Vec<&str>> = all.clone();
    for _ in 0..most {
        last = last
            .iter()
            .flat_map(|path| SEGMENTS.iter().map(|s| [path.as_slice(), &[*s]].concat()))
            .collect();
        all.extend(last.clone());
    }
    all.iter().map(|path| path.join("/")).collect()
}

static PATHS: LazyLock<Vec<Reading>> = LazyLock::new(|| {
    let read = |path: String| {
        let mut reading = Reading::default();
        reading.read(&format!("/{path}"));
        reading
    };
    paths(3).into_iter().map(read).collect()
});

/// Short paths, each as a path and as an operation of MCP.
static NAMES: LazyLock<Vec<(Reading, Reading)>> = LazyLock::new(|| {
    let read = |path: String| {
        let (mut reading, mut name) = (Reading::default(), Reading::default());
        reading.read(&format!("/{path}"));
        name.read_operation(&path);
        (reading, name)
    };
    paths(2).into_iter().map(read).collect()
});

/// Whether any request of the universe at any place fits.
fn anywhere(mut fits: impl FnMut(&str, &Peer) -> bool) -> bool {
    HOSTS.iter().any(|host| {
        PORTS.iter().any(|port| {
            let host = format!("{host}{port}");
            SOCKETS.iter().any(|socket| {
                let peer = socket.map_or(Peer::Unknown, |s| Peer::Unix(s.into()));
                fits(&host, &peer)
            })
        })
    })
}

/// Whether any request of HTTP is granted by both.
fn oracle(a: &Operation, b: &Operation) -> bool {
    anywhere(|host, peer| {
        METHODS.iter().any(|method| {
            PATHS.iter().any(|path| {
                let request = Request::new(method, host, peer, path);
                a.matches(&request) && b.matches(&request)
            })
        })
    })
}

/// Whether any request of MCP is, each path with each operation.
fn oracle_mcp(a: &Operation, b: &Operation) -> bool {
    anywhere(|host, peer| {
        NAMES.iter().any(|(path, _)| {
            let request = Request::new("POST", host, peer, path);
            NAMES.iter().any(|(_, name)| {
                let mcp = request.as_mcp(name);
                let grants = |o: &Operation| o.matches(&request) || o.matches(&mcp);
                grants(a) && grants(b)
            })
        })
    })
}

fn methods() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["*", "GET", "POST", "GET,POST", "PURGE", "PURGE,BAN"])
}

fn places() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "*",
        "*:81",
        "a.b",
        "b",
        "*.b",
        "*.a.b",
        "a.b:80",
        "a.b:81",
        "*.b:81",
        "1.2.3.4",
        "[::1.2.3.4]",
        "*.4",
        "*.3.4:81",
        "unix:/run/a:",
        "unix:@b:",
    ])
}

fn routes(most: usize) -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "{x}", "{+x}", "a%2Fb", "%3Ba"]);
    let ends = prop::sample::select(vec!["", "/", "/**"]);
    (prop::collection::vec(segment, 0..=most), ends).prop_map(|(segments, end)| {
        let mut route = String::new();
        for (at, segment) in segments.iter().enumerate() {
            // Names of captures differ.
            route.push('/');
            route.push_str(&segment.replace('x', &format!("x{at}")));
        }
        route.push_str(end);
        if route.is_empty() {
            "/".to_owned()
        } else {
            route
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_witness_exists_iff_the_oracle_finds_one(
        (m1, p1, r1) in (methods(), places(), routes(2)),
        (m2, p2, r2) in (methods(), places(), routes(2)),
    ) {
        let (a, b) = (operation(&format!("{m1} {p1}{r1}")), operation(&format!("{m2} {p2}{r2}")));
        let found = a.intersection(&b);
        prop_assert_eq!(found.is_some(), oracle(&a, &b), "{} and {}: {:?}", a.text(), b.text(), found);
    }

    #[test]
    fn so_it_does_for_mcp(
        (m1, p1, r1) in (prop::sample::select(vec!["MCP", "POST,MCP"]), places(), routes(1)),
        (m2, p2, r2) in (prop::sample::select(vec!["MCP", "POST", "GET", "*", "GET,MCP"]), places(), routes(1)),
    ) {
        let (a, b) = (operation(&format!("{m1} {p1}{r1}")), operation(&format!("{m2} {p2}{r2}")));
        let found = a.intersection(&b);
        let want = oracle(&a, &b) || oracle_mcp(&a, &b);
        prop_assert_eq!(found.is_some(), want, "{} and {}: {:?}", a.text(), b.text(), found);
    }

    #[test]
    fn any_two_operations_are_survived(a in "[A-Z*]{1,3} [a-c.:*0-9/{}%;+]{1,20}", b in "[A-Z*]{1,3} [a-c.:*0-9/{}%;+]{1,20}") {
        if let (Ok(a), Ok(b)) = (Operation::parse(&a), Operation::parse(&b))
            && let Some(witness) = a.intersection(&b)
        {
            prop_assert!(witness.granted_by(&a) && witness.granted_by(&b));
        }
    }

    #[test]
    fn dotted_is_the_same_address(bits in any::<u128>()) {
        let ip = IpAddr::V6(Ipv6Addr::from_bits(bits));
        let text = dotted(ip);
        prop_assert_eq!(text.trim_matches(['[', ']']).parse::<IpAddr>(), Ok(ip));
        let v4 = IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits >> 96).unwrap()));
        prop_assert_eq!(dotted(v4).parse::<IpAddr>(), Ok(v4));
    }
}
