//! Writes the map.

use super::super::Written;
use super::super::lock::{Grant, HostName, Lock, RoleFrom};
use super::super::quote::{comment, nginx, regex};
use super::{ALLOWED, PORT};

/// Any port that [`PORT`] can hold and a policy understands.
pub(super) const ANY_PORT: &str =
    "(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";

/// What follows a path.
pub(super) const QUERY: &str = r"(?:\?.*)?";

/// The variable that holds the role.
pub(super) fn role_variable(from: &RoleFrom) -> Option<String> {
    match from {
        RoleFrom::Variable(name) => Some(name.clone()),
        RoleFrom::Header(name) => Some(format!("http_{}", name.replace('-', "_"))),
        RoleFrom::Claim(path) => match path.as_slice() {
            [name] => Some(format!("jwt_claim_{}", name.replace('-', "_"))),
            _ => None,
        },
        RoleFrom::Spiffe(_) => None,
    }
}

/// Writes the duties as `map` blocks for the `http` block.
pub(in super::super) fn write(lock: &Lock) -> Written {
    let mut notes = lock.notes.clone();
    let variable = role_variable(&lock.from);
    notes.push(format!(
        "include this in the http block, and say in every server: if (${ALLOWED} = 0) {{ return 403; }}"
    ));
    notes.push("in a server block and with nothing but `return` inside, `if` is safe, and no location can get around it".into());
    notes.push("paths with captures or `**` are let through without `;` and with few encoded characters only".into());
    notes.push(match (&lock.from, &variable) {
        (_, None) => {
            "nginx has no variable for it: nobody has a role here; use variable:NAME".into()
        }
        (RoleFrom::Header(name), _) => {
            format!("{name} must come from a proxy that sets it whatever a client sends")
        }
        (_, Some(name)) => format!("${name} must hold the verified role"),
    });
    let mut out = String::new();
    for line in lock.header("nginx", &notes) {
        out.push_str(&format!("# {line}\n"));
    }
    // `$host` has no port.
    out.push_str(&format!(
        "map $http_host ${PORT} {{\n    default 80;\n    \"~:(?<bailiwick_digits>[0-9]+)$\" $bailiwick_digits;\n}}\n\n"
    ));
    let source = match &variable {
        Some(name) => format!("\"${{{name}}} $request_method $host:${PORT} $request_uri\""),
        None => "\"\"".to_owned(),
    };
    out.push_str(&format!("map {source} ${ALLOWED} {{\n    default 0;\n"));
    for role in lock.roles.iter().filter(|_| variable.is_some()) {
        for grant in &role.grants {
            out.push_str(&format!(
                "    # {}\n",
                comment(&format!("{}: {}", grant.duty, grant.text))
            ));
            out.push_str(&format!("    {} 1;\n", nginx(&key(&role.name, grant))));
        }
    }
    out.push_str("}\n");
    Written {
        text: out,
        tests: None,
        notes,
    }
}

/// Role, method, host and port, path. None of the last three holds a space, so that the parts cannot be
/// mistaken whatever a role's value holds.
fn key(role: &str, grant: &Grant) -> String {
    let method = match &grant.methods {
        None => "[^ ]+".to_owned(),
        Some(names) => {
            let names: Vec<String> = names.iter().map(|name| regex(name)).collect();
            format!("(?:{})", names.join("|"))
        }
    };
    let host = match &grant.host {
        HostName::Any => "[^ ]+".to_owned(),
        HostName::Suffix(suffix) => format!("[a-z0-9._-]+{}", regex(suffix)),
        HostName::Exact(name) => regex(name),
    };
    let port = grant
        .port
        .map_or_else(|| ANY_PORT.to_owned(), |port| port.to_string());
    let path = if grant.any_path() {
        "[^ ]*".to_owned()
    } else {
        format!("{}{QUERY}", grant.path_regex().unwrap_or_default())
    };
    format!("~^{} {method} {host}:{port} {path}$", regex(role))
}
