//! Golden files of each format, and what each receiver's documentation demands, as facts of our own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may fail by panic"
)]

use serde_json::Value;

use super::*;
use crate::alert::testing;

/// 2026-11-24T10:00:00Z.
const NOW_US: i64 = 1_795_514_400_000_000;
const KEY: &str = "0123456789abcdef0123456789abcdef";
/// Markup of every receiver, controls, a right-to-left override, quotes and a NUL.
const HOSTILE: &str =
    "<!channel> <https://evil.example|ok> & *b* _i_ `c` {{x}}\"'\\ \u{1b}[31m\r\n\0\u{202e}txt";

fn sender() -> Sender<'static> {
    Sender {
        message_id: "al_01KB29W7J0B5MZ8Q4T2XWV6N3R-7",
        host: "web-1.example",
        routing_key: KEY,
        room: 8192,
        checkpoint: None,
    }
}

fn grown() -> Alert {
    let mut alert = testing::alert("al_01KB29W7J0B5MZ8Q4T2XWV6N3R", 7);
    alert.first_seen = rfc3339(NOW_US - 60_000_000);
    alert.last_seen = rfc3339(NOW_US);
    alert.techniques.push("T1552.001".to_owned());
    alert.evidence = vec![testing::record(NOW_US)];
    alert
}

fn hostile() -> Alert {
    let mut alert = grown();
    for text in [
        &mut alert.title,
        &mut alert.operation,
        &mut alert.clause,
        &mut alert.normal,
        &mut alert.action,
    ] {
        *text = HOSTILE.repeat(40);
    }
    for text in [
        &mut alert.identity,
        &mut alert.owner,
        &mut alert.workload,
        &mut alert.environment,
    ] {
        *text = Some(HOSTILE.repeat(40));
    }
    alert.evidence[0].request.host = HOSTILE.to_owned();
    alert.evidence[0].request.path = HOSTILE.to_owned();
    alert
}

fn told(format: Format, alert: &Alert) -> Value {
    serde_json::from_slice(&body(format, alert, &sender())).unwrap()
}

/// Alerts of every sort: one that grew, its first state, one full of markup, a test.
fn samples() -> Vec<Alert> {
    let mut first = grown();
    first.count = 1;
    first.evidence.clear();
    first.identity = None;
    first.environment = None;
    vec![grown(), first, hostile(), test_alert("test_1", NOW_US)]
}

fn text<'a>(value: &'a Value, at: &str) -> &'a str {
    value
        .pointer(at)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no text at {at}: {value:#}"))
}

fn number(value: &Value, at: &str) -> i64 {
    value
        .pointer(at)
        .and_then(Value::as_i64)
        .unwrap_or_else(|| panic!("no number at {at}: {value:#}"))
}

fn is_time(text: &str) {
    assert!(text.parse::<Timestamp>().is_ok(), "{text}");
}

/// No character that a screen would obey.
fn is_harmless(text: &str) {
    let bad = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(bad), "{text:?}");
}

fn strings(value: &Value, see: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, see)),
        Value::Object(map) => map.values().for_each(|item| strings(item, see)),
        _ => {}
    }
}

#[test]
fn golden_files() {
    for format in Format::ALL {
        let name = format.name();
        for (what, alert) in [("grown", grown()), ("test", test_alert("test_1", NOW_US))] {
            // What logs take is checked as it comes over their sockets: tests/logs.rs.
            let mut pretty = if format.is_log() {
                String::from_utf8(body(format, &alert, &sender())).unwrap()
            } else {
                serde_json::to_string_pretty(&told(format, &alert)).unwrap()
            };
            pretty = pretty.replace(env!("CARGO_PKG_VERSION"), "VERSION");
            insta::assert_snapshot!(format!("{name}_{what}"), pretty);
        }
    }
}

/// OCSF 1.3.0, class `detection_finding`, its base classes and objects: attributes whose requirement is
/// `required`, enumerations, `at_least_one` constraints (github.com/ocsf/ocsf-schema: events/base_event.json,
/// events/findings/finding.json, objects/{metadata,product,finding_info,attack,evidences,api,remediation}.json).
#[test]
fn ocsf_has_what_the_schema_requires() {
    for alert in samples() {
        let event = told(Format::Ocsf, &alert);
        let activity = number(&event, "/activity_id");
        assert_eq!(activity, if alert.count == 1 { 1 } else { 2 });
        assert_eq!(number(&event, "/category_uid"), 2);
        assert_eq!(number(&event, "/class_uid"), 2004);
        assert_eq!(number(&event, "/type_uid"), 2004 * 100 + activity);
        assert!((0..=6).contains(&number(&event, "/severity_id")));
        assert!((0..=6).contains(&number(&event, "/status_id")));
        assert_eq!(number(&event, "/time"), NOW_US / 1000, "milliseconds");
        assert_eq!(text(&event, "/metadata/version"), "1.3.0");
        text(&event, "/metadata/product/vendor_name");
        text(&event, "/metadata/product/name");
        assert_eq!(text(&event, "/finding_info/uid"), alert.id);
        assert_eq!(text(&event, "/finding_info/title"), alert.title);
        number(&event, "/finding_info/analytic/type_id");
        text(&event, "/remediation/desc");
        for attack in event["finding_info"]["attacks"].as_array().unwrap() {
            assert!(text(attack, "/technique/uid").starts_with('T'));
        }
        for evidence in event["evidences"].as_array().into_iter().flatten() {
            text(evidence, "/api/operation");
            text(evidence, "/api/service/name");
            text(evidence, "/actor/user/name");
            text(evidence, "/actor/process/file/name");
            number(evidence, "/actor/process/file/type_id");
        }
    }
    let sub = &told(Format::Ocsf, &grown())["finding_info"]["attacks"][1];
    assert_eq!(text(sub, "/technique/uid"), "T1552");
    assert_eq!(text(sub, "/sub_technique/uid"), "T1552.001");
}

/// CloudEvents 1.0.2, spec.md §"Required Attributes" (id, source, specversion, type: non-empty) and
/// §"Attribute Naming" (lower-case letters and digits, at most 20 advised); json-format.md §3 for the media type.
#[test]
fn cloudevents_has_the_required_attributes() {
    assert!(
        Format::Cloudevents
            .content_type()
            .starts_with("application/cloudevents+json")
    );
    for alert in samples() {
        let event = told(Format::Cloudevents, &alert);
        assert_eq!(text(&event, "/specversion"), "1.0");
        assert_eq!(text(&event, "/id"), sender().message_id, "unique a message");
        assert!(!text(&event, "/type").is_empty());
        let source = text(&event, "/source");
        assert_eq!(source, "/bailiwick/web-1.example");
        is_time(text(&event, "/time"));
        assert_eq!(text(&event, "/subject"), alert.id);
        for name in event.as_object().unwrap().keys() {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            assert!(name.len() <= 20 && name.bytes().all(plain), "{name}");
        }
        let data: Alert = serde_json::from_value(event["data"].clone()).unwrap();
        assert_eq!(data, alert, "the alert whole");
    }
    let odd = Sender {
        host: "a b/<\u{202e}>",
        ..sender()
    };
    let event: Value = serde_json::from_slice(&body(Format::Cloudevents, &grown(), &odd)).unwrap();
    assert_eq!(text(&event, "/source"), "/bailiwick/a_b____");
}

/// docs.slack.dev: text objects have 1 to 3000 characters; a header's are `plain_text` of at most 150; a
/// section has at most 10 fields of at most 2000; a message at most 50 blocks; `&`, `<`, `>` are written as
/// entities ("Formatting message text", "Escaping text").
#[test]
fn slack_keeps_to_its_limits_and_sees_no_markup() {
    for alert in samples() {
        let message = told(Format::Slack, &alert);
        let blocks = message["blocks"].as_array().unwrap();
        assert!((1..=50).contains(&blocks.len()));
        assert!(text(&message, "/blocks/0/text/text").chars().count() <= slack::MAX_HEADER);
        assert!(text(&message, "/text").chars().count() <= 3000);
        for block in blocks {
            let fields = block["fields"].as_array();
            assert!(fields.is_none_or(|fields| (1..=10).contains(&fields.len())));
            let texts = fields
                .into_iter()
                .flatten()
                .map(|field| (field, slack::MAX_FIELD))
                .chain(block.get("text").map(|text| (text, 3000)));
            for (object, max) in texts {
                assert_eq!(text(object, "/type"), "plain_text");
                let length = text(object, "/text").chars().count();
                assert!((1..=max).contains(&length), "{object:#}");
            }
        }
        strings(&message, &mut |text| {
            is_harmless(text);
            assert!(!text.contains(['<', '>']), "{text}");
            let bare = text
                .replace("&amp;", "")
                .replace("&lt;", "")
                .replace("&gt;", "");
            assert!(!bare.contains('&'), "{text}");
        });
    }
    let message = told(Format::Slack, &hostile());
    assert!(text(&message, "/text").contains("&lt;!channel&gt;"));
}

/// developer.pagerduty.com, "Send an alert event": routing_key (32 characters), event_action, payload.summary (at
/// most 1024), payload.source, payload.severity are required; dedup_key has at most 255; timestamp is ISO 8601.
#[test]
fn pagerduty_has_the_required_fields() {
    for alert in samples() {
        let event = told(Format::Pagerduty, &alert);
        assert_eq!(text(&event, "/routing_key"), KEY);
        assert_eq!(text(&event, "/event_action"), "trigger");
        assert_eq!(text(&event, "/dedup_key"), alert.id, "the same as it grows");
        assert!(alert.id.len() <= 255);
        let summary = text(&event, "/payload/summary").chars().count();
        assert!((1..=pagerduty::MAX_SUMMARY).contains(&summary));
        assert!(!text(&event, "/payload/source").is_empty());
        let severity = text(&event, "/payload/severity");
        assert!(["critical", "error", "warning", "info"].contains(&severity));
        is_time(text(&event, "/payload/timestamp"));
        strings(&event, &mut is_harmless);
    }
}

/// alertmanager's api/v2/openapi.yaml: an array of postableAlert: labels (required) and annotations are objects of
/// strings, startsAt and endsAt date-times; model/labels: names are [a-zA-Z_][a-zA-Z0-9_]*.
#[test]
fn alertmanager_has_labels_that_stay() {
    for alert in samples() {
        let alerts = told(Format::Alertmanager, &alert);
        let [one] = alerts.as_array().unwrap().as_slice() else {
            panic!("{alerts:#}")
        };
        assert!(text(one, "/labels/alertname").starts_with("Bailiwick"));
        for map in [&one["labels"], &one["annotations"]] {
            for (name, value) in map.as_object().unwrap() {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                assert!(name.bytes().all(plain) && !name.as_bytes()[0].is_ascii_digit());
                assert!(!value.as_str().unwrap().is_empty(), "{name}");
            }
        }
        let start: Timestamp = text(one, "/startsAt").parse().unwrap();
        let end: Timestamp = text(one, "/endsAt").parse().unwrap();
        assert!(end > start);
        strings(one, &mut is_harmless);
    }
    let mut more = grown();
    more.count += 5;
    more.last_seen = rfc3339(NOW_US + 1_000_000);
    more.evidence.clear();
    let labels = |alert: &Alert| told(Format::Alertmanager, alert)[0]["labels"].clone();
    assert_eq!(labels(&grown()), labels(&more), "one alert as it grows");
    more.severity = crate::judge::Severity::Critical;
    assert_ne!(
        labels(&grown()),
        labels(&more),
        "told anew as it gets worse"
    );
}

/// Only PagerDuty's message holds the routing key.
#[test]
fn keys_stay_where_they_belong() {
    for format in Format::ALL {
        let body = String::from_utf8(body(format, &grown(), &sender())).unwrap();
        assert_eq!(
            body.contains(KEY),
            format.has_routing_key(),
            "{}",
            format.name()
        );
    }
    assert!(!format!("{:?}", sender()).contains(KEY));
}
