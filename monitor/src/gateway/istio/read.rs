//! Reads AuthorizationPolicies: several documents, ALLOW, DENY, AUDIT; CUSTOM is somebody else's decision.

use std::collections::BTreeMap;

use super::super::gate::{Attribute, Cond, Decision, Gate, Part, Remarks};
use super::super::quote;
use super::super::yaml::{Node, Value};

fn is_policy(node: &Node) -> bool {
    let text = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
    text("kind") == "AuthorizationPolicy" && text("apiVersion").starts_with("security.istio.io/")
}

/// Whether a document is Istio's; items of a `List` count.
pub(in super::super) fn found(documents: &[Node]) -> bool {
    let mut any = false;
    for document in documents {
        document.walk(&mut |node| any |= is_policy(node));
    }
    any
}

#[derive(Default)]
struct Group<'n> {
    policies: Vec<&'n Node>,
}

/// Reads all policies. Those of one workload are one lock; of several workloads, one must let through.
pub(in super::super) fn read(documents: &[Node], mut remarks: Remarks) -> Gate {
    let mut groups: BTreeMap<(String, String), Group<'_>> = BTreeMap::new();
    for document in documents {
        document.walk(&mut |node| {
            if is_policy(node) {
                groups.entry(target(node)).or_default().policies.push(node);
            }
        });
    }
    // What names no workload counts for each of its namespace.
    let general: Vec<(String, Vec<&Node>)> = groups
        .iter()
        .filter(|((_, workload), _)| workload.is_empty())
        .map(|((namespace, _), group)| (namespace.clone(), group.policies.clone()))
        .collect();
    for ((namespace, workload), group) in &mut groups {
        if !workload.is_empty() {
            let more = general.iter().filter(|(own, _)| own == namespace);
            group
                .policies
                .extend(more.flat_map(|(_, policies)| policies.iter().copied()));
        }
    }
    let locks: Vec<Decision> = groups
        .values()
        .map(|group| lock(&group.policies, &mut remarks))
        .collect();
    if locks.is_empty() {
        remarks.add(0, "no AuthorizationPolicy");
        return remarks.into_gate(Decision::Verdict(None, 0));
    }
    remarks.into_gate(Decision::Some(locks))
}

/// Namespace, and what the policy is for in it.
fn target(node: &Node) -> (String, String) {
    let namespace = node
        .get("metadata")
        .and_then(|m| m.get("namespace"))
        .and_then(Node::text)
        .unwrap_or_default();
    let spec = node.get("spec");
    let mut words = Vec::new();
    for key in ["selector", "targetRefs", "targetRef"] {
        if let Some(node) = spec.and_then(|spec| spec.get(key)) {
            node.walk(&mut |node| {
                words.extend(node.text().map(str::to_owned));
                words.extend(node.entries().iter().map(|(key, _)| key.clone()));
            });
        }
    }
    (namespace.to_owned(), words.join(" "))
}

fn lock(policies: &[&Node], remarks: &mut Remarks) -> Decision {
    let (mut deny, mut allow, mut custom) = (Vec::new(), Vec::new(), false);
    let mut has_allow = false;
    let mut line = 0;
    for policy in policies {
        let empty = Node::empty(policy.line);
        let spec = policy.get("spec").unwrap_or(&empty);
        let action = spec.get("action").and_then(Node::text).unwrap_or("ALLOW");
        for (key, value) in spec.entries() {
            if !matches!(
                key.as_str(),
                "action" | "rules" | "selector" | "targetRefs" | "targetRef" | "provider"
            ) {
                remarks.add(value.line, format!("spec: {key}"));
            }
        }
        let steps = match action {
            "ALLOW" => {
                has_allow = true;
                line = policy.line;
                &mut allow
            }
            "DENY" => &mut deny,
            "AUDIT" => continue,
            other => {
                custom = true;
                remarks.add(
                    policy.line,
                    format!("action {}: decided elsewhere", quote::comment(other)),
                );
                continue;
            }
        };
        for rule in spec.get("rules").map(Node::items).unwrap_or_default() {
            let verdict = Decision::Verdict(Some(action == "ALLOW"), rule.line);
            steps.push((self::rule(rule, remarks), verdict));
        }
    }
    deny.extend(allow);
    let first = Decision::First(deny, Box::new(Decision::Verdict(Some(!has_allow), line)));
    if custom {
        Decision::Every(vec![Decision::Verdict(None, 0), first])
    } else {
        first
    }
}

fn rule(node: &Node, remarks: &mut Remarks) -> Cond {
    let mut all = Vec::new();
    for (key, value) in node.entries() {
        let inner = match key.as_str() {
            "from" => "source",
            "to" => "operation",
            "when" => {
                all.extend(value.items().iter().map(|item| when(item, remarks)));
                continue;
            }
            other => {
                remarks.add(value.line, format!("rule: {}", quote::comment(other)));
                all.push(Cond::Unknown);
                continue;
            }
        };
        let mut either = Vec::new();
        for item in value.items() {
            either.push(match item.get(inner) {
                Some(fields) => fields_of(fields, remarks),
                None => {
                    remarks.add(item.line, format!("{inner} is missing"));
                    Cond::Unknown
                }
            });
        }
        all.push(Cond::Either(either));
    }
    Cond::All(all)
}

/// What a field is compared with, and how its values are read.
enum Field {
    Who(Attribute, fn(&str) -> Option<String>),
    Request(Part, fn(&str) -> Option<String>),
}

fn field(name: &str) -> Option<Field> {
    Some(match name {
        "principals" => Field::Who(Attribute::Spiffe, principal),
        "requestPrincipals" => Field::Who(Attribute::RequestPrincipal, value),
        "namespaces" => Field::Who(Attribute::Spiffe, namespace),
        "hosts" => Field::Request(Part::Host, host),
        "methods" => Field::Request(Part::Method, value),
        "paths" => Field::Request(Part::Path, path),
        _ => return None,
    })
}

/// All fields of a source or an operation must hold.
fn fields_of(node: &Node, remarks: &mut Remarks) -> Cond {
    let mut all = Vec::new();
    for (key, values) in node.entries() {
        let negated = key.strip_prefix("not").map(lower_first);
        let name = negated.as_deref().unwrap_or(key);
        let Some(field) = field(name) else {
            remarks.add(values.line, quote::comment(key));
            all.push(Cond::Unknown);
            continue;
        };
        let cond = any_of(values, &field, remarks);
        all.push(if negated.is_some() {
            Cond::Not(Box::new(cond))
        } else {
            cond
        });
    }
    Cond::All(all)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_ascii_lowercase())
        .into_iter()
        .chain(chars)
        .collect()
}

fn any_of(values: &Node, field: &Field, remarks: &mut Remarks) -> Cond {
    if !matches!(values.value, Value::List(_)) {
        remarks.add(values.line, "a list is expected");
        return Cond::Unknown;
    }
    let mut either = Vec::new();
    for item in values.items() {
        let (read, part) = match field {
            Field::Who(_, read) => (read, None),
            Field::Request(part, read) => (read, Some(*part)),
        };
        let pattern = item
            .text()
            .filter(|text| text.len() <= super::super::language::LONGEST_REGEX / 4)
            .and_then(read);
        either.push(match (pattern, part, field) {
            (Some(pattern), Some(part), _) => Cond::Matches(part, pattern),
            (Some(pattern), None, Field::Who(attribute, _)) => {
                Cond::Who(attribute.clone(), pattern)
            }
            _ => {
                remarks.add(
                    item.line,
                    format!(
                        "value {}",
                        quote::comment(item.text().unwrap_or("that is no text"))
                    ),
                );
                Cond::Unknown
            }
        });
    }
    Cond::Either(either)
}

/// Exact, `prefix*`, `*suffix`, `*` (anything that is there). ASCII, as all that it is compared with.
fn value(text: &str) -> Option<String> {
    if !text.is_ascii() {
        return None;
    }
    Some(
        match (text, text.strip_suffix('*'), text.strip_prefix('*')) {
            ("*", ..) => "(?s:.+)".to_owned(),
            (_, Some(prefix), _) => format!("{}(?s:.*)", quote::regex(prefix)),
            (_, _, Some(suffix)) => format!("(?s:.*){}", quote::regex(suffix)),
            _ => quote::regex(text),
        },
    )
}

/// Hosts are compared without regard to case.
fn host(text: &str) -> Option<String> {
    value(&text.to_ascii_lowercase())
}

/// SPIFFE ids without `spiffe://`.
fn principal(text: &str) -> Option<String> {
    if let Some(suffix) = text.strip_prefix('*') {
        return value(text).map(|pattern| {
            if suffix.is_empty() {
                format!("spiffe://{pattern}")
            } else {
                format!("spiffe://(?:{pattern})")
            }
        });
    }
    value(text).map(|pattern| format!("spiffe://{pattern}"))
}

fn namespace(text: &str) -> Option<String> {
    value(text).map(|pattern| {
        format!(
            "spiffe://[^/]+/ns/{}/.+",
            pattern
                .replace("(?s:.*)", "[^/]*")
                .replace("(?s:.+)", "[^/]+")
        )
    })
}

/// Paths: values as above, or templates with `{*}` (one segment) and `{**}` (any number).
fn path(text: &str) -> Option<String> {
    if !text.contains("{*}") && !text.contains("{**}") {
        return value(text);
    }
    if !text.is_ascii() {
        return None;
    }
    let mut out = String::new();
    for (at, segment) in text.split('/').enumerate() {
        if at > 0 {
            out.push('/');
        }
        match segment {
            "{*}" => out.push_str("[A-Za-z0-9\\-._~%!$&'()+,;:@=]+"),
            "{**}" => out.push_str("[A-Za-z0-9\\-._~%!$&'()+,;:@=/]*"),
            other if other.contains(['{', '}', '*']) => return None,
            other => out.push_str(&quote::regex(other)),
        }
    }
    Some(out)
}

fn when(node: &Node, remarks: &mut Remarks) -> Cond {
    let key = node.get("key").and_then(Node::text).unwrap_or_default();
    let field = if let Some(claims) = key.strip_prefix("request.auth.claims") {
        let path = claims.strip_prefix('[').and_then(|c| c.strip_suffix(']'));
        path.map(|path| {
            Field::Who(
                Attribute::Claim(path.split("][").map(str::to_owned).collect()),
                value,
            )
        })
    } else if let Some(name) = key
        .strip_prefix("request.headers[")
        .and_then(|name| name.strip_suffix(']'))
    {
        Some(match name.to_ascii_lowercase().as_str() {
            ":authority" | "host" => Field::Request(Part::Host, host),
            ":method" => Field::Request(Part::Method, value),
            ":path" => Field::Request(Part::Path, value),
            name => Field::Who(Attribute::Header(name.to_owned()), value),
        })
    } else {
        match key {
            "request.auth.principal" => Some(Field::Who(Attribute::RequestPrincipal, value)),
            "source.principal" => Some(Field::Who(Attribute::Spiffe, principal)),
            "source.namespace" => Some(Field::Who(Attribute::Spiffe, namespace)),
            _ => None,
        }
    };
    let Some(field) = field else {
        remarks.add(node.line, format!("when {}", quote::comment(key)));
        return Cond::Unknown;
    };
    let mut all = Vec::new();
    if let Some(values) = node.get("values") {
        all.push(any_of(values, &field, remarks));
    }
    if let Some(values) = node.get("notValues") {
        all.push(Cond::Not(Box::new(any_of(values, &field, remarks))));
    }
    if all.is_empty() {
        remarks.add(node.line, "when without values");
        all.push(Cond::Unknown);
    }
    Cond::All(all)
}
