#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value as Json;

use super::field::{FIELDS, Kind, SHORT};
use super::*;
use crate::access::record::AccessRecord;
use crate::alert::Alert;
use crate::census::IdentityRecord;

/// The first example of a sort of records in docs/json.md.
fn example(kind: &str) -> Json {
    let page = include_str!("../../../docs/json.md");
    page.split("```json\n")
        .skip(1)
        .filter_map(|rest| serde_json::from_str::<Json>(rest.split("```").next()?).ok())
        .find(|json| json["type"] == kind)
        .unwrap()
}

fn access() -> AccessRecord {
    let mut json = example("access");
    json["response"]["grpc_status"] = 7.into();
    json["request"]["unknown_fields"] = 2.into();
    json["client"]["container"] = "4f5e6d7c8b9a".into();
    json["binding"] = serde_json::json!({"bound_to":"jkt","proof":"valid","thumbprint":"0Zc","flaws":["htm"],"age_s":2});
    json["tls"] = serde_json::json!({"version":"1.3","sni":"API.example","alpn":"h2","via":"keys","ja4":"t13"});
    serde_json::from_value(json).unwrap()
}

fn alert() -> Alert {
    let mut json = example("alert");
    json["acknowledged"] =
        serde_json::json!({"at":"2026-11-24T09:00:00.000000Z","by":"ann","note":"T-1"});
    json["muted_until"] = "2026-11-25T09:00:00.000000Z".into();
    serde_json::from_value(json).unwrap()
}

fn identity() -> IdentityRecord {
    serde_json::from_value(example("identity")).unwrap()
}

fn holds(text: &str, record: &impl Fields) -> bool {
    let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{error}"));
    filter.matches(record)
}

#[test]
fn conditions_on_an_access() {
    let access = access();
    for (text, expected) in [
        (r#"identity == "ci-bot""#, true),
        (r#"identity != "ci-bot""#, false),
        (r#"identity == "CI-BOT""#, false),
        (r#"identity matches "ci-*""#, true),
        (r#"identity.matches("c?-bot")"#, true),
        (r#"identity contains "i-b""#, true),
        (
            r#"identity startsWith "ci" and identity endsWith "bot""#,
            true,
        ),
        (r#"identity in ["a", "ci-bot"]"#, true),
        ("identity in []", false),
        ("status == 200", true),
        ("response.status >= 200 && status < 300", true),
        ("status in [404, 500]", false),
        ("duration_us == 812", true),
        ("duration < 1ms", true),
        ("duration > 0.5ms", true),
        ("duration >= 1s", false),
        ("binding.age_s <= 2s", true),
        ("binding.age_s > 1m", false),
        (r#"time > "2026-11-23T18:57:18Z""#, true),
        (r#"time > "2026-11-23T20:57:18+01:00""#, false),
        (r#"time == "2026-11-23T18:57:18.123456Z""#, true),
        (r#"peer in "127.0.0.0/8""#, true),
        (r#"peer in ["10.0.0.0/8", "127.0.0.1"]"#, true),
        (r#"peer in "10.0.0.0/8""#, false),
        (r#"peer == "127.0.0.1:8080""#, true),
        (r#"peer in "::/0""#, false),
        (r#"method == "get""#, true),
        (r#"host == "API.EXAMPLE""#, true),
        (r#"request.host == "api.example:8080""#, true),
        (r#"tls.sni endsWith ".EXAMPLE""#, true),
        (r#"client.name == "curl""#, true),
        (r#"either.name matches "ngin?""#, true),
        (r#""nginx" in either.name"#, true),
        (r#"either.unit contains "nginx.service""#, true),
        (r#"either.unit contains "nginx""#, false),
        (r#""environment" in findings"#, true),
        (r#""duty" in findings"#, false),
        (r#"findings in ["duty", "environment"]"#, true),
        ("has(findings)", true),
        ("has(duties) and has(credential) and has(tls)", true),
        ("has(server.container)", false),
        ("server.container == null", true),
        ("client.container != null", true),
        (r#"server.container != "x""#, true),
        (r#"server.container == "x""#, false),
        (r#"credential.kind == "bearer""#, true),
        (r#"role == "both""#, true),
        ("client.pid > 4000", true),
        ("true", true),
        ("false", false),
        ("not true", false),
        ("!(status == 200)", false),
        ("not not status == 200", true),
        // `and` binds closer than `or`, `not` closer than both.
        ("true or true and false", true),
        ("(true or true) and false", false),
        ("not false and false", false),
        ("not (false and false)", true),
        // Of another sort of record.
        ("count > 0", false),
        ("not (count > 0)", true),
    ] {
        assert_eq!(holds(text, &access), expected, "{text}");
    }
}

#[test]
fn conditions_on_alerts_and_identities() {
    let alert = alert();
    for (text, expected) in [
        (r#"severity >= "medium""#, true),
        (r#"severity > "high""#, false),
        (r#"severity == "high""#, true),
        (r#"kind in ["environment", "duty"]"#, true),
        ("count > 2 and count <= 3", true),
        (r#"workload == "unit:ci.service""#, true),
        (r#""T1078" in techniques"#, true),
        (r#"has(acknowledged) and acknowledged.by == "ann""#, true),
        (r#"muted_until > "2026-11-25T10:00:00Z""#, false),
        (r#"last_seen < "2026-11-24T00:00:00Z""#, true),
    ] {
        assert_eq!(holds(text, &alert), expected, "{text}");
    }
    let identity = identity();
    for (text, expected) in [
        ("refused > 0", true),
        (r#""environment" in findings"#, true),
        (r#""bearer" in kinds"#, true),
        (r#"hosts matches "api.*""#, true),
        (r#""prod" in environments"#, true),
        (r#""deploy" in usage.duties"#, true),
        ("baseline.mature", false),
        ("not baseline.mature", true),
        ("baseline.mature == false", true),
        ("baseline.missing < 0.01", true),
        ("has(owner)", true),
    ] {
        assert_eq!(holds(text, &identity), expected, "{text}");
    }
}

/// A mapped address is the IPv4 address it stands for.
#[test]
fn networks() {
    let mut access = access();
    for (peer, network, expected) in [
        ("[::ffff:10.1.2.3]:443", "10.0.0.0/8", true),
        ("[2001:db8::1]:443", "2001:db8::/32", true),
        ("[2001:db8::1]:443", "2001:db8::1", true),
        ("10.1.2.3", "10.1.2.3", true),
        ("unix:/run/docker.sock", "0.0.0.0/0", false),
        ("10.1.2.3:443", "10.1.2.4/31", false),
    ] {
        access.peer = Some(peer.to_owned());
        let text = format!("peer in \"{network}\"");
        assert_eq!(holds(&text, &access), expected, "{peer} {text}");
    }
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let mut all = String::new();
    for text in [
        "",
        "clinet.unit == \"ci.service\"",
        "identity = \"ci-bot\"",
        "identity == ci-bot",
        "identity == ci_bot",
        "identity =~ \"ci.*\"",
        "identity == \"ci-bot",
        "status == \"200\"",
        "status >= 5xx",
        "duration > 3 weeks",
        "duration > 3w",
        "time > \"yesterday\"",
        "peer in \"10.0.0.0/33\"",
        "identity in \"10.0.0.0/8\"",
        "identity in [\"a\" \"b\"]",
        "findings == \"duty\"",
        "\"dutty\" in findings",
        "\"x\" in identity",
        "kind == \"cannary\"",
        "severity >= \"bad\"",
        "identity > \"a\"",
        "identity startswith \"a\"",
        "identity == \"a\" AND owner == \"b\"",
        "identity == \"a\" owner == \"b\"",
        "(identity == \"a\"",
        "identity == \"a\")",
        "identity",
        "client == \"curl\"",
        "has(client.unti)",
        "status.matches(\"2*\")",
        "identity.like(\"x\")",
        "identity == \"\\x\"",
        "baseline.mature == \"yes\"",
        "identity & owner",
        "1 == 1",
        "status == 1.2.3",
        "identity ==",
        "not",
        "identity == “ci-bot”",
        "identity == \"\u{202e}\" and \u{1b}[31m",
    ] {
        let error = Filter::parse(text).unwrap_err();
        let shown = error.to_string();
        assert!(
            shown
                .lines()
                .all(|line| line.chars().all(crate::cli::quote::is_plain))
        );
        all.push_str(&shown);
        all.push_str("\n\n");
    }
    let error = Filter::parse_for(Subject::Access, "severity == \"high\"").unwrap_err();
    all.push_str(&format!("{error}\n\n"));
    let long = format!(
        "{} or clinet.unit == \"a\"",
        ["status == 200"; 20].join(" or ")
    );
    all.push_str(&format!("{}\n", Filter::parse(&long).unwrap_err()));
    insta::assert_snapshot!(all);
}

#[test]
fn bounds_hold() {
    let message = |text: &str| Filter::parse(text).unwrap_err().message().to_owned();
    let deep = |n: usize| format!("{}true{}", "(".repeat(n), ")".repeat(n));
    assert!(Filter::parse(&deep(MAX_DEPTH - 1)).is_ok());
    assert!(message(&deep(MAX_DEPTH)).contains("levels of nesting"));
    assert!(message(&deep(2000)).contains("levels of nesting"));
    assert!(message(&"!".repeat(4000)).contains("levels of nesting"));
    assert!(Filter::parse(&vec!["true"; MAX_TESTS].join("||")).is_ok());
    assert!(message(&vec!["true"; MAX_TESTS + 1].join("||")).contains("more than 256"));
    let list = |n: usize| format!("status in [{}]", vec!["200"; n].join(","));
    assert!(Filter::parse(&list(MAX_TESTS - 1)).is_ok());
    assert!(message(&list(MAX_TESTS)).contains("more than 256"));
    assert!(message(&" ".repeat(MAX_LENGTH + 1)).contains("at most 4096 bytes"));
}

/// Names of what is in a record, as docs/json.md writes them.
fn leaves(json: &Json, prefix: &str, out: &mut BTreeSet<String>) {
    for (name, value) in json.as_object().into_iter().flatten() {
        let name = format!("{prefix}{name}");
        // Lists with what did not fit are lists; an object of counts is a list of what has one.
        let is_list = value.get("items").is_some() || name == "findings";
        if value.is_object() && !is_list {
            leaves(value, &format!("{name}."), out);
        }
        out.insert(name);
    }
}

/// Each field of a record can be asked for, and each field that can be asked for is there in a record that has
/// everything.
#[test]
fn the_fields_are_those_of_json() {
    // Records of their own within a record.
    let left_out = [
        "type",
        "v",
        "evidence",
        "operations",
        "request",
        "usage",
        "usage.v",
        "usage.environments",
    ];
    // Worked out from others.
    let own = |name: &str| {
        name.starts_with("either.") || ["host", "client.name", "server.name"].contains(&name)
    };
    let mut full = access();
    full.server.as_mut().unwrap().container = Some("x".to_owned());
    let mut known = identity();
    known.baseline.as_mut().unwrap().waits_for = Some("days".to_owned());
    let alert = alert();
    type Get<'a> = &'a dyn Fn(&str) -> bool;
    let records: [(Subject, Json, Get<'_>); 3] = [
        (
            Subject::Access,
            serde_json::to_value(&full).unwrap(),
            &|name| full.get(name).is_some(),
        ),
        (
            Subject::Alert,
            serde_json::to_value(&alert).unwrap(),
            &|name| alert.get(name).is_some(),
        ),
        (
            Subject::Identity,
            serde_json::to_value(&known).unwrap(),
            &|name| known.get(name).is_some(),
        ),
    ];
    for (subject, json, get) in records {
        let mut names = BTreeSet::new();
        leaves(&json, "", &mut names);
        for name in &names {
            let known = FIELDS
                .iter()
                .any(|field| field.name == name && field.is_of(subject));
            assert!(
                known || left_out.contains(&name.as_str()),
                "{subject:?}: {name} is no field"
            );
        }
        for field in FIELDS.iter().filter(|field| field.is_of(subject)) {
            assert!(get(field.name), "{subject:?}: {} is not there", field.name);
            assert!(
                own(field.name) || names.contains(field.name),
                "{}",
                field.name
            );
        }
    }
    for (short, long) in SHORT {
        assert!(FIELDS.iter().any(|field| field.name == long), "{short}");
        assert!(FIELDS.iter().all(|field| field.name != short), "{short}");
    }
}

/// docs/filter.md names every field and every short name.
#[test]
fn every_field_is_documented() {
    let page = include_str!("../../../docs/filter.md");
    for name in FIELDS
        .iter()
        .map(|field| field.name)
        .chain(SHORT.map(|(short, _)| short))
    {
        assert!(page.contains(&format!("`{name}`")), "`{name}`");
    }
    // Its examples are filters.
    let examples = page.split("```filter\n").skip(1);
    let mut count = 0;
    for line in examples.flat_map(|rest| rest.split("```").next().unwrap().lines()) {
        Filter::parse(line).unwrap_or_else(|error| panic!("{error}"));
        count += 1;
    }
    assert!(count > 10, "{count}");
}

/// A test that can be written on a field.
fn written(field: &'static field::FieldInfo) -> BoxedStrategy<String> {
    let name = field.name;
    let values: Vec<&'static str> = match field.kind {
        Kind::Text | Kind::Folded | Kind::List => {
            vec!["\"a\"", "'b\"'", r#""\\\n\u0007é*?""#, "\"\""]
        }
        Kind::Words(words) | Kind::WordList(words) => {
            let quoted = words()
                .into_iter()
                .map(|word| format!("\"{word}\"").leak() as &str);
            quoted.collect()
        }
        Kind::Severity => vec!["\"low\"", "\"critical\""],
        Kind::Number => vec!["0", "-1", "0.5", "404", "12345678901234567"],
        Kind::Micros | Kind::Seconds => vec!["1", "250ms", "0.5s", "2h", "1d", "3m", "7us"],
        Kind::Time => vec!["\"2026-11-23T18:57:18+01:00\"", "\"1970-01-01T00:00:00Z\""],
        Kind::Address => vec![
            "\"10.0.0.1:80\"",
            "\"10.0.0.0/8\"",
            "\"::1\"",
            "\"unix:/x\"",
        ],
        Kind::Bool => vec!["true", "false"],
        Kind::Object => vec![],
    };
    let mut operators = vec!["has"];
    if !values.is_empty() {
        operators.push("in");
        if !field.kind.is_list() {
            operators.extend(["==", "!="]);
        }
    }
    if field.kind.is_ordered() {
        operators.extend(["<", "<=", ">", ">="]);
    }
    if field.kind.is_text() {
        operators.extend(["matches", "contains", "startsWith", "endsWith"]);
    }
    let values = if values.is_empty() { vec!["x"] } else { values };
    (
        proptest::sample::select(operators),
        proptest::collection::vec(proptest::sample::select(values), 1..4),
    )
        .prop_map(move |(operator, values)| match operator {
            "has" => format!("has({name})"),
            "in" => format!("{name} in [{}]", values.join(", ")),
            // `contains` on a list of words wants one of them; the rest take any text.
            "==" | "!=" if values[0].contains("/8") => format!("{name} {operator} \"10.0.0.1:80\""),
            _ => format!("{name} {operator} {}", values[0]),
        })
        .boxed()
}

fn filters() -> impl Strategy<Value = String> {
    let leaf = (0..FIELDS.len()).prop_flat_map(|at| written(&FIELDS[at]));
    let leaf = prop_oneof![9 => leaf, 1 => Just("true".to_owned()), 1 => Just("false".to_owned())];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4)
                .prop_map(|all| format!("({})", all.join(" and "))),
            proptest::collection::vec(inner.clone(), 2..4)
                .prop_map(|all| format!("({})", all.join(" || "))),
            inner.prop_map(|one| format!("not {one}")),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same(text in filters()) {
        let filter = Filter::parse(&text).unwrap();
        let printed = filter.to_string();
        let again = Filter::parse(&printed);
        prop_assert_eq!(again.as_ref(), Ok(&filter), "{}", printed);
        prop_assert_eq!(again.unwrap().to_string(), printed);
    }

    #[test]
    fn negation_negates(text in filters()) {
        let filter = Filter::parse(&text).unwrap();
        let negated = Filter::parse(&format!("not ({text})")).unwrap();
        let access = access();
        prop_assert_ne!(filter.matches(&access), negated.matches(&access));
    }

    #[test]
    fn any_text_is_survived(text in ".{0,60}") {
        if let Err(error) = Filter::parse(&text) {
            let shown = error.to_string();
            prop_assert!(shown.lines().all(|line| line.chars().all(crate::cli::quote::is_plain)));
        }
    }

    #[test]
    fn any_words_are_survived(words in proptest::collection::vec(proptest::sample::select(vec![
        "identity", "status", "findings", "peer", "(", ")", "[", "]", ",", "==", "!=", "<", "in", "and", "or",
        "not", "!", "has", "\"a\"", "404", "5ms", "null", "true", "matches", "contains", ".", "identity.matches",
    ]), 0..12)) {
        let text = words.join(" ");
        if let Ok(filter) = Filter::parse(&text) {
            let access = access();
            let _ = filter.matches(&access);
            prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
        }
    }
}
