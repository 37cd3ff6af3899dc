//! docs/json.md says what the types say: its examples parse, hold no field the types do not know, and
//! name every field the types write.

use bailiwick::access::record::AccessRecord;
use bailiwick::alert::Alert;
use bailiwick::census::IdentityRecord;
use bailiwick::cli::Probe;
use bailiwick::config::Diagnostic;
use bailiwick::contain::ContainmentRecord;
use bailiwick::coverage::CoverageRecord;
use bailiwick::drill::{Listed, SummaryRecord, TechniqueRecord};
use bailiwick::explain::Story;
use bailiwick::lint::{CODES, Level, LintFinding};
use bailiwick::policy::Place;
use bailiwick::report::Report;
use bailiwick::scan::{Finding, ScanRecord};
use bailiwick::serve::filter::{Field, Filter};
use bailiwick::serve::matching::MatchRecord;
use bailiwick::serve::protocol::{Command, ErrorCode, Note, parse_request};
use bailiwick::serve::records::{DeadLetter, DeliveryResult, ProbedRecord, StatusRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const DOCS: &str = include_str!("../../docs/json.md");

/// The code blocks of a sort, each with the part of the page it stands in.
fn blocks(sort: &str) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    for section in DOCS.split("\n## ") {
        for rest in section.split(&format!("```{sort}\n")).skip(1) {
            out.push((section, rest.split("```").next().unwrap().to_owned()));
        }
    }
    out
}

/// Every field of `a` is in `b`.
fn assert_within(a: &Value, b: &Value, path: &str) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, value) in a {
                let other = b
                    .get(name)
                    .unwrap_or_else(|| panic!("{path}.{name}: not a field of the type"));
                assert_within(value, other, &format!("{path}.{name}"));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            for (a, b) in a.iter().zip(b) {
                assert_within(a, b, path);
            }
        }
        _ => assert_eq!(a, b, "{path}"),
    }
}

fn names(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                out.push(name.clone());
                names(value, out);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, out)),
        _ => {}
    }
}

fn check<T: Serialize + DeserializeOwned>(section: &'static str, block: &str) {
    let written: Value = serde_json::from_str(block).unwrap();
    let parsed: T = serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"));
    let again = serde_json::to_value(&parsed).unwrap();
    assert_within(&written, &again, "");
    let named = |prose: &str, name: &str| {
        [
            format!("`{name}`"),
            format!("`{name}."),
            format!(".{name}`"),
        ]
        .iter()
        .any(|form| prose.contains(form))
    };
    // Outside the examples: a field of the record in its own part of the page, one further in anywhere.
    let prose = |text: &'static str| text.split("```").step_by(2).collect::<String>();
    // The page's beginning explains type and v for all.
    for name in again
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| !["type", "v"].contains(&name.as_str()))
    {
        assert!(named(&prose(section), name), "`{name}` is not documented");
    }
    let mut fields = Vec::new();
    names(&again, &mut fields);
    for name in fields {
        let shown_as_a_form = prose(DOCS).contains(&format!("\"{name}\":"));
        assert!(
            named(&prose(DOCS), &name) || shown_as_a_form,
            "`{name}` is not documented"
        );
    }
}

/// What `check --gateway` says of a gateway that lets everybody in, and one directive of which is not known.
fn gateway_records() -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write(
        "policy.toml",
        "version = 1\n[duties]\nread = [\"GET api.example/v1/**\"]\n",
    );
    write(
        "bailiwick.toml",
        "policy = [\"policy.toml\"]\nstate_dir = \"state\"\n",
    );
    write(
        "nginx.conf",
        "events {}\nhttp { server { listen 80; server_name api.example; location / { return 200; }\n\
         location /v2 { auth_request /auth; proxy_pass http://127.0.0.1:1; } } }\n",
    );
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args([
            "check",
            "-o",
            "json",
            "--config",
            "bailiwick.toml",
            "--gateway",
            "nginx.conf",
        ])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn examples_of_records_parse() {
    let mut seen = Vec::new();
    for (section, block) in blocks("json") {
        let value: Value =
            serde_json::from_str(&block).unwrap_or_else(|error| panic!("{error}: {block}"));
        assert_eq!(value["v"], 1);
        let kind = value["type"].as_str().unwrap().to_owned();
        match kind.as_str() {
            "access" => check::<AccessRecord>(section, &block),
            "alert" => check::<Alert>(section, &block),
            "identity" => check::<IdentityRecord>(section, &block),
            "status" => check::<StatusRecord>(section, &block),
            "stored-credential" => check::<Finding>(section, &block),
            "scan" => check::<ScanRecord>(section, &block),
            "match" => check::<MatchRecord>(section, &block),
            "delivery" => check::<DeliveryResult>(section, &block),
            "dead-letter" => check::<DeadLetter>(section, &block),
            "coverage" => check::<CoverageRecord>(section, &block),
            "probed" => check::<ProbedRecord>(section, &block),
            "technique" => check::<Listed>(section, &block),
            "drill" => check::<TechniqueRecord>(section, &block),
            "drill-summary" => check::<SummaryRecord>(section, &block),
            "containment" => check::<ContainmentRecord>(section, &block),
            "audit" => {
                let entry: bailiwick::audit::Written =
                    serde_json::from_value(value["entry"].clone()).unwrap();
                assert_eq!(serde_json::to_value(entry).unwrap(), value["entry"]);
            }
            "report" => check::<Report>(section, &block),
            "story" => check::<Story>(section, &block),
            "diagnostic" => {
                let own = Diagnostic::error(value["message"].as_str().unwrap())
                    .in_file(value["file"].as_str().unwrap())
                    .at(3, 1)
                    .hint(value["hint"].as_str().unwrap());
                assert_eq!(serde_json::to_value(own.record()).unwrap(), value);
            }
            "probe" => {
                let own = Probe::ok(
                    value["name"].as_str().unwrap(),
                    value["detail"].as_str().unwrap(),
                );
                assert_eq!(serde_json::to_value(own.record()).unwrap(), value);
            }
            "lint" => {
                let text = |name: &str| value[name].as_str().unwrap().to_owned();
                let number = |name: &str| u32::try_from(value[name].as_u64().unwrap()).unwrap();
                let code = text("code");
                let own = LintFinding {
                    code: *CODES.iter().find(|known| known.id == code).unwrap(),
                    level: Level::High,
                    subject: text("subject"),
                    message: text("message"),
                    clause: text("clause"),
                    place: Some(Place {
                        file: text("file").into(),
                        line: number("line"),
                        column: number("column"),
                    }),
                    witness: Some(text("witness")),
                    change: text("change"),
                    accepted: None,
                };
                assert_eq!(serde_json::to_value(own.record()).unwrap(), value);
            }
            gateway if gateway.starts_with("gateway-") => {
                let keys = |value: &Value| -> Vec<String> {
                    value.as_object().unwrap().keys().cloned().collect()
                };
                let own = gateway_records();
                let own = own.iter().find(|own| own["type"] == gateway);
                assert_eq!(keys(&value), keys(own.unwrap()), "{block}");
            }
            other => panic!("an example of an unknown type {other}"),
        }
        seen.push(kind);
    }
    seen.sort();
    let all = [
        "access",
        "alert",
        "audit",
        "containment",
        "coverage",
        "dead-letter",
        "delivery",
        "diagnostic",
        "drill",
        "drill-summary",
        "gateway-compared",
        "gateway-finding",
        "gateway-unread",
        "identity",
        "lint",
        "match",
        "probe",
        "probed",
        "report",
        "scan",
        "status",
        "stored-credential",
        "story",
        "technique",
    ];
    // A type may have more than one example.
    seen.dedup();
    assert_eq!(seen, all);
}

#[test]
fn examples_of_requests_parse() {
    let requests = blocks("request");
    assert_eq!(requests.len(), 3);
    for (_, block) in requests {
        match parse_request(&block).unwrap() {
            Command::Tail { filter, .. } => {
                assert_eq!(filter.len(), 3);
                Filter::new(&filter).unwrap();
            }
            Command::Alerts { query, .. } => {
                assert!(
                    query.last == Some(10) || query.r#where.is_some(),
                    "{query:?}"
                );
                query.filter().unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    // The one-liner for a shell, too.
    let line = DOCS
        .split("echo '")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap();
    assert_eq!(parse_request(line).unwrap(), Command::Status);
}

#[test]
fn examples_of_notes_parse() {
    let notes: Vec<Note> = blocks("note")
        .iter()
        .map(|(_, block)| serde_json::from_str(block).unwrap())
        .collect();
    assert!(matches!(
        notes[..],
        [
            Note::Live { v: 1 },
            Note::Lost { v: 1, count: 120 },
            Note::Ready { v: 1 },
            Note::End { v: 1 },
            Note::Error { v: 1, .. }
        ]
    ));
}

#[test]
fn names_are_documented() {
    for field in Field::ALL {
        assert!(
            DOCS.contains(&format!("| `{}` |", field.name())),
            "{}",
            field.name()
        );
    }
    for code in [
        ErrorCode::Request,
        ErrorCode::Version,
        ErrorCode::NotFound,
        ErrorCode::Busy,
        ErrorCode::Stopping,
        ErrorCode::Internal,
        ErrorCode::Denied,
    ] {
        let name = serde_json::to_value(code).unwrap();
        assert!(
            DOCS.contains(&format!("| `{}` |", name.as_str().unwrap())),
            "{name}"
        );
    }
    for kind in bailiwick::judge::FindingKind::ALL {
        assert!(
            DOCS.contains(&format!("`{}`", kind.name())),
            "{}",
            kind.name()
        );
    }
}
