#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::access::record::EndpointRecord;
use crate::access::record::{CredentialRecord, RequestRecord, ResponseRecord};
use crate::access::{CredentialKind, Role};
use crate::filter::without_port;

fn endpoint(exe: &str, unit: Option<&str>, container: Option<&str>, user: &str) -> EndpointRecord {
    EndpointRecord {
        pid: 1,
        exe: exe.to_owned(),
        unit: unit.map(str::to_owned),
        container: container.map(str::to_owned),
        user: user.to_owned(),
        lineage: Vec::new(),
    }
}

fn access() -> AccessRecord {
    AccessRecord {
        r#type: "access".to_owned(),
        v: 1,
        time: "2026-11-23T18:57:18.123456Z".to_owned(),
        role: Role::Both,
        identity: Some("ci-bot".to_owned()),
        owner: None,
        binding: None,
        credential: Some(CredentialRecord {
            kind: CredentialKind::Bearer,
            fingerprint: "bw1:00112233445566778899aabbccddeeff".to_owned(),
            hint: None,
        }),
        client: Some(endpoint("/usr/bin/curl", Some("ci.service"), None, "ci")),
        server: Some(endpoint(
            "/usr/sbin/nginx",
            None,
            Some("4f5e6d7c8b9a"),
            "www-data",
        )),
        peer: None,
        protocol: "http/1.1".to_owned(),
        tls: None,
        request: RequestRecord {
            method: "GET".to_owned(),
            host: "api.example:8080".to_owned(),
            path: "/v1/x/17".to_owned(),
            route: "/v1/x/{id}".to_owned(),
            unknown_fields: None,
        },
        response: Some(ResponseRecord {
            status: 404,
            grpc_status: None,
        }),
        duration_us: Some(812),
        environment: Some("dev".to_owned()),
        duties: Vec::new(),
        findings: vec!["environment".to_owned()],
    }
}

fn filter(terms: &[(Field, &str, bool)]) -> Result<Filter, BadFilter> {
    let terms: Vec<Term> = terms
        .iter()
        .map(|(field, value, not)| Term {
            field: *field,
            value: (*value).to_owned(),
            not: *not,
        })
        .collect();
    Filter::new(&terms)
}

fn is(field: Field, value: &str) -> bool {
    filter(&[(field, value, false)]).unwrap().matches(&access())
}

#[test]
fn each_field() {
    for (field, value, expected) in [
        (Field::Identity, "ci-bot", true),
        (Field::Identity, "ci-*", true),
        (Field::Identity, "ci", false),
        (Field::Identity, "bw1:0011", true),
        (
            Field::Identity,
            "bw1:00112233445566778899AABBCCDDEEFF",
            true,
        ),
        (Field::Identity, "bw1:0012", false),
        (Field::Workload, "curl", true),
        (Field::Workload, "/usr/bin/curl", true),
        (Field::Workload, "nginx", true),
        (Field::Workload, "ci.service", true),
        (Field::Workload, "unit:ci.*", true),
        (Field::Workload, "exe:ci.service", false),
        (Field::Workload, "4f5e", true),
        (Field::Workload, "4f5", false),
        (Field::Workload, "container:4f5e6d7c8b9a", true),
        (Field::Workload, "www-data", true),
        (Field::Workload, "user:root", false),
        (Field::Host, "api.example:8080", true),
        (Field::Host, "API.example", true),
        (Field::Host, "*.example", true),
        (Field::Host, "example", false),
        (Field::Method, "get", true),
        (Field::Method, "POST", false),
        (Field::Status, "404", true),
        (Field::Status, "4xx", true),
        (Field::Status, "4+", true),
        (Field::Status, "404+", true),
        (Field::Status, "5+", false),
        (Field::Status, "400-404", true),
        (Field::Status, "400-403", false),
        (Field::Status, "none", false),
        (Field::Finding, "any", true),
        (Field::Finding, "environment", true),
        (Field::Finding, "duty", false),
        (Field::Env, "dev", true),
        (Field::Env, "none", false),
    ] {
        assert_eq!(is(field, value), expected, "--{} {value}", field.name());
    }
}

#[test]
fn values_that_mean_nothing() {
    for value in [
        "", "40", "4x", "4xxx", "99", "abc", "500-400", "+", "-", "0xx", "1000", "+404", "4 4",
    ] {
        assert!(filter(&[(Field::Status, value, false)]).is_err(), "{value}");
    }
    let error = filter(&[(Field::Finding, "dutty", false)])
        .unwrap_err()
        .to_string();
    assert!(error.contains("credential-in-url"), "{error}");
    assert!(filter(&[(Field::Host, &"x".repeat(513), false)]).is_err());
    assert!(filter(&[(Field::Host, "x", false); 65]).is_err());
}

#[test]
fn hosts_and_ports() {
    for (host, name) in [
        ("a.example", "a.example"),
        ("a.example:80", "a.example"),
        ("[2001:db8::1]:443", "[2001:db8::1]"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("2001:db8::1", "2001:db8::1"),
        ("a:", "a:"),
        ("-", "-"),
    ] {
        assert_eq!(without_port(host), name);
    }
}

#[test]
fn a_hostile_pattern_is_not_slow() {
    let pattern = Glob::new(&"*a".repeat(250));
    assert!(!pattern.matches(&"a".repeat(249)));
    assert!(!pattern.matches(&format!("{}b", "a".repeat(4000))));
}

/// What `*` and `?` mean, by definition.
fn naive_glob(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        (['*', rest @ ..], _) => {
            naive_glob(rest, text) || (!text.is_empty() && naive_glob(pattern, &text[1..]))
        }
        (['?', rest @ ..], [_, more @ ..]) => naive_glob(rest, more),
        ([a, rest @ ..], [b, more @ ..]) if a == b => naive_glob(rest, more),
        _ => false,
    }
}

/// What a term means, from the documentation and not from the code.
fn naive_term(field: Field, value: &str, access: &AccessRecord) -> bool {
    let glob = |text: &str| {
        naive_glob(
            &value.chars().collect::<Vec<_>>(),
            &text.chars().collect::<Vec<_>>(),
        )
    };
    match field {
        Field::Identity => access.identity.as_deref().is_some_and(glob),
        Field::Workload => [&access.client, &access.server]
            .into_iter()
            .flatten()
            .any(|side| {
                glob(&side.exe)
                    || glob(side.exe.split('/').next_back().unwrap())
                    || side.unit.as_deref().is_some_and(glob)
                    || side.container.as_deref().is_some_and(glob)
                    || glob(&side.user)
            }),
        Field::Host => {
            let host = &access.request.host;
            glob(host) || host.split_once(':').is_some_and(|(name, _)| glob(name))
        }
        Field::Method => access.request.method.to_lowercase() == value.to_lowercase(),
        Field::Status => {
            let Some(status) = access.response.as_ref().map(|response| response.status) else {
                return value == "none";
            };
            let text = status.to_string();
            match value {
                "none" => false,
                "5+" => status >= 500,
                "200-404" => (200..405).contains(&status),
                _ if value.ends_with("xx") => text[..1] == value[..1],
                _ => text == value,
            }
        }
        Field::Finding => {
            if value == "any" {
                !access.findings.is_empty()
            } else {
                access.findings.contains(&value.to_owned())
            }
        }
        Field::Env => match &access.environment {
            None => value == "none",
            Some(name) => value != "none" && glob(name),
        },
    }
}

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(values).prop_map(str::to_owned)
}

fn terms() -> impl Strategy<Value = Vec<Term>> {
    let name = || {
        prop_oneof![
            one_of(&["a", "ab", "a*", "*b", "*", "?b", "b.service", "x/a", "**a*"]),
            "[ab*?]{1,5}"
        ]
    };
    let term = prop_oneof![
        name().prop_map(|value| (Field::Identity, value)),
        name().prop_map(|value| (Field::Workload, value)),
        prop_oneof![name(), one_of(&["a:80", "*:80"])].prop_map(|value| (Field::Host, value)),
        one_of(&["get", "GET", "POST"]).prop_map(|value| (Field::Method, value)),
        one_of(&["none", "200", "404", "4xx", "5xx", "5+", "200-404"])
            .prop_map(|value| (Field::Status, value)),
        one_of(&["any", "duty", "canary"]).prop_map(|value| (Field::Finding, value)),
        prop_oneof![name(), one_of(&["none"])].prop_map(|value| (Field::Env, value)),
    ];
    proptest::collection::vec((term, any::<bool>()), 0..6).prop_map(|terms| {
        terms
            .into_iter()
            .map(|((field, value), not)| Term { field, value, not })
            .collect()
    })
}

fn accesses() -> impl Strategy<Value = AccessRecord> {
    let name = || one_of(&["a", "b", "ab", "ba", "abb"]);
    let side = || {
        let parts = (
            one_of(&["/x/a", "ab", ""]),
            proptest::option::of(one_of(&["b.service"])),
        );
        let rest = (proptest::option::of(one_of(&["aabb"])), name());
        proptest::option::of((parts, rest).prop_map(|((exe, unit), (container, user))| {
            endpoint(&exe, unit.as_deref(), container.as_deref(), &user)
        }))
    };
    (
        (proptest::option::of(name()), side(), side()),
        (one_of(&["a", "ab:80", "a:80"]), one_of(&["GET", "POST"])),
        proptest::option::of(proptest::sample::select(vec![200_u16, 404, 405, 500, 599])),
        proptest::sample::subsequence(vec!["duty".to_owned(), "canary".to_owned()], 0..=2),
        proptest::option::of(name()),
    )
        .prop_map(
            |((identity, client, server), (host, method), status, findings, environment)| {
                let mut record = access();
                record.identity = identity;
                record.client = client;
                record.server = server;
                record.request.host = host;
                record.request.method = method;
                record.response = status.map(|status| ResponseRecord {
                    status,
                    grpc_status: None,
                });
                record.findings = findings;
                record.environment = environment;
                record
            },
        )
}

proptest! {
    #[test]
    fn agrees_with_the_definition(terms in terms(), record in accesses()) {
        let expected = terms.iter().all(|term| {
            let hit = |term: &Term| naive_term(term.field, &term.value, &record);
            if term.not {
                !hit(term)
            } else {
                terms.iter().any(|other| !other.not && other.field == term.field && hit(other))
            }
        });
        let filter = Filter::new(&terms).unwrap();
        prop_assert_eq!(filter.matches(&record), expected, "{:?}", terms);
        // The same in words is the same filter.
        let words = filter.language().to_string();
        let parsed = crate::filter::Filter::parse_for(Subject::Access, &words).unwrap();
        prop_assert_eq!(&parsed, filter.language(), "{}", words);
    }

    #[test]
    fn patterns_agree_with_the_definition(pattern in "[ab*?é]{0,8}", text in "[abé]{0,10}") {
        let naive = naive_glob(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
        prop_assert_eq!(Glob::new(&pattern).matches(&text), naive);
    }

    #[test]
    fn any_value_is_survived(value in ".{0,40}", record in accesses()) {
        for field in Field::ALL {
            if let Ok(filter) = filter(&[(field, &value, false)]) {
                let _ = filter.matches(&record);
            }
        }
    }
}
