//! Connections, processes and the daemon itself come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bailiwick::access::Role;
use e2e::http::{Answerer, get, request};
use e2e::process::{client, exe};
use e2e::trial::root;
use e2e::watch::only;
use e2e::{Daemon, Receiver, Server, Setup, wait_for};
use libtest_mimic::Trial;

use crate::expect::answered;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root(
            "lifecycle::ten_thousand_connections",
            ten_thousand_connections,
        ),
        root("lifecycle::a_process_that_lives_one_request", one_request),
        root(
            "lifecycle::a_connection_older_than_the_daemon",
            older_connection,
        ),
        root("lifecycle::it_stops_when_asked", stops),
        root(
            "lifecycle::two_daemons_do_not_share_a_socket",
            second_daemon,
        ),
        root(
            "lifecycle::killed_a_hundred_times_while_alerts_flow",
            killed_a_hundred_times,
        ),
    ]
}

fn ten_thousand_connections() -> Result<()> {
    const COUNT: usize = 10_000;
    let daemon = Daemon::start()?;
    let server = Server::nginx(daemon.dir())?;
    let mut watch = daemon.watch()?;
    let before = daemon.resident()?;
    for number in 0..COUNT {
        let head = get(
            server.address,
            &format!("/many/n{number}n"),
            &[("X-Api-Key", "many-0123456789")],
        )?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
    let accesses = watch.exactly(COUNT, &server.host())?;
    let paths: BTreeSet<&str> = accesses
        .iter()
        .map(|access| access.request.path.as_str())
        .collect();
    ensure!(paths.len() == COUNT, "{} paths, not {COUNT}", paths.len());
    let worker = server.id()?;
    for access in &accesses {
        ensure!(access.role == Role::Both, "role of {access:#?}");
        ensure!(
            access
                .client
                .as_ref()
                .is_some_and(|end| end.pid == std::process::id()),
            "{access:#?}"
        );
        ensure!(
            access.server.as_ref().is_some_and(|end| end.pid == worker),
            "{access:#?}"
        );
        answered(access)?;
    }
    let grown = daemon.resident()?.saturating_sub(before);
    ensure!(
        grown < 24 * 1024,
        "closed connections are kept: {grown} KiB more"
    );
    Ok(())
}

fn one_request() -> Result<()> {
    let daemon = Daemon::start()?;
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    let peer = exe(env!("CARGO_BIN_EXE_peer"))?;
    let mut ids = Vec::new();
    for number in 0..50 {
        let path = format!("/short-lived/n{number}n");
        ids.push(
            client(Command::new(&peer).args(["once", &server.address().to_string(), &path]))?.0,
        );
    }
    let accesses = watch.accesses_of(&server.address().to_string())?;
    let this = exe(&std::env::current_exe()?.display().to_string())?;
    for (number, id) in ids.iter().enumerate() {
        let access = only(&accesses, &format!("/short-lived/n{number}n"))?;
        let from = access
            .client
            .as_ref()
            .with_context(|| format!("no client in {access:#?}"))?;
        ensure!(
            (from.pid, &from.exe, &*from.user) == (*id, &peer, "root"),
            "client of {access:#?}"
        );
        ensure!(from.lineage.first() == Some(&this), "parent of {access:#?}");
    }
    Ok(())
}

/// Joined in the middle: what was in flight is not guessed at, the next message is seen.
fn older_connection() -> Result<()> {
    let server = Answerer::inet()?;
    let host = server.address().to_string();
    let mut stream = TcpStream::connect(server.address())?;
    let half = request("/older/half", &host, &[("Authorization", "Bearer older")]);
    stream.write_all(&half[..30])?;
    let daemon = Daemon::start()?;
    let mut watch = daemon.watch()?;
    let mut buffer = [0; 4096];
    stream.write_all(&half[30..])?;
    ensure!(stream.read(&mut buffer)? > 0, "no answer");
    for number in 0..5 {
        let bytes = request(
            &format!("/older/n{number}n"),
            &host,
            &[("Authorization", "Bearer older")],
        );
        stream.write_all(&bytes)?;
        ensure!(stream.read(&mut buffer)? > 0, "no answer");
    }
    let accesses = watch.accesses_of(&host)?;
    ensure!(
        accesses
            .iter()
            .all(|access| access.request.path.starts_with("/older/n")),
        "half a head became an access: {accesses:#?}"
    );
    for number in 0..5 {
        let access = only(&accesses, &format!("/older/n{number}n"))?;
        ensure!(
            access
                .client
                .as_ref()
                .is_some_and(|end| end.pid == std::process::id()),
            "{access:#?}"
        );
        answered(access)?;
    }
    Ok(())
}

fn stops() -> Result<()> {
    let mut daemon = Daemon::start()?;
    daemon.stop()?;
    ensure!(!daemon.socket().exists(), "the control socket stays behind");
    daemon.restart()?;
    daemon.status()?;
    Ok(())
}

/// The second one says so and ends; the first goes on.
fn second_daemon() -> Result<()> {
    let daemon = Daemon::start()?;
    let output = Command::new(e2e::daemon::binary()?)
        .args(["run", "--config"])
        .arg(daemon.dir().join("bailiwick.toml"))
        .output()?;
    ensure!(
        !output.status.success(),
        "two daemons with one state ended with {}",
        output.status
    );
    let mut watch = daemon.watch()?;
    watch.until_mark()?;
    Ok(())
}

fn killed_a_hundred_times() -> Result<()> {
    let receiver = Receiver::start()?;
    let keys = tempfile::tempdir()?;
    let trap = keys.path().join("trap");
    std::fs::write(&trap, "trap-token-0123456789")?;
    let mut daemon = Setup::default()
        .policy(&format!(
            "[identities.trap]\nowner = \"security\"\ncredentials = [\"file:{}\"]\n",
            trap.display()
        ))
        .config(&receiver.config(keys.path())?)
        .start()?;
    let server = Answerer::inet()?;
    let mut acknowledged = BTreeSet::new();
    // A small generator: kills fall on every phase, the same in every run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..100_u64 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bearer = "Bearer trap-token-0123456789";
        for number in 0..3 {
            // A host of its own each: another operation, so that not all fold into one alert.
            let host = format!("r{round}n{number}.example");
            let bytes =
                format!("GET /trap HTTP/1.1\r\nHost: {host}\r\nAuthorization: {bearer}\r\n\r\n");
            let mut stream = TcpStream::connect(server.address())?;
            stream.write_all(bytes.as_bytes())?;
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
        }
        std::thread::sleep(Duration::from_micros(state % 60_000));
        if let Ok(alerts) = daemon.json(&["alerts"]) {
            for alert in alerts {
                acknowledged.insert(
                    alert["id"]
                        .as_str()
                        .context("an alert without id")?
                        .to_owned(),
                );
            }
        }
        daemon.kill()?;
        daemon.restart()?;
    }
    ensure!(
        !acknowledged.is_empty(),
        "no alert in a hundred rounds\n{}",
        daemon.log()
    );
    for alert in daemon.json(&["alerts"])? {
        acknowledged.insert(
            alert["id"]
                .as_str()
                .context("an alert without id")?
                .to_owned(),
        );
    }
    let missing = |deliveries: &BTreeMap<String, BTreeSet<String>>| -> Vec<String> {
        acknowledged
            .iter()
            .filter(|id| !deliveries.contains_key(*id))
            .cloned()
            .collect()
    };
    let by_alert = || -> Result<BTreeMap<String, BTreeSet<String>>> {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for delivery in receiver.deliveries()? {
            let alert = delivery.body["id"]
                .as_str()
                .context("a webhook without id")?
                .to_owned();
            found.entry(alert).or_default().insert(delivery.id);
        }
        Ok(found)
    };
    wait_for("every acknowledged alert at the receiver", || {
        Ok(missing(&by_alert()?).is_empty().then_some(()))
    })
    .with_context(|| format!("missing: {:#?}", missing(&by_alert().unwrap_or_default())))?;
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for delivery in receiver.deliveries()? {
        let alert = delivery.body["id"]
            .as_str()
            .context("a webhook without id")?
            .to_owned();
        let known = owners
            .entry(delivery.id.clone())
            .or_insert_with(|| alert.clone());
        ensure!(
            *known == alert,
            "webhook-id {} stands for {known} and {alert}",
            delivery.id
        );
        ensure!(
            delivery.id.starts_with(&alert),
            "webhook-id {} is not of alert {alert}",
            delivery.id
        );
    }
    Ok(())
}
