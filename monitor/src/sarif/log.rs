//! The log as JSON: one run, one tool.

use serde_json::{Map, Value, json};

use super::{Entry, MOST_RESULTS, Report, Rule, uri};

/// Where the standard's schema is published.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Key of our fingerprints; a change of what goes into them needs the next number (§3.27.17).
const FINGERPRINT: &str = "bailiwick/v1";

pub(super) fn write(report: &Report) -> String {
    let results: Vec<Value> = report
        .entries
        .iter()
        .map(|entry| result(entry, &report.rules))
        .collect();
    let mut run = json!({
        "tool": { "driver": driver(&report.rules) },
        // Our columns count characters; SARIF's default are UTF-16 units (§3.14.17).
        "columnKind": "unicodeCodePoints",
        "results": results,
    });
    let mut remarks: Vec<Value> = report.remarks.iter().map(|text| remark(text)).collect();
    if report.dropped > 0 {
        remarks.push(remark(&format!(
            "{} more results than {MOST_RESULTS} are left out",
            report.dropped
        )));
    }
    if let Some(run) = run.as_object_mut()
        && !remarks.is_empty()
    {
        let invocation = json!({
            "executionSuccessful": true,
            "toolExecutionNotifications": remarks,
        });
        run.insert("invocations".to_owned(), json!([invocation]));
    }
    json!({ "$schema": SCHEMA, "version": "2.1.0", "runs": [run] }).to_string()
}

fn driver(rules: &[Rule]) -> Value {
    let rules: Vec<Value> = rules
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id,
                "name": rule.name,
                "shortDescription": { "text": braces(&rule.text) },
                "help": { "text": braces(&rule.help) },
            })
        })
        .collect();
    json!({
        "name": "bailiwick",
        "version": env!("CARGO_PKG_VERSION"),
        "rules": rules,
    })
}

fn remark(text: &str) -> Value {
    json!({ "level": "note", "message": { "text": braces(text) } })
}

fn result(entry: &Entry, rules: &[Rule]) -> Value {
    let own = &entry.result;
    let mut result = Map::new();
    result.insert("ruleId".to_owned(), json!(own.rule_id));
    if let Some(index) = rules.iter().position(|rule| rule.id == own.rule_id) {
        result.insert("ruleIndex".to_owned(), json!(index));
    }
    result.insert("level".to_owned(), json!(own.level.name()));
    result.insert(
        "message".to_owned(),
        json!({ "text": braces(&own.message) }),
    );
    if !own.path.as_os_str().is_empty() {
        let mut place = json!({ "artifactLocation": { "uri": uri::of(&own.path) } });
        if let Some(place) = place.as_object_mut()
            && own.line > 0
        {
            let region = match own.column {
                0 => json!({ "startLine": own.line }),
                column => json!({ "startLine": own.line, "startColumn": column }),
            };
            place.insert("region".to_owned(), region);
        }
        result.insert(
            "locations".to_owned(),
            json!([{ "physicalLocation": place }]),
        );
    }
    if let Some(print) = &own.fingerprint {
        let mut prints = Map::new();
        prints.insert(FINGERPRINT.to_owned(), json!(print));
        result.insert("partialFingerprints".to_owned(), Value::Object(prints));
    }
    if let Some(reason) = &entry.accepted {
        result.insert(
            "suppressions".to_owned(),
            json!([{ "kind": "external", "justification": reason }]),
        );
    }
    Value::Object(result)
}

/// §3.11.5: a brace that is meant is written twice.
fn braces(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}
