//! Every clause of a policy becomes requests that break and keep it, as the policy's own matching sees them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panic")]

use super::*;
use crate::access::Peer;
use crate::drill::policy::assemble;
use crate::drill::technique::Places;
use crate::policy::Request;
use crate::policy::path::Reading;

const POLICY: &str = r#"
version = 1
[environments]
prod = ["api.pay.example", "10.20.0.0/16"]
dev = ["*.dev.example", "ci.example"]
far = ["10.99.0.0/30"]
[duties]
deploy = ["POST ci.example/deployments/{id}"]
approve = ["POST ci.example/deployments/{id}/approve"]
pay-read = ["GET api.pay.example/v1/**"]
pay-write = ["POST,PUT api.pay.example/v1/**"]
admin = { operations = ["POST ci.example/admin/**"], privileged = true, second-factor = true }
docker = ["GET unix:/run/docker.sock:/containers/json"]
triage = ["MCP ci.example/tools/call:read_issue"]
[identities.ci-bot]
owner = "team-ci"
credentials = ["file:/etc/ci/token-that-is-not-there"]
workloads = ["unit:ci.service"]
duties = ["deploy", "triage"]
environments = ["dev"]
hours = "Mon-Fri 07-19 Europe/Berlin"
[identities.boss]
owner = "boss"
credentials = ["basic:user=boss"]
duties = ["approve", "pay-write", "pay-read", "admin", "docker"]
[identities.trap]
owner = "security"
credentials = ["file:/root/old-key"]
[[separate]]
duties = ["pay-read", "pay-write"]
[[separate]]
duties = ["deploy", "approve"]
on = "id"
within = "30d"
[[separate]]
duties = ["deploy", "docker"]
[[approve]]
duty = "pay-write"
by = "approve"
within = "1h"
"#;

fn places() -> Places {
    Places {
        keys: PathBuf::from("/drill/keys"),
        bin: PathBuf::from("/drill/bin"),
        server: "198.18.7.7:80".parse().unwrap(),
        far: "203.0.113.7:80".parse().unwrap(),
        now: 1_800_000_000,
    }
}

fn draft(technique: &dyn Technique, twin: bool) -> Draft {
    let places = places();
    let suffix = if twin { "twin" } else { "1" };
    technique.draft(&Run {
        label: format!("{}-{suffix}", technique.card().name),
        twin,
        places: &places,
    })
}

fn names(own: &Own) -> Vec<String> {
    own.techniques
        .iter()
        .map(|one| one.card().name.to_string())
        .collect()
}

#[test]
fn every_clause_is_drilled_or_said_not_to_be() {
    let own = plan(POLICY).unwrap();
    assert_eq!(
        names(&own),
        [
            "separate-1-pay-read-pay-write",
            "separate-2-deploy-approve",
            "approve-1",
            "approve-1-own",
            "environments-ci-bot-far",
            "environments-ci-bot-prod",
            "workloads-ci-bot",
            "hours-ci-bot",
            "canary-trap",
            "second-factor-admin",
        ]
    );
    assert_eq!(own.undrilled.len(), 1);
    assert!(
        own.undrilled[0].starts_with("separate-3, deploy and docker: "),
        "{:?}",
        own.undrilled
    );
    // The first address of the network that only has one.
    assert_eq!(own.addresses, ["10.99.0.1".parse::<IpAddr>().unwrap()]);
}

/// Head of the last request, and where it goes.
fn last(draft: &Draft) -> (String, To) {
    let Some(Act::Talk { to, pieces, .. }) = draft.acts.last() else {
        panic!("no act")
    };
    (pieces.last().unwrap().bytes.clone(), *to)
}

fn host(head: &str) -> &str {
    let line = head.lines().find_map(|line| line.strip_prefix("Host: "));
    line.unwrap()
}

#[test]
fn requests_are_of_the_duties_that_they_stand_for() {
    let own = plan(POLICY).unwrap();
    let policy = model(&POLICY.parse().unwrap()).unwrap();
    let grants = |head: &str, name: &str| {
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let mut reading = Reading::default();
        reading.read(path);
        let request = Request::new(method, host(head), &Peer::Unknown, &reading);
        let duty = policy.duties().find(|duty| *duty.name == *name).unwrap();
        duty.operations.iter().any(|one| one.matches(&request))
    };
    for (technique, duty) in own.techniques.iter().zip([
        "pay-write",
        "approve",
        "pay-write",
        "pay-write",
        "deploy",
        "deploy",
        "deploy",
        "deploy",
        "",
        "admin",
    ]) {
        for twin in [false, true] {
            let (head, _) = last(&draft(&**technique, twin));
            let elsewhere = technique.card().name == "environments-ci-bot-prod" && !twin;
            assert!(
                duty.is_empty() || elsewhere || grants(&head, duty),
                "{} {twin}: {head}",
                technique.card().name
            );
        }
    }
}

#[test]
fn environments_are_broken_by_host_or_by_address() {
    let own = plan(POLICY).unwrap();
    let of = |name: &str, twin| {
        let technique = own
            .techniques
            .iter()
            .find(|one| one.card().name == name)
            .unwrap();
        let (head, to) = last(&draft(&**technique, twin));
        (host(&head).to_owned(), to)
    };
    let at = To::At("10.99.0.1:80".parse().unwrap());
    assert_eq!(
        of("environments-ci-bot-prod", false),
        ("api.pay.example".to_owned(), To::Server)
    );
    assert_eq!(
        of("environments-ci-bot-prod", true),
        ("ci.example".to_owned(), To::Server)
    );
    assert_eq!(
        of("environments-ci-bot-far", false),
        ("ci.example".to_owned(), at)
    );
    assert_eq!(
        of("environments-ci-bot-far", true),
        ("ci.example".to_owned(), To::Server)
    );
}

#[test]
fn what_needs_an_approval_gets_one_where_it_is_not_the_point() {
    let own = plan(POLICY).unwrap();
    let acts = |name: &str, twin| {
        let technique = own
            .techniques
            .iter()
            .find(|one| one.card().name == name)
            .unwrap();
        draft(&**technique, twin).acts.len()
    };
    // Read, approval, write.
    assert_eq!(acts("separate-1-pay-read-pay-write", false), 3);
    assert_eq!(acts("separate-1-pay-read-pay-write", true), 3);
    assert_eq!((acts("approve-1", false), acts("approve-1", true)), (1, 2));
    assert_eq!(
        (acts("approve-1-own", false), acts("approve-1-own", true)),
        (2, 2)
    );
}

/// The scratch policy is one that loads, with the user's clauses (and copies of approvals) and none of the user's identities.
#[test]
fn the_scratch_policy_loads() {
    let own = plan(POLICY).unwrap();
    let mut drafts = Vec::new();
    for technique in &own.techniques {
        drafts.extend([draft(&**technique, false), draft(&**technique, true)]);
    }
    let text = assemble(
        own.base.as_ref().unwrap(),
        &drafts.iter().collect::<Vec<_>>(),
    );
    let table: Table = text.parse().unwrap();
    let policy = model(&table).unwrap();
    assert_eq!(
        (policy.separations().len(), policy.approvals().len()),
        (3, 1 + 4)
    );
    assert!(
        policy
            .identities()
            .all(|one| one.name.contains("-1-") || one.name.contains("-twin-"))
    );
    assert!(!text.contains("/etc/ci/token"));
}

#[test]
fn policies_that_are_wrong_are_refused_with_the_reason() {
    assert!(plan("version = 1\n[duties\n").is_err());
    let error = plan("version = 1\ndutys = 1\n").err().unwrap();
    assert!(error.contains("dutys"), "{error}");
    let own = plan("version = 1\n").unwrap();
    assert!(own.techniques.is_empty() && own.undrilled.is_empty());
}
