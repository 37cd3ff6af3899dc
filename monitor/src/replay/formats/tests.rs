use super::*;
use crate::access::CredentialKind;
use crate::access::record::rfc3339;

fn one(format: Format, text: &str) -> Result<Access, Refusal> {
    match Reader::default().read(format, text.as_bytes())? {
        Item::Access(access) => Ok(*access),
        other => panic!("{other:?}"),
    }
}

/// What of an access its operation and outcome are.
fn told(access: &Access) -> String {
    let credential = access.credential.as_ref().unwrap();
    format!(
        "{} {} {} {}{} -> {} {:?} from {:?}",
        rfc3339(access.time_us),
        credential.default_identity,
        access.method,
        access.host,
        access.path,
        access.route,
        access.status,
        access.peer
    )
}

const TRAIL: &str = r#"{"eventVersion":"1.08","userIdentity":{"type":"AssumedRole","principalId":"AROA:s","arn":"arn:aws:sts::111122223333:assumed-role/deploy/s","accessKeyId":"ASIAEXAMPLE","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::111122223333:role/deploy"}}},"eventTime":"2026-11-23T10:00:00Z","eventSource":"s3.amazonaws.com","eventName":"DeleteBucket","sourceIPAddress":"203.0.113.7","errorCode":"AccessDenied","tlsDetails":{"tlsVersion":"TLSv1.3"}}"#;

#[test]
fn cloudtrail() {
    let access = one(Format::CloudTrail, TRAIL).unwrap();
    assert_eq!(
        told(&access),
        "2026-11-23T10:00:00.000000Z arn:aws:iam::111122223333:role/deploy POST s3.amazonaws.com/DeleteBucket -> \
         /DeleteBucket Some(403) from Inet(203.0.113.7:0)"
    );
    assert_eq!(access.tls.as_ref().unwrap().version.as_deref(), Some("1.3"));
    let credential = access.credential.unwrap();
    assert_eq!(credential.kind, CredentialKind::Sigv4);
    assert_eq!(credential.claims.subject.as_deref(), Some("ASIAEXAMPLE"));
    let reads = TRAIL.replace("\"errorCode\":\"AccessDenied\"", "\"readOnly\":true");
    let access = one(Format::CloudTrail, &reads).unwrap();
    assert_eq!((&*access.method, access.status), ("GET", Some(200)));
    let nobody = TRAIL.replace("userIdentity", "other");
    assert_eq!(
        one(Format::CloudTrail, &nobody).unwrap_err(),
        Refusal::NoIdentity
    );
    let never = TRAIL.replace("2026-11-23T", "yesterday");
    assert_eq!(
        one(Format::CloudTrail, &never).unwrap_err(),
        Refusal::Fields
    );
}

#[test]
fn combined() {
    let line = r#"203.0.113.7 - alice [23/Nov/2026:10:55:36 -0700] "GET /orders/4711?key=secret HTTP/1.1" 200 2326 "-" "curl/8""#;
    let access = one(Format::Combined, line).unwrap();
    assert_eq!(
        told(&access),
        "2026-11-23T17:55:36.000000Z basic:user=alice GET -/orders/4711 -> /orders/{id} Some(200) from \
         Inet(203.0.113.7:0)"
    );
    assert!(access.tls.is_some(), "not known is not clear text");
    let virtual_host = format!("shop.example:443 {line}");
    assert_eq!(
        &*one(Format::Combined, &virtual_host).unwrap().host,
        "shop.example"
    );
    let proxy = line.replace("GET /", "GET http://Shop.example:8080/");
    let access = one(Format::Combined, &proxy).unwrap();
    assert_eq!(
        (&*access.host, &*access.path),
        ("shop.example:8080", "/orders/4711")
    );
    let quote = line.replace("?key=secret", "\\\"x");
    assert_eq!(
        one(Format::Combined, &quote).unwrap().path,
        "/orders/4711\\\"x"
    );
    for (wrong, why) in [
        (line.replace("alice", "-"), Refusal::NoIdentity),
        (line.replace("Nov", "Now"), Refusal::Fields),
        (line.replace("-0700", "-07"), Refusal::Fields),
        (
            line.replace("GET /orders/4711?key=secret HTTP/1.1", "-"),
            Refusal::Fields,
        ),
        (line.replace('"', ""), Refusal::Malformed),
        (line.replace("alice", &"a".repeat(5000)), Refusal::TooLong),
    ] {
        assert_eq!(one(Format::Combined, &wrong).unwrap_err(), why, "{wrong}");
    }
}

#[test]
fn envoy() {
    let line = r#"{"start_time":"2026-11-23T10:00:00.123Z","method":"PUT","path":"/v1/keys/17?x=y","protocol":"HTTP/2","response_code":503,"duration":12,"authority":"Keys.example","downstream_remote_address":"[2001:db8::1]:5000","jwt_iss":"https://idp.example","jwt_sub":"ci,bot","grpc_status":null}"#;
    let access = one(Format::Envoy, line).unwrap();
    assert_eq!(
        told(&access),
        "2026-11-23T10:00:00.123000Z jwt:iss=https://idp.example,sub=ci%2Cbot PUT keys.example/v1/keys/17 -> \
         /v1/keys/{id} Some(503) from Inet([2001:db8::1]:5000)"
    );
    assert_eq!((access.protocol, access.duration_us), ("h2", Some(12_000)));
    let spiffe = line.replace("jwt_sub", "downstream_peer_uri_san");
    let credential = one(Format::Envoy, &spiffe).unwrap().credential.unwrap();
    assert_eq!(&*credential.default_identity, "ci,bot");
    let nobody = line.replace("jwt_sub", "other");
    assert_eq!(
        one(Format::Envoy, &nobody).unwrap_err(),
        Refusal::NoIdentity
    );
    assert_eq!(one(Format::Envoy, "[1]").unwrap_err(), Refusal::Malformed);
}

#[test]
fn a_recorded_name_stands_in_for_the_claims() {
    let line = r#"{"type":"access","v":1,"time":"2026-11-24T10:00:00Z","role":"client","identity":"jwt:iss=i%2Cx,sub=s","credential":{"kind":"jwt","fingerprint":"bw1:00112233445566778899aabbccddeeff"},"protocol":"h2","request":{"method":"GET","host":"x.example","path":"/a","route":"/a"}}"#;
    let mut reader = Reader::default();
    let mut credential = || {
        let item = reader.read(Format::Accesses, line.as_bytes()).unwrap();
        let Item::Access(access) = item else { panic!() };
        access.credential.unwrap()
    };
    let first = credential();
    assert_eq!(first.claims.issuer.as_deref(), Some("i,x"));
    assert_eq!(first.claims.subject.as_deref(), Some("s"));
    assert!(
        std::sync::Arc::ptr_eq(&first, &credential()),
        "one credential, kept once"
    );
    for (text, why) in [
        (line.replace("2026-11-24T", "x"), Refusal::Fields),
        (line.replace("\"role\":\"client\",", ""), Refusal::Fields),
        (line.replace("\"v\":1", "\"v\":2"), Refusal::Malformed),
        (
            line.replace("x.example", &"x".repeat(3000)),
            Refusal::TooLong,
        ),
        (
            "{\"type\":\"alert\",\"v\":1}".to_owned(),
            Refusal::Malformed,
        ),
    ] {
        assert_eq!(one(Format::Accesses, &text).unwrap_err(), why, "{text}");
    }
    let lost = reader.read(Format::Accesses, b"{\"type\":\"lost\",\"v\":1,\"count\":7}");
    assert!(matches!(lost, Ok(Item::Lost(7))));
    let live = reader.read(Format::Accesses, b"{\"type\":\"live\",\"v\":1}");
    assert!(matches!(live, Ok(Item::Nothing)));
}

#[test]
fn formats_are_told_apart() {
    for (begin, format) in [
        ("{\"type\":\"access\",\"v\":1}", Some(Format::Accesses)),
        ("{\"type\":\"live\",\"v\":1}\n{", Some(Format::Accesses)),
        ("\n {\"Records\":[{", Some(Format::CloudTrail)),
        (TRAIL, Some(Format::CloudTrail)),
        ("{\"start_time\":\"x\"}", Some(Format::Envoy)),
        (
            "1.2.3.4 - - [23/Nov/2026:10:55:36 -0700] \"GET",
            Some(Format::Combined),
        ),
        ("version = 1", None),
        ("", None),
    ] {
        assert_eq!(Format::guess(begin.as_bytes()), format, "{begin}");
    }
}

proptest::proptest! {
    #[test]
    fn no_line_panics(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "{", "}", "\"", "\\", " ", "[", "] \"", "-", "23/Nov/2026:10:55:36 -0700", "\"Records\"", ":", ",",
                "eventTime", "GET /x HTTP/1.1", "://", "\u{e9}", "999999999", "+", "0", "time", "/", "?",
            ]),
            0..40,
        )
    ) {
        let text = pieces.concat();
        let mut reader = Reader::default();
        for format in [Format::Accesses, Format::CloudTrail, Format::Combined, Format::Envoy] {
            let _ = reader.read(format, text.as_bytes());
        }
        let _ = Format::guess(text.as_bytes());
    }
}
