//! What is usual is learnt from live traffic; a takeover that breaks no clause is told, once, in counts.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::http::{Answerer, get};
use e2e::process::client;
use e2e::trial::root;
use e2e::{Daemon, Setup, wait_for};
use libtest_mimic::Trial;
use serde_json::Value;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("baseline::a_takeover_is_told_once", takeover),
        root("baseline::it_outlives_the_daemon", outlives),
    ]
}

/// Days cannot pass in a test: one day is enough, and a window is a second.
const QUICK: &str = "[baseline]\nusual_after_days = 1\nmature_after_days = 1\nmature_after_windows = 8\nwindow_s = 1\n\
                     alerts_per_day = 3\nalerts_per_identity = 2\n[checks]\ncleartext = \"off\"\n";
const TOKEN: &str = "Bearer usual-key-0123456789";

/// The identity's name: no policy knows it.
fn identity(daemon: &Daemon, host: &str) -> Result<Value> {
    let known = daemon.json(&["identities"])?;
    let at_host = |one: &&Value| one["hosts"].to_string().contains(host);
    let found = known.iter().find(at_host);
    Ok(found
        .with_context(|| format!("not seen: {known:#?}"))?
        .clone())
}

/// Works as ever until the profile is mature.
fn learn(daemon: &Daemon, server: &Answerer) -> Result<Value> {
    let host = server.address().to_string();
    let begin = Instant::now();
    loop {
        for path in ["/v1/read", "/v1/list"] {
            get(server.address(), path, &[("Authorization", TOKEN)])?;
        }
        std::thread::sleep(Duration::from_millis(250));
        let one = identity(daemon, &host);
        if let Ok(one) = &one
            && one["baseline"]["mature"] == true
        {
            return Ok(one.clone());
        }
        ensure!(
            begin.elapsed() < Duration::from_secs(120),
            "not mature: {one:#?}\n{}",
            daemon.log()
        );
    }
}

fn unusual(daemon: &Daemon) -> Result<Vec<Value>> {
    let mut all = daemon.json(&["alerts"])?;
    all.retain(|alert| alert["kind"] == "unusual");
    Ok(all)
}

/// The same credential in another program's hands, for something else.
fn take_over(server: &Answerer, number: u32) -> Result<()> {
    client(
        std::process::Command::new("/usr/bin/curl")
            .args([
                "--silent",
                "--show-error",
                "--max-time",
                "10",
                "-X",
                "DELETE",
            ])
            .args(["-H", &format!("Authorization: {TOKEN}")])
            .arg(format!("http://{}/admin/users/u{number}", server.address())),
    )?;
    Ok(())
}

fn takeover() -> Result<()> {
    let daemon = Setup::default().config(QUICK).start()?;
    let server = Answerer::inet()?;
    let one = learn(&daemon, &server)?;
    let name = one["identity"].as_str().context("no name")?;
    ensure!(
        unusual(&daemon)?
            .iter()
            .all(|alert| alert["identity"] != name),
        "work as usual is told of"
    );
    for number in 0..5 {
        take_over(&server, number)?;
    }
    let of = |alerts: Vec<Value>| -> Option<Value> {
        alerts.into_iter().find(|alert| alert["identity"] == name)
    };
    let alert = wait_for("the alert", || Ok(of(unusual(&daemon)?)))?;
    let title = alert["title"].as_str().unwrap_or_default();
    for words in [
        "DELETE",
        "/admin/users/",
        "by /usr/bin/curl",
        "this operation in 0 of ",
        "this program in 0",
        "no clause covers it",
    ] {
        ensure!(title.contains(words), "no {words:?} in {alert:#}");
    }
    ensure!(alert["severity"] == "medium", "{alert:#}");
    ensure!(
        alert["evidence"][0]["client"]["exe"] == "/usr/bin/curl",
        "{alert:#}"
    );
    // More of the same, and then other things, too.
    for number in 0..40 {
        take_over(&server, number)?;
        get(
            server.address(),
            &format!("/other{}/x", number % 7),
            &[("Authorization", TOKEN)],
        )?;
        std::thread::sleep(Duration::from_millis(150));
    }
    std::thread::sleep(Duration::from_secs(3));
    let all = unusual(&daemon)?;
    let count = |alert: &Value| alert["count"].as_u64().unwrap_or(99);
    let own: u64 = all
        .iter()
        .filter(|a| a["identity"] == name)
        .map(count)
        .sum();
    ensure!(own <= 2, "more than one identity's share: {all:#?}");
    ensure!(
        all.iter().map(count).sum::<u64>() <= 3,
        "more than the budget: {all:#?}"
    );
    acknowledge(&daemon, &alert)?;
    let status = daemon.status()?;
    ensure!(
        status["baseline"]["burst"] == 3 && status["baseline"]["mature"].as_u64() >= Some(1),
        "{}",
        status["baseline"]
    );
    Ok(())
}

/// What somebody says about an alert stands in it, also for `explain`, and can be taken back.
fn acknowledge(daemon: &Daemon, alert: &Value) -> Result<()> {
    let id = alert["id"].as_str().context("no id")?;
    let said = daemon.json(&["ack", id, "--note", "the new clean-up job"])?;
    let known = &said.first().context("no answer")?["acknowledged"];
    ensure!(
        known["by"] == "root" && known["note"] == "the new clean-up job",
        "{known}"
    );
    let marks = || -> Result<Value> {
        let all = unusual(daemon)?;
        let own = all.into_iter().find(|one| one["id"] == id);
        own.context("it is gone")
    };
    ensure!(marks()?["acknowledged"] == *known, "{:#}", marks()?);
    let said = daemon.json(&["mute", id, "--until", "2h"])?;
    ensure!(
        said.first()
            .is_some_and(|one| one["muted_until"].is_string()),
        "{said:#?}"
    );
    daemon.json(&["unmark", id])?;
    let free = marks()?;
    ensure!(
        free.get("acknowledged").is_none() && free.get("muted_until").is_none(),
        "{free:#}"
    );
    Ok(())
}

fn outlives() -> Result<()> {
    let mut daemon = Setup::default().config(QUICK).start()?;
    let server = Answerer::inet()?;
    let before = learn(&daemon, &server)?;
    // Ended in order: all of it is saved.
    daemon.stop()?;
    daemon.restart()?;
    let host = server.address().to_string();
    let after = identity(&daemon, &host)?;
    let windows = |one: &Value| one["baseline"]["windows"].as_u64();
    ensure!(
        after["baseline"]["mature"] == true && windows(&after) >= windows(&before),
        "{before:#} {after:#}"
    );
    // And the takeover is seen at once.
    take_over(&server, 1)?;
    let name = before["identity"].clone();
    wait_for("the alert", || {
        let found = unusual(&daemon)?;
        Ok(found.into_iter().find(|alert| alert["identity"] == name))
    })?;
    // Killed, more is left of the budget than before it by nothing.
    daemon.kill()?;
    daemon.restart()?;
    let left = daemon.status()?["baseline"]["left"].as_u64();
    ensure!(left.is_some_and(|left| left <= 2), "{left:?} after a kill");
    Ok(())
}
