//! Credentials across environments.

use super::Row;
use crate::drill::technique::{Actor, Draft, Holder, Run, bearer};

pub(super) const ROWS: &[Row] = &[
    (
        "dev-key-in-prod",
        "a key of dev used against prod",
        &["T1078.004", "T1550.001"],
        "API9",
        "environment",
        dev_in_prod,
    ),
    (
        "prod-key-in-dev",
        "a key of prod used against dev",
        &["T1078.004", "T1550.001"],
        "API9",
        "environment",
        prod_in_dev,
    ),
    (
        "prod-key-on-dev-workload",
        "a key of prod in the hands of a workload of dev",
        &["T1078.004", "T1528"],
        "API9",
        "workload-environment",
        dev_workload,
    ),
];

/// An identity of one environment, and a request to one.
fn crossing(run: &Run<'_>, own: &str, to: &str, program: &'static str) -> Draft {
    let mut draft = Draft::default();
    let operations = ["prod", "dev"].map(|name| format!("GET {}/v1/**", run.host(name)));
    let operations: Vec<&str> = operations.iter().map(String::as_str).collect();
    let duty = draft.duty(run, "read", &operations);
    let holder = Holder {
        owner: "drill-team",
        duties: &[&duty],
        environments: &[own],
        ..Holder::default()
    };
    let token = draft.key(run, "key", &holder);
    draft.ask_as(
        Actor::of(program),
        bearer("GET", &run.host(to), "/v1/items/17", &token),
    );
    draft
}

fn dev_in_prod(run: &Run<'_>) -> Draft {
    crossing(run, "dev", run.either("prod", "dev"), "agent")
}

fn prod_in_dev(run: &Run<'_>) -> Draft {
    crossing(run, "prod", run.either("dev", "prod"), "agent")
}

fn dev_workload(run: &Run<'_>) -> Draft {
    crossing(run, "prod", "prod", run.either("dev-agent", "agent"))
}
