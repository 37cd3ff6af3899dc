//! One workload that sends as much as it can does not blind the monitor to the others.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::process::{Process, client};
use e2e::trial::root;
use e2e::{Daemon, Server, watch};
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![root(
        "flood::a_neighbour_loses_nothing",
        neighbour_loses_nothing,
    )]
}

fn neighbour_loses_nothing() -> Result<()> {
    const RATE: u32 = 1000;
    const SECONDS: u32 = 5;
    let daemon = Daemon::start()?;
    let server = Server::nginx(daemon.dir())?;
    let peer = env!("CARGO_BIN_EXE_peer");
    let mut tail = daemon.watch_only(&["--host", &server.host()])?;
    let mut flooder = Command::new(peer);
    flooder.args(["flood", &(SECONDS + 3).to_string()]);
    let log = daemon.dir().join("flood.log");
    let flooder = Process::start(&mut flooder, &log)?;
    std::thread::sleep(Duration::from_secs(1));
    let (id, sent) = client(Command::new(peer).args([
        "neighbour",
        &server.host(),
        &RATE.to_string(),
        &SECONDS.to_string(),
    ]))?;
    ensure!(
        sent.trim() == (RATE * SECONDS).to_string(),
        "the neighbour sent {sent}"
    );
    flooder.finish(e2e::scaled(Duration::from_secs(20)))?;
    let flooded: u64 = std::fs::read_to_string(&log)?.trim().parse()?;
    ensure!(flooded > 50_000, "that was no flood: {flooded} requests");

    let mut paths = BTreeSet::new();
    for value in tail.until_quiet(Duration::from_secs(2))? {
        if value["type"] != "access" {
            continue;
        }
        let access = watch::parse(value)?;
        if access
            .client
            .as_ref()
            .is_some_and(|client| client.pid == id)
        {
            ensure!(
                paths.insert(access.request.path.clone()),
                "{} twice",
                access.request.path
            );
        }
    }
    ensure!(
        paths.len() == (RATE * SECONDS) as usize,
        "{} of the neighbour's {} requests were seen beside {flooded} of the flooder; status {:#}",
        paths.len(),
        RATE * SECONDS,
        daemon.status()?
    );
    Ok(())
}
