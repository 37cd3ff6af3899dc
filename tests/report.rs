//! Reports and stories of what really happened.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::http::Answerer;
use e2e::process::client;
use e2e::trial::root;
use e2e::{Daemon, Receiver, Setup, daemon, wait_for};
use libtest_mimic::Trial;
use serde_json::Value;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("report::granted_used_and_unused", granted_and_used),
        root("report::an_alert_as_a_story", story),
    ]
}

const TOKEN: &str = "report-key-0123456789";

fn request(server: &Answerer, host: &str, method: &str, path: &str) -> Result<()> {
    client(
        Command::new("/usr/bin/curl")
            .args(["--silent", "--show-error", "--max-time", "10", "-X", method])
            .args(["-H", &format!("Host: {host}")])
            .args(["-H", &format!("Authorization: Bearer {TOKEN}")])
            .arg(format!("http://{}{path}", server.address())),
    )?;
    Ok(())
}

/// A daemon whose shop has an owner with separated duties, one of them unused.
fn shop(config: &str) -> Result<(tempfile::TempDir, Daemon)> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("token");
    std::fs::write(&file, TOKEN)?;
    let daemon = Setup::default()
        .policy(&format!(
            "[environments]\nprod = [\"api.pay.example\"]\ndev = [\"*.dev.example\"]\n\
             [duties]\nread = [\"GET */v1/**\"]\nwrite = [\"POST */v1/**\"]\n\
             [identities.ci-bot]\nowner = \"team-ci\"\ncredentials = [\"file:{}\"]\n\
             duties = [\"read\", \"write\"]\nenvironments = [\"dev\"]\n\
             [[separate]]\nduties = [\"read\", \"write\"]\n",
            file.display()
        ))
        .config(config)
        .start()?;
    Ok((dir, daemon))
}

fn duty<'a>(report: &'a Value, name: &str) -> Option<&'a Value> {
    let rows = report["identities"]["items"].as_array()?;
    let row = rows.iter().find(|row| row["identity"] == "ci-bot")?;
    row["duties"]
        .as_array()?
        .iter()
        .find(|grant| grant["duty"] == name)
}

fn report(daemon: &Daemon) -> Result<Value> {
    let lines = daemon.json(&["report"])?;
    ensure!(lines.len() == 1, "{} lines", lines.len());
    lines.into_iter().next().context("no report")
}

/// A client that reads the store of a daemon that was stopped.
fn offline(daemon: &Daemon, args: &[&str]) -> Result<(bool, String, String)> {
    let output = Command::new(daemon::binary()?)
        .args(args)
        .arg("--config")
        .arg(daemon.dir().join("bailiwick.toml"))
        .env_remove("LD_LIBRARY_PATH")
        .output()?;
    Ok((
        output.status.success(),
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    ))
}

fn granted_and_used() -> Result<()> {
    let (_dir, mut daemon) = shop("")?;
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    request(&server, "ci.dev.example", "GET", "/v1/x/17")?;
    request(&server, "api.pay.example", "GET", "/v1/x/17")?;
    watch.until_mark()?;
    drop(watch);

    let made = wait_for("the report to have the requests", || {
        let made = report(&daemon)?;
        let named = made["attribution"]["named"].as_u64();
        Ok((named == Some(2)).then_some(made))
    })?;
    let read = duty(&made, "read").context("no duty read")?;
    ensure!(read["used"] == true && read["count"] == 2, "{read:#}");
    let write = duty(&made, "write").context("no duty write")?;
    ensure!(write["used"] == false && write["count"] == 0, "{write:#}");
    let unused = &made["unused"]["items"];
    ensure!(
        unused[0]["duty"] == "write" && unused[1].is_null(),
        "{unused:#}"
    );
    let separation = &made["separations"][0];
    ensure!(
        separation["collusion"] == 1 && separation["holders"]["items"][0]["owner"] == "team-ci",
        "{separation:#}"
    );
    let crossing = &made["crossings"]["items"][0];
    ensure!(
        crossing["environment"] == "prod" && crossing["count"] == 1,
        "{crossing:#}"
    );
    ensure!(
        made["alerts"]["kinds"]["environment"] == 1,
        "{:#}",
        made["alerts"]
    );
    let again = report(&daemon)?;
    ensure!(again["trend"]["change"] == 0, "{:#}", again["trend"]);

    // For people, and as a page.
    let text = daemon.run(&["report", "--days", "7"])?;
    let text = String::from_utf8(text.stdout)?;
    ensure!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    ensure!(text.contains("NOT USED, never seen"), "{text}");
    let page = daemon.dir().join("report.html");
    let path = page.to_string_lossy().into_owned();
    let done = daemon.run(&["report", "-o", "html", "--out", &path])?;
    ensure!(done.status.success() && done.stdout.is_empty(), "{done:?}");
    let page = std::fs::read_to_string(page)?;
    ensure!(
        page.starts_with("<!DOCTYPE html>") && page.contains("ci-bot"),
        "{page}"
    );
    let refused = daemon.run(&["status", "-o", "html"])?;
    ensure!(refused.status.code() == Some(64), "{refused:?}");

    // What was seen survives the daemon.
    daemon.stop()?;
    let (good, made, said) = offline(&daemon, &["report", "-o", "json"])?;
    ensure!(good && said.contains("no daemon listens"), "{said}");
    let made: Value = serde_json::from_str(&made)?;
    ensure!(made["source"] == "store", "{made:#}");
    ensure!(
        duty(&made, "read").is_some_and(|read| read["used"] == true),
        "{made:#}"
    );
    ensure!(
        made["attribution"]["named"] == 2,
        "{:#}",
        made["attribution"]
    );
    Ok(())
}

fn story() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let (_token, mut daemon) = shop(&receiver.config(dir.path())?)?;
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    request(&server, "ci.dev.example", "GET", "/v1/before")?;
    request(&server, "api.pay.example", "GET", "/v1/x/17")?;
    watch.until_mark()?;
    drop(watch);
    let delivery = receiver.wait("the webhook", |delivery| {
        delivery.body["kind"] == "environment"
    })?;
    let id = delivery.body["id"].as_str().context("no id")?.to_owned();

    let told = daemon.json(&["explain", &id])?;
    let story = told.first().context("no story")?;
    ensure!(story["type"] == "story" && story["count"] == 1, "{story:#}");
    ensure!(
        story["happened"][0]["operation"] == "GET api.pay.example/v1/x/17",
        "{story:#}"
    );
    ensure!(story["who"]["owner"] == "team-ci", "{story:#}");
    ensure!(story["from"][0]["exe"] == "/usr/bin/curl", "{story:#}");
    ensure!(
        story["normal"]["policy"] == "in-force",
        "{:#}",
        story["normal"]
    );
    let around = &story["around"];
    ensure!(
        around["events"].as_array().is_some_and(|events| events
            .iter()
            .any(|event| event["operation"] == "GET ci.dev.example/v1/before")),
        "{around:#}"
    );
    // The answer of the webhook is settled a moment after it came.
    wait_for("the delivery to be settled", || {
        let story = daemon.json(&["explain", &id])?;
        Ok((story[0]["deliveries"][0]["state"] == "sent").then_some(()))
    })?;

    let text = daemon.run(&["explain", &id[..id.len() - 2]])?;
    let text = String::from_utf8(text.stdout)?;
    ensure!(
        text.contains("What to do now") && text.contains("T1078.004"),
        "{text}"
    );
    let unknown = daemon.run(&["explain", "0000"])?;
    let said = String::from_utf8(unknown.stderr)?;
    ensure!(unknown.status.code() == Some(65), "{said}");
    ensure!(
        said.contains("hint: near it: ") && said.contains(&id),
        "{said}"
    );

    daemon.stop()?;
    let (good, story, said) = offline(&daemon, &["explain", &id])?;
    ensure!(good, "{said}");
    ensure!(story.contains("no daemon is running"), "{story}");
    let (good, _, said) = offline(&daemon, &["explain", "nothing"])?;
    ensure!(!good && said.contains(&id), "{said}");
    Ok(())
}
