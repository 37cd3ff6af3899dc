//! Writes the filter.

use super::super::Written;
#[cfg(test)]
use super::super::language;
use super::super::lock::{Grant, HostName, Lock, Part, RoleFrom};
use super::super::quote::{regex, string};
use super::{FILTER, JWT_FILTER, PAYLOAD};

/// Characters of a path whose meaning servers agree on; with the absence of dot segments, what routes with
/// captures or `**` are granted for. Written for RE2's small default of program size.
const PLAIN: &str = "(?:[!$&-:=@-Z_a-z~]|%(?:2[02]|3[CEce]|5[BDEbde]|60|7[B-Db-d]))*";

/// A path with a dot segment.
const DOTS: &str = r"[!-~]*/\.{1,2}(?:/[!-~]*)?";

/// What Envoy takes as the size of a regular expression, unless it is told otherwise
/// (`re2.max_program_size.error_level`).
const PROGRAM_SIZE: usize = 100;

/// Writes the duties as an HTTP filter in YAML.
pub(in super::super) fn write(lock: &Lock) -> Written {
    let mut notes = lock.notes.clone();
    notes.push(
        "paths with captures or `**` are let through without `;` and with few encoded characters only".into(),
    );
    notes.push(
        "set normalize_path and merge_slashes on the connection manager, as its servers see paths"
            .into(),
    );
    notes.push(match &lock.from {
        RoleFrom::Claim(_) => format!(
            "the JWT filter before it must verify tokens and name payload_in_metadata: {PAYLOAD}"
        ),
        RoleFrom::Spiffe(_) => "the listener must require client certificates of the mesh".into(),
        RoleFrom::Header(name) => {
            format!("{name} must be set by the gateway itself, whatever a client sends")
        }
        RoleFrom::Variable(_) => {
            "Envoy has no variables: nobody has a role here; use claim:, spiffe: or header:".into()
        }
    });
    let large = lock
        .roles
        .iter()
        .flat_map(|role| &role.grants)
        .filter(|grant| {
            path_text(grant).is_some_and(|text| size(&text) > PROGRAM_SIZE)
                || grant
                    .host_regex()
                    .is_some_and(|text| size(&text) > PROGRAM_SIZE)
        });
    for grant in large {
        notes.push(format!(
            "{}: {}: a regular expression that is larger than Envoy takes unless re2.max_program_size.error_level is raised",
            grant.duty, grant.text
        ));
    }
    let mut out = String::new();
    for line in lock.header("envoy-rbac", &notes) {
        out.push_str(&format!("# {line}\n"));
    }
    out.push_str(&format!(
        "name: envoy.filters.http.rbac\ntyped_config:\n  \"@type\": {}\n  rules:\n    action: ALLOW\n",
        string(FILTER)
    ));
    let roles: Vec<_> = lock
        .roles
        .iter()
        .filter(|role| !role.grants.is_empty())
        .collect();
    if roles.is_empty() {
        out.push_str("    policies: {}\n");
    } else {
        out.push_str("    policies:\n");
    }
    for role in roles {
        out.push_str(&format!(
            "      {}:\n        permissions:\n",
            string(&role.name)
        ));
        for grant in &role.grants {
            out.push_str(&format!("          - {}\n", permission(grant)));
        }
        out.push_str(&format!(
            "        principals:\n          - {}\n",
            principal(&lock.from, &role.name)
        ));
    }
    Written {
        text: out,
        tests: None,
        notes,
    }
}

fn exact(text: &str) -> String {
    format!("{{exact: {}}}", string(text))
}

fn safe_regex(text: &str) -> String {
    format!("{{safe_regex: {{regex: {}}}}}", string(text))
}

fn principal(from: &RoleFrom, role: &str) -> String {
    match from {
        RoleFrom::Claim(path) => {
            let keys: Vec<String> = std::iter::once(PAYLOAD)
                .chain(path.iter().map(String::as_str))
                .map(|key| format!("{{key: {}}}", string(key)))
                .collect();
            format!(
                "{{metadata: {{filter: {}, path: [{}], value: {{string_match: {}}}}}}}",
                string(JWT_FILTER),
                keys.join(", "),
                exact(role)
            )
        }
        RoleFrom::Spiffe(prefix) => {
            format!(
                "{{authenticated: {{principal_name: {}}}}}",
                exact(&format!("{prefix}{role}"))
            )
        }
        RoleFrom::Header(name) => {
            format!(
                "{{header: {{name: {}, string_match: {}}}}}",
                string(name),
                exact(role)
            )
        }
        RoleFrom::Variable(_) => "{not_id: {any: true}}".to_owned(),
    }
}

fn permission(grant: &Grant) -> String {
    let mut rules = Vec::new();
    if let Some(methods) = &grant.methods {
        rules.push(either(
            methods
                .iter()
                .map(|name| {
                    format!(
                        "{{header: {{name: \":method\", string_match: {}}}}}",
                        exact(name)
                    )
                })
                .collect(),
        ));
    }
    if let Some(host) = host(grant) {
        rules.push(format!(
            "{{header: {{name: \":authority\", string_match: {host}}}}}"
        ));
    }
    rules.extend(path(grant));
    match rules.as_slice() {
        [] => "{any: true}".to_owned(),
        [one] => one.clone(),
        _ => format!("{{and_rules: {{rules: [{}]}}}}", rules.join(", ")),
    }
}

fn either(mut rules: Vec<String>) -> String {
    match (rules.len(), rules.pop()) {
        (0, _) | (_, None) => "{not_rule: {any: true}}".to_owned(),
        (1, Some(one)) => one,
        (_, Some(last)) => {
            rules.push(last);
            format!("{{or_rules: {{rules: [{}]}}}}", rules.join(", "))
        }
    }
}

fn host(grant: &Grant) -> Option<String> {
    if grant.host == HostName::Any && grant.port.is_none() {
        return None;
    }
    grant
        .host_regex()
        .map(|text| safe_regex(&format!("(?i){text}")))
}

fn url_path(matcher: &str) -> String {
    format!("{{url_path: {{path: {matcher}}}}}")
}

/// The route alone, as a regular expression, if one is needed.
fn path_text(grant: &Grant) -> Option<String> {
    let (_, whole) = grant.prefix();
    if whole {
        return None;
    }
    let mut text = String::new();
    for part in &grant.parts {
        text.push('/');
        match part {
            Part::Literal(literal) => text.push_str(&regex(literal)),
            // `/` and `;` left out.
            Part::Capture => text.push_str("[!-.0-:<-~]+"),
        }
    }
    if grant.rest {
        text.push_str("(?:/[!-~]*)?");
    }
    Some(text)
}

fn path(grant: &Grant) -> Vec<String> {
    if grant.any_path() {
        return Vec::new();
    }
    let (prefix, _) = grant.prefix();
    if grant.plain() {
        return vec![url_path(&exact(&prefix))];
    }
    let route = match path_text(grant) {
        Some(text) => url_path(&safe_regex(&text)),
        None => either(vec![
            url_path(&exact(&prefix)),
            url_path(&format!("{{prefix: {}}}", string(&format!("{prefix}/")))),
        ]),
    };
    vec![
        route,
        url_path(&safe_regex(PLAIN)),
        format!("{{not_rule: {}}}", url_path(&safe_regex(DOTS))),
    ]
}

/// About as many instructions as RE2 needs.
fn size(text: &str) -> usize {
    // One for each character that stands for itself or ends a class, some to begin and to end.
    let classes = text.matches('[').count() * 4;
    text.replace('\\', "").len().saturating_sub(classes) + 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_expressions_are_small() {
        assert!(size(PLAIN) <= PROGRAM_SIZE && size(DOTS) <= PROGRAM_SIZE);
        for text in [PLAIN, DOTS] {
            language::check(text).unwrap();
        }
    }
}
