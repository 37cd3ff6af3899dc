#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;
use crate::cli::coverage;
use crate::cli::quote::is_plain;
use crate::coverage::CoverageRecord;
use crate::serve::records::ProbedRecord;

const PLAIN: Style = Style { color: false };
const COLOR: Style = Style { color: true };

/// The documentation's example of a type.
fn example(kind: &str) -> Value {
    let docs = include_str!("../../../docs/json.md");
    let mut blocks = docs
        .split("```json\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    let value = blocks.find_map(|block| {
        let value: Value = serde_json::from_str(block).unwrap();
        (value["type"] == kind).then_some(value)
    });
    value.unwrap_or_else(|| panic!("docs/json.md has no example of {kind}"))
}

fn parse<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// All lines that a record can become.
fn lines(kind: &str, value: &Value, style: Style) -> Vec<String> {
    match kind {
        "access" => vec![access(&parse(value), style)],
        "alert" => {
            let record: Alert = parse(value);
            let mut lines = alert_in_full(&record, style);
            lines.push(alert(&record, style));
            lines
        }
        "identity" => identities(&mut [parse(value), parse(&example("identity"))], style),
        "status" => status(&parse(value), style),
        "delivery" => vec![delivery(&parse(value), style)],
        "dead-letter" => vec![dead_letter(&parse(value), style)],
        "coverage" => coverage::workloads(&[parse(value)], style),
        "probed" => coverage::files(&[parse(value)], style),
        other => panic!("{other}"),
    }
}

const KINDS: [&str; 8] = [
    "access",
    "alert",
    "identity",
    "status",
    "delivery",
    "dead-letter",
    "coverage",
    "probed",
];

/// Puts `text` in the place of every string (and into every null) where the record still parses.
fn poison(kind: &str, text: &str) -> Value {
    fn leaves(value: &Value, path: String, out: &mut Vec<String>) {
        match value {
            Value::String(_) | Value::Null => out.push(path),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    leaves(item, format!("{path}/{at}"), out);
                }
            }
            Value::Object(fields) => {
                for (name, item) in fields {
                    leaves(item, format!("{path}/{name}"), out);
                }
            }
            _ => {}
        }
    }
    let parses = |value: &Value| match kind {
        "access" => serde_json::from_value::<AccessRecord>(value.clone()).is_ok(),
        "alert" => serde_json::from_value::<Alert>(value.clone()).is_ok(),
        "identity" => serde_json::from_value::<IdentityRecord>(value.clone()).is_ok(),
        "status" => serde_json::from_value::<StatusRecord>(value.clone()).is_ok(),
        "delivery" => serde_json::from_value::<DeliveryResult>(value.clone()).is_ok(),
        "coverage" => serde_json::from_value::<CoverageRecord>(value.clone()).is_ok(),
        "probed" => serde_json::from_value::<ProbedRecord>(value.clone()).is_ok(),
        _ => serde_json::from_value::<DeadLetter>(value.clone()).is_ok(),
    };
    let mut value = example(kind);
    let mut paths = Vec::new();
    leaves(&value, String::new(), &mut paths);
    let mut poisoned = 0;
    for path in paths {
        let slot = value.pointer_mut(&path).unwrap();
        let before = std::mem::replace(slot, Value::String(text.to_owned()));
        if parses(&value) {
            poisoned += 1;
        } else {
            *value.pointer_mut(&path).unwrap() = before;
        }
    }
    assert!(poisoned >= 4, "{kind}: {poisoned}");
    value
}

/// Takes away the colours this program writes, and nothing else.
fn without_colors(line: &str) -> String {
    let mut line = line.to_owned();
    for code in ["36", "32", "33", "1;31", "2", "1", "0"] {
        line = line.replace(&format!("\u{1b}[{code}m"), "");
    }
    line
}

fn assert_harmless(text: &str) {
    for kind in KINDS {
        let value = poison(kind, text);
        for line in lines(kind, &value, PLAIN) {
            assert!(line.chars().all(is_plain), "{kind}: {line:?}");
        }
        for line in lines(kind, &value, COLOR) {
            assert!(
                without_colors(&line).chars().all(is_plain),
                "{kind}: {line:?}"
            );
        }
    }
}

#[test]
fn hostile_text_reaches_no_terminal() {
    assert_harmless(
        "\u{1b}[2J\u{1b}]0;x\u{7}\r\n\u{9b}31m\u{202e}\u{2066}\u{200b}\u{feff}\u{e0041}\u{0}א\u{301}",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_text_reaches_a_terminal_unquoted(text in any::<String>(), odd in "[\\x00-\\x1f\u{7f}-\u{9f}\u{200b}-\u{200f}\u{202a}-\u{202e}\u{2066}-\u{2069}\\\\\" a]{0,12}") {
        assert_harmless(&text);
        assert_harmless(&odd);
    }

    /// A value cannot look like more columns than it has.
    #[test]
    fn an_access_always_has_its_columns(host in "[a\" \\\\]{1,8}", name in "[b\" \\\\]{1,8}") {
        let mut record: AccessRecord = parse(&example("access"));
        record.request.host = host;
        record.identity = Some(name);
        record.findings.clear();
        let line = access(&record, PLAIN);
        let (mut columns, mut quoted, mut escaped) = (1, false, false);
        for c in line.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = !quoted,
                ' ' if !quoted => columns += 1,
                _ => {}
            }
        }
        prop_assert_eq!(columns, 11, "{}", line);
    }
}

#[test]
fn records_as_lines() {
    let mut all = Vec::new();
    for kind in KINDS {
        all.extend(lines(kind, &example(kind), PLAIN));
        all.push(String::new());
    }
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_bare_access() {
    let mut record: AccessRecord = parse(&example("access"));
    record.identity = None;
    record.credential = None;
    record.client = None;
    record.peer = Some("203.0.113.7:50000".to_owned());
    record.response = None;
    record.duration_us = None;
    record.environment = None;
    record.findings.clear();
    assert_eq!(
        access(&record, PLAIN),
        "2026-11-23T18:57:18.123Z - - GET api.example:8080/v1/x/17 - - - 203.0.113.7:50000 → nginx.service"
    );
}

#[test]
fn durations_and_sizes() {
    assert_eq!(
        [0, 999, 1_000, 1_250, 999_999, 1_000_000, 61_500_000].map(duration),
        ["0us", "999us", "1.0ms", "1.2ms", "999.9ms", "1.0s", "61.5s"]
    );
    assert_eq!(
        [0, 1 << 19, (1 << 20) + (1 << 19), 64 << 20].map(mebibytes),
        ["0.0 MiB", "0.5 MiB", "1.5 MiB", "64.0 MiB"]
    );
}
