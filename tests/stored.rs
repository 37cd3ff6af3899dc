//! Credentials in use beside the code of who uses them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::http::Answerer;
use e2e::trial::root;
use e2e::{Daemon, Setup, unique, wait_for};
use libtest_mimic::Trial;
use serde_json::Value;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("stored::a_key_beside_code_is_an_alert", beside_code),
        root("stored::a_key_in_the_environment_is_an_alert", environment),
        root("stored::scan_says_which_is_in_use", scan_joins),
    ]
}

/// A secret that no rule knows by its looks.
fn secret() -> String {
    format!("{}{}", unique("k9Zq4"), "x7Bv2Lm0Ws8Rt5Pd")
}

/// A script that sends the token in file `token` of its directory, or in `$API_KEY`.
fn script(dir: &Path, server: &Answerer, from: &str) -> Result<()> {
    fs::write(
        dir.join("deploy.sh"),
        format!(
            "#!/bin/sh\ncurl --silent --show-error --max-time 10 -H \"Authorization: Bearer {from}\" http://{}/v1/pay\nsleep 2\n",
            server.address()
        ),
    )?;
    Ok(())
}

fn run(dir: &Path, environment: &[(&str, &str)]) -> Result<()> {
    let done = Command::new("/bin/sh")
        .arg("deploy.sh")
        .current_dir(dir)
        .envs(environment.iter().copied())
        .output()?;
    ensure!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}

fn alerts(daemon: &Daemon) -> Result<Vec<Value>> {
    daemon.json(&["alerts", "--kind", "stored-credential"])
}

/// Titles of alerts that name this directory or variable.
fn titled(daemon: &Daemon, what: &str) -> Result<Vec<String>> {
    let titles = alerts(daemon)?;
    let titles = titles.iter().filter_map(|alert| alert["title"].as_str());
    Ok(titles
        .filter(|title| title.contains(what))
        .map(str::to_owned)
        .collect())
}

/// A daemon that knows the credential of this file as pay-writer's. The machine's own environment may hold whatever it does.
fn daemon(token: &Path) -> Result<Daemon> {
    Setup::default()
        .beside_code()
        .policy(&format!(
            "[environments]\nprod = [\"127.0.0.1\", \"127.0.0.0/8\"]\n[duties]\npay = [\"GET */**\"]\n\
             [identities.pay-writer]\nowner = \"team-pay\"\ncredentials = [\"file:{}\"]\nduties = [\"pay\"]\n\
             environments = [\"prod\"]\n",
            token.display()
        ))
        .start()
}

/// The credential's home, which the policy names; the code's directory is another.
fn home(secret: &str) -> Result<(tempfile::TempDir, std::path::PathBuf)> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("token");
    fs::write(&path, secret)?;
    Ok((dir, path))
}

fn looked(daemon: &Daemon, more_than: u64) -> Result<u64> {
    wait_for("a look beside code", || {
        let count = daemon.status()?["scan"]["workloads"].as_u64().unwrap_or(0);
        Ok((count > more_than).then_some(count))
    })
}

fn beside_code() -> Result<()> {
    let secret = secret();
    let (_home, token) = home(&secret)?;
    let daemon = daemon(&token)?;
    let server = Answerer::inet()?;

    // The twin: the same credential, read from where the policy says that it is, and another key in the directory.
    let clean = tempfile::tempdir()?;
    script(
        clean.path(),
        &server,
        &format!("$(cat {})", token.display()),
    )?;
    fs::write(
        clean.path().join(".env"),
        format!("OTHER_KEY={}\n", self::secret()),
    )?;
    run(clean.path(), &[])?;
    let before = looked(&daemon, 0)?;
    std::thread::sleep(Duration::from_millis(500));
    let quiet = titled(&daemon, &clean.path().display().to_string())?;
    ensure!(quiet.is_empty(), "the twin was told of: {quiet:?}");

    let dir = tempfile::tempdir()?;
    script(dir.path(), &server, "$(sed -n s/^PAY=//p conf/pay.env)")?;
    fs::create_dir(dir.path().join("conf"))?;
    fs::write(
        dir.path().join("conf/pay.env"),
        format!("# production\nPAY={secret}\n"),
    )?;
    run(dir.path(), &[])?;
    looked(&daemon, before)?;
    let place = dir.path().display().to_string();
    let title = wait_for("an alert", || Ok(titled(&daemon, &place)?.pop()))?;
    ensure!(
        title
            .starts_with("a credential that pay-writer uses in prod is stored beside the code of ")
            && title.ends_with(&format!("{place}/conf/pay.env:2")),
        "{title}"
    );
    let all = alerts(&daemon)?;
    let alert = all
        .iter()
        .find(|alert| alert["title"] == title.as_str())
        .context("the alert")?;
    ensure!(
        alert["severity"] == "high"
            && alert["identity"] == "pay-writer"
            && alert["environment"] == "prod",
        "{alert:#}"
    );
    ensure!(
        !format!("{all:?}{}", daemon.log()).contains(&secret),
        "the secret is in an alert or the log"
    );
    Ok(())
}

fn environment() -> Result<()> {
    let secret = secret();
    let (_home, token) = home(&secret)?;
    let daemon = daemon(&token)?;
    let server = Answerer::inet()?;
    let dir = tempfile::tempdir()?;
    script(dir.path(), &server, "$PLANTED_PAY_KEY")?;
    // The twin: another value under another name beside it.
    run(
        dir.path(),
        &[
            ("PLANTED_PAY_KEY", &secret),
            ("PLANTED_IDLE_KEY", &self::secret()),
        ],
    )?;
    let title = wait_for("an alert", || Ok(titled(&daemon, "PLANTED_")?.pop()))?;
    ensure!(
        title.starts_with("a credential that pay-writer uses in prod is in the environment of ")
            && title.ends_with("variable PLANTED_PAY_KEY"),
        "{title}"
    );
    ensure!(
        titled(&daemon, "PLANTED_IDLE_KEY")?.is_empty(),
        "the idle one was told of"
    );
    Ok(())
}

fn scan_joins() -> Result<()> {
    let secret = secret();
    let (_home, token) = home(&secret)?;
    let daemon = daemon(&token)?;
    let server = Answerer::inet()?;
    let dir = tempfile::tempdir()?;
    script(dir.path(), &server, "$API_KEY")?;
    run(dir.path(), &[("API_KEY", &secret)])?;
    let tree = tempfile::tempdir()?;
    fs::write(
        tree.path().join("app.py"),
        format!(
            "api_key = '{secret}'\nother_api_key = '{}'\n",
            self::secret()
        ),
    )?;
    let at = tree.path().to_str().context("a path")?;
    let live = |found: &[Value]| -> Vec<(u64, Option<String>)> {
        let found = found
            .iter()
            .filter(|record| record["type"] == "stored-credential");
        found
            .map(|record| {
                let identity = record["live"]["identity"].as_str().map(str::to_owned);
                (record["line"].as_u64().unwrap_or(0), identity)
            })
            .collect()
    };
    let expected = [(1, Some("pay-writer".to_owned())), (2, None)];
    for (way, config) in [("with the key", true), ("over the socket", false)] {
        // Without the configuration there is no key to be read; the socket is named either way.
        let mut command = Command::new(e2e::daemon::binary()?);
        command
            .args(["-o", "json", "scan", at, "--socket"])
            .arg(daemon.socket());
        if config {
            command
                .arg("--config")
                .arg(daemon.dir().join("bailiwick.toml"));
        }
        let done = command.output()?;
        ensure!(done.status.code() == Some(1), "{way}: {done:?}");
        let text = String::from_utf8(done.stdout)?;
        ensure!(
            !text.contains(&secret),
            "{way}: the secret is in the output"
        );
        let records: Vec<Value> = text
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?;
        ensure!(live(&records) == expected, "{way}: {records:#?}");
        let last = records.last().context("totals")?;
        ensure!(
            last["live"] == 1 && last["unjoined"].is_null(),
            "{way}: {last:#}"
        );
        let prints = records
            .iter()
            .filter(|record| record["fingerprint"].is_string())
            .count();
        ensure!(
            prints == if config { 2 } else { 0 },
            "{way}: {prints} fingerprints"
        );
    }
    Ok(())
}
