#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::net::SocketAddr;

use super::super::dpop::{Flaw, Proof, Signature, Thumbprint};
use super::super::{
    Claims, Confirmation, Credential, Fingerprint, FingerprintKey, Location, Workload,
};
use super::*;
use crate::judge::{FindingKind, FindingSet};

fn access() -> Access {
    let mut findings = FindingSet::default();
    findings.insert(FindingKind::Environment);
    let workload = Workload {
        exe: "/usr/bin/curl".into(),
        unit: Some("ci.service".into()),
        container: None,
        user: "root".into(),
        lineage: vec![
            Arc::from("/usr/bin/bash"),
            Arc::from("/usr/lib/systemd/systemd"),
        ]
        .into(),
    };
    Access {
        time_us: 1_795_460_238_123_456,
        role: Role::Client,
        credential: Some(Arc::new(Credential {
            kind: CredentialKind::Bearer,
            fingerprint: Fingerprint([0x9f; 16]),
            hint: Some("ghp_".into()),
            claims: Claims::default(),
            default_identity: Fingerprint([0x9f; 16]).to_string().into(),
        })),
        location: Some(Location::Header),
        proof: None,
        identity: Some("ci-bot".into()),
        owner: Some("team-ci".into()),
        client: Some(Endpoint {
            pid: 1,
            workload: Arc::new(workload),
        }),
        server: None,
        peer: Peer::Inet(SocketAddr::from(([203, 0, 113, 7], 443))),
        local: false,
        protocol: "http/1.1",
        method: "GET".into(),
        host: "api.example:8080".into(),
        path: "/v1/x/17".into(),
        route: "/v1/x/{id}".into(),
        status: Some(200),
        duration_us: Some(812),
        environment: Some("dev".into()),
        duties: vec![Arc::from("deploy")].into(),
        findings,
        tls: None,
        resynchronised: false,
        unknown_fields: 0,
        grpc_status: None,
    }
}

#[test]
fn the_json_that_others_build_on() {
    let record = AccessRecord::from_access(&access());
    let json = serde_json::to_string(&record).unwrap();
    assert_eq!(
        json,
        concat!(
            r#"{"type":"access","v":1,"time":"2026-11-23T18:57:18.123456Z","role":"client","#,
            r#""identity":"ci-bot","owner":"team-ci","#,
            r#""credential":{"kind":"bearer","fingerprint":"bw1:9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f","hint":"ghp_"},"binding":null,"#,
            r#""client":{"pid":1,"exe":"/usr/bin/curl","unit":"ci.service","container":null,"user":"root","#,
            r#""lineage":["/usr/bin/bash","/usr/lib/systemd/systemd"]},"server":null,"#,
            r#""peer":"203.0.113.7:443","protocol":"http/1.1","tls":null,"#,
            r#""request":{"method":"GET","host":"api.example:8080","path":"/v1/x/17","route":"/v1/x/{id}"},"#,
            r#""response":{"status":200},"duration_us":812,"environment":"dev","duties":["deploy"],"#,
            r#""findings":["environment"]}"#,
        )
    );
    assert_eq!(serde_json::from_str::<AccessRecord>(&json).unwrap(), record);
}

#[test]
fn what_only_some_accesses_have() {
    let call = Access {
        protocol: "h2",
        grpc_status: Some(7),
        unknown_fields: 2,
        ..access()
    };
    assert!(call.refused() && !access().refused());
    let record = AccessRecord::from_access(&call);
    let json = serde_json::to_string(&record).unwrap();
    assert!(json.contains(r#""protocol":"h2""#), "{json}");
    assert!(
        json.contains(r#""route":"/v1/x/{id}","unknown_fields":2}"#),
        "{json}"
    );
    assert!(
        json.contains(r#""response":{"status":200,"grpc_status":7}"#),
        "{json}"
    );
    assert_eq!(serde_json::from_str::<AccessRecord>(&json).unwrap(), record);
}

#[test]
fn a_request_without_a_credential() {
    let bare = Access {
        role: Role::Both,
        credential: None,
        location: None,
        proof: None,
        identity: None,
        owner: None,
        client: None,
        peer: Peer::Unknown,
        status: None,
        duration_us: None,
        environment: None,
        duties: Vec::new().into(),
        findings: FindingSet::default(),
        tls: None,
        ..access()
    };
    let json = serde_json::to_value(AccessRecord::from_access(&bare)).unwrap();
    for key in [
        "identity",
        "owner",
        "credential",
        "client",
        "server",
        "peer",
        "tls",
        "response",
    ] {
        assert!(
            json.get(key).is_some_and(serde_json::Value::is_null),
            "{key} is null, not missing"
        );
    }
    assert_eq!(json.get("role").unwrap(), "both");
    assert_eq!(json.get("duties").unwrap(), &serde_json::json!([]));
}

#[test]
fn bindings() {
    let mut bound = access();
    let mut bind = |kind, confirmation, proof| {
        bound.credential = Some(Arc::new(Credential {
            kind,
            fingerprint: Fingerprint([0x9f; 16]),
            hint: None,
            claims: Claims {
                confirmation,
                ..Claims::default()
            },
            default_identity: "x".into(),
        }));
        bound.proof = proof;
        serde_json::to_value(AccessRecord::from_access(&bound).binding).unwrap()
    };
    let key = || Some(Confirmation::Key("k".into()));
    let certificate = Some(Confirmation::Certificate("k".into()));
    assert!(bind(CredentialKind::Jwt, None, None).is_null());
    let plain = |bound_to: Option<&str>| serde_json::json!({"bound_to":bound_to,"proof":"absent","thumbprint":null,"flaws":[],"age_s":null});
    assert_eq!(bind(CredentialKind::Dpop, None, None), plain(None));
    assert_eq!(bind(CredentialKind::Jwt, key(), None), plain(Some("jkt")));
    assert_eq!(
        bind(CredentialKind::Jwt, certificate, None),
        plain(Some("x5t#S256"))
    );
    let mut proof = Proof::unseen();
    let unseen = bind(CredentialKind::Dpop, None, Some(Box::new(proof.clone())));
    assert_eq!(unseen.get("proof").unwrap(), "unseen");
    proof.signature = Signature::Valid;
    proof.thumbprint = Some(Thumbprint([0; 32]));
    proof.issued = Some(1_795_460_238 - 17);
    proof.flaws.insert(Flaw::Key);
    proof.flaws.insert(Flaw::Method);
    assert_eq!(
        bind(CredentialKind::Dpop, key(), Some(Box::new(proof))),
        serde_json::json!({
            "bound_to": "jkt", "proof": "valid", "flaws": ["htm", "jkt"], "age_s": 17,
            "thumbprint": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        })
    );
}

#[test]
fn peers() {
    let peer = |peer| AccessRecord::from_access(&Access { peer, ..access() }).peer;
    assert_eq!(
        peer(Peer::Inet("[2001:db8::1]:443".parse().unwrap())).as_deref(),
        Some("[2001:db8::1]:443")
    );
    assert_eq!(
        peer(Peer::Unix("/run/docker.sock".into())).as_deref(),
        Some("unix:/run/docker.sock")
    );
    assert_eq!(
        peer(Peer::Unix("@bus".into())).as_deref(),
        Some("unix:@bus")
    );
    assert_eq!(peer(Peer::Unknown), None);
}

#[test]
fn kinds_have_their_names() {
    for (kind, name) in [
        (CredentialKind::Bearer, "bearer"),
        (CredentialKind::Jwt, "jwt"),
        (CredentialKind::Basic, "basic"),
        (CredentialKind::Digest, "digest"),
        (CredentialKind::ApiKey, "api-key"),
        (CredentialKind::Sigv4, "sigv4"),
        (CredentialKind::Dpop, "dpop"),
        (CredentialKind::Cookie, "cookie"),
    ] {
        assert_eq!(serde_json::to_value(kind).unwrap(), name);
    }
}

#[test]
fn times() {
    assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000Z");
    assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999Z");
    assert_eq!(rfc3339(1), "1970-01-01T00:00:00.000001Z");
    assert_eq!(
        rfc3339(1_795_460_238_123_456),
        "2026-11-23T18:57:18.123456Z"
    );
    assert_eq!(rfc3339(i64::MAX), "9999-12-30T22:00:00.000000Z");
    assert_eq!(rfc3339(i64::MIN), "0000-01-01T00:00:00.000000Z");
}

#[test]
fn nothing_of_the_secret_is_written() {
    let secret = b"planted-secret-0123456789";
    let fingerprint = FingerprintKey::new([1; 32]).fingerprint(secret);
    let mut access = access();
    access.credential = Some(Arc::new(Credential {
        kind: CredentialKind::Bearer,
        fingerprint,
        hint: None,
        claims: Claims::default(),
        default_identity: fingerprint.to_string().into(),
    }));
    let json = serde_json::to_string(&AccessRecord::from_access(&access)).unwrap();
    assert!(!json.contains("planted"), "{json}");
    assert!(json.contains(&fingerprint.to_string()));
}
