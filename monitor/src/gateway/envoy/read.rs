//! Reads RBAC filters: of a whole bootstrap, of one filter, or of `rules` alone.

use super::super::gate::{Attribute, Cond, Decision, Gate, Part, Remarks};
use super::super::language;
use super::super::quote;
use super::super::yaml::{Node, Value};
use super::JWT_FILTER;

/// One character of a segment, and of any number of them, in a path template of Envoy.
const TEMPLATE_SEGMENT: &str = "[A-Za-z0-9\\-._~%!$&'()+,;:@=]+";
const TEMPLATE_REST: &str = "[A-Za-z0-9\\-._~%!$&'()+,;:@=/]*";

/// What stands in a document that is Envoy's.
pub(in super::super) fn found(documents: &[Node]) -> bool {
    documents.iter().any(|document| {
        let mut any = document.get("policies").is_some() || rules_of(document).is_some();
        document.walk(&mut |node| any |= is_filter(node));
        any
    })
}

fn is_filter(node: &Node) -> bool {
    let config = node.get("typed_config");
    let of_type = |node: &Node| {
        node.get("@type")
            .and_then(Node::text)
            .is_some_and(|kind| kind.ends_with("envoy.extensions.filters.http.rbac.v3.RBAC"))
    };
    config.is_some_and(of_type)
}

fn rules_of(node: &Node) -> Option<&Node> {
    node.get("rules")
        .filter(|rules| rules.get("policies").is_some() || rules.get("action").is_some())
}

/// Reads all filters. Those of one chain must all let a request through; of several chains, one.
pub(in super::super) fn read(documents: &[Node], mut remarks: Remarks) -> Gate {
    let mut chains: Vec<Decision> = Vec::new();
    for document in documents {
        if is_filter(document) {
            chains.push(filter(document, &mut remarks));
            continue;
        }
        if document.get("policies").is_some() {
            chains.push(rules(document, &mut remarks));
            continue;
        }
        if let Some(inner) = rules_of(document) {
            chains.push(rules(inner, &mut remarks));
            continue;
        }
        document.walk(&mut |node| {
            let filters: Vec<&Node> = node.items().iter().filter(|item| is_filter(item)).collect();
            if !filters.is_empty() {
                let all = filters
                    .into_iter()
                    .map(|node| filter(node, &mut remarks))
                    .collect();
                chains.push(Decision::Every(all));
            }
            let kind = node.get("@type").and_then(Node::text).unwrap_or_default();
            if kind.ends_with("RBACPerRoute") {
                remarks.add(node.line, "RBACPerRoute: a route's own rules");
            } else if kind.ends_with("filters.network.rbac.v3.RBAC") {
                remarks.add(node.line, "RBAC of a network filter");
            }
        });
    }
    let decision = match chains.len() {
        0 => {
            remarks.add(0, "no RBAC filter");
            Decision::Verdict(None, 0)
        }
        _ => Decision::Some(chains),
    };
    remarks.into_gate(decision)
}

fn filter(node: &Node, remarks: &mut Remarks) -> Decision {
    let Some(config) = node.get("typed_config") else {
        return Decision::Verdict(None, node.line);
    };
    if node.get("disabled").and_then(Node::text) == Some("true") {
        remarks.add(
            node.line,
            "a filter that is disabled unless a route enables it",
        );
        return Decision::Verdict(None, node.line);
    }
    for (key, value) in config.entries() {
        if !matches!(
            key.as_str(),
            "@type"
                | "rules"
                | "shadow_rules"
                | "rules_stat_prefix"
                | "shadow_rules_stat_prefix"
                | "shadow_matcher"
                | "track_per_rule_stats"
        ) {
            remarks.add(value.line, format!("RBAC: {key}"));
            return Decision::Verdict(None, value.line);
        }
    }
    match config.get("rules") {
        Some(inner) => rules(inner, remarks),
        // Without rules the filter lets everything through.
        None => Decision::Verdict(Some(true), node.line),
    }
}

fn rules(node: &Node, remarks: &mut Remarks) -> Decision {
    // Enumerations have a number, too.
    let matched = match node.get("action").and_then(Node::text).unwrap_or("ALLOW") {
        "ALLOW" | "0" => true,
        "DENY" | "1" => false,
        "LOG" | "2" => return Decision::Verdict(Some(true), node.line),
        other => {
            remarks.add(node.line, format!("action: {other}"));
            return Decision::Verdict(None, node.line);
        }
    };
    let mut steps = Vec::new();
    for (_, policy) in node.get("policies").map(Node::entries).unwrap_or_default() {
        let mut conds = Vec::new();
        for (key, value) in policy.entries() {
            match key.as_str() {
                "permissions" => conds.push(each(value, remarks, permission)),
                "principals" => conds.push(each(value, remarks, principal)),
                other => {
                    remarks.add(value.line, format!("policy: {other}"));
                    conds.push(Cond::Unknown);
                }
            }
        }
        // Both are needed; without either nothing matches.
        if conds.len() >= 2 {
            steps.push((
                Cond::All(conds),
                Decision::Verdict(Some(matched), policy.line),
            ));
        } else {
            remarks.add(
                policy.line,
                "a policy without permissions or principals: it matches nothing",
            );
        }
    }
    Decision::First(
        steps,
        Box::new(Decision::Verdict(Some(!matched), node.line)),
    )
}

type Read = fn(&Node, &mut Remarks) -> Cond;

fn each(node: &Node, remarks: &mut Remarks, read: Read) -> Cond {
    if !matches!(node.value, Value::List(_)) {
        remarks.add(node.line, "a list is expected");
        return Cond::Unknown;
    }
    Cond::Either(
        node.items()
            .iter()
            .map(|item| read(item, remarks))
            .collect(),
    )
}

/// The one entry of a node.
fn only<'n>(node: &'n Node, remarks: &mut Remarks) -> Option<(&'n str, &'n Node)> {
    match node.entries() {
        [(key, value)] => Some((key, value)),
        _ => {
            remarks.add(node.line, "one rule is expected");
            None
        }
    }
}

fn set(node: &Node, key: &str, remarks: &mut Remarks, read: Read) -> Option<Vec<Cond>> {
    let Some(list) = node.get(key) else {
        remarks.add(node.line, format!("{key} is missing"));
        return None;
    };
    Some(
        list.items()
            .iter()
            .map(|item| read(item, remarks))
            .collect(),
    )
}

fn unknown(key: &str, node: &Node, remarks: &mut Remarks) -> Cond {
    remarks.add(node.line, key);
    Cond::Unknown
}

fn permission(node: &Node, remarks: &mut Remarks) -> Cond {
    let Some((key, value)) = only(node, remarks) else {
        return Cond::Unknown;
    };
    match key {
        "any" => any(value),
        "and_rules" => set(value, "rules", remarks, permission).map_or(Cond::Unknown, Cond::All),
        "or_rules" => set(value, "rules", remarks, permission).map_or(Cond::Unknown, Cond::Either),
        "not_rule" => Cond::Not(Box::new(permission(value, remarks))),
        "header" => header(value, remarks),
        "url_path" => url_path(value, remarks),
        "uri_template" => template(value, remarks),
        other => unknown(&format!("permission {other}"), value, remarks),
    }
}

fn principal(node: &Node, remarks: &mut Remarks) -> Cond {
    let Some((key, value)) = only(node, remarks) else {
        return Cond::Unknown;
    };
    match key {
        "any" => any(value),
        "and_ids" => set(value, "ids", remarks, principal).map_or(Cond::Unknown, Cond::All),
        "or_ids" => set(value, "ids", remarks, principal).map_or(Cond::Unknown, Cond::Either),
        "not_id" => Cond::Not(Box::new(principal(value, remarks))),
        "header" => header(value, remarks),
        "url_path" => url_path(value, remarks),
        "authenticated" => match value.get("principal_name") {
            Some(name) => {
                text(name, remarks).map_or(Cond::Unknown, |p| Cond::Who(Attribute::Spiffe, p))
            }
            // Any client certificate will do.
            None => Cond::Known,
        },
        "metadata" => metadata(value, remarks),
        "sourced_metadata" => match value.get("metadata_matcher") {
            Some(matcher) => metadata(matcher, remarks),
            None => unknown("sourced_metadata", value, remarks),
        },
        other => unknown(&format!("principal {other}"), value, remarks),
    }
}

fn any(value: &Node) -> Cond {
    match value.text() {
        Some("true") => Cond::Any,
        _ => Cond::Not(Box::new(Cond::Any)),
    }
}

fn url_path(node: &Node, remarks: &mut Remarks) -> Cond {
    match node.get("path") {
        Some(path) => text(path, remarks).map_or(Cond::Unknown, |p| Cond::Matches(Part::Path, p)),
        None => unknown("url_path without path", node, remarks),
    }
}

fn header(node: &Node, remarks: &mut Remarks) -> Cond {
    let name = node
        .get("name")
        .and_then(Node::text)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let mut pattern = None;
    let mut inverted = false;
    for (key, value) in node.entries() {
        let one = value.text().unwrap_or_default();
        let found = match key.as_str() {
            "name" => continue,
            "string_match" => text(value, remarks),
            "exact_match" => Some(quote::regex(one)),
            "prefix_match" => Some(format!("{}(?s:.*)", quote::regex(one))),
            "suffix_match" => Some(format!("(?s:.*){}", quote::regex(one))),
            "contains_match" => Some(format!("(?s:.*){}(?s:.*)", quote::regex(one))),
            "safe_regex_match" => regex(value, false, remarks),
            "present_match" if one == "true" => Some("(?s:.*)".to_owned()),
            "invert_match" => {
                inverted = one == "true";
                continue;
            }
            "treat_missing_header_as_empty" if one == "false" => continue,
            _ => {
                remarks.add(value.line, format!("header {name}: {key}"));
                None
            }
        };
        match found {
            Some(found) => pattern = Some(found),
            None => return Cond::Unknown,
        }
    }
    // Without a condition the header must be there.
    let pattern = pattern.unwrap_or_else(|| "(?s:.*)".to_owned());
    let cond = match name.as_str() {
        ":method" => Cond::Matches(Part::Method, pattern),
        ":authority" | "host" => Cond::Matches(Part::Host, pattern),
        // With its query, which a witness has none of.
        ":path" => Cond::Matches(Part::Path, pattern),
        _ => Cond::Who(Attribute::Header(name), pattern),
    };
    if inverted {
        Cond::Not(Box::new(cond))
    } else {
        cond
    }
}

fn metadata(node: &Node, remarks: &mut Remarks) -> Cond {
    let filter = node.get("filter").and_then(Node::text);
    let mut path: Vec<String> = Vec::new();
    for key in node.get("path").map(Node::items).unwrap_or_default() {
        path.extend(key.get("key").and_then(Node::text).map(str::to_owned));
    }
    if filter != Some(JWT_FILTER) || path.len() < 2 {
        return unknown("metadata of another filter", node, remarks);
    }
    // The first key is what `payload_in_metadata` names.
    let claim = path.split_off(1);
    let value = node.get("value");
    let matcher = value.and_then(|value| {
        value
            .get("string_match")
            .or_else(|| value.get("list_match")?.get("one_of")?.get("string_match"))
    });
    let Some(pattern) = matcher.and_then(|matcher| text(matcher, remarks)) else {
        return unknown("metadata value", node, remarks);
    };
    let cond = Cond::Who(Attribute::Claim(claim), pattern);
    match node.get("invert").and_then(Node::text) {
        Some("true") => Cond::Not(Box::new(cond)),
        _ => cond,
    }
}

/// A `StringMatcher`.
fn text(node: &Node, remarks: &mut Remarks) -> Option<String> {
    let folded = node.get("ignore_case").and_then(Node::text) == Some("true");
    let mut pattern = None;
    for (key, value) in node.entries() {
        let one = value.text().unwrap_or_default();
        let found = match key.as_str() {
            "ignore_case" => continue,
            "exact" => quote::regex(one),
            "prefix" => format!("{}(?s:.*)", quote::regex(one)),
            "suffix" => format!("(?s:.*){}", quote::regex(one)),
            "contains" => format!("(?s:.*){}(?s:.*)", quote::regex(one)),
            // `ignore_case` has no effect on it.
            "safe_regex" => return regex(value, false, remarks),
            _ => {
                remarks.add(value.line, key.as_str());
                return None;
            }
        };
        pattern = Some(if folded {
            format!("(?i:{found})")
        } else {
            found
        });
    }
    let Some(pattern) = pattern else {
        remarks.add(node.line, "a matcher without a text");
        return None;
    };
    checked(pattern, node, remarks)
}

fn regex(node: &Node, folded: bool, remarks: &mut Remarks) -> Option<String> {
    let own = node.get("regex").and_then(Node::text).unwrap_or_default();
    let pattern = if folded {
        format!("(?i:{own})")
    } else {
        format!("(?:{own})")
    };
    if own.len() <= language::LONGEST_REGEX && language::check(own).is_err() {
        remarks.add(node.line, format!("regex {}", quote::comment(own)));
        return None;
    }
    checked(pattern, node, remarks)
}

fn checked(pattern: String, node: &Node, remarks: &mut Remarks) -> Option<String> {
    match language::check(&pattern) {
        Ok(()) => Some(pattern),
        Err(error) => {
            remarks.add(node.line, error.to_string());
            None
        }
    }
}

fn template(node: &Node, remarks: &mut Remarks) -> Cond {
    let text = node
        .get("typed_config")
        .and_then(|config| config.get("path_template"))
        .and_then(Node::text);
    match text
        .and_then(template_regex)
        .and_then(|pattern| checked(pattern, node, remarks))
    {
        Some(pattern) => Cond::Matches(Part::Path, pattern),
        None => unknown("uri_template", node, remarks),
    }
}

/// `/a/{name}/*/{rest=**}` as a regular expression.
fn template_regex(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("**") {
            out.push_str(TEMPLATE_REST);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('*') {
            out.push_str(TEMPLATE_SEGMENT);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let (inner, after) = after.split_once('}')?;
            match inner.split_once('=') {
                // No braces inside: this ends after one level.
                Some((_, pattern)) if !pattern.contains('{') => {
                    out.push_str(&template_regex(pattern)?)
                }
                Some(_) => return None,
                None => out.push_str(TEMPLATE_SEGMENT),
            }
            rest = after;
        } else {
            out.push_str(&quote::regex(&c.to_string()));
            rest = rest.get(c.len_utf8()..)?;
        }
    }
    Some(out)
}
