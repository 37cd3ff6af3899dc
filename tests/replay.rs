//! What a daemon recorded is judged again, without it, to the same findings.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::http::Answerer;
use e2e::process::client;
use e2e::trial::root;
use e2e::{Setup, daemon, wait_for};
use libtest_mimic::Trial;
use serde_json::Value;

pub(crate) fn trials() -> Vec<Trial> {
    vec![root("replay::the_same_findings_come_out", same_findings)]
}

const HOST: &str = "api.replay.example";
const TOKENS: [&str; 2] = ["replay-reader-0123456789", "replay-stranger-0123456789"];

fn request(server: &Answerer, token: &str, method: &str, path: &str) -> Result<()> {
    client(
        Command::new("/usr/bin/curl")
            .args(["--silent", "--show-error", "--max-time", "10", "-X", method])
            .args(["-H", &format!("Host: {HOST}")])
            .args(["-H", &format!("Authorization: Bearer {token}")])
            .arg(format!("http://{}{path}", server.address())),
    )?;
    Ok(())
}

/// Kind, identity, workload, clause and count of alerts, in an order of their own.
fn essence(alerts: &[Value]) -> Vec<String> {
    let mut all: Vec<String> = alerts
        .iter()
        .filter(|alert| alert["operation"].to_string().contains(HOST))
        .map(|alert| {
            let part = |name: &str| alert[name].to_string();
            [
                "kind", "identity", "workload", "clause", "severity", "title", "count",
            ]
            .map(part)
            .join(" ")
        })
        .collect();
    all.sort();
    all
}

fn same_findings() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let key = dir.path().join("reader");
    std::fs::write(&key, format!("{}\n", TOKENS[0]))?;
    let policy = format!(
        "[environments]\nprod = [\"{HOST}\"]\ndev = [\"*.dev.example\"]\n[duties]\n\
         read = [\"GET {HOST}/orders/{{id}}\"]\ndeploy = [\"POST {HOST}/deployments/{{id}}\"]\n\
         approve = [\"POST {HOST}/deployments/{{id}}/approve\"]\n\
         [identities.reader]\nowner = \"shop\"\ncredentials = [\"file:{}\"]\n\
         duties = [\"read\", \"deploy\", \"approve\"]\nenvironments = [\"dev\"]\n\
         [[separate]]\nduties = [\"deploy\", \"approve\"]\non = \"id\"\nwithin = \"1h\"\n",
        key.display()
    );
    let mut daemon = Setup::default().policy(&policy).start()?;
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    request(&server, TOKENS[0], "GET", "/orders/17")?;
    request(&server, TOKENS[0], "DELETE", "/orders/17")?;
    request(&server, TOKENS[0], "POST", "/deployments/3")?;
    request(&server, TOKENS[0], "POST", "/deployments/3/approve")?;
    request(&server, TOKENS[1], "GET", "/orders/18")?;
    let recorded: Vec<Value> = watch
        .until_mark()?
        .into_iter()
        .filter(|access| access.request.host == HOST)
        .map(serde_json::to_value)
        .collect::<Result<_, _>>()?;
    ensure!(recorded.len() == 5, "{recorded:#?}");
    drop(watch);
    let live = wait_for("the alerts", || {
        let alerts = essence(&daemon.json(&["alerts"])?);
        Ok((alerts.len() >= 3).then_some(alerts))
    })?;
    for kind in ["duty", "environment", "separation"] {
        ensure!(
            live.iter().any(|alert| alert.contains(kind)),
            "{kind}: {live:#?}"
        );
    }
    daemon.stop()?;

    // With the same configuration, without a daemon, and without the credential's file.
    std::fs::remove_file(&key)?;
    std::fs::write(&key, "something else\n")?;
    let file = dir.path().join("accesses.ndjson");
    let lines: Vec<String> = recorded.iter().map(Value::to_string).collect();
    std::fs::write(&file, lines.join("\n"))?;
    let output = Command::new(daemon::binary()?)
        .args(["replay", "-o", "json", "--config"])
        .arg(daemon.dir().join("bailiwick.toml"))
        .arg(&file)
        .env_remove("LD_LIBRARY_PATH")
        .output()?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let mut replayed = String::from_utf8(output.stdout)?
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<Vec<Value>, _>>()?;
    let summary = replayed.pop().context("nothing was printed")?;
    ensure!(
        summary["type"] == "replay" && summary["accesses"] == 5,
        "{summary:#}"
    );
    let again = essence(&replayed);
    ensure!(again == live, "live {live:#?}\nreplayed {again:#?}");
    // And each access' own findings are what they were.
    for access in &recorded {
        for kind in access["findings"].as_array().into_iter().flatten() {
            let kind = kind.as_str().unwrap_or_default();
            ensure!(
                summary["findings"][kind].as_u64() >= Some(1),
                "{kind} of {access:#} is not in {summary:#}"
            );
        }
    }
    Ok(())
}
