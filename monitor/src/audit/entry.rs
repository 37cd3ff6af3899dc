//! What stands in the log.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::alert::Alert;
use crate::judge::{FindingKind, Severity};

/// Longest entry written, in bytes.
pub const MAX_WRITTEN: usize = 8 * 1024;
/// Longest text in an entry, in bytes; cut further should an entry still be too long.
const TEXT: usize = 512;
const SHORT_TEXT: usize = 64;
/// Longest list.
const LIST: usize = 32;

/// A file, and what was in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHash {
    /// Its path.
    pub path: String,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
}

/// One thing that happened. `{"type":…}`, documented in docs/audit.md. No credential, no request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Entry {
    /// The log begins.
    Opened {
        /// Why there is a new one.
        reason: String,
        /// Public key of the log before.
        #[serde(skip_serializing_if = "Option::is_none")]
        previous: Option<String>,
        /// The newest checkpoint that is known of it.
        #[serde(skip_serializing_if = "Option::is_none")]
        previous_checkpoint: Option<String>,
    },
    /// The log ends: nothing follows.
    Closed {
        /// Public key of the log that goes on.
        next: String,
        /// Its directory.
        directory: String,
    },
    /// The daemon began to watch.
    Start {
        /// Its version.
        version: String,
        /// Its process.
        pid: u32,
        /// How hooks see sends and receives.
        hooks: Vec<String>,
    },
    /// The daemon ends in order.
    Stop {},
    /// Nothing was watched.
    Gap {
        /// From when, RFC 3339: the last that is known of the daemon before.
        from: String,
        /// Until when.
        until: String,
        /// `stopped` (in order) or `ended` (killed, crashed, or the machine went down).
        cause: String,
    },
    /// A configuration is in force.
    Configuration {
        /// Its files.
        files: Vec<FileHash>,
    },
    /// A policy is in force.
    Policy {
        /// Counts from 1 at each start.
        generation: u64,
        /// Identities that it names.
        identities: u64,
        /// Its files.
        files: Vec<FileHash>,
    },
    /// A configuration or policy was refused at a reload; the one before stays.
    Refused {
        /// Why.
        error: String,
    },
    /// An alert was begun, or got worse.
    Alert {
        /// `begun` or `worse`.
        change: String,
        /// Its id.
        id: String,
        /// Kind of finding.
        kind: FindingKind,
        /// How bad.
        severity: Severity,
        /// One line.
        title: String,
        /// Identity.
        identity: Option<String>,
        /// Owner.
        owner: Option<String>,
        /// Workload.
        workload: Option<String>,
        /// `METHOD host/route`.
        operation: String,
        /// Environment.
        environment: Option<String>,
        /// The clause broken.
        clause: String,
        /// Accesses until then.
        count: u64,
        /// RFC 3339.
        first_seen: String,
        /// RFC 3339.
        last_seen: String,
    },
    /// Someone took note of an alert.
    Acknowledged {
        /// The alert.
        id: String,
        /// Who.
        by: String,
        /// What they said.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Someone muted an alert.
    Muted {
        /// The alert.
        id: String,
        /// Who.
        by: String,
        /// RFC 3339.
        until: String,
    },
    /// Someone took both back.
    Unmarked {
        /// The alert.
        id: String,
        /// Who.
        by: String,
    },
    /// Containment did something, or would have.
    Contained {
        /// One line.
        title: String,
        /// Identity.
        identity: Option<String>,
        /// Workload.
        workload: Option<String>,
        /// The rule.
        clause: String,
        /// How bad.
        severity: Severity,
    },
    /// An act of containment was undone.
    Undone {
        /// The act.
        id: String,
        /// `reset`, `refuse` or `stop`.
        act: String,
        /// On what.
        target: String,
    },
    /// An act of containment is over, and nobody undid it.
    Expired {
        /// The act.
        id: String,
        /// `refuse` or `stop`.
        act: String,
        /// On what.
        target: String,
        /// `time` (it had its time), `process` (what was stopped has ended), `mode` (containment is not enforced
        /// any more) or `shutdown` (the daemon ends).
        cause: String,
    },
    /// Something was lost since the last such entry.
    Loss {
        /// Why, as `bailiwick status` names it; `audit` for entries of this log.
        cause: String,
        /// How many.
        count: u64,
        /// Of what.
        unit: String,
    },
}

impl Entry {
    /// Of an alert as it is now.
    #[must_use]
    pub fn alert(alert: &Alert, change: &str) -> Self {
        Self::Alert {
            change: change.to_owned(),
            id: alert.id.clone(),
            kind: alert.kind,
            severity: alert.severity,
            title: alert.title.clone(),
            identity: alert.identity.clone(),
            owner: alert.owner.clone(),
            workload: alert.workload.clone(),
            operation: alert.operation.clone(),
            environment: alert.environment.clone(),
            clause: alert.clause.clone(),
            count: alert.count,
            first_seen: alert.first_seen.clone(),
            last_seen: alert.last_seen.clone(),
        }
    }
}

/// An entry with its time, as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// Version of this form: 1.
    pub v: u32,
    /// RFC 3339.
    pub time: String,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
}

/// JSON of an entry, in at most [`MAX_WRITTEN`] bytes: long texts are cut, and end in `…` then.
#[must_use]
pub fn to_json(entry: Entry, time: String) -> Vec<u8> {
    let written = Written { v: 1, time, entry };
    let mut value = serde_json::to_value(written).unwrap_or_default();
    for most in [TEXT, SHORT_TEXT, 0] {
        shorten(&mut value, most);
        let bytes = serde_json::to_vec(&value).unwrap_or_default();
        if bytes.len() <= MAX_WRITTEN {
            return bytes;
        }
    }
    Vec::new()
}

/// Cuts texts to `most` bytes and lists to [`LIST`] elements.
fn shorten(value: &mut Value, most: usize) {
    match value {
        Value::String(text) if text.len() > most => {
            let end = (0..=most).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or(0));
            text.push('…');
        }
        Value::Array(list) => {
            list.truncate(LIST);
            list.iter_mut().for_each(|value| shorten(value, most));
        }
        Value::Object(map) => {
            for (key, value) in map {
                // What names the entry, and keys that must stay whole to be of use.
                let whole = matches!(
                    key.as_str(),
                    "type" | "time" | "id" | "previous" | "previous_checkpoint" | "next"
                );
                shorten(value, if whole { TEXT.max(most) } else { most });
            }
        }
        _ => {}
    }
}

/// The id that an entry is about; `None` for one that is about none.
#[must_use]
pub fn id_of(entry: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(entry).ok()?;
    Some(value.get("id")?.as_str()?.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail by panic")]
mod tests {
    use super::*;
    use crate::alert::testing::alert;

    const TIME: &str = "2026-11-24T09:00:00Z";

    #[test]
    fn an_alert_is_written_without_its_evidence() {
        let bytes = to_json(Entry::alert(&alert("al_1", 3), "begun"), TIME.to_owned());
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(!text.contains("evidence") && bytes.len() < 1024, "{text}");
        let read: Written = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((read.v, &*read.time), (1, TIME));
        let Entry::Alert { id, count, .. } = read.entry else {
            panic!("{text}");
        };
        assert_eq!((&*id, count), ("al_1", 3));
        assert_eq!(id_of(&bytes).as_deref(), Some("al_1"));
        assert_eq!(id_of(&to_json(Entry::Stop {}, TIME.to_owned())), None);
        assert_eq!(id_of(b"no JSON"), None);
    }

    #[test]
    fn hostile_texts_are_bounded_and_stay_json() {
        let mut alert = alert("al_1", 1);
        for text in [
            "\u{1}".repeat(65_536),
            "é".repeat(65_536),
            "\u{202e}\"\\".repeat(30_000),
        ] {
            alert.title.clone_from(&text);
            alert.operation.clone_from(&text);
            alert.clause.clone_from(&text);
            alert.identity = Some(text.clone());
            alert.workload = Some(text.clone());
            alert.owner = Some(text.clone());
            alert.environment = Some(text);
            let bytes = to_json(Entry::alert(&alert, "begun"), TIME.to_owned());
            assert!(bytes.len() <= MAX_WRITTEN, "{}", bytes.len());
            let read: Written = serde_json::from_slice(&bytes).unwrap();
            assert!(matches!(read.entry, Entry::Alert { id, .. } if id == "al_1"));
        }
    }

    #[test]
    fn many_files_are_bounded() {
        let file = |n| FileHash {
            path: format!("/etc/bailiwick/policy.d/{n}/{}", "x".repeat(4000)),
            sha256: "0".repeat(64),
        };
        let entry = Entry::Configuration {
            files: (0..1000).map(file).collect(),
        };
        let bytes = to_json(entry, TIME.to_owned());
        assert!(bytes.len() <= MAX_WRITTEN);
        assert!(serde_json::from_slice::<Written>(&bytes).is_ok());
    }
}
