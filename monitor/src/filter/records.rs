//! The fields of accesses, alerts and identities.

use super::field::CREDENTIALS;
use super::{Fields, Value};
use crate::access::record::{AccessRecord, BindingRecord, EndpointRecord};
use crate::access::{CredentialKind, Role, Tls};
use crate::alert::Alert;
use crate::census::{IdentityRecord, Listed};
use crate::judge::Severity;

fn text(text: Option<&String>) -> Option<Value<'_>> {
    text.map(|text| Value::Text(text))
}

fn list(list: &[String]) -> Value<'_> {
    Value::List(list.iter().map(String::as_str).collect())
}

fn listed(list: &Listed<String>) -> Value<'_> {
    self::list(&list.items)
}

#[allow(
    clippy::cast_precision_loss,
    reason = "numbers are those of JSON: exact up to 2^53"
)]
fn number(number: u64) -> Option<Value<'static>> {
    Some(Value::Number(number as f64))
}

fn there<T>(object: Option<&T>) -> Option<Value<'static>> {
    object.map(|_| Value::Bool(true))
}

fn word(kind: CredentialKind) -> &'static str {
    let [bearer, jwt, basic, digest, api_key, sigv4, dpop, cookie] = CREDENTIALS;
    match kind {
        CredentialKind::Bearer => bearer,
        CredentialKind::Jwt => jwt,
        CredentialKind::Basic => basic,
        CredentialKind::Digest => digest,
        CredentialKind::ApiKey => api_key,
        CredentialKind::Sigv4 => sigv4,
        CredentialKind::Dpop => dpop,
        CredentialKind::Cookie => cookie,
    }
}

impl Fields for AccessRecord {
    fn get(&self, name: &str) -> Option<Value<'_>> {
        if let Some((object, field)) = name.split_once('.') {
            return match object {
                "request" => self.request(field),
                "response" => {
                    let response = self.response.as_ref()?;
                    match field {
                        "status" => number(response.status.into()),
                        "grpc_status" => number(response.grpc_status?.into()),
                        _ => None,
                    }
                }
                "client" => endpoint(self.client.as_ref()?, field),
                "server" => endpoint(self.server.as_ref()?, field),
                "either" => Some(self.either(field)),
                "credential" => {
                    let credential = self.credential.as_ref()?;
                    match field {
                        "kind" => Some(Value::Text(word(credential.kind))),
                        "fingerprint" => Some(Value::Text(&credential.fingerprint)),
                        "hint" => text(credential.hint.as_ref()),
                        _ => None,
                    }
                }
                "binding" => binding(self.binding.as_ref()?, field),
                "tls" => tls(self.tls.as_ref()?, field),
                _ => None,
            };
        }
        match name {
            "identity" => text(self.identity.as_ref()),
            "owner" => text(self.owner.as_ref()),
            "environment" => text(self.environment.as_ref()),
            "findings" => Some(list(&self.findings)),
            "time" => Some(Value::Text(&self.time)),
            "role" => Some(Value::Text(match self.role {
                Role::Client => "client",
                Role::Server => "server",
                Role::Both => "both",
            })),
            "credential" => there(self.credential.as_ref()),
            "binding" => there(self.binding.as_ref()),
            "client" => there(self.client.as_ref()),
            "server" => there(self.server.as_ref()),
            "peer" => text(self.peer.as_ref()),
            "protocol" => Some(Value::Text(&self.protocol)),
            "tls" => there(self.tls.as_ref()),
            "host" => Some(Value::Text(without_port(&self.request.host))),
            "response" => there(self.response.as_ref()),
            "duration_us" => number(self.duration_us?),
            "duties" => Some(list(&self.duties)),
            _ => None,
        }
    }
}

impl AccessRecord {
    fn request(&self, field: &str) -> Option<Value<'_>> {
        let request = &self.request;
        match field {
            "method" => Some(Value::Text(&request.method)),
            "host" => Some(Value::Text(&request.host)),
            "path" => Some(Value::Text(&request.path)),
            "route" => Some(Value::Text(&request.route)),
            "unknown_fields" => number(request.unknown_fields?.into()),
            _ => None,
        }
    }

    /// A field of both ends.
    fn either(&self, field: &str) -> Value<'_> {
        let ends = [&self.client, &self.server];
        let values = ends
            .into_iter()
            .flatten()
            .filter_map(|end| match endpoint(end, field) {
                Some(Value::Text(text)) => Some(text),
                _ => None,
            });
        Value::List(values.collect())
    }
}

fn endpoint<'a>(end: &'a EndpointRecord, field: &str) -> Option<Value<'a>> {
    match field {
        "pid" => number(end.pid.into()),
        "exe" => Some(Value::Text(&end.exe)),
        "name" => end.exe.rsplit('/').next().map(Value::Text),
        "unit" => text(end.unit.as_ref()),
        "container" => text(end.container.as_ref()),
        "user" => Some(Value::Text(&end.user)),
        "lineage" => Some(list(&end.lineage)),
        _ => None,
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "numbers are those of JSON: exact up to 2^53"
)]
fn binding<'a>(binding: &'a BindingRecord, field: &str) -> Option<Value<'a>> {
    match field {
        "bound_to" => text(binding.bound_to.as_ref()),
        "proof" => Some(Value::Text(&binding.proof)),
        "thumbprint" => text(binding.thumbprint.as_ref()),
        "flaws" => Some(list(&binding.flaws)),
        "age_s" => Some(Value::Number(binding.age_s? as f64)),
        _ => None,
    }
}

fn tls<'a>(tls: &'a Tls, field: &str) -> Option<Value<'a>> {
    match field {
        "version" => text(tls.version.as_ref()),
        "sni" => text(tls.sni.as_ref()),
        "alpn" => text(tls.alpn.as_ref()),
        "via" => Some(Value::Text(&tls.via)),
        "ja4" => text(tls.ja4.as_ref()),
        _ => None,
    }
}

/// `host` of `host:port` and `[v6]:port`.
pub(crate) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit()) => {
            // An IPv6 address without brackets has no port.
            if name.contains(':') && !name.ends_with(']') {
                host
            } else {
                name
            }
        }
        _ => host,
    }
}

/// The word for how bad it is.
pub(crate) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

impl Fields for Alert {
    fn get(&self, name: &str) -> Option<Value<'_>> {
        if let Some(field) = name.strip_prefix("acknowledged.") {
            let known = self.acknowledged.as_ref()?;
            return match field {
                "at" => Some(Value::Text(&known.at)),
                "by" => Some(Value::Text(&known.by)),
                "note" => text(known.note.as_ref()),
                _ => None,
            };
        }
        match name {
            "acknowledged" => there(self.acknowledged.as_ref()),
            "muted_until" => text(self.muted_until.as_ref()),
            "id" => Some(Value::Text(&self.id)),
            "severity" => Some(Value::Text(severity(self.severity))),
            "kind" => Some(Value::Text(self.kind.name())),
            "title" => Some(Value::Text(&self.title)),
            "identity" => text(self.identity.as_ref()),
            "owner" => text(self.owner.as_ref()),
            "workload" => text(self.workload.as_ref()),
            "operation" => Some(Value::Text(&self.operation)),
            "environment" => text(self.environment.as_ref()),
            "clause" => Some(Value::Text(&self.clause)),
            "count" => number(self.count),
            "first_seen" => Some(Value::Text(&self.first_seen)),
            "last_seen" => Some(Value::Text(&self.last_seen)),
            "techniques" => Some(list(&self.techniques)),
            "normal" => Some(Value::Text(&self.normal)),
            "action" => Some(Value::Text(&self.action)),
            _ => None,
        }
    }
}

impl Fields for IdentityRecord {
    fn get(&self, name: &str) -> Option<Value<'_>> {
        if let Some(field) = name.strip_prefix("baseline.") {
            let baseline = self.baseline.as_ref()?;
            return match field {
                "mature" => Some(Value::Bool(baseline.mature)),
                "waits_for" => text(baseline.waits_for.as_ref()),
                "days" => number(baseline.days),
                "windows" => number(baseline.windows),
                "requests" => number(baseline.requests),
                "missing" => Some(Value::Number(baseline.missing)),
                _ => None,
            };
        }
        match name {
            "identity" => Some(Value::Text(&self.identity)),
            "owner" => text(self.owner.as_ref()),
            "kinds" => Some(Value::List(self.kinds.iter().copied().map(word).collect())),
            "fingerprints" => Some(listed(&self.fingerprints)),
            "hints" => Some(listed(&self.hints)),
            "first_seen" => text(self.first_seen.as_ref()),
            "last_seen" => text(self.last_seen.as_ref()),
            "last_refused" => text(self.last_refused.as_ref()),
            "accesses" => number(self.accesses),
            "refused" => number(self.refused),
            "findings" => {
                let found = self.findings.iter().filter(|(_, count)| **count > 0);
                Some(Value::List(found.map(|(kind, _)| kind.as_str()).collect()))
            }
            "workloads" => Some(listed(&self.workloads)),
            "environments" => Some(listed(&self.environments)),
            "hosts" => Some(listed(&self.hosts)),
            "usage.duties" => {
                let duties = self.usage.as_ref()?.duties.iter();
                Some(Value::List(duties.map(|used| used.duty.as_str()).collect()))
            }
            "baseline" => there(self.baseline.as_ref()),
            _ => None,
        }
    }
}
