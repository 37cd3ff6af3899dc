//! OCSF Detection Finding (category 2, class 2004), written for schema 1.3.0 and valid in later 1.x:
//! <https://schema.ocsf.io/1.3.0/classes/detection_finding>.

use serde_json::{Value, json};

use crate::access::record::{AccessRecord, EndpointRecord};
use crate::alert::Alert;
use crate::judge::Severity;

use super::{Sender, attributes, kind, millis};

/// Version of the schema that is written.
pub(super) const SCHEMA: &str = "1.3.0";
pub(super) const CLASS: u32 = 2004;

pub(super) fn body(alert: &Alert, sender: &Sender<'_>) -> Vec<u8> {
    // An alert's first message may count several accesses: then it is an update of what the receiver
    // does not know yet, which its `finding_info.uid` tells.
    let (activity, activity_name) = if alert.count <= 1 {
        (1, "Create")
    } else {
        (2, "Update")
    };
    let (severity, severity_name) = match alert.severity {
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    };
    let (first, last) = (millis(&alert.first_seen), millis(&alert.last_seen));
    let evidences: Vec<Value> = alert.evidence.iter().map(evidence).collect();
    let mut unmapped: serde_json::Map<String, Value> = attributes(alert)
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    unmapped.insert("kind".to_owned(), kind(alert).into());
    unmapped.insert("host".to_owned(), sender.host.into());
    let mut event = json!({
        "activity_id": activity,
        "activity_name": activity_name,
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": CLASS,
        "class_name": "Detection Finding",
        "type_uid": CLASS * 100 + activity,
        "type_name": format!("Detection Finding: {activity_name}"),
        "severity_id": severity,
        "severity": severity_name,
        "status_id": 1,
        "status": "New",
        "time": last,
        "start_time": first,
        "end_time": last,
        "count": alert.count,
        "message": alert.title,
        "metadata": {
            "version": SCHEMA,
            "uid": sender.message_id,
            "product": {
                "name": "Bailiwick",
                "vendor_name": "Bailiwick",
                "version": env!("CARGO_PKG_VERSION"),
            },
        },
        "finding_info": {
            "uid": alert.id,
            "title": alert.title,
            "desc": format!("normal: {}", alert.normal),
            "types": [kind(alert)],
            "created_time": first,
            "first_seen_time": first,
            "last_seen_time": last,
            "modified_time": last,
            "analytic": { "name": alert.clause, "uid": kind(alert), "type_id": 1, "type": "Rule" },
            "attacks": alert.techniques.iter().map(|id| attack(id)).collect::<Vec<_>>(),
        },
        "remediation": { "desc": alert.action },
        "unmapped": unmapped,
    });
    if let Some(event) = event.as_object_mut()
        && !evidences.is_empty()
    {
        event.insert("evidences".to_owned(), evidences.into());
    }
    event.to_string().into_bytes()
}

/// A technique of MITRE ATT&CK, `T1078` or `T1078.004`.
fn attack(id: &str) -> Value {
    match id.split_once('.') {
        Some((technique, _)) => json!({
            "technique": { "uid": technique },
            "sub_technique": { "uid": id },
        }),
        None => json!({ "technique": { "uid": id } }),
    }
}

fn evidence(access: &AccessRecord) -> Value {
    let mut evidence = json!({
        "api": {
            "operation": format!("{} {}", access.request.method, access.request.route),
            "service": { "name": access.request.host },
        },
        "data": access,
    });
    let actor = access.client.as_ref().map(actor);
    if let (Some(evidence), Some(actor)) = (evidence.as_object_mut(), actor) {
        evidence.insert("actor".to_owned(), actor);
    }
    evidence
}

fn actor(client: &EndpointRecord) -> Value {
    let name = client.exe.rsplit('/').next().unwrap_or(&client.exe);
    json!({
        "process": {
            "pid": client.pid,
            "name": name,
            // 1: regular file.
            "file": { "name": name, "path": client.exe, "type_id": 1 },
        },
        "user": { "name": client.user },
    })
}
