#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Of the published schema (sarif-schema-2.1.0.json, errata 01): per object the properties it must
/// have, and all that we write (it allows no others: `additionalProperties` is false).
const OBJECTS: [(&str, &[&str], &[&str]); 13] = [
    ("log", &["version", "runs"], &["$schema"]),
    ("run", &["tool"], &["results", "columnKind", "invocations"]),
    ("tool", &["driver"], &[]),
    ("toolComponent", &["name"], &["version", "rules"]),
    (
        "reportingDescriptor",
        &["id"],
        &["name", "shortDescription", "help"],
    ),
    ("multiformatMessageString", &["text"], &[]),
    (
        "result",
        &["message"],
        &[
            "ruleId",
            "ruleIndex",
            "level",
            "locations",
            "partialFingerprints",
            "suppressions",
        ],
    ),
    ("message", &["text"], &[]),
    ("location", &["physicalLocation"], &[]),
    ("physicalLocation", &["artifactLocation"], &["region"]),
    ("artifactLocation", &["uri"], &[]),
    ("region", &["startLine"], &["startColumn"]),
    ("suppression", &["kind"], &["justification"]),
];

/// Checks an object against the table above, and gives it back.
fn object<'v>(kind: &str, value: &'v Value) -> &'v serde_json::Map<String, Value> {
    let (_, required, optional) = OBJECTS.iter().find(|(name, ..)| *name == kind).unwrap();
    let map = value
        .as_object()
        .unwrap_or_else(|| panic!("{kind}: {value}"));
    for name in *required {
        assert!(map.contains_key(*name), "{kind} lacks {name}");
    }
    for name in map.keys() {
        assert!(
            required.contains(&name.as_str()) || optional.contains(&name.as_str()),
            "{kind} has {name}"
        );
    }
    map
}

fn text<'v>(kind: &str, value: &'v Value) -> &'v str {
    object(kind, value)["text"].as_str().unwrap()
}

/// `uri-reference` (RFC 3986 appendix A), as far as bytes go.
fn check_uri(uri: &str) {
    let mut rest = uri.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                for _ in 0..2 {
                    assert!(rest.next().unwrap().is_ascii_hexdigit(), "{uri}");
                }
            }
            _ => assert!(
                byte.is_ascii_alphanumeric() || b"-._~:/@+=,".contains(&byte),
                "{uri}"
            ),
        }
    }
    let scheme = uri.split('/').next().unwrap();
    assert!(!scheme.contains(':') || scheme == "file:", "{uri}");
}

/// Everything the schema asks of what we write.
fn check(json: &str) -> Value {
    assert!(!json.contains('\n'));
    let log: Value = serde_json::from_str(json).unwrap();
    let root = object("log", &log);
    assert_eq!(root["version"], "2.1.0");
    let runs = root["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1);
    let run = object("run", &runs[0]);
    assert!(["utf16CodeUnits", "unicodeCodePoints"].contains(&run["columnKind"].as_str().unwrap()));
    let driver = object("toolComponent", &object("tool", &run["tool"])["driver"]);
    assert!(driver["name"].is_string() && driver["version"].is_string());
    let rules = driver["rules"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for rule in rules {
        let rule = object("reportingDescriptor", rule);
        assert!(ids.insert(rule["id"].as_str().unwrap()), "uniqueItems");
        text("multiformatMessageString", &rule["shortDescription"]);
        text("multiformatMessageString", &rule["help"]);
    }
    for result in run["results"].as_array().unwrap() {
        check_result(result, rules);
    }
    for invocation in run
        .get("invocations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        assert!(invocation["executionSuccessful"].is_boolean());
        for told in invocation["toolExecutionNotifications"].as_array().unwrap() {
            text("message", &told["message"]);
            assert_eq!(told["level"], "note");
        }
    }
    log
}

fn check_result(result: &Value, rules: &[Value]) {
    let result = object("result", result);
    text("message", &result["message"]);
    assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
    if let Some(index) = result.get("ruleIndex") {
        let index = usize::try_from(index.as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
    }
    for location in result
        .get("locations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let place = object(
            "physicalLocation",
            &object("location", location)["physicalLocation"],
        );
        check_uri(
            object("artifactLocation", &place["artifactLocation"])["uri"]
                .as_str()
                .unwrap(),
        );
        if let Some(region) = place.get("region") {
            let region = object("region", region);
            assert!(region["startLine"].as_u64().unwrap() >= 1);
            assert!(
                region
                    .get("startColumn")
                    .is_none_or(|c| c.as_u64().unwrap() >= 1)
            );
        }
    }
    if let Some(prints) = result.get("partialFingerprints") {
        assert!(prints.as_object().unwrap().values().all(Value::is_string));
    }
    for accepted in result
        .get("suppressions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let accepted = object("suppression", accepted);
        assert!(["inSource", "external"].contains(&accepted["kind"].as_str().unwrap()));
        assert!(accepted["justification"].is_string());
    }
}

fn rule(id: &str) -> Rule {
    Rule {
        id: id.into(),
        name: "overlap".into(),
        text: "Duties that are separated share a request".into(),
        help: "Narrow one of `GET a/{id}`".into(),
    }
}

fn finding() -> SarifResult {
    SarifResult {
        rule_id: "SOD002".into(),
        level: Level::Error,
        message: "`GET a.example/{id}` grants both".into(),
        path: "/etc/bailiwick/policy.toml".into(),
        line: 3,
        column: 7,
        fingerprint: Some("f00d".into()),
    }
}

#[test]
fn says_everything_that_was_pushed() {
    let mut report = Report::new(vec![rule("SOD001"), rule("SOD002")]);
    report.push(finding());
    report.push_accepted(finding(), "until the new gateway".into());
    report.remark("no daemon: live identities were not compared".into());
    let log = check(&report.to_json());
    insta::assert_snapshot!(serde_json::to_string_pretty(&log).unwrap());
}

#[test]
fn without_results_it_is_still_a_log() {
    let log = check(&Report::new(Vec::new()).to_json());
    assert_eq!(log["runs"][0]["results"], serde_json::json!([]));
}

#[test]
fn places_may_lack() {
    let mut report = Report::new(Vec::new());
    report.push(SarifResult {
        column: 0,
        ..finding()
    });
    report.push(SarifResult {
        line: 0,
        ..finding()
    });
    report.push(SarifResult {
        path: PathBuf::new(),
        fingerprint: None,
        ..finding()
    });
    let log = check(&report.to_json());
    let results = &log["runs"][0]["results"];
    let region = |at: usize| {
        results[at]["locations"][0]["physicalLocation"]
            .get("region")
            .cloned()
    };
    assert_eq!(region(0), Some(serde_json::json!({ "startLine": 3 })));
    assert_eq!(region(1), None);
    assert_eq!(results[2].get("locations"), None);
}

#[test]
fn results_are_bounded_and_counted() {
    let mut report = Report::new(Vec::new());
    for _ in 0..MOST_RESULTS + 3 {
        report.push(SarifResult {
            fingerprint: None,
            ..finding()
        });
    }
    let log: Value = serde_json::from_str(&report.to_json()).unwrap();
    let run = &log["runs"][0];
    assert_eq!(run["results"].as_array().unwrap().len(), MOST_RESULTS);
    let told = &run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"];
    assert_eq!(told, "3 more results than 25000 are left out");
}

#[test]
fn paths_become_uris() {
    for (path, uri) in [
        ("/etc/a b.toml", "file:///etc/a%20b.toml"),
        ("src/x.rs", "src/x.rs"),
        ("a:b/c", "./a:b/c"),
        ("50%#?.env", "50%25%23%3F.env"),
        ("ü", "%C3%BC"),
        ("//host/x", "file:////host/x"),
    ] {
        assert_eq!(uri::of(path.as_ref()), uri, "{path}");
    }
}

proptest! {
    #[test]
    fn hostile_texts_and_paths_stay_valid(
        path in prop::collection::vec(1_u8.., 0..40),
        message in any::<String>(),
        id in any::<String>(),
        line in 0_u32..3,
        column in 0_u32..3,
    ) {
        let mut report = Report::new(vec![Rule { id: id.clone(), text: message.clone(), ..rule("") }]);
        report.push(SarifResult {
            rule_id: id,
            message: message.clone(),
            path: OsString::from_vec(path.clone()).into(),
            line,
            column,
            ..finding()
        });
        let log = check(&report.to_json());
        let told = log["runs"][0]["results"][0]["message"]["text"].as_str().unwrap().to_owned();
        prop_assert_eq!(told.replace("{{", "{").replace("}}", "}"), message);
    }
}
