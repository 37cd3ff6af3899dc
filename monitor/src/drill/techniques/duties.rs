//! Separation of duties, approvals, privileges and hours.

use serde_json::json;

use super::Row;
use crate::drill::mint;
use crate::drill::technique::{Draft, Holder, Run, bearer, list, quoted};

pub(super) const ROWS: &[Row] = &[
    (
        "deploy-and-approve",
        "one owner deploys and approves, with two keys",
        &["T1078.004", "T1098.001"],
        "API5",
        "separation",
        deploy_and_approve,
    ),
    (
        "self-approval",
        "one identity deploys and approves the same deployment",
        &["T1078.004"],
        "API5",
        "separation",
        self_approval,
    ),
    (
        "approval-missing",
        "a payment that nobody approved",
        &["T1078.004"],
        "API6",
        "approval",
        approval_missing,
    ),
    (
        "read-key-writes",
        "a key that is for reading writes",
        &["T1078.004"],
        "API5",
        "read-writes",
        read_key_writes,
    ),
    (
        "no-second-factor",
        "a privileged operation with a token that shows no second factor",
        &["T1078.004", "T1556.006"],
        "API2",
        "second-factor",
        no_second_factor,
    ),
    (
        "out-of-hours",
        "a credential used outside its hours",
        &["T1078.004"],
        "API2",
        "hours",
        out_of_hours,
    ),
];

/// Duties to deploy and to approve, and the clause that separates them.
fn separated(draft: &mut Draft, run: &Run<'_>, more: &str) -> [String; 2] {
    let host = run.host("dev");
    let deploy = draft.duty(run, "deploy", &[&format!("POST {host}/deployments/{{id}}")]);
    let approve = draft.duty(
        run,
        "approve",
        &[&format!("POST {host}/deployments/{{id}}/approve")],
    );
    let both = list(&[&deploy, &approve]);
    draft
        .policy
        .push_str(&format!("[[separate]]\nduties = {both}\n{more}\n"));
    [deploy, approve]
}

fn deploy_and_approve(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let [deploy, approve] = separated(&mut draft, run, "");
    let host = run.host("dev");
    // Owners of their own: a separation is between owners, also over several runs.
    let [one, two] = [run.name("alice"), run.name("bob")];
    let by = |owner, duty| (owner, [duty]);
    for (suffix, (owner, duties), path) in [
        ("first", by(&one, &*deploy), "/deployments/17"),
        (
            "second",
            by(run.either(&one, &two), &*approve),
            "/deployments/18/approve",
        ),
    ] {
        let holder = Holder {
            owner,
            duties: &duties,
            environments: &["dev"],
            ..Holder::default()
        };
        let token = draft.key(run, suffix, &holder);
        draft.ask_as(run.apart(suffix), bearer("POST", &host, path, &token));
    }
    draft
}

fn self_approval(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let [deploy, approve] = separated(&mut draft, run, "on = \"id\"\nwithin = \"1d\"\n");
    let host = run.host("dev");
    let owner = run.name("alice");
    let holder = Holder {
        owner: &owner,
        duties: &[&deploy, &approve],
        environments: &["dev"],
        ..Holder::default()
    };
    let token = draft.key(run, "key", &holder);
    let object = run.either(17, 18);
    draft.ask(bearer("POST", &host, "/deployments/17", &token));
    draft.ask(bearer(
        "POST",
        &host,
        &format!("/deployments/{object}/approve"),
        &token,
    ));
    draft
}

fn approval_missing(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let host = run.host("prod");
    let pay = draft.duty(run, "pay", &[&format!("POST {host}/payments/{{id}}")]);
    let approve = draft.duty(
        run,
        "approve",
        &[&format!("POST {host}/payments/{{id}}/approve")],
    );
    draft.policy.push_str(&format!(
        "[[approve]]\nduty = {}\nby = {}\nwithin = \"1h\"\n\n",
        quoted(&pay),
        quoted(&approve)
    ));
    let tokens = [("payer", &pay), ("approver", &approve)].map(|(suffix, duty)| {
        let owner = run.name(suffix);
        let holder = Holder {
            owner: &owner,
            duties: &[duty],
            environments: &["prod"],
            ..Holder::default()
        };
        draft.key(run, suffix, &holder)
    });
    if run.twin {
        draft.ask_as(
            run.apart("approver"),
            bearer("POST", &host, "/payments/17/approve", &tokens[1]),
        );
    }
    draft.ask_as(
        run.apart("payer"),
        bearer("POST", &host, "/payments/17", &tokens[0]),
    );
    draft
}

fn read_key_writes(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let host = run.host("prod");
    let read = draft.duty(run, "read", &[&format!("GET {host}/v1/**")]);
    let holder = Holder {
        owner: "drill-team",
        duties: &[&read],
        environments: &["prod"],
        ..Holder::default()
    };
    let token = draft.key(run, "reader", &holder);
    draft.ask(bearer(
        run.either("DELETE", "GET"),
        &host,
        "/v1/items/17",
        &token,
    ));
    draft
}

fn no_second_factor(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let host = run.host("prod");
    let name = run.name("admin");
    let operations = list(&[&format!("POST {host}/admin/**")]);
    draft.duties.push((
        name.clone(),
        format!("{{ operations = {operations}, privileged = true, second-factor = true }}"),
    ));
    let holder = Holder {
        owner: "drill-admin",
        duties: &[&name],
        environments: &["prod"],
        ..Holder::default()
    };
    let subject = draft.subject(run, "human", &holder);
    let methods = run.either(json!(["pwd"]), json!(["pwd", "otp", "mfa"]));
    let expires = run.places.now.saturating_add(3600);
    let token = mint::jwt(&subject, &json!({ "exp": expires, "amr": methods }));
    draft.ask(bearer("POST", &host, "/admin/users", &token));
    draft
}

/// Hours, as policies write them, that are over or have not begun, and hours that go on; at least five hours
/// from their ends either way. `hour` is the hour of the day in UTC.
pub(super) fn hours(hour: i64, open: bool) -> &'static str {
    match (hour, open) {
        (6..18, true) => "Mon-Sun 01-23 UTC",
        (6..18, false) => "Mon-Sun 00-01 UTC",
        (_, true) => "Mon-Sun 13-11 UTC",
        (_, false) => "Mon-Sun 11-13 UTC",
    }
}

fn out_of_hours(run: &Run<'_>) -> Draft {
    let mut draft = Draft::default();
    let host = run.host("prod");
    let read = draft.duty(run, "read", &[&format!("GET {host}/v1/**")]);
    let more = format!(
        "hours = {}\n",
        quoted(super::hours_now(run.places.now, run.twin))
    );
    let holder = Holder {
        owner: "drill-office",
        duties: &[&read],
        environments: &["prod"],
        more: &more,
        ..Holder::default()
    };
    let token = draft.key(run, "clerk", &holder);
    draft.ask(bearer("GET", &host, "/v1/items/17", &token));
    draft
}
