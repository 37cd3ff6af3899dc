//! The control protocol, version 1: one request line of JSON, then answer lines of JSON (NDJSON) until
//! `end` or `error`. Documented in docs/json.md.

use serde::{Deserialize, Serialize};

use super::filter::Term;
use super::records::AlertQuery;

/// Version of the protocol.
pub const VERSION: u32 = 1;
/// Longest request line, in bytes, its line break included.
pub const MAX_REQUEST: usize = 64 * 1024;
/// Accesses that `tail` shows first when nothing else is asked for.
pub const DEFAULT_LAST: usize = 20;

/// A request: `{"v":1,"command":"tail","last":20,"follow":true}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Version of the protocol: 1.
    pub v: u32,
    /// What to do.
    #[serde(flatten)]
    pub command: Command,
}

impl Request {
    /// A request of this version.
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self {
            v: VERSION,
            command,
        }
    }
}

/// What the daemon can do for a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// Accesses: the last ones, oldest first, then `live` and new ones as they come.
    Tail {
        /// How many of the past.
        #[serde(default = "default_last")]
        last: usize,
        /// Whether to go on with new ones.
        #[serde(default)]
        follow: bool,
        /// Which.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        filter: Vec<Term>,
        /// Which, in the filter language (docs/filter.md).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        r#where: Option<String>,
    },
    /// Alerts, oldest first, then, when asked, `live` and new or changed ones as they come.
    Alerts {
        /// Which.
        #[serde(default)]
        query: AlertQuery,
        /// Whether to go on.
        #[serde(default)]
        follow: bool,
    },
    /// Identities seen.
    Identities,
    /// How each workload's traffic was understood, and what is probed.
    Coverage,
    /// The daemon's state.
    Status,
    /// A test delivery.
    SendTest {
        /// To this webhook; null: to each.
        #[serde(default)]
        webhook: Option<String>,
    },
    /// Deliveries that were given up.
    DeadLetters,
    /// Queue dead letters again.
    Replay {
        /// Only the one with this `webhook-id`; null: all.
        #[serde(default)]
        id: Option<String>,
    },
    /// What containment did, oldest first. Root only.
    Containments,
    /// Undo an act of containment. Root only.
    UndoContainment {
        /// Its id.
        id: String,
    },
    /// A report. It is remembered for the trend.
    Report {
        /// Since when (RFC 3339); null: of 30 days.
        #[serde(default)]
        since: Option<String>,
    },
    /// One alert as a story.
    Explain {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Say that an alert is known.
    Acknowledge {
        /// Its id, or the beginning of it.
        id: String,
        /// Why.
        #[serde(default)]
        note: Option<String>,
    },
    /// Do not tell of an alert for a while, unless it gets worse.
    Mute {
        /// Its id, or the beginning of it.
        id: String,
        /// Until when (RFC 3339).
        until: String,
    },
    /// Take acknowledgement and muting of an alert back.
    Unmark {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Which of some secrets are live: they follow once `ready` was said, not as lines (see
    /// [`super::matching`]).
    Match {
        /// How many.
        count: u32,
    },
}

fn default_last() -> usize {
    DEFAULT_LAST
}

/// Answer lines that are not records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Note {
    /// What follows is new.
    Live {
        /// 1.
        v: u32,
    },
    /// The client was too slow: so many records were not looked at for it (whether they would have passed
    /// its filter is not known).
    Lost {
        /// 1.
        v: u32,
        /// How many.
        count: u64,
    },
    /// What was announced may be sent now.
    Ready {
        /// 1.
        v: u32,
    },
    /// Everything was said.
    End {
        /// 1.
        v: u32,
    },
    /// The request was not served; the last line.
    Error {
        /// 1.
        v: u32,
        /// What sort.
        code: ErrorCode,
        /// What is wrong.
        message: String,
        /// What to do.
        #[serde(default)]
        hint: Option<String>,
    },
}

/// Sorts of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The request is no request, or asks for something that cannot be.
    Request,
    /// Another version of the protocol.
    Version,
    /// What was asked for by name is not there.
    NotFound,
    /// Too many clients, or the client took too long.
    Busy,
    /// The daemon is stopping.
    Stopping,
    /// The daemon failed.
    Internal,
    /// The client's user may not ask for that.
    Denied,
}

/// A request that is none: the answer to it.
///
/// # Errors
/// The note to send back.
pub fn parse_request(line: &str) -> Result<Command, Note> {
    let error = |code, message: String, hint: &str| Note::Error {
        v: VERSION,
        code,
        message,
        hint: Some(hint.to_owned()),
    };
    #[derive(Deserialize)]
    struct Versioned {
        v: u32,
    }
    let versioned: Versioned = serde_json::from_str(line).map_err(|cause| {
        error(
            ErrorCode::Request,
            format!("not a request: {cause}"),
            "one line, a JSON object with v and command",
        )
    })?;
    if versioned.v != VERSION {
        return Err(error(
            ErrorCode::Version,
            format!(
                "version {} of the protocol is not spoken here, only {VERSION}",
                versioned.v
            ),
            "use the bailiwick that belongs to this daemon",
        ));
    }
    let request: Request = serde_json::from_str(line).map_err(|cause| {
        error(
            ErrorCode::Request,
            format!("not a request: {cause}"),
            "see docs/json.md",
        )
    })?;
    Ok(request.command)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::serve::filter::Field;

    #[test]
    fn requests_look_as_documented() {
        let request = Request::new(Command::Tail {
            last: 20,
            follow: true,
            filter: vec![Term {
                field: Field::Status,
                value: "4xx".to_owned(),
                not: true,
            }],
            r#where: Some("response.status >= 400".to_owned()),
        });
        let line = serde_json::to_string(&request).unwrap();
        assert_eq!(
            line,
            r#"{"v":1,"command":"tail","last":20,"follow":true,"filter":[{"field":"status","value":"4xx","not":true}],"where":"response.status >= 400"}"#
        );
        assert_eq!(parse_request(&line).unwrap(), request.command);
        let defaults = Command::Tail {
            last: 20,
            follow: false,
            filter: Vec::new(),
            r#where: None,
        };
        assert_eq!(
            parse_request(r#"{"v":1,"command":"tail"}"#).unwrap(),
            defaults
        );
        assert_eq!(
            parse_request(r#"{"v":1,"command":"status"}"#).unwrap(),
            Command::Status
        );
    }

    #[test]
    fn what_is_no_request_is_answered() {
        for (line, expected) in [
            ("", ErrorCode::Request),
            ("{}", ErrorCode::Request),
            (r#"{"v":1}"#, ErrorCode::Request),
            (r#"{"v":1,"command":"fly"}"#, ErrorCode::Request),
            (r#"{"v":1,"command":"tail","last":-1}"#, ErrorCode::Request),
            (
                r#"{"v":1,"command":"tail","filter":[{"field":"colour","value":"x"}]}"#,
                ErrorCode::Request,
            ),
            (r#"{"v":2,"command":"something-new"}"#, ErrorCode::Version),
        ] {
            match parse_request(line) {
                Err(Note::Error { code, .. }) => assert_eq!(code, expected, "{line}"),
                other => assert!(other.is_err(), "{line}: {other:?}"),
            }
        }
    }
}
