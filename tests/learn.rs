//! A policy proposed from real traffic is one that can be used.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::http::Answerer;
use e2e::process::client;
use e2e::trial::root;
use e2e::{Daemon, Watch, daemon, wait_for};
use libtest_mimic::Trial;
use serde_json::Value;

pub(crate) fn trials() -> Vec<Trial> {
    vec![root("learn::what_was_seen_is_granted", seen_and_granted)]
}

const READER: &str = "learn-reader-0123456789";
const WRITER: &str = "learn-writer-0123456789";

fn request(server: &Answerer, token: &str, method: &str, path: &str) -> Result<()> {
    client(
        Command::new("/usr/bin/curl")
            .args(["--silent", "--show-error", "--max-time", "10", "-X", method])
            .args(["-H", "Host: api.learn.example"])
            .args(["-H", &format!("Authorization: Bearer {token}")])
            .arg(format!("http://{}{path}", server.address())),
    )?;
    Ok(())
}

/// Other requests than those that were learnt from are made with the same routes when `number` differs.
fn traffic(server: &Answerer, number: u32) -> Result<()> {
    request(server, READER, "GET", &format!("/v1/orders/{number}"))?;
    request(server, READER, "GET", "/v1/orders")?;
    request(
        server,
        WRITER,
        "POST",
        &format!("/v1/orders/{number}/cancel"),
    )
}

fn ours(watch: &mut Watch) -> Result<Vec<Value>> {
    let seen = watch.until_mark()?;
    seen.into_iter()
        .filter(|access| access.request.host == "api.learn.example")
        .map(|access| Ok(serde_json::to_value(access)?))
        .collect()
}

fn seen_and_granted() -> Result<()> {
    let mut daemon = Daemon::start()?;
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    traffic(&server, 17)?;
    let recorded = ours(&mut watch)?;
    ensure!(recorded.len() == 3, "{recorded:#?}");
    drop(watch);

    // From the daemon, into a file of its own.
    let file = daemon.dir().join("learnt.toml");
    let path = file.to_string_lossy().into_owned();
    wait_for("the daemon to show what it saw", || {
        let text = String::from_utf8(daemon.run(&["learn"])?.stdout)?;
        Ok(text
            .contains("POST api.learn.example/v1/orders/{id}/cancel")
            .then_some(()))
    })?;
    let done = daemon.run(&["learn", "--out", &path])?;
    ensure!(done.status.success() && done.stdout.is_empty(), "{done:?}");
    let policy = std::fs::read_to_string(&file)?;
    ensure!(
        policy.contains("\"GET api.learn.example/v1/orders/{id}\""),
        "{policy}"
    );
    let again = daemon.run(&["learn", "--out", &path])?;
    ensure!(
        !again.status.success(),
        "a policy was overwritten: {again:?}"
    );

    // From a file that holds the same accesses.
    let lines: Vec<String> = recorded.iter().map(ToString::to_string).collect();
    let record = daemon.dir().join("accesses.ndjson");
    std::fs::write(&record, lines.join("\n"))?;
    let record = record.to_string_lossy().into_owned();
    let done = daemon.run(&["learn", &record])?;
    let text = String::from_utf8(done.stdout)?;
    ensure!(text.contains("from 3 requests of 2 identities"), "{text}");
    ensure!(text.contains("[[separate]]"), "{text}");

    // Against itself there is no difference; against a policy that says less there is.
    let done = daemon.run(&["learn", &record, "--diff", &path])?;
    let told = String::from_utf8(done.stdout)?;
    ensure!(!told.contains("used, not granted"), "{told}");
    let less = daemon.dir().join("less.toml");
    let print = recorded[0]["credential"]["fingerprint"]
        .as_str()
        .context("no fingerprint")?;
    std::fs::write(
        &less,
        format!(
            "version = 1\n[duties]\nr = [\"GET api.learn.example/v1/orders\", \"GET api.learn.example/old\"]\n\
             [identities.reader]\nowner = \"o\"\ncredentials = [\"{print}\"]\nduties = [\"r\"]\n"
        ),
    )?;
    let done = daemon.run(&[
        "learn",
        &record,
        "--diff",
        &less.to_string_lossy(),
        "-o",
        "json",
    ])?;
    ensure!(done.status.code() == Some(1), "{done:?}");
    let first: Value = serde_json::from_slice(
        done.stdout
            .split(|b| *b == b'\n')
            .next()
            .unwrap_or_default(),
    )?;
    ensure!(
        first["identity"] == "reader"
            && first["unused"][0]["operation"] == "GET api.learn.example/old"
            && first["not_granted"][0]["operation"] == "GET api.learn.example/v1/orders/{id}",
        "{first:#}"
    );

    // It is a policy: no errors, and what was seen raises no finding any more.
    daemon.stop()?;
    std::fs::write(daemon.dir().join("policy.toml"), &policy)?;
    let checked = Command::new(daemon::binary()?)
        .args(["check", "--warnings-ok", "--config"])
        .arg(daemon.dir().join("bailiwick.toml"))
        .env_remove("LD_LIBRARY_PATH")
        .output()?;
    ensure!(checked.status.success(), "{checked:?}\n{policy}");
    daemon.restart()?;
    let mut watch = daemon.watch()?;
    traffic(&server, 4711)?;
    let seen = ours(&mut watch)?;
    ensure!(seen.len() == 3, "{seen:#?}");
    for access in &seen {
        ensure!(
            access["owner"].is_string(),
            "not named: {access:#}\n{policy}"
        );
        ensure!(
            access["duties"]
                .as_array()
                .is_some_and(|duties| !duties.is_empty()),
            "not granted: {access:#}\n{policy}"
        );
        ensure!(
            access["findings"] == serde_json::json!([]),
            "{access:#}\n{policy}"
        );
    }
    // Something else does: who was seen to read only does not write.
    request(&server, READER, "DELETE", "/v1/orders/4711")?;
    let seen = ours(&mut watch)?;
    ensure!(
        seen.len() == 1 && seen[0]["findings"].to_string().contains("read-writes"),
        "{seen:#?}"
    );
    Ok(())
}
