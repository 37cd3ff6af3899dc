//! Envoy's access log as JSON. Which fields there are, whoever runs it says; the names here are those of Envoy's
//! default format and of Istio's, and for identities those of docs/replay.md.
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage>

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::foreign::{Foreign, protocol};
use super::{Item, Reader, Refusal};
use crate::access::CredentialKind;

/// Fields that say whose request it was; the first that is there counts.
const IDENTITIES: [(&str, CredentialKind); 5] = [
    ("jwt_sub", CredentialKind::Jwt),
    ("downstream_peer_uri_san", CredentialKind::Bearer),
    ("downstream_peer_subject", CredentialKind::Bearer),
    ("identity", CredentialKind::Bearer),
    ("user", CredentialKind::Bearer),
];

pub(super) fn read(reader: &mut Reader, piece: &[u8]) -> Result<Item, Refusal> {
    let Ok(fields) = serde_json::from_slice::<Map<String, Value>>(piece) else {
        return Err(Refusal::Malformed);
    };
    // Envoy writes "-" or null for what it does not know.
    let text = |names: &[&str]| {
        let found = names.iter().find_map(|name| fields.get(*name)?.as_str());
        found.filter(|text| !matches!(*text, "" | "-"))
    };
    let number = |name: &str| match fields.get(name)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let time = text(&["start_time", "timestamp", "time"]).ok_or(Refusal::Fields)?;
    let time: Timestamp = time.parse().map_err(|_| Refusal::Fields)?;
    let method = text(&["method", ":method", "request_method"]).ok_or(Refusal::Fields)?;
    let path = text(&["x_envoy_original_path", "path", ":path"]).ok_or(Refusal::Fields)?;
    let who = IDENTITIES
        .iter()
        .find_map(|(name, kind)| text(&[name]).map(|who| (who, *kind)));
    let (subject, kind) = who.ok_or(Refusal::NoIdentity)?;
    let issuer = text(&["jwt_iss"]).filter(|_| kind == CredentialKind::Jwt);
    let name = match issuer {
        // As the default name of a token is written.
        Some(issuer) => format!("jwt:iss={},sub={}", escaped(issuer), escaped(subject)),
        None => subject.to_owned(),
    };
    reader.foreign(&Foreign {
        time_us: time.as_microsecond(),
        kind,
        name: &name,
        subject,
        issuer,
        from: text(&[
            "downstream_remote_address",
            "downstream_direct_remote_address",
        ]),
        method,
        host: text(&["authority", ":authority", "requested_server_name"]).unwrap_or("-"),
        path,
        protocol: protocol(text(&["protocol"]).unwrap_or_default()),
        // 0: no response was sent.
        status: number("response_code")
            .and_then(|code| u16::try_from(code).ok())
            .filter(|code| *code >= 100),
        grpc_status: number("grpc_status_number").and_then(|code| u32::try_from(code).ok()),
        // In milliseconds.
        duration_us: number("duration").map(|duration| duration.saturating_mul(1000)),
        tls: text(&["downstream_tls_version"]).map(|version| version.trim_start_matches("TLSv")),
    })
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace(',', "%2C")
}
