//! Exports hold no field that the published APIs do not have.

use super::*;
use crate::gateway::yaml::Node;

/// Fields of envoy.config.rbac.v3, envoy.type.matcher.v3 and HeaderMatcher that the export uses
/// (envoyproxy.io, API v3: rbac.proto, string.proto, metadata.proto, route_components.proto), each with what it may hold.
const ENVOY: [(&str, &[&str]); 21] = [
    ("", &["name", "typed_config"]),
    ("typed_config", &["@type", "rules"]),
    ("rules", &["action", "policies"]),
    ("policies", &["*"]),
    ("policies.*", &["permissions", "principals"]),
    (
        "permissions",
        &[
            "any",
            "and_rules",
            "or_rules",
            "not_rule",
            "header",
            "url_path",
        ],
    ),
    (
        "principals",
        &["authenticated", "header", "metadata", "not_id"],
    ),
    ("and_rules", &["rules"]),
    ("or_rules", &["rules"]),
    (
        "and_rules.rules",
        &["any", "or_rules", "not_rule", "header", "url_path"],
    ),
    ("or_rules.rules", &["header", "url_path"]),
    ("not_rule", &["url_path", "any"]),
    ("not_id", &["any"]),
    ("header", &["name", "string_match"]),
    ("string_match", &["exact", "safe_regex"]),
    ("safe_regex", &["regex"]),
    ("url_path", &["path"]),
    ("url_path.path", &["exact", "prefix", "safe_regex"]),
    ("authenticated", &["principal_name"]),
    ("principal_name", &["exact"]),
    ("metadata", &["filter", "path", "value"]),
];
const ENVOY_MORE: [(&str, &[&str]); 2] =
    [("metadata.path", &["key"]), ("value", &["string_match"])];

/// Fields of security.istio.io/v1 AuthorizationPolicy (istio.io reference, authorization-policy).
const ISTIO: [(&str, &[&str]); 9] = [
    ("", &["apiVersion", "kind", "metadata", "spec"]),
    ("metadata", &["name"]),
    ("spec", &["action", "rules"]),
    ("rules", &["from", "to", "when"]),
    ("from", &["source"]),
    ("source", &["principals"]),
    ("to", &["operation"]),
    ("operation", &["hosts", "methods", "paths"]),
    ("when", &["key", "values"]),
];

fn known(table: &[(&str, &[&str])], node: &Node, parent: &str, own: &str, seen: &mut usize) {
    let long = format!("{parent}.{own}");
    let fields = table
        .iter()
        .find(|(name, _)| *name == long)
        .or_else(|| table.iter().find(|(name, _)| *name == own));
    for (key, inner) in node.entries() {
        let (_, fields) = fields.unwrap_or_else(|| panic!("{long} holds fields"));
        let any = fields.contains(&"*");
        assert!(any || fields.contains(&key.as_str()), "{long} has no {key}");
        *seen += 1;
        if any {
            known(table, inner, own, "*", seen);
        } else {
            known(table, inner, own, key, seen);
        }
    }
    for item in node.items() {
        known(table, item, parent, own, seen);
    }
}

#[test]
fn fields_are_those_of_the_apis() {
    let policy = policy(SHOP);
    let envoy: Vec<_> = ENVOY.into_iter().chain(ENVOY_MORE).collect();
    for (target, table) in [
        (Target::EnvoyRbac, envoy.as_slice()),
        (Target::Istio, &ISTIO),
    ] {
        for from in sources(target) {
            let text = write(target, &lock(&policy, from)).text;
            let documents = yaml::parse(&text).unwrap();
            assert_eq!(documents.len(), 1);
            let mut seen = 0;
            known(table, &documents[0], "", "", &mut seen);
            assert!(seen > 30, "{seen}");
        }
    }
}

#[test]
fn yaml_is_bounded() {
    let deep = "[".repeat(1000);
    assert!(yaml::parse(&deep).is_err());
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (from, to) in ('a'..'i').zip('b'..='i') {
        bomb.push_str(&format!(
            "{to}: &{to} [{}]\n",
            vec![format!("*{from}"); 9].join(", ")
        ));
    }
    assert!(yaml::parse(&bomb).is_err());
    assert!(
        yaml::parse("a: 1\na: 2\n").is_err(),
        "which one counts is a guess"
    );
    let tree = yaml::parse("x: &a {y: [1, ~]}\nz: *a\n").unwrap();
    assert_eq!(tree[0].get("z").unwrap().get("y").unwrap().items().len(), 2);
    assert_eq!(tree[0].get("x").unwrap().line, 1);
}
