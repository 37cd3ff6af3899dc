//! Exports and comparisons over whole policies.

mod exports;
mod gateways;
mod real_nginx;
mod rego;
mod round_trip;
mod structure;

use std::io;
use std::path::{Path, PathBuf};

use super::*;
use crate::access::FingerprintKey;
use crate::policy::{self, Policy};

fn policy(text: &str) -> Policy {
    try_policy(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn try_policy(text: &str) -> Result<Policy, String> {
    policy::load_text("/policy.toml", text, &FingerprintKey::new([0; 32]))
        .map(|loaded| loaded.policy)
        .map_err(|errors| errors[0].to_string())
}

/// One identity a list of operations, each with a duty of its own.
fn of_operations(roles: &[(&str, Vec<String>)]) -> Policy {
    try_of_operations(roles).unwrap()
}

/// As [`of_operations`]; a policy refuses some names itself.
fn try_of_operations(roles: &[(&str, Vec<String>)]) -> Result<Policy, String> {
    // A basic string of TOML takes the same escapes.
    let quoted = quote::string;
    let mut text = String::from("version = 1\n[duties]\n");
    for (at, (_, operations)) in roles.iter().enumerate() {
        let list: Vec<String> = operations.iter().map(|one| quoted(one)).collect();
        text.push_str(&format!("d{at} = [{}]\n", list.join(", ")));
    }
    for (at, (name, _)) in roles.iter().enumerate() {
        text.push_str(&format!(
            "[identities.{}]\nowner = \"o\"\ncredentials = [\"jwt:iss=https://idp.example,sub=s{at}\"]\nduties = [\"d{at}\"]\n",
            quoted(name)
        ));
    }
    try_policy(&text)
}

const SHOP: &str = r#"
version = 1
[duties]
deploy    = ["POST ci.example/deployments/{id}"]
approve   = ["POST ci.example/deployments/{id}/approve"]
pay-read  = ["GET,HEAD api.pay.example/v1/**"]
pay-write = ["POST,PUT,PATCH,DELETE api.pay.example:8443/v1/**", "* *.dev.example/**"]
files     = ["GET files.example:80/a%20b/{+name}", "MCP mcp.example/tools/**", "GET unix:/run/x.sock:/x"]
[identities.ci-bot]
owner = "team-ci"
credentials = ["jwt:iss=https://idp.example,sub=ci-bot"]
duties = ["deploy", "files"]
[identities.release-manager]
owner = "release"
credentials = ["basic:user=rm"]
duties = ["approve", "pay-read"]
[identities.pay-writer]
owner = "pay"
credentials = ["basic:user=pw"]
duties = ["pay-write"]
[identities.trap]
owner = "security"
credentials = ["basic:user=trap"]
"#;

fn lock(policy: &Policy, from: &str) -> Lock {
    Lock::new(policy, RoleIs::Identity, RoleFrom::parse(from).unwrap())
}

/// Reads what was exported.
fn read_back(target: Target, written: &Written) -> gate::Gate {
    let format = match target {
        Target::EnvoyRbac => Format::EnvoyRbac,
        Target::Istio => Format::Istio,
        Target::Nginx => Format::Nginx,
        Target::Opa => panic!("Rego is not read"),
    };
    let found = read("export", &written.text, None, &nginx::NoFiles).unwrap();
    assert_eq!(
        found,
        read("export", &written.text, Some(format), &nginx::NoFiles).unwrap(),
        "format is recognised"
    );
    found
}

const READABLE: [Target; 3] = [Target::EnvoyRbac, Target::Istio, Target::Nginx];

/// Where each format has roles from.
fn sources(target: Target) -> &'static [&'static str] {
    match target {
        Target::EnvoyRbac | Target::Istio => &[
            "claim:role",
            "claim:realm.role",
            "spiffe:cluster.local/ns/prod/sa/",
            "header:x-role",
        ],
        Target::Opa => &[
            "claim:role",
            "header:x-role",
            "spiffe:cluster.local/ns/prod/sa/",
            "variable:role",
        ],
        Target::Nginx => &["variable:bailiwick_role", "header:x-role", "claim:role"],
    }
}
