//! Secrets that a program writes to a key log: the only way into a library that has nothing to probe.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::daemon::Setup;
use e2e::process::client;
use e2e::server::free;
use e2e::trial::root;
use e2e::{Daemon, Process, wait_for};
use libtest_mimic::Trial;
use serde_json::json;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("key_log::dark_without", without),
        root("key_log::readable_with", with),
    ]
}

const PEER: &str = env!("CARGO_BIN_EXE_peer");

/// A server, and requests of a client that writes its secrets to `log`; the client's process.
fn talk(dir: &Path, log: &Path, version: &str) -> Result<(Process, u32)> {
    let address = free()?;
    let server = Process::start(
        Command::new(PEER).args(["tls-serve", &address.to_string()]),
        &dir.join(format!("server-{version}.log")),
    )?;
    wait_for("the server", || {
        Ok(std::net::TcpStream::connect(address).ok())
    })?;
    let (id, _) = client(
        Command::new(PEER)
            .args(["tls-get", &address.to_string(), version, "/logged/", "3"])
            .env("SSLKEYLOGFILE", log),
    )?;
    Ok((server, id))
}

fn without() -> Result<()> {
    let daemon = Daemon::start()?;
    let mut watch = daemon.watch()?;
    let log = daemon.dir().join("keys");
    let _server = talk(daemon.dir(), &log, "1.3")?;
    ensure!(fs::read_to_string(&log)?.contains("CLIENT_TRAFFIC_SECRET_0"));
    std::thread::sleep(Duration::from_millis(500));
    watch.exactly(0, "peer.example")?;
    Ok(())
}

fn with() -> Result<()> {
    let keys = tempfile::tempdir()?;
    let log = keys.path().join("keys");
    let setup = Setup::default().config(&format!("[tls]\nkey_logs = [{log:?}]\n"));
    let daemon = setup.start()?;
    let mut watch = daemon.watch()?;
    for version in ["1.3", "1.2"] {
        // For the second the log is there already, and is replaced.
        if version == "1.2" {
            fs::rename(&log, keys.path().join("keys.1"))?;
        }
        let (server, id) = talk(daemon.dir(), &log, version)?;
        let accesses = watch.exactly(3, "peer.example")?;
        for (number, access) in accesses.iter().enumerate() {
            ensure!(
                access.request.path == format!("/logged/{number}"),
                "{access:#?}"
            );
            let value = serde_json::to_value(access)?;
            ensure!(
                value["tls"]["version"] == version && value["tls"]["via"] == "keys",
                "{value:#}"
            );
            ensure!(value["client"]["pid"] == id, "{value:#}");
            ensure!(value["server"]["pid"] == server.id(), "{value:#}");
        }
    }
    // What it read of whom is shown, but nothing of what it read.
    let status = daemon.status()?;
    let name = format!("key-log:{}", log.display());
    let hooks = status["hooks"].as_array().cloned().unwrap_or_default();
    let hook = hooks.iter().find(|hook| hook["name"] == name);
    ensure!(
        hook.is_some_and(|hook| hook["attached"] == true && hook["runs"] != json!(0)),
        "{status:#}"
    );
    let text = fs::read_to_string(&log)?;
    let told = format!("{}{status}", daemon.log());
    for line in text.lines() {
        let secret = line.rsplit(' ').next().unwrap_or_default();
        ensure!(
            secret.len() >= 64 && !told.contains(secret),
            "a secret is told"
        );
    }
    Ok(())
}
