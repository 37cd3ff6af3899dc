//! Writes AuthorizationPolicies: one for all roles, of action ALLOW, so that all else is refused.

use super::super::Written;
use super::super::lock::{Grant, HostName, Lock, Part, RoleFrom};
use super::super::quote::{comment, string};

/// Writes the duties as one AuthorizationPolicy in YAML.
pub(in super::super) fn write(lock: &Lock) -> Written {
    let mut notes = lock.notes.clone();
    notes.push("set meshConfig.pathNormalization.normalization: DECODE_AND_MERGE_SLASHES; without it `{*}` also matches an encoded slash".into());
    notes.push("it applies to the whole namespace: add metadata.namespace, and spec.selector or spec.targetRefs for the gateway alone".into());
    notes.push(match &lock.from {
        RoleFrom::Claim(_) => "a RequestAuthentication must verify the tokens".into(),
        RoleFrom::Spiffe(_) => {
            "mutual TLS must be STRICT: without it nobody has a principal".into()
        }
        RoleFrom::Header(name) => {
            format!("{name} must be set by the gateway itself, whatever a client sends")
        }
        RoleFrom::Variable(_) => {
            "Istio has no variables: nobody has a role here; use claim:, spiffe: or header:".into()
        }
    });
    let mut rules = String::new();
    for role in &lock.roles {
        if role.name.contains('*') {
            notes.push(format!(
                "role {} is left out: `*` is a wildcard in Istio",
                string(&role.name)
            ));
            continue;
        }
        let mut operations = String::new();
        for grant in &role.grants {
            match operation(grant) {
                Ok((text, note)) => {
                    operations.push_str(&format!("        # {}\n{text}", comment(&grant.text)));
                    if let Some(note) = note {
                        notes.push(format!("{}: {}: {note}", grant.duty, grant.text));
                    }
                }
                Err(why) => {
                    notes.push(format!("{}: {} is left out: {why}", grant.duty, grant.text))
                }
            }
        }
        if operations.is_empty() {
            continue;
        }
        rules.push_str(&format!("    # {}\n", comment(&role.name)));
        match &lock.from {
            RoleFrom::Spiffe(prefix) => {
                let id = format!("{}{}", prefix.trim_start_matches("spiffe://"), role.name);
                rules.push_str(&format!("    - from:\n        - source:\n            principals: [{}]\n      to:\n{operations}", string(&id)));
            }
            RoleFrom::Claim(path) => {
                let key = format!("request.auth.claims[{}]", path.join("]["));
                rules.push_str(&format!(
                    "    - to:\n{operations}{}",
                    when(&key, &role.name)
                ));
            }
            RoleFrom::Header(name) => {
                rules.push_str(&format!(
                    "    - to:\n{operations}{}",
                    when(&format!("request.headers[{name}]"), &role.name)
                ));
            }
            RoleFrom::Variable(_) => {
                rules.push_str("    - from:\n        - source:\n            notPrincipals: [\"*\"]\n            principals: [\"*\"]\n      to:\n");
                rules.push_str(&operations);
            }
        }
    }
    notes.sort();
    notes.dedup();
    let mut out = String::new();
    for line in lock.header("istio", &notes) {
        out.push_str(&format!("# {line}\n"));
    }
    out.push_str(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: bailiwick-duties\nspec:\n  action: ALLOW\n",
    );
    if rules.is_empty() {
        // Without rules nothing matches, so all is refused.
        out.push_str("  rules: []\n");
    } else {
        out.push_str("  rules:\n");
        out.push_str(&rules);
    }
    Written {
        text: out,
        tests: None,
        notes,
    }
}

fn when(key: &str, value: &str) -> String {
    format!(
        "      when:\n        - key: {}\n          values: [{}]\n",
        string(key),
        string(value)
    )
}

fn list(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| string(value)).collect();
    format!("[{}]", quoted.join(", "))
}

fn operation(grant: &Grant) -> Result<(String, Option<&'static str>), &'static str> {
    let (hosts, note) = hosts(grant)?;
    let mut fields = Vec::new();
    if !hosts.is_empty() {
        fields.push(format!("hosts: {}", list(&hosts)));
    }
    if let Some(methods) = &grant.methods {
        if methods.iter().any(|name| name.contains('*')) {
            return Err("`*` is a wildcard in Istio");
        }
        fields.push(format!("methods: {}", list(methods)));
    }
    let paths = paths(grant);
    if !paths.is_empty() {
        fields.push(format!("paths: {}", list(&paths)));
    }
    if fields.is_empty() {
        // An operation without fields is no operation to Istio; any path is all of them.
        fields.push("paths: [\"/*\"]".to_owned());
    }
    Ok((
        format!(
            "        - operation:\n            {}\n",
            fields.join("\n            ")
        ),
        note,
    ))
}

fn hosts(grant: &Grant) -> Result<(Vec<String>, Option<&'static str>), &'static str> {
    Ok(match (&grant.host, grant.port) {
        (HostName::Any, None) => (Vec::new(), None),
        (HostName::Any, Some(_)) => return Err("Istio has no words for any host with one port"),
        (HostName::Exact(name), None) => (vec![name.clone(), format!("{name}:*")], None),
        (HostName::Exact(name), Some(80)) => (vec![name.clone(), format!("{name}:80")], None),
        (HostName::Exact(name), Some(port)) => (vec![format!("{name}:{port}")], None),
        (HostName::Suffix(suffix), None) => (
            vec![format!("*{suffix}")],
            Some(
                "a request that names a port is refused: Istio has no words for a suffix with any port",
            ),
        ),
        (HostName::Suffix(suffix), Some(80)) => {
            (vec![format!("*{suffix}"), format!("*{suffix}:80")], None)
        }
        (HostName::Suffix(suffix), Some(port)) => (vec![format!("*{suffix}:{port}")], None),
    })
}

fn paths(grant: &Grant) -> Vec<String> {
    if grant.any_path() {
        return Vec::new();
    }
    let mut text = String::new();
    let mut captures = false;
    for part in &grant.parts {
        text.push('/');
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Capture => {
                captures = true;
                text.push_str("{*}");
            }
        }
    }
    match (grant.rest, captures) {
        (false, _) => vec![text],
        (true, false) => vec![text.clone(), format!("{text}/*")],
        (true, true) => vec![text.clone(), format!("{text}/{{**}}")],
    }
}
