use proptest::prelude::*;

use super::route::Asked;
use super::*;
use crate::access::record::{
    AccessRecord, CredentialRecord, EndpointRecord, RequestRecord, ResponseRecord,
};
use crate::access::{CredentialKind, FingerprintKey, Peer, Role};
use crate::census::{IdentityRecord, Listed, OperationCount};
use crate::policy::{self, Loaded, Policy};

pub(super) fn load(text: &str) -> Policy {
    let key = FingerprintKey::new([0; 32]);
    let loaded = policy::load_text("p.toml", text, &key);
    let Loaded { policy, warnings } = loaded.unwrap_or_else(|e| panic!("{e:#?}\n{text}"));
    assert!(
        !warnings.iter().any(policy::PolicyWarning::fails_check),
        "{warnings:#?}"
    );
    policy
}

pub(super) fn access(
    identity: &str,
    print: u8,
    method: &str,
    host: &str,
    path: &str,
    route: &str,
) -> AccessRecord {
    AccessRecord {
        r#type: "access".into(),
        v: 1,
        time: "2026-11-24T10:00:00.000000Z".into(),
        role: Role::Client,
        identity: Some(identity.into()),
        owner: None,
        credential: Some(CredentialRecord {
            kind: CredentialKind::Bearer,
            fingerprint: format!("bw1:{}", format!("{print:02x}").repeat(16)),
            hint: None,
        }),
        binding: None,
        client: Some(EndpointRecord {
            pid: 1,
            exe: "/usr/bin/curl".into(),
            unit: None,
            container: None,
            user: "ann".into(),
            lineage: Vec::new(),
        }),
        server: None,
        peer: Some("203.0.113.7:443".into()),
        protocol: "http/1.1".into(),
        tls: None,
        request: RequestRecord {
            method: method.into(),
            host: host.into(),
            path: path.into(),
            route: route.into(),
            unknown_fields: None,
        },
        response: Some(ResponseRecord {
            status: 200,
            grpc_status: None,
        }),
        duration_us: None,
        environment: None,
        duties: Vec::new(),
        findings: Vec::new(),
    }
}

fn learnt(records: &[AccessRecord]) -> (Policy, String, Evidence) {
    let mut evidence = Evidence::new();
    records.iter().for_each(|record| evidence.add(record));
    let text = propose(&evidence).to_toml();
    (load(&text), text, evidence)
}

/// Whether the identity that owns the record's credential is granted it.
fn granted(policy: &Policy, record: &AccessRecord) -> bool {
    let Some(print) = record.credential.as_ref().map(|c| c.fingerprint.clone()) else {
        return false;
    };
    let name = record.identity.as_deref().unwrap();
    let token = super::names::Token::parse(name).and_then(|token| token.selector());
    let selector = policy::selector::Selector::parse(token.as_deref().unwrap_or(&print)).unwrap();
    let owner = policy
        .identities()
        .find(|one| one.credentials.contains(&selector));
    let Some(identity) = owner else { return false };
    let peer = match record.peer.as_deref() {
        Some(text) => match text.strip_prefix("unix:") {
            Some(socket) => Peer::Unix(socket.into()),
            None => Peer::Inet(text.parse().unwrap()),
        },
        None => Peer::Unknown,
    };
    let asked = Asked {
        method: &record.request.method,
        host: &record.request.host,
        peer: &peer,
        path: Some(&record.request.path),
        route: &record.request.route,
    };
    let duties = identity.duties.iter().filter_map(|id| policy.duty(*id));
    asked.granted_by(duties.flat_map(|duty| duty.operations.iter()))
}

fn print_of(number: u8) -> String {
    format!("bw1:{}", format!("{number:02x}").repeat(16))
}

#[test]
fn a_proposal_reads_like_this() {
    let token = "jwt:iss=https://idp.example,sub=alice@shop.example";
    let mut records = vec![
        access(
            token,
            1,
            "POST",
            "ci.example",
            "/deployments/17/approve",
            "/deployments/{id}/approve",
        ),
        access(
            &print_of(2),
            2,
            "POST",
            "ci.example",
            "/deployments/17",
            "/deployments/{id}",
        ),
        access(
            &print_of(2),
            2,
            "POST",
            "ci.example",
            "/deployments/18",
            "/deployments/{id}",
        ),
        access(
            &print_of(2),
            2,
            "GET",
            "api.shop.example",
            "/v1/a%20b{c",
            "/v1/a%20b{c",
        ),
        access(
            &print_of(2),
            2,
            "HEAD",
            "api.shop.example",
            "/v1/a%20b{c",
            "/v1/a%20b{c",
        ),
        access(
            token,
            1,
            "PATCH",
            "api.shop.example",
            "/v1/prices/9",
            "/v1/prices/{id}",
        ),
        access(
            &print_of(2),
            2,
            "GET",
            "docker",
            "/containers/json",
            "/containers/json",
        ),
        access(
            &print_of(3),
            3,
            "POST",
            "mcp.shop.example",
            "/mcp",
            "MCP tools/call:read_issue",
        ),
        access(
            &print_of(4),
            4,
            "GET",
            "api.shop.example",
            "/../etc",
            "/../etc",
        ),
        access(
            &print_of(4),
            4,
            "GET",
            "api.shop.example",
            "/admin",
            "/admin",
        ),
        access(&print_of(4), 4, "GET", "-", "/admin", "/admin"),
    ];
    records[6].peer = Some("unix:/run/docker.sock".into());
    records[9].response = Some(ResponseRecord {
        status: 403,
        grpc_status: None,
    });
    records[7].findings = vec!["cleartext".into()];
    records[7].client = None;
    let (policy, text, evidence) = learnt(&records);
    insta::assert_snapshot!(text);
    for record in &records[..8] {
        assert!(granted(&policy, record), "{record:?}");
    }
    assert_eq!(
        evidence.left_out().values().copied().collect::<Vec<_>>(),
        [1, 1, 1],
        "refused, path, no host"
    );
}

#[test]
fn one_identity_under_two_names_is_one() {
    let named = AccessRecord {
        owner: Some("team-ci".into()),
        ..access("ci bot", 2, "POST", "x.example", "/b", "/b")
    };
    let records = [
        access(&print_of(2), 2, "GET", "x.example", "/a", "/a"),
        named,
    ];
    let (policy, text, _) = learnt(&records);
    assert_eq!(policy.identities().len(), 1, "{text}");
    assert!(
        records.iter().all(|record| granted(&policy, record)),
        "{text}"
    );
    assert!(
        text.contains("[identities.\"ci bot\"]\nowner = \"team-ci\"\n"),
        "{text}"
    );
}

#[test]
fn an_open_list_becomes_a_pattern_and_a_complete_one_stays() {
    let word = |n: usize| format!("name-{}", "abcdefghijklmnopqrst".chars().nth(n).unwrap());
    let seen = |times: usize| -> Vec<AccessRecord> {
        (0..20)
            .flat_map(|n| std::iter::repeat_n(n, times))
            .map(|n| {
                let path = format!("/v1/users/{}", word(n));
                access(&print_of(1), 1, "GET", "x.example", &path, &path)
            })
            .collect()
    };
    let (_, open, _) = learnt(&seen(1));
    assert!(
        open.contains("\"GET x.example/v1/users/{id}\",  # 20\n"),
        "{open}"
    );
    let (_, complete, _) = learnt(&seen(3));
    assert!(
        !complete.contains("{id}") && complete.contains("users/name-t"),
        "{complete}"
    );
    // What somebody else alone does is not granted on the way.
    let mut records = seen(1);
    let other = access(
        &print_of(2),
        2,
        "GET",
        "x.example",
        "/v1/users/root",
        "/v1/users/root",
    );
    records.push(other.clone());
    let (policy, text, _) = learnt(&records);
    assert!(!text.contains("{id}"), "{text}");
    let stolen = AccessRecord {
        credential: records[0].credential.clone(),
        identity: Some(print_of(1)),
        ..other
    };
    assert!(!granted(&policy, &stolen));
    // With more below them they become the rest of the path.
    let deep: Vec<AccessRecord> = seen(1)
        .into_iter()
        .flat_map(|mut one| {
            let whole = one.clone();
            one.request.path.push_str("/keys");
            one.request.route = one.request.path.clone();
            [one]
                .into_iter()
                .chain(whole.request.path.ends_with('a').then_some(whole))
        })
        .collect();
    let (_, text, _) = learnt(&deep);
    assert!(text.contains("\"GET x.example/v1/users/**\""), "{text}");
}

#[test]
fn what_the_daemon_remembers_adds_to_what_it_shows() {
    let mut evidence = Evidence::new();
    evidence.add(&access(
        &print_of(1),
        1,
        "GET",
        "x.example",
        "/v1/17",
        "/v1/{id}",
    ));
    let operation = |route: &str, count| OperationCount {
        method: "GET".into(),
        host: "x.example".into(),
        route: route.into(),
        count,
    };
    evidence.add_identity(&IdentityRecord {
        r#type: "identity".into(),
        v: 1,
        identity: print_of(1),
        owner: None,
        kinds: vec![CredentialKind::Bearer],
        fingerprints: Listed {
            items: vec![print_of(1)],
            more: 0,
        },
        hints: Listed::default(),
        first_seen: Some("2026-11-01T00:00:00Z".into()),
        last_seen: Some("2026-11-24T10:00:00Z".into()),
        last_refused: None,
        accesses: 500,
        refused: 0,
        findings: Default::default(),
        workloads: Listed {
            items: vec!["exe:/usr/bin/curl".into()],
            more: 0,
        },
        environments: Listed::default(),
        hosts: Listed {
            items: vec!["x.example".into()],
            more: 0,
        },
        operations: Listed {
            items: vec![operation("/v1/{id}", 400), operation("/health", 99)],
            more: 0,
        },
        usage: None,
        baseline: None,
    });
    let text = propose(&evidence).to_toml();
    load(&text);
    assert!(
        text.contains("\"GET x.example/v1/{id}\",  # 400\n"),
        "{text}"
    );
    assert!(text.contains("\"GET x.example/health\",  # 99\n"), "{text}");
    assert!(text.contains("from 500 requests of 1 identity"), "{text}");
}

#[test]
fn differences_are_told_by_identity() {
    let policy = load(&format!(
        "version = 1\n[duties]\nread = [\"GET x.example/v1/{{id}}\", \"GET x.example/old\"]\n\
         write = [\"POST x.example/**\"]\n\
         [identities]\nci = {{ owner = \"o\", credentials = [\"{}\"], duties = [\"read\", \"write\"] }}\n\
         idle = {{ owner = \"o\", credentials = [\"basic:user=idle\"], duties = [\"write\"] }}\n\
         ok = {{ owner = \"o\", credentials = [\"jwt:iss=i,sub=s\"], duties = [\"write\"] }}\n",
        print_of(1)
    ));
    let mut evidence = Evidence::new();
    for record in [
        access(&print_of(1), 1, "GET", "x.example", "/v1/17", "/v1/{id}"),
        access(&print_of(1), 1, "DELETE", "x.example", "/v1/17", "/v1/{id}"),
        access("jwt:iss=i,sub=s", 2, "POST", "x.example", "/z", "/z"),
        access(&print_of(3), 3, "GET", "x.example", "/z", "/z"),
    ] {
        evidence.add(&record);
    }
    let found = difference(&evidence, &policy);
    let told: Vec<(&str, bool, Vec<&str>, Vec<&str>)> = found
        .iter()
        .map(|one| {
            (
                one.identity.as_str(),
                one.named,
                one.unused.iter().map(|u| u.operation.as_str()).collect(),
                one.not_granted
                    .iter()
                    .map(|u| u.operation.as_str())
                    .collect(),
            )
        })
        .collect();
    let stranger = print_of(3);
    assert_eq!(
        told,
        [
            (
                "ci",
                true,
                vec!["GET x.example/old", "POST x.example/**"],
                vec!["DELETE x.example/v1/{id}"]
            ),
            ("idle", true, vec!["POST x.example/**"], vec![]),
            (stranger.as_str(), false, vec![], vec!["GET x.example/z"]),
        ]
    );
    // Against what was learnt from the same there is none.
    let own = load(&propose(&evidence).to_toml());
    assert_eq!(difference(&evidence, &own), []);
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9/._~%{}*;-]{0,24}",
        2 => "(/[a-z]{1,3}|/[0-9]{1,3}|/%2[Ff]x){0,5}",
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_access_is_granted_or_counted(
        raw in prop::collection::vec(
            (0_u8..5, 0_usize..6, 0_usize..6, texts(), any::<bool>()), 0..60),
        junk in texts(),
    ) {
        let key = FingerprintKey::new([7; 32]);
        let _ = key;
        let mut router = crate::access::route::Router::new(4096);
        let methods = ["GET", "POST", "HEAD", "PURGE", "get", "?"];
        let hosts = ["x.example", "10.0.0.1:8080", "[::1]:9", "-", "localhost", junk.as_str()];
        let mut records = Vec::new();
        for (who, method, host, path, mcp) in raw {
            let host = hosts[host];
            let path = if path.starts_with('/') { path } else { format!("/{path}") };
            let route = if mcp { format!("MCP {}", path.trim_start_matches('/')) } else { router.route(&host.into(), &path).to_string() };
            let name = match who {
                0 => "jwt:iss=i%2C,sub=a\u{202e}\"b".to_owned(),
                1 => "jwt:sub=x".to_owned(),
                n => print_of(n),
            };
            let mut record = access(&name, who, methods[method], host, &path, &route);
            if who == 3 { record.peer = Some("unix:/run/x.sock".into()); }
            if who == 4 { record.environment = Some(format!("e {junk}").trim().chars().filter(|c| !c.is_control()).take(20).collect()); }
            records.push(record);
        }
        let mut evidence = Evidence::new();
        let mut wanted = Vec::new();
        for record in &records {
            let before: u64 = evidence.left_out().values().sum();
            evidence.add(record);
            if evidence.left_out().values().sum::<u64>() == before {
                wanted.push(record);
            }
        }
        let text = propose(&evidence).to_toml();
        let key = FingerprintKey::new([0; 32]);
        let loaded = policy::load_text("p.toml", &text, &key);
        prop_assert!(loaded.is_ok(), "{:#?}\n{text}", loaded.err());
        let policy = loaded.unwrap().policy;
        for record in wanted {
            prop_assert!(granted(&policy, record), "{:?}\n{text}", record.request);
        }
        // In any order.
        let mut other = Evidence::new();
        records.iter().rev().for_each(|record| other.add(record));
        prop_assert_eq!(propose(&other).to_toml(), text);
    }
}
