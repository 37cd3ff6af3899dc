//! Export, read back: the same decisions as the policy, and no difference.

use proptest::prelude::*;

use super::*;
use crate::access::Peer;
use crate::policy::Request;
use crate::policy::path::Reading;

pub(super) fn operation() -> impl Strategy<Value = String> {
    let method = prop::sample::select(vec![
        "GET",
        "POST",
        "GET,HEAD",
        "*",
        "PURGE",
        "PUT,PATCH,DELETE",
    ]);
    let host = prop::sample::select(vec![
        "a.example",
        "b.example:8080",
        "*.dev.example",
        "*",
        "c.example:80",
        "192.0.2.1",
        "[2001:db8::1]:8443",
        "x.dev.example",
    ]);
    let segment = prop::sample::select(vec![
        "v1", "items", "{a}", "{+b}", "a%20b", "v1.2", "x+y", "a;b", "(z)",
    ]);
    let tail = prop::sample::select(vec!["", "/", "/**", "/**"]);
    (method, host, prop::collection::vec(segment, 0..4), tail).prop_map(
        |(method, host, mut segments, tail)| {
            // No capture twice.
            for name in ["{a}", "{+b}"] {
                let mut seen = false;
                segments.retain(|segment| *segment != name || !std::mem::replace(&mut seen, true));
            }
            let route: String = segments
                .iter()
                .map(|segment| format!("/{segment}"))
                .collect();
            let route = if route.is_empty() && tail.is_empty() {
                "/".to_owned()
            } else {
                format!("{route}{tail}")
            };
            format!("{method} {host}{route}")
        },
    )
}

pub(super) fn request() -> impl Strategy<Value = (&'static str, &'static str, String)> {
    let method = prop::sample::select(vec![
        "GET", "HEAD", "POST", "DELETE", "PURGE", "get", "GETX",
    ]);
    let host = prop::sample::select(vec![
        "a.example",
        "a.example:81",
        "a.example:99999",
        "b.example:8080",
        "b.example",
        "x.dev.example",
        "dev.example",
        "x.dev.example:80",
        "c.example",
        "c.example:80",
        "c.example:8080",
        "192.0.2.1",
        "[2001:db8::1]:8443",
        "axexample",
    ]);
    // The last ones are what servers read in different ways.
    let segment = prop::sample::select(vec![
        "v1", "items", "x", "a%20b", "v1.2", "v1x2", "x+y", "xxy", "(z)", "a;b", "...", "", ".",
        "..", "%2e%2e", "%2E", "..;x", ";x", "a%2Fb", "a%5Cb", "a%252Fb", "%25", "%00", "a%3Fb",
        "%u002e", "%C3%BC", "a%3Bb", "%61", "*",
    ]);
    (method, host, prop::collection::vec(segment, 0..5))
        .prop_map(|(method, host, segments)| (method, host, format!("/{}", segments.join("/"))))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn an_export_is_never_wider_and_differs_in_nothing(
        one in prop::collection::vec(operation(), 1..4),
        two in prop::collection::vec(operation(), 1..3),
        requests in prop::collection::vec(request(), 30),
        source in 0..3_usize,
    ) {
        let policy = of_operations(&[("one", one), ("two role", two)]);
        for target in READABLE {
            let lock = lock(&policy, sources(target)[source]);
            let written = write(target, &lock);
            let gate = read_back(target, &written);
            prop_assert_eq!(&gate.unread, &[]);
            let mut reading = Reading::new();
            for (method, host, path) in &requests {
                reading.read(path);
                let request = Request::new(method, host, &Peer::Unknown, &reading);
                prop_assert_eq!(compare::decide(&lock, &gate, None, (method, host, path)).unwrap(), Some(false));
                // Istio decodes and merges before it compares (the export asks for that); it is asked plain paths.
                let plain = !path.contains(['%', ';']) && !path.contains("//") && !path.contains("/.") && *host != "a.example:99999";
                if target == Target::Istio && !plain {
                    continue;
                }
                for role in &lock.roles {
                    let open = compare::decide(&lock, &gate, Some(&role.name), (method, host, path)).unwrap();
                    let granted = role.operations.iter().any(|operation| operation.matches(&request));
                    prop_assert!(open == Some(false) || granted, "{:?} {} {}{}\n{}", target, method, host, path, written.text);
                }
            }
            let mut compared = compare(&lock, &gate).unwrap();
            prop_assert!(compared.asked > 0 && compared.undecided == 0);
            if target == Target::Istio {
                // Stated: no port after a suffix, and no one port of any host.
                compared.findings.retain(|finding| finding.code != Code::Refused || !finding.host.contains(':'));
                let stated = |text: &str| written.notes.iter().any(|note| note.contains(text) && note.contains("left out"));
                compared.findings.retain(|finding| !finding.granted.iter().any(|text| stated(text)));
            }
            prop_assert_eq!(compared.findings, vec![], "{:?}\n{}", target, written.text);
        }
    }

    #[test]
    fn what_is_taken_away_or_added_is_found(one in prop::collection::vec(operation(), 1..3)) {
        let full = of_operations(&[("one", [one.clone(), vec!["GET a.example/only/here".to_owned()]].concat())]);
        let less = of_operations(&[("one", one)]);
        for target in READABLE {
            let from = sources(target)[0];
            let (full, less) = (lock(&full, from), lock(&less, from));
            let covered = compare(&less, &read_back(target, &write(target, &full))).unwrap();
            let asked = ("GET", "a.example", "/only/here");
            let own = read_back(target, &write(target, &less));
            let granted = compare::decide(&less, &own, Some("one"), asked).unwrap() == Some(true);
            let beyond: Vec<&GatewayFinding> = covered.findings.iter().filter(|f| f.code == Code::BeyondDuties).collect();
            // `.../**` and the like may grant it anyway.
            prop_assert_eq!(beyond.is_empty(), granted, "{:?}", beyond);
            for finding in beyond {
                let (method, host, path) = (finding.method.as_str(), finding.host.as_str(), finding.path.as_str());
                let gate = read_back(target, &write(target, &full));
                prop_assert_eq!(compare::decide(&less, &gate, Some("one"), (method, host, path)).unwrap(), Some(true));
                let mut reading = Reading::new();
                reading.read(path);
                let request = Request::new(method, host, &Peer::Unknown, &reading);
                prop_assert!(!less.roles[0].operations.iter().any(|operation| operation.matches(&request)));
            }
        }
    }
}

#[test]
fn a_shop_comes_back() {
    let policy = policy(SHOP);
    for target in READABLE {
        for from in sources(target) {
            let lock = lock(&policy, from);
            let gate = read_back(target, &write(target, &lock));
            let compared = compare(&lock, &gate).unwrap();
            let plain: Vec<_> = compared
                .findings
                .iter()
                .filter(|f| target != Target::Istio || !f.host.contains(':'))
                .collect();
            assert!(plain.is_empty(), "{target:?} {from}: {plain:#?}");
            assert!(
                compared.unread.is_empty() && compared.undecided == 0 && compared.asked > 20,
                "{compared:#?}"
            );
        }
    }
}
