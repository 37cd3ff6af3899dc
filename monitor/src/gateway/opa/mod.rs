//! Rego (version 1) for Open Policy Agent, and tests of it.

use super::Written;
use super::lock::{Grant, HostName, Lock, Part, RoleFrom};
use super::quote::{comment, string};

/// Writes the duties as package `bailiwick.authz`, which needs no data: `input` is the request, with
/// `method`, `host`, `path` (without query, as it was sent) and where the role is.
pub(super) fn write(lock: &Lock) -> Written {
    let mut notes = lock.notes.clone();
    notes.push("paths with captures or `**` are let through without `;` and with few encoded characters only".into());
    notes.push(format!(
        "input is {{\"method\", \"host\", \"path\" without query, {}}}; who calls must have verified the role",
        shape(&lock.from)
    ));
    let mut head = String::new();
    for line in lock.header("opa", &notes) {
        head.push_str(&format!("# {line}\n"));
    }
    let mut text = format!(
        "{head}package bailiwick.authz\n\nimport rego.v1\n\ndefault allow := false\n\nrole := {}\n",
        role(&lock.from)
    );
    let mut tests = format!("{head}package bailiwick.authz_test\n\nimport rego.v1\n");
    tests.push_str("\ntest_nobody_may if {\n\tnot data.bailiwick.authz.allow with input as {\"method\": \"GET\", \"host\": \"x.example\", \"path\": \"/x\"}\n}\n");
    let mut number = 0;
    for role in &lock.roles {
        for grant in &role.grants {
            number += 1;
            text.push_str(&format!(
                "\n# {}\n{}",
                comment(&format!("{}: {}", grant.duty, grant.text)),
                rule(&value(&lock.from, &role.name), grant)
            ));
            tests.push_str(&test(number, lock, &role.name, grant));
        }
    }
    Written {
        text,
        tests: Some(tests),
        notes,
    }
}

/// Where the role is in `input`, for a person.
fn shape(from: &RoleFrom) -> String {
    match from {
        RoleFrom::Claim(path) => format!("\"claims\" with {}", path.join(".")),
        RoleFrom::Spiffe(_) => "\"principal\", a SPIFFE id".to_owned(),
        RoleFrom::Header(name) => format!("\"headers\" with {name}"),
        RoleFrom::Variable(name) => string(name),
    }
}

fn role(from: &RoleFrom) -> String {
    let index = |keys: &mut dyn Iterator<Item = &str>| {
        let keys: Vec<String> = keys.map(|key| format!("[{}]", string(key))).collect();
        format!("input{}", keys.concat())
    };
    match from {
        RoleFrom::Claim(path) => {
            index(&mut std::iter::once("claims").chain(path.iter().map(String::as_str)))
        }
        RoleFrom::Spiffe(_) => index(&mut ["principal"].into_iter()),
        RoleFrom::Header(name) => index(&mut ["headers", name.as_str()].into_iter()),
        RoleFrom::Variable(name) => index(&mut [name.as_str()].into_iter()),
    }
}

fn value(from: &RoleFrom, role: &str) -> String {
    match from {
        RoleFrom::Spiffe(prefix) => format!("{prefix}{role}"),
        _ => role.to_owned(),
    }
}

fn rule(role: &str, grant: &Grant) -> String {
    let mut lines = vec![format!("role == {}", string(role))];
    if let Some(methods) = &grant.methods {
        let names: Vec<String> = methods.iter().map(|name| string(name)).collect();
        lines.push(format!("input.method in {{{}}}", names.join(", ")));
    }
    if let Some(host) = grant.host_regex() {
        lines.push(format!(
            "regex.match({}, input.host)",
            string(&format!("^(?i:{host})$"))
        ));
    }
    if let Some(path) = grant.path_regex() {
        lines.push(format!(
            "regex.match({}, input.path)",
            string(&format!("^{path}$"))
        ));
    }
    format!("allow if {{\n\t{}\n}}\n", lines.join("\n\t"))
}

/// A request that is granted.
fn example(grant: &Grant) -> (String, String, String) {
    let method = grant
        .methods
        .as_ref()
        .and_then(|all| all.first())
        .map_or("GET", String::as_str);
    let port = grant
        .port
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let host = match &grant.host {
        HostName::Any => "x.example".to_owned(),
        HostName::Suffix(suffix) => format!("x{suffix}"),
        HostName::Exact(name) => name.clone(),
    };
    let mut path: String = grant
        .parts
        .iter()
        .map(|part| match part {
            Part::Literal(literal) => format!("/{literal}"),
            Part::Capture => "/x".to_owned(),
        })
        .collect();
    if grant.rest {
        path.push_str("/x");
    }
    (method.to_owned(), format!("{host}{port}"), path)
}

fn input(from: &RoleFrom, role: &str, (method, host, path): &(String, String, String)) -> String {
    let role = string(&value(from, role));
    let who = match from {
        RoleFrom::Claim(keys) => {
            let inner = keys
                .iter()
                .rev()
                .fold(role, |inner, key| format!("{{{}: {inner}}}", string(key)));
            format!("\"claims\": {inner}")
        }
        RoleFrom::Spiffe(_) => format!("\"principal\": {role}"),
        RoleFrom::Header(name) => format!("\"headers\": {{{}: {role}}}", string(name)),
        RoleFrom::Variable(name) => format!("{}: {role}", string(name)),
    };
    format!(
        "{{\"method\": {}, \"host\": {}, \"path\": {}, {who}}}",
        string(method),
        string(host),
        string(path)
    )
}

fn test(number: usize, lock: &Lock, role: &str, grant: &Grant) -> String {
    let request = example(grant);
    let yes = input(&lock.from, role, &request);
    // No role of the lock has a name with a line break.
    let no = input(&lock.from, &format!("{role}\n"), &request);
    let mut text = format!(
        "\n# {}\ntest_grant_{number} if {{\n\tdata.bailiwick.authz.allow with input as {yes}\n\tnot data.bailiwick.authz.allow with input as {no}\n}}\n",
        comment(&format!("{}: {}", grant.duty, grant.text)),
    );
    if !grant.any_path() {
        let (method, host, path) = request;
        let dots = input(&lock.from, role, &(method, host, format!("{path}/../x")));
        text.push_str(&format!("\ntest_grant_{number}_no_dots if {{\n\tnot data.bailiwick.authz.allow with input as {dots}\n}}\n"));
    }
    text
}
