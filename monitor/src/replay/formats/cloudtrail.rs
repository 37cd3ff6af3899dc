//! AWS CloudTrail: <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>.

use jiff::Timestamp;
use serde::Deserialize;

use super::foreign::Foreign;
use super::{Item, Reader, Refusal};
use crate::access::CredentialKind;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_time: String,
    event_source: String,
    event_name: String,
    #[serde(default)]
    user_identity: Option<UserIdentity>,
    #[serde(default, rename = "sourceIPAddress")]
    source_ip_address: Option<String>,
    #[serde(default)]
    error_code: Option<String>,
    #[serde(default)]
    read_only: Option<bool>,
    #[serde(default)]
    tls_details: Option<TlsDetails>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserIdentity {
    #[serde(default)]
    arn: Option<String>,
    #[serde(default)]
    access_key_id: Option<String>,
    #[serde(default)]
    principal_id: Option<String>,
    #[serde(default)]
    invoked_by: Option<String>,
    #[serde(default)]
    session_context: Option<SessionContext>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionContext {
    #[serde(default)]
    session_issuer: Option<SessionIssuer>,
}

#[derive(Deserialize)]
struct SessionIssuer {
    #[serde(default)]
    arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TlsDetails {
    #[serde(default)]
    tls_version: Option<String>,
}

pub(super) fn read(reader: &mut Reader, piece: &[u8]) -> Result<Item, Refusal> {
    let record: Record = serde_json::from_slice(piece).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Refusal::Fields,
        _ => Refusal::Malformed,
    })?;
    let time: Timestamp = record.event_time.parse().map_err(|_| Refusal::Fields)?;
    let who = record.user_identity.as_ref().ok_or(Refusal::NoIdentity)?;
    let filled = |text: &'_ Option<String>| text.clone().filter(|text| !text.is_empty());
    let issuer = who
        .session_context
        .as_ref()
        .and_then(|session| session.session_issuer.as_ref());
    // Keys of a role change by the hour: the role is who it is.
    let name = issuer
        .and_then(|issuer| filled(&issuer.arn))
        .or_else(|| filled(&who.arn))
        .or_else(|| filled(&who.principal_id))
        .or_else(|| filled(&who.invoked_by))
        .or_else(|| filled(&who.access_key_id))
        .ok_or(Refusal::NoIdentity)?;
    let key = filled(&who.access_key_id).unwrap_or_default();
    let version = record.tls_details.and_then(|tls| tls.tls_version);
    reader.foreign(&Foreign {
        time_us: time.as_microsecond(),
        kind: CredentialKind::Sigv4,
        name: &name,
        subject: &key,
        issuer: None,
        from: record.source_ip_address.as_deref(),
        // It does not say: what only reads is told apart.
        method: if record.read_only == Some(true) {
            "GET"
        } else {
            "POST"
        },
        host: &record.event_source,
        path: &format!("/{}", record.event_name),
        protocol: "http/1.1",
        status: Some(record.error_code.as_deref().map_or(200, status)),
        grpc_status: None,
        duration_us: None,
        tls: version
            .as_deref()
            .map(|version| version.trim_start_matches("TLSv")),
    })
}

/// Of an error code: what was not allowed is told apart.
fn status(code: &str) -> u16 {
    const REFUSED: [&str; 7] = [
        "AccessDenied",
        "Unauthorized",
        "InvalidClientTokenId",
        "UnrecognizedClient",
        "AuthFailure",
        "SignatureDoesNotMatch",
        "ExpiredToken",
    ];
    // `Client.UnauthorizedOperation`, `AccessDeniedException`.
    let refused = REFUSED.iter().any(|refused| code.contains(refused));
    if refused { 403 } else { 400 }
}
